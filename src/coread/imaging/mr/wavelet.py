"""Compressed sensing with wavelets: the image whose Daubechies-4 wavelets are few (Lustig 2007), by FISTA (Beck 2009).

Minimises ``1/2 |A x - y|^2 + weight s |W x|_1`` with s the brightness of the image (see ``encoding.brightness``), so
that a weight means what it means in ``bart pics -R W:3:0:weight``. W is the orthonormal, periodic transform of
Daubechies with four taps in lifting steps (Daubechies and Sweldens 1998, section 7.5): half the arithmetic of
filtering, on whole arrays.
"""

from dataclasses import dataclass

import numpy as np

from coread.imaging.mr.blas import one_blas_thread
from coread.imaging.mr.encoding import Mask, NormalEquations, brightness, check_penalty, encoding, standing_out
from coread.imaging.mr.fourier import Complex

_SMALLEST = 16
"""Sides below this are not split further (as ``bart``)."""
_ROOT = np.float32(np.sqrt(3.0))
_UPDATE = np.float32(np.sqrt(3.0) / 4), np.float32((np.sqrt(3.0) - 2) / 4)
_LOW = np.float32((np.sqrt(3.0) - 1) / np.sqrt(2.0))
"""What the lifting steps leave to multiply: low band by this, high band by its inverse."""
_STILL = -2
"""Where the wavelets lie without cycle spinning: as in ``bart pics -n``."""
DEFAULT_WEIGHT = 0.005
DEFAULT_ITERATIONS = 50
DEFAULT_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Grid:
    """How an image (a, b) is split: the levels, and the sides that divide evenly so often."""

    shape: tuple[int, int]
    padded: tuple[int, int]
    levels: int

    @staticmethod
    def of(shape: tuple[int, int]) -> "Grid":
        """Return the grid for an image: split while the shorter side is 16 or more; sides rounded up with zeros."""
        levels, side = 0, min(shape)
        while side >= _SMALLEST:
            levels, side = levels + 1, (side + 3) // 2
        step = 1 << levels
        return Grid(shape, (-(-shape[0] // step) * step, -(-shape[1] // step) * step), levels)


def l1_wavelet(
    samples: Complex,
    mask: Mask,
    maps: Complex,
    weight: float = DEFAULT_WEIGHT,
    iterations: int = DEFAULT_ITERATIONS,
    *,
    tolerance: float = DEFAULT_TOLERANCE,
    spin: bool = True,
    workers: int = 1,
) -> Complex:
    """Return the image (a, b) of samples (coils, a, b) taken where mask (a, b) says, with coil maps (coils, a, b).

    ``weight`` is relative to the brightness of the image. It ends after ``iterations``, or when the image changed by
    less than ``tolerance`` of its norm. ``spin`` moves the wavelets by some pixels in each iteration, which keeps
    blocks from showing (Figueiredo and Nowak 2003) and the image from coming to rest: then ``iterations`` decide. The
    moves are the same for every call. Raises BadSamples for samples, masks and maps that cannot be used and ValueError
    for a weight or count that cannot be meant.
    """
    check_penalty(weight, iterations)
    encoded = encoding(samples, mask, maps, workers=workers)
    threshold = weight * brightness(np.where(mask, samples, np.complex64(0)))
    with one_blas_thread():
        image = fista(encoded, threshold, iterations, tolerance=tolerance, spin=spin)
    return np.fft.fftshift(image)


def l1_wavelet_of(encoded: NormalEquations, weight: float, iterations: int) -> Complex:
    """Return the image (a, b) of any encoding, weight relative to the brightness of ``A^H y`` over the largest gain."""
    threshold = weight * standing_out(np.abs(encoded.backprojected))
    with one_blas_thread():
        image = fista(encoded, threshold, iterations, tolerance=DEFAULT_TOLERANCE, spin=True)
    return np.fft.fftshift(image)


def fista(encoded: NormalEquations, threshold: float, iterations: int, *, tolerance: float, spin: bool) -> Complex:
    """Minimise with an absolute ``threshold``; the image has moved axes, as ``encoded`` has."""
    a, b = encoded.backprojected.shape
    grid, step = Grid.of((a, b)), 1.0 / encoded.largest
    moves = np.random.default_rng(0).integers(0, 1 << grid.levels, size=(iterations, 2))
    if not spin:
        moves[:] = _STILL
    image = np.zeros_like(encoded.backprojected)
    ahead, momentum = image, 1.0
    for move in moves:
        descended = ahead - np.float32(step) * (encoded.normal(ahead) - encoded.backprojected)
        found = shrunk(descended, grid, np.float32(step * threshold), (int(move[0]), int(move[1])))
        grown = (1.0 + np.sqrt(1.0 + 4.0 * momentum * momentum)) / 2.0
        change = found - image
        ahead = found + np.float32((momentum - 1.0) / grown) * change
        image, momentum = found, grown
        if _norm(change) <= tolerance * _norm(image):
            break
    return image


def shrunk(image: Complex, grid: Grid, threshold: np.float32, move: tuple[int, int]) -> Complex:
    """Return the image with its wavelets made smaller by ``threshold``, the wavelets moved by ``move`` pixels."""
    (a, b), (height, width) = grid.shape, grid.padded
    laid = np.roll(image, (a // 2, b // 2), axis=(0, 1))  # as it lies, so that the padding stands at the border
    if grid.padded != grid.shape:
        laid = np.pad(laid, ((0, height - a), (0, width - b)))
    bands = forward(np.roll(laid, move, axis=(0, 1)), grid.levels)
    for band in bands:
        soften(band, threshold)
    back = np.roll(backward(bands), (-move[0], -move[1]), axis=(0, 1))
    return np.roll(back[:a, :b], (-(a // 2), -(b // 2)), axis=(0, 1))


def soften(values: Complex, threshold: np.float32) -> None:
    """Make magnitudes smaller by ``threshold``, at least 0, and keep phases; in place."""
    if threshold <= 0:
        return
    size = np.square(values.real)
    size += np.square(values.imag)
    np.maximum(size, threshold * threshold, out=size)
    np.sqrt(size, out=size)
    np.divide(-threshold, size, out=size)
    size += np.float32(1)
    values *= size


def forward(image: Complex, levels: int) -> list[Complex]:
    """Return the wavelet coefficients of an image whose sides are multiples of 2^levels.

    From fine to coarse three bands for each level (high along b, high along a, high along both), then the coarse image.
    """
    bands: list[Complex] = []
    low = image
    for _ in range(levels):
        low, across, down, both = (low[i::2, k::2].copy() for i in (0, 1) for k in (0, 1))
        for even, odd in ((low, down), (across, both)):
            _lift(even, odd)
        for even, odd in ((low, across), (down, both)):
            _lift(even.T, odd.T)
        low *= _LOW * _LOW
        both *= 1 / (_LOW * _LOW)
        bands += [across, down, both]
    return [*bands, low]


def backward(bands: list[Complex]) -> Complex:
    """Return the image of wavelet coefficients: inverse and adjoint of ``forward``. The bands are used up."""
    low = bands[-1]
    for k in range(len(bands) - 4, -1, -3):
        across, down, both = bands[k : k + 3]
        low *= 1 / (_LOW * _LOW)
        both *= _LOW * _LOW
        for even, odd in ((low, across), (down, both)):
            _unlift(even.T, odd.T)
        for even, odd in ((low, down), (across, both)):
            _unlift(even, odd)
        whole = np.empty((2 * low.shape[0], 2 * low.shape[1]), dtype=low.dtype)
        whole[0::2, 0::2], whole[0::2, 1::2], whole[1::2, 0::2], whole[1::2, 1::2] = low, across, down, both
        low = whole
    return low


def _lift(even: Complex, odd: Complex) -> None:
    """Turn even and odd samples along the first axis into low and high band, in place and without their scale."""
    part = odd * _ROOT
    even += part
    np.multiply(even, _UPDATE[0], out=part)
    odd -= part
    np.multiply(even, _UPDATE[1], out=part)
    odd[1:] -= part[:-1]
    odd[0] -= part[-1]
    even[:-1] -= odd[1:]
    even[-1] -= odd[0]


def _unlift(even: Complex, odd: Complex) -> None:
    """Undo ``_lift``: its steps in reverse order with their signs turned."""
    even[:-1] += odd[1:]
    even[-1] += odd[0]
    part = even * _UPDATE[1]
    odd[1:] += part[:-1]
    odd[0] += part[-1]
    np.multiply(even, _UPDATE[0], out=part)
    odd += part
    np.multiply(odd, _ROOT, out=part)
    even -= part


def _norm(values: Complex) -> float:
    return float(np.linalg.norm(values))
