"""An 8-bit picture, grey or colour, as a data set of any planar class: what generated images of any part become."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from coread.domain.identifiers import derived_uid
from coread.phantoms.dx import Identity, file_meta, patient_and_study

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"
OPHTHALMIC_PHOTOGRAPHY_8BIT = "1.2.840.10008.5.1.4.1.1.77.1.5.1"
VL_ENDOSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.1"


@dataclass(frozen=True, slots=True)
class Taken:
    """What the picture shows and how it is coded."""

    modality: str
    body_part: str
    sop_class_uid: str = SECONDARY_CAPTURE
    spacing_mm: float | None = None
    """Pixel Spacing where it is known."""
    view_position: str = ""
    laterality: str = ""


def identity_of(subject: str, seed: int) -> Identity:
    """Return the identity of a generated picture of ``subject``: nobody, and it says so."""
    return Identity(
        patient_name=f"SYNTHETIC^{subject.upper()}{seed:02d}",
        patient_id=f"SYN-{subject.upper()}-{seed:02d}",
        accession_number=f"SYN{subject[:8].upper()}{seed:02d}",
        study_description=f"SYNTHETIC {subject}",
        series_description=f"SYNTHETIC {subject}",
        uid_seed=f"{subject}-{seed}",
    )


def picture(pixels: NDArray[np.uint8], identity: Identity, taken: Taken) -> Dataset:
    """Return a data set around (rows, columns) grey or (rows, columns, 3) red, green, blue values of 8 bits."""
    dataset = Dataset()
    patient_and_study(dataset, identity)
    dataset.Modality = taken.modality
    dataset.SeriesInstanceUID = derived_uid("phantom-series", identity.uid_seed)
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.SeriesDescription = identity.series_description
    dataset.BodyPartExamined = taken.body_part
    dataset.ViewPosition = taken.view_position
    dataset.Laterality = taken.laterality
    dataset.Manufacturer, dataset.ManufacturerModelName = "Coread", "phantom"
    dataset.ConversionType = "SYN"
    dataset.SOPClassUID = taken.sop_class_uid
    dataset.SOPInstanceUID = derived_uid("phantom-instance", identity.uid_seed)
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.BurnedInAnnotation = "NO"
    if taken.spacing_mm is not None:
        dataset.PixelSpacing = [taken.spacing_mm, taken.spacing_mm]
    _pixels(dataset, pixels)
    dataset.file_meta = file_meta(dataset, ExplicitVRLittleEndian)
    return dataset


def _pixels(dataset: Dataset, pixels: NDArray[np.uint8]) -> None:
    colour = pixels.ndim == 3
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    raw = np.ascontiguousarray(pixels).tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    dataset["PixelData"].VR = "OB"
