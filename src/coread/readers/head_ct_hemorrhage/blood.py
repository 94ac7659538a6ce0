"""How much blood, where, and how far the middle of the brain is pushed: measured on upright slices with HU and mm."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import FloatPixels
from coread.readers.head_ct_hemorrhage.preprocess import WINDOW_LOW, WINDOW_WIDTH

LIKELY = 0.5
"""Probability of a place above which it is taken for blood."""
_AROUND = 8
"""Pixels around such places whose tissue they are compared with."""
_TISSUE_HU, _BONE_HU = (15.0, 48.0), 96.0
_LEAST_CONTRAST_HU, _LEAST_ML = 8.0, 0.3
_HALF_WIDTH_ML, _HALF_WIDTH_SHARE = 3.0, 0.5
_ALONE, _CROSS = [[0, 0, 0], [0, 1, 0], [0, 0, 0]], [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
_TOUCHING = np.array([_ALONE, _CROSS, _ALONE], dtype=np.bool_)
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Grid:
    """Size of a pixel and distance of the slices, mm."""

    pixel_mm: float
    slice_mm: float

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return self.pixel_mm**2 * self.slice_mm / 1000


@dataclass(frozen=True, slots=True, eq=False)
class Blood:
    """Where blood is likely (S, side, side), its volume, and the share of it on the patient's left."""

    mask: Mask
    volume_ml: float
    left_share: float

    def half_width_ml(self) -> float:
        """Return half of the interval that held the truth in 11 of 12 generated heads (on_phantoms.py)."""
        return max(_HALF_WIDTH_ML, _HALF_WIDTH_SHARE * self.volume_ml)

    def place(self) -> str:
        """Say on which side."""
        if self.left_share > 0.8:
            return "left"
        return "right" if self.left_share < 0.2 else "on both sides or in the middle"


def blood_in(slices: FloatPixels, places: FloatPixels, grid: Grid) -> Blood | None:
    """Return the blood in upright slices (S, side, side) in the window, from probabilities of places (S, side, side).

    What is nearer in density to the likely places than to the tissue around them belongs to it, one slice and two
    pixels beyond them at most. ``None`` where no place is likely enough, or less than 0.3 ml is.
    """
    from scipy import ndimage

    seeds = places >= LIKELY
    if not seeds.any():
        return None
    hu = ndimage.gaussian_filter(slices, (0, 0.6, 0.6)) * WINDOW_WIDTH + WINDOW_LOW
    near = _in_plane(ndimage.binary_dilation(seeds, _TOUCHING), 1)
    around = _in_plane(near, _AROUND) & ~near & (hu > _TISSUE_HU[0]) & (hu < _TISSUE_HU[1])
    dense = seeds & (hu < _BONE_HU)
    if not around.any() or not dense.any():
        return None
    tissue, level = float(np.median(hu[around])), float(np.median(hu[dense]))
    if level - tissue < _LEAST_CONTRAST_HU:
        return None
    mask = near & (hu >= (tissue + level) / 2) & (hu < _BONE_HU)
    labels, _ = ndimage.label(mask, _TOUCHING)
    kept = np.unique(labels[seeds & mask])
    mask = np.isin(labels, kept[kept > 0])
    volume = float(mask.sum()) * grid.voxel_ml
    if volume < _LEAST_ML:
        return None
    left = mask[..., mask.shape[2] // 2 :]
    return Blood(mask, volume, float(left.sum() / mask.sum()))


def _in_plane(mask: Mask, pixels: int) -> Mask:
    """Return a mask (S, rows, columns) grown in each slice."""
    from scipy import ndimage

    return np.stack([ndimage.binary_dilation(one, iterations=pixels) if one.any() else one for one in mask])
