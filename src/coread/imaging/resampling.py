"""Volumes onto other grids: straightened, with other spacing, or on the grid of another volume.

Interpolation is SimpleITK's, in index space: source and target may be sheared, mirrored or in any orientation, because
only the product of their matrices goes to the library, never a direction that it would have to accept.
"""

from dataclasses import replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Volume
from coread.imaging.geometry import Vector
from coread.imaging.itk import simple_itk

SHEAR_TOLERANCE_DEGREES = 0.05
_MIN_SMOOTHED = 4
"""The recursive filter needs so many voxels along an axis."""


class Interpolation(StrEnum):
    """How values between voxel centres are found."""

    NEAREST = "nearest"
    """For labels and masks."""
    LINEAR = "linear"
    BSPLINE = "bspline"
    """Cubic: keeps more detail, may overshoot at edges."""


def resampled(
    volume: Volume, geometry: Geometry, *, interpolation: Interpolation = Interpolation.LINEAR,
    outside: float | None = None, smooth: bool = False,
) -> Volume:  # fmt: skip
    """Return the volume on another grid of the same frame of reference; positions in the patient stay.

    ``outside`` is the value where the source has none (default: its smallest); up to half a voxel beyond the outer
    voxel centres their values go on. ``smooth`` filters first where the new
    grid is coarser, so that detail it cannot hold does not turn into false detail.
    """
    background = float(volume.voxels.min()) if outside is None else outside
    values = resampled_array(
        volume.voxels, volume.geometry, geometry, interpolation=interpolation, outside=background, smooth=smooth
    )
    rows, columns = geometry.shape[1:]
    note = f"resampled ({interpolation.value}) to {geometry.shape[0]} x {rows} x {columns}"
    return derived(volume, np.asarray(values, dtype=np.float32), geometry, note)


def resampled_mask(mask: NDArray[np.bool_], source: Geometry, target: Geometry) -> NDArray[np.bool_]:
    """Return a mask (slices, rows, columns) on another grid; a voxel is inside when more than half of it is."""
    share = resampled_array(mask.astype(np.float32), source, target, outside=0.0)
    return np.asarray(share > 0.5)


def resampled_array(
    values: NDArray[Any], source: Geometry, target: Geometry, *, interpolation: Interpolation = Interpolation.LINEAR,
    outside: float = 0.0, smooth: bool = False, transform: NDArray[np.float64] | None = None,
) -> NDArray[Any]:  # fmt: skip
    """Return an array (slices, rows, columns) on another grid.

    ``transform`` (4, 4) leads from LPS mm of the target to LPS mm of the source, such as ``Registration.matrix``;
    default: the same place.
    """
    sitk = simple_itk()

    to_source = np.linalg.inv(source.matrix()) @ (np.eye(4) if transform is None else transform) @ target.matrix()
    image = sitk.GetImageFromArray(np.ascontiguousarray(values))
    if smooth:
        image = _smoothed(image, np.linalg.norm(to_source[:3, :3], axis=1))
    turned = to_source[2::-1, [2, 1, 0, 3]]  # SimpleITK counts (column, row, slice)
    move = sitk.AffineTransform(3)
    move.SetMatrix(turned[:, :3].ravel().tolist())
    move.SetTranslation(turned[:, 3].tolist())
    kinds = {
        Interpolation.NEAREST: sitk.sitkNearestNeighbor,
        Interpolation.LINEAR: sitk.sitkLinear,
        Interpolation.BSPLINE: sitk.sitkBSpline,
    }
    size = [int(extent) for extent in reversed(target.shape)]
    moved = sitk.Resample(
        image, size, move, kinds[interpolation], (0.0, 0.0, 0.0), (1.0, 1.0, 1.0),
        (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), outside, image.GetPixelID(),
    )  # fmt: skip
    return np.asarray(sitk.GetArrayFromImage(moved))


def _smoothed(image: Any, voxels_per_step: NDArray[np.float64]) -> Any:
    """Filter along each source axis (slice, row, column) by what is lost when a step spans several voxels.

    A box of ``f`` voxels and one of 1 voxel differ in variance by (f*f - 1) / 12.
    """
    sitk = simple_itk()

    for axis, factor in enumerate(reversed(voxels_per_step.tolist())):
        if factor > 1.01 and image.GetSize()[axis] >= _MIN_SMOOTHED:
            image = sitk.RecursiveGaussian(image, float(np.sqrt((factor**2 - 1) / 12)), False, 0, axis)
    return sitk.Cast(image, sitk.sitkFloat32)


def grid_with_spacing(geometry: Geometry, spacing_mm: tuple[float, float, float]) -> Geometry:
    """Return a grid over the same part of the patient with other (slice, row, column) spacing, same directions.

    The outer faces of the first voxels coincide; the last voxels may reach over by less than one.
    """
    matrix = geometry.matrix()
    old, wanted = np.asarray(geometry.spacing_mm()), np.asarray(spacing_mm, dtype=np.float64)
    if not np.isfinite(wanted).all() or wanted.min() <= 0:
        raise ValueError(f"spacing {spacing_mm} must be above 0")
    counts = np.maximum(1, np.ceil(np.asarray(geometry.shape) * old / wanted - 1e-6)).astype(int)
    scaled = matrix.copy()
    scaled[:3, :3] *= wanted / old
    scaled[:3, 3] += (scaled[:3, :3] - matrix[:3, :3]) @ np.full(3, 0.5)
    return replace(geometry, shape=(int(counts[0]), int(counts[1]), int(counts[2])), affine=affine_of(scaled))


