"""Solids in patient space (LPS mm) as implicit functions: is a point inside, and at least how far is the surface.

``distance`` returns a *bound*: negative inside, and never larger in size than the true distance to the surface. The
sampler needs only that to know which voxels a surface can touch. Volumes are closed forms or quadratures where
there is one; every other solid is measured by sampling (``scene.measured``).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import gamma, prod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from coread.phantoms.reference.errors import BadTruth

Points = NDArray[np.float32]
"""(3, ...) positions x, y, z in LPS mm."""
Values = NDArray[np.float32]
"""(...) one number for each point."""
Triple = tuple[float, float, float]
Bounds = tuple[Triple, Triple]
_TINY = np.float32(1e-9)
_ENDLESS_MM = 1e6


class Shape(Protocol):
    """A solid."""

    def distance(self, points: Points) -> Values:
        """Return a bound of the signed distance to the surface, mm; negative inside."""
        ...

    def bounds(self) -> Bounds:
        """Return the lower and upper corner of a box around the solid, mm."""
        ...

    def volume_mm3(self) -> float | None:
        """Return the exact volume, or nothing where no closed form or quadrature is known."""
        ...


def column(values: Triple, points: Points) -> Points:
    """Return three numbers in a form that is added to points of any trailing shape."""
    return np.asarray(values, dtype=np.float32).reshape((3,) + (1,) * (points.ndim - 1))


@dataclass(frozen=True, slots=True)
class Superellipsoid:
    """A rounded solid: ellipsoid (both exponents 2), cylinder-like (axial exponent high), box-like (both high)."""

    center_mm: Triple
    half_axes_mm: Triple
    in_plane: float = 2.0
    """Exponent in x and y: 2 is an ellipse, higher is squarer."""
    axial: float = 2.0
    """Exponent along z: 2 is round, 8 has nearly flat ends."""

    def __post_init__(self) -> None:
        if min(self.half_axes_mm) <= 0 or min(self.in_plane, self.axial) < 2:
            raise BadTruth(f"a solid of half axes {self.half_axes_mm} mm: above 0, exponents at least 2")

    def gauge(self, points: Points) -> Values:
        """Return 1 on the surface, below inside; it grows in proportion along each ray from the centre."""
        scaled = np.abs((points - column(self.center_mm, points)) / column(self.half_axes_mm, points))
        if self.in_plane == self.axial == 2:
            return np.asarray(np.sqrt(np.einsum("i...,i...->...", scaled, scaled)))
        flat = _powered(scaled[0], self.in_plane) + _powered(scaled[1], self.in_plane)
        whole = flat ** np.float32(self.axial / self.in_plane) + _powered(scaled[2], self.axial)
        return np.asarray(whole ** np.float32(1 / self.axial))

    def distance(self, points: Points) -> Values:
        """Return a bound of the distance: the gauge grows by at most 1 / (smallest half axis) per mm."""
        return np.asarray((self.gauge(points) - 1) * np.float32(min(self.half_axes_mm)))

    def bounds(self) -> Bounds:
        """Return the box of the half axes."""
        return _around(self.center_mm, self.half_axes_mm)

    def volume_mm3(self) -> float:
        """Return the closed form (Gridgeman 1970; beta function along z)."""
        n, m = self.in_plane, self.axial
        area = 4 * gamma(1 + 1 / n) ** 2 / gamma(1 + 2 / n)
        along = 2 / m * gamma(1 / m) * gamma(1 + 2 / m) / gamma(1 + 3 / m)
        return area * along * prod(self.half_axes_mm)


def ball(center_mm: Triple, radius_mm: float) -> Superellipsoid:
    """Return a sphere."""
    return Superellipsoid(center_mm, (radius_mm, radius_mm, radius_mm))


def _powered(base: Values, exponent: float) -> Values:
    return np.asarray(base * base if exponent == 2 else base ** np.float32(exponent))


def _around(center: Triple, reach: Triple) -> Bounds:
    low, high = np.subtract(center, reach), np.add(center, reach)
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


@dataclass(frozen=True, slots=True)
class Blob:
    """An irregular, star-shaped lump: an ellipsoid whose radius waves with direction."""

    center_mm: Triple
    half_axes_mm: Triple
    irregularity: float = 0.0
    """Sum of the amplitudes of the waves as a share of the radius, 0 to 0.5."""
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.half_axes_mm) <= 0 or not 0 <= self.irregularity <= 0.5:
            raise BadTruth(f"a lump of {self.half_axes_mm} mm, irregularity {self.irregularity}: above 0; 0 to 0.5")

    def _waves(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        random = np.random.default_rng([self.seed, 5])
        vectors = random.normal(0, 1.7, (7, 3))
        weights = random.uniform(0.5, 1.0, 7)
        return vectors, random.uniform(0, 2 * np.pi, 7), self.irregularity * weights / weights.sum()

    def radius_share(self, unit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the radius in each direction (3, ...), as a share of the ellipsoid's."""
        vectors, phases, amplitudes = self._waves()
        out = np.ones(unit.shape[1:], dtype=unit.dtype)
        for vector, phase, amplitude in zip(vectors, phases, amplitudes, strict=True):
            along = vector[0] * unit[0] + vector[1] * unit[1] + vector[2] * unit[2]
            out += (amplitude * np.cos(along + phase)).astype(unit.dtype)
        return out

    def distance(self, points: Points) -> Values:
        """Return a bound of the distance."""
        scaled = (points - column(self.center_mm, points)) / column(self.half_axes_mm, points)
        far = np.sqrt(np.einsum("i...,i...->...", scaled, scaled))
        if self.irregularity == 0:
            return np.asarray((far - 1) * np.float32(min(self.half_axes_mm)))
        vectors, _, amplitudes = self._waves()
        steepest = 1 + float(amplitudes @ np.linalg.norm(vectors, axis=1))
        share = self.radius_share(scaled / np.maximum(far, _TINY))
        return np.asarray((far - share) * np.float32(min(self.half_axes_mm) / steepest))

    def bounds(self) -> Bounds:
        """Return the box of the largest radius that the waves allow."""
        reach = np.multiply(self.half_axes_mm, 1 + self.irregularity)
        return _around(self.center_mm, (reach[0], reach[1], reach[2]))

    def volume_mm3(self) -> float:
        """Return the integral of radius cubed / 3 over all directions (Gauss-Legendre times trapezoid rule)."""
        cosine, weight = np.polynomial.legendre.leggauss(64)
        angle = np.arange(128) * 2 * np.pi / 128
        sine = np.sqrt(1 - cosine**2)
        unit = np.stack(
            [np.outer(sine, np.cos(angle)), np.outer(sine, np.sin(angle)), np.outer(cosine, np.ones_like(angle))]
        )
        return float((weight @ self.radius_share(unit) ** 3).sum() * 2 * np.pi / 128 / 3 * prod(self.half_axes_mm))

    def with_volume(self, volume_mm3: float) -> "Blob":
        """Return the same lump at another size."""
        if volume_mm3 <= 0:
            raise BadTruth(f"a volume of {volume_mm3 / 1000:g} ml: it must be above 0")
        grown = np.multiply(self.half_axes_mm, (volume_mm3 / self.volume_mm3()) ** (1 / 3))
        return replace(self, half_axes_mm=(float(grown[0]), float(grown[1]), float(grown[2])))


