"""Areas of the cavity from the signal: edges by parts of a pixel, the slice at the base by its neighbours.

The network says where the cavity is; how large it is follows from the signal of blood and muscle beside it: a pixel
that both share counts by its share (partial volume). Edges of networks depend on what they were drawn with.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.readers.ejection_fraction.outputs import PIXEL_MM
from coread.readers.ejection_fraction.tracking import Ventricle

Planes = NDArray[np.float32]
_SURE_PIXELS, _MUSCLE_PIXELS, _REACH_PIXELS = 2, 5, 4
_FINER, _SPECK = 3, 1.5
_FEW_PIXELS = 6
_MUSCLE_PERCENTILE = 35
_LEAST_OF_NEIGHBOUR = 0.6
"""A slice with less of the area of the one before it, towards the base, is the one that the mitral plane cuts."""
_WALL_PIXELS = 7
_LEAST_LIKENESS = 0.55
"""Correlation of a slice with the next, around the cavity, from which both show the ventricle."""
_NEAR_BASE = 2
"""Slices from the last one with a cavity in which this is asked."""
_LEAST_SHARE, _LEAST_EXPLAINED = 0.15, -0.5
"""What counts of the slice at the base, and what a mixture must explain of it (1: all, 0: no more than its mean)."""
_ROUNDS, _SURE_OF_PLACE = 12, 0.1
_EXCURSION_MM = 22.0
"""The most that the mitral plane moves in a beat; in a healthy heart about 12 to 16 mm."""


@dataclass(frozen=True, slots=True, eq=False)
class Areas:
    """What was measured in each slice of each phase."""

    mm2: NDArray[np.float64]
    """(phases, slices); the slice at the base counts with the share of it that lies in the ventricle."""
    base: NDArray[np.int64]
    """(phases,): the last slice that is whole; -1 where there is no ventricle."""
    base_share: NDArray[np.float64]
    """(phases,): how much of the next slice lies in the ventricle, 0 to 1."""


def areas_of(images: Planes, muscle: Planes, ventricle: Ventricle, distance_mm: float) -> Areas:
    """Return the areas of (phases, slices, side, side) images in [0, 1] with the shares of muscle beside them.

    ``distance_mm`` is that of the slices. Where the base lies is estimated in each phase by itself and then laid on a
    line over how far the middle of the ventricle is filled: the mitral plane moves with the emptying.
    """
    phases, slices = images.shape[:2]
    step = ventricle.towards_base
    pairs = zip(images, ventricle.shares, muscle, strict=True)
    own = np.array([[edge_area(*one) for one in zip(*phase, strict=True)] for phase in pairs])
    filled = np.flatnonzero(own.any(axis=1))
    seen = np.zeros(phases, dtype=np.int64)
    places = np.zeros(phases)
    for phase in filled:
        cavity = ventricle.shares[phase]
        seen[phase] = _last_whole(images[phase], cavity, own[phase], step)
        places[phase] = seen[phase] * step + _share_beyond(images[phase], cavity, own[phase], (int(seen[phase]), step))
    always = np.arange(slices) * step <= (seen[filled] * step).min()
    places[filled] = _on_a_line(places[filled], own[filled][:, always].sum(axis=1), _EXCURSION_MM / distance_mm)
    areas, base, shares = np.zeros((phases, slices)), np.full(phases, -1, dtype=np.int64), np.zeros(phases)
    for phase in filled:
        whole = int(np.clip(np.floor(places[phase] + 1e-6) * step, 0, slices - 1))
        known = int(seen[phase])
        row = np.where(np.arange(slices) * step <= min(known * step, whole * step), own[phase], 0)
        row[[k for k in range(slices) if known * step < k * step <= whole * step]] = own[phase, known]
        base[phase], shares[phase] = whole, np.clip(places[phase] - whole * step, 0, 1)
        if 0 <= whole + step < slices:
            row[whole + step] = shares[phase] * row[whole]
        areas[phase] = row
    return Areas(areas * PIXEL_MM**2, base, shares)


def _on_a_line(places: NDArray[np.float64], filling: NDArray[np.float64], most: float) -> NDArray[np.float64]:
    """Return the places of the base on the line through them; outliers count little (least absolute deviations)."""
    reach = float(np.ptp(filling))
    if reach <= 0 or len(places) < 3:
        return places
    share = (filling - filling.min()) / reach
    design = np.column_stack([np.ones_like(share), share])
    weights, line = np.ones_like(share), np.zeros(2)
    for _ in range(_ROUNDS):
        root = np.sqrt(weights)
        line = np.linalg.lstsq(design * root[:, np.newaxis], places * root, rcond=None)[0]
        weights = 1 / np.maximum(np.abs(places - design @ line), _SURE_OF_PLACE)
    slope = float(np.clip(line[1], 0, most))
    return np.asarray(np.median(places - slope * share) + slope * share)


def edge_area(image: Planes, cavity: Planes, muscle: Planes) -> float:
    """Return the area of a cavity in pixels, papillary muscles and trabeculae included.

    The convex hull of all that is brighter than halfway between muscle and blood, within the muscle's outer border.
    """
    from scipy import ndimage

    mask = cavity >= 0.5
    if mask.sum() < _FEW_PIXELS:
        return float(cavity.sum())
    sure = ndimage.binary_erosion(mask, iterations=_SURE_PIXELS)
    near = ndimage.binary_dilation(mask)
    wall = ndimage.binary_dilation(mask, iterations=_MUSCLE_PIXELS) & ~near & (muscle > 0.6)
    if wall.sum() < 2 * _FEW_PIXELS:
        return float(cavity.sum())
    blood = float(np.median(image[sure])) if sure.sum() > _FEW_PIXELS else float(np.percentile(image[mask], 85))
    dark = float(np.percentile(image[wall], _MUSCLE_PERCENTILE))
    if blood - dark < 0.05:
        return float(cavity.sum())
    heart = ndimage.binary_fill_holes(mask | (muscle > 0.5))
    within = ndimage.binary_erosion(heart, iterations=_SURE_PIXELS) | mask
    within &= ndimage.binary_dilation(mask, iterations=_REACH_PIXELS)
    return _hull_area(image, within, (blood + dark) / 2)


def _hull_area(image: Planes, within: NDArray[np.bool_], level: float) -> float:
    """Return the area, in pixels, of the convex hull of what lies above a level; specks of noise do not count."""
    from scipy import ndimage
    from scipy.spatial import ConvexHull

    fine = ndimage.zoom(image, _FINER, order=1, grid_mode=True, mode="nearest")
    bright = (fine > level) & np.kron(within, np.ones((_FINER, _FINER), dtype=bool))
    labels, count = ndimage.label(bright)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    points = np.argwhere((sizes >= _SPECK * _FINER**2)[labels])
    if len(points) < _FEW_PIXELS:
        return 0.0
    hull = ConvexHull(points)
    # Points are the middles of pixels: half a pixel more on every side (``area`` of a flat hull is its circumference).
    return float(hull.volume + 0.5 * hull.area) / _FINER**2


def _last_whole(images: Planes, cavity: Planes, own: NDArray[np.float64], step: int) -> int:
    """Return the last slice towards the base before the area falls off or the slice looks like another chamber."""
    filled = np.flatnonzero(own)[::step]
    place = int(filled[len(filled) // 2])
    while 0 <= place + step < len(own) and own[place + step] >= _LEAST_OF_NEIGHBOUR * own[place]:
        if abs(int(filled[-1]) - place) <= _NEAR_BASE:
            here, beyond = (_around(images[k], cavity[place]) for k in (place, place + step))
            if float(np.corrcoef(here, beyond)[0, 1]) < _LEAST_LIKENESS:
                break
        place += step
    return place


def _around(image: Planes, cavity: Planes) -> NDArray[np.float64]:
    """Return the slightly smoothed values in the rim and wall of a cavity and a little beyond."""
    from scipy import ndimage

    mask = cavity >= 0.5
    region = ndimage.binary_dilation(mask, iterations=_WALL_PIXELS) & ~ndimage.binary_erosion(mask)
    return np.asarray(ndimage.gaussian_filter(image, 0.7)[region], dtype=np.float64)


def _share_beyond(images: Planes, cavity: Planes, own: NDArray[np.float64], place: tuple[int, int]) -> float:
    """Return how much of the slice after the last whole one is like that one rather than like the next, 0 to 1.

    By least squares: the mitral plane cuts this slice, so that it is a mixture of both. Where a mixture explains
    nothing, it is another chamber, and none of it counts; where there is no slice above it, its area decides.
    """
    last, step = place
    beyond, above = last + step, last + 2 * step
    if not 0 <= beyond < len(images):
        return 0.0
    if not 0 <= above < len(images):
        return float(np.clip(own[beyond] / own[last], 0, 1))
    inside, here, outside = (_around(images[k], cavity[last]) for k in (last, beyond, above))
    apart = inside - outside
    share = float(np.clip((here - outside) @ apart / max(float(apart @ apart), 1e-9), 0, 1))
    left = here - share * inside - (1 - share) * outside
    spread = max(float(((here - here.mean()) ** 2).sum()), 1e-9)
    explained = 1 - float(left @ left) / spread
    return share if share >= _LEAST_SHARE and explained > _LEAST_EXPLAINED else 0.0
