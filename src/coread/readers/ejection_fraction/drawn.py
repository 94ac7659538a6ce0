"""Random short-axis slices with their labels: what the network learns from. No patient is in it.

Shapes, contrasts, noise and neighbours vary far more than in any heart, so that a real one is only one more variation
(domain randomisation, after Billot 2023). Papillary muscles and trabeculae are labelled as blood of the cavity.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.readers.ejection_fraction.outputs import CAVITY, MUSCLE, PIXEL_MM, RIGHT, SIDE

Field = NDArray[np.float32]
Labels = NDArray[np.uint8]
Random = np.random.Generator
_FINE = 2
_STEP = PIXEL_MM / _FINE
_ANGLES = 360
_ENCLOSED = 0.5
"""Share of the ring that must be muscle for its inside to count as ventricle, as readers of the short axis do."""


@dataclass(frozen=True, slots=True)
class Ring:
    """The left heart in one slice: inner and outer outline by angle, mm, and whether its inside is the ventricle."""

    inner: Field
    """Of the compact muscle: trabeculae lie within and count as blood."""
    blood: Field
    """Where blood begins between the trabeculae."""
    outer: Field
    ventricle: bool
    soft: float
    """Width of the edge between blood and muscle, mm: an oblique wall in a thick slice."""


class Canvas:
    """A slice that is being painted: values and labels on a fine grid, coordinates in mm around the middle."""

    def __init__(self, random: Random) -> None:
        half = (np.arange(SIDE * _FINE, dtype=np.float32) + 0.5) * _STEP - SIDE * PIXEL_MM / 2
        y, x = np.meshgrid(half, half, indexing="ij")
        turn = random.uniform(0, 2 * np.pi)
        cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        self.x, self.y = x * cos - y * sin, x * sin + y * cos
        self.values = np.zeros(x.shape, dtype=np.float32)
        self.labels = np.zeros(x.shape, dtype=np.uint8)
        self.random = random

    def paint(self, share: Field, value: Field | float, label: int = -1) -> None:
        """Mix a value in by its share (0 to 1); label what is more than half covered, unless the label is -1."""
        self.values += share * (np.asarray(value, dtype=np.float32) - self.values)
        if label >= 0:
            self.labels[share > 0.5] = label

    def ellipse(self, middle: tuple[float, float], half: tuple[float, float], soft: float = 1.0) -> Field:
        """Return the share that an ellipse covers."""
        x, y = self.x - np.float32(middle[0]), self.y - np.float32(middle[1])
        away = np.sqrt((x / half[0]) ** 2 + (y / half[1]) ** 2)
        return np.asarray(np.clip((1 - away) * min(half) / soft + 0.5, 0, 1), dtype=np.float32)

    def texture(self, size: float) -> Field:
        """Return a smooth random field of deviation 1; ``size`` is its grain in mm."""
        from scipy import ndimage

        coarse = max(4, round(SIDE * PIXEL_MM / size))
        grain = self.random.standard_normal((coarse, coarse))
        wide = ndimage.zoom(grain, self.values.shape[0] / coarse, order=1, grid_mode=True, mode="nearest")
        return np.asarray(wide[: self.values.shape[0], : self.values.shape[1]], dtype=np.float32)


def drawn_slice(random: Random) -> tuple[NDArray[np.uint8], Labels]:
    """Return a slice (SIDE, SIDE) of 0 to 255 and its labels (SIDE, SIDE)."""
    canvas = Canvas(random)
    blood = random.uniform(0.55, 1.0)
    muscle = blood * random.uniform(0.12, 0.62)
    fat = random.uniform(0.2, 1.15)
    middle = random.uniform(-26, 26), random.uniform(-26, 26)
    ring = _ring(random)
    _surroundings(canvas, fat, blood)
    _right_heart(canvas, middle, ring, (blood, muscle, fat))
    _left_heart(canvas, middle, ring, (blood, muscle))
    return _finished(canvas), canvas.labels[_FINE // 2 :: _FINE, _FINE // 2 :: _FINE].copy()


def _wavy(random: Random, size: float, orders: range) -> Field:
    """Return 1 and a few waves around it, by angle."""
    angle = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)
    out = np.ones(_ANGLES)
    for order in orders:
        out += random.normal(0, size / order) * np.cos(order * angle + random.uniform(0, 2 * np.pi))
    return np.asarray(np.clip(out, 0.4, 1.8), dtype=np.float32)


def _ring(random: Random) -> Ring:
    kind = random.random()
    if kind < 0.08:  # below the apex: muscle only
        inner = np.full(_ANGLES, 0.05, dtype=np.float32)
        return Ring(inner, inner, random.uniform(5, 22) * _wavy(random, 0.15, range(2, 5)), False, 1.0)
    if kind < 0.22:  # above the base: atrium, outflow tract or a ring that is mostly open
        inner = random.uniform(12, 30) * _wavy(random, 0.25, range(2, 5))
        wall = random.uniform(0.8, 2.6) * np.ones(_ANGLES, dtype=np.float32)
        covered = random.uniform(0, 0.35)
        wall = np.where(_arc(random, covered), random.uniform(4, 11), wall)
        return Ring(inner, inner, np.asarray(inner + wall, np.float32), False, random.uniform(0.8, 2.5))
    radius = random.uniform(3.5, 18) if random.random() < 0.4 else random.uniform(12, 38)
    inner = radius * _wavy(random, 0.12, range(2, 6))
    blood = inner
    if random.random() < 0.5:
        blood = inner * np.minimum(_wavy(random, 0.6, range(7, 16)), 1)
    wall = random.uniform(4.0, 15) * _wavy(random, 0.25, range(1, 4))
    if random.random() < 0.2:  # thinned scar
        wall = np.where(_arc(random, random.uniform(0.1, 0.4)), random.uniform(2.2, 4.5), wall)
    if random.random() < 0.12:  # base: the ring opens towards the atrium or the outflow tract
        wall = np.where(_arc(random, random.uniform(0.1, 1 - _ENCLOSED - 0.1)), random.uniform(0.8, 2.0), wall)
    soft = random.uniform(0.8, 2.5) if random.random() < 0.7 else random.uniform(2.5, 8)
    return Ring(inner, np.asarray(blood, np.float32), np.asarray(inner + wall, np.float32), True, soft)


def _arc(random: Random, share: float) -> NDArray[np.bool_]:
    angle = (np.arange(_ANGLES) / _ANGLES + random.random()) % 1.0
    return np.asarray(angle < share)


def _surroundings(canvas: Canvas, fat: float, blood: float) -> None:
    random = canvas.random
    canvas.values[:] = random.uniform(0.0, 0.15)
    if random.random() < 0.35:
        canvas.values[:] = random.uniform(0.1, 0.6)
    for _ in range(int(random.integers(2, 8))):  # lungs, liver, stomach, chest wall, fat
        middle = random.uniform(-95, 95), random.uniform(-95, 95)
        half = random.uniform(8, 75), random.uniform(8, 75)
        value = random.choice([random.uniform(0, 0.15), random.uniform(0.15, 0.6), fat, random.uniform(0, 1.1)])
        grain = 1 + random.uniform(0, 0.25) * canvas.texture(random.uniform(4, 25))
        canvas.paint(canvas.ellipse(middle, half, random.uniform(1, 4)), np.asarray(value * grain, np.float32))
    for _ in range(int(random.integers(0, 4))):  # vessels: round and bright, without muscle around
        away, angle = random.uniform(42, 88), random.uniform(0, 2 * np.pi)
        middle = away * np.cos(angle), away * np.sin(angle)
        radius = random.uniform(3, 15)
        half = radius, radius * random.uniform(0.7, 1.3)
        canvas.paint(canvas.ellipse(middle, (half[0] + 1.5, half[1] + 1.5)), random.uniform(0.1, 0.4))
        canvas.paint(canvas.ellipse(middle, half), blood * random.uniform(0.6, 1.25))


def _right_heart(
    canvas: Canvas, middle: tuple[float, float], ring: Ring, levels: tuple[float, float, float]
) -> None:  # fmt: skip
    random, (blood, muscle, fat) = canvas.random, levels
    reach = float(ring.outer.mean())
    if random.random() < 0.75:  # fat or pericardium around both ventricles
        half = reach + random.uniform(4, 30), reach + random.uniform(4, 22)
        grain = 1 + random.uniform(0, 0.3) * canvas.texture(random.uniform(4, 20))
        value = np.asarray(random.choice([fat, fat, random.uniform(0, 0.4)]) * grain, np.float32)
        canvas.paint(canvas.ellipse((middle[0] - random.uniform(0, 18), middle[1]), half, random.uniform(1, 3)), value)
    if random.random() < 0.15:
        return
    half = random.uniform(8, 38), random.uniform(10, 48)
    place = middle[0] - reach - half[0] * random.uniform(-0.2, 0.9), middle[1] + random.uniform(-16, 16)
    wall = random.uniform(1.5, 5)
    canvas.paint(canvas.ellipse(place, (half[0] + wall, half[1] + wall)), muscle)
    inside = canvas.ellipse(place, half)
    grain = 1 + random.uniform(0, 0.2) * canvas.texture(random.uniform(5, 25))
    canvas.paint(inside, np.asarray(blood * random.uniform(0.75, 1.15) * grain, np.float32), RIGHT)
    for _ in range(int(random.integers(0, 4))):
        at = place[0] + random.uniform(-0.7, 0.7) * half[0], place[1] + random.uniform(-0.7, 0.7) * half[1]
        spot = canvas.ellipse(at, (random.uniform(1.5, 5), random.uniform(1.5, 5)))
        canvas.paint(spot * inside, muscle * random.uniform(0.8, 1.3))


def _left_heart(canvas: Canvas, middle: tuple[float, float], ring: Ring, levels: tuple[float, float]) -> None:
    random, (blood, muscle) = canvas.random, levels
    x, y = canvas.x - np.float32(middle[0]), canvas.y - np.float32(middle[1])
    squeeze = random.uniform(0.85, 1.18)
    away = np.hypot(x * squeeze, y / squeeze)
    place = (np.arctan2(y, x) / (2 * np.pi) * _ANGLES).astype(np.int64) % _ANGLES
    inner, outer = ring.inner[place], ring.outer[place]
    around = np.asarray(np.clip((outer - away) / 1.2 + 0.5, 0, 1), np.float32)
    grain = 1 + random.uniform(0, 0.15) * canvas.texture(random.uniform(4, 15))
    canvas.paint(around, np.asarray(muscle * grain, np.float32), MUSCLE if ring.ventricle or inner.max() < 1 else 0)
    share = np.asarray(np.clip((ring.blood[place] - away) / ring.soft + 0.5, 0, 1), np.float32)
    flow = 1 + random.uniform(0, 0.22) * canvas.texture(random.uniform(6, 30))
    canvas.paint(share, np.asarray(blood * flow, np.float32))
    if inner.max() > 1:
        canvas.labels[away < inner] = CAVITY if ring.ventricle else 0
    if not ring.ventricle:
        return
    size = float(ring.inner.mean())
    for _ in range(int(random.integers(0, 4))):  # papillary muscles and trabeculae
        angle, depth = random.uniform(0, 2 * np.pi), random.uniform(0.35, 1.0)
        at = middle[0] + depth * size * np.cos(angle), middle[1] + depth * size * np.sin(angle)
        half = size * random.uniform(0.08, 0.3), size * random.uniform(0.08, 0.3)
        canvas.paint(canvas.ellipse(at, half, 1.2) * share, muscle * random.uniform(0.8, 1.5))


def _finished(canvas: Canvas) -> NDArray[np.uint8]:
    """Add slow changes of the coil, blur and noise, and bring the slice to 0 to 255."""
    from scipy import ndimage

    random = canvas.random
    slope = random.normal(0, 0.004, 2)
    coil = np.exp(slope[0] * canvas.x + slope[1] * canvas.y + random.normal(0, 0.00002) * (canvas.x**2 + canvas.y**2))
    image = ndimage.gaussian_filter(canvas.values * coil, random.uniform(0.5, 2.2))
    small = image.reshape(SIDE, _FINE, SIDE, _FINE).mean(axis=(1, 3))
    noise = random.uniform(0.0, 0.07)
    small = np.hypot(small + noise * random.standard_normal(small.shape), noise * random.standard_normal(small.shape))
    if random.random() < 0.4:
        small = ndimage.gaussian_filter(small, random.uniform(0.3, 0.7))
    low, high = np.percentile(small, (1, 99.5))
    return np.asarray(np.rint(np.clip((small - low) / max(high - low, 1e-6), 0, 1) * 255), dtype=np.uint8)
