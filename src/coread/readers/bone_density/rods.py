"""Calibration rods under the patient: found as bright discs that stay the same along the table, and fitted.

A rod with the content of its surroundings is invisible; its place follows from the spacing of the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from coread.readers.bone_density.frame import AIR_HU, Doubles, Field, Floats

_DISC_MM, _RING_MM = 6.0, (12.5, 15.5)
_BELOW_COLUMN_MM = 52.0
_LEAST_CONTRAST_HU, _MOST_CHANGE_HU, _MOST_TEXTURE_HU = 18.0, 12.0, 25.0
_SURROUND_HU = (-200.0, 200.0)
_QUARTILES_PER_SD, _UNSCANNED_HU = 1.349, 1e4
_APART_MM = 16.0
_SLOPES = (0.7, 2.6)
_OFFSETS_HU = (-120.0, 120.0)
_MOST_RESIDUAL_HU = 6.0


@dataclass(frozen=True, slots=True)
class RodFit:
    """HU = offset + slope x content: ``residual`` is the standard deviation about the line, HU, of ``rods`` rods."""

    slope: float
    offset: float
    residual: float
    rods: int


@dataclass(frozen=True, slots=True)
class _Rod:
    y: float
    x: float
    hu: float


def fitted_rods(field: Field, column_y_mm: float, known: Sequence[Sequence[float]]) -> RodFit | None:
    """Return the calibration by rods; ``known`` are the contents of each phantom that a site uses, mg/cm3.

    ``None`` where there are no rods, or where they do not fit one known phantom in one way only.
    """
    plane, change = _along_the_table(field)
    rods = _visible(plane, change, field.step_mm, column_y_mm + _BELOW_COLUMN_MM)
    if len(rods) < 2:
        return None
    fits = [fit for contents in known for fit in _assignments(rods, sorted(contents), plane, field.step_mm)]
    fits = [fit for fit in fits if fit.residual <= _MOST_RESIDUAL_HU]
    best = min(fits, key=lambda fit: (-fit.rods, fit.residual), default=None)
    if best is None:
        return None
    rivals = [fit for fit in fits if fit.rods == best.rods and abs(fit.slope - best.slope) > 0.1 * best.slope]
    return None if rivals else best


def _along_the_table(field: Field) -> tuple[Floats, Floats]:
    """Return the median (y, x) along the table in the middle of the field, and the spread of means along it.

    Both are of the scanned part: beyond a tilted scan there is nothing, which is not the same as air.
    """
    from scipy.ndimage import uniform_filter

    count = len(field.hu)
    middle = field.hu[count // 5 : max(count // 5 + 1, count - count // 5)]
    blocks = []
    for part in np.array_split(middle, min(8, len(middle))):
        inside = part > AIR_HU + 0.5
        number = inside.sum(axis=0)
        mean = np.where(inside, part, 0).sum(axis=0) / np.maximum(1, number)
        blocks.append(np.where(number > 0.5 * len(part), mean, np.nan))
    stacked = np.stack(blocks)
    unscanned = np.isnan(stacked).sum(axis=0) > len(stacked) - 3
    stacked[:, unscanned] = AIR_HU
    plane = np.nanmedian(stacked, axis=0)
    # Noise is no change: it is averaged over the width of a rod first.
    even = uniform_filter(np.where(np.isnan(stacked), plane, stacked), (0, *(2 * (round(_DISC_MM / field.step_mm),))))
    low, high = np.percentile(even, (25, 75), axis=0)
    change = np.where(unscanned, _UNSCANNED_HU, (high - low) / _QUARTILES_PER_SD)
    return np.asarray(plane, dtype=np.float32), np.asarray(change, dtype=np.float32)


def _visible(plane: Floats, change: Floats, step: float, below_mm: float) -> list[_Rod]:
    from scipy.ndimage import convolve, maximum_filter, median_filter

    first = max(0, round(below_mm / step))
    plane, change = plane[first:], change[first:]
    if min(plane.shape, default=0) < 4 * _DISC_MM / step:
        return []
    disc, ring = _disc(step, 0.0, _DISC_MM), _disc(step, *_RING_MM)
    inside = convolve(plane, disc, mode="nearest")
    # The median, because part of the ring may lie beyond the tray, in air.
    around = median_filter(plane, footprint=ring > 0, mode="nearest")
    texture = np.sqrt(np.maximum(convolve(plane**2, disc, mode="nearest") - inside**2, 0))
    steady = convolve(change, disc, mode="nearest") <= _MOST_CHANGE_HU
    contrast = inside - around
    fits = (contrast >= _LEAST_CONTRAST_HU) & steady & (texture <= _MOST_TEXTURE_HU)
    fits &= (around > _SURROUND_HU[0]) & (around < _SURROUND_HU[1])
    peaks = fits & (contrast >= maximum_filter(contrast, round(_APART_MM / step)))
    found = []
    for y, x in np.argwhere(peaks).tolist():
        dy, dx = _off_center(plane, (y, x), float(around[y, x] + contrast[y, x] / 2), step)
        found.append(_Rod((y + first + dy) * step, (x + dx) * step, float(inside[y, x])))
    return _in_one_row(found)


def _off_center(plane: Floats, at: tuple[int, int], level: float, step: float) -> tuple[float, float]:
    """Return how far (y, x) the middle of what is brighter than a level lies from a voxel, in voxels."""
    reach = round(_RING_MM[0] / step)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    rows = np.clip(at[0] + y, 0, plane.shape[0] - 1)
    columns = np.clip(at[1] + x, 0, plane.shape[1] - 1)
    bright = (plane[rows, columns] > level) & (np.hypot(y, x) <= reach)
    return (float(y[bright].mean()), float(x[bright].mean())) if bright.any() else (0.0, 0.0)


def _in_one_row(found: list[_Rod]) -> list[_Rod]:
    """Keep the largest group at one height over the table, from right to left."""
    groups: list[list[_Rod]] = [[rod for rod in found if abs(rod.y - one.y) <= 6.0] for one in found]
    largest: list[_Rod] = max(groups, key=len, default=[])
    return sorted(largest, key=lambda rod: rod.x)


def _assignments(rods: Sequence[_Rod], contents: Sequence[float], plane: Floats, step: float) -> list[RodFit]:
    """Return the fit of every way to give contents to the visible rods, the invisible ones looked up where they fit."""
    if len(rods) > len(contents):
        return []
    by_hu = sorted(rods, key=lambda rod: rod.hu)
    found = []
    for chosen in combinations(range(len(contents)), len(rods)):
        pairs = list(zip([contents[k] for k in chosen], by_hu, strict=True))
        fit = _line([(content, rod.hu) for content, rod in pairs])
        if fit is None:
            continue
        missing = [contents[k] for k in range(len(contents)) if k not in chosen]
        more = _unseen(rods, missing, fit, plane, step)
        if more is None:
            continue
        full = _line([(content, rod.hu) for content, rod in pairs] + more)
        # Two rods fit any line: only a third one shows that the contents were given rightly.
        if full is not None and (full.rods >= 3 or len(contents) == 2):
            found.append(full)
    return found


def _unseen(
    rods: Sequence[_Rod], missing: Sequence[float], fit: RodFit, plane: Floats, step: float
) -> list[tuple[float, float]] | None:  # fmt: skip
    """Return contents and HU of rods without contrast, at the free places of the row; ``None`` where one is not so."""
    from scipy.ndimage import convolve

    if not missing:
        return []
    apart = np.diff([rod.x for rod in rods])
    spacing = float(apart.min())
    if np.abs(apart / spacing - np.rint(apart / spacing)).max() > 0.25:
        return None
    inside = convolve(plane, _disc(step, 0.0, _DISC_MM), mode="nearest")
    taken = {round((rod.x - rods[0].x) / spacing) for rod in rods}
    total = len(rods) + len(missing)
    free = [k for k in range(-len(missing), total) if k not in taken]
    y = round(float(np.mean([rod.y for rod in rods])) / step)
    out: list[tuple[float, float]] = []
    for content in missing:
        seen = [(k, _value(inside, y, round((rods[0].x + k * spacing) / step))) for k in free]
        wanted = fit.offset + fit.slope * content
        near = [(abs(hu - wanted), k, hu) for k, hu in seen if abs(hu - wanted) <= _LEAST_CONTRAST_HU]
        if not near:
            return None
        _, k, hu = min(near)
        free.remove(k)
        out.append((content, hu))
    return out


def _value(plane: NDArray[np.float32], y: int, x: int) -> float:
    inside = 0 <= y < plane.shape[0] and 0 <= x < plane.shape[1]
    return float(plane[y, x]) if inside else float("-inf")


def _line(pairs: Sequence[tuple[float, float]]) -> RodFit | None:
    contents, values = np.array(pairs, dtype=np.float64).T
    slope, offset = np.polyfit(contents, values, 1).tolist()
    if not (_SLOPES[0] <= slope <= _SLOPES[1] and _OFFSETS_HU[0] <= offset <= _OFFSETS_HU[1]):
        return None
    left = values - offset - slope * contents
    residual = float(np.sqrt((left**2).sum() / (len(pairs) - 2))) if len(pairs) > 2 else 0.0
    return RodFit(float(slope), float(offset), residual, len(pairs))


def _disc(step: float, inner_mm: float, outer_mm: float) -> Doubles:
    side = int(outer_mm / step) + 1
    y, x = np.mgrid[-side : side + 1, -side : side + 1] * step
    away = np.hypot(y, x)
    where = (away >= inner_mm) & (away <= outer_mm)
    return np.asarray(where / where.sum(), dtype=np.float64)
