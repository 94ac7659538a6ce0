"""Where the images of raw data lie in the patient: ISMRMRD positions and directions (LPS, mm) to a Geometry.

``position`` is the centre of the excited volume; the centred transform puts it into voxel ``N // 2``. Columns grow
along ``read_dir``, rows along ``phase_dir``, slices along ``slice_dir`` (MRD documentation, AcquisitionHeader).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry, affine_of
from coread.imaging.errors import MixedGeometry, SamePosition, UnevenGaps
from coread.imaging.mr.files.flexible_header import Space, Triple

ASSUMED = "the file does not say where the images lie: they are placed axially at the origin"
_SAME_DIRECTION = 2e-3
"""Largest difference of direction cosines between lines that are called parallel."""
_SAME_GAP = 0.02
_SAME_POSITION_MM = 1e-3

Directions = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Grid:
    """The images of one frame before they are placed."""

    shape: tuple[int, int, int]
    """(slices x partitions, rows, columns)"""
    voxel_mm: Triple
    """Along slices, rows, columns."""


def recon_grid(encoded: Space, recon: Space, slices: int) -> Grid:
    """Return the grid that is left when images of the encoded matrix are cut to the field of view that is meant.

    Voxels keep their encoded size: what a scanner interpolates is not invented here. 2D slices take their thickness
    from the field of view. Partitions are never cut: images are (slices x partitions), also where slices were
    oversampled (``oversampled_partitions``).
    """
    columns, rows, _ = (
        max(1, min(n, round(n * wanted / full)))
        for n, wanted, full in zip(encoded.matrix, recon.field_of_view_mm, encoded.field_of_view_mm, strict=True)
    )
    x, y, z = encoded.voxel_mm()
    if encoded.matrix[2] == 1:
        return Grid((slices, rows, columns), (recon.field_of_view_mm[2], y, x))
    return Grid((slices * encoded.matrix[2], rows, columns), (z, y, x))


def oversampled_partitions(encoded: Space, recon: Space) -> int:
    """Return how many partitions of a 3D acquisition lie outside of the field of view that is meant."""
    share = recon.field_of_view_mm[2] / encoded.field_of_view_mm[2]
    return max(0, encoded.matrix[2] - max(1, round(encoded.matrix[2] * share))) if encoded.matrix[2] > 1 else 0


def directions_of(heads: NDArray[Any]) -> Directions | None:
    """Return the common (read, phase, slice) unit vectors of acquisition headers; ``None`` where they are all zero.

    Raises MixedGeometry when lines differ or the directions are not perpendicular.
    """
    read, phase, normal = (heads[name].astype(np.float64) for name in ("read_dir", "phase_dir", "slice_dir"))
    if not read.any() and not phase.any():
        return None
    first_read, first_phase = read[0], phase[0]
    for name, every in (("read_dir", read), ("phase_dir", phase), ("slice_dir", normal)):
        if float(np.abs(every - every[0]).max()) > _SAME_DIRECTION:
            raise MixedGeometry(f"the lines do not share {name}: the slices are not parallel")
    lengths = np.linalg.norm(first_read), np.linalg.norm(first_phase)
    if not all(0.99 < length < 1.01 for length in lengths) or abs(first_read @ first_phase) > 0.01:
        raise MixedGeometry("read_dir and phase_dir are not perpendicular unit vectors")
    across = np.cross(first_read, first_phase)
    given = normal[0]
    if np.linalg.norm(given) > 0.5 and abs(across @ given) < 0.99:
        raise MixedGeometry("slice_dir is not perpendicular to read_dir and phase_dir")
    return first_read, first_phase, across if across @ given >= 0 else -across


def slice_order(positions: NDArray[Any], directions: Directions | None) -> NDArray[np.int64]:
    """Return the order of slices (slices, 3) along the normal; as counted where nothing says where they lie."""
    if directions is None or len(positions) == 1:
        return np.arange(len(positions))
    return np.argsort(positions.astype(np.float64) @ directions[2], kind="stable")


def placed(
    grid: Grid, directions: Directions | None, centres: NDArray[Any], partitions: int, frame_of_reference_uid: str
) -> Geometry:
    """Return the geometry. ``centres`` (slices, 3) are the positions of the slices (or the slab) in their order.

    Raises SamePosition or UnevenGaps when several slices do not form a regular stack.
    """
    known = directions if directions is not None else _AXIAL
    step = known[2] * grid.voxel_mm[0]
    middle = np.asarray(centres[0] if directions is not None else np.zeros(3), dtype=np.float64)
    if len(centres) > 1 and directions is not None:
        step = _regular_step(np.asarray(centres, dtype=np.float64))
    first_slice = -(partitions // 2) if partitions > 1 else 0
    if directions is None and partitions == 1:
        first_slice = -(len(centres) // 2)
    row_step, column_step = known[1] * grid.voxel_mm[1], known[0] * grid.voxel_mm[2]
    origin = middle - row_step * (grid.shape[1] // 2) - column_step * (grid.shape[2] // 2) + step * first_slice
    return Geometry(
        grid.shape, affine_of(np.column_stack([step, row_step, column_step, origin])), frame_of_reference_uid
    )


_AXIAL: Directions = (np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0]))


def _regular_step(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    steps = np.diff(centres, axis=0)
    gaps = np.linalg.norm(steps, axis=1)
    if float(gaps.min()) < _SAME_POSITION_MM:
        raise SamePosition("two slices of the raw data lie at one position")
    mean = np.asarray(steps.mean(axis=0))
    if float(np.linalg.norm(steps - mean, axis=1).max()) > max(_SAME_GAP * float(np.linalg.norm(mean)), 1e-2):
        raise UnevenGaps(f"slices of the raw data lie {gaps.min():.2f} to {gaps.max():.2f} mm apart")
    return mean
