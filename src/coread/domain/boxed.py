"""What a reader's network offers beside the reader: the outline of one lesion in a box that a person drew."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import ReaderCard
from coread.domain.images import Volume
from coread.domain.reading import ModelSession
from coread.domain.reasons import Reason


@dataclass(frozen=True, slots=True, eq=False)
class BoxAnswer:
    """What a network has inside a box."""

    mask: NDArray[np.bool_]
    """(slices, rows, columns) on the grid of the volume; something is set."""
    certainty: float
    """Mean of the network's (uncalibrated) share over the outline, 0 to 1."""


@dataclass(frozen=True, slots=True)
class BoxMeasured:
    """How the network and the method that learnt nothing did on the same boxes, as the package states it."""

    network_dice: float
    calculated_dice: float
    said: str
    """On what, in words."""

    @property
    def network_is_better(self) -> bool:
        """Return whether the network had the higher mean Dice coefficient."""
        return self.network_dice > self.calculated_dice


class BoxReader(Protocol):
    """The module ``coread.readers.<id>.boxed`` offers ``box_reader(card) -> BoxReader``; the file is optional."""

    @property
    def card(self) -> ReaderCard:
        """The card of the reader that the network belongs to."""
        ...

    def reason_against(self, session: ModelSession, volume: Volume, box_mm: NDArray[np.float64]) -> Reason | None:
        """Return why a box (2, 3), LPS mm, in this volume is outside what the network learnt from, or ``None``."""
        ...

    def answer(self, session: ModelSession, volume: Volume, box_mm: NDArray[np.float64]) -> BoxAnswer | None:
        """Return the outline of the lesion in the box; ``None`` where the network has nothing inside."""
        ...

    def measured(self, session: ModelSession, clearness: float) -> BoxMeasured:
        """Return what was measured where the calculated outline is as clear as this (0 to 1)."""
        ...
