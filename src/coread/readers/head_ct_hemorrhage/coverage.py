"""Whether the slices hold the whole brain: a scan that stops inside it says nothing of the rest.

Above its widest part a head narrows to the vertex, below it to the skull base and neck, so that a whole one has slices
on both sides in which the outer contour is clearly smaller. Limits and what they tell apart were measured with
``python -m bench.head_ct_coverage --data FOLDER``: of 65 patients, a real head under a tilted gantry and 19 generated
ones none is taken for cut.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import FloatPixels
from coread.readers.head_ct_hemorrhage.preprocess import head_contour

_VERTEX = 0.6
"""Largest area of a slice above the brain, as a share of the widest slice through brain: at most 0.52 where heads of
the set end; above this in 49 of 65 without their uppermost 15 mm and in 58 of 62 without 20 mm."""
_BASE = 0.9
"""The same below the brain: at most 0.81 where heads of the set begin. What is missing of the posterior fossa below
that is not noticed."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which ends of the brain are inside the scan."""

    top: bool
    bottom: bool

    @property
    def whole(self) -> bool:
        """Whether both are."""
        return self.top and self.bottom

    def words(self) -> str:
        """Say where the scan stops inside the brain; empty where it does not."""
        ends = [name for name, seen in (("top", self.top), ("bottom", self.bottom)) if not seen]
        return f"the scan ends within the brain at the {' and at the '.join(ends)}" if ends else ""


def coverage_of(slices: FloatPixels, brain: NDArray[np.bool_]) -> Coverage:
    """Return what network slices (S, side, side), foot to head, cover; ``brain`` says which of them show brain."""
    areas = np.array([head_contour(one).mean() for one in slices])
    return coverage_of_areas(areas, brain)


def coverage_of_areas(areas: NDArray[np.float64], brain: NDArray[np.bool_]) -> Coverage:
    """Return the same from the area of the head's outer contour in each slice (S,), in any unit."""
    if not brain.any():
        return Coverage(top=False, bottom=False)
    shown = np.flatnonzero(brain)
    widest = int(shown[np.argmax(areas[shown])])
    share = areas / areas[widest]
    return Coverage(bool((share[widest + 1 :] <= _VERTEX).any()), bool((share[:widest] <= _BASE).any()))
