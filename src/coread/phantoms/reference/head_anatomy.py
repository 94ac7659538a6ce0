"""A head of simple solids: scalp, skull, folded brain, ventricles, hippocampi, cerebellum. Not any person's anatomy.

Origin in the middle of the brain; LPS mm. What lies inside the skull can be shrunk (atrophy) or pushed (mass effect).
"""

from dataclasses import dataclass, field

import numpy as np

from coread.phantoms.reference.shapes import (
    Bounds,
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
    ball,
    mirrored,
    scaled,
)

INTRACRANIAL = Superellipsoid((0.0, 0.0, 0.0), (63.0, 81.0, 70.0), 2.2, 2.2)
SKULL = Superellipsoid((0.0, 0.0, 0.0), (69.5, 88.0, 76.5), 2.2, 2.2)
SCALP = Superellipsoid((0.0, 0.0, 0.0), (75.5, 94.0, 82.5), 2.2, 2.2)
_PIAL = Superellipsoid((0.0, 0.0, 0.0), (60.5, 78.5, 67.5), 2.2, 2.2)
_CORTEX_MM = 2.6


@dataclass(frozen=True, slots=True)
class Folded:
    """A solid whose surface is cut by curved furrows: the sheets of a gyroid, down to a depth."""

    outer: Superellipsoid
    wavelength_mm: float
    depth_mm: float
    inset_mm: float = 0.0
    """0 is the pial surface; the thickness of the cortex gives the white matter below it."""

    def distance(self, points: Points) -> Values:
        """Return a bound of the distance: the gyroid grows by at most sqrt(3) x 2 pi / wavelength per mm."""
        k = np.float32(2 * np.pi / self.wavelength_mm)
        x, y, z = (axis * k for axis in points)
        gyroid = np.sin(x) * np.cos(y) + np.sin(y) * np.cos(z) + np.sin(z) * np.cos(x)
        half_width = 0.45 * k + self.inset_mm * k * 1.15
        from_sheet = (np.abs(gyroid) - half_width) / (k * np.float32(3**0.5))
        shell = self.outer.distance(points) + np.float32(self.inset_mm)
        furrow = np.maximum(from_sheet, -(shell + np.float32(self.depth_mm)))
        return np.asarray(np.maximum(shell, -furrow), dtype=np.float32)

    def bounds(self) -> Bounds:
        """Return the box of the uncut solid."""
        return self.outer.bounds()

    def volume_mm3(self) -> float | None:
        """Return nothing: it is sampled."""
        return None


@dataclass(frozen=True, slots=True)
class Push:
    """A mass effect: places near ``center_mm`` were pushed along x by ``shift_mm``, less with distance."""

    shift_mm: float
    reach_mm: float = 38.0
    height: tuple[float, float] = (-5.0, 14.0)
    """y and z of the middle of the push: the septum pellucidum."""

    def back(self, points: Points) -> Points:
        """Return where points of the pushed brain were before; at the shifted septum this is exactly the midline."""
        middle = np.asarray([self.shift_mm, *self.height], dtype=np.float32)
        away = sum((points[axis] - middle[axis]) ** 2 for axis in range(3))
        moved = np.array(points)
        moved[0] -= np.float32(self.shift_mm) * np.exp(-away / np.float32(2 * self.reach_mm**2))
        return moved

    def steepness(self) -> float:
        """Return by how much distances may grow on the way back."""
        return 1 + abs(self.shift_mm) / self.reach_mm * float(np.exp(-0.5))


@dataclass(frozen=True, slots=True)
class Pushed:
    """A solid of the brain under a mass effect."""

    shape: Shape
    push: Push

    def distance(self, points: Points) -> Values:
        """Return the bound at the place before the push."""
        return np.asarray(self.shape.distance(self.push.back(points)) / np.float32(self.push.steepness()))

    def bounds(self) -> Bounds:
        """Return the box, wider by the largest push."""
        low, high = self.shape.bounds()
        reach = abs(self.push.shift_mm)
        return (low[0] - reach, low[1], low[2]), (high[0] + reach, high[1], high[2])

    def volume_mm3(self) -> float | None:
        """Return nothing: it is sampled."""
        return None


