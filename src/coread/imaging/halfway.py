"""Two volumes of one kind laid over one another in the space halfway between them, so that neither is favoured.

Exchanging the two exchanges the answer: both are moved, and smoothed by interpolation, alike (Smith 2001, Reuter 2010).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry
from coread.domain.images import Volume
from coread.imaging.resampling import Interpolation, grid_with_spacing, resampled, resampled_array

Matrix = NDArray[np.float64]
_STEPS = 8
_STILL_MM = 2e-3
"""A move of fewer mm at the edge of a head ends a level."""
_REACH_MM = 80.0


@dataclass(frozen=True, slots=True, eq=False)
class Halfway:
    """Rigid maps (4, 4), LPS mm, from the space halfway to each of the two volumes."""

    to_first: Matrix
    to_second: Matrix
    misfit: float
    """Root mean square difference of the two in the end, as a share of that at the start."""

    def between(self) -> Matrix:
        """Return the map from the first volume to the second."""
        return np.asarray(self.to_second @ np.linalg.inv(self.to_first))


def half_of(matrix: Matrix) -> Matrix:
    """Return the rigid map that makes the given one when it is done twice."""
    from scipy.linalg import sqrtm

    half = np.real(np.asarray(sqrtm(matrix)))
    left, _, right = np.linalg.svd(half[:3, :3])
    half[:3, :3] = left @ right
    return np.asarray(half, dtype=np.float64)


def halfway(
    first: Volume, second: Volume, start: Matrix, grids: tuple[Geometry, ...], weight: tuple[NDArray[np.float32], ...]
) -> Halfway:
    """Refine a rigid map from first to second by least squares (Gauss and Newton) on each grid, coarse to fine.

    The brightness of both must mean the same. ``grids`` lie halfway; ``weight`` says on each what counts.
    """
    half = half_of(start)
    maps: list[Matrix] = [np.asarray(np.linalg.inv(half), dtype=np.float64), half]
    misfits: list[float] = []
    for grid, counts in zip(grids, weight, strict=True):
        places = grid.to_patient(np.argwhere(counts > 0))
        middle = places.mean(axis=0)
        both = (_reduced(first, grid), _reduced(second, grid))
        for _ in range(_STEPS):
            move, misfit = _step(both, maps, (grid, counts, places - middle))
            misfits.append(misfit)
            around = np.eye(4)
            around[:3, 3] = middle
            each = around @ _rigid(move / 2) @ np.linalg.inv(around)
            maps = [np.asarray(maps[0] @ np.linalg.inv(each), dtype=np.float64), maps[1] @ each]
            if np.abs(move[3:]).max() + _REACH_MM * np.abs(move[:3]).max() < _STILL_MM:
                break
    return Halfway(maps[0], maps[1], misfits[-1] / max(misfits[0], 1e-9))


def moved(volume: Volume, grid: Geometry, to_volume: Matrix) -> NDArray[np.float32]:
    """Return a volume's values on a grid halfway, linear between voxels; its smallest value outside."""
    found = resampled_array(
        volume.voxels, volume.geometry, grid, transform=to_volume, outside=float(volume.voxels.min()),
        interpolation=Interpolation.LINEAR,
    )  # fmt: skip
    return np.asarray(found, dtype=np.float32)


def _reduced(volume: Volume, grid: Geometry) -> Volume:
    """Return the volume with about the spacing of a coarser grid, smoothed, so that no detail is lost by chance."""
    step = min(grid.spacing_mm())
    spacing = volume.geometry.spacing_mm()
    wanted = (max(step, spacing[0]), max(step, spacing[1]), max(step, spacing[2]))
    return resampled(volume, grid_with_spacing(volume.geometry, wanted), smooth=True)


def _step(
    both: tuple[Volume, Volume], maps: list[Matrix], seen: tuple[Geometry, NDArray[np.float32], Matrix]
) -> tuple[Matrix, float]:
    """Return the six numbers (turn, shift) by which the second lies off, and the misfit before."""
    grid, counts, arms = seen
    one, other = (moved(volume, grid, matrix) for volume, matrix in zip(both, maps, strict=True))
    mask = counts > 0
    mean = (one + other) / 2
    along = [np.asarray(np.gradient(mean, axis=axis))[mask] for axis in range(3)]
    slopes = np.stack(along, axis=1) @ np.linalg.inv(grid.matrix()[:3, :3])
    off = (other - one)[mask].astype(np.float64)
    scale = counts[mask].astype(np.float64)
    design = np.hstack([np.cross(arms, slopes), slopes])
    # Large differences are not motion: they are lesions, vessels, or what lies beyond the brain.
    limit = 3 * float(np.median(np.abs(off))) + 1e-6
    scale = scale * np.minimum(1.0, limit / np.maximum(np.abs(off), 1e-9))
    normal = design.T @ (design * scale[:, None])
    move = -np.linalg.solve(normal + 1e-9 * np.trace(normal) * np.eye(6), design.T @ (scale * off))
    return np.asarray(move), float(np.sqrt(np.mean(off**2)))


def _rigid(move: Matrix) -> Matrix:
    """Return the motion that six numbers (turn, shift) a unit of time make: that of -move is exactly its inverse."""
    from scipy.linalg import expm

    a, b, c = move[:3]
    speed = np.zeros((4, 4))
    speed[:3, :3] = [[0, -c, b], [c, 0, -a], [-b, a, 0]]
    speed[:3, 3] = move[3:]
    return np.asarray(expm(speed), dtype=np.float64)
