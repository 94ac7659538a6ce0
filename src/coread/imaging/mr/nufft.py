"""Fourier transform to arbitrary places of k-space and back: gridding with a Kaiser-Bessel kernel (Jackson 1991).

``y_j = 1/sqrt(a b) sum_n x_n exp(-2 pi i k_j (n - N//2) / N)`` with k in cycles per field of view: at whole k the
centred orthonormal transform of ``fourier``. The shape of the kernel follows Beatty 2005, equation 5; the interpolation
is one sparse matrix, made once per trajectory. ``toeplitz_spectrum`` turns adjoint after forward into a convolution
(Fessler 2005), exact up to the accuracy of one adjoint, so that iterations need plain transforms alone.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.imaging.errors import BadSamples, ImageTooLarge
from coread.imaging.mr.fourier import Complex, transforms

Floats = NDArray[np.float32]
Coordinates = NDArray[np.floating[Any]]
OVERSAMPLING = 1.5
WIDTH = 6
"""With these two the largest error is below 1e-4 of the largest value (tests/imaging/mr/test_nufft.py)."""
MOST_WEIGHTS = 1 << 28
"""Entries of the interpolation matrix, 8 bytes each: 2 GiB."""


@dataclass(frozen=True, slots=True, eq=False)
class Nufft:
    """A transform between images (…, a, b) and samples (…, points); see :func:`planned`."""

    shape: tuple[int, int]
    grid: tuple[int, int]
    interpolation: Any
    """Sparse (points, grid points) float32."""
    spread: Any
    """Its transpose, by rows."""
    evened: Floats
    """(a, b): what undoes the kernel's own fall-off, with the norm of the transform; moved axes."""
    workers: int = 1

    def forward(self, images: Complex) -> Complex:
        """Return the samples (…, points) of images (…, a, b)."""
        return self.forward_moved(np.fft.ifftshift(images, axes=(-2, -1)))

    def adjoint(self, samples: Complex) -> Complex:
        """Return the images (…, a, b) of samples (…, points): the adjoint of ``forward``, not its inverse."""
        return np.fft.fftshift(self.adjoint_moved(samples), axes=(-2, -1))

    def forward_moved(self, images: Complex) -> Complex:
        """Return the samples of images whose axes were moved by ifftshift."""
        fft = transforms()
        flat = images.reshape(-1, *self.shape)
        found = np.empty((len(flat), self.interpolation.shape[0]), dtype=np.complex64)
        room = np.zeros(self.grid, dtype=np.complex64)
        for k, image in enumerate(flat):
            for there, here in zip(corners(self.grid, self.shape), corners(self.shape, self.shape), strict=True):
                room[there] = image[here] * self.evened[here]
            seen = fft.fft2(room, workers=self.workers)
            found[k] = _times(self.interpolation, seen.ravel())
        return found.reshape(*images.shape[:-2], -1)

    def adjoint_moved(self, samples: Complex) -> Complex:
        """Return the adjoint with axes moved by ifftshift."""
        fft = transforms()
        flat = samples.reshape(-1, samples.shape[-1])
        images = np.empty((len(flat), *self.shape), dtype=np.complex64)
        for k, values in enumerate(flat):
            grid = _times(self.spread, np.ascontiguousarray(values, dtype=np.complex64)).reshape(self.grid)
            back = fft.ifft2(grid, norm="forward", overwrite_x=True, workers=self.workers)
            for there, here in zip(corners(self.grid, self.shape), corners(self.shape, self.shape), strict=True):
                images[k][here] = back[there] * self.evened[here]
        return images.reshape(*samples.shape[:-1], *self.shape)


