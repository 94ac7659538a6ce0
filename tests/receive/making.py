"""Objects that the tests send: small, made here, with every attribute that the index keeps."""

from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

STUDY = "1.2.826.0.1.3680043.10.1.1"
SERIES = "1.2.826.0.1.3680043.10.1.2"


def ct_slice(number: int, *, side: int = 16, study: str = STUDY, patient: str = "P1") -> Dataset:
    """Return one CT slice whose UID and pixels follow from its number."""
    data = Dataset()
    meta = FileMetaDataset()
    data.file_meta = meta
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = UID(f"{study}.9.{number}")
    data.StudyInstanceUID, data.SeriesInstanceUID = study, f"{study}.2"
    data.PatientID, data.PatientName, data.Modality = patient, "Doe^Jane", "CT"
    data.StudyDate, data.StudyTime, data.AccessionNumber, data.StudyID = "20260102", "101500", "A1", "1"
    data.InstanceNumber = number
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
    data.FrameOfReferenceUID, data.PixelSpacing = f"{study}.3", [1, 1]
    data.Rows = data.Columns = side
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 0
    data.RescaleIntercept, data.RescaleSlope = "-1024", "1"
    data.PixelData = bytes((number + index) % 251 for index in range(256)) * (side * side * 2 // 256 or 1)
    return data


def part10(data: Dataset) -> bytes:
    """Return the object as a Part 10 file."""
    stream = BytesIO()
    dcmwrite(stream, data, enforce_file_format=True)
    return stream.getvalue()


def data_set_bytes(path: Path) -> bytes:
    """Return what follows the File Meta Information of a file."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[140:144], "little")
    return raw[144 + length :]


def write_slices(folder: Path, count: int, *, side: int = 16, study: str = STUDY) -> list[Path]:
    """Write slices 1 to ``count`` as files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(1, count + 1):
        path = folder / f"{number:05d}.dcm"
        path.write_bytes(part10(ct_slice(number, side=side, study=study)))
        paths.append(path)
    return paths
