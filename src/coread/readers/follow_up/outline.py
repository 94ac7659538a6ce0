"""One known lesion outlined again: on each date by the same steps, so that a change is not a change of method.

1. What is known of the lesion (its outline on the earlier date) lies as a seed in a region of interest.
2. Values inside and in the surroundings give each voxel a score (logarithm of the ratio of two histograms, smoothed);
   voxels far from the seed need better scores. The piece that holds most of the seed is kept; four rounds.
3. The border moves to half way between the lesion's value and that of its surroundings nearby, where a blurred edge
   keeps the volume.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.imaging.measuring import surface

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
_BINS = 40
_ROUNDS, _MOVES = 4, 4
_BAND_MM = 2.5
"""Half the width of the band in which the border moves."""


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """The lesion in the region of interest."""

    mask: Mask
    """(z, y, x); empty where nothing stands out at its place."""
    value: float
    """Median inside, away from the rim."""
    around: float
    """Median of the surroundings, 2 to 8 mm away."""
    share_at_limit: float
    """Share of its surface that lies as far out as was looked: where it is large, the lesion may be larger."""


def outlined(values: Floats, seed: Mask, step_mm: float, parameters: Mapping[str, Any], *, may_change: bool) -> Outline:
    """Outline what the seed stands for in values (z, y, x) with cubic voxels of ``step_mm``.

    ``may_change``: the seed is of another date. First it is looked near the seed only, so that a lesion that stayed
    does not run into its neighbours; where much of its surface reaches the end of that, further out.
    """
    near = _outlined(values, seed, step_mm, parameters, reach_mm=float(parameters["near_mm"]))
    if not may_change or near.share_at_limit < float(parameters["grown_share"]):
        return near
    reach_mm = float(parameters["reach_share"]) * _radius_mm(seed, step_mm) + float(parameters["reach_mm"])
    return _outlined(values, seed, step_mm, parameters, reach_mm=reach_mm)


def _outlined(values: Floats, seed: Mask, step_mm: float, parameters: Mapping[str, Any], *, reach_mm: float) -> Outline:
    from scipy import ndimage

    smooth_mm = float(parameters["smooth_mm"])
    soft = ndimage.gaussian_filter(values, smooth_mm / step_mm)
    depth = ndimage.distance_transform_edt(seed) * step_mm
    outside_by = ndimage.distance_transform_edt(~seed) * step_mm
    doubt = float(parameters["distance_weight"]) * (outside_by / reach_mm) ** 2
    core = depth >= 0.6 * depth.max()
    mask = seed
    for number in range(_ROUNDS):
        inner = core if number == 0 else _inner(mask, step_mm)
        around = _around(mask if number else seed, step_mm)
        score = _score(soft, inner, around) - doubt
        score = ndimage.gaussian_filter(score.astype(np.float32), smooth_mm / step_mm)
        mask = _piece((score > 0) & (outside_by <= reach_mm), seed)
        if not mask.any():
            break
    if mask.any():
        near = (ndimage.distance_transform_edt(~mask) * step_mm <= _BAND_MM) & (outside_by <= reach_mm)
        for _ in range(_MOVES):
            moved = _piece(_half_way(soft, mask, near, step_mm), seed)
            mask = moved if moved.any() else mask
    if not mask.any():
        return Outline(mask, 0.0, 0.0, 0.0)
    edge = np.ones_like(mask)
    edge[1:-1, 1:-1, 1:-1] = False
    skin = surface(mask)
    limit = skin & (edge | (outside_by > reach_mm - step_mm))
    apart = ndimage.distance_transform_edt(~mask) * step_mm
    beside = float(np.median(soft[(apart > 2.0) & (apart <= 8.0)])) if mask.sum() < mask.size else 0.0
    share = float(int(limit.sum()) / max(1, int(skin.sum())))
    return Outline(mask, float(np.median(soft[_inner(mask, step_mm)])), beside, share)


def _radius_mm(mask: Mask, step_mm: float) -> float:
    return float((3 * np.count_nonzero(mask) / (4 * np.pi)) ** (1 / 3) * step_mm)


def _inner(mask: Mask, step_mm: float) -> Mask:
    """Return the lesion without its rim of mixed voxels."""
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(mask) * step_mm
    return np.asarray(depth >= min(1.5, 0.6 * float(depth.max())))


def _around(mask: Mask, step_mm: float) -> Mask:
    """Return the surroundings, 2 to 12 mm away."""
    from scipy import ndimage

    apart = ndimage.distance_transform_edt(~mask) * step_mm
    return np.asarray((apart > 2.0) & (apart <= 12.0))


def _score(values: Floats, inner: Mask, around: Mask) -> NDArray[np.float64]:
    """Return the logarithm of how much likelier a value is inside than in the surroundings, between -3 and 3."""
    inside, outside = values[inner], values[around]
    if not inside.size or not outside.size:
        return np.zeros(values.shape)
    middle = float(np.median(inside))
    spread = max(1.4826 * float(np.median(np.abs(inside - middle))), 1e-3 * float(np.ptp(values)) + 1e-6)
    low, high = middle - 12 * spread, middle + 12 * spread
    edges = np.linspace(low, high, _BINS + 1)
    width = edges[1] - edges[0]
    centres = (edges[1:] + edges[:-1]) / 2
    like_inside = np.exp(-0.5 * ((centres - middle) / (1.3 * spread)) ** 2) / (1.3 * spread * np.sqrt(2 * np.pi))
    counted = np.histogram(np.clip(outside, low, high), edges)[0].astype(np.float64)
    counted = np.convolve(counted, (0.25, 0.5, 0.25), mode="same")
    like_outside = counted / max(counted.sum(), 1.0) / width
    floor = 0.02 / (high - low)
    table = np.log((like_inside + floor) / (like_outside + floor))
    place = np.clip(((values - low) / width).astype(np.int64), 0, _BINS - 1)
    return np.asarray(np.clip(table, -3.0, 3.0)[place], dtype=np.float64)


def _piece(mask: Mask, seed: Mask) -> Mask:
    """Return the connected piece that holds most of the seed, after cutting bridges that are one voxel wide."""
    from scipy import ndimage

    opened = ndimage.binary_opening(mask, ndimage.generate_binary_structure(3, 1))
    labels, count = ndimage.label(opened if opened.any() else mask)
    if count == 0:
        return np.zeros_like(mask)
    held = np.bincount(labels[seed], minlength=count + 1)
    held[0] = 0
    if not held.any():
        return np.zeros_like(mask)
    piece = labels == int(held.argmax())
    grown = ndimage.binary_dilation(piece, ndimage.generate_binary_structure(3, 1)) & mask
    return np.asarray(ndimage.binary_fill_holes(grown | piece), dtype=np.bool_)


def _half_way(values: Floats, mask: Mask, allowed: Mask, step_mm: float) -> Mask:
    """Move the border of the mask to half way between the lesion's value and the surroundings nearby."""
    from scipy import ndimage

    apart = ndimage.distance_transform_edt(~mask) * step_mm
    depth = ndimage.distance_transform_edt(mask) * step_mm
    inner = values[_inner(mask, step_mm)]
    inside = float(np.median(inner))
    spread = 1.4826 * float(np.median(np.abs(inner - inside)))
    beyond = ((apart > 2.0) & (apart <= 8.0)).astype(np.float32)
    sigma = 3.0 / step_mm
    share = ndimage.gaussian_filter(beyond, sigma)
    nearby = ndimage.gaussian_filter(values * beyond, sigma) / np.maximum(share, 1e-4)
    like_lesion = np.abs(values - inside) < np.abs(values - nearby)
    # A value on the far side of the lesion's is a third tissue, not a mixture of lesion and surroundings.
    like_lesion &= ((values - inside) * (nearby - inside) > 0) | (np.abs(values - inside) < 2.0 * spread)
    band = (apart <= _BAND_MM) & (depth <= _BAND_MM) & (share > 1e-4)
    return np.asarray(np.where(band, like_lesion, mask) & allowed, dtype=np.bool_)