def planned(
    coordinates: Coordinates, shape: tuple[int, int], *, oversampling: float = OVERSAMPLING, width: int = WIDTH,
    workers: int = 1,
) -> Nufft:  # fmt: skip
    """Return the transform between images of ``shape`` and samples at ``coordinates`` (…, 2), flattened to points.

    ``coordinates`` are (along a, along b) in cycles per field of view, -N/2 to N/2. Raises BadSamples for coordinates
    that are no pairs, not finite or further out than the image's own k-space, ImageTooLarge for more points than fit
    in memory.
    """
    from scipy.sparse import csr_array

    points = checked(coordinates, shape)
    if len(points) * width * width > MOST_WEIGHTS:
        raise ImageTooLarge(f"{len(points)} points of a trajectory at once; give frames or slices one by one")
    next_fast = transforms().next_fast_len
    grid = tuple(next_fast(int(np.ceil(oversampling * side))) for side in shape)
    places, weights, evened = [], [], []
    for axis in range(2):
        shape_of_kernel = _beta(width, grid[axis] / shape[axis])
        at = points[:, axis] * (grid[axis] / shape[axis])
        first = np.ceil(at - width / 2).astype(np.int64)
        near = first[:, None] + np.arange(width)
        weights.append(_kernel(near - at[:, None], width, shape_of_kernel))
        places.append(near % grid[axis])
        pixels = np.fft.ifftshift(np.arange(shape[axis]) - shape[axis] // 2)
        evened.append(1 / (_fall_off(pixels / grid[axis], width, shape_of_kernel) * np.sqrt(shape[axis])))
    index = (places[0][:, :, None] * grid[1] + places[1][:, None, :]).reshape(len(points), -1)
    values = (weights[0][:, :, None] * weights[1][:, None, :]).astype(np.float32)
    bounds = np.arange(0, index.size + 1, width * width)
    parts = values.ravel(), index.ravel().astype(np.int32), bounds.astype(np.int32)
    matrix = csr_array(parts, shape=(len(points), grid[0] * grid[1]))
    even = np.outer(evened[0], evened[1]).astype(np.float32)
    return Nufft(shape, (grid[0], grid[1]), matrix, matrix.T.tocsr(), even, workers)


def checked(coordinates: Coordinates, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return coordinates (points, 2) in double precision; raises BadSamples where they cannot be meant."""
    if coordinates.ndim < 2 or coordinates.shape[-1] != 2 or coordinates.size == 0:
        raise BadSamples(f"a trajectory is (…, 2) as (row, column); got {coordinates.shape}")
    points = np.asarray(coordinates, dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise BadSamples("coordinates of the trajectory are not finite")
    furthest = np.abs(points).max(axis=0)
    if (furthest > np.array(shape) / 2 + 0.5).any():
        raise BadSamples(
            f"the trajectory reaches {furthest[0]:.1f} x {furthest[1]:.1f} cycles per field of view; an image of "
            f"{shape[0]} x {shape[1]} holds {shape[0] / 2} x {shape[1] / 2}; choose a larger matrix or check the units"
        )
    return points


def toeplitz_spectrum(
    coordinates: Coordinates, density: NDArray[np.floating[Any]] | None, shape: tuple[int, int]
) -> Floats:
    """Return the spectrum (2a, 2b) by which ``adjoint(density * forward(x))`` is a convolution of x padded to (2a, 2b).

    Moved axes; see :func:`convolved`. It is real, since the point spread function is Hermitian.
    """
    points = checked(coordinates, shape)
    double = (2 * shape[0], 2 * shape[1])
    weights = np.ones(len(points)) if density is None else np.asarray(density).reshape(-1)
    spread = planned(2 * points, double).adjoint_moved(weights.astype(np.complex64))
    # the adjoint on the doubled image divides by sqrt(4ab) where the pair of transforms divides by ab
    spectrum = transforms().fft2(spread) * (2.0 / np.sqrt(shape[0] * shape[1]))
    return np.ascontiguousarray(spectrum.real, dtype=np.float32)


def convolved(image: Complex, spectrum: Floats) -> Complex:
    """Return the image (a, b), moved axes, convolved with the point spread function of ``spectrum`` (2a, 2b)."""
    fft = transforms()
    shape, double = image.shape, spectrum.shape
    pairs = list(zip(corners(double, shape), corners(shape, shape), strict=True))
    room = np.zeros(double, dtype=np.complex64)
    for there, here in pairs:
        room[there] = image[here]
    seen = fft.fft2(room, overwrite_x=True)
    seen *= spectrum
    back = fft.ifft2(seen, overwrite_x=True)
    found = np.empty_like(image)
    for there, here in pairs:
        found[here] = back[there]
    return found


def corners(grid: tuple[int, ...], shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """Return where the four parts of an image with moved axes stand in a larger grid with moved axes."""
    parts = []
    for room, side in zip(grid, shape, strict=True):
        positive = side - side // 2  # indices 0 to N - N//2 - 1 hold n = 0 and above
        parts.append((slice(0, positive), slice(room - side // 2, room)))
    return [(top, left) for top in parts[0] for left in parts[1]]


def _times(matrix: Any, values: Complex) -> Complex:
    """Multiply a real sparse matrix with complex values as two real columns, without a complex copy of the matrix."""
    columns = matrix @ values.view(np.float32).reshape(-1, 2)
    return np.ascontiguousarray(columns, dtype=np.float32).view(np.complex64).reshape(-1)


def _beta(width: int, oversampling: float) -> float:
    return float(np.pi * np.sqrt((width / oversampling) ** 2 * (oversampling - 0.5) ** 2 - 0.8))


def _kernel(distance: NDArray[np.float64], width: int, beta: float) -> NDArray[np.float64]:
    from scipy.special import i0e

    inside = np.sqrt(np.maximum(1 - (2 * distance / width) ** 2, 0))
    return np.asarray(i0e(beta * inside) * np.exp(beta * (inside - 1)), dtype=np.float64)


def _fall_off(place: NDArray[np.float64], width: int, beta: float) -> NDArray[np.float64]:
    """Return the Fourier transform of ``_kernel`` at ``place`` in cycles per grid point."""
    inside = np.sqrt(np.complex128(1) * (beta**2 - (np.pi * width * place) ** 2))
    scale = width * np.exp(-beta)  # the kernel is 1 at its centre after division by exp(beta) of i0e
    return np.asarray(scale * (np.sinh(inside) / inside).real, dtype=np.float64)
