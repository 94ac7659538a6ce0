"""The grid that the spine is looked for on: along the patient's axes, one step everywhere; and places on it.

Arrays are (z, y, x): z rises to the head, y to the back, x to the patient's left. Places are mm from the first voxel.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Volume
from coread.imaging.resampling import resampled_array

STEP_MM = 1.5
AIR_HU = -1024.0
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """Hounsfield units (z, y, x) and the step between voxels, mm."""

    hu: Floats
    step_mm: float

    def size_mm(self) -> Doubles:
        """Return the distance from the first to the last voxel centre along each axis."""
        return np.asarray((np.asarray(self.hu.shape) - 1) * self.step_mm, dtype=np.float64)

    def at(self, places_mm: Doubles) -> Floats:
        """Return values (...) at places (..., 3), mm; beyond the field it is air."""
        from scipy.ndimage import map_coordinates

        flat = (places_mm.reshape(-1, 3) / self.step_mm).T.astype(np.float32)
        values = map_coordinates(self.hu, flat, order=1, mode="constant", cval=AIR_HU)
        return np.asarray(values.reshape(places_mm.shape[:-1]), dtype=np.float32)


def working_grid(geometry: Geometry, step_mm: float = STEP_MM) -> Geometry:
    """Return the grid along the patient's axes that covers a volume, whatever its orientation and tilt."""
    corners = np.array([[k, r, c] for k in (0, 1) for r in (0, 1) for c in (0, 1)], dtype=np.float64)
    places = geometry.to_patient(corners * (np.asarray(geometry.shape) - 1))
    low, high = places.min(axis=0), places.max(axis=0)
    counts = np.maximum(1, np.floor((high - low) / step_mm + 1e-6).astype(int) + 1)
    matrix = np.zeros((3, 4))
    matrix[2, 0] = matrix[1, 1] = matrix[0, 2] = step_mm
    # The box is centred, so that it is the same when the axes of the source run the other way.
    matrix[:, 3] = (low + high) / 2 - (counts - 1) * step_mm / 2
    shape = (int(counts[2]), int(counts[1]), int(counts[0]))
    return Geometry(shape, affine_of(matrix), geometry.frame_of_reference_uid)


def on_working_grid(volume: Volume, grid: Geometry) -> Floats:
    """Return the values of a volume on a working grid; smoothed first where the grid is coarser."""
    values = resampled_array(volume.voxels, volume.geometry, grid, outside=AIR_HU, smooth=True)
    return np.asarray(values, dtype=np.float32)