@dataclass(frozen=True, slots=True)
class BrainForm:
    """What happened to the brain: how much smaller it is, how much wider the ventricles, what pushes it."""

    brain_scale: float = 1.0
    ventricle_scale: float = 1.0
    """In each direction, on top of the scale of the brain."""
    hippocampus_scale: float = 1.0
    push: Push = field(default_factory=lambda: Push(0.0))

    def placed(self, shape: Shape) -> Shape:
        """Return a solid of the unit brain where it lies now."""
        smaller: Shape = shape if self.brain_scale == 1 else scaled(shape, self.brain_scale)
        return smaller if self.push.shift_mm == 0 else Pushed(smaller, self.push)


def both_sides(shape: Shape) -> Union:
    """Return a solid and its mirror image."""
    return Union((shape, mirrored(shape)))


def cerebrum() -> Shape:
    """Return the two hemispheres with their furrows, pial surface."""
    return Without(Folded(_PIAL, 25.0, 13.0), fissure())


def cerebral_white() -> Shape:
    """Return the white matter of the hemispheres."""
    return Without(Folded(_PIAL, 25.0, 13.0, _CORTEX_MM), fissure(_CORTEX_MM))


def fissure(wider_mm: float = 0.0) -> Shape:
    """Return the gap between the hemispheres, above and around the corpus callosum."""
    joined = Superellipsoid((0.0, 4.0, 3.0), (40.0, 40.0, 26.0))
    slab = Overlap((HalfSpace((1, 0, 0), 0.9 + wider_mm), HalfSpace((-1, 0, 0), 0.9 + wider_mm), _PIAL))
    return Without(slab, joined)


def _about(scale: float, shapes: tuple[tuple[Shape, Triple], ...]) -> Union:
    return Union(tuple(shape if scale == 1 else scaled(shape, scale, about) for shape, about in shapes))


def ventricles(scale: float = 1.0) -> Union:
    """Return lateral, third and fourth ventricles, each scaled about its own middle."""
    body = Tube(((9, -33, 8), (10, -16, 15), (12, 6, 18), (19, 28, 13)), (5.0, 5.2, 4.8, 6.0))
    occipital = Tube(((19, 28, 13), (22, 44, 6)), (6.0, 3.2))
    temporal = Tube(((19, 28, 13), (30, 22, -8), (32, 0, -19)), (5.5, 3.4, 2.4))
    lateral = Union((body, occipital, temporal))
    about: Triple = (14.0, 4.0, 14.0)
    left: Shape = lateral if scale == 1 else scaled(lateral, scale, about)
    middle = _about(
        scale,
        (
            (Superellipsoid((0, 4, 0), (2.6, 13.0, 9.0)), (0.0, 4.0, 0.0)),
            (Superellipsoid((0, 38, -36), (6.0, 4.0, 9.0)), (0.0, 38.0, -36.0)),
        ),
    )
    return Union((left, mirrored(left), *middle.shapes))


def deep_grey() -> Union:
    """Return thalami, caudate nuclei and lentiform nuclei of both sides."""
    return Union(
        tuple(
            both_sides(Superellipsoid(center, axes))
            for center, axes in (
                ((11.5, 8.0, 2.0), (8.0, 14.0, 9.0)),
                ((17.0, -20.0, 10.0), (5.0, 13.0, 8.0)),
                ((26.0, -6.0, 0.0), (6.0, 16.0, 10.0)),
            )
        )
    )


def hippocampus(scale: float = 1.0) -> Shape:
    """Return the left hippocampus (the patient's left is positive x), scaled about its middle."""
    curve = Tube(
        ((26.0, -3.0, -27.0), (28.0, 9.0, -26.0), (26.0, 22.0, -19.0), (20.0, 30.0, -8.0)), (6.2, 5.0, 4.0, 2.6)
    )
    return curve if scale == 1 else scaled(curve, scale, (26.0, 12.0, -22.0))


