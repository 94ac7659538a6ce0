"""Small real DICOM sources and results for the evidence tests."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from coread.domain.cards import (
    Estimate,
    InputContract,
    OperatingPoint,
    OutputSpec,
    ReaderCard,
    ReaderKind,
    Resources,
)
from coread.domain.codes import CHEST, RIGHT, Code
from coread.domain.findings import Box, Finding, HeatMap, ImageReference, Presence, TrackingId
from coread.domain.identifiers import derived_uid
from coread.domain.results import Provenance, Reading, ReadResult

CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
SC = "1.2.840.10008.5.1.4.1.1.7"
CT = "1.2.840.10008.5.1.4.1.1.2"
PNEUMOTHORAX = Code("36118008", "SCT", "Pneumothorax")
EFFUSION = Code("60046008", "SCT", "Pleural effusion")
NODULE = Code("427359005", "SCT", "Solitary nodule of lung")
THORAX_MODALITY = {CR: "CR", DX: "DX", SC: "OT", CT: "CT"}


def identity(dataset: Dataset, **changes: Any) -> None:
    values: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "PatientID": "PAT-0001",
        "PatientBirthDate": "19700203",
        "PatientSex": "F",
        "PatientAge": "056Y",
        "StudyInstanceUID": derived_uid("test", "study"),
        "SeriesInstanceUID": derived_uid("test", "series"),
        "SOPInstanceUID": derived_uid("test", "instance"),
        "StudyDate": "20261101",
        "StudyTime": "101112",
        "StudyID": "S1",
        "AccessionNumber": "ACC123",
        "ReferringPhysicianName": "Refer^Ring",
        "StudyDescription": "Chest frontal",
    }
    for keyword, value in (values | changes).items():
        setattr(dataset, keyword, value)


def radiograph(sop_class_uid: str = DX, *, rows: int = 128, columns: int = 96, **changes: Any) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = sop_class_uid
    dataset.Modality = THORAX_MODALITY[sop_class_uid]
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.BodyPartExamined, dataset.ViewPosition = "CHEST", "PA"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.PatientOrientation = ["L", "F"]
    dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LIN", 1
    dataset.ImagerPixelSpacing = [0.2, 0.2]
    dataset.PresentationIntentType, dataset.PresentationLUTShape = "FOR PRESENTATION", "IDENTITY"
    identity(dataset, **changes)
    grey = np.hypot(*np.meshgrid(np.linspace(-1, 1, columns), np.linspace(-1, 1, rows)))
    return with_pixels(dataset, (4095 * np.clip(grey, 0, 1)).astype(np.uint16), bits=12)


def with_pixels(dataset: Dataset, pixels: Any, *, bits: int = 16, signed: bool = False) -> Dataset:
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation = int(signed)
    dataset.PixelData = pixels.tobytes()
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def reference(dataset: Dataset, frame: int = 1) -> ImageReference:
    return ImageReference(dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.SeriesInstanceUID, frame)


def card(kind: ReaderKind = ReaderKind.DETECTION) -> ReaderCard:
    estimate = Estimate(0.9, 0.85, 0.94, 412)
    point = OperatingPoint(
        "balanced", 0.42, "Youden index on the calibration patients", estimate, estimate, "held-out patients"
    )
    keys = (("pneumothorax", PNEUMOTHORAX, True), ("effusion", EFFUSION, False), ("nodule", NODULE, False))
    outputs = tuple(
        OutputSpec(key, concept.meaning, concept, CHEST, urgent, estimate, (point,), "balanced")
        for key, concept, urgent in keys
    )
    return ReaderCard(
        reader_id="chest_xray",
        name="Chest X-ray",
        version="1.2.0",
        kind=kind,
        intended_use="Research on frontal chest radiographs of adults",
        not_for="Diagnosis",
        research_use=True,
        input=InputContract(("DX", "CR"), (CR, DX), ("CHEST",), ("PA", "AP"), 16.0, None, 64, 64, 10**8, 1, 4),
        outputs=outputs,
        training_data=("public data",),
        training_licence="CC-BY-4.0",
        validation="patient-level split",
        limits=("Not for children",),
        resources=Resources(2048, 30.0),
    )


def findings(image: ImageReference) -> tuple[Finding, ...]:
    heat = np.zeros((8, 6), dtype=np.float32)
    heat[1:3, 1:3] = [[0.5, 1.0], [0.75, 0.25]]
    present = Finding(
        "pneumothorax",
        PNEUMOTHORAX,
        Presence.PRESENT,
        probability=0.8312345678901,
        threshold=0.42,
        operating_point="balanced",
        site=CHEST,
        laterality=RIGHT,
        tracking=TrackingId("PTX 1", derived_uid("test", "lesion")),
        images=(image,),
        locations=(Box(image, 10.5, 12.25, 30.0, 40.75),),
        heat_maps=(HeatMap(image, heat),),
        urgent=True,
    )
    absent = Finding("effusion", EFFUSION, Presence.ABSENT, 0.07, 0.42, "balanced", site=CHEST, images=(image,))
    unknown = Finding("nodule", NODULE, Presence.NOT_ASSESSED, images=(image,))
    return present, absent, unknown


def provenance(input_digest: str = "a" * 64) -> Provenance:
    return Provenance(
        "chest_xray",
        "1.2.0",
        "0123456789abcdef" * 4,
        input_digest,
        "0.1.0",
        "onnxruntime 1.32.0 CPUExecutionProvider",
        datetime(2026, 11, 1, 10, 15, 0, tzinfo=UTC),
        datetime(2026, 11, 1, 10, 15, 3, 250000, tzinfo=UTC),
    )


def reading(result: ReadResult) -> Reading:
    return Reading(result, provenance())