def shear_degrees(geometry: Geometry) -> float:
    """Return by how much the slice axis leans against the normal of the planes (gantry tilt)."""
    matrix = geometry.matrix()[:3, :3]
    normal = np.cross(matrix[:, 2], matrix[:, 1])
    normal /= np.linalg.norm(normal)
    along = abs(float(matrix[:, 0] @ normal))
    sideways = float(np.linalg.norm(matrix[:, 0] - (matrix[:, 0] @ normal) * normal))
    return float(np.degrees(np.arctan2(sideways, along)))


def is_sheared(geometry: Geometry) -> bool:
    """Whether the slice axis is not perpendicular to the planes."""
    return shear_degrees(geometry) > SHEAR_TOLERANCE_DEGREES


def rectangular_grid(geometry: Geometry) -> Geometry:
    """Return a grid with the same planes at the same heights and a perpendicular slice axis that covers them all."""
    matrix = geometry.matrix()
    slices, rows, columns = geometry.shape
    upright, drift = _upright(matrix)
    low = np.floor(np.minimum(0.0, drift * (slices - 1)) + 1e-9)
    high = np.ceil(np.maximum(0.0, drift * (slices - 1)) - 1e-9)
    straight = matrix.copy()
    straight[:3, 0] = upright
    straight[:3, 3] += matrix[:3, 1] * low[0] + matrix[:3, 2] * low[1]
    grown = (high - low).astype(int)
    shape = (slices, rows + int(grown[0]), columns + int(grown[1]))
    return replace(geometry, shape=shape, affine=affine_of(straight))


def _upright(matrix: NDArray[np.float64]) -> tuple[Vector, NDArray[np.float64]]:
    """Return the perpendicular step, and by how many (rows, columns) each slice lies off it."""
    along_row = matrix[:3, 2] / np.linalg.norm(matrix[:3, 2])
    along_column = matrix[:3, 1] / np.linalg.norm(matrix[:3, 1])
    normal = np.cross(along_row, along_column)
    upright = (matrix[:3, 0] @ normal) * normal
    sideways = matrix[:3, 0] - upright
    return upright, np.array([
        sideways @ along_column / np.linalg.norm(matrix[:3, 1]), sideways @ along_row / np.linalg.norm(matrix[:3, 2]),
    ])  # fmt: skip


def straightened(volume: Volume, *, outside: float | None = None) -> Volume:
    """Return a tilted stack on a rectangular grid: every plane is shifted within itself, none is mixed with another.

    A volume that is not sheared comes back as it is. ``outside``: see ``resampled``.
    """
    if not is_sheared(volume.geometry):
        return volume
    target = rectangular_grid(volume.geometry)
    background = np.float32(volume.voxels.min() if outside is None else outside)
    to_source = np.linalg.inv(volume.geometry.matrix()) @ target.matrix()
    moved = np.empty(target.shape, dtype=np.float32)
    for k in range(target.shape[0]):
        offsets = (to_source @ np.array([k, 0.0, 0.0, 1.0]))[1:3]
        plane = _shifted(volume.voxels[k], 0, float(offsets[0]), target.shape[1], background)
        moved[k] = _shifted(plane, 1, float(offsets[1]), target.shape[2], background)
    note = f"shear of {shear_degrees(volume.geometry):.1f} degrees taken out by shifting each plane within itself"
    return derived(volume, moved, target, note)


def _shifted(
    plane: NDArray[np.float32], axis: int, offset: float, count: int, outside: np.float32
) -> NDArray[np.float32]:  # fmt: skip
    """Return ``count`` rows (or columns): number i is at ``i + offset`` of the plane, interpolated linearly."""
    size = plane.shape[axis]
    at = np.arange(count) + offset
    at = np.where(np.abs(at - np.rint(at)) < 1e-6, np.rint(at), at)
    below = np.floor(at).astype(np.int64)
    shape = [1, 1]
    shape[axis] = count
    share = (at - below).astype(np.float32).reshape(shape)
    inside = ((at >= 0) & (at <= size - 1)).reshape(shape)
    first = plane.take(np.clip(below, 0, size - 1), axis)
    second = plane.take(np.clip(below + 1, 0, size - 1), axis)
    return np.where(inside, first + share * (second - first), outside)


def derived(volume: Volume, voxels: NDArray[np.float32], geometry: Geometry, note: str) -> Volume:
    """Return a volume made from another one, with what was done; its slices name the source slice nearest to each."""
    headers, frames = volume.headers, volume.frames
    if len(headers) == 1 and not frames:
        frames = tuple(range(1, len(volume.voxels) + 1))  # what an empty one means, which holds for no other grid
    if headers:
        nearest = _nearest_slices(volume.geometry, geometry)
        frames = tuple(frames[k] for k in nearest) if frames else ()
        headers = tuple(headers[k] for k in nearest) if len(headers) > 1 else headers
    return replace(
        volume, voxels=voxels, geometry=geometry, headers=headers, frames=frames, changes=(*volume.changes, note)
    )


def _nearest_slices(source: Geometry, target: Geometry) -> list[int]:
    middle = [(target.shape[1] - 1) / 2, (target.shape[2] - 1) / 2]
    centres = np.array([[k, *middle] for k in range(target.shape[0])])
    at = source.to_index(target.to_patient(centres))[:, 0]
    return [int(k) for k in np.clip(np.rint(at), 0, source.shape[0] - 1)]
