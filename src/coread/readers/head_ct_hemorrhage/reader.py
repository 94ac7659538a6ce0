"""Reads non-contrast CT of the head for triage: is there blood inside the skull, and which slices are suspect."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.calling import called_finding
from coread.domain.cards import ReaderCard
from coread.domain.findings import ImageReference, Measurement
from coread.domain.images import Quantity, Volume
from coread.domain.reading import Arrays, ModelSession, Prepared, ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.readers.head_ct_hemorrhage.axial import AxialSlices, axial_slices
from coread.readers.head_ct_hemorrhage.blood import Blood, Grid, blood_in
from coread.readers.head_ct_hemorrhage.contrast import stated_contrast
from coread.readers.head_ct_hemorrhage.coverage import coverage_of
from coread.readers.head_ct_hemorrhage.outputs import (
    ANY,
    BLOOD_VOLUME,
    GRAPH,
    INPUT,
    MIDLINE_SHIFT,
    ML,
    MM,
    PLACE_HEAD,
    SIDE,
    SKULL,
    TYPE_HEAD,
    TYPES,
)
from coread.readers.head_ct_hemorrhage.preprocess import (
    HeadSlices,
    brain_of,
    head_slices,
    network_input,
    slices_with_brain,
    windowed,
)
from coread.readers.head_ct_hemorrhage.scores import carrying, place_probabilities, slice_logits, study_logit
from coread.readers.head_ct_hemorrhage.shift import HALF_WIDTH_MM as SHIFT_HALF_WIDTH_MM
from coread.readers.head_ct_hemorrhage.shift import midline_shift
from coread.readers.volumes import reason_against

LEAST_BRAIN_SLICES = 5
_TOGETHER = 16
_ORIENTATION = "slices counted from the feet"


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """What the findings point at."""

    slices: AxialSlices
    head: HeadSlices
    numbers: dict[str, int | None]
    """Instance Number by SOP Instance UID, for the words of the note."""
    changes: tuple[str, ...]
    cut: str
    """Where the scan stops inside the brain, in words; empty where it does not."""

    @property
    def grid(self) -> Grid:
        """Size of the network's pixels."""
        return Grid(self.head.square.side * self.slices.pixel_mm / SIDE, self.slices.spacing_mm)