@dataclass(frozen=True, slots=True)
class Tube:
    """A round tube along straight pieces, with rounded ends; the radius changes linearly along each piece."""

    path_mm: tuple[Triple, ...]
    radius_mm: tuple[float, ...]
    """One for each point of the path, or one for all."""

    def __post_init__(self) -> None:
        if len(self.path_mm) < 2 or len(self.radius_mm) not in (1, len(self.path_mm)) or min(self.radius_mm) <= 0:
            raise BadTruth(f"a tube of {len(self.path_mm)} points and radii {self.radius_mm}")

    def _radii(self) -> tuple[float, ...]:
        return self.radius_mm if len(self.radius_mm) > 1 else self.radius_mm * len(self.path_mm)

    def distance(self, points: Points) -> Values:
        """Return a bound of the distance to the nearest piece."""
        radii = self._radii()
        best: Values | None = None
        for k in range(len(self.path_mm) - 1):
            start, end = np.asarray(self.path_mm[k]), np.asarray(self.path_mm[k + 1])
            along, length = end - start, max(float(np.linalg.norm(end - start)), 1e-6)
            offset = points - column((start[0], start[1], start[2]), points)
            share = (offset[0] * along[0] + offset[1] * along[1] + offset[2] * along[2]) / length**2
            share = np.clip(share, 0, 1).astype(np.float32)
            away = [offset[i] - share * np.float32(along[i]) for i in range(3)]
            far = np.sqrt(away[0] ** 2 + away[1] ** 2 + away[2] ** 2)
            slope = abs(radii[k + 1] - radii[k]) / length
            found = (far - (radii[k] + share * (radii[k + 1] - radii[k]))) / np.float32(1 + slope)
            best = found if best is None else np.minimum(best, found)
        return np.asarray(best, dtype=np.float32)

    def segments(self) -> tuple["Tube", ...]:
        """Return the straight pieces as tubes of their own."""
        radii = self._radii()
        return tuple(
            Tube((self.path_mm[k], self.path_mm[k + 1]), (radii[k], radii[k + 1])) for k in range(len(radii) - 1)
        )

    def bounds(self) -> Bounds:
        """Return the box around all pieces."""
        path, reach = np.asarray(self.path_mm), max(self.radius_mm)
        low, high = path.min(axis=0) - reach, path.max(axis=0) + reach
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    def volume_mm3(self) -> float | None:
        """Return the volume of a single straight piece of one radius (a capsule); bends overlap and have no form."""
        if len(self.path_mm) != 2 or len(set(self.radius_mm)) != 1:
            return None
        length, radius = float(np.linalg.norm(np.subtract(*self.path_mm))), self.radius_mm[0]
        return float(np.pi * radius**2 * (length + 4 * radius / 3))


