"""The checks of readers of loops: what is refused, and that mirror images and the order of loops change nothing."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from coread.domain.images import Loop, Quantity
from coread.domain.reading import ReaderInputs
from coread.domain.reasons import ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.engine.conformance.subject import NotApplicable, Subject, require
from coread.engine.conformance.volumes import MIRROR_TOLERANCE, SAME_TOLERANCE, calls_of, same_amounts
from coread.engine.samples import study_of


def loops_of(subject: Subject) -> list[Loop]:
    """Return the first loop of each sample; empty for readers of images and volumes."""
    return [inputs.loops[0] for inputs in subject.samples if inputs.loops]


def wrong_modality(subject: Subject, loop: Loop) -> str:
    """Give a loop whose header names another modality."""
    accepted = subject.installed.card.input.modalities
    other = next(name for name in ("XA", "MR", "US", "NM") if name not in accepted)
    return refused(subject, replace(loop, header=replace(loop.header, modality=other)), ReasonCode.WRONG_MODALITY)


def not_a_number(subject: Subject, loop: Loop) -> str:
    """Give a loop with one pixel that is not a number."""
    pixels = loop.pixels.copy()
    pixels[tuple(n // 2 for n in pixels.shape)] = np.nan
    return refused(subject, replace(loop, pixels=pixels), ReasonCode.PIXELS_NOT_FINITE)


def constant(subject: Subject, loop: Loop) -> str:
    """Give a loop of one grey."""
    return refused(subject, replace(loop, pixels=np.full_like(loop.pixels, 0.5)), ReasonCode.PIXELS_CONSTANT)


def too_few_frames(subject: Subject, loop: Loop) -> str:
    """Give one frame fewer than the card asks for."""
    count = subject.installed.card.input.min_images - 1
    if count < 1:
        raise NotApplicable("the card accepts loops of any length")
    header = replace(loop.header, number_of_frames=count)
    short = replace(loop, pixels=loop.pixels[:count].copy(), times_ms=loop.times_ms[:count], header=header)
    return refused(subject, short, ReasonCode.TOO_FEW_IMAGES)


def other_quantity(subject: Subject, loop: Loop) -> str:
    """Give modality values where display values are promised."""
    return refused(subject, replace(loop, quantity=Quantity.ARBITRARY), ReasonCode.PIXEL_MEANING)


def mirrored_in_mirrored_out(subject: Subject) -> str:
    """Exchange left and right of every picture: the same is measured."""
    compared = 0
    for inputs, result in subject.results():
        other = subject.read(with_loops([_mirrored(loop) for loop in inputs.loops]))
        if isinstance(other, ReadResult):
            compared += same_amounts(result, other, MIRROR_TOLERANCE)
    if not compared:
        raise NotApplicable("nothing was measured in both a loop and its mirror image")
    return f"{compared} measurements compared"


def order_does_not_matter(subject: Subject) -> str:
    """Give the loops of a study in the other order."""
    compared = 0
    for inputs, result in subject.results():
        if len(inputs.loops) < 2:
            continue
        other = subject.read(with_loops(inputs.loops[::-1]))
        require(isinstance(other, ReadResult), "refuses the same loops in another order")
        if isinstance(other, ReadResult):
            require(calls_of(result) == calls_of(other), "the calls depend on the order of the loops")
            compared += 1 + same_amounts(result, other, SAME_TOLERANCE)
    if not compared:
        raise NotApplicable("no sample has two loops that were read")
    return f"{compared} calls and measurements compared"


def with_loops(loops: Sequence[Loop]) -> ReaderInputs:
    """Return a study of these loops."""
    return ReaderInputs(study_of([loop.header for loop in loops]), loops=tuple(loops))


def refused(subject: Subject, loop: Loop, code: ReasonCode) -> str:
    """Require that a study of this loop alone is refused with this code."""
    ending = subject.read(with_loops([loop]))
    if not isinstance(ending, Refusal):
        require(False, f"gave a result instead of a refusal with {code.value}")
        return ""
    require(ending.reason.code is code, f"refused with {ending.reason.code.value}, expected {code.value}")
    return ending.reason.text()


def _mirrored(loop: Loop) -> Loop:
    sector = loop.sector
    if sector is not None:
        width = loop.pixels.shape[2]
        sector = replace(sector, column_min=width - sector.column_max, column_max=width - sector.column_min)
    return replace(loop, pixels=np.ascontiguousarray(loop.pixels[:, :, ::-1]), sector=sector)
