"""White-matter lesions that are new, larger or smaller between two FLAIR scans: the brain, and what differs in it.

The later scan less the earlier one, on the grid of the later one, both divided by the brain's median and by the slow
change of their ratio. What stands out of the noise of that difference and of what a misplacement leaves at borders, in
bright tissue, is called changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Steps = NDArray[np.float64]
_EVERY_MM = 2.0
_SLOW_MM = 25.0
_ROBUST = 1.4826
_FACE = 0.5
"""Voxels beyond the middle of the outermost ones that still belong to a scan."""
_THIN = 7
"""Medians are taken of every so many-th voxel."""


@dataclass(frozen=True, slots=True, eq=False)
class Changed:
    """Masks on the grid of the later scan."""

    brighter: Mask
    darker: Mask
    brain: Mask


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Both scans in units of the brain's median, smoothed, cut to the brain's box."""

    brain: Mask
    """On the whole grid."""
    box: tuple[slice, slice, slice]
    now: Floats
    before: Floats
    inside: Mask
    """The brain without its edge, in the box."""
    slope: Floats
    """How fast the mean of both changes with the place, per mm."""
    steps_mm: Steps


def changed(now: Floats, before: Floats, steps_mm: Steps, parameters: Mapping[str, Any]) -> Changed:
    """Return what changed between two FLAIR scans (slices, rows, columns) on one grid, already laid over one another.

    Raises ValueError where no brain is found.
    """
    both = compared(now, before, steps_mm, parameters)
    found = []
    for later, earlier in ((both.now, both.before), (both.before, both.now)):
        mask = np.zeros_like(both.brain)
        mask[both.box] = risen(both, later, earlier, parameters)
        found.append(mask)
    return Changed(found[0], found[1], both.brain)


def covered_by(earlier: Geometry, now: Geometry, to_earlier: Steps, margin_mm: float) -> Mask:
    """Return where on the grid of the later scan the earlier one has values, ``margin_mm`` from where it has none.

    ``to_earlier`` (4, 4) leads from LPS mm of the later scan to those of the earlier. Beyond the field of the earlier
    scan there is nothing to compare with: everything would look new.
    """
    from scipy import ndimage

    chain = np.linalg.inv(earlier.matrix()) @ to_earlier @ now.matrix()
    axes = np.ogrid[tuple(slice(0, extent) for extent in now.shape)]
    inside = np.ones(now.shape, dtype=np.bool_)
    for row, extent in zip(chain[:3], earlier.shape, strict=True):
        place = sum((factor * axis for factor, axis in zip(row[:3], axes, strict=True)), row[3])
        inside &= (place >= -_FACE) & (place <= extent - 1 + _FACE)
    if inside.all():
        return inside
    apart = ndimage.distance_transform_edt(inside, sampling=now.spacing_mm())
    return np.asarray(apart > margin_mm, dtype=np.bool_)


def compared(now: Floats, before: Floats, steps_mm: Steps, parameters: Mapping[str, Any]) -> Compared:
    """Return both scans ready to be subtracted; raises ValueError where no brain is found."""
    from scipy import ndimage

    brain = brain_mask(now, steps_mm)
    if not brain.any():
        raise ValueError("no brain")
    box = ndimage.find_objects(brain.astype(np.uint8))[0]
    part = brain[box]
    sigma = float(parameters["smooth_mm"]) / steps_mm
    one, other = (ndimage.gaussian_filter(scan, sigma) for scan in _alike(now[box], before[box], part, steps_mm))
    inside = part & (ndimage.distance_transform_edt(part, sampling=steps_mm) > float(parameters["edge_mm"]))
    slopes = np.gradient((one + other) / 2, *steps_mm.tolist())
    slope = np.sqrt(sum(np.square(component) for component in slopes))
    return Compared(brain, box, one, other, inside, np.asarray(slope, np.float32), steps_mm)


