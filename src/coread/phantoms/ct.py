"""CT series of simple shapes in any orientation, with known places in the patient, and with faults on request."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain.errors import InvalidRecord
from coread.domain.identifiers import derived_uid
from coread.phantoms.dx import Identity, file_meta

CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
AXIAL = ((0, 1, 0), (1, 0, 0), (0, 0, 1))
AIR_HU, BODY_HU = -1000, 40
Axis = tuple[int, int, int]


def all_orientations() -> tuple[tuple[Axis, Axis, Axis], ...]:
    """Return the 48 ways to lay (row, column, slice) index axes along the patient's axes, each with a sign.

    Each is three unit vectors (LPS): along increasing row index, along increasing column index, to the next slice.
    """
    found: list[tuple[Axis, Axis, Axis]] = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            axes = []
            for axis, sign in zip(order, signs, strict=True):
                vector = [0, 0, 0]
                vector[axis] = sign
                axes.append((vector[0], vector[1], vector[2]))
            found.append((axes[0], axes[1], axes[2]))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Ball:
    """A sphere in the patient, LPS mm."""

    center_mm: tuple[float, float, float]
    radius_mm: float
    hounsfield: int = 200


CT_IDENTITY = Identity(
    patient_name="SYNTHETIC^CT01",
    patient_id="SYN-CT-01",
    accession_number="SYNCT01",
    study_description="SYNTHETIC CT",
    series_description="SYNTHETIC CT shapes",
    uid_seed="ct-1",
)


@dataclass(frozen=True, slots=True)
class CtRecipe:
    """What to compute. The same recipe gives the same objects."""

    seed: int = 1
    rows: int = 48
    columns: int = 40
    slices: int = 20
    spacing_mm: tuple[float, float] = (1.5, 1.2)
    """Pixel Spacing: between rows, between columns."""
    gap_mm: float = 2.5
    orientation: tuple[Axis, Axis, Axis] = AXIAL
    tilt_degrees: float = 0.0
    """Gantry tilt: the planes turn about their rows while the table moves as before."""
    center_mm: tuple[float, float, float] = (10.0, -20.0, 35.0)
    balls: tuple[Ball, ...] = (Ball((16.0, -12.0, 41.0), 8.0),)
    missing: tuple[int, ...] = ()
    """Slices (from 0) that are left out."""
    doubled: tuple[int, ...] = ()
    """Slices that come twice, at the same position under another SOP Instance UID."""
    identity: Identity = CT_IDENTITY

    def __post_init__(self) -> None:
        if min(self.rows, self.columns, self.slices) < 1 or abs(self.tilt_degrees) > 60:
            raise InvalidRecord(f"CT recipe: {self.slices} x {self.rows} x {self.columns}, tilt {self.tilt_degrees}")


def ct_affine(recipe: CtRecipe) -> NDArray[np.float64]:
    """Return the true 4x4 matrix from (slice, row, column, 1) to LPS mm."""
    down, across, table = (np.asarray(axis, dtype=np.float64) for axis in recipe.orientation)
    angle = np.radians(recipe.tilt_degrees)
    tilted = down * np.cos(angle) + table * np.sin(angle)
    matrix = np.eye(4)
    matrix[:3, 0] = table * recipe.gap_mm
    matrix[:3, 1] = tilted * recipe.spacing_mm[0]
    matrix[:3, 2] = across * recipe.spacing_mm[1]
    middle = np.array([recipe.slices - 1, recipe.rows - 1, recipe.columns - 1]) / 2
    matrix[:3, 3] = np.asarray(recipe.center_mm) - matrix[:3, :3] @ middle
    return matrix


def ct_voxels(recipe: CtRecipe) -> NDArray[np.int16]:
    """Return the true Hounsfield values (slices, rows, columns)."""
    shape = (recipe.slices, recipe.rows, recipe.columns)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    matrix = ct_affine(recipe)
    positions = index @ matrix[:3, :3].T + matrix[:3, 3]
    extent = 0.45 * min(recipe.rows * recipe.spacing_mm[0], recipe.columns * recipe.spacing_mm[1])
    down, across, _ = (np.asarray(axis, dtype=np.float64) for axis in recipe.orientation)
    offset = positions - np.asarray(recipe.center_mm)
    voxels = np.where(np.hypot(offset @ down, offset @ across) < extent, BODY_HU, AIR_HU).astype(np.int16)
    for ball in recipe.balls:
        inside = np.linalg.norm(positions - np.asarray(ball.center_mm), axis=-1) < ball.radius_mm
        voxels[inside] = ball.hounsfield
    noise = np.random.default_rng(recipe.seed).normal(0, 3, shape)
    return np.asarray(np.clip(voxels + np.rint(noise), -1024, 3071), dtype=np.int16)


def ct_series(recipe: CtRecipe) -> list[Dataset]:
    """Return the data sets of the series, ready to save, in slice order."""
    voxels, matrix = ct_voxels(recipe), ct_affine(recipe)
    series = []
    for k in range(recipe.slices):
        if k not in recipe.missing:
            series.append(_slice(recipe, voxels[k], matrix, k, ""))
        if k in recipe.doubled:
            series.append(_slice(recipe, voxels[k], matrix, k, "again"))
    return series


def with_orientation(recipe: CtRecipe, number: int) -> CtRecipe:
    """Return the recipe in one of the 48 orientations (0 to 47), with identifiers of its own."""
    identity = replace(recipe.identity, uid_seed=f"{recipe.identity.uid_seed}-{number}")
    return replace(recipe, orientation=all_orientations()[number], identity=identity)


def _slice(recipe: CtRecipe, values: NDArray[np.int16], matrix: NDArray[np.float64], k: int, copy: str) -> Dataset:
    dataset = Dataset()
    identity = recipe.identity
    _study(dataset, identity)
    dataset.SOPClassUID = CT_STORAGE
    dataset.SOPInstanceUID = derived_uid("phantom-ct", identity.uid_seed, str(k), copy)
    dataset.InstanceNumber = k + 1 if not copy else recipe.slices + k + 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.AcquisitionNumber = 1
    dataset.ContentDate, dataset.ContentTime = identity.study_date, identity.study_time
    dataset.FrameOfReferenceUID = derived_uid("phantom-frame", identity.uid_seed)
    dataset.PositionReferenceIndicator = ""
    _place(dataset, recipe, matrix, k)
    dataset.KVP = 120
    dataset.GantryDetectorTilt = _text(recipe.tilt_degrees)
    _ct_pixels(dataset, values)
    dataset.file_meta = file_meta(dataset)
    return dataset


def _study(dataset: Dataset, identity: Identity) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID = identity.patient_name, identity.patient_id
    dataset.PatientBirthDate, dataset.PatientSex = identity.patient_birth_date, identity.patient_sex
    dataset.PatientAge, dataset.PatientComments = identity.patient_age, identity.patient_comments
    dataset.StudyInstanceUID = derived_uid("phantom-study", identity.uid_seed)
    dataset.SeriesInstanceUID = derived_uid("phantom-series", identity.uid_seed)
    dataset.StudyDate = dataset.SeriesDate = identity.study_date
    dataset.StudyTime = dataset.SeriesTime = identity.study_time
    dataset.AccessionNumber, dataset.StudyID, dataset.SeriesNumber = identity.accession_number, "1", 1
    dataset.ReferringPhysicianName = identity.referring_physician_name
    dataset.StudyDescription = identity.study_description
    dataset.SeriesDescription = identity.series_description
    dataset.Modality, dataset.BodyPartExamined = "CT", "CHEST"
    dataset.PatientPosition = "HFS"
    dataset.Manufacturer, dataset.ManufacturerModelName = "Coread", "phantom"
    dataset.StationName, dataset.SoftwareVersions, dataset.DeviceSerialNumber = "PHANTOM", "1", "1"
    dataset.InstitutionName = identity.institution_name


def _place(dataset: Dataset, recipe: CtRecipe, matrix: NDArray[np.float64], k: int) -> None:
    position = matrix[:3, 0] * k + matrix[:3, 3]
    along_row = matrix[:3, 2] / recipe.spacing_mm[1]
    along_column = matrix[:3, 1] / recipe.spacing_mm[0]
    dataset.ImagePositionPatient = [_text(v) for v in position]
    dataset.ImageOrientationPatient = [_text(v) for v in (*along_row, *along_column)]
    dataset.PixelSpacing = [_text(v) for v in recipe.spacing_mm]
    dataset.SliceThickness = _text(recipe.gap_mm)


def _text(value: float) -> str:
    """Return a DS of at most 16 characters."""
    return f"{float(value):.8f}".rstrip("0").rstrip(".")[:16] if abs(value) >= 1e-8 else "0"


def _ct_pixels(dataset: Dataset, values: NDArray[np.int16]) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = values.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = -1024, 1, "HU"
    dataset.WindowCenter, dataset.WindowWidth = 40, 400
    dataset.PixelData = (values.astype(np.int32) + 1024).astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
