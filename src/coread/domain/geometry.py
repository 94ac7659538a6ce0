"""Where voxels lie in the patient: LPS, millimetres, affine from index to position (PS3.3 C.7.6.2)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import InvalidRecord

Affine = tuple[
    tuple[float, float, float, float],
    tuple[float, float, float, float],
    tuple[float, float, float, float],
]
"""Three rows of the 4x4 matrix that takes (slice, row, column, 1) to (x, y, z) in LPS millimetres."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """A regular voxel grid of one frame of reference.

    ``shape`` is (slices, rows, columns). ``affine`` maps the *centre* of voxel (k, r, c) to LPS mm.
    The slice axis need not be perpendicular to the rows and columns (tilted gantry).
    """

    shape: tuple[int, int, int]
    affine: Affine
    frame_of_reference_uid: str

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise InvalidRecord(f"geometry of shape {self.shape}: every axis needs at least one voxel")
        matrix = self.matrix()[:3, :3]
        if not np.isfinite(self.matrix()).all() or abs(np.linalg.det(matrix)) < 1e-9:
            raise InvalidRecord("geometry is not invertible: two axes are parallel or a spacing is zero")

    def matrix(self) -> NDArray[np.float64]:
        """Return the 4x4 matrix from (k, r, c, 1) to (x, y, z, 1), LPS mm."""
        return np.vstack([np.asarray(self.affine, dtype=np.float64), [0.0, 0.0, 0.0, 1.0]])

    def spacing_mm(self) -> tuple[float, float, float]:
        """Return the distance between voxel centres along (slice, row, column) axes, mm."""
        lengths = np.linalg.norm(self.matrix()[:3, :3], axis=0)
        return float(lengths[0]), float(lengths[1]), float(lengths[2])

    def to_patient(self, index: NDArray[Any]) -> NDArray[np.float64]:
        """Map indices (N, 3) in (slice, row, column) order to positions (N, 3), LPS mm."""
        matrix = self.matrix()
        return np.asarray(np.asarray(index, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3], dtype=np.float64)

    def to_index(self, position: NDArray[Any]) -> NDArray[np.float64]:
        """Map positions (N, 3), LPS mm, to fractional indices (N, 3) in (slice, row, column) order."""
        matrix = self.matrix()
        shifted = np.asarray(position, dtype=np.float64) - matrix[:3, 3]
        return np.asarray(np.linalg.solve(matrix[:3, :3], shifted.T).T, dtype=np.float64)


def affine_of(matrix: NDArray[Any]) -> Affine:
    """Turn a 3x4 or 4x4 array into the hashable rows that a Geometry keeps."""
    rows = [tuple(float(v) for v in row) for row in np.asarray(matrix, dtype=np.float64)[:3]]
    if len(rows) != 3 or any(len(row) != 4 for row in rows):
        raise InvalidRecord(f"an affine needs three rows of four numbers, got {np.asarray(matrix).shape}")
    return (rows[0], rows[1], rows[2])  # type: ignore[return-value]
