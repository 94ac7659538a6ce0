"""Blood drawn into slices of patients who do not bleed, so that the network learns what blood is and not who bleeds."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from coread.readers.head_ct_hemorrhage.outputs import TYPES
from coread.readers.head_ct_hemorrhage.preprocess import WINDOW_LOW, WINDOW_WIDTH, brain_of

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]
BLOOD_HU = (55.0, 85.0)
_FLUID_HU = (-10.0, 18.0)
_LEAST_PIXELS = 45


def with_blood(one: Plane, random: np.random.Generator) -> tuple[Plane, int] | None:
    """Return a windowed slice (side, side) with blood of one type drawn in, and the number of the type in TYPES.

    ``None`` where the slice shows no brain, or no place for the type that was drawn by lot.
    """
    brain = brain_of(one)
    if brain is None:
        return None
    kind = int(random.integers(len(TYPES)))
    place = _PLACES[TYPES[kind]](one, brain, random)
    if (place & brain).sum() < _LEAST_PIXELS:
        return None
    return _painted(one, place & brain, random), kind


def _painted(one: Plane, place: Mask, random: np.random.Generator) -> Plane:
    """Raise a place to the density of blood; its border is soft, and the noise of the slice stays."""
    from scipy import ndimage

    soft = np.clip(ndimage.gaussian_filter(place.astype(np.float32), random.uniform(0.5, 1.1)) * 1.1, 0, 1)
    uneven = ndimage.gaussian_filter(random.normal(size=one.shape), 4) * random.uniform(0, 40)
    level = (random.uniform(*BLOOD_HU) + uneven - WINDOW_LOW) / WINDOW_WIDTH
    smooth = ndimage.gaussian_filter(one, 1.5)
    changed = one + soft * (level - smooth)
    return np.asarray(np.clip(np.where(one >= 0.97, one, changed), 0, 1), dtype=np.float32)


def _blob(one: Plane, brain: Mask, random: np.random.Generator) -> Mask:
    row, column = _one_of(brain, random)
    return _rough_disc(one.shape, (row, column), random.uniform(3.5, 16), random)


def _lens(one: Plane, brain: Mask, random: np.random.Generator) -> Mask:
    from scipy import ndimage

    row, column = _one_of(brain & ~ndimage.binary_erosion(brain), random)
    long, deep = random.uniform(9, 26), random.uniform(3.5, 11)
    centre = np.argwhere(brain).mean(axis=0)
    inward = centre - (row, column)
    inward /= max(float(np.linalg.norm(inward)), 1e-6)
    rows, columns = np.indices(one.shape)
    along = (rows - row) * inward[0] + (columns - column) * inward[1]
    across = (rows - row) * -inward[1] + (columns - column) * inward[0]
    return np.asarray((along / deep) ** 2 + (across / long) ** 2 < 1)


def _crescent(one: Plane, brain: Mask, random: np.random.Generator) -> Mask:
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(brain)
    centre = np.argwhere(brain).mean(axis=0)
    rows, columns = np.indices(one.shape)
    angle = np.arctan2(rows - centre[0], columns - centre[1])
    apart = np.abs((angle - random.uniform(-np.pi, np.pi) + np.pi) % (2 * np.pi) - np.pi)
    reach = random.uniform(0.5, 1.5)
    thick = random.uniform(2.5, 8) * np.sqrt(np.clip(1 - (apart / reach) ** 2, 0, 1))
    return np.asarray(brain & (depth <= thick) & (apart < reach))


def _furrows(one: Plane, brain: Mask, random: np.random.Generator) -> Mask:
    row, column = _one_of(brain, random)
    return _fluid(one, brain) & _rough_disc(one.shape, (row, column), random.uniform(18, 45), random)


def _chambers(one: Plane, brain: Mask, random: np.random.Generator) -> Mask:
    from scipy import ndimage

    deep = ndimage.distance_transform_edt(brain) > 0.35 * ndimage.distance_transform_edt(brain).max()
    fluid = ndimage.binary_opening(_fluid(one, brain) & deep)
    if not fluid.any():
        return np.zeros_like(brain)
    rows = np.flatnonzero(fluid.any(axis=1))
    level = rows[0] + random.uniform(0, 0.8) * (rows[-1] - rows[0])
    below: Mask = np.arange(one.shape[0])[:, np.newaxis] >= level
    return np.asarray(ndimage.binary_dilation(fluid & below) & brain)


_PLACES: dict[str, Callable[[Plane, Mask, np.random.Generator], Mask]] = {
    "intraventricular": _chambers,
    "intraparenchymal": _blob,
    "subarachnoid": _furrows,
    "epidural": _lens,
    "subdural": _crescent,
}


def _fluid(one: Plane, brain: Mask) -> Mask:
    from scipy import ndimage

    hu = ndimage.gaussian_filter(one, 0.8) * WINDOW_WIDTH + WINDOW_LOW
    return np.asarray(brain & (hu > _FLUID_HU[0]) & (hu < _FLUID_HU[1]))


def _rough_disc(shape: tuple[int, ...], centre: tuple[int, int], radius: float, random: np.random.Generator) -> Mask:
    from scipy import ndimage

    rows, columns = np.indices(shape)
    stretch, turn = random.uniform(0.6, 1.6), random.uniform(0, np.pi)
    down, right = rows - centre[0], columns - centre[1]
    one = (down * np.cos(turn) + right * np.sin(turn)) * stretch
    other = (right * np.cos(turn) - down * np.sin(turn)) / stretch
    rough = ndimage.gaussian_filter(random.normal(size=shape), 3) * 3
    return np.asarray(np.hypot(one, other) < radius * (1 + rough))


def _one_of(mask: Mask, random: np.random.Generator) -> tuple[int, int]:
    places = np.argwhere(mask)
    row, column = places[int(random.integers(len(places)))]
    return int(row), int(column)
