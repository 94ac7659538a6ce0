"""How much blood, where, and how far the middle of the brain is pushed: measured on upright slices with HU and mm."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import FloatPixels
from coread.readers.head_ct_hemorrhage.preprocess import WINDOW_LOW, WINDOW_WIDTH

LIKELY = 0.5
"""Probability of a place above which it is taken for blood."""
_BESIDE = 2
"""Pixels around such places in which dense tissue belongs to them."""
_DENSE_HU, _BONE_HU = 48.0, 96.0
_LEAST_ML = 0.3
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

    def place(self) -> str:
        """Say on which side."""
        if self.left_share > 0.8:
            return "left"
        return "right" if self.left_share < 0.2 else "on both sides or in the middle"


def blood_in(slices: FloatPixels, places: FloatPixels, grid: Grid) -> Blood | None:
    """Return the blood in upright slices (S, side, side) in the window, from probabilities of places (S, side, side).

    ``None`` where no place is likely enough, or less than 0.3 ml is.
    """
    from scipy import ndimage

    seeds = places >= LIKELY
    if not seeds.any():
        return None
    hu = ndimage.gaussian_filter(slices, (0, 0.6, 0.6)) * WINDOW_WIDTH + WINDOW_LOW
    near = np.stack([ndimage.binary_dilation(one, iterations=_BESIDE) if one.any() else one for one in seeds])
    mask = near & (hu >= _DENSE_HU) & (hu < _BONE_HU)
    volume = float(mask.sum()) * grid.voxel_ml
    if volume < _LEAST_ML:
        return None
    left = mask[..., mask.shape[2] // 2 :]
    return Blood(mask, volume, float(left.sum() / mask.sum()))
