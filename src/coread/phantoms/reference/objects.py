"""Voxels as a real series: one CT Image or MR Image object for each slice (PS3.3 A.3, A.4), every one SYNTHETIC."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain.identifiers import derived_uid
from coread.phantoms.dx import Identity, file_meta, patient_and_study
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.scan import Grid

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
COMMENT = "SYNTHETIC: digital reference object, computed, not a person"
CT_PADDING_HU = -1024
_MOST_STORED = 4095


@dataclass(frozen=True, slots=True)
class Examination:
    """Whose series, when: the same study for every series of one examination."""

    identity: Identity
    frame_of_reference_uid: str

    @property
    def study_instance_uid(self) -> str:
        """Return the UID that ``patient_and_study`` writes."""
        return derived_uid("phantom-study", self.identity.uid_seed)


def examination(name: str, digest: str, date: str, *, sex: str = "O", age: str = "061Y") -> Examination:
    """Return the examination of a phantom on a date; one phantom with one truth is one patient."""
    short = name.upper()
    identity = Identity(
        patient_name=f"SYNTHETIC^{short.replace('-', '')}", patient_id=f"SYN-{short}-{digest[:8].upper()}",
        patient_sex=sex, patient_age=age, patient_birth_date="19650101", patient_comments=COMMENT,
        accession_number=f"SYN{digest[:6].upper()}{date[2:]}"[:16], study_date=date, study_time="101500",
        study_description=f"SYNTHETIC {name}", series_description=f"SYNTHETIC {name}", uid_seed=f"{digest}-{date}",
    )  # fmt: skip
    return Examination(identity, derived_uid("phantom-frame", digest, date))


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceSeries:
    """One series before it becomes files: voxels with geometry, and what its headers say."""

    examination: Examination
    modality: str
    """``CT`` or ``MR``."""
    number: int
    description: str
    body_part: str
    grid: Grid
    voxels: NDArray[np.float32]
    """(slices, rows, columns), or (phases, slices, rows, columns); HU for CT, stored signal for MR."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """More attributes of every image, by keyword."""
    phases: tuple[Mapping[str, Any], ...] = ()
    """More attributes of the images of each phase, by keyword."""
    labels: NDArray[np.uint8] | None = None
    """(slices, rows, columns): what lies at the centre of a voxel, from 1 in the order of ``label_names``; 0 is air."""
    label_names: tuple[str, ...] = ()

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Return the voxels (slices, rows, columns) whose centre lies in a structure."""
        if self.labels is None or name not in self.label_names:
            raise BadTruth(f"no mask of {name!r}; there are {', '.join(self.label_names) or 'none'}")
        return np.asarray(self.labels == self.label_names.index(name) + 1)

    @property
    def series_instance_uid(self) -> str:
        """Return the UID of the series."""
        return derived_uid("phantom-series", self.examination.identity.uid_seed, str(self.number))

    def datasets(self) -> Iterator[Dataset]:
        """Yield the images, ready to save: phase by phase, slice by slice."""
        volumes = self.voxels if self.voxels.ndim == 4 else self.voxels[np.newaxis]
        number = 0
        for phase, volume in enumerate(volumes):
            more = self.phases[phase] if self.phases else {}
            for k in range(volume.shape[0]):
                number += 1
                yield self._image(volume[k], k, number, more)

    def _image(self, pixels: NDArray[np.float32], k: int, number: int, more: Mapping[str, Any]) -> Dataset:
        dataset = Dataset()
        identity = self.examination.identity
        patient_and_study(dataset, identity)
        series_and_equipment(dataset, self, number)
        dataset.FrameOfReferenceUID = self.examination.frame_of_reference_uid
        dataset.PositionReferenceIndicator = ""
        place(dataset, self.grid, k)
        if self.modality == "CT":
            _ct(dataset, pixels, self.grid)
        else:
            _mr(dataset, pixels)
        for keyword, value in {**self.attributes, **more}.items():
            setattr(dataset, keyword, value)
        dataset.file_meta = file_meta(dataset)
        return dataset


def series_and_equipment(dataset: Dataset, series: Any, number: int) -> None:
    """Fill in the series, equipment and general image modules (PS3.3 C.7.3.1, C.7.5.1, C.7.6.1)."""
    identity = series.examination.identity
    dataset.Modality, dataset.SeriesNumber, dataset.BodyPartExamined = series.modality, series.number, series.body_part
    dataset.SeriesInstanceUID = series.series_instance_uid
    dataset.SOPInstanceUID = derived_uid("phantom-instance", series.series_instance_uid, str(number))
    dataset.InstanceNumber, dataset.AcquisitionNumber = number, 1
    dataset.SeriesDescription = series.description
    dataset.SeriesDate = dataset.ContentDate = dataset.AcquisitionDate = identity.study_date
    dataset.SeriesTime = dataset.ContentTime = dataset.AcquisitionTime = identity.study_time
    dataset.ImageComments = COMMENT
    dataset.BurnedInAnnotation = "NO"
    dataset.Manufacturer, dataset.ManufacturerModelName = "Coread", "digital reference object"
    dataset.StationName, dataset.SoftwareVersions, dataset.DeviceSerialNumber = "PHANTOM", "1", "1"
    dataset.InstitutionName = identity.institution_name


def place(dataset: Dataset, grid: Grid, k: int) -> None:
    """Fill in the image plane module of slice ``k`` (PS3.3 C.7.6.2)."""
    matrix, (gap, down, across) = grid.geometry.matrix(), grid.geometry.spacing_mm()
    dataset.PatientPosition = "HFS"
    dataset.ImagePositionPatient = [ds(v) for v in matrix[:3, 0] * k + matrix[:3, 3]]
    dataset.ImageOrientationPatient = [ds(v) for v in (*(matrix[:3, 2] / across), *(matrix[:3, 1] / down))]
    dataset.PixelSpacing = [ds(down), ds(across)]
    dataset.SliceThickness = ds(gap * grid.thickness_share)
    if dataset.Modality == "MR":
        dataset.SpacingBetweenSlices = ds(gap)


def ds(value: float) -> str:
    """Return a decimal string of at most 16 characters (PS3.5 section 6.2)."""
    text = f"{float(value):.9f}".rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text[:16]


def _ct(dataset: Dataset, pixels: NDArray[np.float32], grid: Grid) -> None:
    dataset.SOPClassUID = CT_IMAGE
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.GantryDetectorTilt = ds(grid.tilt_degrees)
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = CT_PADDING_HU, 1, "HU"
    dataset.WindowCenter, dataset.WindowWidth = 40, 400
    stored_pixels(dataset, np.clip(np.rint(pixels) - CT_PADDING_HU, 0, _MOST_STORED).astype(np.uint16))


def _mr(dataset: Dataset, pixels: NDArray[np.float32]) -> None:
    dataset.SOPClassUID = MR_IMAGE
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    dataset.WindowCenter, dataset.WindowWidth = 500, 1000
    stored_pixels(dataset, np.clip(np.rint(pixels), 0, _MOST_STORED).astype(np.uint16))


def stored_pixels(dataset: Dataset, stored: NDArray[np.uint16]) -> None:
    """Fill in the image pixel module with 12 bits (PS3.3 C.7.6.3)."""
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = stored.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
