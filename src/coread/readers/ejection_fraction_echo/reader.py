"""Ejection fraction of the left ventricle from apical echo loops, method of discs; trained on simulated loops only."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import InputContract, ReaderCard
from coread.domain.findings import ImageReference
from coread.domain.images import Loop, Quantity
from coread.domain.reading import Arrays, ModelSession, Prepared, ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.readers.ejection_fraction_echo.discs import calibrated, outline_of
from coread.readers.ejection_fraction_echo.outputs import AREA, ATRIUM, CAVITY, GRAPH
from coread.readers.ejection_fraction_echo.picture import Fit, fit_of, pictures_of
from coread.readers.ejection_fraction_echo.report import View, found_in, reported, seen_view
from coread.readers.planar import header_reason

_BATCH = 16
_FLAT = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """The loops in the order of the batch, and those that are not read."""

    loops: tuple[tuple[Loop, Fit], ...]
    skipped: tuple[tuple[ImageReference, Reason], ...]


@dataclass(frozen=True, slots=True)
class EchoEjectionFractionReader:
    """See README.md for what it measures and when not to trust it."""

    card: ReaderCard

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Check each loop against the card and fit its sector into the network's picture."""
        kept: list[Loop] = []
        skipped: list[tuple[ImageReference, Reason]] = []
        for loop in sorted(inputs.loops, key=lambda one: (one.view != "A4C", one.view)):
            reason = reason_against(self.card.input, loop, [one.view for one in kept])
            if reason is None:
                kept.append(loop)
            else:
                skipped.append((_whole(loop), reason))
        if not kept:
            reason = skipped[0][1] if skipped else Reason(ReasonCode.NO_ELIGIBLE, "the study has no apical loop")
            return Refusal(reason, tuple(skipped))
        loops = tuple((loop, fit_of(loop)) for loop in kept)
        pictures = [pictures_of(loop, fit) for loop, fit in loops]
        return Prepared({"image": np.concatenate(pictures)}, Context(loops, tuple(skipped)))

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Return ``shares`` (frames of all loops, classes, ROWS, COLUMNS) float32."""
        images = np.asarray(prepared.arrays["image"], dtype=np.float32)
        parts = [
            _shares(session.run(GRAPH, {"image": images[at : at + _BATCH]})[AREA])
            for at in range(0, len(images), _BATCH)
        ]
        return {"shares": np.concatenate(parts)}

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Outline the ventricle in every frame, find the beats, sum the discs."""
        context: Context = prepared.context
        shares, at = np.asarray(outputs["shares"]), 0
        views: list[View] = []
        skipped = list(context.skipped)
        line = float(session.parameters["diameter_slope"]), float(session.parameters["diameter_offset"])
        for loop, fit in context.loops:
            own = shares[at : at + len(loop.pixels)]
            at += len(loop.pixels)
            outlines = [calibrated(outline_of(one[CAVITY], one[ATRIUM]), *line) for one in own]
            view = seen_view(loop, fit, own[:, CAVITY], outlines)
            if isinstance(view, Reason):
                skipped.append((_whole(loop), view))
            else:
                views.append(view)
        if not views:
            return Refusal(skipped[-1][1], tuple(skipped))
        found = found_in(views, session.parameters)
        if isinstance(found, Reason):
            return Refusal(found, tuple(skipped))
        result = reported(self.card, views, found, session.parameters)
        return replace(result, skipped=tuple(skipped))


def reader(card: ReaderCard) -> EchoEjectionFractionReader:
    """Build the reader with its card."""
    return EchoEjectionFractionReader(card)


def reason_against(contract: InputContract, loop: Loop, taken: list[str]) -> Reason | None:
    """Return why the card excludes this loop, or ``None``: header, meaning, view, length, size, content."""
    if (reason := header_reason(contract, loop.header)) is not None:
        return reason
    if loop.quantity is not Quantity.DISPLAY:
        return Reason(ReasonCode.PIXEL_MEANING, f"display values are needed, got {loop.quantity.value}")
    if loop.view not in contract.views:
        return Reason(ReasonCode.WRONG_VIEW, loop.view or "the loop does not say which view it is")
    if loop.view in taken:
        return Reason(ReasonCode.SEVERAL_VOLUMES, f"another loop of the view {loop.view} was read")
    frames, rows, columns = loop.pixels.shape
    if frames < contract.min_images:
        return Reason(ReasonCode.TOO_FEW_IMAGES, f"{frames} frames, at least {contract.min_images} are needed")
    if frames > contract.max_images or rows * columns > contract.max_pixels:
        return Reason(ReasonCode.IMAGE_TOO_LARGE, f"{frames} frames of {rows} x {columns}")
    if rows < contract.min_rows or columns < contract.min_columns:
        return Reason(ReasonCode.IMAGE_TOO_SMALL, f"{rows} x {columns}")
    if not np.isfinite(loop.pixels).all():
        return Reason(ReasonCode.PIXELS_NOT_FINITE)
    if float(np.ptp(loop.pixels)) < _FLAT:
        return Reason(ReasonCode.PIXELS_CONSTANT)
    return None


def _whole(loop: Loop) -> ImageReference:
    header = loop.header
    return ImageReference(header.sop_class_uid, header.sop_instance_uid, header.series_instance_uid)


def _shares(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)
