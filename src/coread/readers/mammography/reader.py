"""Reads mammograms: how suspicious each breast is, where its most suspicious spot lies, how dense it is."""

from dataclasses import dataclass

import numpy as np

from coread.domain.calling import called_finding
from coread.domain.cards import OutputSpec, ReaderCard
from coread.domain.codes import BILATERAL, LEFT, RIGHT, Code
from coread.domain.findings import Box, Finding, Measurement, TrackingId
from coread.domain.identifiers import derived_uid
from coread.domain.images import FloatPixels, PlanarImage
from coread.domain.reading import Arrays, ModelSession, Prepared, ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.readers.mammography.outputs import ABNORMAL, DENSITIES, DENSITY, GRAPH, INPUT, SPOT, SUSPICIOUS
from coread.readers.mammography.places import breast_logit, spot_box
from coread.readers.mammography.preprocess import Breast, network_image
from coread.readers.planar import Seen, Skipped, gather

_DENSITY = Code("129793001", "SCT", "Mammography breast density")
_CLASS = Code("{class}", "UCUM", "class")
_SIDES = {"L": LEFT, "R": RIGHT, "B": BILATERAL}


@dataclass(frozen=True, slots=True)
class View:
    """What ``interpret`` needs of one image from ``prepare``."""

    breast: Breast
    laterality: str


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What ``interpret`` needs from ``prepare``."""

    seen: tuple[Seen, ...]
    views: tuple[View, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """One image with its probability and the box around its most suspicious spot."""

    seen: Seen
    view: View
    probability: float
    box: Box | None


@dataclass(frozen=True, slots=True)
class MammographyReader:
    """The mammography reader; see README.md for what it was measured on and when not to trust it."""

    card: ReaderCard

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Check every image against the card and find its breast; refuse only when none is left."""
        views: list[View] = []

        def made(image: PlanarImage) -> FloatPixels | Reason:
            found = network_image(image)
            if found is None:
                return Reason(ReasonCode.LOW_QUALITY, "no breast can be told from the background")
            views.append(View(found[1], image.header.laterality.upper()[:1]))
            return found[0]

        gathered = gather(self.card, inputs, made)
        if isinstance(gathered, Refusal):
            return gathered
        return Prepared({INPUT: gathered.batch}, Context(gathered.seen, tuple(views), gathered.skipped))

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Run the network over the images of the study."""
        return session.run(GRAPH, prepared.arrays)

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Give the finding, present when any image is at or above the threshold, and a density for each image."""
        context: Context = prepared.context
        spec = self.card.output(SUSPICIOUS)
        judged: list[Judged] = []
        measurements: list[Measurement] = []
        notes: list[str] = []
        for seen, view in zip(context.seen, context.views, strict=True):
            spot = outputs[SPOT][seen.number, 0]
            logit = breast_logit(float(outputs[ABNORMAL][seen.number, 0]), spot)
            place = view.breast.box(spot_box(spot))
            box = Box(seen.reference, *place) if place else None
            judged.append(Judged(seen, view, session.calibrate(SUSPICIOUS, logit), box))
            number = int(np.argmax(outputs[DENSITY][seen.number]))
            measurements.append(Measurement(_DENSITY, float(number + 1), _CLASS, images=(seen.reference,)))
            name = f"Image {seen.number + 1} of {len(context.seen)}: " if len(context.seen) > 1 else ""
            notes.append(f"{name}density class {number + 1} of {len(DENSITIES)}, {DENSITIES[number]} (MIAS classes)")
        finding = _finding(session, spec, judged)
        return ReadResult((finding,), tuple(measurements), skipped=context.skipped, notes=tuple(notes))


def reader(card: ReaderCard) -> MammographyReader:
    """Build the reader with its card."""
    return MammographyReader(card)


def _finding(session: ModelSession, spec: OutputSpec, judged: list[Judged]) -> Finding:
    point = spec.operating_point()
    shown = [item for item in judged if item.probability >= point.threshold]
    best = max(judged, key=lambda item: item.probability)
    uid = derived_uid(best.seen.reference.sop_instance_uid, session.digest, spec.key)
    return called_finding(
        spec,
        present=bool(shown),
        probability=best.probability,
        images=[item.seen.reference for item in shown or judged],
        tracking=TrackingId(f"{spec.key} 1", uid),
        locations=[item.box for item in shown if item.box is not None],
        laterality=_laterality(shown),
    )


def _laterality(shown: list[Judged]) -> Code | None:
    """Say the side only where every marked image states it."""
    sides = {_SIDES.get(item.view.laterality) for item in shown}
    if not sides or None in sides:
        return None
    return sides.pop() if len(sides) == 1 else BILATERAL