def cerebellum(inset_mm: float = 0.0) -> Shape:
    """Return the cerebellum, or its white matter when smaller by an inset."""
    whole = Superellipsoid((0.0, 45.0, -41.0), (46.0, 27.0, 20.0), 2.2, 2.2)
    inner = Superellipsoid((0.0, 0.0, 0.0), (60.0, 78.0, 67.0), 2.2, 2.2)
    if inset_mm:
        return Folded(Superellipsoid((0.0, 45.0, -41.0), (40.0, 20.0, 13.5), 2.2, 2.2), 11.0, 6.0, 0.6)
    return Overlap((whole, inner))


def cerebellar_cistern() -> Shape:
    """Return the space around the cerebellum (and the tentorium above it)."""
    around = Superellipsoid((0.0, 45.0, -41.0), (49.0, 30.0, 22.5), 2.2, 2.2)
    return Overlap((around, INTRACRANIAL))


def brainstem() -> Tube:
    """Return midbrain, pons and medulla."""
    return Tube(
        ((0.0, 14.0, -12.0), (0.0, 20.0, -30.0), (0.0, 26.0, -46.0), (0.0, 33.0, -85.0)), (13.0, 14.0, 10.0, 7.0)
    )


def cisterns() -> Union:
    """Return the wide parts of the subarachnoid space: suprasellar, Sylvian, quadrigeminal, prepontine."""
    sylvian = Tube(
        ((14.0, -16.0, -22.0), (34.0, -18.0, -18.0), (50.0, -8.0, -2.0), (54.0, 12.0, 10.0)), (3.2, 2.6, 2.8, 2.0)
    )
    return Union(
        (
            Superellipsoid((0.0, -12.0, -25.0), (15.0, 11.0, 6.0)),
            both_sides(sylvian),
            Superellipsoid((0.0, 30.0, -8.0), (12.0, 4.5, 7.0)),
            Superellipsoid((0.0, 3.0, -42.0), (17.0, 5.0, 15.0)),
        )
    )


def face() -> tuple[Shape, Shape, Shape, Shape]:
    """Return the soft tissue of face and neck, bones of face and base, air spaces, and the eyes."""
    soft = Union(
        (
            Superellipsoid((0.0, -58.0, -75.0), (58.0, 38.0, 50.0), 2.4, 2.4),
            Tube(((0.0, 15.0, -55.0), (0.0, 25.0, -260.0)), (60.0,)),
            Tube(((0.0, -90.0, -50.0), (0.0, -107.0, -78.0)), (7.0, 13.0)),
        )
    )
    petrous = Tube(((18.0, 8.0, -54.0), (40.0, 24.0, -50.0), (52.0, 30.0, -48.0)), (6.0, 9.0, 10.0))
    orbit = ball((31.0, -66.0, -38.0), 20.0)
    bones = Union(
        (
            both_sides(petrous),
            Superellipsoid((0.0, -62.0, -72.0), (46.0, 24.0, 34.0), 2.6, 2.6),
            Superellipsoid((0.0, -20.0, -58.0), (32.0, 26.0, 9.0), 2.6, 2.6),
            Tube(((0.0, 42.0, -84.0), (0.0, 42.0, -260.0)), (17.0,)),
        )
    )
    maxillary = Superellipsoid((28.0, -62.0, -78.0), (13.0, 15.0, 16.0), 2.4, 2.4)
    air = Union(
        (
            both_sides(maxillary),
            Superellipsoid((0.0, -62.0, -60.0), (10.0, 22.0, 20.0), 2.4, 2.4),
            both_sides(Superellipsoid((12.0, -80.5, -26.0), (9.0, 3.5, 8.0))),
            both_sides(Superellipsoid((50.0, 33.0, -50.0), (5.0, 6.0, 7.0))),
            Tube(((0.0, -30.0, -80.0), (0.0, -20.0, -260.0)), (9.0,)),
        )
    )
    return soft, bones, air, both_sides(orbit)


def eyes() -> Union:
    """Return the eyeballs."""
    return both_sides(ball((31.0, -77.0, -38.0), 12.0))