@dataclass(frozen=True, slots=True)
class Cylinder:
    """A round bar along z with flat ends."""

    center_mm: Triple
    radius_mm: float
    half_length_mm: float

    def __post_init__(self) -> None:
        if min(self.radius_mm, self.half_length_mm) <= 0:
            raise BadTruth(f"a bar of radius {self.radius_mm} and half length {self.half_length_mm} mm: above 0")

    def distance(self, points: Points) -> Values:
        """Return the larger of the distances to the wall and to the nearer end."""
        x, y, z = points - column(self.center_mm, points)
        return np.asarray(
            np.maximum(np.hypot(x, y) - np.float32(self.radius_mm), np.abs(z) - np.float32(self.half_length_mm)),
            dtype=np.float32,
        )

    def bounds(self) -> Bounds:
        """Return the box around the bar."""
        return _around(self.center_mm, (self.radius_mm, self.radius_mm, self.half_length_mm))

    def volume_mm3(self) -> float:
        """Return the closed form."""
        return float(np.pi * self.radius_mm**2 * 2 * self.half_length_mm)


@dataclass(frozen=True, slots=True)
class HalfSpace:
    """Everything below a plane: the points whose height along ``normal`` is at most ``offset_mm``."""

    normal: Triple
    offset_mm: float

    def distance(self, points: Points) -> Values:
        """Return the signed distance, exactly."""
        unit = np.asarray(self.normal) / np.linalg.norm(self.normal)
        height = unit[0] * points[0] + unit[1] * points[1] + unit[2] * points[2]
        return np.asarray(height - self.offset_mm, dtype=np.float32)

    def bounds(self) -> Bounds:
        """Return no bound at all, but on the side of a plane that stands across an axis."""
        low, high = np.full(3, -_ENDLESS_MM), np.full(3, _ENDLESS_MM)
        across = np.flatnonzero(self.normal)
        if across.size == 1:
            axis = int(across[0])
            sign = float(np.sign(self.normal[axis]))
            (high if sign > 0 else low)[axis] = sign * self.offset_mm
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    def volume_mm3(self) -> float | None:
        """Return nothing: it is endless."""
        return None


@dataclass(frozen=True, slots=True)
class Union:
    """What lies in any of several solids."""

    shapes: tuple[Shape, ...]

    def distance(self, points: Points) -> Values:
        """Return the smallest of the bounds."""
        return np.asarray(np.minimum.reduce([shape.distance(points) for shape in self.shapes]), dtype=np.float32)

    def bounds(self) -> Bounds:
        """Return the box around all."""
        boxes = np.asarray([shape.bounds() for shape in self.shapes])
        low, high = boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    def volume_mm3(self) -> float | None:
        """Return nothing: parts may overlap."""
        return None


@dataclass(frozen=True, slots=True)
class Overlap:
    """What lies in all of several solids."""

    shapes: tuple[Shape, ...]

    def distance(self, points: Points) -> Values:
        """Return the largest of the bounds."""
        return np.asarray(np.maximum.reduce([shape.distance(points) for shape in self.shapes]), dtype=np.float32)

    def bounds(self) -> Bounds:
        """Return the overlap of the boxes."""
        boxes = np.asarray([shape.bounds() for shape in self.shapes])
        low, high = boxes[:, 0].max(axis=0), boxes[:, 1].min(axis=0)
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    def volume_mm3(self) -> float | None:
        """Return nothing: no closed form."""
        return None


