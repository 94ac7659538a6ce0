"""From the images of many coils to one."""

import numpy as np
from numpy.typing import NDArray

from coread.imaging.mr.fourier import Complex, to_image


def root_sum_of_squares(images: Complex, axis: int = 0) -> NDArray[np.float32]:
    """Return the root of the sum of squared magnitudes over the coils (Roemer 1990); the coil axis is gone."""
    squares = np.square(images.real) + np.square(images.imag)
    return np.asarray(np.sqrt(squares.sum(axis=axis)), dtype=np.float32)


def zero_filled(samples: Complex, *, workers: int = 1) -> NDArray[np.float32]:
    """Return the magnitude image (a, b) of samples (coils, a, b) as if what was not sampled were 0."""
    return root_sum_of_squares(to_image(samples, workers=workers))


def combined(images: Complex, maps: Complex) -> Complex:
    """Return the image (a, b) that explains coil images (coils, a, b) best by maps of the same shape.

    Least squares at each pixel: sum of conj(maps) images over sum of |maps|^2 (Roemer 1990); 0 where all maps are 0.
    """
    if images.shape != maps.shape:
        raise ValueError(f"coil images {images.shape} and maps {maps.shape} must have one shape")
    strength = (np.square(maps.real) + np.square(maps.imag)).sum(axis=0)
    summed = np.einsum("c...,c...->...", maps.conj(), images)
    return np.asarray(np.divide(summed, strength, out=np.zeros_like(summed), where=strength > 0), dtype=np.complex64)
