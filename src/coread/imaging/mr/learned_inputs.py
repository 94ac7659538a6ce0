"""What a learned reconstruction is given besides samples: the tapered calibration block, and the scale of values."""

import numpy as np
from numpy.typing import NDArray

from coread.imaging.mr.calibration import calibration_region

Complex = NDArray[np.complex64]
MOST_LINES = 32
"""Coils are smooth: a larger block would only add the object's own detail and noise to their sensitivities."""
_TAPER = 4.0
_GRID = 64


def tapered_block(samples: Complex, mask: NDArray[np.bool_], most: tuple[int, int]) -> Complex | None:
    """Return the calibration block (coils, m, n) of samples (coils, a, b), at most so many lines, or None.

    Index ``m // 2`` is the centre of k-space; values fall to the edges by a Kaiser window (beta 4), against ringing.
    """
    region = calibration_region(mask)
    if region is None:
        return None
    block, windows = [], []
    for part, size, limit in zip(region, mask.shape, most, strict=True):
        count = min(limit, part.stop - part.start)
        first = size // 2 - count // 2
        block.append(slice(first, first + count))
        windows.append(np.kaiser(count, _TAPER))
    return np.asarray(samples[:, block[0], block[1]] * np.outer(*windows), dtype=np.complex64)


def scale_of(block: Complex, shape: tuple[int, int]) -> float:
    """Return the largest value of the root of sum of squares of the images of a calibration block (coils, m, n).

    ``shape`` is that of the whole k-space (a, b): values are those of its orthonormal transform.
    """
    from scipy import fft

    coils, height, width = block.shape
    grid = np.zeros((coils, _GRID, _GRID), dtype=np.complex64)
    top, left = _GRID // 2 - height // 2, _GRID // 2 - width // 2
    grid[:, top : top + height, left : left + width] = block
    images = fft.ifft2(grid, axes=(-2, -1)) * _GRID**2 / np.sqrt(shape[0] * shape[1])
    return float(np.sqrt(np.sum(np.abs(images) ** 2, axis=0)).max())
