"""A chest of simple solids: lungs with lobes, airways, a branching vessel tree, heart, ribs. Not any person's anatomy.

LPS mm, origin in the middle of the chest. Lobes are the five of a usual chest: RUL, RML, RLL, LUL, LLL.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.phantoms.reference.shapes import (
    Cylinder,
    HalfSpace,
    Overlap,
    Points,
    Shape,
    Superellipsoid,
    Triple,
    Tube,
    Union,
    Values,
    Without,
    mirrored,
)
from coread.phantoms.reference.texture import Waves

LOBES = ("RUL", "RML", "RLL", "LUL", "LLL")
_OBLIQUE: Triple = (0.0, -0.7071, 0.7071)
_OBLIQUE_MM, _HORIZONTAL_MM = -14.0, 12.0
_GENERATIONS, _STEMS = 5, 16
CHEST = Superellipsoid((0.0, 0.0, 0.0), (170.0, 112.0, 900.0), 2.3, 8.0)
_HEART = Superellipsoid((16.0, -30.0, -42.0), (52.0, 44.0, 50.0))
_MIDDLE = Superellipsoid((0.0, 8.0, 0.0), (27.0, 56.0, 900.0), 2.2, 8.0)


def lung(side: float) -> Shape:
    """Return the lung of one side: -1 is the patient's right."""
    whole = Superellipsoid((side * 66.0, 4.0, 0.0), (57.0, 80.0, 125.0), 2.2, 2.6)
    dome = Superellipsoid((side * 68.0, -4.0, -160.0 - 4.0 * side), (82.0, 100.0, 88.0))
    return Without(whole, Union((_HEART, _MIDDLE, dome)))


def lobe_solid(lobe: str) -> Shape:
    """Return the lung of one lobe."""
    side = -1.0 if lobe.startswith("R") else 1.0
    below = HalfSpace(_OBLIQUE, _OBLIQUE_MM)
    above = HalfSpace((0.0, 0.7071, -0.7071), -_OBLIQUE_MM)
    if lobe in ("RLL", "LLL"):
        return Overlap((lung(side), below))
    if lobe == "LUL":
        return Overlap((lung(side), above))
    up, down = HalfSpace((0.0, 0.0, -1.0), -_HORIZONTAL_MM), HalfSpace((0.0, 0.0, 1.0), _HORIZONTAL_MM)
    return Overlap((lung(side), above, up if lobe == "RUL" else down))


def lobe_at(place: Triple) -> str:
    """Return the lobe at a place, or nothing outside the lungs."""
    point = np.asarray(place, dtype=np.float32).reshape(3, 1)
    for lobe in LOBES:
        if float(lobe_solid(lobe).distance(point)[0]) < 0:
            return lobe
    return ""


def fissures() -> Shape:
    """Return the fissures as thin sheets."""
    lungs = Union((lung(-1.0), lung(1.0)))
    other_way = HalfSpace((0, 0.7071, -0.7071), 0.4 - _OBLIQUE_MM)
    oblique = Overlap((HalfSpace(_OBLIQUE, _OBLIQUE_MM + 0.4), other_way, lungs))
    flat = Overlap((
        lung(-1.0), HalfSpace((0, 0, 1), _HORIZONTAL_MM + 0.4), HalfSpace((0, 0, -1), 0.4 - _HORIZONTAL_MM),
        HalfSpace((0.0, 0.7071, -0.7071), -_OBLIQUE_MM),
    ))  # fmt: skip
    return Union((oblique, flat))


def airways() -> tuple[Shape, Shape]:
    """Return trachea and main bronchi: the wall and the air in it."""
    paths = (
        (((0.0, 6.0, 200.0), (0.0, 10.0, 28.0)), (10.0, 9.5)),
        (((0.0, 10.0, 28.0), (-24.0, 12.0, 4.0), (-44.0, 14.0, -14.0)), (8.0, 6.8, 5.0)),
        (((0.0, 10.0, 28.0), (28.0, 14.0, 6.0), (46.0, 18.0, -12.0)), (7.5, 6.2, 4.6)),
        (((-24.0, 12.0, 4.0), (-46.0, 6.0, 22.0)), (5.0, 3.6)),
        (((28.0, 14.0, 6.0), (48.0, 2.0, 20.0)), (4.8, 3.4)),
    )
    wall = Union(tuple(Tube(path, tuple(r + 1.4 for r in radius)) for path, radius in paths))
    return wall, Union(tuple(Tube(path, radius) for path, radius in paths))


