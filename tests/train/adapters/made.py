"""Small generated files in the layouts of the public sets: official names and columns, made-up pixels."""

import csv
import gzip
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

CT = "1.2.840.10008.5.1.4.1.1.2"
ROOT = "1.2.826.0.1.3680043.8.498"


def pixels(rows: int = 16, columns: int = 12, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (rows, columns), dtype=np.uint8)


def picture(path: Path, rows: int = 16, columns: int = 12, *, colour: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels(rows, columns, len(path.name))
    Image.fromarray(np.stack([image] * 3, axis=-1) if colour else image).save(path)


def table(path: Path, head: Sequence[str] | str, *rows: Sequence[object] | str) -> None:
    """Write a CSV file: lists are quoted where needed, text is written as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    for row in (head, *rows):
        if isinstance(row, str):
            stream.write(row + "\n")
        else:
            writer.writerow(row)
    data = stream.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def dicom(path: Path, *, rows: int = 16, columns: int = 12, **attributes: Any) -> Dataset:
    """Write a small CT slice; ``attributes`` by keyword replace or add to what it says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = Dataset()
    given = {
        "SOPClassUID": CT, "SOPInstanceUID": f"{ROOT}.9.{abs(hash(path.name)) % 10**9}", "Modality": "CT",
        "StudyInstanceUID": f"{ROOT}.1", "SeriesInstanceUID": f"{ROOT}.1.1", "FrameOfReferenceUID": f"{ROOT}.1.2",
        "PatientID": "P1", "PatientName": "Doe^Jane", "PatientSex": "F", "PatientAge": "054Y",
        "StudyDate": "20200131", "Manufacturer": "ACME", "ManufacturerModelName": "Scanner", "ImageType": "ORIGINAL",
        "Rows": rows, "Columns": columns, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0, "PixelSpacing": [2.0, 1.0],
        "ImagePositionPatient": [0.0, 0.0, 0.0], "ImageOrientationPatient": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "RescaleSlope": 1, "RescaleIntercept": 0, "PixelData": pixels(rows, columns).tobytes(),
    } | attributes  # fmt: skip
    for keyword, value in given.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)
    return dataset


def nifti(path: Path, shape: tuple[int, ...] = (6, 5, 4)) -> None:
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image: Any = nibabel.Nifti1Image
        nibabel.save(image(voxels, np.eye(4)), path)


def film(path: Path, frames: int = 5, rows: int = 16, columns: int = 16) -> None:
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (columns, rows))
    for number in range(frames):
        writer.write(np.full((rows, columns, 3), 40 * number, dtype=np.uint8))
    writer.release()
