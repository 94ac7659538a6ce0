"""Reads frontal chest radiographs: checks each image, runs the network, turns logits and maps into findings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.calling import absent_finding, called_finding
from coread.domain.cards import OutputSpec, ReaderCard
from coread.domain.codes import BILATERAL, LEFT, RIGHT, Code
from coread.domain.findings import Box, Finding, HeatMap, ImageReference, TrackingId
from coread.domain.identifiers import derived_uid
from coread.domain.images import PlanarImage
from coread.domain.reading import Arrays, ModelSession, Prepared, ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.readers.chest_xray.outputs import FINDINGS, GATE, GRAPH, INPUT, MIDLINE, ONE_SIDED, SIDE
from coread.readers.chest_xray.places import Place, frame_heat, place_of
from coread.readers.chest_xray.preprocess import Window, network_image
from coread.readers.planar import Skipped, one_against_rest, reason_against, reference_to, refusal_of

GATE_REASONS = {
    "other": (ReasonCode.NOT_CHEST, ""),
    "inverted": (ReasonCode.INVERTED, "the image looks like a negative"),
    "child": (ReasonCode.WRONG_AGE, "the image looks like a child's chest"),
    "turned": (ReasonCode.WRONG_VIEW, "the image looks turned by 90 or 180 degrees"),
}
_SURE = 0.5
"""Probability of ``gate`` (calibrated, so that the wanted share of good images passes) below which is refused."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One image as the network saw it; ``number`` is its row in the batch."""

    number: int
    reference: ImageReference
    shape: tuple[int, int]
    window: Window
    sided: bool
    """Whether left and right of the image can be told: not when its header says that it is shown another way."""


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What ``interpret`` needs from ``prepare``."""

    seen: tuple[Seen, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class ChestReader:
    """The chest radiograph reader; see README.md for what it looks for and when not to trust it."""

    card: ReaderCard

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Check every image against the card; refuse only when none is left."""
        seen: list[Seen] = []
        skipped: list[Skipped] = []
        rows: list[NDArray[np.float32]] = []
        for image in inputs.images:
            reason = reason_against(self.card.input, image)
            if reason is not None:
                skipped.append((reference_to(image), reason))
                continue
            pixels, window = network_image(image.pixels, image.valid, SIDE)
            shape = (image.pixels.shape[0], image.pixels.shape[1])
            seen.append(Seen(len(rows), reference_to(image), shape, window, _shown_frontally(image)))
            rows.append(pixels)
        if len(seen) > self.card.input.max_images:
            return refusal_of(skipped, f"{len(seen)} images, at most {self.card.input.max_images} are read")
        if not seen:
            return refusal_of(skipped, "the study has no planar image")
        return Prepared({INPUT: np.stack(rows)[:, None]}, Context(tuple(seen), tuple(skipped)))

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Run the network over the images of the study."""
        return session.run(GRAPH, prepared.arrays)

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Refuse images that do not look right; a finding is present when it is present in any image."""
        context: Context = prepared.context
        read: list[Seen] = []
        skipped = list(context.skipped)
        for seen in context.seen:
            reason = _gate_reason(session, outputs["gate"][seen.number])
            if reason is None:
                read.append(seen)
            else:
                skipped.append((seen.reference, reason))
        if not read:
            return refusal_of(skipped, "no image passed the input gate")
        findings = tuple(self._finding(session, spec, read, outputs) for spec in self.card.outputs)
        notes = tuple(_view_note(session, seen, outputs, len(read)) for seen in read)
        return ReadResult(findings, skipped=tuple(skipped), notes=notes)

    def _finding(self, session: ModelSession, spec: OutputSpec, read: Sequence[Seen], outputs: Arrays) -> Finding:
        channel = FINDINGS.index(spec.key)
        point = spec.operating_point()
        logits = outputs["logits"][:, channel]
        probability = {seen.number: session.calibrate(spec.key, float(logits[seen.number])) for seen in read}
        present = [seen for seen in read if probability[seen.number] >= point.threshold]
        highest = max(probability.values())
        if not present:
            return absent_finding(spec, highest=highest, images=[seen.reference for seen in read])
        best = max(present, key=lambda seen: probability[seen.number])
        places = [(seen, place_of(outputs["maps"][seen.number, channel], seen.window)) for seen in present]
        heat = [
            HeatMap(seen.reference, frame_heat(outputs["maps"][seen.number, channel], seen.window, seen.shape))
            for seen in present
        ]
        uid = derived_uid(best.reference.sop_instance_uid, session.digest, spec.key)
        return called_finding(
            spec,
            present=True,
            probability=highest,
            images=[seen.reference for seen in present],
            tracking=TrackingId(f"{spec.key} 1", uid),
            locations=[_box(seen, place) for seen, place in places],
            laterality=_laterality(spec.key, places),
            heat_maps=heat,
        )


def reader(card: ReaderCard) -> ChestReader:
    """Build the reader with its card."""
    return ChestReader(card)


def _gate_reason(session: ModelSession, logits: NDArray[np.float32]) -> Reason | None:
    """Compare the chest class with all others together; name the likeliest other class when it loses."""
    chest = GATE.index("frontal_chest")
    if session.calibrate("gate", float(one_against_rest(logits[np.newaxis])[0, chest])) >= _SURE:
        return None
    named = [name for name in GATE if name != "frontal_chest"]
    likeliest = named[int(np.argmax(np.delete(logits, chest)))]
    code, detail = GATE_REASONS[likeliest]
    return Reason(code, detail)


def _box(seen: Seen, place: Place) -> Box:
    return Box(seen.reference, place.column_min, place.row_min, place.column_max, place.row_max)


def _shown_frontally(image: PlanarImage) -> bool:
    """Check that rows run to the patient's left where Patient Orientation says so at all (PS3.3 C.7.6.1.1.1)."""
    stated = image.header.patient_orientation
    return not stated or stated[0].upper().startswith("L")


def _laterality(key: str, places: Sequence[tuple[Seen, Place]]) -> Code | None:
    """Say the side only when every box lies clearly on one: image left is the patient's right (frontal display).

    An image whose header says another display gets no side: either the header or the picture would be believed wrongly.
    """
    if key not in ONE_SIDED:
        return None
    sides: set[Code | None] = set()
    for seen, place in places:
        if not seen.sided:
            sides.add(None)
        elif place.right_edge <= 0.5 + MIDLINE and place.centre < 0.5 - MIDLINE:
            sides.add(RIGHT)
        elif place.left_edge >= 0.5 - MIDLINE and place.centre > 0.5 + MIDLINE:
            sides.add(LEFT)
        else:
            sides.add(None)
    if len(sides) == 1:
        return sides.pop()
    return BILATERAL if sides == {LEFT, RIGHT} else None


def _view_note(session: ModelSession, seen: Seen, outputs: Arrays, read: int) -> str:
    anteroposterior = session.calibrate("view", float(outputs["view"][seen.number, 0]))
    view, probability = ("AP", anteroposterior) if anteroposterior >= 0.5 else ("PA", 1 - anteroposterior)
    name = f"Image {seen.number + 1} of {read}: " if read > 1 else ""
    return f"{name}view looks {view} (probability {probability:.2f})"
