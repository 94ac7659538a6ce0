"""How much tissue was lost between two dates, from the shift of its boundary with fluid (Freeborough and Fox 1997).

Where the boundary moved, brightness changed; its sum over the boundary is the volume that the boundary swept. Only
brightness between fluid and grey matter counts, so that noise inside tissue and fluid adds nothing, and slow shading
that differs between the dates is evened out first (Lewis and Fox 2004).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry
from coread.domain.images import Volume
from coread.imaging.halfway import Halfway, moved
from coread.imaging.resampling import resampled_array

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
WINDOW = (0.1, 0.9)
"""From fluid (0) to grey matter (1): brightness below is fluid, above is tissue."""
_BLOCK = 4
_FIELD_SMOOTH_MM = 15.0
_LARGEST_RATIO = 0.2
"""Of the logarithm: brightness that differs by more is not shading."""
_RIM_VOXELS = 2
_LEAST_PART = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Dated:
    """One date of a T1 volume whose receive field is evened out."""

    volume: Volume
    inside: Mask
    """What is to be looked at, on the grid of the volume."""
    fluid: float
    grey: float
    """Brightness of both in this volume."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What the boundary swept, ml; below 0: lost."""

    change_ml: float
    first_ml: float
    """Tissue on the first date, by the same count."""

    def percent(self) -> float:
        """Return the change in per cent of the first date."""
        return 100 * self.change_ml / self.first_ml


def swept(first: Dated, second: Dated, laid: Halfway, grid: Geometry, region: Mask | None = None) -> Swept:
    """Return the change between two dates; ``region`` (on ``grid``) limits it to a part, such as the ventricles."""
    from scipy import ndimage

    both = [moved(date.volume, grid, to) / np.float32(date.grey) for date, to in _pairs(first, second, laid)]
    inside = _inside(first, laid.to_first, grid) & _inside(second, laid.to_second, grid)
    fluid = (first.fluid / first.grey + second.fluid / second.grey) / 2
    shading = np.exp(_shading(both[0], both[1], inside, grid) / 2)
    one = _share(np.asarray(both[0] * shading, dtype=np.float32), fluid)
    other = _share(np.asarray(both[1] / shading, dtype=np.float32), fluid)
    solid = [_solid(share, inside) for share in (one, other)]
    rim = ndimage.binary_dilation(solid[0] | solid[1], iterations=_RIM_VOXELS)
    rim &= ~ndimage.binary_erosion(solid[0] & solid[1], iterations=_RIM_VOXELS)
    rim &= inside
    within = inside
    if region is not None:
        rim, within = rim & region, inside & region
    voxel_ml = float(abs(np.linalg.det(grid.matrix()[:3, :3])) / 1000)
    change = float((other - one)[rim].sum(dtype=np.float64)) * voxel_ml
    mean = float((one + other)[within].sum(dtype=np.float64)) / 2 * voxel_ml
    return Swept(change, mean - change / 2)


def _pairs(first: Dated, second: Dated, laid: Halfway) -> tuple[tuple[Dated, NDArray[np.float64]], ...]:
    return (first, laid.to_first), (second, laid.to_second)


def _inside(date: Dated, to_volume: NDArray[np.float64], grid: Geometry) -> Mask:
    share = resampled_array(date.inside.astype(np.float32), date.volume.geometry, grid, transform=to_volume)
    return np.asarray(share > 0.5)


def _share(values: Array, fluid: float) -> Array:
    scaled = (values - fluid) / (1 - fluid)
    return np.asarray(np.clip((scaled - WINDOW[0]) / (WINDOW[1] - WINDOW[0]), 0, 1), dtype=np.float32)


def _shading(one: Array, other: Array, inside: Mask, grid: Geometry) -> Array:
    """Return the logarithm of how much brighter the second is, place by place, from tissue away from its surface."""
    from scipy import ndimage

    tissue = inside & (one > 0.75) & (other > 0.75)
    tissue = ndimage.binary_erosion(tissue)
    ratio = np.zeros_like(one)
    ratio[tissue] = np.clip(np.log(other[tissue] / one[tissue]), -_LARGEST_RATIO, _LARGEST_RATIO)
    width = _FIELD_SMOOTH_MM / (_BLOCK * min(grid.spacing_mm()))
    sums = ndimage.gaussian_filter(_blocks(ratio), width)
    counts = ndimage.gaussian_filter(_blocks(tissue.astype(np.float32)), width)
    coarse = sums / (counts + 1e-4)
    at = [
        np.clip((np.arange(n, dtype=np.float32) - (_BLOCK - 1) / 2) / _BLOCK, 0, m - 1)
        for n, m in zip(one.shape, coarse.shape, strict=True)
    ]
    fine = ndimage.map_coordinates(coarse, np.stack(np.meshgrid(*at, indexing="ij")), order=1)
    return np.asarray(fine, dtype=np.float32)


def _blocks(values: Array) -> Array:
    a, b, c = (side // _BLOCK for side in values.shape)
    cut = values[: a * _BLOCK, : b * _BLOCK, : c * _BLOCK]
    return np.asarray(cut.reshape(a, _BLOCK, b, _BLOCK, c, _BLOCK).mean(axis=(1, 3, 5)), dtype=np.float32)


def _solid(share: Array, inside: Mask) -> Mask:
    """Return tissue without specks."""
    from scipy import ndimage

    tissue = (share > 0.5) & inside
    parts, count = ndimage.label(tissue)
    if count < 2:
        return tissue
    sizes = np.bincount(parts.ravel())
    kept = sizes >= _LEAST_PART
    kept[0] = False
    return np.asarray(kept[parts])
