"""An ordinary picture as a DICOM object of any modality: the clinic's own code then reads sets of PNG and JPEG files.

The pixels are stored as they were decoded, uncompressed: what was lossy once is said to be so and never lossy twice.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from coread.domain.errors import InvalidRecord
from coread.domain.identifiers import derived_uid
from coread.phantoms.dx import Acquisition, Identity, file_meta, radiograph

SOP_CLASSES: Mapping[str, str] = {
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "MG": "1.2.840.10008.5.1.4.1.1.1.2",
    "US": "1.2.840.10008.5.1.4.1.1.6.1",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "ES": "1.2.840.10008.5.1.4.1.1.77.1.1",
    "OP": "1.2.840.10008.5.1.4.1.1.77.1.5.1",
    "XC": "1.2.840.10008.5.1.4.1.1.77.1.4",
    "OT": "1.2.840.10008.5.1.4.1.1.7",
}
"""Storage SOP class for each modality (PS3.4 annex B.5): For Presentation, single frame."""
COLOURS = ("auto", "grey", "rgb")
_RADIOGRAPHS = frozenset({"DX", "CR"})
_SLICES = frozenset({"CT", "MR"})
_AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_VIEW_CODES = {"PA": ("399348003", "postero-anterior"), "AP": ("399067008", "antero-posterior")}
_TYPES = {np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.int16)}


@dataclass(frozen=True, slots=True)
class Wrapping:
    """How the pictures of a set become DICOM objects: what their headers would have said."""

    modality: str = "OT"
    sop_class_uid: str = ""
    """Empty: the usual class of the modality."""
    body_part: str = ""
    spacing_mm: float | None = None
    slice_mm: float | None = None
    """Distance between the pictures of one case when they are slices of a stack."""
    colour: str = "auto"
    """``auto`` (colour where the picture has it), ``grey`` or ``rgb``."""
    hounsfield: bool = False
    """Stored values are Hounsfield units (CT, 16 bits); otherwise they are display values without a unit."""
    patient_orientation: tuple[str, ...] = ()
    manufacturer: str = ""

    def __post_init__(self) -> None:
        if self.modality not in SOP_CLASSES:
            raise InvalidRecord(f"wrap.modality is {self.modality!r}; use one of {', '.join(sorted(SOP_CLASSES))}")
        if self.colour not in COLOURS:
            raise InvalidRecord(f"wrap.colour is {self.colour!r}; use one of {', '.join(COLOURS)}")
        if any(value is not None and value <= 0 for value in (self.spacing_mm, self.slice_mm)):
            raise InvalidRecord("wrap.spacing_mm and wrap.slice_mm must be above 0")


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose picture it is and how it was taken, where the set tells; empty means not stated."""

    patient_id: str
    case_id: str
    uid_seed: str
    """All UIDs are derived from it: the same picture gives the same object."""
    sex: str = ""
    age_years: float | None = None
    view: str = ""
    laterality: str = ""
    site: str = ""
    scanner: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """More attributes by keyword, written as they are."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Decoded pixels (rows, columns) or (rows, columns, 3), and whether they went through a lossy codec."""

    pixels: NDArray[Any]
    lossy: bool = False

    def __post_init__(self) -> None:
        if self.pixels.dtype not in _TYPES or self.pixels.ndim not in (2, 3) or 0 in self.pixels.shape:
            raise InvalidRecord(f"a picture of {self.pixels.dtype} {self.pixels.shape}: 8 or 16 bits, grey or RGB")
        if self.pixels.ndim == 3 and (self.pixels.shape[2] != 3 or self.pixels.dtype != np.uint8):
            raise InvalidRecord(f"a colour picture of {self.pixels.dtype} {self.pixels.shape}: 8 bits, 3 channels")


def read_picture(source: Path | bytes, colour: str = "auto") -> Picture:
    """Decode a PNG, JPEG, BMP or TIFF; ``colour`` as in Wrapping."""
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        lossy = image.format == "JPEG"
        if image.mode.startswith("I"):
            values = np.asarray(image)
            if values.min() < 0 or values.max() > 65535:
                raise InvalidRecord("a picture with values outside 16 bits")
            return Picture(values.astype(np.uint16), lossy)
        if colour == "grey" or image.mode in ("L", "1"):
            grey = np.asarray(image.convert("L"), dtype=np.uint8)
            return Picture(_as_rgb(grey) if colour == "rgb" else grey, lossy)
        rgb = np.asarray(image.convert("RGB"), dtype=np.uint8)
    if colour == "auto" and (rgb[..., :1] == rgb).all():
        return Picture(np.ascontiguousarray(rgb[..., 0]), lossy)
    return Picture(rgb, lossy)


def wrapped_picture(picture: Picture, subject: Subject, wrapping: Wrapping, *, number: int = 1) -> Dataset:
    """Return a whole DICOM object around a picture; ``number`` is its place among the pictures of the case."""
    if wrapping.modality in _RADIOGRAPHS and picture.pixels.ndim == 2 and picture.pixels.dtype != np.int16:
        dataset = _radiograph(picture, subject, wrapping, number)
    else:
        dataset = _plain(picture, subject, wrapping, number)
    if wrapping.sop_class_uid:
        dataset.SOPClassUID = wrapping.sop_class_uid
    dataset.Manufacturer = wrapping.manufacturer
    for keyword, value in subject.extra.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = file_meta(dataset)
    return dataset


