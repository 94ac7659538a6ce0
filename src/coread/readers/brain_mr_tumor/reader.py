"""Reads contrast-enhanced T1 slices of the head: marks the tumour and says which of three types it looks like."""

from dataclasses import dataclass, replace

import numpy as np

from coread.domain.calling import absent_finding, called_finding
from coread.domain.cards import OutputSpec, ReaderCard
from coread.domain.findings import Box, Finding, ImageReference, TrackingId
from coread.domain.identifiers import derived_uid
from coread.domain.images import FloatPixels, PlanarImage
from coread.domain.reading import Arrays, ModelSession, Prepared, ReaderInputs
from coread.domain.results import ReadResult, Refusal
from coread.imaging.stretch import Part
from coread.readers.brain_mr_tumor.outputs import BOX, GRAPH, INPUT, TUMOUR, TYPE, TYPES, VIEWS
from coread.readers.brain_mr_tumor.places import mark_of
from coread.readers.brain_mr_tumor.preprocess import View, network_views
from coread.readers.planar import Seen, Skipped, gather, one_against_rest


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What ``interpret`` needs from ``prepare``: of each row of the batch its image and the parts its views show."""

    seen: tuple[Seen, ...]
    parts: tuple[tuple[Part, ...], ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class Marked:
    """A slice with its probability of a tumour and the box."""

    reference: ImageReference
    probability: float
    box: Box | None


@dataclass(frozen=True, slots=True)
class BrainTumorReader:
    """The brain tumour reader; see README.md for what it was measured on and when not to trust it."""

    card: ReaderCard

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Check every slice against the card; refuse only when none is left."""
        views: list[tuple[View, View]] = []

        def made(image: PlanarImage) -> FloatPixels:
            views.append(network_views(image))
            return views[-1][0].pixels

        gathered = gather(self.card, inputs, made)
        if isinstance(gathered, Refusal):
            return gathered
        wholes = np.stack([whole.pixels for _, whole in views])
        parts = tuple((head.part, whole.part) for head, whole in views)
        batch = np.concatenate([gathered.batch, wholes])
        return Prepared({INPUT: batch}, Context(gathered.seen, parts, gathered.skipped))

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Run the network over the heads of the study, then over its whole slices: half the memory of both at once."""
        halves = np.split(prepared.arrays[INPUT], VIEWS)
        said = [session.run(GRAPH, {INPUT: half}) for half in halves]
        return {name: np.concatenate([one[name] for one in said]) for name in said[0]}

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Mark every slice above the threshold; the type is that of the marked slices together."""
        context: Context = prepared.context
        slices = [self._marked(session, context, number, outputs) for number in range(len(context.seen))]
        spec = self.card.output(TUMOUR)
        threshold = spec.operating_point().threshold
        shown = [item for item in slices if item.probability >= threshold and item.box is not None]
        weights = np.array([item.probability for item in slices])
        types = outputs[TYPE].astype(np.float64).reshape(VIEWS, len(slices), -1).mean(axis=0)
        mean = np.average(types, axis=0, weights=weights + 1e-6)
        logits = one_against_rest(mean[np.newaxis])[0]
        findings = [_tumour(session, spec, slices, shown)]
        findings += [
            _typed(session, self.card.output(key), float(logit), shown or slices)
            for key, logit in zip(TYPES, logits, strict=True)
        ]
        return ReadResult(tuple(findings), skipped=context.skipped, notes=_notes(bool(shown)))

    def _marked(self, session: ModelSession, context: Context, number: int, outputs: Arrays) -> Marked:
        maps = outputs[BOX][number :: len(context.seen)]
        mark = mark_of(list(zip(maps, context.parts[number], strict=True)))
        reference = context.seen[number].reference
        box = Box(reference, *mark.box) if mark.box else None
        return Marked(reference, session.calibrate(TUMOUR, mark.logit), box)


def reader(card: ReaderCard) -> BrainTumorReader:
    """Build the reader with its card."""
    return BrainTumorReader(card)


def _tumour(session: ModelSession, spec: OutputSpec, slices: list[Marked], shown: list[Marked]) -> Finding:
    best = max(shown or slices, key=lambda item: item.probability)
    tracking = TrackingId(f"{spec.key} 1", derived_uid(best.reference.sop_instance_uid, session.digest, spec.key))
    images = [item.reference for item in shown or slices]
    if not shown:
        # A slice whose box is empty cannot be marked, so it cannot be called either.
        return replace(absent_finding(spec, highest=best.probability, images=images), tracking=tracking)
    boxes = [item.box for item in shown if item.box is not None]
    return called_finding(
        spec, present=True, probability=best.probability, images=images, tracking=tracking, locations=boxes
    )


def _typed(session: ModelSession, spec: OutputSpec, logit: float, slices: list[Marked]) -> Finding:
    probability = session.calibrate(spec.key, logit)
    present = probability >= spec.operating_point().threshold
    return called_finding(spec, present=present, probability=probability, images=[item.reference for item in slices])


def _notes(marked: bool) -> tuple[str, ...]:
    told = "The type is one of three that the reader knows, given that there is a tumour; it is no histology"
    nothing = "No tumour was marked: how often that is right was never measured (no tumour-free slices were at hand)"
    return (told,) if marked else (told, nothing)
