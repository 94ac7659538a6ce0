"""Reads crops of lung CT slices around a nodule: draws its outline and measures area and longest diameter."""

from dataclasses import dataclass

import numpy as np

from coread.domain.calling import absent_finding, called_finding
from coread.domain.cards import OutputSpec, ReaderCard
from coread.domain.codes import Code
from coread.domain.findings import Box, Finding, ImageReference, Measurement, Region, TrackingId
from coread.domain.geometry import Geometry
from coread.domain.identifiers import derived_uid
from coread.domain.images import FloatPixels, PlanarImage
from coread.domain.reading import Arrays, ModelSession, Prepared, ReaderInputs
from coread.domain.results import ReadResult, Refusal
from coread.imaging.stretch import Part, stretched_image
from coread.readers.lung_nodule_segmentation.outputs import AREA, GRAPH, INPUT, LABEL, NODULE, SIDE
from coread.readers.lung_nodule_segmentation.places import Outline, longest_diameter, outline_of
from coread.readers.planar import Seen, Skipped, gather

_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_AREA = Code("42798000", "SCT", "Area")
_DIAMETER = Code("81827009", "SCT", "Diameter")
_PIXELS = Code("{pixels}", "UCUM", "pixels")
_SQUARE_MM = Code("mm2", "UCUM", "square millimeter")
_MM = Code("mm", "UCUM", "millimeter")


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """What ``interpret`` needs of one image from ``prepare``."""

    part: Part
    spacing_mm: tuple[float, float] | None
    geometry: Geometry | None


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What ``interpret`` needs from ``prepare``."""

    seen: tuple[Seen, ...]
    crops: tuple[Crop, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One outline on its image with its calibrated probability."""

    reference: ImageReference
    crop: Crop
    outline: Outline
    probability: float


@dataclass(frozen=True, slots=True)
class NoduleSegmentationReader:
    """The nodule outlining reader; see README.md for what it was measured on and when not to trust it."""

    card: ReaderCard

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Check every crop against the card; refuse only when none is left."""
        crops: list[Crop] = []

        def made(image: PlanarImage) -> FloatPixels:
            pixels, part = stretched_image(image, SIDE)
            crops.append(Crop(part, image.spacing_mm, image.geometry))
            return pixels

        gathered = gather(self.card, inputs, made)
        if isinstance(gathered, Refusal):
            return gathered
        return Prepared({INPUT: gathered.batch}, Context(gathered.seen, tuple(crops), gathered.skipped))

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Run the network over the crops."""
        return session.run(GRAPH, prepared.arrays)

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Give one finding with its outline for each crop at or above the threshold, else one that is absent."""
        context: Context = prepared.context
        spec = self.card.output(NODULE)
        threshold = spec.operating_point().threshold
        drawn: list[Drawn] = []
        for seen, crop in zip(context.seen, context.crops, strict=True):
            outline = outline_of(outputs[AREA][seen.number, 0], crop.part)
            drawn.append(Drawn(seen.reference, crop, outline, session.calibrate(NODULE, outline.logit)))
        shown = [item for item in drawn if item.probability >= threshold and item.outline.mask.any()]
        shown.sort(key=lambda item: -item.probability)  # not in the order in which the crops came
        if not shown:
            highest = max(item.probability for item in drawn)
            images = [item.reference for item in context.seen]
            return ReadResult((absent_finding(spec, highest=highest, images=images),), skipped=context.skipped)
        findings, regions, measurements = [], [], []
        for number, item in enumerate(shown, start=1):
            finding, region = _present(session, spec, item, number)
            findings.append(finding)
            regions.append(region)
            measurements += _measured(item, region)
        return ReadResult(tuple(findings), tuple(measurements), tuple(regions), context.skipped)


def reader(card: ReaderCard) -> NoduleSegmentationReader:
    """Build the reader with its card."""
    return NoduleSegmentationReader(card)


def _present(session: ModelSession, spec: OutputSpec, item: Drawn, number: int) -> tuple[Finding, Region]:
    image = item.reference
    uid = derived_uid(image.sop_instance_uid, str(image.frame), session.digest, spec.key)
    mask = item.outline.mask
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = Box(image, float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    name = TrackingId(f"{spec.key} {number}", uid)
    finding = called_finding(
        spec, present=True, probability=item.probability, images=(image,), tracking=name, locations=(box,)
    )
    tracking = TrackingId(f"{spec.key} {number} outline", derived_uid(uid, "outline"))
    return finding, Region(LABEL, _ABNORMAL, spec.concept, mask, (image,), tracking, item.crop.geometry)


def _measured(item: Drawn, region: Region) -> list[Measurement]:
    """Return area and longest diameter in mm where the crop states square pixels, else the area alone."""
    count = float(item.outline.mask.sum())
    spacing = item.crop.spacing_mm
    if spacing is None:
        return [Measurement(_AREA, count, _PIXELS, tracking=region.tracking, images=region.images)]
    area = Measurement(
        _AREA, round(count * spacing[0] * spacing[1], 3), _SQUARE_MM, tracking=region.tracking, images=region.images
    )
    if abs(spacing[0] - spacing[1]) > 1e-3 * spacing[0]:
        return [area]
    longest = round(longest_diameter(item.outline.mask) * spacing[0], 3)
    return [area, Measurement(_DIAMETER, longest, _MM, tracking=region.tracking, images=region.images)]
