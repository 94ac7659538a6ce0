"""Reads colonoscopy frames: outlines every polyp that it sees, with a box and a mask."""

from dataclasses import dataclass

import numpy as np

from coread.domain.calling import absent_finding, called_finding
from coread.domain.cards import OutputSpec, ReaderCard
from coread.domain.codes import Code
from coread.domain.findings import Box, Finding, ImageReference, Region, TrackingId
from coread.domain.identifiers import derived_uid
from coread.domain.images import FloatPixels, PlanarImage
from coread.domain.reading import Arrays, ModelSession, Prepared, ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.imaging.stretch import Part, stretched_image
from coread.readers.colon_polyp.outputs import AREA, GRAPH, INPUT, POLYP, SIDE
from coread.readers.colon_polyp.places import Lesion, highest_logit, lesions_of
from coread.readers.planar import Seen, Skipped, gather

_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_NEVER_MEASURED = (
    "Every frame that it was measured on shows a polyp: how often a frame without one is marked is unknown"
)


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What ``interpret`` needs from ``prepare``."""

    seen: tuple[Seen, ...]
    parts: tuple[Part, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A lesion on its frame with its calibrated probability."""

    reference: ImageReference
    lesion: Lesion
    probability: float


@dataclass(frozen=True, slots=True)
class PolypReader:
    """The polyp reader; see README.md for what it was measured on and when not to trust it."""

    card: ReaderCard

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Check every frame against the card; grey ones are refused: colour is half of what a polyp looks like."""
        parts: list[Part] = []

        def made(image: PlanarImage) -> FloatPixels | Reason:
            if image.colour is None:
                return Reason(ReasonCode.PIXEL_MEANING, "a colour frame is needed, this one is grey")
            if not np.isfinite(image.colour).all():
                return Reason(ReasonCode.PIXELS_NOT_FINITE)
            pixels, part = stretched_image(image, SIDE, colour=True)
            parts.append(part)
            return pixels

        gathered = gather(self.card, inputs, made)
        if isinstance(gathered, Refusal):
            return gathered
        return Prepared({INPUT: gathered.batch}, Context(gathered.seen, tuple(parts), gathered.skipped))

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Run the network over the frames, upright and upside down: an endoscope has no upright."""
        frames = prepared.arrays[INPUT]
        upright = session.run(GRAPH, {INPUT: frames})[AREA]
        turned = session.run(GRAPH, {INPUT: np.ascontiguousarray(frames[..., ::-1, :])})[AREA]
        return {AREA: (upright + turned[..., ::-1, :]) / 2}

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Give one finding for each polyp at or above the threshold, else one that is absent."""
        context: Context = prepared.context
        spec = self.card.output(POLYP)
        threshold = spec.operating_point().threshold
        found: list[Found] = []
        highest = 0.0
        for seen, part in zip(context.seen, context.parts, strict=True):
            area = outputs[AREA][seen.number, 0]
            lesions = lesions_of(area, part)
            for lesion in lesions:
                found.append(Found(seen.reference, lesion, session.calibrate(POLYP, lesion.logit)))
            unsure = session.calibrate(POLYP, min(highest_logit(area), 0.0))
            highest = max([highest, *(item.probability for item in found)] if lesions else [highest, unsure])
        shown = sorted((item for item in found if item.probability >= threshold), key=lambda item: -item.probability)
        if not shown:
            absent = absent_finding(spec, highest=highest, images=[item.reference for item in context.seen])
            return ReadResult((absent,), skipped=context.skipped, notes=(_NEVER_MEASURED,))
        findings, regions = zip(*(_present(session, spec, item, n) for n, item in enumerate(shown, 1)), strict=True)
        return ReadResult(findings, regions=regions, skipped=context.skipped, notes=(_NEVER_MEASURED,))


def reader(card: ReaderCard) -> PolypReader:
    """Build the reader with its card."""
    return PolypReader(card)


def _present(session: ModelSession, spec: OutputSpec, item: Found, number: int) -> tuple[Finding, Region]:
    uid = derived_uid(item.reference.sop_instance_uid, str(item.reference.frame), session.digest, spec.key, str(number))
    tracking = TrackingId(f"{spec.key} {number}", uid)
    finding = called_finding(
        spec,
        present=True,
        probability=item.probability,
        images=(item.reference,),
        tracking=tracking,
        locations=(Box(item.reference, *item.lesion.box),),
    )
    region = Region(
        label="Polyp",
        category=_ABNORMAL,
        type=spec.concept,
        mask=item.lesion.mask,
        images=(item.reference,),
        tracking=TrackingId(f"{spec.key} {number} outline", derived_uid(uid, "outline")),
    )
    return finding, region
