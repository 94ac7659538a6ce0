"""Blood drawn into neighbouring slices, its place known, so that the network learns what blood is and not who bleeds.

Simulated: shapes, densities and soft borders of the five types, from lesions of a few millimetres upwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import FloatPixels
from coread.readers.head_ct_hemorrhage.outputs import TYPES
from coread.readers.head_ct_hemorrhage.preprocess import WINDOW_LOW, WINDOW_WIDTH

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]
SHARES = {
    "intraventricular": 0.12, "intraparenchymal": 0.28, "subarachnoid": 0.17, "epidural": 0.26, "subdural": 0.17,
}  # fmt: skip
"""How often each type is drawn."""
FURTHEST = 5
"""Slices above and below the chosen one that blood may reach."""
_DENSE_HU, _THIN_HU = (48.0, 82.0), (46.0, 75.0)
"""Of blood, and of blood mixed with fluid (subarachnoid, intraventricular)."""
_FLUID_HU = (-10.0, 18.0)
_LEAST_PIXELS, _LEAST_BESIDE = 14, 6
_SEEN_HU = 3.0
_EDEMA_HU, _UNEVEN_WITH_EDEMA = 8.0, 6.0
_BONE = 0.97


@dataclass(frozen=True, slots=True, eq=False)
class DrawnSlice:
    """A slice (side, side) with blood drawn in, where it is, and how many of its pixels are brighter than before."""

    image: Plane
    place: Mask
    seen: int


@dataclass(frozen=True, slots=True)
class _Blood:
    """What is the same in all slices of one haemorrhage."""

    kind: str
    hu: float
    uneven_hu: float
    softness: float
    texture: NDArray[np.float64]

    @property
    def fills(self) -> bool:
        """Whether it fills spaces of fluid instead of pushing brain away."""
        return self.kind in ("subarachnoid", "intraventricular")


def with_blood(
    slices: FloatPixels, brains: Sequence[Mask | None], number: int, random: np.random.Generator
) -> tuple[dict[int, DrawnSlice], int] | None:
    """Return slices with blood of one type around slice ``number``, and the number of the type in TYPES.

    ``slices`` (S, side, side) in the brain window, ``brains`` what ``brain_of`` says of each. ``None`` where the slice
    shows no brain, or no place for the type that was drawn by lot.
    """
    brain = brains[number]
    if brain is None:
        return None
    kind = int(random.choice(len(TYPES), p=[SHARES[name] for name in TYPES]))
    place = _PLACES[TYPES[kind]](slices[number], brain, random) & brain
    if place.sum() < _LEAST_PIXELS:
        return None
    half = random.uniform(0.6, FURTHEST)
    blood = _blood(TYPES[kind], slices[number].shape, random)
    found = {}
    for beside in range(max(0, number - FURTHEST), min(len(slices), number + FURTHEST + 1)):
        away, other = abs(beside - number) / half, brains[beside]
        if other is None or away >= 1:
            continue
        part = place if beside == number else _part(place, away, blood, slices[beside], other)
        if part.sum() >= _LEAST_BESIDE:
            found[beside] = _painted(slices[beside], part, other, blood)
    return (found, kind) if found else None


def _blood(kind: str, shape: tuple[int, ...], random: np.random.Generator) -> _Blood:
    from scipy import ndimage

    softness = random.uniform(0.5, 1.1)
    hu = random.uniform(*(_THIN_HU if kind in ("subarachnoid", "intraventricular") else _DENSE_HU))
    uneven = random.uniform(0, 12)
    texture = ndimage.gaussian_filter(random.normal(size=shape), 4)
    return _Blood(kind, hu, uneven, softness, texture / (texture.std() + 1e-9))


def _part(place: Mask, away: float, blood: _Blood, one: Plane, brain: Mask) -> Mask:
    """Return what blood occupies in a slice that lies ``away`` of its half height from where it is widest."""
    from scipy import ndimage

    if blood.fills:
        return np.asarray(_fluid(one, brain) & ndimage.binary_dilation(place, iterations=6))
    inside = ndimage.distance_transform_edt(place)
    return np.asarray((inside > inside.max() * (1 - np.sqrt(1 - away**2))) & brain)


def _painted(one: Plane, place: Mask, brain: Mask, blood: _Blood) -> DrawnSlice:
    """Raise a place to the density of blood; its border is soft, and the noise of the slice stays."""
    from scipy import ndimage

    soft = np.clip(ndimage.gaussian_filter(place.astype(np.float32), blood.softness) * 1.15, 0, 1)
    soft = soft * ndimage.binary_dilation(brain, iterations=2)
    level = (blood.hu + blood.uneven_hu * blood.texture - WINDOW_LOW) / WINDOW_WIDTH
    changed = one + soft * (level - ndimage.gaussian_filter(one, 1.5))
    if blood.kind == "intraparenchymal" and blood.uneven_hu > _UNEVEN_WITH_EDEMA:
        around = np.clip(ndimage.gaussian_filter(place.astype(np.float32), 3.0) * 1.6 - soft, 0, 1)
        changed = changed - around * brain * (_EDEMA_HU / WINDOW_WIDTH)
    image = np.clip(np.where(one >= _BONE, one, changed), 0, 1).astype(np.float32)
    seen = place & (image - ndimage.gaussian_filter(one, 1.0) > _SEEN_HU / WINDOW_WIDTH)
    return DrawnSlice(image, place, int(seen.sum()))


def _blob(one: Plane, brain: Mask, random: np.random.Generator) -> Mask:
    radius = float(np.exp(random.uniform(np.log(2.2), np.log(16))))
    return _rough_disc(one.shape, _one_of(brain, random), radius, random)


def _lens(one: Plane, brain: Mask, random: np.random.Generator) -> Mask:
    from scipy import ndimage

    row, column = _one_of(brain & ~ndimage.binary_erosion(brain), random)
    deep = float(np.exp(random.uniform(np.log(2.0), np.log(11))))
    long = deep * random.uniform(1.5, 4.5)
    inward = np.argwhere(brain).mean(axis=0) - (row, column)
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
    reach = random.uniform(0.4, 1.5)
    thick = random.uniform(1.8, 8) * np.sqrt(np.clip(1 - (apart / reach) ** 2, 0, 1))
    return np.asarray(brain & (depth <= thick) & (apart < reach))


def _furrows(one: Plane, brain: Mask, random: np.random.Generator) -> Mask:
    return _fluid(one, brain) & _rough_disc(one.shape, _one_of(brain, random), random.uniform(18, 45), random)


def _chambers(one: Plane, brain: Mask, random: np.random.Generator) -> Mask:
    from scipy import ndimage

    inside = ndimage.distance_transform_edt(brain)
    fluid = ndimage.binary_opening(_fluid(one, brain) & (inside > 0.35 * inside.max()))
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
