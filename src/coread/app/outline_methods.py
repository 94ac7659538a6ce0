"""Which method outlines a lesion that a person pointed at: the calculated one, or a reader's network for boxes.

``auto`` takes the one that was measured better for the case, by the numbers in the network's package; what decided is
said in words with the result.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from coread.domain.boxed import BoxReader
from coread.domain.errors import Refused
from coread.domain.images import Volume
from coread.domain.reading import ModelSession
from coread.domain.reasons import Reason, ReasonCode
from coread.engine.loading import reason_of
from coread.engine.sessions import SessionSettings, open_reader
from coread.imaging.lesion_segmentation import segment_lesion
from coread.imaging.prompts import BoxPrompt, Prompt, require_inside
from coread.readers.registry import InstalledReader, load_box_reader

Mask = NDArray[np.bool_]
_KEPT_OPEN = 2


class Method(StrEnum):
    """How a lesion is outlined."""

    AUTO = "auto"
    """The method that was measured better for the case."""
    CLASSICAL = "classical"
    """Calculated from the image, nothing learnt; takes every prompt."""
    NETWORK = "network"
    """The network of a reader; takes boxes, within what it learnt from."""


@dataclass(frozen=True, slots=True, eq=False)
class Outlined:
    """One outline and what made it."""

    mask: Mask
    """(slices, rows, columns) on the grid of the volume."""
    method: Method
    """``classical`` or ``network``."""
    clearness: float | None = None
    """Of the calculated outline: 1 where the image decided, 0 where the shape of the prompt did."""
    certainty: float | None = None
    """Of the network: mean of its (uncalibrated) share over the outline."""
    made_by: str = ""
    """Reader and version whose network outlined; empty for the calculated method."""
    package_digest: str = ""
    runtime: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Network:
    reader: BoxReader
    session: ModelSession = field(repr=False)

    @property
    def name(self) -> str:
        return f"{self.reader.card.reader_id} {self.reader.card.version}"


class MethodRefused(Refused):
    """The method that was asked for does not take this prompt; ``reason`` is the coded reason."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.text())


def outlined_by(method: Method, volume: Volume, prompt: Prompt, readers: Sequence[InstalledReader]) -> Outlined:
    """Outline the lesion that a prompt points at; ``readers`` are those whose networks may be asked.

    Raises MethodRefused where the network is asked for and cannot be, what ``segment_lesion`` raises, and
    Misconfigured where a package is damaged.
    """
    if method is Method.CLASSICAL:
        return _calculated(volume, prompt)
    if not isinstance(prompt, BoxPrompt):
        if method is Method.NETWORK:
            raise MethodRefused(Reason(ReasonCode.BAD_PROMPT, "the network takes a box, not a point or a line"))
        return _calculated(volume, prompt)
    box = require_inside(prompt, volume.geometry).corners()
    network = _network_for(volume, box, readers)
    if method is Method.NETWORK:
        return _by_network(network, volume, box)
    return _by_the_better(network, volume, prompt, box)


def _by_the_better(network: "_Network | Reason", volume: Volume, prompt: Prompt, box: NDArray[np.float64]) -> Outlined:
    if isinstance(network, Reason):
        return _with_note(_calculated(volume, prompt), f"the network was not asked: {network.text()}")
    try:
        calculated = _calculated(volume, prompt)
    except Refused as problem:
        why = f"the calculated method outlined nothing: {reason_of(problem).text()}"
        return _with_note(_by_network(network, volume, box), why)
    measured = network.reader.measured(network.session, calculated.clearness or 0.0)
    numbers = f"mean Dice {measured.network_dice:.2f} by the network, {measured.calculated_dice:.2f} calculated"
    why = f"chosen by what was measured on {measured.said}: {numbers}"
    if not measured.network_is_better:
        return _with_note(calculated, why)
    try:
        return _with_note(_by_network(network, volume, box), why)
    except MethodRefused as problem:
        return _with_note(calculated, f"the network outlined nothing: {problem.reason.text()}")


def _calculated(volume: Volume, prompt: Prompt) -> Outlined:
    found = segment_lesion(volume, prompt)
    return Outlined(found.mask, Method.CLASSICAL, clearness=found.clearness)


def _by_network(network: "_Network | Reason", volume: Volume, box: NDArray[np.float64]) -> Outlined:
    if isinstance(network, Reason):
        raise MethodRefused(network)
    found = network.reader.answer(network.session, volume, box)
    if found is None:
        raise MethodRefused(Reason(ReasonCode.INDETERMINATE, f"the network of {network.name} has nothing in the box"))
    digest = network.session.digest
    note = f"outlined by the network of {network.name}, package {digest[:12]}"
    return Outlined(
        found.mask, Method.NETWORK, certainty=found.certainty, made_by=network.name, package_digest=digest,
        runtime=network.session.runtime, notes=(note,),
    )  # fmt: skip


def _with_note(outlined: Outlined, note: str) -> Outlined:
    return replace(outlined, notes=(*outlined.notes, note))


def _network_for(volume: Volume, box: NDArray[np.float64], readers: Sequence[InstalledReader]) -> "_Network | Reason":
    """Return the first network that may be asked, by reader id, or why none may."""
    reasons = []
    for installed in sorted(readers, key=lambda one: one.card.reader_id):
        boxed = load_box_reader(installed)
        if boxed is None:
            continue
        session = _session(installed)
        reason = boxed.reason_against(session, volume, box)
        if reason is None:
            return _Network(boxed, session)
        reasons.append(Reason(reason.code, f"{installed.card.reader_id}: {reason.detail or reason.text()}"))
    return reasons[0] if reasons else Reason(ReasonCode.READER_DISABLED, "no installed reader has a network for boxes")


@lru_cache(maxsize=_KEPT_OPEN)
def _session(installed: InstalledReader) -> ModelSession:
    """Open a package once: verified, its golden cases reproduced on this machine."""
    return open_reader(installed, SessionSettings().open).session