@dataclass(frozen=True, slots=True)
class HeadCtHaemorrhageReader:
    """The reader of head CT; see README.md for what it looks for and when not to trust it."""

    card: ReaderCard

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Check the volume against the card and cut its slices to the head."""
        if not inputs.volumes:
            return Refusal(Reason(ReasonCode.NO_ELIGIBLE, "the study has no volume"))
        volume = inputs.volumes[0]
        slices = _checked(self.card, volume)
        if isinstance(slices, Reason):
            return Refusal(slices)
        head = head_slices(windowed(slices.hu), SIDE)
        if head is None:
            return Refusal(Reason(ReasonCode.WRONG_BODY_PART, "no head is seen"))
        brain = slices_with_brain(head.slices)
        if brain.sum() < LEAST_BRAIN_SLICES:
            seen = f"a closed skull around brain is seen in {brain.sum()} slices"
            return Refusal(Reason(ReasonCode.WRONG_BODY_PART, f"{seen}, at least {LEAST_BRAIN_SLICES} are needed"))
        numbers = {header.sop_instance_uid: header.instance_number for header in volume.headers}
        cut = coverage_of(head.slices, brain).words()
        return Prepared({INPUT: network_input(head.slices)}, _Read(slices, head, numbers, volume.changes, cut))

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Run the network over the slices, some at a time."""
        given = prepared.arrays[INPUT]
        parts = [session.run(GRAPH, {INPUT: given[at : at + _TOGETHER]}) for at in range(0, len(given), _TOGETHER)]
        return {name: np.concatenate([part[name] for part in parts]) for name in (PLACE_HEAD, TYPE_HEAD)}

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Call haemorrhage over the study; name the slices that carry the score, and put no mark on any image.

        Where the scan stops inside the brain, blood that is seen is called and its absence is not.
        """
        read: _Read = prepared.context
        spec = self.card.output(ANY)
        places = place_probabilities(outputs[PLACE_HEAD])
        said = slice_logits(places)
        probability = session.calibrate(ANY, study_logit(said))
        top = carrying(said)
        present = probability >= spec.operating_point().threshold
        if read.cut and not present:
            detail = f"{read.cut}; nothing is suspected in the part that is seen"
            return Refusal(Reason(ReasonCode.INDETERMINATE, detail))
        finding = called_finding(spec, present=present, probability=probability, images=_images(read.slices, top))
        if not present:
            return ReadResult((finding,), notes=read.changes)
        blood, shift = measured(read.head, places, read.grid)
        kind = _kind(np.asarray(outputs[TYPE_HEAD], dtype=np.float64)[top])
        cut = (f"Only part was seen: {read.cut}.",) if read.cut else ()
        notes = (*read.changes, *cut, _where(read, top, blood), kind, _sizes(blood, shift))
        return ReadResult((finding,), _measurements(blood, shift), notes=notes)


def reader(card: ReaderCard) -> HeadCtHaemorrhageReader:
    """Build the reader with its card."""
    return HeadCtHaemorrhageReader(card)


def _checked(card: ReaderCard, volume: Volume) -> AxialSlices | Reason:
    reason = reason_against(card.input, volume, Quantity.HOUNSFIELD)
    if reason is not None:
        return reason
    if volume.headers and (words := stated_contrast(volume.headers[0])):
        return Reason(ReasonCode.WRONG_CONTRAST, f"the series is described with {words!r}")
    return axial_slices(volume)


def _images(slices: AxialSlices, rows: Sequence[int]) -> tuple[ImageReference, ...]:
    return tuple(dict.fromkeys(image for row in rows for image in slices.sources[row]))


def measured(head: HeadSlices, places: NDArray[np.float32], grid: Grid) -> tuple[Blood | None, float | None]:
    """Return the blood where it is likely, and mm by which the middle of the brain is pushed to the patient's left."""
    brains = [brain_of(one) for one in head.slices]
    return blood_in(head.slices, places, grid), midline_shift(head.slices, brains, grid.pixel_mm)


def _measurements(blood: Blood | None, shift: float | None) -> tuple[Measurement, ...]:
    found = []
    if blood is not None:
        found.append(Measurement(BLOOD_VOLUME, blood.volume_ml, ML, blood.half_width_ml(), site=SKULL))
    if shift is not None:
        found.append(Measurement(MIDLINE_SHIFT, abs(shift), MM, SHIFT_HALF_WIDTH_MM, site=SKULL))
    return tuple(found)


def _sizes(blood: Blood | None, shift: float | None) -> str:
    volume = "Volume not measured: no place is likely enough." if blood is None else f"About {blood.volume_ml:.1f} ml."
    if shift is None:
        return f"{volume} Midline shift not measured: ventricles or midline not clear."
    side = "" if abs(shift) < 1 else " to the left" if shift > 0 else " to the right"
    return f"{volume} Midline shift {abs(shift):.0f} mm{side}."


def _where(read: _Read, top: Sequence[int], blood: Blood | None) -> str:
    """Name the slices by Instance Number, or by their place where the objects have none."""
    words = []
    for row in top:
        numbers = [read.numbers.get(image.sop_instance_uid) for image in read.slices.sources[row]]
        known = [number for number in numbers if number is not None]
        words.append(_range(known) if known else f"{row + 1} ({_ORIENTATION})")
    side = f", {blood.place()}" if blood is not None else ""
    return f"Suspected in images {', '.join(words)}{side}; nothing is marked: look at the whole series."


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}-{high}"


def _kind(logits: NDArray[Any]) -> str:
    """Say which type the network finds likeliest in the slices that carry the score, (slices, types)."""
    likeliest = TYPES[int(np.argmax(logits.mean(axis=0)))]
    return f"Likeliest type for the network: {likeliest}. Types were learnt from few patients: a hint, not a finding."
