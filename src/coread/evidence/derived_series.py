"""Computed images of a result as MR Image Storage series (PS3.3 A.4): beside the scanner's series, never in its place.

One single-frame object for each slice, in a series of its own. Values are stored in 16 bits by one scale for the
whole series, so that slices and frames compare; Real World Value Mapping and Derivation Description state it. The MR
Image IOD has no Modality LUT, so there is no Rescale Slope: MR magnitudes are arbitrary (PS3.3 A.4.3).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from coread.domain.codes import Code
from coread.domain.derived import MR_IMAGE_STORAGE, DerivedImages
from coread.domain.findings import ImageReference
from coread.domain.kspace import RAW_DATA_STORAGE
from coread.domain.study import InstanceHeader
from coread.domain.work import EvidenceKind
from coread.evidence import legal
from coread.evidence.concepts import code_item
from coread.evidence.sources import SourceImage
from coread.evidence.summary import add_body_part
from coread.evidence.writing import RESEARCH_USE, Writing, stamp

IMAGE_TYPE = ("DERIVED", "PRIMARY", "OTHER", "M")
"""PS3.3 C.7.6.1.1.2 and C.8.3.1.1.1: computed, from the samples themselves; value 4 is ours: magnitude."""
TOP = 32767
"""The largest value of a series is stored as this: also software that takes 16 bits as signed shows it right."""
_SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
_SOURCE_RAW = Code("128226", "DCM", "Source raw data")
_RECONSTRUCTION = Code("113963", "DCM", "Iterative Reconstruction")
_ACQUISITION_EQUIPMENT = Code("109101", "DCM", "Acquisition Equipment")
_NO_UNITS = Code("1", "UCUM", "no units")
_NUMBERS = ("RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "MagneticFieldStrength", "SliceThickness",
            "SpacingBetweenSlices", "TriggerTime", "NumberOfAverages", "PercentSampling", "EchoTrainLength",
            "EchoNumbers", "ImagedNucleus", "ImagingFrequency", "PixelBandwidth", "PatientWeight")  # fmt: skip
_WORDS = ("SequenceName", "ProtocolName", "PatientPosition", "MRAcquisitionType", "ScanningSequence", "SequenceVariant",
          "ScanOptions", "ReceiveCoilName")  # fmt: skip
ACQUISITION = frozenset((*_NUMBERS, *_WORDS))
"""Keywords that ``DerivedImages.attributes`` may state; everything else of an object is decided here."""
_WINDOW_PERCENTILE = 99.5


@dataclass(frozen=True, slots=True, eq=False)
class Derived:
    """The objects, and what the raw data state that could not be written."""

    datasets: tuple[Dataset, ...]
    notes: tuple[str, ...]


def with_derived(writing: Writing) -> Writing:
    """Return the writing with the headers and planes of its computed images, so that references resolve."""
    derived = tuple(
        SourceImage(Path(), _header(writing, images, k), _plane(images, k))
        for images in writing.result.images
        for k in range(len(images.voxels))
    )
    return replace(writing, derived=derived)


def build_derived(writing: Writing) -> Derived:
    """Write one object for each slice of each computed series.

    Raises ValueError for attributes that are not among ``ACQUISITION``; a value that breaks its representation is left
    out, and this is said.
    """
    steps = series_steps(writing.result.images)
    datasets: list[Dataset] = []
    notes: list[str] = []
    for images in writing.result.images:
        unknown = [keyword for keyword, _ in images.attributes if keyword not in ACQUISITION]
        if unknown:
            raise ValueError(f"images {images.label!r} state attributes that may not be stated: {unknown}")
        bad = [keyword for keyword, value in images.attributes if value and not _is_legal(keyword, value)]
        notes += [f"{keyword} of the raw data is not legal DICOM and was left out" for keyword in bad]
        stated = tuple((keyword, value) for keyword, value in images.attributes if value and keyword not in bad)
        legal_images = replace(images, attributes=stated)
        step = steps[images.series_instance_uid]
        for k, reference in enumerate(images.references()):
            datasets.append(_object(writing, legal_images, k, reference, step))
    return Derived(tuple(datasets), tuple(dict.fromkeys(notes)))


def series_steps(series: Sequence[DerivedImages]) -> dict[str, float]:
    """Return, for each series, what one step of the stored values stands for."""
    largest: dict[str, float] = {}
    for images in series:
        highest = float(images.voxels.max())
        largest[images.series_instance_uid] = max(largest.get(images.series_instance_uid, 0.0), highest)
    return {uid: highest / TOP if highest > 0 else 1.0 for uid, highest in largest.items()}


def _object(writing: Writing, images: DerivedImages, k: int, reference: ImageReference, step: float) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = MR_IMAGE_STORAGE
    dataset.Modality = "MR"
    dataset.ImageType = list(IMAGE_TYPE)
    add_body_part(dataset, writing.images[0].header)
    _add_acquisition(dataset, images)
    dataset.update(_plane(images, k))
    dataset.PositionReferenceIndicator = None
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    _add_pixels(dataset, images.voxels[k], step)
    _add_origin(dataset, images, step)
    stamp(dataset, writing, EvidenceKind.DERIVED_IMAGES, what="")
    dataset.ContributingEquipmentSequence.append(_scanner(writing))
    dataset.SeriesInstanceUID = reference.series_instance_uid
    dataset.SOPInstanceUID = reference.sop_instance_uid
    dataset.InstanceNumber = images.instance_number(k)
    dataset.SeriesDescription = series_description_of(images)
    dataset.ImageComments = f"SYNTHETIC. {RESEARCH_USE}" if images.synthetic else RESEARCH_USE
    if images.positions > 1:
        dataset.TemporalPositionIdentifier = images.position
        dataset.NumberOfTemporalPositions = images.positions
    return dataset


def series_description_of(images: DerivedImages) -> str:
    """Return Series Description: what was computed, and SYNTHETIC first where the data were."""
    return f"SYNTHETIC {images.label}"[:64].strip() if images.synthetic else images.label[:64]


def _add_acquisition(dataset: Dataset, images: DerivedImages) -> None:
    """Write what the raw data state; what is required and not known is empty or says that nothing is known."""
    # Type 1 in the MR Image Module (PS3.3 C.8.3.1): RM (research mode) and NONE are the terms that claim nothing.
    dataset.ScanningSequence, dataset.SequenceVariant = "RM", "NONE"
    for keyword in ("ScanOptions", "MRAcquisitionType", "EchoTime", "EchoTrainLength", "RepetitionTime"):
        setattr(dataset, keyword, None)
    dataset.PatientPosition = None
    for keyword, value in images.attributes:
        setattr(dataset, keyword, value.split("\\") if "\\" in value else value)
    if "InversionTime" in dataset and float(dataset.InversionTime) <= 0:  # converters write 0 where there was none
        del dataset.InversionTime
    sequences = (
        [str(dataset.ScanningSequence)] if dataset["ScanningSequence"].VM == 1 else list(dataset.ScanningSequence)
    )
    if "InversionTime" in dataset and "IR" not in sequences:  # type 2C: only of inversion recovery
        dataset.ScanningSequence = [*sequences, "IR"]


def _is_legal(keyword: str, value: str) -> bool:
    """Say whether each value is a legal one of its representation (PS3.5 section 6.2)."""
    kind = dictionary_VR(keyword)
    return all(_LEGAL[kind](part) for part in value.split("\\"))


def _is_number(value: str) -> bool:
    """Say whether a value is a legal DS."""
    try:
        return len(value) <= 16 and math.isfinite(float(value))
    except ValueError:
        return False


def _is_whole(value: str) -> bool:
    """Say whether a value is a legal IS that counts something."""
    return value.isascii() and value.isdigit() and len(value) <= 9


_LEGAL: dict[str, legal.Legal] = {
    "DS": _is_number,
    "IS": _is_whole,
    "CS": legal.is_code_string,
    "SH": legal.is_short_string,
    "LO": legal.is_long_string,
}


def _plane(images: DerivedImages, k: int) -> Dataset:
    """Return frame of reference, position, orientation and spacing of a slice (PS3.3 C.7.6.2)."""
    matrix = images.geometry.matrix()
    along_slices, along_rows, along_columns = matrix[:3, 0], matrix[:3, 1], matrix[:3, 2]
    between_slices, between_rows, between_columns = images.geometry.spacing_mm()
    plane = Dataset()
    plane.FrameOfReferenceUID = images.geometry.frame_of_reference_uid
    plane.ImagePositionPatient = _numbers(matrix[:3, 3] + k * along_slices)
    cosines = np.concatenate([along_columns / between_columns, along_rows / between_rows])
    plane.ImageOrientationPatient = _numbers(cosines)
    plane.PixelSpacing = _numbers(np.array([between_rows, between_columns]))
    plane.Rows, plane.Columns = images.geometry.shape[1:]
    stated = dict(images.attributes)
    plane.SliceThickness = stated.get("SliceThickness") or format_number_as_ds(between_slices)
    if len(images.voxels) > 1:
        plane.SpacingBetweenSlices = format_number_as_ds(between_slices)
    return plane


def _numbers(values: NDArray[np.float64]) -> list[str]:
    return [format_number_as_ds(float(value) + 0.0) for value in values]


def _add_pixels(dataset: Dataset, pixels: NDArray[np.float32], step: float) -> None:
    stored = np.rint(pixels / np.float64(step)).astype("<u2")
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.PixelData = stored.tobytes()
    high = max(1.0, float(np.percentile(stored, _WINDOW_PERCENTILE)))
    dataset.WindowCenter, dataset.WindowWidth = format_number_as_ds(high / 2), format_number_as_ds(high)
    mapping = Dataset()
    mapping.RealWorldValueFirstValueMapped, mapping.RealWorldValueLastValueMapped = 0, TOP
    mapping.RealWorldValueIntercept, mapping.RealWorldValueSlope = 0.0, step
    mapping.LUTLabel, mapping.LUTExplanation = "SIGNAL", "Magnitude as it was computed, arbitrary units"
    mapping.MeasurementUnitsCodeSequence = [code_item(_NO_UNITS)]
    dataset.RealWorldValueMappingSequence = [mapping]


def _add_origin(dataset: Dataset, images: DerivedImages, step: float) -> None:
    """Say what the images were computed from and how (PS3.3 C.7.6.1, C.12.4)."""
    said = f"{images.derivation.rstrip('. ')}. Stored value x {step:.9g} is the magnitude. {RESEARCH_USE}"
    dataset.DerivationDescription = said[:1024]
    dataset.DerivationCodeSequence = [code_item(_RECONSTRUCTION)]
    pictures = [item for item in images.sources if item.sop_class_uid != RAW_DATA_STORAGE]
    others = [item for item in images.sources if item.sop_class_uid == RAW_DATA_STORAGE]
    if pictures:
        dataset.SourceImageSequence = [_source(item, _SOURCE_IMAGE) for item in pictures]
    if others:
        dataset.SourceInstanceSequence = [_source(item, _SOURCE_RAW) for item in others]


def _source(reference: ImageReference, purpose: Code) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    item.PurposeOfReferenceCodeSequence = [code_item(purpose)]
    return item


def _scanner(writing: Writing) -> Dataset:
    """Name the scanner that took the samples (PS3.3 C.12.1, Contributing Equipment): ours only computed."""
    head = writing.images[0].header
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code_item(_ACQUISITION_EQUIPMENT)]
    item.Manufacturer = head.manufacturer if legal.is_long_string(head.manufacturer) else ""
    for keyword, value, is_legal in (
        ("ManufacturerModelName", head.manufacturer_model_name, legal.is_long_string),
        ("InstitutionName", head.institution_name, legal.is_long_string),
        ("StationName", head.station_name, legal.is_short_string),
    ):
        if value and is_legal(value):
            setattr(item, keyword, value)
    item.ContributionDescription = "Acquired the samples"
    return item


def _header(writing: Writing, images: DerivedImages, k: int) -> InstanceHeader:
    source = writing.images[0].header
    reference = images.references()[k]
    return replace(
        source,
        series_instance_uid=reference.series_instance_uid,
        sop_instance_uid=reference.sop_instance_uid,
        sop_class_uid=reference.sop_class_uid,
        modality="MR",
        series_number=writing.series_number(EvidenceKind.DERIVED_IMAGES),
        series_description=series_description_of(images),
        instance_number=images.instance_number(k),
        rows=images.geometry.shape[1],
        columns=images.geometry.shape[2],
        number_of_frames=None,
        image_type=IMAGE_TYPE,
        frame_of_reference_uid=images.geometry.frame_of_reference_uid,
    )
