"""Masks against masks: overlap, distances between surfaces, volume.

Empty masks: both empty is perfect agreement (Dice, IoU, sensitivity and precision 1); only one empty is none (0).
Distances from or to an empty mask do not exist: NotEstimable.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from coread.statistics.arrays import Flags, Floats
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.extras import scipy_part


@dataclass(frozen=True, slots=True)
class SurfaceDistances:
    """Distances between the border voxels of two masks, in mm."""

    hausdorff_mm: float
    hausdorff95_mm: float
    """The larger of the two directed 95th percentiles."""
    mean_mm: float
    """Average symmetric surface distance: the mean over the borders of both masks together."""


@dataclass(frozen=True, slots=True)
class VolumeBias:
    """Volumes of both masks; the relative difference is None where the true mask is empty."""

    truth_ml: float
    found_ml: float
    difference_ml: float
    relative: float | None


@dataclass(frozen=True, slots=True)
class MaskMeasures:
    """Everything about one pair of masks; distances and surface Dice are None where exactly one or both are empty."""

    dice: float
    iou: float
    sensitivity: float
    precision: float
    distances: SurfaceDistances | None
    surface_dice: float | None
    volume: VolumeBias


def dice(truth: ArrayLike, found: ArrayLike) -> float:
    """Return 2 |A and B| / (|A| + |B|) (Dice 1945)."""
    one, other = _masks(truth, found)
    return _share(2 * int((one & other).sum()), int(one.sum()) + int(other.sum()))


def iou(truth: ArrayLike, found: ArrayLike) -> float:
    """Return |A and B| / |A or B| (Jaccard 1901)."""
    one, other = _masks(truth, found)
    return _share(int((one & other).sum()), int((one | other).sum()))


def mask_sensitivity(truth: ArrayLike, found: ArrayLike) -> float:
    """Return the share of the true mask that was found; 1 where there was nothing to find and nothing was found."""
    one, other = _masks(truth, found)
    if not one.any():
        return 0.0 if other.any() else 1.0
    return int((one & other).sum()) / int(one.sum())


def mask_precision(truth: ArrayLike, found: ArrayLike) -> float:
    """Return the share of the found mask that is true; 1 where there was nothing to find and nothing was found."""
    return mask_sensitivity(found, truth)


def surface_distances(truth: ArrayLike, found: ArrayLike, spacing_mm: Sequence[float]) -> SurfaceDistances:
    """Return Hausdorff distance, its 95th percentile form and the mean distance; spacing in the order of the axes."""
    there, back = _border_distances(*_masks(truth, found), spacing_mm)
    together = np.concatenate([there, back])
    return SurfaceDistances(
        hausdorff_mm=float(together.max()),
        hausdorff95_mm=float(max(np.percentile(there, 95), np.percentile(back, 95))),
        mean_mm=float(together.mean()),
    )


def surface_dice(
    truth: ArrayLike, found: ArrayLike, spacing_mm: Sequence[float], *, tolerance_mm: float = 2.0
) -> float:
    """Return the share of both borders that lies within the tolerance of the other (Nikolov et al. 2021)."""
    if tolerance_mm < 0:
        raise UnsuitableData("a tolerance cannot be negative.")
    there, back = _border_distances(*_masks(truth, found), spacing_mm)
    return float(((there <= tolerance_mm).sum() + (back <= tolerance_mm).sum()) / (len(there) + len(back)))


def volume_bias(truth: ArrayLike, found: ArrayLike, spacing_mm: Sequence[float]) -> VolumeBias:
    """Return both volumes in ml (for pictures: areas times 1 mm) and found minus truth."""
    one, other = _masks(truth, found)
    voxel_ml = float(np.prod(_spacing(spacing_mm, one.ndim))) / 1000
    volume, seen = int(one.sum()) * voxel_ml, int(other.sum()) * voxel_ml
    return VolumeBias(volume, seen, seen - volume, (seen - volume) / volume if volume else None)


def measure_masks(
    truth: ArrayLike, found: ArrayLike, spacing_mm: Sequence[float], *, tolerance_mm: float = 2.0
) -> MaskMeasures:
    """Return every measure of one pair of masks."""
    one, other = _masks(truth, found)
    both = bool(one.any() and other.any())
    return MaskMeasures(
        dice=dice(one, other),
        iou=iou(one, other),
        sensitivity=mask_sensitivity(one, other),
        precision=mask_precision(one, other),
        distances=surface_distances(one, other, spacing_mm) if both else None,
        surface_dice=surface_dice(one, other, spacing_mm, tolerance_mm=tolerance_mm) if both else None,
        volume=volume_bias(one, other, spacing_mm),
    )


def _masks(truth: ArrayLike, found: ArrayLike) -> tuple[Flags, Flags]:
    one, other = np.asarray(truth), np.asarray(found)
    if one.shape != other.shape or one.ndim == 0:
        raise UnsuitableData(f"masks must have the same shape, got {one.shape} and {other.shape}.")
    return one.astype(np.bool_), other.astype(np.bool_)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _spacing(spacing_mm: Sequence[float], dimensions: int) -> tuple[float, ...]:
    spacing = tuple(float(s) for s in spacing_mm)
    if len(spacing) != dimensions or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise UnsuitableData(f"a spacing needs {dimensions} positive lengths in mm, got {spacing}.")
    return spacing


def _border_distances(one: Flags, other: Flags, spacing_mm: Sequence[float]) -> tuple[Floats, Floats]:
    """Return the distance of each border voxel of either mask to the border of the other."""
    part = scipy_part("ndimage")
    binary_erosion, distance_transform_edt = part.binary_erosion, part.distance_transform_edt

    spacing = _spacing(spacing_mm, one.ndim)
    if not one.any() or not other.any():
        raise NotEstimable("a distance from or to an empty mask does not exist.")
    # Only the box around both masks matters; one voxel of margin keeps the borders what they are.
    occupied = np.nonzero(one | other)
    box = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in occupied)
    borders = []
    for mask in (one, other):
        inside = np.pad(mask[box], 1)
        borders.append(inside & ~binary_erosion(inside))
    first, second = borders
    to_second = distance_transform_edt(~second, sampling=spacing)[first]
    to_first = distance_transform_edt(~first, sampling=spacing)[second]
    return np.asarray(to_second, dtype=np.float64), np.asarray(to_first, dtype=np.float64)