@dataclass(frozen=True, slots=True)
class Without:
    """What lies in one solid and not in another."""

    shape: Shape
    hole: Shape

    def distance(self, points: Points) -> Values:
        """Return the bound of the difference."""
        return np.asarray(np.maximum(self.shape.distance(points), -self.hole.distance(points)), dtype=np.float32)

    def bounds(self) -> Bounds:
        """Return the box of the outer solid."""
        return self.shape.bounds()

    def volume_mm3(self) -> float | None:
        """Return nothing: the hole may reach out."""
        return None


@dataclass(frozen=True, slots=True)
class Formula:
    """A solid given by a function that is itself a bound of the distance, within a box."""

    function: Callable[[Points], Values]
    box: Bounds

    def distance(self, points: Points) -> Values:
        """Return what the function says."""
        return np.asarray(self.function(points), dtype=np.float32)

    def bounds(self) -> Bounds:
        """Return the stated box."""
        return self.box

    def volume_mm3(self) -> float | None:
        """Return nothing: it is sampled."""
        return None


@dataclass(frozen=True, slots=True)
class Mapped:
    """A solid moved, turned or scaled by an affine map (3x4 rows: solid to patient)."""

    shape: Shape
    rows: tuple[tuple[float, float, float, float], ...]

    def _matrix(self) -> NDArray[np.float64]:
        return np.vstack([np.asarray(self.rows, dtype=np.float64), [0, 0, 0, 1]])

    def distance(self, points: Points) -> Values:
        """Return the bound in patient mm: the solid's own, times how much the map shrinks at most."""
        matrix = self._matrix()
        back = np.linalg.inv(matrix)
        local = np.tensordot(back[:3, :3].astype(np.float32), points, axes=1)
        local += column((back[0, 3], back[1, 3], back[2, 3]), points)
        shrink = np.linalg.svd(matrix[:3, :3], compute_uv=False).min()
        return np.asarray(self.shape.distance(local) * np.float32(shrink))

    def bounds(self) -> Bounds:
        """Return the box around the moved corners."""
        return moved_box(self.shape.bounds(), self._matrix())

    def volume_mm3(self) -> float | None:
        """Return the solid's volume times the determinant."""
        own = self.shape.volume_mm3()
        return None if own is None else own * abs(float(np.linalg.det(self._matrix()[:3, :3])))


def pieces(shape: Shape) -> tuple[Shape, ...]:
    """Return solids whose union is the shape: small boxes are looked at far less often than one large one."""
    if isinstance(shape, Union):
        return tuple(piece for member in shape.shapes for piece in pieces(member))
    if isinstance(shape, Tube) and len(shape.path_mm) > 2:
        return shape.segments()
    if isinstance(shape, Mapped):
        return tuple(Mapped(piece, shape.rows) for piece in pieces(shape.shape))
    return (shape,)


def moved_box(box: Bounds, matrix: NDArray[np.float64]) -> Bounds:
    """Return the box around the eight corners of a box after a 4x4 map."""
    corners = np.asarray([[box[i][0], box[j][1], box[k][2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    moved = corners @ matrix[:3, :3].T + matrix[:3, 3]
    low, high = moved.min(axis=0), moved.max(axis=0)
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def turned(shape: Shape, degrees: Triple, about_mm: Triple) -> Mapped:
    """Return a solid turned about the x, then y, then z axis through a point."""
    rotation = rotation_matrix(degrees)
    shift = np.asarray(about_mm) - rotation @ np.asarray(about_mm)
    return mapped(shape, np.hstack([rotation, shift[:, np.newaxis]]))


def scaled(shape: Shape, factor: float, about_mm: Triple = (0.0, 0.0, 0.0)) -> Mapped:
    """Return a solid enlarged evenly about a point."""
    shift = np.asarray(about_mm) * (1 - factor)
    return mapped(shape, np.hstack([np.eye(3) * factor, shift[:, np.newaxis]]))


def mirrored(shape: Shape) -> Mapped:
    """Return the solid on the other side of the plane x = 0."""
    return mapped(shape, np.hstack([np.diag([-1.0, 1.0, 1.0]), np.zeros((3, 1))]))


def mapped(shape: Shape, rows: NDArray[np.float64]) -> Mapped:
    """Return a solid under a 3x4 map."""
    a, b, c = ((float(r[0]), float(r[1]), float(r[2]), float(r[3])) for r in rows[:3])
    return Mapped(shape, (a, b, c))


def rotation_matrix(degrees: Triple) -> NDArray[np.float64]:
    """Return the 3x3 matrix that turns about x, then y, then z."""
    out = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        out = turn @ out
    return out
