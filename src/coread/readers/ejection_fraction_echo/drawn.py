"""Random hearts in an apical view, as labels and echo strengths at places of a sector: what the network learns from.

Far more varied than any heart should be, so that a real one is only one more variation (domain randomisation). Lengths
in mm; places are (x, s) in the frame of the long axis: x to the side, s from the apex towards the base.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.readers.ejection_fraction_echo.outputs import ATRIUM, CAVITY, MUSCLE

Field = NDArray[np.float32]
Labels = NDArray[np.uint8]
Random = np.random.Generator


@dataclass(frozen=True, slots=True)
class Heart:
    """The shape of one heart in one view and one moment."""

    length: float
    half_width: float
    wall: float
    apex_wall: float
    peak: float
    """Where along the axis the cavity is widest, as a share of the length."""
    ring: float
    """Half width at the mitral ring as a share of the largest."""
    powers: tuple[float, float]
    bend: float
    tilt: float
    """Slope of the mitral plane."""
    waves: tuple[tuple[float, float, float, float], ...]
    """Bulges of either side: side, size, number along the axis, phase."""
    opening: float
    atrium: tuple[float, float]
    """Half width and length."""
    right: tuple[float, float] | None
    """Half width and half length of the right heart; ``None`` in a two-chamber view."""


@dataclass(frozen=True, slots=True)
class Strengths:
    """How strongly each tissue echoes."""

    outside: float
    blood: float
    muscle: float
    rim: float
    leaflet: float
    knots: int
    """Trabeculae and papillary muscles that stand in the cavity."""


def drawn_heart(random: Random) -> Heart:
    """Draw a heart by lot."""
    length = random.uniform(52, 112)
    half_width = length * random.uniform(0.17, 0.40)
    waves = tuple(
        (side, random.normal(0, 0.06 / number**0.5), float(number), random.uniform(0, 2 * np.pi))
        for side in (-1.0, 1.0)
        for number in (1, 2, 3)
    )
    four = random.random() < 0.55
    return Heart(
        length=length,
        half_width=half_width,
        wall=random.uniform(6, 15),
        apex_wall=random.uniform(4, 12),
        peak=random.uniform(0.5, 0.85),
        ring=random.uniform(0.62, 0.97),
        powers=(random.uniform(1.6, 2.6), random.uniform(1.6, 2.6)),
        bend=random.uniform(-0.25, 0.25),
        tilt=random.uniform(-0.25, 0.25),
        waves=waves,
        opening=random.uniform(0, 1) if random.random() < 0.6 else 0.0,
        atrium=(random.uniform(15, 34), random.uniform(28, 62)),
        right=(random.uniform(10, 26), random.uniform(22, 48)) if four else None,
    )


def drawn_strengths(random: Random) -> Strengths:
    """Draw echo strengths by lot; blood is always weaker than muscle."""
    muscle = random.uniform(0.15, 0.7)
    return Strengths(
        outside=random.uniform(0.02, 0.35),
        blood=min(0.003 * 10 ** random.uniform(0, 1.3), 0.3 * muscle),
        muscle=muscle,
        rim=random.uniform(0.5, 1.6),
        leaflet=random.uniform(0.4, 1.1),
        knots=int(random.integers(0, 5)),
    )


def profile(heart: Heart, share: Field) -> Field:
    """Return the half width as a share of the largest at places along the axis (0 apex, 1 ring); 0 outside."""
    up = np.clip((heart.peak - share) / heart.peak, 0, 1)
    rising = np.clip(1 - up ** heart.powers[0], 0, 1) ** (1 / heart.powers[1])
    down = np.clip((share - heart.peak) / (1 - heart.peak), 0, 1)
    falling = 1 - (1 - heart.ring) * down**2
    inside = (share >= 0) & (share <= 1.25)
    return np.asarray(np.where(inside, np.where(share < heart.peak, rising, falling), 0), dtype=np.float32)


def _half_widths(heart: Heart, x: Field, s: Field) -> tuple[Field, Field]:
    """Return, at each place, the distance from the bent axis (signed) and the half width of the cavity there."""
    share = s / np.float32(heart.length)
    axis = heart.bend * heart.half_width * 4 * share * (1 - share)
    away = x - np.where((share > 0) & (share < 1.2), axis, 0)
    factor = np.ones_like(x)
    for side, size, number, phase in heart.waves:
        factor = factor + (np.sign(away) == side) * size * np.sin(number * np.pi * share + phase)
    width = heart.half_width * profile(heart, share) * factor
    return np.asarray(away, dtype=np.float32), np.asarray(width, dtype=np.float32)


def labels_at(heart: Heart, x: Field, s: Field) -> Labels:
    """Return the tissue at places: 0 other, then the numbers of ``outputs.CLASSES``; right-sided blood is 9."""
    away, width = _half_widths(heart, x, s)
    base = s - heart.length - heart.tilt * x
    lifted = (s + heart.apex_wall) * np.float32(heart.length / (heart.length + heart.apex_wall))
    _, around = _half_widths(heart, x, np.asarray(lifted, dtype=np.float32))
    outer = around + np.float32(heart.wall) * np.clip((s + heart.apex_wall) / 12, 0, 1) ** 0.5
    labels = np.zeros(x.shape, dtype=np.uint8)
    wide, long = heart.atrium
    in_atrium = (x / wide) ** 2 + ((base - 0.5 * long) / (0.55 * long)) ** 2 < 1
    if heart.right is not None:
        half, reach = heart.right
        rv = ((x + outer + half) / half) ** 2 + ((s - 0.66 * heart.length) / reach) ** 2 < 1
        ra = ((x + wide + half + 6) / (half + 4)) ** 2 + ((base - 24) / 22) ** 2 < 1
        labels[(rv & (base < 0) & (away < -outer)) | (ra & (base > 2))] = 9
    labels[(np.abs(away) < outer) & (base <= 0)] = MUSCLE
    labels[in_atrium & (base > 0)] = ATRIUM
    labels[(np.abs(away) < width) & (base <= 0) & (s >= 0)] = CAVITY
    return labels


def strengths_at(heart: Heart, given: Strengths, places: tuple[Field, Field], labels: Labels, random: Random) -> Field:
    """Return how strongly each place echoes (same shape as the places)."""
    x, s = places
    table = np.full(10, given.outside, dtype=np.float32)
    table[[CAVITY, ATRIUM, 9]] = given.blood
    table[MUSCLE] = given.muscle
    out = table[labels]
    away, width = _half_widths(heart, x, s)
    outer = width + heart.wall
    rim = (labels == 0) & (np.abs(away) > outer) & (np.abs(away) < outer + random.uniform(2, 6)) & (s < heart.length)
    out = np.where(rim & (s > random.uniform(-10, 30)), np.float32(given.rim), out)
    for _ in range(given.knots):
        at, side = random.uniform(0.05, 0.75) * heart.length, random.choice((-1.0, 1.0))
        near = side * heart.half_width * float(profile(heart, np.array([at / heart.length], np.float32))[0])
        place = near * random.uniform(0.6, 1.0)
        size = random.uniform(1.5, 5.5), random.uniform(3, 14)
        knot = ((x - place) / size[0]) ** 2 + ((s - at) / size[1]) ** 2 < 1
        out = np.where(knot & (labels == CAVITY), np.float32(given.muscle * random.uniform(0.4, 1.0)), out)
    for sign in (-1.0, 1.0):
        hinge = np.array([sign * heart.half_width * heart.ring, heart.length])
        tip = np.array([hinge[0] * (0.05 + 0.55 * heart.opening), heart.length - 3 - 17 * heart.opening])
        out = np.where(_from_line(x, s, hinge, tip) < random.uniform(0.8, 1.8), np.float32(given.leaflet), out)
        out = np.where(np.hypot(x - hinge[0], s - hinge[1]) < random.uniform(2, 4), np.float32(given.leaflet), out)
    return np.asarray(out, dtype=np.float32)


def _from_line(x: Field, y: Field, start: NDArray[np.float64], end: NDArray[np.float64]) -> Field:
    along = end - start
    share = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / max(float(along @ along), 1e-6), 0, 1)
    return np.asarray(np.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1]), dtype=np.float32)


def shade(shape: tuple[int, int], random: Random) -> Field:
    """Return what gain, near field and ribs do to the echoes (samples, beams)."""
    share = np.linspace(0, 1, shape[0], dtype=np.float32)[:, np.newaxis]
    angle = np.linspace(-1, 1, shape[1], dtype=np.float32)[np.newaxis, :]
    near = 1 + random.uniform(0, 4) * np.exp(-((share / random.uniform(0.03, 0.12)) ** 2))
    depth = np.exp(random.uniform(-1.2, 0.5) * share)
    edges = 1 - random.uniform(0, 0.85) * np.abs(angle) ** random.uniform(1.5, 4)
    gone = np.ones_like(angle)
    for _ in range(int(random.integers(0, 4))):
        width, middle = random.uniform(0.04, 0.2), random.uniform(-1, 1)
        gone = gone * (1 - random.uniform(0.3, 0.9) * np.exp(-(((angle - middle) / width) ** 2)))
    return np.asarray(near * depth * edges * gone, dtype=np.float32)
