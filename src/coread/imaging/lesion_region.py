"""The part of a volume that a lesion is looked for in: a grid along the patient's axes, and the way back.

Only what lies around the prompt is touched, so that a scan of the whole body costs no more than a cut-out. Arrays on
the grid are (z, y, x): z rises to the head, y to the back, x to the patient's left, whatever the order of the source.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Volume
from coread.imaging.errors import PixelsNotFinite
from coread.imaging.prompts import Doubles
from coread.imaging.resampling import resampled_array

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
_FINEST_SHARE = 0.6
"""Of the smallest spacing: finer steps would only repeat what the scanner saw."""
_AROUND = 4
"""Voxels of the source that are taken along on each side."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """Values on a grid of equal steps along the patient's axes (z, y, x)."""

    grid: Geometry
    values: Floats

    @property
    def step_mm(self) -> float:
        """Return the step of the grid."""
        return self.grid.spacing_mm()[0]

    def offsets_mm(self, center_mm: Doubles) -> tuple[Floats, Floats, Floats]:
        """Return z (z, 1, 1), y (y, 1) and x (x,) of the voxel centres from a place, mm: they broadcast."""
        origin, step = self.grid.matrix()[:3, 3], self.step_mm
        x, y, z = (
            (origin[axis] + step * np.arange(self.grid.shape[2 - axis]) - center_mm[axis]).astype(np.float32)
            for axis in range(3)
        )
        return z[:, None, None], y[:, None], x


def region_around(volume: Volume, box_mm: Doubles, *, across: int, beside: float) -> Region:
    """Return the values around a box (2, 3), LPS mm, whose longest side has ``across`` steps.

    ``beside`` of each side is added on both sides of it. Beyond the volume its smallest value near there goes on.
    Raises PixelsNotFinite.
    """
    sides = np.ptp(box_mm, axis=0)
    step = max(float(sides.max()) / across, _FINEST_SHARE * min(volume.geometry.spacing_mm()))
    counts = np.ceil(sides * (1 + 2 * beside) / step).astype(int) + 4
    matrix = np.zeros((3, 4))
    matrix[2, 0] = matrix[1, 1] = matrix[0, 2] = step
    matrix[:, 3] = box_mm.mean(axis=0) - (counts - 1) * step / 2
    shape = (int(counts[2]), int(counts[1]), int(counts[0]))
    grid = Geometry(shape, affine_of(matrix), volume.geometry.frame_of_reference_uid)
    place, part = part_around(volume.geometry, grid)
    voxels = volume.voxels[place]
    if not np.isfinite(voxels).all():
        raise PixelsNotFinite("around the place that was pointed at")
    values = resampled_array(voxels, part, grid, outside=float(voxels.min()), smooth=True)
    return Region(grid, np.asarray(values, dtype=np.float32))


def part_around(geometry: Geometry, grid: Geometry) -> tuple[tuple[slice, slice, slice], Geometry]:
    """Return which voxels of a geometry a grid reaches, with a few beside, and the geometry of this part."""
    corners = np.array([[k, r, c] for k in (0, 1) for r in (0, 1) for c in (0, 1)], dtype=np.float64)
    index = geometry.to_index(grid.to_patient(corners * (np.asarray(grid.shape) - 1)))
    highest = np.asarray(geometry.shape) - 1
    low = np.clip(np.floor(index.min(axis=0)) - _AROUND, 0, highest).astype(int)
    high = np.clip(np.ceil(index.max(axis=0)) + _AROUND, 0, highest).astype(int)
    matrix = geometry.matrix()
    matrix[:3, 3] = geometry.to_patient(low[None])[0]
    extent = (high - low + 1).tolist()
    part = Geometry((extent[0], extent[1], extent[2]), affine_of(matrix), geometry.frame_of_reference_uid)
    first, last = low.tolist(), (high + 1).tolist()
    return (slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2])), part


def on_source(inside: Floats, grid: Geometry, geometry: Geometry) -> Mask:
    """Return shares (z, y, x) in [0, 1] of a grid as a mask of the source: a voxel is inside from one half on."""
    mask = np.zeros(geometry.shape, dtype=np.bool_)
    place, part = part_around(geometry, grid)
    mask[place] = resampled_array(inside, grid, part, outside=0.0) > 0.5
    return mask