def _alike(now: Floats, before: Floats, brain: Mask, steps_mm: Steps) -> tuple[Floats, Floats]:
    """Return both scans in units of the brain's median, the earlier one with the slow shading of the later one."""
    from scipy import ndimage

    weight = brain.astype(np.float32)
    sigma = _SLOW_MM / steps_mm
    slow = [ndimage.gaussian_filter(scan * weight, sigma) for scan in (now, before)]
    middle = float(np.median(now[brain]))
    share = np.where(weight > 0, slow[0] / np.maximum(slow[1], 1e-3 * float(slow[1].max())), 1.0)
    return np.asarray(now / middle, np.float32), np.asarray(before * share / middle, np.float32)


def risen(both: Compared, later: Floats, earlier: Floats, parameters: Mapping[str, Any]) -> Mask:
    """Return what is brighter in ``later`` than in ``earlier``: a clear core, and what hangs together with it.

    The difference is counted in standard deviations of its noise and of what scans that are misplaced by
    ``misplaced_mm`` leave at borders.
    """
    from scipy import ndimage

    difference = later - earlier
    middle, spread = _centre(difference[both.inside][::_THIN])
    difference = (difference - middle) / np.sqrt(spread**2 + (float(parameters["misplaced_mm"]) * both.slope) ** 2)
    tissue, tissue_spread = _centre(later[both.inside][::_THIN])
    bright = later > tissue + float(parameters["bright_sd"]) * tissue_spread
    labels, count = ndimage.label(
        both.inside & bright & (difference > float(parameters["grow_sd"])), np.ones((3, 3, 3))
    )
    if not count:
        return np.zeros_like(both.inside)
    peaks = np.asarray(ndimage.maximum(difference, labels, np.arange(1, count + 1)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:] * float(np.prod(both.steps_mm))
    kept = (peaks > float(parameters["core_sd"])) & (sizes >= float(parameters["least_mm3"]))
    return np.asarray(np.r_[False, kept][labels], dtype=np.bool_)


def _centre(values: NDArray[np.float32]) -> tuple[float, float]:
    middle = float(np.median(values))
    return middle, max(_ROBUST * float(np.median(np.abs(values - middle))), 1e-6)


def brain_mask(scan: Floats, steps_mm: Steps) -> Mask:
    """Return the brain in a FLAIR scan (slices, rows, columns): the largest bright piece inside the skull.

    Calculated on every second millimetre: a threshold (Otsu 1979), a core 5 mm deep that is cut off from the scalp,
    grown back, holes and furrows filled.
    """
    from scipy import ndimage

    every = np.maximum(1, np.rint(_EVERY_MM / steps_mm)).astype(int)
    soft = ndimage.gaussian_filter(scan, 0.4 * every)[:: every[0], :: every[1], :: every[2]]
    steps = steps_mm * every
    threshold = 0.9 * _otsu(soft)
    bright = soft > threshold
    core = _largest(ndimage.distance_transform_edt(bright, sampling=steps) > 5.0)
    if not core.any():
        return np.zeros(scan.shape, dtype=np.bool_)
    grown = (ndimage.distance_transform_edt(~core, sampling=steps) <= 6.0) & (soft > 0.6 * threshold)
    closed = ndimage.binary_fill_holes(ndimage.distance_transform_edt(~grown, sampling=steps) <= 4.0)
    brain = ndimage.distance_transform_edt(closed, sampling=steps) > 4.0
    whole = np.repeat(np.repeat(np.repeat(brain, every[0], 0), every[1], 1), every[2], 2)
    return np.ascontiguousarray(whole[: scan.shape[0], : scan.shape[1], : scan.shape[2]])


def _otsu(values: Floats) -> float:
    low, high = np.percentile(values, (2.0, 99.0))
    seen = values[values > low]
    if not seen.size:
        return float("inf")
    counts, edges = np.histogram(np.clip(seen, low, high), 256)
    middles = (edges[1:] + edges[:-1]) / 2
    weight, moment = np.cumsum(counts), np.cumsum(counts * middles)
    between = (moment[-1] * weight / weight[-1] - moment) ** 2 / np.maximum(weight * (weight[-1] - weight), 1)
    return float(middles[int(between.argmax())])


def _largest(mask: Mask) -> Mask:
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    if not count:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == int(sizes.argmax()), dtype=np.bool_)
