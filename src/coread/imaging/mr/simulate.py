"""Multi-coil k-space made from a magnitude image, with the truth beside it: phase, coils, noise are simulated.

What comes out is called simulated wherever it is used. An image from an archive was filtered, interpolated or
compressed before; k-space made from it makes every method look better than on a scanner (Shimron 2022, "Implicit data
crimes", PNAS 119), so figures are given per source and never as those of scanner data.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import InvalidRecord
from coread.imaging.mr.fourier import to_samples

Complex = NDArray[np.complex64]
Field = NDArray[np.float64]
_COARSE = 48
"""Fields are computed on a grid of at most so many points a side: they are smooth."""
_SEGMENTS = 24
_RING = 10
"""Loops of one ring; more coils stand in further rings above and below the slice."""


class BadSimulation(InvalidRecord):
    """Something that cannot be simulated; the message says what."""


@dataclass(frozen=True, slots=True)
class Scanner:
    """The simulated scanner."""

    coils: int = 8
    signal_to_noise: float = 40.0
    """Mean of the object over the standard deviation of noise of the real part, in the fully sampled combined image."""
    phase_radians: float = 1.0
    """Standard deviation of the smooth phase of the image."""
    loop_radius: float = 0.45
    """Of a loop, in halves of the field of view."""
    distance: float = 1.25
    """Of the loops from the centre, in halves of the field of view."""

    def __post_init__(self) -> None:
        if not 1 <= self.coils <= 128:
            raise BadSimulation(f"between 1 and 128 coils can be simulated, not {self.coils}")
        if not self.signal_to_noise > 0 or self.loop_radius <= 0 or self.distance <= 0:
            raise BadSimulation("signal to noise, radius and distance of the loops are above 0")


@dataclass(frozen=True, slots=True, eq=False)
class Simulated:
    """A fully sampled acquisition and what is true about it."""

    samples: Complex
    """(coils, a, b), centred k-space with noise."""
    image: Complex
    """(a, b), without noise; its magnitude is the image given, and the root of the sum of squares of the coils."""
    maps: Complex
    """(coils, a, b); their sum of squares is 1 everywhere."""
    noise_deviation: float
    """Standard deviation of the real and of the imaginary part of the noise of every sample (orthonormal transform)."""


def simulated(magnitude: NDArray[np.floating], scanner: Scanner, seed: int | Sequence[int]) -> Simulated:
    """Return what the scanner would have measured of an image (a, b) of non-negative values; raises BadSimulation."""
    values = np.asarray(magnitude, dtype=np.float32)
    if values.ndim != 2 or min(values.shape) < 8 or not np.isfinite(values).all() or values.min() < 0:
        raise BadSimulation("k-space is simulated from a finite, non-negative image of at least 8 x 8 values")
    if not values.max() > 0:
        raise BadSimulation("an image without any signal has no k-space to simulate")
    random = np.random.default_rng(seed)
    shape = (int(values.shape[0]), int(values.shape[1]))
    image = (values * np.exp(1j * smooth_phase(shape, scanner.phase_radians, random))).astype(np.complex64)
    maps = loop_sensitivities(shape, scanner, random)
    deviation = float(values[values > 0.1 * values.max()].mean()) / scanner.signal_to_noise
    noise = random.standard_normal((2, *maps.shape), dtype=np.float32) * np.float32(deviation)
    return Simulated(to_samples(maps * image) + (noise[0] + 1j * noise[1]), image, maps, deviation)


def smooth_phase(shape: tuple[int, int], radians: float, random: np.random.Generator) -> NDArray[np.float32]:
    """Return a random phase (a, b) of the first few spatial frequencies, in radians, as of a field that is uneven."""
    rows, columns = (np.linspace(-1, 1, size)[:, np.newaxis] for size in shape)
    orders = np.arange(4)
    weights = random.standard_normal((4, 4)) / (1 + orders[:, np.newaxis] + orders) ** 1.5
    starts = random.uniform(0, 2 * np.pi, (2, 4))
    phase = np.cos(np.pi / 2 * orders * rows + starts[0]) @ weights @ np.cos(np.pi / 2 * orders * columns + starts[1]).T
    spread = float(phase.std())
    return np.asarray(phase - phase.mean(), dtype=np.float32) * np.float32(radians / spread if spread > 0 else 0.0)


def fat_phase(magnitude: NDArray[np.floating], random: np.random.Generator) -> Complex:
    """Return the factor (a, b) by which fat at another phase than water changes an image (a, b) of magnitudes.

    Fat turns about 3.4 ppm slower than water, so at the echo its phase is off by an angle that depends on field and
    echo time: any, here. It lies under the skin: a rim some per cent of the object wide, and in half of the draws the
    brightest pixels too. Voxels that hold both, at its border, lose signal. Without signal nothing is changed.
    """
    from scipy import ndimage

    object_ = ndimage.binary_fill_holes(magnitude > 0.1 * np.percentile(magnitude, 99))
    if not object_.any():
        return np.ones(magnitude.shape, dtype=np.complex64)
    depth = ndimage.distance_transform_edt(object_)
    fat = object_ & (depth < random.uniform(0.05, 0.3) * depth.max())
    if random.random() < 0.5:
        fat |= magnitude > np.percentile(magnitude[object_], random.uniform(80, 99))
    share = ndimage.gaussian_filter(fat.astype(np.float32), random.uniform(0.3, 0.8))
    return np.asarray(1 - share + share * np.exp(1j * random.uniform(-np.pi, np.pi)), dtype=np.complex64)


def loop_sensitivities(shape: tuple[int, int], scanner: Scanner, random: np.random.Generator) -> Complex:
    """Return receive sensitivities (coils, a, b) of circular loops around the object, by the law of Biot and Savart.

    The receive field of a loop is the conjugate rotating part of its field per unit current (Hoult 2000). Loops stand
    in rings, face the axis, and are shifted, tilted and rotated in phase at random; the sum of squares is made 1.
    """
    coarse = (min(shape[0], _COARSE), min(shape[1], _COARSE))
    rows, columns = (np.linspace(-1, 1, size) for size in coarse)
    points = np.stack([*np.meshgrid(columns, rows), np.zeros(coarse)], axis=-1)
    fields = np.stack([_loop_field(points, *where) for where in _loops(scanner, random)])
    fine = _refined(fields, shape)
    total = np.sqrt(np.sum(np.abs(fine) ** 2, axis=0, keepdims=True))
    return np.asarray(fine / total, dtype=np.complex64)


def _loops(scanner: Scanner, random: np.random.Generator) -> list[tuple[Field, complex]]:
    """Return the corners (segments, 3) and the phase factor of each loop."""
    rings = -(-scanner.coils // _RING)
    start = random.uniform(0, 2 * np.pi)
    turn = np.linspace(0, 2 * np.pi, _SEGMENTS, endpoint=False)
    made: list[tuple[Field, complex]] = []
    for number in range(scanner.coils):
        ring, place = number % rings, number // rings
        around = -(-(scanner.coils - ring) // rings)
        angle = start + 2 * np.pi * (place + ring / rings) / around + random.normal(0, 0.05)
        outwards = np.array([np.cos(angle), np.sin(angle), 0.0])
        across, along = np.array([-np.sin(angle), np.cos(angle), 0.0]), np.array([0.0, 0.0, 1.0])
        height = (ring - (rings - 1) / 2) * 1.5 * scanner.loop_radius + random.normal(0, 0.05)
        centre = outwards * scanner.distance * random.uniform(0.95, 1.05) + along * height
        radius = scanner.loop_radius * random.uniform(0.9, 1.1)
        circle = np.outer(np.cos(turn), across) + np.outer(np.sin(turn), along + random.normal(0, 0.1) * outwards)
        made.append((centre + radius * circle, complex(np.exp(1j * random.uniform(0, 2 * np.pi)))))
    return made


def _loop_field(points: Field, corners: Field, phase: complex) -> NDArray[np.complex128]:
    """Return B_x - i B_y at points (a, b, 3) of a unit current through a closed polygon."""
    pieces = np.roll(corners, -1, axis=0) - corners
    middles = corners + pieces / 2
    field = np.zeros(points.shape[:2], dtype=np.complex128)
    for piece, middle in zip(pieces, middles, strict=True):
        away = points - middle
        cubed = np.maximum(np.sum(away**2, axis=-1), 0.02) ** 1.5  # no pole where a wire would cut the image
        across = np.cross(piece, away) / cubed[..., np.newaxis]
        field += across[..., 0] - 1j * across[..., 1]
    return np.asarray(field * phase)


def _refined(fields: NDArray[np.complex128], shape: tuple[int, int]) -> NDArray[np.complex128]:
    """Interpolate fields (coils, a, b) linearly to a finer grid of the same extent."""
    first, second = (_interpolation(old, size) for old, size in zip(fields.shape[1:], shape, strict=True))
    return np.asarray(first @ fields @ second.T)


def _interpolation(old: int, size: int) -> NDArray[np.float64]:
    """Return the matrix (size, old) of linear interpolation between the ends."""
    places = np.linspace(0, old - 1, size)
    return np.asarray(np.maximum(0.0, 1 - np.abs(places[:, np.newaxis] - np.arange(old))))
