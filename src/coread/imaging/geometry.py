"""From Image Plane attributes to affines, and from image coordinates to the patient and back (PS3.3 C.7.6.2.1)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain.geometry import Geometry, affine_of
from coread.domain.study import InstanceHeader
from coread.imaging.errors import MixedGeometry

Vector = NDArray[np.float64]
_UNIT_TOLERANCE = 1e-2
"""Direction cosines are written with few digits; more than this off a unit right angle is an error."""


def plane_axes(orientation: Sequence[float]) -> tuple[Vector, Vector, Vector]:
    """Return unit vectors (LPS) along increasing column index, along increasing row index, and their normal.

    ``orientation`` is Image Orientation (Patient): the direction of the first row, then of the first column.
    """
    along_row, along_column = np.asarray(orientation[:3], float), np.asarray(orientation[3:], float)
    lengths = np.linalg.norm(along_row), np.linalg.norm(along_column)
    if min(lengths) == 0 or abs(float(along_row @ along_column)) > _UNIT_TOLERANCE:
        raise MixedGeometry("Image Orientation (Patient) is not two perpendicular directions")
    if max(abs(length - 1) for length in lengths) > _UNIT_TOLERANCE:
        raise MixedGeometry("Image Orientation (Patient) is not two unit vectors")
    along_row, along_column = along_row / lengths[0], along_column / lengths[1]
    return along_row, along_column, np.cross(along_row, along_column)


def plane_matrix(
    position: Sequence[float], orientation: Sequence[float], spacing_mm: tuple[float, float], step: Vector
) -> NDArray[np.float64]:
    """Return the 4x4 matrix from (slice, row, column, 1) to LPS mm; ``spacing_mm`` is (row, column) Pixel Spacing.

    ``step`` leads from one slice to the next; it need not be perpendicular to the plane (tilted gantry).
    """
    along_row, along_column, _ = plane_axes(orientation)
    matrix = np.eye(4)
    matrix[:3, 0] = step
    matrix[:3, 1] = along_column * spacing_mm[0]
    matrix[:3, 2] = along_row * spacing_mm[1]
    matrix[:3, 3] = position
    return matrix


def planar_geometry(
    attributes: Dataset, header: InstanceHeader, shape: tuple[int, int]
) -> tuple[tuple[float, float] | None, Geometry | None]:
    """Return (row, column) spacing and, for cross-sectional images with a position, the frame's geometry.

    Projection radiographs have Imager Pixel Spacing (0018,1164), measured at the detector, unless calibrated
    Pixel Spacing (0028,0030) is there (PS3.3 10.7.1.3).
    """
    spacing = pair(attributes.get("PixelSpacing")) or pair(attributes.get("ImagerPixelSpacing"))
    position = numbers(attributes.get("ImagePositionPatient"), 3)
    orientation = numbers(attributes.get("ImageOrientationPatient"), 6)
    if spacing is None or not position or not orientation:
        return spacing, None
    normal = plane_axes(orientation)[2]
    thickness = numbers([attributes.get("SliceThickness")], 1)
    step = normal * (thickness[0] if thickness and thickness[0] > 0 else 1.0)
    matrix = plane_matrix(position, orientation, spacing, step)
    return spacing, Geometry((1, *shape), affine_of(matrix), header.frame_of_reference_uid)


def pair(value: Any) -> tuple[float, float] | None:
    """Return two positive numbers of a DS value, or ``None``."""
    found = numbers(value, 2)
    return (found[0], found[1]) if found and min(found) > 0 else None


def numbers(value: Any, count: int) -> tuple[float, ...]:
    """Return ``count`` finite numbers, or nothing where the value is another."""
    if value is None or isinstance(value, str | bytes) or not hasattr(value, "__len__") or len(value) != count:
        return ()
    try:
        found = tuple(float(part) for part in value)
    except (TypeError, ValueError):
        return ()
    return found if all(np.isfinite(found)) else ()


def index_of_scoord(points: NDArray[Any]) -> NDArray[np.float64]:
    """Turn SCOORD (column, row), whose (0.5, 0.5) is the centre of the first pixel, into (row, column) indices.

    PS3.3 C.18.6.1.1: (0, 0) is the top left *corner* of the top left pixel.
    """
    return np.asarray(np.asarray(points, dtype=np.float64)[:, ::-1] - 0.5)


def scoord_of_index(indices: NDArray[Any]) -> NDArray[np.float64]:
    """Turn (row, column) indices of pixel centres into SCOORD (column, row)."""
    return np.asarray(np.asarray(indices, dtype=np.float64)[:, ::-1] + 0.5)


def scoord3d_of_scoord(points: NDArray[Any], geometry: Geometry, slice_index: int = 0) -> NDArray[np.float64]:
    """Turn SCOORD (column, row) on slice ``slice_index`` into SCOORD3D (x, y, z), LPS mm (PS3.3 C.18.9)."""
    indices = index_of_scoord(points)
    slices = np.full((len(indices), 1), float(slice_index))
    return geometry.to_patient(np.hstack([slices, indices]))


def scoord_of_scoord3d(points: NDArray[Any], geometry: Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn SCOORD3D (x, y, z) into (fractional slice indices, SCOORD (column, row))."""
    indices = geometry.to_index(points)
    return indices[:, 0], scoord_of_index(indices[:, 1:])
