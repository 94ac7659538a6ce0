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
_SURE_PIXELS, _RIM_PIXELS, _MUSCLE_PIXELS = 2, 1, 5
_FEW_PIXELS = 6
_MUSCLE_PERCENTILE = 35
_LEAST_OF_NEIGHBOUR = 0.6
"""A slice with less of the area of the one before it, towards the base, is the one that the mitral plane cuts."""
_WALL_PIXELS = 7
_LEAST_LIKENESS = 0.7
"""Correlation of a slice with the next, around the cavity, from which both show the ventricle."""
_NEAR_BASE = 3
"""Slices from the last one with a cavity in which this is asked."""
_LEAST_SHARE, _LEAST_EXPLAINED = 0.15, -0.5
"""What counts of the slice at the base, and what a mixture must explain of it (1: all, 0: no more than its mean)."""
_EXCURSION_MM = 22.0
"""More than the mitral plane of a healthy heart moves (about 12 to 16 mm)."""


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

    ``distance_mm`` is that of the slices: the base moves by no more than _EXCURSION_MM over the beat.
    """
    phases, slices = images.shape[:2]
    step = ventricle.towards_base
    own = np.array(
        [
            [edge_area(*one) for one in zip(*phase, strict=True)]
            for phase in zip(images, ventricle.shares, muscle, strict=True)
        ]
    )
    base = np.full(phases, -1, dtype=np.int64)
    filled = np.flatnonzero(own.any(axis=1))
    for phase in filled:
        base[phase] = _last_whole(images[phase], ventricle.shares[phase], own[phase], step)
    furthest = int((base[filled] * step).max()) - int(np.ceil(_EXCURSION_MM / distance_mm))
    areas, shares = np.zeros((phases, slices)), np.zeros(phases)
    for phase in filled:
        last = step * max(step * int(base[phase]), furthest)
        base[phase], beyond = last, last + step
        kept = np.arange(slices) * step <= last * step
        areas[phase] = np.where(kept, own[phase], 0)
        if 0 <= beyond < slices and own[phase, last] > 0:
            otherwise = own[phase, beyond] / own[phase, last]
            shares[phase] = _share_in_slice(images[phase], ventricle.shares[phase], (last, beyond), otherwise)
            areas[phase, beyond] = shares[phase] * own[phase, last]
    return Areas(areas * PIXEL_MM**2, base, shares)


def edge_area(image: Planes, cavity: Planes, muscle: Planes) -> float:
    """Return the area of a cavity in pixels: whole within, by its share of the signal of blood in the rim."""
    from scipy import ndimage

    mask = cavity >= 0.5
    if mask.sum() < _FEW_PIXELS:
        return float(cavity.sum())
    sure = ndimage.binary_erosion(mask, iterations=_SURE_PIXELS)
    near = ndimage.binary_dilation(mask, iterations=_RIM_PIXELS)
    wall = ndimage.binary_dilation(mask, iterations=_MUSCLE_PIXELS) & ~near & (muscle > 0.6)
    if wall.sum() < 2 * _FEW_PIXELS:
        return float(cavity.sum())
    blood = float(np.median(image[sure])) if sure.sum() > _FEW_PIXELS else float(np.percentile(image[mask], 85))
    dark = float(np.percentile(image[wall], _MUSCLE_PERCENTILE))
    if blood - dark < 0.05:
        return float(cavity.sum())
    rim = near & ~sure
    return float(sure.sum() + np.clip((image[rim] - dark) / (blood - dark), 0, 1).sum())


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


def _share_in_slice(images: Planes, cavity: Planes, places: tuple[int, int], otherwise: float) -> float:
    """Return how much of a slice is like the one below it rather than like the one above, 0 to 1, least squares.

    The mitral plane cuts this slice, so that it is a mixture of both; where a mixture explains nothing, it is another
    chamber, and none of it counts. Where there is no slice above, the area decides (``otherwise``).
    """
    last, beyond = places
    above = 2 * beyond - last
    if not 0 <= above < len(images):
        return float(np.clip(otherwise, 0, 1))
    inside, here, outside = (_around(images[k], cavity[last]) for k in (last, beyond, above))
    apart = inside - outside
    share = float(np.clip((here - outside) @ apart / max(float(apart @ apart), 1e-9), 0, 1))
    left = here - share * inside - (1 - share) * outside
    spread = max(float(((here - here.mean()) ** 2).sum()), 1e-9)
    explained = 1 - float(left @ left) / spread
    return share if share >= _LEAST_SHARE and explained > _LEAST_EXPLAINED else 0.0
