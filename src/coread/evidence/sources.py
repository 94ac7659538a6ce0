"""The images that a reading stands on, and what every object of the same study copies from them.

A value that breaks its own value representation is not written again: the attribute is left empty
(all of them are type 2 or 3) and a note says so. The object stays legal and the study stays findable.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from coread.domain.errors import Refused
from coread.domain.study import InstanceHeader
from coread.evidence import legal
from coread.evidence.errors import SourceUnreadable
from coread.imaging.header import scan_header

_MORE_TAGS = [
    "TimezoneOffsetFromUTC",
    "PatientOrientation",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "DimensionOrganizationSequence",
    "DimensionIndexSequence",
    "SamplesPerPixel",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "Modality",
    "InstanceNumber",
]


@dataclass(frozen=True, slots=True, eq=False)
class SourceImage:
    """One source instance: its file, its scanned header, and the raw elements that geometry needs."""

    path: Path
    header: InstanceHeader
    elements: Dataset

    @property
    def frames(self) -> int:
        """Number of frames, 1 for a single-frame object."""
        return self.header.number_of_frames or 1


@dataclass(frozen=True, slots=True)
class CopiedHeader:
    """Patient and study attributes as they will be written, ``(keyword, value)``, and what was left out."""

    attributes: tuple[tuple[str, str], ...]
    timezone: str
    notes: tuple[str, ...]

    def value(self, keyword: str) -> str:
        """Return the value that will be written for a keyword, ``""`` when it is not copied."""
        return dict(self.attributes).get(keyword, "")


_COPIED: tuple[tuple[str, str, legal.Legal], ...] = (
    ("PatientName", "patient_name", legal.is_person_name),
    ("PatientID", "patient_id", legal.is_long_string),
    ("IssuerOfPatientID", "issuer_of_patient_id", legal.is_long_string),
    ("PatientBirthDate", "patient_birth_date", legal.is_date),
    ("PatientSex", "patient_sex", legal.is_sex),
    ("PatientAge", "patient_age", legal.is_age),
    ("AccessionNumber", "accession_number", legal.is_short_string),
    ("StudyID", "study_id", legal.is_short_string),
    ("StudyDate", "study_date", legal.is_date),
    ("StudyTime", "study_time", legal.is_time),
    ("StudyDescription", "study_description", legal.is_long_string),
    ("ReferringPhysicianName", "referring_physician_name", legal.is_person_name),
)
OPTIONAL = frozenset({"IssuerOfPatientID", "PatientAge", "StudyDescription"})
"""Type 3 in their modules: absent rather than empty when the source has none."""


def read_sources(paths: Sequence[Path]) -> tuple[SourceImage, ...]:
    """Read the headers of all source files of one study; raises SourceUnreadable."""
    if not paths:
        raise SourceUnreadable("a result without source images cannot be written as evidence")
    images = tuple(_read(path) for path in paths)
    studies = {image.header.study_instance_uid for image in images}
    if len(studies) != 1:
        raise SourceUnreadable(f"source images of {len(studies)} studies: evidence belongs to exactly one")
    return images


def copied_header(images: Sequence[SourceImage]) -> CopiedHeader:
    """Decide what is copied from the first source image into every object."""
    header = images[0].header
    attributes: list[tuple[str, str]] = []
    notes: list[str] = []
    for keyword, field, is_legal in _COPIED:
        value = getattr(header, field)
        if is_legal(value):
            attributes.append((keyword, value))
        else:
            attributes.append((keyword, ""))
            notes.append(f"{keyword} of the source image is not legal DICOM and was left empty")
    zone = _text(images[0].elements, "TimezoneOffsetFromUTC")
    return CopiedHeader(tuple(attributes), zone if legal.is_zone(zone) else "", tuple(notes))


def _read(path: Path) -> SourceImage:
    try:
        header = scan_header(path)
        elements = dcmread(path, stop_before_pixels=True, specific_tags=list(_MORE_TAGS))
    except (OSError, Refused, InvalidDicomError) as problem:
        raise SourceUnreadable(f"source image {path.name} cannot be read again: {problem}") from problem
    return SourceImage(path, header, elements)


def _text(elements: Dataset, keyword: str) -> str:
    """Return the raw text of an element without converting (and so without validating) it."""
    if keyword not in elements:
        return ""
    value: Any = elements.get_item(keyword).value
    return value.decode("latin_1").strip(" \0") if isinstance(value, bytes) else str(value or "").strip()
