"""Generated radiographs as DICOM files, a tiny installed reader, and a queue in memory, for the engine's tests."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from coread.domain.study import Instance, InstanceHeader, Origin, Series, Study, StudyState
from coread.imaging.header import scan_header
from coread.readers.registry import InstalledReader, inspect_reader
from tests.models.tiny_reader import CARD, READER, write_tiny_reader

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def radiograph(path: Path, pixels: NDArray[np.uint16], number: int = 1, **attributes: object) -> Path:
    """Write a 12-bit DX image; ``attributes`` are DICOM keywords."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = DigitalXRayImageStorageForPresentation
    image.SOPInstanceUID = f"1.2.826.0.1.3680043.8.498.1.{number}"
    image.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    image.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.1.0"
    image.PatientName, image.PatientID, image.PatientBirthDate = "Muster^Anna", "SECRET-77", "19700101"
    image.StudyDate, image.Modality, image.BodyPartExamined, image.ViewPosition = "20260504", "DX", "CHEST", "PA"
    image.InstanceNumber, image.SeriesNumber = number, 1
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.WindowCenter, image.WindowWidth = 2048, 4096
    image.PixelData = pixels.astype("<u2").tobytes()
    for keyword, value in attributes.items():
        setattr(image, keyword, value)
    image.save_as(path, enforce_file_format=True)
    return path


def square_at(row: int, column: int, side: int = 16, shape: tuple[int, int] = (256, 256)) -> NDArray[np.uint16]:
    """A dark noisy image with one bright square."""
    pixels = np.random.default_rng(5).integers(100, 400, shape, dtype=np.uint16)
    pixels[row : row + side, column : column + side] = 4000
    return pixels


def tiny_installed(folder: Path, *, card: str = CARD, code: str = READER) -> InstalledReader:
    """Write and inspect the tiny reader as package ``folder.name`` (its parent must be on sys.path)."""
    return inspect_reader(folder.name, write_tiny_reader(folder, card=card, code=code))


def study_of(paths: Sequence[Path]) -> tuple[Study, list[tuple[Path, InstanceHeader]]]:
    """Index files by hand."""
    sources = [(path, scan_header(path)) for path in paths]
    instances = tuple(
        Instance(header, path.name, path.stat().st_size, _sha256(path), NOW, Origin("command"))
        for path, header in sources
    )
    first = sources[0][1]
    series = Series(first.study_instance_uid, first.series_instance_uid, first.modality, 1, "", "CHEST", 1, instances)
    study = Study(
        study_instance_uid=first.study_instance_uid,
        patient_id=first.patient_id,
        issuer_of_patient_id="",
        patient_name=first.patient_name,
        patient_birth_date=first.patient_birth_date,
        patient_sex="",
        accession_number="",
        study_id="",
        study_date=first.study_date,
        study_time="",
        study_description="",
        referring_physician_name="",
        modalities=(first.modality,),
        series_count=1,
        instance_count=len(instances),
        state=StudyState.SETTLED,
        settled_reason=None,
        generation=1,
        first_received_at=NOW,
        last_received_at=NOW,
        settled_at=NOW,
        series=(series,),
    )
    return study, sources


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
