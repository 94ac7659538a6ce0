"""A lesion outlined from a point, a box or a RECIST line, in any volume: by its values, its border, its likely shape.

1. The prompt becomes a region along the patient's axes and a likely shape (``lesion_region``, ``lesion_prompted``).
2. Histograms of what is likely inside and what is outside give each voxel a score. How often the corners of the prompt
   look like the lesion decides how much the shape counts beside it: all of it where muscle looks like tumour, little
   where a nodule lies in air.
3. The best smooth border for these scores is found (``smooth_cut``), and once more with histograms of what it holds.
4. Where the lesion stands out, the border moves to half way between the lesion's value and that of its surroundings
   nearby: there a blurred edge keeps the volume.

The numbers below were tuned on phantoms and patients who are no part of what docs/how-to/measure-a-lesion.md reports.
"""

from dataclasses import dataclass

import numpy as np

from coread.domain.images import Quantity, Volume
from coread.imaging.errors import NothingSegmented
from coread.imaging.lesion_prompted import Likely, likely_extent
from coread.imaging.lesion_region import Floats, Mask, Region, on_source, region_around
from coread.imaging.prompts import Prompt, require_inside
from coread.imaging.smooth_cut import smooth_cut

_ACROSS, _BESIDE = 40, 0.18
_BLURS = (0.7, 1.4)
"""Steps: the noise of single voxels goes, borders stay; the second where the first leaves nothing clear."""
_BINS, _BIN_BLUR, _MOST_SCORE = 48, 1.2, 3.0
_ROUNDS, _STEPS = 2, 80
_SHAPE_SCORE, _SHAPE_SLOPE = 2.0, 5.0
_ALIKE = 0.12
"""From this share of look-alikes in the corners of the prompt on, the shape counts in full."""
_DOUBT = 0.3
"""A score above minus this is not clearly outside."""
_DOUBTFUL = 0.3
_CLEAR = 0.7
"""Above this clearness the border is moved to half way."""
_BORDER_COST, _EDGE_FALL, _LEAST_COST = 0.6, 0.6, 0.05
_SURE = 20.0
_AIR_HU = -940.0
_BACKGROUND = 0.03
"""Of the largest values of a volume without a unit."""


@dataclass(frozen=True, slots=True, eq=False)
class Outlined:
    """What was outlined, on the grid of the volume."""

    mask: Mask
    """(slices, rows, columns)."""
    clearness: float
    """0: as many look-alikes beside the lesion as in it, the shape of the prompt decided; 1: the image decided."""


def segment_lesion(volume: Volume, prompt: Prompt) -> Outlined:
    """Outline the lesion that a prompt points at; turned or mirrored volumes give the turned or mirrored mask.

    Raises BadPrompt where the prompt lies outside the volume, NothingSegmented where nothing stands out there, and
    PixelsNotFinite.
    """
    prompt = require_inside(prompt, volume.geometry)
    likely = likely_extent(volume, prompt)
    region = region_around(volume, likely.box_mm, across=_ACROSS, beside=_BESIDE)
    _require_tissue(volume, likely, region)
    inside, clearness = _outlined(region, likely)
    mask = on_source(inside, region.grid, volume.geometry)
    if not mask.any():
        raise NothingSegmented("what stands out there is smaller than a voxel")
    return Outlined(mask, clearness)


def _require_tissue(volume: Volume, likely: Likely, region: Region) -> None:
    core = region.values[likely.distance(region) < 0.5]
    value = float(np.median(core)) if core.size else float(np.median(region.values))
    if float(np.ptp(region.values)) < 1e-6:
        raise NothingSegmented("all values around the place are equal")
    if volume.quantity is Quantity.HOUNSFIELD:
        if value < _AIR_HU:
            raise NothingSegmented(f"the place lies in air ({value:.0f} HU)")
    elif float(volume.voxels.min()) >= 0 and value < _BACKGROUND * float(volume.voxels.max()):
        raise NothingSegmented("the place lies in the background of the image")


def _outlined(region: Region, likely: Likely) -> tuple[Floats, float]:
    """Return the share of each voxel that is inside (z, y, x), and how clear that was."""
    distance, beyond, reach = likely.distance(region), likely.beyond(region), likely.reach(region)
    values, scale, clearness = _cleared(region, distance, beyond, reach)
    cost = _border_cost(values, beyond, scale)
    within = beyond <= 1
    around = beyond < 1.35
    surely_outside = (reach > 1.08) & around
    shape = (1 - 0.85 * clearness) * _SHAPE_SCORE * np.clip(_SHAPE_SLOPE * (likely.rim - distance), -6, 3)
    inner, outer = np.exp(-((distance / 0.6) ** 2)) * within, surely_outside.astype(np.float32)
    share = np.zeros_like(values)
    for _ in range(_ROUNDS):
        score = (0.5 + 1.5 * clearness) * _score(values, inner, outer, scale) + shape
        score[~within], score[distance < 0.12] = -_SURE, _SURE
        share = smooth_cut(score.astype(np.float32), cost, steps=_STEPS)
        inner, outer = share * np.clip(1.6 - distance, 0.2, 1) * within, (1 - share) * around
    share = _in_one_piece(share, distance)
    return (_half_way(values, share, beyond) if clearness > _CLEAR else share), clearness


