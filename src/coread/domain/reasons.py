"""Why something was not analysed or not kept: one closed list of coded reasons, shown to people as they are."""

from dataclasses import dataclass
from enum import StrEnum

from coread.domain.codes import COREAD_SCHEME, Code


class ReasonCode(StrEnum):
    """Coded reasons; the value is the code of scheme 99COREAD (at most 16 characters)."""

    WRONG_MODALITY = "WRONG_MODALITY"
    WRONG_SOP_CLASS = "WRONG_SOP_CLASS"
    WRONG_BODY_PART = "WRONG_BODY_PART"
    WRONG_VIEW = "WRONG_VIEW"
    WRONG_AGE = "WRONG_AGE"
    WRONG_CONTRAST = "WRONG_CONTRAST"
    WRONG_VENDOR = "WRONG_VENDOR"
    WRONG_SPACING = "WRONG_SPACING"
    TOO_FEW_IMAGES = "TOO_FEW_IMAGES"
    MISSING_SLICE = "MISSING_SLICE"
    UNEVEN_GAPS = "UNEVEN_GAPS"
    SAME_POSITION = "SAME_POSITION"
    MIXED_GEOMETRY = "MIXED_GEOMETRY"
    LOCALIZER = "LOCALIZER"
    SEVERAL_VOLUMES = "SEVERAL_VOLUMES"
    NOT_ALIGNED = "NOT_ALIGNED"
    IMAGE_TOO_SMALL = "IMAGE_TOO_SMALL"
    IMAGE_TOO_LARGE = "IMAGE_TOO_LARGE"
    NO_PIXELS = "NO_PIXELS"
    PIXELS_UNREAD = "PIXELS_UNREAD"
    PIXELS_CONSTANT = "PIXELS_CONSTANT"
    PIXELS_NOT_FINITE = "PIXELS_NAN"
    PIXEL_MEANING = "PIXEL_MEANING"
    LOSSY = "LOSSY"
    INVERTED = "INVERTED"
    NOT_CHEST = "NOT_CHEST"
    LOW_QUALITY = "LOW_QUALITY"
    INDETERMINATE = "INDETERMINATE"
    MEASURED_ONLY = "MEASURED_ONLY"
    NO_ELIGIBLE = "NO_ELIGIBLE"
    READER_DISABLED = "READER_DISABLED"
    READER_BROKEN = "READER_BROKEN"
    ROUTE_FAILED = "ROUTE_FAILED"
    TWO_PATIENTS = "TWO_PATIENTS"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    NO_PRIOR = "NO_PRIOR"
    PRIOR_NOT_HAD = "PRIOR_NOT_HAD"
    SUPERSEDED = "SUPERSEDED"
    NOT_DICOM = "NOT_DICOM"
    TRUNCATED = "TRUNCATED"
    BAD_UID = "BAD_UID"
    MISSING_UID = "MISSING_UID"
    UNKNOWN_SYNTAX = "UNKNOWN_SYNTAX"
    BAD_HEADER = "BAD_HEADER"
    TOO_LARGE = "TOO_LARGE"
    BAD_PROMPT = "BAD_PROMPT"
    BAD_SAMPLES = "BAD_SAMPLES"
    NO_CALIBRATION = "NO_CALIBRATION"
    NOT_RAW_DATA = "NOT_RAW_DATA"
    MIXED_ENCODINGS = "MIXED_ENCODINGS"
    WRONG_TRAJECTORY = "WRONG_TRAJECTORY"
    TOO_FEW_COILS = "TOO_FEW_COILS"
    CORRUPT_LINES = "CORRUPT_LINES"
    MOTION = "MOTION"


