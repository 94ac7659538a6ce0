"""The network on a box that a person drew: what it may be asked, what it answers, where it was measured better."""

from dataclasses import dataclass

import numpy as np

from coread.domain.boxed import BoxAnswer, BoxMeasured
from coread.domain.cards import ReaderCard
from coread.domain.images import Quantity, Volume
from coread.domain.reading import ModelSession
from coread.domain.reasons import Reason, ReasonCode
from coread.readers.planar import header_reason
from coread.readers.tumor_volume.field import Doubles
from coread.readers.tumor_volume.outlined import tumor_in_box


@dataclass(frozen=True, slots=True)
class BoxedTumor:
    """The box mode of the tumour network; every number lies in the package's ``parameters.json`` under ``box``."""

    card: ReaderCard

    def reason_against(self, session: ModelSession, volume: Volume, box_mm: Doubles) -> Reason | None:
        """Refuse another modality or part of the body, and boxes smaller or larger than those that it learnt from."""
        if volume.headers and (reason := header_reason(self.card.input, volume.headers[0])) is not None:
            return reason
        if volume.quantity is not Quantity.HOUNSFIELD:
            return Reason(ReasonCode.PIXEL_MEANING, f"Hounsfield units are needed, got {volume.quantity.value}")
        if not np.isfinite(volume.voxels).all():
            return Reason(ReasonCode.PIXELS_NOT_FINITE)
        if "box" not in session.parameters:
            return Reason(ReasonCode.READER_DISABLED, "the package that is switched on states nothing of boxes")
        low, high = (float(end) for end in session.parameters["box"]["longest_mm"])
        longest = float(np.ptp(box_mm, axis=0).max())
        if not low <= longest <= high:
            detail = f"the box is {longest:.0f} mm long; the network learnt from lesions of {low:.0f} to {high:.0f} mm"
            return Reason(ReasonCode.BAD_PROMPT, detail)
        return None

    def answer(self, session: ModelSession, volume: Volume, box_mm: Doubles) -> BoxAnswer | None:
        """Return what the network has inside the box, as one piece."""
        tumor = tumor_in_box(session, volume, box_mm)
        return None if tumor is None else BoxAnswer(tumor.mask, tumor.certainty)

    def measured(self, session: ModelSession, clearness: float) -> BoxMeasured:
        """Return what was measured on lesions that stand out from what is beside them, or on those that do not."""
        box = session.parameters["box"]
        row = box["clear"] if clearness >= float(box["clear_from"]) else box["unclear"]
        return BoxMeasured(float(row["network"]), float(row["calculated"]), str(row["on"]))


def box_reader(card: ReaderCard) -> BoxedTumor:
    """Build the box mode with the reader's card."""
    return BoxedTumor(card)