def age_text(years: float | None) -> str:
    """Return an age as DICOM AS (PS3.5 section 6.2): months below two years, else years."""
    if years is None:
        return ""
    return f"{int(years * 12):03d}M" if years < 2 else f"{min(int(years), 999):03d}Y"


def _as_rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


def _radiograph(picture: Picture, subject: Subject, wrapping: Wrapping, number: int) -> Dataset:
    identity = Identity(
        patient_name="", patient_id=subject.patient_id, patient_sex=subject.sex,
        patient_age=age_text(subject.age_years), patient_birth_date="", patient_comments="",
        accession_number=subject.case_id[:16], study_date="", study_time="", study_description="",
        series_description="", uid_seed=subject.uid_seed, institution_name=subject.site[:64],
        referring_physician_name="",
    )  # fmt: skip
    taken = Acquisition(
        body_part=wrapping.body_part, view_position=subject.view,
        view_code=_VIEW_CODES.get(subject.view, ("", "")), bits=8 * picture.pixels.dtype.itemsize,
        spacing_mm=wrapping.spacing_mm or 1.0, modality=wrapping.modality,
        lossy_method="ISO_10918_1" if picture.lossy else "", laterality=subject.laterality or "U",
    )  # fmt: skip
    if wrapping.patient_orientation:
        taken = replace(taken, patient_orientation=(wrapping.patient_orientation[0], wrapping.patient_orientation[1]))
    dataset = radiograph(picture.pixels, identity, taken)
    if wrapping.spacing_mm is None:
        del dataset.ImagerPixelSpacing
    if not wrapping.patient_orientation and subject.view not in _VIEW_CODES:
        dataset.PatientOrientation = None
    dataset.SOPInstanceUID = derived_uid("picture", subject.uid_seed, str(number))
    dataset.InstanceNumber = number
    dataset.ManufacturerModelName = subject.scanner[:64]
    dataset.StationName = ""
    return dataset


def _plain(picture: Picture, subject: Subject, wrapping: Wrapping, number: int) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID = "", subject.patient_id
    dataset.PatientBirthDate, dataset.PatientSex = "", subject.sex
    dataset.PatientAge = age_text(subject.age_years)
    dataset.StudyInstanceUID = derived_uid("phantom-study", subject.uid_seed)
    dataset.SeriesInstanceUID = derived_uid("phantom-series", subject.uid_seed)
    dataset.SOPClassUID = SOP_CLASSES[wrapping.modality]
    dataset.SOPInstanceUID = derived_uid("picture", subject.uid_seed, str(number))
    dataset.StudyDate = dataset.StudyTime = dataset.ContentDate = dataset.ContentTime = ""
    dataset.AccessionNumber, dataset.StudyID = subject.case_id[:16], "1"
    dataset.ReferringPhysicianName = ""
    dataset.Modality, dataset.BodyPartExamined = wrapping.modality, wrapping.body_part
    dataset.SeriesNumber, dataset.InstanceNumber = 1, number
    dataset.InstitutionName, dataset.ManufacturerModelName = subject.site[:64], subject.scanner[:64]
    dataset.ImageType = ["DERIVED" if picture.lossy else "ORIGINAL", "PRIMARY", *_third_word(wrapping)]
    dataset.LossyImageCompression = "01" if picture.lossy else "00"
    if picture.lossy:
        dataset.LossyImageCompressionMethod = "ISO_10918_1"
        dataset.DerivationDescription = "wrapped from a lossy picture"
    if wrapping.modality in ("MG", "DX"):
        dataset.PresentationIntentType = "FOR PRESENTATION"
    if subject.view:
        dataset.ViewPosition = subject.view
    if subject.laterality:
        dataset.ImageLaterality = subject.laterality
    dataset.PatientOrientation = list(wrapping.patient_orientation) or None
    _place(dataset, wrapping, number)
    _pixels(dataset, picture.pixels, wrapping)
    return dataset


def _third_word(wrapping: Wrapping) -> Sequence[str]:
    return ["AXIAL"] if wrapping.modality == "CT" else []


def _place(dataset: Dataset, wrapping: Wrapping, number: int) -> None:
    """Put slices of a stack one behind the other (PS3.3 C.7.6.2); single pictures get their spacing only."""
    if wrapping.spacing_mm is not None:
        dataset.PixelSpacing = [wrapping.spacing_mm, wrapping.spacing_mm]
    if wrapping.modality in _SLICES and wrapping.slice_mm is not None:
        dataset.FrameOfReferenceUID = derived_uid("frame-of-reference", str(dataset.SeriesInstanceUID))
        dataset.ImageOrientationPatient = list(_AXIAL)
        dataset.ImagePositionPatient = [0.0, 0.0, round((number - 1) * wrapping.slice_mm, 6)]
        dataset.SliceThickness = wrapping.slice_mm


def _pixels(dataset: Dataset, pixels: NDArray[Any], wrapping: Wrapping) -> None:
    colour = pixels.ndim == 3
    bits = 8 * pixels.dtype.itemsize
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, int(pixels.dtype == np.int16)
    if not colour:
        dataset.RescaleIntercept, dataset.RescaleSlope = 0, 1
        dataset.RescaleType = "HU" if wrapping.hounsfield else "US"
        if bits == 8:  # 16 bits are rarely used to the full: without a window the range of the values is shown
            dataset.WindowCenter, dataset.WindowWidth = 128, 256
    raw = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
