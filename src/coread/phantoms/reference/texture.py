"""What keeps tissue from looking like paint: zero-mean textures that are functions of the place, and image noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.phantoms.reference.shapes import Points, Values

_FWHM_PER_SIGMA = 2.3548200450309493


@dataclass(frozen=True, slots=True)
class Waves:
    """A random field of plane waves of about one wavelength; its mean over a large region is nearly 0."""

    seed: int
    amplitude: float
    """Standard deviation."""
    wavelength_mm: float
    count: int = 12

    def __call__(self, points: Points) -> Values:
        """Return the field at points (3, ...)."""
        random = np.random.default_rng([self.seed, 11])
        vectors = random.normal(size=(self.count, 3))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors *= 2 * np.pi / (self.wavelength_mm * random.uniform(0.7, 1.4, (self.count, 1)))
        phases = random.uniform(0, 2 * np.pi, self.count)
        out = np.zeros(points.shape[1:], dtype=np.float32)
        for vector, phase in zip(vectors.astype(np.float32), phases.astype(np.float32), strict=True):
            out += np.cos(vector[0] * points[0] + vector[1] * points[1] + vector[2] * points[2] + phase)
        return np.asarray(out * np.float32(self.amplitude * np.sqrt(2 / self.count)))


def smoothed(volume: NDArray[np.float32], fwhm_pixels: tuple[float, float, float]) -> NDArray[np.float32]:
    """Convolve (slices, rows, columns) with a Gaussian of these widths; edges repeat."""
    out = volume
    for axis, fwhm in enumerate(fwhm_pixels):
        sigma = fwhm / _FWHM_PER_SIGMA
        if sigma < 0.05 or out.shape[axis] == 1:
            continue
        reach = max(1, int(np.ceil(3 * sigma)))
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2).astype(np.float32)
        out = _convolved(out, weights / weights.sum(), axis)
    return out


def _convolved(volume: NDArray[np.float32], weights: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    reach, count = len(weights) // 2, volume.shape[axis]
    wide = np.pad(volume, [(reach, reach) if k == axis else (0, 0) for k in range(3)], mode="edge")
    out = np.zeros_like(volume)
    for k, weight in enumerate(weights):
        window = tuple(slice(k, k + count) if a == axis else slice(None) for a in range(3))
        out += weight * wide[window]
    return out


def ct_noise(
    shape: tuple[int, int, int], deviation: float, fwhm_pixels: tuple[float, float], random: np.random.Generator
) -> NDArray[np.float32]:
    """Return noise of a given standard deviation, HU, without its lowest frequencies, as in filtered back-projection.

    The grain in the plane follows the reconstruction kernel; slices are independent.
    """
    white = random.standard_normal(shape, dtype=np.float32)
    fine = smoothed(white, (0.0, *fwhm_pixels))
    coarse = smoothed(fine, (0.0, 4.0 * max(fwhm_pixels[0], 1.0), 4.0 * max(fwhm_pixels[1], 1.0)))
    grain = fine - coarse
    return np.asarray(grain * np.float32(deviation / max(float(grain.std()), 1e-9)))


def rician(signal: NDArray[np.float32], deviation: float, random: np.random.Generator) -> NDArray[np.float32]:
    """Return the magnitude of a complex signal with noise in both channels (Gudbjartsson and Patz 1995)."""
    if deviation <= 0:
        return signal
    real = signal + np.float32(deviation) * random.standard_normal(signal.shape, dtype=np.float32)
    imaginary = np.float32(deviation) * random.standard_normal(signal.shape, dtype=np.float32)
    return np.asarray(np.hypot(real, imaginary), dtype=np.float32)