def _cleared(
    region: Region, distance: Floats, beyond: Floats, reach: Floats
) -> tuple[Floats, tuple[float, float], float]:  # fmt: skip
    """Return the values blurred enough to tell the lesion from what is around it, their scale, and the clearness."""
    from scipy import ndimage

    found = []
    for blur in _BLURS:
        values = ndimage.gaussian_filter(region.values, blur)
        scale = _scale(values, distance, beyond)
        outside, corners = (reach > 1.08) & (beyond < 1.35), (reach > 1.08) & (beyond < 1.05)
        found.append((values, scale, _clearness(_score(values, distance < 0.55, outside, scale), corners)))
        if found[-1][2] >= _DOUBTFUL:
            return found[-1]
    return found[0]


def _scale(values: Floats, distance: Floats, beyond: Floats) -> tuple[float, float]:
    """Return the range of values that the histograms span: around the middle of the lesion, as wide as is needed."""
    core = values[distance < 0.5]
    middle = float(np.median(core))
    apart = float(np.percentile(np.abs(values[beyond < 1.25] - middle), 60))
    half = max(2 * float(np.percentile(np.abs(core - middle), 98)), apart, 1e-6)
    return middle - half, middle + half


def _score(values: Floats, inner: Floats | Mask, outer: Floats | Mask, scale: tuple[float, float]) -> Floats:
    """Return the logarithm of how much likelier each value is inside than outside, within +-3."""
    from scipy import ndimage

    low, high = scale
    bins = np.clip((values - low) / (high - low) * _BINS, 0, _BINS - 1).astype(np.int64)

    def histogram(weights: Floats | Mask) -> Floats:
        counts = np.bincount(bins.ravel(), weights=weights.ravel(), minlength=_BINS)
        smooth = ndimage.gaussian_filter1d(counts, _BIN_BLUR, mode="nearest")
        share = smooth / max(float(smooth.sum()), 1e-9) + 1e-3
        return np.asarray(share / share.sum())

    ratio = np.log(histogram(inner) / histogram(outer))
    return np.asarray(np.clip(ratio, -_MOST_SCORE, _MOST_SCORE)[bins], dtype=np.float32)


def _clearness(score: Floats, corners: Mask) -> float:
    """Return 1 where nothing in the corners of the prompt could be the lesion, 0 from ``_ALIKE`` on."""
    alike = float((score[corners] > -_DOUBT).mean()) if corners.any() else 1.0
    return max(0.0, 1 - alike / _ALIKE)


def _border_cost(values: Floats, beyond: Floats, scale: tuple[float, float]) -> Floats:
    """Return what a border costs at each voxel: little where the values change."""
    steep = np.sqrt(sum(part**2 for part in np.gradient(np.clip(values, *scale))))
    usual = float(np.percentile(steep[beyond < 1.2], 70)) + 1e-6
    cost = np.maximum(np.exp(-_EDGE_FALL * (steep / usual) ** 2), _LEAST_COST)
    return np.asarray(_BORDER_COST * cost, dtype=np.float32)


def _in_one_piece(share: Floats, distance: Floats) -> Floats:
    """Return the piece that reaches nearest to the middle, with its holes filled."""
    from scipy import ndimage

    labels, count = ndimage.label(share > 0.5)
    if not count:
        raise NothingSegmented("nothing there stands out from what is around it")
    nearest = int(np.where(labels > 0, distance, np.inf).argmin())
    piece = ndimage.binary_fill_holes(labels == labels.ravel()[nearest])
    kept = np.where(piece, np.maximum(share, 0.501), share)
    return np.asarray(np.where(ndimage.binary_dilation(piece), kept, 0.0), dtype=np.float32)


def _half_way(values: Floats, share: Floats, beyond: Floats) -> Floats:
    """Return shares whose one half lies where the value is half way from the lesion's to its surroundings' nearby."""
    from scipy import ndimage

    inside = share > 0.5
    depth = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    depth -= 0.5 * np.sign(depth)
    deep = depth > 1.5
    if np.count_nonzero(deep) < 20:
        deep = depth > 0
    middle = float(np.median(values[deep]))
    spread = 1.4826 * float(np.median(np.abs(values[deep] - middle)))
    own, own_weight = _mean_nearby(values, deep)
    other, other_weight = _mean_nearby(values, (depth < -1.5) & (depth > -5))
    own = np.where(own_weight > 1e-3, own, middle)
    apart = own - other
    clear = (np.abs(apart) > max(3 * spread, 1e-6)) & (np.abs(depth) <= 1.6) & (other_weight > 1e-3)
    moved = np.clip((values - other) / np.where(clear, apart, 1.0), 0, 1)
    found = np.where(clear, moved, share)
    found[beyond > 1.1] = 0
    return np.asarray(found, dtype=np.float32)


def _mean_nearby(values: Floats, mask: Mask) -> tuple[Floats, Floats]:
    from scipy import ndimage

    weight = ndimage.gaussian_filter(mask.astype(np.float32), 2.0)
    total = ndimage.gaussian_filter(np.where(mask, values, 0).astype(np.float32), 2.0)
    return np.asarray(total / np.maximum(weight, 1e-4)), np.asarray(weight)
