"""Places in a CT that look like a new nodule or a new lesion of a solid organ, against an earlier CT laid under it.

Only where like can be compared with like: inside the lungs, and inside large solid organs and muscle. A place counts
when it is brighter (in organs also: darker) than everything that lay within the margin of misplacement before, stands
out of the noise of the difference, and is compact. Bowel, fat and everything that moves by itself is left out: there a
difference is no sign of a lesion.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.readers.follow_up.matched import Matched, margin_mm

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Steps = NDArray[np.float64]
_ROBUST = 1.4826
_THIN = 5
"""Medians are taken of every so many-th voxel."""
_SLOW_MM = 20.0
_ML = 1000.0


def searched(arrays: Mapping[str, NDArray[Any]], parameters: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the places that look new (``ct_new``), and of lungs and organs what was searched, ml, with the margin, mm.

    A margin of -1 stands for tissue that is not in the scans, or too far from where it was to be compared. What lies at
    a lesion that is known is that lesion's growth.
    """
    from scipy import ndimage

    now, before = (np.asarray(arrays[name], dtype=np.float32) for name in ("ct_now", "ct_before"))
    covered, known = (np.asarray(arrays[name], dtype=np.bool_) for name in ("ct_covered", "ct_known"))
    match = Matched(now, before, covered)
    steps_mm = np.asarray(arrays["ct_steps_mm"], dtype=np.float64)
    parts = (
        searched_lungs(match, steps_mm, int(arrays["ct_upward"][0]), parameters),
        searched_organs(match, steps_mm, parameters),
    )
    labels, _ = ndimage.label(parts[0].new | parts[1].new, np.ones((3, 3, 3)))
    followed = np.unique(labels[_near(known, float(parameters["from_known_mm"]), steps_mm)])
    margins = [-1.0 if not np.isfinite(part.margin_mm) else part.margin_mm for part in parts]
    return {
        "ct_new": (labels > 0) & ~np.isin(labels, followed),
        "ct_searched_ml": np.array([part.ml for part in parts]),
        "ct_margin_mm": np.array(margins),
    }


@dataclass(frozen=True, slots=True, eq=False)
class Searched:
    """What one kind of tissue gave, on the grid of the match."""

    new: Mask
    ml: float
    """How much was searched."""
    margin_mm: float
    """Within which differences were taken for misplacement; infinite: nothing could be searched."""


def searched_lungs(match: Matched, steps_mm: Steps, upward: int, parameters: Mapping[str, Any]) -> Searched:
    """Look for new nodules inside both lungs; ``upward`` is the index axis that runs along the body."""
    own = parameters["lung"]
    lungs = [_lungs(scan, steps_mm, upward, own) for scan in (match.now, match.before)]
    margin = _margin(lungs[0], lungs[1], steps_mm, parameters)
    if margin is None:
        return _nothing(match)
    now, before = (_smooth(scan, float(own["smooth_mm"]), steps_mm) for scan in (match.now, match.before))
    deep = float(own["depth_mm"]) + margin
    place = _deeper(lungs[0] & lungs[1], deep, steps_mm) & match.covered
    risen = now - _widest(before, margin, steps_mm)
    noise = _noise((now - before)[place])
    new = _places(risen, place, noise, steps_mm, own)
    return Searched(new, _volume_ml(place, steps_mm), margin)


def searched_organs(match: Matched, steps_mm: Steps, parameters: Mapping[str, Any]) -> Searched:
    """Look for new lesions, darker or brighter, inside large solid organs and muscle."""
    own = parameters["organ"]
    now, before = (_smooth(scan, float(own["smooth_mm"]), steps_mm) for scan in (match.now, match.before))
    solid = _solid(before, steps_mm, own)
    margin = _margin(_solid(now, steps_mm, own), solid, steps_mm, parameters)
    if margin is None:
        return _nothing(match)
    low, high = own["later_hu"]
    gas = _near(match.now < float(own["gas_hu"]), float(own["from_gas_mm"]), steps_mm)
    gas |= _near(match.before < float(own["gas_hu"]), float(own["from_gas_mm"]), steps_mm)
    place = solid & match.covered & ~gas & ~_bone(match, steps_mm, own) & (now > low) & (now < high)
    if not place.any():
        return Searched(np.zeros(place.shape, dtype=np.bool_), 0.0, margin)
    # Another phase of contrast shifts a whole organ: what changed slowly from place to place is taken off.
    now = now - _slow(now - before, place, steps_mm)
    noise = _noise((now - before)[place])
    brighter = _places(now - _widest(before, margin, steps_mm), place, noise, steps_mm, own)
    darker = _places(-_widest(-before, margin, steps_mm) - now, place, noise, steps_mm, own)
    return Searched(brighter | darker, _volume_ml(place, steps_mm), margin)


def _nothing(match: Matched) -> Searched:
    return Searched(np.zeros(match.now.shape, dtype=np.bool_), 0.0, float("inf"))


def _margin(now: Mask, before: Mask, steps_mm: Steps, parameters: Mapping[str, Any]) -> float | None:
    """Return within what a difference is taken for misplacement; ``None`` where organs lie too far apart."""
    found = margin_mm(now, before, steps_mm)
    least, most = parameters["margin_mm"]
    return None if found > most else max(float(least), found)