def great_vessels() -> Shape:
    """Return aorta, caval vein and central pulmonary arteries."""
    arch = Tube(((-4.0, -12.0, -5.0), (-6.0, -20.0, 30.0), (4.0, -8.0, 54.0), (20.0, 18.0, 50.0), (22.0, 34.0, 20.0),
                 (18.0, 38.0, -40.0), (10.0, 38.0, -260.0)), (15.0, 15.0, 13.5, 12.5, 12.0, 11.5, 10.5))  # fmt: skip
    right = Tube(((6.0, -16.0, 12.0), (-14.0, -4.0, 14.0), (-40.0, 4.0, 6.0)), (13.0, 11.0, 8.0))
    left = Tube(((6.0, -16.0, 12.0), (20.0, 2.0, 20.0), (40.0, 12.0, 10.0)), (13.0, 11.0, 8.0))
    return Union((arch, right, left, Cylinder((-22.0, -12.0, 60.0), 9.0, 60.0)))


def lung_vessels(side: float, seed: int) -> tuple[Shape, ...]:
    """Return the vessel tree of one lung, generation by generation thinner, each branch within the lung."""
    random = np.random.default_rng([seed, 29, int(side + 1)])
    inside, segments = lung(side), []
    root = np.asarray([side * 36.0, 8.0, 6.0])
    ends = [(root, _stem(side, k), 0) for k in range(_STEMS)]
    while ends:
        start, direction, generation = ends.pop()
        length = random.uniform(20.0, 33.0) * 0.86**generation
        end = start + direction * length
        radius = 4.3 * 0.68**generation
        if generation and float(inside.distance(end.astype(np.float32).reshape(3, 1))[0]) > -1.0:
            continue
        segments.append(Tube((_triple(start), _triple(end)), (radius, 0.8 * radius)))
        if generation + 1 < _GENERATIONS:
            sideways = np.cross(direction, random.normal(size=3))
            sideways /= np.linalg.norm(sideways)
            for sign in (-1.0, 1.0):
                turned = direction + sign * random.uniform(0.35, 0.8) * sideways
                ends.append((end, turned / np.linalg.norm(turned), generation + 1))
    return tuple(segments)


def _stem(side: float, number: int) -> NDArray[np.float64]:
    """Return one of the directions that spread from the hilum over the outer half of a sphere (Fibonacci)."""
    share = (number + 0.5) / _STEMS
    polar, azimuth = np.arccos(1 - 2 * share), np.pi * (1 + 5**0.5) * number
    direction = np.asarray([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)])
    direction[0] = side * abs(direction[0]) + 0.25 * side
    return np.asarray(direction / np.linalg.norm(direction))


def _triple(place: NDArray[np.float64]) -> Triple:
    return float(place[0]), float(place[1]), float(place[2])


def ribs() -> Shape:
    """Return ten pairs of ribs that fall from the spine to the front."""
    out: list[Shape] = []
    for number in range(11):
        top = 125.0 - 25.0 * number
        wide = float(np.interp(number, [0, 2, 5, 10], [0.66, 0.9, 1.0, 1.0]))
        angles = np.radians(np.linspace(72, -62, 8))
        path = tuple(
            (float(134 * wide * np.cos(a)), float(4 + 92 * np.sin(a)), float(top - 34 * (1 - np.sin(a)) * 0.9))
            for a in angles
        )
        one = Tube(path, (4.6,))
        out += [one, mirrored(one)]
    return Union(tuple(out))


def spine() -> tuple[Shape, Shape]:
    """Return the column of discs and the vertebral bodies with their spinous processes."""
    bodies = tuple(Superellipsoid((0, 62, z), (17, 14, 10.5), 2.4, 7) for z in range(-190, 220, 26))
    processes = tuple(Tube(((0, 84, z), (0, 100, z - 12)), (3.4,)) for z in range(-190, 220, 26))
    return Cylinder((0, 62, 0), 14.5, 400), Union((*bodies, *processes))


def heart() -> Shape:
    """Return the heart in its sac."""
    return _HEART


def middle() -> Shape:
    """Return the mediastinum."""
    return _MIDDLE


@dataclass(frozen=True, slots=True)
class Density:
    """Lung texture: waves of several sizes, and more blood in what lies lower (the back of a patient on the back)."""

    waves: tuple[Waves, ...]
    per_mm: float
    """HU from front to back."""

    def __call__(self, points: Points) -> Values:
        """Return HU to add at points (3, ...)."""
        out = points[1] * np.float32(self.per_mm)
        for wave in self.waves:
            out = out + wave(points)
        return np.asarray(out, dtype=np.float32)
