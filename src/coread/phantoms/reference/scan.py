"""How a reference object is scanned: spacing, orientation, tilt, noise, kernel, dates; and the grid that follows."""

import datetime
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry, affine_of
from coread.phantoms.ct import AXIAL, Axis, all_orientations
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.shapes import Bounds, Triple

CORONAL: tuple[Axis, Axis, Axis] = ((0, 0, -1), (1, 0, 0), (0, 1, 0))
SAGITTAL: tuple[Axis, Axis, Axis] = ((0, 0, -1), (0, 1, 0), (1, 0, 0))
NAMED = {"axial": AXIAL, "coronal": CORONAL, "sagittal": SAGITTAL}
FIRST_DATE = "20260102"
_MOST_VOXELS = 400_000_000
_STEEPEST_TILT = 30.0


def orientation_named(text: str) -> tuple[Axis, Axis, Axis]:
    """Return the axes of ``axial``, ``coronal``, ``sagittal`` or a number from 0 to 47.

    Three unit vectors (LPS): along increasing row index, along increasing column index, to the next slice.
    """
    if text in NAMED:
        return NAMED[text]
    if text.isascii() and text.isdigit() and int(text) < 48:
        return all_orientations()[int(text)]
    raise BadTruth(f"orientation {text!r}: axial, coronal, sagittal or 0 to 47")


@dataclass(frozen=True, slots=True)
class Setup:
    """What the scanner does; values left out are the phantom's own."""

    seed: int = 1
    spacing_mm: Triple | None = None
    """Between slices, rows, columns."""
    orientation: str = "axial"
    tilt_degrees: float = 0.0
    """Gantry tilt: the planes turn about their rows while the table moves as before."""
    noise: float | None = None
    """Standard deviation: HU for CT, per cent of the brightest tissue for MR, per mille of full echo for ultrasound."""
    kernel_mm: float | None = None
    """Full width at half maximum of the in-plane blur."""
    dates: tuple[str, ...] = ()
    """YYYYMMDD of each examination, rising."""

    def __post_init__(self) -> None:
        orientation_named(self.orientation)
        if self.seed < 0:
            raise BadTruth(f"seed {self.seed}: 0 or more")
        if self.spacing_mm is not None and not all(0.1 <= step <= 20 for step in self.spacing_mm):
            raise BadTruth(f"spacing {self.spacing_mm} mm: 0.1 to 20")
        if not abs(self.tilt_degrees) <= _STEEPEST_TILT:
            raise BadTruth(f"a tilt of {self.tilt_degrees} degrees: at most {_STEEPEST_TILT:g}")
        for name, value, highest in (("noise", self.noise, 500.0), ("kernel", self.kernel_mm, 10.0)):
            if value is not None and not 0 <= value <= highest:
                raise BadTruth(f"{name} {value}: 0 to {highest:g}")
        days = [day_of(date) for date in self.dates]
        if days != sorted(set(days)):
            raise BadTruth(f"dates {', '.join(self.dates)}: each later than the one before")

    def dates_or(self, defaults: tuple[str, ...]) -> tuple[str, ...]:
        """Return the dates, as many as the phantom has examinations."""
        dates = self.dates or defaults
        if len(dates) != len(defaults):
            raise BadTruth(f"{len(dates)} dates; this phantom has {len(defaults)} examination(s)")
        return dates


def day_of(date: str) -> datetime.date:
    """Return a DICOM date as a day."""
    try:
        if len(date) != 8:
            raise ValueError
        return datetime.datetime.strptime(date, "%Y%m%d").replace(tzinfo=datetime.UTC).date()
    except ValueError as problem:
        raise BadTruth(f"date {date!r}: YYYYMMDD") from problem


@dataclass(frozen=True, slots=True)
class Grid:
    """The geometry of a series and what its header says about it."""

    geometry: Geometry
    orientation: tuple[Axis, Axis, Axis]
    tilt_degrees: float
    thickness_share: float = 1.0
    """Slice thickness as a share of the slice distance."""

    def turned(self, rotation: NDArray[np.float64]) -> "Grid":
        """Return the same grid turned about the origin of the patient: an oblique series."""
        matrix = self.geometry.matrix()
        matrix[:3] = rotation @ matrix[:3]
        found = Geometry(self.geometry.shape, affine_of(_rounded(matrix)), self.geometry.frame_of_reference_uid)
        return replace(self, geometry=found)


def grid_over(field: Bounds, setup: Setup, default_mm: Triple, frame_of_reference_uid: str) -> Grid:
    """Return the grid that covers a box in patient space, LPS mm, whatever the orientation and the tilt."""
    spacing = setup.spacing_mm or default_mm
    axes = orientation_named(setup.orientation)
    down, across, table = (np.asarray(axis, dtype=np.float64) for axis in axes)
    size, middle = np.subtract(field[1], field[0]), np.add(field[0], field[1]) / 2
    angle = np.radians(setup.tilt_degrees)
    rows = ceil(float(np.abs(down) @ size) / np.cos(angle) / spacing[1])
    columns = ceil(float(np.abs(across) @ size) / spacing[2])
    reach = float(np.abs(table) @ size) + abs(float(np.abs(down) @ size) * np.tan(angle))
    slices = ceil(reach / spacing[0])
    shape = (max(slices, 2), max(rows, 2), max(columns, 2))
    if shape[0] * shape[1] * shape[2] > _MOST_VOXELS:
        raise BadTruth(f"{shape[0]} x {shape[1]} x {shape[2]} voxels; at most {_MOST_VOXELS}: use a wider spacing")
    matrix = np.eye(4)
    matrix[:3, 0] = table * spacing[0]
    matrix[:3, 1] = (down * np.cos(angle) + table * np.sin(angle)) * spacing[1]
    matrix[:3, 2] = across * spacing[2]
    matrix[:3, 3] = middle - matrix[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return Grid(Geometry(shape, affine_of(_rounded(matrix)), frame_of_reference_uid), axes, setup.tilt_degrees)


def _rounded(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix as the header can say it: positions to 1e-6 mm."""
    return np.round(matrix, 9)