def _lungs(scan: Floats, steps_mm: Steps, upward: int, own: Mapping[str, Any]) -> Mask:
    """Return the lungs with their vessels: air inside the body that is not gas, closed."""
    from scipy import ndimage

    labels, count = ndimage.label(scan < float(own["air_hu"]))
    whole = np.zeros(scan.shape, dtype=np.bool_)
    if not count:
        return whole
    outside = {0}
    for axis in {0, 1, 2} - {upward}:
        for end in (0, -1):
            outside |= set(np.unique(labels.take(end, axis)).tolist())
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * float(np.prod(steps_mm)) / _ML
    for number in np.flatnonzero(sizes >= float(own["least_ml"])).tolist():
        if number not in outside and float(np.median(scan[labels == number][::_THIN])) > float(own["gas_hu"]):
            whole |= labels == number
    return _closed(whole, float(own["close_mm"]), steps_mm) if whole.any() else whole


def _solid(scan: Floats, steps_mm: Steps, own: Mapping[str, Any]) -> Mask:
    """Return organs and muscle: soft tissue that holds a ball of ``ball_mm`` radius."""
    low, high = own["solid_hu"]
    soft = _closed((scan > low) & (scan < high), float(own["close_mm"]), steps_mm)
    core = _deeper(soft, float(own["ball_mm"]), steps_mm)
    return soft & _near(core, float(own["ball_mm"]), steps_mm)


def _bone(match: Matched, steps_mm: Steps, own: Mapping[str, Any]) -> Mask:
    """Return bone of both dates with its marrow, the discs between, and a rim: they have the values of organs."""
    limit = float(own["bone_hu"])
    bone = _closed((match.now > limit) | (match.before > limit), float(own["bone_close_mm"]), steps_mm)
    return _near(bone, float(own["from_bone_mm"]), steps_mm)


def _places(excess: Floats, place: Mask, noise: float, steps_mm: Steps, own: Mapping[str, Any]) -> Mask:
    """Return the compact pieces of what stands out: a clear core, and what hangs together with it."""
    from scipy import ndimage

    core = max(float(own["core_hu"]), float(own["core_sd"]) * noise)
    grow = max(float(own["grow_hu"]), float(own["grow_sd"]) * noise)
    labels, count = ndimage.label(place & (excess > grow), np.ones((3, 3, 3)))
    new = np.zeros(place.shape, dtype=np.bool_)
    if not count:
        return new
    peaks = np.asarray(ndimage.maximum(excess, labels, np.arange(1, count + 1)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:] * float(np.prod(steps_mm))
    least, most = (float(value) for value in own["mm3"])
    boxes = ndimage.find_objects(labels)
    for number in np.flatnonzero((peaks > core) & (sizes >= least) & (sizes <= most)).tolist():
        piece = labels[boxes[number]] == number + 1
        if _is_compact(piece, steps_mm, float(own["longest_to_shortest"])):
            new[boxes[number]] |= piece
    return new


def _is_compact(piece: Mask, steps_mm: Steps, most: float) -> bool:
    """Say whether the longest axis of a piece (by its second moments) is at most so many times the shortest."""
    at = np.argwhere(piece) * steps_mm
    spread = np.cov(at.T) + np.diag(steps_mm**2) / 12 if len(at) > 1 else np.diag(steps_mm**2) / 12
    values = np.linalg.eigvalsh(spread)
    return bool(np.sqrt(values[-1] / values[0]) <= most)


def _smooth(scan: Floats, sigma_mm: float, steps_mm: Steps) -> Floats:
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(scan, sigma_mm / steps_mm), dtype=np.float32)


def _widest(scan: Floats, margin: float, steps_mm: Steps) -> Floats:
    """Return the largest value within the margin along each axis."""
    from scipy import ndimage

    return np.asarray(ndimage.maximum_filter(scan, _sides(margin, steps_mm)), dtype=np.float32)


def _slow(difference: Floats, place: Mask, steps_mm: Steps) -> Floats:
    """Return what changed slowly from place to place, from differences cut to three robust deviations."""
    from scipy import ndimage

    values = difference[place][::_THIN]
    middle = float(np.median(values))
    reach = 3 * _noise(values)
    weight = place.astype(np.float32)
    cut = np.clip(difference, middle - reach, middle + reach) * weight
    sigma = _SLOW_MM / steps_mm
    below = ndimage.gaussian_filter(weight, sigma)
    return np.asarray(np.where(below > 1e-3, ndimage.gaussian_filter(cut, sigma) / np.maximum(below, 1e-3), middle))


def _noise(values: Floats) -> float:
    if not values.size:
        return 0.0
    middle = float(np.median(values[::_THIN]))
    return _ROBUST * float(np.median(np.abs(values[::_THIN] - middle)))


def _deeper(mask: Mask, depth_mm: float, steps_mm: Steps) -> Mask:
    """Return what lies deeper than this along every axis inside a mask; the faces of the field are no border."""
    from scipy import ndimage

    found = ndimage.minimum_filter(mask.view(np.uint8), _sides(depth_mm, steps_mm), mode="nearest")
    return np.asarray(found, dtype=np.bool_)


def _near(mask: Mask, reach_mm: float, steps_mm: Steps) -> Mask:
    from scipy import ndimage

    found = ndimage.maximum_filter(mask.view(np.uint8), _sides(reach_mm, steps_mm), mode="nearest")
    return np.asarray(found, dtype=np.bool_)


def _sides(reach_mm: float, steps_mm: Steps) -> tuple[int, ...]:
    """Return the sides of a box of voxels that reaches so far to each side; boxes are fast, and a little wide."""
    return tuple((2 * np.ceil(reach_mm / steps_mm - 0.25).astype(int) + 1).tolist())


def _closed(mask: Mask, reach_mm: float, steps_mm: Steps) -> Mask:
    wide = _near(mask, reach_mm, steps_mm)
    return _deeper(wide, reach_mm, steps_mm)


def _volume_ml(mask: Mask, steps_mm: Steps) -> float:
    return float(np.count_nonzero(mask)) * float(np.prod(steps_mm)) / _ML
