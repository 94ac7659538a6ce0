"""Bone density of T12 to L5 and height loss from any CT of the abdomen; calculated, no network."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import ReaderCard
from coread.domain.images import Quantity, Volume
from coread.domain.reading import Arrays, ModelSession, Prepared, ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.readers.bone_density.anchors import Numbering
from coread.readers.bone_density.frame import STEP_MM, Field, on_working_grid, working_grid
from coread.readers.bone_density.report import Seen, reported
from coread.readers.bone_density.spine import analysed
from coread.readers.volumes import reason_against

_MARGIN_MM = 3.0
_MOST_WORKING_VOXELS = 60_000_000
_WHY = {
    Numbering.NO_COLUMN: "the lumbar spine is not in the field or not recognised",
    Numbering.NO_RIBS: "no last pair of ribs in the field: the vertebrae cannot be numbered from above",
    Numbering.NO_SACRUM: "no sacrum in the field: the vertebrae cannot be numbered from below",
}


@dataclass(frozen=True, slots=True)
class BoneDensityReader:
    """See README.md for what it measures and when not to trust it."""

    card: ReaderCard

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Check the volume against the card and bring it onto a grid along the patient's axes."""
        if not inputs.volumes:
            return Refusal(Reason(ReasonCode.NO_ELIGIBLE, "the study has no volume"))
        volume = inputs.volumes[0]
        reason = reason_against(self.card.input, volume, Quantity.HOUNSFIELD)
        if reason is not None:
            return Refusal(reason)
        grid = working_grid(volume.geometry)
        if int(np.prod(grid.shape)) > _MOST_WORKING_VOXELS:
            return Refusal(Reason(ReasonCode.IMAGE_TOO_LARGE, f"{grid.shape} voxels of {STEP_MM:g} mm"))
        arrays = {
            "hounsfield": on_working_grid(volume, grid)[np.newaxis],
            "step_mm": np.array([STEP_MM]),
            "margin_mm": np.array([_MARGIN_MM + _along_body_mm(volume) / 2]),
        }
        return Prepared(arrays, Seen(volume, grid))

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Find and measure; see ``spine.analysed`` for the arrays."""
        arrays = prepared.arrays
        field = Field(np.asarray(arrays["hounsfield"][0], dtype=np.float32), float(arrays["step_mm"][0]))
        return analysed(field, float(arrays["margin_mm"][0]), session.parameters)

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Turn places into values of the source voxels, findings and regions, or say why the spine was not numbered."""
        outcome = Numbering(int(outputs["outcome"][0]))
        if outcome is Numbering.CONTRADICTION:
            between = int(outputs["outcome"][1])
            detail = (
                f"{between} vertebrae counted between the last ribs and the sacrum, or the sides differ; 5 are needed"
            )
            return Refusal(Reason(ReasonCode.INDETERMINATE, detail))
        if outcome is not Numbering.COUNTED:
            return Refusal(Reason(ReasonCode.INDETERMINATE, _WHY[outcome]))
        return reported(self.card, session, prepared.context, outputs)


def reader(card: ReaderCard) -> BoneDensityReader:
    """Build the reader with its card."""
    return BoneDensityReader(card)


def _along_body_mm(volume: Volume) -> float:
    """Return the spacing of the axis that runs most along the body."""
    steps: NDArray[np.float64] = np.abs(volume.geometry.matrix()[2, :3])
    return float(volume.geometry.spacing_mm()[int(steps.argmax())])


__all__ = ["BoneDensityReader", "reader"]
