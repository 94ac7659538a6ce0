"""One reader over frames: each frame becomes the image that the reader knows, and its answer what is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.app.errors import VideoRefused
from coread.app.video.frames import RGB, opencv
from coread.domain.findings import Box, Finding, Presence
from coread.domain.identifiers import derived_uid
from coread.domain.images import PlanarImage, Quantity
from coread.domain.results import ReadResult, Refusal
from coread.domain.study import InstanceHeader
from coread.engine.checks import check_outputs
from coread.engine.samples import inputs_of
from coread.engine.sessions import OpenReader
from coread.imaging.colour import luminance

MODALITY = "ES"
SOP_CLASS_UID = "1.2.840.10008.5.1.4.1.1.77.1.1"
"""VL Endoscopic Image: one frame of an endoscope."""
WORKING_SIDE = 512
"""Longer side to which a frame is reduced before it is read: networks see less than that."""
_EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """One thing to draw: corners as shares of the frame, an outline (points as shares), words."""

    box: tuple[float, float, float, float]
    words: str


@dataclass(frozen=True, slots=True, eq=False)
class FrameAnswer:
    """What the reader says of one frame."""

    marks: tuple[Mark, ...]
    outlines: tuple[NDArray[np.float64], ...] = ()
    """(points, 2) column and row as shares of the frame."""
    refused: str = ""
    """Why the frame was not read; empty when it was."""


class FrameReader:
    """An open reader that is asked frame by frame."""

    def __init__(self, opened: OpenReader) -> None:
        """Take a reader of endoscopic pictures; raises VideoRefused for any other."""
        contract = opened.installed.card.input
        if contract.presentation != "planar" or MODALITY not in contract.modalities:
            raise VideoRefused(
                f"{opened.installed.card.reader_id} reads {', '.join(contract.modalities)} "
                f"({contract.presentation}), no video of an endoscope."
            )
        self.card = opened.installed.card
        self._reader, self._session = opened.reader, opened.session

    def read(self, pixels: RGB) -> FrameAnswer:
        """Read one frame through the reader's own three steps."""
        smaller = _reduced(pixels)
        prepared = self._reader.prepare(inputs_of([planar_image(smaller)]))
        if isinstance(prepared, Refusal):
            return FrameAnswer((), refused=prepared.reason.text())
        outputs = self._reader.infer(self._session, prepared)
        check_outputs(outputs)
        ending = self._reader.interpret(self._session, prepared, outputs)
        if isinstance(ending, Refusal):
            return FrameAnswer((), refused=ending.reason.text())
        return self._answer(ending, (smaller.shape[0], smaller.shape[1]))

    def _answer(self, result: ReadResult, shape: tuple[int, int]) -> FrameAnswer:
        present = [finding for finding in result.findings if finding.presence is Presence.PRESENT]
        marks = [
            Mark(_shares(box, shape), self._words(finding))
            for finding in present
            for box in finding.locations
            if isinstance(box, Box)
        ]
        outlines = [points for region in result.regions for points in outlines_of(region.mask)]
        return FrameAnswer(tuple(marks), tuple(outlines))

    def _words(self, finding: Finding) -> str:
        name = self.card.output(finding.key).name
        # Nothing is certain: two digits must not say 1.00.
        return name if finding.probability is None else f"{name} {min(finding.probability, 0.99):.2f}"


def planar_image(pixels: RGB) -> PlanarImage:
    """Return a frame as the planar image that its DICOM object would give."""
    header = InstanceHeader(
        study_instance_uid=derived_uid("live", "study"),
        series_instance_uid=derived_uid("live", "series"),
        sop_instance_uid=derived_uid("live", "frame"),
        sop_class_uid=SOP_CLASS_UID,
        transfer_syntax_uid=_EXPLICIT_LITTLE,
        modality=MODALITY,
        rows=pixels.shape[0],
        columns=pixels.shape[1],
    )
    grey = luminance(pixels) / np.float32(255)
    return PlanarImage(grey, Quantity.DISPLAY, header, colour=np.divide(pixels, 255, dtype=np.float32))


def outlines_of(mask: NDArray[np.bool_]) -> Sequence[NDArray[np.float64]]:
    """Return the outer borders of a mask as points in shares of the frame."""
    cv2 = opencv()
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    size = np.array([mask.shape[1], mask.shape[0]], dtype=np.float64)
    return [(contour[:, 0].astype(np.float64) + 0.5) / size for contour in contours]


def _shares(box: Box, shape: tuple[int, int]) -> tuple[float, float, float, float]:
    rows, columns = shape
    return box.column_min / columns, box.row_min / rows, box.column_max / columns, box.row_max / rows


def _reduced(pixels: RGB) -> RGB:
    longer = max(pixels.shape[:2])
    if longer <= WORKING_SIDE:
        return pixels
    cv2: Any = opencv()
    share = WORKING_SIDE / longer
    size = (max(1, round(pixels.shape[1] * share)), max(1, round(pixels.shape[0] * share)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
