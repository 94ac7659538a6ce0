"""White-matter lesions in FLAIR: what is brighter than the brain around it, in or at the white matter."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import Volume
from coread.readers.brain_volume.head import Array, Head
from coread.readers.brain_volume.tissues import GREY, WHITE, voxel_ml

Mask = NDArray[np.bool_]
_FIELD_SMOOTH = 5.0
_DEVIATIONS = 3.5
_ABOVE_GREY = 1.18
"""Times the brightest twentieth of the brain, which is grey matter."""
_LEAST_ML = 0.012
_RIM_MM = 5.0
"""Brightness this near to the surface of the cavity is skull, vessels or flow, not white matter."""
_NEAR_WHITE = 0.35


@dataclass(frozen=True, slots=True, eq=False)
class Lesions:
    """Lesions on the grid of a FLAIR volume."""

    mask: Mask
    count: int
    volume_ml: float
    inside_ml: float
    """Of the skull's cavity."""
    inside: Mask
    """The skull's cavity."""
    cut: bool = False
    """The field cuts the brain."""


def lesions_of(volume: Volume, head: Head) -> Lesions:
    """Return what is brighter than the brain by 3.5 robust deviations, and than its grey matter, in white matter."""
    from scipy import ndimage

    geometry = volume.geometry
    inside = head.on(head.inside(), geometry) > 0.5
    tissue = head.on(head.shares[GREY] + head.shares[WHITE], geometry)
    even = _even(volume, head, inside & (tissue > 0.8))
    brain = even[inside & (tissue > 0.9)]
    middle = float(np.median(brain))
    spread = 1.4826 * float(np.median(np.abs(brain - middle)))
    limit = max(middle + _DEVIATIONS * spread, _ABOVE_GREY * float(np.percentile(brain, 95)))
    bright = inside & (even > limit)
    spacing = geometry.spacing_mm()
    depth = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    white = ndimage.maximum_filter(head.shares[WHITE], 3)
    place = (head.on(white, geometry) > _NEAR_WHITE) & (depth > _RIM_MM)
    parts, count = ndimage.label(bright & place)
    unit = voxel_ml(geometry)
    if not count:
        return Lesions(np.zeros_like(inside), 0, 0.0, float(inside.sum() * unit), inside)
    sizes = np.bincount(parts.ravel()) * unit
    kept = sizes >= _LEAST_ML
    kept[0] = False
    mask = kept[parts]
    return Lesions(mask, int(kept.sum()), float(mask.sum() * unit), float(inside.sum() * unit), inside)


def _even(volume: Volume, head: Head, brain: Mask) -> Array:
    """Return the volume over its receive field: the smoothed brightness of the brain."""
    from scipy import ndimage

    index = np.argwhere(brain)
    at = np.rint(head.grid.to_index(volume.geometry.to_patient(index))).astype(np.int64)
    cells = np.ravel_multi_index(tuple(np.clip(at, 0, np.asarray(head.grid.shape) - 1).T), head.grid.shape)
    values = volume.voxels[brain].astype(np.float64)
    level = float(np.median(values))
    values = np.clip(values, 0.6 * level, 1.3 * level)
    size = int(np.prod(head.grid.shape))
    sums = np.bincount(cells, values, size).reshape(head.grid.shape)
    counts = np.bincount(cells, minlength=size).reshape(head.grid.shape).astype(np.float64)
    field = ndimage.gaussian_filter(sums, _FIELD_SMOOTH) / (ndimage.gaussian_filter(counts, _FIELD_SMOOTH) + 1e-6)
    on_volume = head.on(np.asarray(field / level, dtype=np.float32), volume.geometry)
    return np.asarray(volume.voxels / np.clip(on_volume, 0.3, 3.0), dtype=np.float32)