MEANINGS: dict[ReasonCode, str] = {
    ReasonCode.WRONG_MODALITY: "Modality is not one the reader was validated for",
    ReasonCode.WRONG_SOP_CLASS: "Kind of object is not one the reader reads",
    ReasonCode.WRONG_BODY_PART: "Body part is not one the reader reads",
    ReasonCode.WRONG_VIEW: "View is not one the reader reads",
    ReasonCode.WRONG_AGE: "Age of the patient is outside the validated range",
    ReasonCode.WRONG_CONTRAST: "Contrast phase is not one the reader reads",
    ReasonCode.WRONG_VENDOR: "Scanner is not one the reader was validated on",
    ReasonCode.WRONG_SPACING: "Spacing is outside the validated range",
    ReasonCode.TOO_FEW_IMAGES: "Too few images",
    ReasonCode.MISSING_SLICE: "A slice is missing",
    ReasonCode.UNEVEN_GAPS: "Slices at uneven distances",
    ReasonCode.SAME_POSITION: "Two slices at the same position",
    ReasonCode.MIXED_GEOMETRY: "Slices do not form one regular grid",
    ReasonCode.LOCALIZER: "Localizer, not part of a volume",
    ReasonCode.SEVERAL_VOLUMES: "Series holds several volumes, the reader takes one",
    ReasonCode.NOT_ALIGNED: "Scans of two dates cannot be laid over one another",
    ReasonCode.IMAGE_TOO_SMALL: "Image matrix is too small",
    ReasonCode.IMAGE_TOO_LARGE: "Image matrix is larger than the reader takes",
    ReasonCode.NO_PIXELS: "Object has no pixels",
    ReasonCode.PIXELS_UNREAD: "Pixels could not be decoded",
    ReasonCode.PIXELS_CONSTANT: "All pixels are equal",
    ReasonCode.PIXELS_NOT_FINITE: "Pixels are not finite numbers",
    ReasonCode.PIXEL_MEANING: "Meaning of the pixels is not stated",
    ReasonCode.LOSSY: "Lossy compression that the reader does not accept",
    ReasonCode.INVERTED: "Image looks inverted",
    ReasonCode.NOT_CHEST: "Image does not look like a frontal chest",
    ReasonCode.LOW_QUALITY: "Image quality is too low",
    ReasonCode.INDETERMINATE: "Reader was not sure enough",
    ReasonCode.MEASURED_ONLY: "Measured; no finding was assessed",
    ReasonCode.NO_ELIGIBLE: "No image in the study fits the reader",
    ReasonCode.READER_DISABLED: "Reader is switched off at this site",
    ReasonCode.READER_BROKEN: "Reader is installed but cannot be used",
    ReasonCode.ROUTE_FAILED: "Study could not be routed: an error of Coread",
    ReasonCode.TWO_PATIENTS: "Study holds images of two patients",
    ReasonCode.OUT_OF_MEMORY: "Needs more memory than the limit allows",
    ReasonCode.NO_PRIOR: "No earlier study that can be compared",
    ReasonCode.PRIOR_NOT_HAD: "Earlier studies in the archive could not be used",
    ReasonCode.SUPERSEDED: "Late images came: a newer reading replaces it",
    ReasonCode.NOT_DICOM: "Not a DICOM object",
    ReasonCode.TRUNCATED: "Object is cut short",
    ReasonCode.BAD_UID: "A unique identifier is malformed",
    ReasonCode.MISSING_UID: "A unique identifier is missing",
    ReasonCode.UNKNOWN_SYNTAX: "Transfer syntax is unknown",
    ReasonCode.BAD_HEADER: "Header cannot be read",
    ReasonCode.TOO_LARGE: "Object is larger than the limit",
    ReasonCode.BAD_PROMPT: "Point, line or box cannot be meant",
    ReasonCode.BAD_SAMPLES: "Raw samples cannot be used as they stand",
    ReasonCode.NO_CALIBRATION: "Too little of the middle of k-space is sampled without gaps",
    ReasonCode.NOT_RAW_DATA: "No raw MR data that can be read",
    ReasonCode.MIXED_ENCODINGS: "Raw data hold several encodings",
    ReasonCode.WRONG_TRAJECTORY: "Way through k-space is missing or not one that is read",
    ReasonCode.TOO_FEW_COILS: "Too few coils received a signal",
    ReasonCode.CORRUPT_LINES: "Too many lines of k-space are corrupt",
    ReasonCode.MOTION: "Repeated lines disagree: motion is suspected",
}
"""The meanings that people read; every reason has one (checked by a test), at most 64 characters (PS3.5 LO)."""


OUT_OF_SCOPE = frozenset({ReasonCode.WRONG_MODALITY, ReasonCode.WRONG_SOP_CLASS, ReasonCode.WRONG_BODY_PART})
"""The reader reads another kind of study altogether. With many readers installed nearly every study has such answers,
so pages set them aside where another reader has more to say; they are recorded, and ``coread why`` tells them."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A coded reason with what was seen in this case, e.g. ``WRONG_AGE``, "patient is 4 years old"."""

    code: ReasonCode
    detail: str = ""

    def coded(self) -> Code:
        """Return the reason as a DICOM coded concept of scheme 99COREAD."""
        return Code(self.code.value, COREAD_SCHEME, MEANINGS[self.code])

    def text(self) -> str:
        """Return one sentence for people: the meaning, then the detail."""
        meaning = MEANINGS[self.code]
        return f"{meaning}: {self.detail}" if self.detail else meaning
