"""Both CT scans on one grid, organs that moved with the breath laid over one another, and how well that worked.

A rigid motion first (``placing``); then a smooth field of displacements that follows organs and is far too stiff to
hide a lesion. How far surfaces of large organs still lie apart afterwards is the margin within which a difference is
taken for misplacement.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry
from coread.domain.images import Volume
from coread.imaging.registration import deformation
from coread.imaging.resampling import grid_with_spacing, resampled, resampled_array, straightened
from coread.readers.follow_up.placing import Matrix, coarse, inverse

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
_STEP_MM = (1.5, 2.5)
"""Finest and coarsest spacing of the grid, where that of the scan lies outside."""
_MOST_VOXELS = 40_000_000
_FIELD_MM = (4.0, 4.0, 4.0)
_STIFFNESS_MM, _ROUNDS = 12.0, 60
_SHOWN_HU = (-1000.0, 250.0)
_AIR_HU = -1024.0
_OUTSIDE = -5000.0
"""Beyond the earlier field: no tissue has this value."""
_SLAB = 16
_SURE = 0.9
"""Share of the surface that lies within the stated margin."""


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """Hounsfield units (slices, rows, columns) of both dates on one rectangular grid of the current scan."""

    now: Floats
    before: Floats
    covered: Mask
    """Where the earlier scan has values."""


def matched(before: Volume, now: Volume, to_now: Matrix, grid: Geometry) -> Matched:
    """Bring both scans onto a grid; ``to_now`` (4, 4) leads from the earlier scan to the current one, LPS mm."""
    earlier, current = straightened(before), straightened(now)
    back = inverse(to_now)
    shown = coarse(current, _FIELD_MM)
    moving = resampled_array(
        earlier.voxels, earlier.geometry, shown.geometry, transform=back, outside=_AIR_HU, smooth=True
    )
    apart = deformation(
        _clipped(shown), Volume(np.clip(moving, *_SHOWN_HU).astype(np.float32), now.quantity, shown.geometry, ()),
        iterations=_ROUNDS, smoothing_mm=_STIFFNESS_MM,
    )  # fmt: skip
    values = resampled_array(current.voxels, current.geometry, grid, outside=_AIR_HU, smooth=True)
    fine = resampled(earlier, working_grid(earlier.geometry), smooth=True)
    there = _warped(fine, grid, back, (apart, shown.geometry))
    covered = there > _OUTSIDE / 2
    return Matched(values.astype(np.float32), np.where(covered, there, np.float32(_AIR_HU)), covered)


def working_grid(geometry: Geometry) -> Geometry:
    """Return a grid over a (rectangular) scan, fine enough for lesions of 6 mm and small enough to calculate with."""
    low, high = _STEP_MM
    steps = np.clip(geometry.spacing_mm(), low, high)
    size = np.asarray(geometry.shape) * np.asarray(geometry.spacing_mm())
    excess = float(np.prod(size / steps)) / _MOST_VOXELS
    if excess > 1:
        steps = steps * excess ** (1 / 3)
    return grid_with_spacing(geometry, (float(steps[0]), float(steps[1]), float(steps[2])))


def _clipped(volume: Volume) -> Volume:
    return Volume(np.clip(volume.voxels, *_SHOWN_HU).astype(np.float32), volume.quantity, volume.geometry, ())


def _warped(source: Volume, grid: Geometry, back: Matrix, field: tuple[NDArray[np.float64], Geometry]) -> Floats:
    """Return the earlier scan on the grid of the current one, moved by the field and then by ``back``."""
    from scipy import ndimage

    apart, coarse_grid = field
    out = np.empty(grid.shape, dtype=np.float32)
    to_field = np.linalg.inv(coarse_grid.matrix()) @ grid.matrix()
    to_source = np.linalg.inv(source.geometry.matrix()) @ back
    for start in range(0, grid.shape[0], _SLAB):
        stop = min(start + _SLAB, grid.shape[0])
        index = np.indices((stop - start, *grid.shape[1:]), dtype=np.float32).reshape(3, -1)
        index[0] += start
        at = to_field[:3, :3] @ index + to_field[:3, 3:]
        shift = np.stack([ndimage.map_coordinates(apart[..., axis], at, order=1, mode="nearest") for axis in range(3)])
        places = grid.matrix()[:3, :3] @ index + grid.matrix()[:3, 3:] + shift
        there = to_source[:3, :3] @ places + to_source[:3, 3:]
        found = ndimage.map_coordinates(source.voxels, there, order=1, mode="constant", cval=_OUTSIDE)
        out[start:stop] = found.reshape(stop - start, *grid.shape[1:])
    return out


def margin_mm(now: Mask, before: Mask, steps_mm: NDArray[np.float64]) -> float:
    """Return how far the surface of a large organ lies from where it was: nine tenths of it lie within this, mm.

    Infinite where there is no surface on one of the dates.
    """
    from scipy import ndimage

    skins = [mask & ~ndimage.binary_erosion(mask) for mask in (now, before)]
    for skin in skins:
        for axis in range(3):
            np.moveaxis(skin, axis, 0)[[0, -1]] = False
    if not (skins[0].any() and skins[1].any()):
        return float("inf")
    apart = ndimage.distance_transform_edt(~skins[1], sampling=steps_mm)
    return float(np.quantile(apart[skins[0]], _SURE))
