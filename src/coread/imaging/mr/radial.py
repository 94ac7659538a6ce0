"""Images from radial (or any other) trajectories: where spokes lie, how densely, gridding, iterative SENSE.

Coordinates are (…, spokes, readout, 2) as (along a, along b) in cycles per field of view, as ``KSpace.coordinates``;
samples are (coils, spokes, readout). Both are flattened alike, so any trajectory goes in that is listed this way.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.imaging.errors import BadSamples
from coread.imaging.mr.blas import one_blas_thread
from coread.imaging.mr.encoding import PLANE, NormalEquations, check_penalty, summed
from coread.imaging.mr.fourier import Complex
from coread.imaging.mr.nufft import Coordinates, Floats, checked, convolved, planned, toeplitz_spectrum
from coread.imaging.mr.total_variation import tv_of
from coread.imaging.mr.wavelet import l1_wavelet_of

Density = NDArray[np.floating[Any]] | None
GOLDEN_ANGLE = float(np.pi * (np.sqrt(5.0) - 1.0) / 2.0)
"""111.25 degrees: any run of spokes covers the circle nearly evenly (Winkelmann 2007)."""
DEFAULT_ITERATIONS = 10
DEFAULT_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class RadialEncoding:
    """``A^H W A`` and ``A^H W y`` along a trajectory; images have moved axes, as those of ``encoding.Encoding``."""

    maps: Complex
    conjugate: Complex
    spectrum: Floats
    """(2a, 2b), see ``nufft.toeplitz_spectrum``."""
    backprojected: Complex
    largest: float
    workers: int = 1

    def normal(self, image: Complex) -> Complex:
        """Return ``A^H W A image``: a convolution in each coil."""
        return summed(lambda coils: self._of_coils(image, coils), len(self.maps), self.workers)

    def _of_coils(self, image: Complex, coils: range) -> Complex:
        total = np.zeros_like(image)
        for coil in coils:
            total += self.conjugate[coil] * convolved(self.maps[coil] * image, self.spectrum)
        return total


def golden_angles(spokes: int, *, first: int = 0) -> NDArray[np.float64]:
    """Return the angles of spokes ``first`` and on, in radians from the first axis (a) towards the second."""
    return np.asarray((first + np.arange(spokes)) * GOLDEN_ANGLE, dtype=np.float64)


def even_angles(spokes: int) -> NDArray[np.float64]:
    """Return angles that divide half a turn evenly, in radians from the first axis (a) towards the second."""
    return np.asarray(np.arange(spokes) * (np.pi / max(spokes, 1)), dtype=np.float64)


def spokes_at(angles: NDArray[np.float64], side: int, *, readout: int | None = None) -> NDArray[np.float32]:
    """Return coordinates (spokes, readout, 2) of full spokes through the centre of a ``side`` x ``side`` image.

    ``readout`` samples (twice the side where not given: twofold oversampling) reach from -side/2 to below side/2; the
    centre stands at index readout // 2.
    """
    count = 2 * side if readout is None else readout
    if side < 1 or count < 2 or len(angles) < 1:
        raise BadSamples(f"{len(angles)} spokes of {count} samples for a side of {side}")
    radius = (np.arange(count) - count // 2) * (side / count)
    direction = np.stack((np.cos(angles), np.sin(angles)), axis=-1)
    return np.asarray(radius[None, :, None] * direction[:, None, :], dtype=np.float32)


def ramp_density(coordinates: Coordinates) -> NDArray[np.float32]:
    """Return the area of k-space that each sample of evenly spread full spokes (spokes, readout, 2) stands for.

    An annulus is shared by the two ends of all spokes; the centre, by all spokes. Sums to the area of the disc, so that
    gridding gives images in the units of the full transform.
    """
    if coordinates.ndim != 3:
        raise BadSamples(f"the ramp is for spokes (spokes, readout, 2), got {coordinates.shape}; use pipe_menon")
    spokes, readout = coordinates.shape[:2]
    radius = np.hypot(coordinates[..., 0], coordinates[..., 1])
    step = float(np.median(np.hypot(*np.moveaxis(np.diff(coordinates, axis=1), -1, 0)))) if readout > 1 else 1.0
    area = np.where(radius < step / 2, np.pi * (step / 2) ** 2 / spokes, np.pi * radius * step / spokes)
    return np.asarray(area, dtype=np.float32)


def pipe_menon(coordinates: Coordinates, shape: tuple[int, int], *, iterations: int = 15) -> NDArray[np.float32]:
    """Return the density of any trajectory by the iteration of Pipe and Menon (1999): weights whose gridding is even.

    Has the shape of ``coordinates`` without its last axis. A sample on a full Cartesian grid would weigh about 1, so
    gridding gives images in the units of the full transform; where spokes lie further apart than 1 / field of view
    nothing can weigh for the gap, and the image is darker at that resolution.
    """
    points = checked(coordinates, shape)
    plan = planned(points, shape, oversampling=2.0, width=4)
    weights = np.ones(len(points), dtype=np.float32)
    for _ in range(iterations):
        weights /= np.maximum(plan.interpolation @ (plan.spread @ weights), np.float32(1e-12))
    evenly = 1.0 / (float(plan.evened[0, 0]) ** 2 * plan.grid[0] * plan.grid[1])  # what a full grid of ones would give
    weights *= np.float32(evenly)
    return weights.reshape(coordinates.shape[:-1])


def gridded(
    samples: Complex,
    coordinates: Coordinates,
    shape: tuple[int, int],
    *,
    density: Density = None,
) -> Complex:
    """Return coil images (coils, a, b): the adjoint of samples (coils, …) along coordinates (…, 2).

    Weighted by ``density``, by Pipe and Menon's where none is given.
    """
    check_trajectory(samples, coordinates)
    weights = _density(coordinates, shape, density)
    return planned(coordinates, shape).adjoint((samples * weights).reshape(len(samples), -1))


def radial_encoding(
    samples: Complex, coordinates: Coordinates, maps: Complex, *, density: Density = None,
    workers: int = 1,
) -> RadialEncoding:  # fmt: skip
    """Return the normal equations of samples (coils, …, readout) along ``coordinates`` with maps (coils, a, b).

    The residual is weighted by ``density``, by Pipe and Menon's where none is given: iterations then converge in a few
    steps. An array of ones gives the plain least squares. Raises BadSamples for what does not fit or is not finite.
    """
    check_trajectory(samples, coordinates)
    if maps.ndim != 3 or len(maps) != len(samples) or not np.isfinite(maps).all() or not maps.any():
        raise BadSamples(f"coil maps {maps.shape} for {len(samples)} coils must be finite, not all zero, (coils, a, b)")
    shape = (maps.shape[1], maps.shape[2])
    weights = _density(coordinates, shape, density)
    moved = np.fft.ifftshift(maps, axes=PLANE).astype(np.complex64, copy=False)
    conjugate = moved.conj()
    images = planned(coordinates, shape, workers=workers).adjoint_moved((samples * weights).reshape(len(samples), -1))
    backprojected = np.einsum("cab,cab->ab", conjugate, images)
    found = RadialEncoding(
        moved, conjugate, toeplitz_spectrum(coordinates, weights, shape), backprojected, 1.0, workers
    )
    return RadialEncoding(moved, conjugate, found.spectrum, backprojected, _largest(found), workers)


def cg_radial(
    samples: Complex,
    coordinates: Coordinates,
    maps: Complex,
    *,
    weight: float = 0.0,
    iterations: int = DEFAULT_ITERATIONS,
    tolerance: float = DEFAULT_TOLERANCE,
    density: Density = None,
    workers: int = 1,
) -> Complex:
    """Return the image (a, b) by conjugate gradients on the normal equations (Pruessmann 2001).

    ``weight`` of Tikhonov's penalty is relative to the largest eigenvalue. It ends after ``iterations`` or when the
    residual of the normal equations fell to ``tolerance`` of the start.
    """
    check_penalty(weight, iterations)
    encoded = radial_encoding(samples, coordinates, maps, density=density, workers=workers)
    with one_blas_thread():
        return np.fft.fftshift(conjugate_gradients(encoded, weight * encoded.largest, iterations, tolerance))


def l1_wavelet_radial(
    samples: Complex, coordinates: Coordinates, maps: Complex, weight: float, iterations: int, *,
    density: Density = None, workers: int = 1,
) -> Complex:  # fmt: skip
    """Return the image (a, b) with few wavelets; ``weight`` relative to the brightness of the gridded image."""
    check_penalty(weight, iterations)
    encoded = radial_encoding(samples, coordinates, maps, density=density, workers=workers)
    return l1_wavelet_of(encoded, weight, iterations)


def tv_radial(
    samples: Complex, coordinates: Coordinates, maps: Complex, weight: float, iterations: int, *,
    density: Density = None, workers: int = 1,
) -> Complex:  # fmt: skip
    """Return the image (a, b) with few edges; ``weight`` relative to the brightness of the gridded image."""
    check_penalty(weight, iterations)
    encoded = radial_encoding(samples, coordinates, maps, density=density, workers=workers)
    return tv_of(encoded, weight, iterations)


def conjugate_gradients(encoded: NormalEquations, weight: float, iterations: int, tolerance: float) -> Complex:
    """Solve ``(A^H A + weight) x = A^H y``; the image has moved axes, as ``encoded`` has."""
    residual = encoded.backprojected.copy()
    direction, image = residual.copy(), np.zeros_like(residual)
    size = first = float(np.vdot(residual, residual).real)
    for _ in range(iterations):
        if size <= tolerance * tolerance * first:
            break
        seen = encoded.normal(direction) + np.float32(weight) * direction
        step = np.float32(size / float(np.vdot(direction, seen).real))
        image += step * direction
        residual -= step * seen
        before, size = size, float(np.vdot(residual, residual).real)
        direction = residual + np.float32(size / before) * direction
    return image


def check_trajectory(samples: Complex, coordinates: Coordinates) -> None:
    """Raise BadSamples unless samples are (coils, …) along coordinates (…, 2), finite and not all zero."""
    if samples.ndim < 2 or samples.size == 0 or samples.shape[1:] != coordinates.shape[:-1]:
        raise BadSamples(
            f"samples {samples.shape} are (coils, …) for a trajectory (…, 2), but that is {coordinates.shape}; "
            "the trajectory must list one coordinate for every sample"
        )
    if not np.isfinite(samples).all():
        raise BadSamples(f"{int(np.count_nonzero(~np.isfinite(samples)))} of {samples.size} samples are not finite")
    if not samples.any():
        raise BadSamples("every sample is 0")


def _density(coordinates: Coordinates, shape: tuple[int, int], density: Density) -> NDArray[np.float32]:
    if density is None:
        return pipe_menon(coordinates, shape)
    if density.shape != coordinates.shape[:-1] or not np.isfinite(density).all() or density.min() < 0:
        raise BadSamples(f"density {density.shape} for a trajectory {coordinates.shape} must fit it and not be below 0")
    return np.asarray(density, dtype=np.float32)


def _largest(encoded: RadialEncoding) -> float:
    """Return the largest eigenvalue of the normal operator, a little above, by power iteration."""
    image = encoded.backprojected / np.float32(max(float(np.linalg.norm(encoded.backprojected)), 1e-30))
    found = 1.0
    for _ in range(12):
        seen = encoded.normal(image)
        found = float(np.linalg.norm(seen))
        image = seen / np.float32(max(found, 1e-30))
    return 1.05 * found
