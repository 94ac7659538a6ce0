"""Data sets for digital radiographs (DX, For Presentation): the modules of PS3.3 A.26, filled in honestly."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from coread.domain.identifiers import derived_uid

DX_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"
CR_STORAGE = "1.2.840.10008.5.1.4.1.1.1"
IMPLEMENTATION_UID = derived_uid("coread", "phantoms")


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose study it claims to be; every default says that the person does not exist."""

    patient_name: str = "SYNTHETIC^CHEST01"
    patient_id: str = "SYN-CHEST-01"
    patient_sex: str = "O"
    patient_age: str = "054Y"
    patient_birth_date: str = "19700101"
    patient_comments: str = "SYNTHETIC: computed, not a person"
    accession_number: str = "SYN0001"
    study_date: str = "20260102"
    study_time: str = "101500"
    study_description: str = "SYNTHETIC chest"
    series_description: str = "SYNTHETIC chest PA"
    uid_seed: str = "chest-1"
    """Study, series and instance UIDs are derived from it: the same recipe gives the same object."""
    institution_name: str = "SYNTHETIC HOSPITAL"
    referring_physician_name: str = "SYNTHETIC^REFERRER"


@dataclass(frozen=True, slots=True)
class Acquisition:
    """What the picture shows and how it is coded."""

    body_part: str = "CHEST"
    anatomy: tuple[str, str] = ("51185008", "Chest")
    view_position: str = "PA"
    view_code: tuple[str, str] = ("399348003", "postero-anterior")
    laterality: str = "U"
    spacing_mm: float = 0.35
    bits: int = 12
    photometric: str = "MONOCHROME2"
    modality: str = "DX"
    lossy_method: str = ""
    """Empty when the pixels were never lossy; else the Lossy Image Compression Method."""
    patient_orientation: tuple[str, str] = ("L", "F")


def code_item(value: str, scheme: str, meaning: str) -> Dataset:
    """Return one item of a code sequence (PS3.3 section 8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def radiograph(pixels: NDArray[np.uint16] | NDArray[np.uint8], identity: Identity, taken: Acquisition) -> Dataset:
    """Return a complete data set with file meta; ``pixels`` are stored as they are (already inverted if need be)."""
    dataset = Dataset()
    modules: tuple[Callable[[Dataset, Identity, Acquisition], None], ...] = (
        _series, _equipment, _image, _anatomy,
    )  # fmt: skip
    patient_and_study(dataset, identity)
    for module in modules:
        module(dataset, identity, taken)
    _pixels(dataset, pixels, taken)
    dataset.file_meta = file_meta(dataset)
    return dataset


def file_meta(dataset: Dataset, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> FileMetaDataset:
    """Return the file meta information for a data set (PS3.10 section 7.1)."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax_uid  # type: ignore[assignment]
    meta.ImplementationClassUID = IMPLEMENTATION_UID  # type: ignore[assignment]
    meta.ImplementationVersionName = "COREAD_PHANTOM"
    return meta


def patient_and_study(dataset: Dataset, identity: Identity) -> None:
    """Fill in the patient and study modules (PS3.3 C.7.1.1, C.7.2.1)."""
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = identity.patient_name
    dataset.PatientID = identity.patient_id
    dataset.PatientBirthDate = identity.patient_birth_date
    dataset.PatientSex = identity.patient_sex
    dataset.PatientAge = identity.patient_age
    dataset.PatientComments = identity.patient_comments
    dataset.StudyInstanceUID = derived_uid("phantom-study", identity.uid_seed)
    dataset.StudyDate, dataset.StudyTime = identity.study_date, identity.study_time
    dataset.AccessionNumber = identity.accession_number
    dataset.StudyID = "1"
    dataset.ReferringPhysicianName = identity.referring_physician_name
    dataset.StudyDescription = identity.study_description


def _series(dataset: Dataset, identity: Identity, taken: Acquisition) -> None:
    dataset.Modality = taken.modality
    dataset.SeriesInstanceUID = derived_uid("phantom-series", identity.uid_seed)
    dataset.SeriesNumber = 1
    dataset.SeriesDate, dataset.SeriesTime = identity.study_date, identity.study_time
    dataset.SeriesDescription = identity.series_description
    dataset.BodyPartExamined = taken.body_part
    if taken.modality == "DX":
        dataset.PresentationIntentType = "FOR PRESENTATION"


def _equipment(dataset: Dataset, identity: Identity, _: Acquisition) -> None:
    dataset.Manufacturer = "Coread"
    dataset.InstitutionName = identity.institution_name
    dataset.StationName = "PHANTOM"
    dataset.ManufacturerModelName = "phantom"
    dataset.DeviceSerialNumber = "1"
    dataset.SoftwareVersions = "1"


def _image(dataset: Dataset, identity: Identity, taken: Acquisition) -> None:
    dataset.SOPClassUID = DX_FOR_PRESENTATION if taken.modality == "DX" else CR_STORAGE
    dataset.SOPInstanceUID = derived_uid("phantom-instance", identity.uid_seed)
    dataset.InstanceNumber = 1
    dataset.AcquisitionNumber = 1
    dataset.ContentDate = dataset.AcquisitionDate = identity.study_date
    dataset.ContentTime = dataset.AcquisitionTime = identity.study_time
    dataset.ImageType = ["DERIVED" if taken.lossy_method else "ORIGINAL", "PRIMARY", ""]
    dataset.PatientOrientation = list(taken.patient_orientation)
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "01" if taken.lossy_method else "00"
    if taken.lossy_method:
        dataset.LossyImageCompressionMethod = taken.lossy_method
        dataset.LossyImageCompressionRatio = 10
        dataset.DerivationDescription = "wrapped from a lossy 8-bit image"
    dataset.ViewPosition = taken.view_position
    if taken.modality == "DX":
        dataset.PixelIntensityRelationship = "LOG"
        dataset.PixelIntensityRelationshipSign = 1
        dataset.DetectorType = "DIRECT"
        dataset.DetectorID = "PHANTOM"
        dataset.DetectorActiveShape = "RECTANGLE"
        dataset.AcquisitionContextSequence = Sequence([])
        dataset.PositionerType = "NONE"
        dataset.KVP = 110
        dataset.ExposureInuAs = 2000
    else:
        dataset.KVP = 110
        dataset.PlateID = "PHANTOM"


def _anatomy(dataset: Dataset, _: Identity, taken: Acquisition) -> None:
    if taken.modality != "DX":
        if taken.laterality != "U":
            dataset.Laterality = taken.laterality
        return
    dataset.ImageLaterality = taken.laterality
    dataset.AnatomicRegionSequence = Sequence([code_item(taken.anatomy[0], "SCT", taken.anatomy[1])])
    if taken.view_code[0]:
        view = code_item(taken.view_code[0], "SCT", taken.view_code[1])
        view.ViewModifierCodeSequence = Sequence([])
        dataset.ViewCodeSequence = Sequence([view])


def _pixels(dataset: Dataset, pixels: NDArray[np.uint16] | NDArray[np.uint8], taken: Acquisition) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = taken.photometric
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.ImagerPixelSpacing = [taken.spacing_mm, taken.spacing_mm]
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored, dataset.HighBit = taken.bits, taken.bits - 1
    dataset.PixelRepresentation = 0
    if taken.modality == "DX":
        dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
        dataset.PresentationLUTShape = "INVERSE" if taken.photometric == "MONOCHROME1" else "IDENTITY"
    dataset.WindowCenter, dataset.WindowWidth = 2 ** (taken.bits - 1), 2**taken.bits
    raw = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
