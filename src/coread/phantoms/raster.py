"""Small drawing tools on float arrays for phantoms: blur, coloured noise, resizing, distance to curves."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_ROUND_SIZE = 64
Field = NDArray[np.float64]
"""(rows, columns) float64."""


def blurred(field: Field, sigma: float) -> Field:
    """Convolve with a Gaussian of ``sigma`` pixels (edges repeat), by FFT."""
    if sigma <= 0:
        return field
    pad = int(3 * sigma) + 1
    # Padding up to a round size keeps the transform away from large prime factors.
    extra = [(-(n + 2 * pad)) % _ROUND_SIZE for n in field.shape]
    wide = np.pad(field, [(pad, pad + more) for more in extra], mode="edge")
    fy = np.fft.fftfreq(wide.shape[0])[:, np.newaxis]
    fx = np.fft.rfftfreq(wide.shape[1])[np.newaxis, :]
    gain = np.exp(-2 * (np.pi * sigma) ** 2 * (fx**2 + fy**2))
    out = np.fft.irfft2(np.fft.rfft2(wide) * gain, s=wide.shape)
    return np.asarray(out[pad : pad + field.shape[0], pad : pad + field.shape[1]])


def coloured_noise(random: np.random.Generator, shape: tuple[int, int], exponent: float) -> Field:
    """Return unit-variance noise whose amplitude falls as frequency to the power ``-exponent``."""
    fy = np.fft.fftfreq(shape[0])[:, np.newaxis]
    fx = np.fft.rfftfreq(shape[1])[np.newaxis, :]
    frequency = np.sqrt(fx**2 + fy**2)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(random.standard_normal(shape)) / frequency**exponent
    field = np.fft.irfft2(spectrum, s=shape)
    return np.asarray((field - field.mean()) / field.std())


def resized(field: Field, shape: tuple[int, int]) -> Field:
    """Resize with bicubic interpolation."""
    if field.shape == shape:
        return field
    image = Image.fromarray(field.astype(np.float32))
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC), dtype=np.float64)


def resized_mask(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Resize a mask without making new values."""
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.NEAREST)) > 127


def step(value: Field, width: float) -> Field:
    """Return a smooth step: 0 well below zero, 1 well above, over about ``width``."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(4.0 * value / width, -60, 60))))


def tube(distance: Field, radius: float) -> Field:
    """Return the path length through a full cylinder seen from the side."""
    return np.asarray(2.0 * np.sqrt(np.maximum(radius**2 - distance**2, 0.0)))


def hollow_tube(distance: Field, radius: float, wall: float) -> Field:
    """Return the path length through the wall of a hollow cylinder: bright edges, paler middle."""
    return tube(distance, radius) - tube(distance, radius - wall)
