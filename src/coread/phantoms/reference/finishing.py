"""From the voxels of a scene to a scanner's image: blur of the kernel, noise, receive field."""

import numpy as np
from numpy.typing import NDArray

from coread.phantoms.reference.scan import Grid, Setup
from coread.phantoms.reference.texture import ct_noise, rician, smoothed


def ct_image(
    values: NDArray[np.float32], grid: Grid, setup: Setup, *, noise_hu: float, kernel_mm: float, stream: int = 0
) -> NDArray[np.float32]:
    """Return Hounsfield units (slices, rows, columns) with blur and noise; ``setup`` overrides the defaults."""
    kernel = kernel_mm if setup.kernel_mm is None else setup.kernel_mm
    deviation = noise_hu if setup.noise is None else setup.noise
    _, down, across = grid.geometry.spacing_mm()
    pixels = (kernel / down, kernel / across)
    blurred = smoothed(values, (0.0, *pixels))
    if deviation <= 0:
        return blurred
    random = np.random.default_rng([setup.seed, 101, stream])
    shape = (values.shape[0], values.shape[1], values.shape[2])
    return np.asarray(blurred + ct_noise(shape, deviation, pixels, random))


def mr_image(
    values: NDArray[np.float32], grid: Grid, setup: Setup, *, noise_percent: float, kernel_mm: float, stream: int = 0
) -> NDArray[np.float32]:
    """Return the magnitude image (slices, rows, columns): blur, Rician noise in per cent of the brightest tissue."""
    kernel = kernel_mm if setup.kernel_mm is None else setup.kernel_mm
    percent = noise_percent if setup.noise is None else setup.noise
    _, down, across = grid.geometry.spacing_mm()
    blurred = smoothed(values, (0.0, kernel / down, kernel / across))
    random = np.random.default_rng([setup.seed, 103, stream])
    return rician(blurred, percent / 100 * float(values.max()), random)
