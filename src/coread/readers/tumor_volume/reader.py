"""Volume and diameters of the soft-tissue tumour in a CT field that was cut around it."""

from dataclasses import dataclass, replace

import numpy as np

from coread.domain.cards import ReaderCard
from coread.domain.findings import Finding, Presence, TrackingId
from coread.domain.identifiers import derived_uid
from coread.domain.images import Quantity, Volume
from coread.domain.reading import Arrays, ModelSession, Prepared, ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.imaging.lesion_measuring import VOLUME, measured_lesion
from coread.readers.tumor_volume.field import field_box, field_cube, network_input
from coread.readers.tumor_volume.outlined import GRAPH, INPUT, OUTPUT, Tumor, tumor_of
from coread.readers.tumor_volume.words import KEY, WIDEST_MM
from coread.readers.volumes import reason_against

_NARROWEST_MM = 60.0
_ASK = "outline it from a box instead (coread segment)"


@dataclass(frozen=True, slots=True)
class TumorVolumeReader:
    """See README.md for what it measures and when not to trust it."""

    card: ReaderCard

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Check the volume against the card and the size of its field, and bring it into the network's cube."""
        if not inputs.volumes:
            return Refusal(Reason(ReasonCode.NO_ELIGIBLE, "the study has no volume"))
        volume = inputs.volumes[0]
        reason = reason_against(self.card.input, volume, Quantity.HOUNSFIELD) or _reason_against_field(volume)
        if reason is not None:
            return Refusal(reason)
        image = network_input(volume, field_cube(volume.geometry), None)
        return Prepared({INPUT: image[np.newaxis]}, volume)

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Run the network once over the whole field."""
        return session.run(GRAPH, prepared.arrays)

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Outline and measure the largest piece, or say that none is clear."""
        volume: Volume = prepared.context
        parameters = session.parameters
        tumor = tumor_of(outputs[OUTPUT][0, 0], field_cube(volume.geometry), volume.geometry)
        if tumor is None:
            return Refusal(Reason(ReasonCode.INDETERMINATE, f"no tumour was outlined in the field; {_ASK}"))
        if tumor.certainty < float(parameters["least_certainty"]):
            detail = f"the outline is not clear (share {tumor.certainty:.2f}); {_ASK}"
            return Refusal(Reason(ReasonCode.INDETERMINATE, detail))
        return self._result(session, volume, tumor)

    def _result(self, session: ModelSession, volume: Volume, tumor: Tumor) -> ReadResult:
        spec = self.card.output(KEY)
        series = volume.headers[0].series_instance_uid if volume.headers else "0"
        tracking = TrackingId("soft-tissue tumour", derived_uid(series, session.digest, KEY))
        lesion = measured_lesion(
            volume, tumor.mask, label="Soft-tissue tumour", type_=spec.concept, tracking=tracking
        )  # fmt: skip
        share = float(session.parameters["volume_error_share"])
        measurements = tuple(
            replace(one, uncertainty=max(one.uncertainty or 0.0, share * one.value)) if one.concept == VOLUME else one
            for one in lesion.measurements
        )
        images = lesion.measurements[1].images
        finding = Finding(KEY, spec.concept, Presence.PRESENT, site=spec.site, tracking=tracking, images=images)
        notes = [
            "taken for granted: the field was cut around one soft-tissue tumour. Without one it will outline muscle",
            f"the interval of the volume is the error in 95 % of cross-fitted patients: {share:.0%}",
        ]
        if _touches(tumor):
            notes.append("the outline ends at the border of the field: the tumour may go on beyond it")
        return ReadResult((finding,), measurements, (lesion.region,), notes=tuple(notes))


def reader(card: ReaderCard) -> TumorVolumeReader:
    """Build the reader with its card."""
    return TumorVolumeReader(card)


def _reason_against_field(volume: Volume) -> Reason | None:
    """Refuse fields unlike those that it learnt from: a whole limb or body holds too much else."""
    sides = np.ptp(field_box(volume.geometry), axis=0)
    if sides.max() > WIDEST_MM:
        detail = f"the field is {sides.max():.0f} mm wide; it reads fields cut around one tumour up to {WIDEST_MM:g} mm"
        return Reason(ReasonCode.INDETERMINATE, f"{detail}: {_ASK}")
    if sides.min() < _NARROWEST_MM:
        return Reason(ReasonCode.IMAGE_TOO_SMALL, f"the field is {sides.min():.0f} mm thin")
    return None


def _touches(tumor: Tumor) -> bool:
    return any(bool(tumor.mask.take(end, axis).any()) for axis in range(3) for end in (0, -1))
