"""What is proved on this very case: samples that were measured, lines that were left out, lesions that were put in.

None of it needs the truth. Measured samples are compared with what the image predicts; lines that the method was not
given, with what it predicts there; and small lesions of known contrast are added to the samples as the scanner would
have measured them, which is exact because the encoding is linear (Chan 2021 and Bhadra 2021 on hallucinations).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.readers.mr_reconstruction.plane import Complex, Made, Mask, Problem

Image = NDArray[np.float32]
_BRIGHT_PERCENTILE = 90.0
_LESION_WIDTH = 1.8
"""Of the radius: the side of the square over which changes of the size of a lesion are averaged."""
_TINY = float(np.finfo(np.float32).tiny)
_LEAST_SIGNAL = 0.3
"""Of the bright tissue: lesions are put where there is signal to change."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesions:
    """Test lesions in one plane."""

    image: Complex
    """(a, b), with the phase that the tissue has at each place."""
    weights: Image
    """(a, b), the sum of their shapes, 1 at each centre."""
    amplitudes: tuple[float, ...]
    centres: tuple[tuple[int, int], ...]
    radius: float


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a reconstruction made of test lesions, as shares of what was put in."""

    weakest: float
    mean: float
    elsewhere: float
    """The largest change of the size of a lesion far from all of them, as a share of the strongest lesion."""


def misfit(problem: Problem, made: Made, where: Mask, noise: float) -> float:
    """Return the root mean square difference of predicted and measured samples at ``where``, in units of the noise.

    1 is the best that can be where lines were left out; what was measured is met more closely. ``noise`` is the
    standard deviation of complex noise. Infinite for images that hold values that are no numbers.
    """
    if not np.isfinite(made.images).all():
        return float("inf")
    apart = np.where(where[:, np.newaxis], problem.predicted(made) - problem.samples, np.complex64(0))
    count = int(np.count_nonzero(where)) * problem.samples.shape[1]
    return float(np.linalg.norm(apart) / np.sqrt(count) / max(noise, _TINY)) if count else 0.0


def contradiction(problem: Problem, made: Made, lesions: Lesions) -> float:
    """Return the largest structure of the size of a lesion that measured samples contradict, in test lesions.

    What the samples say beyond the images is backprojected; a lesion that an image lacks, or has too much, stands out
    there as the test lesions do. Only the part of a structure that was sampled can. Infinite for what is no number.
    """
    from scipy.ndimage import uniform_filter

    if not np.isfinite(made.images).all():
        return float("inf")
    size = max(2, round(_LESION_WIDTH * lesions.radius))
    seen = problem.backprojected(problem.predicted(Made(np.stack([lesions.image] * len(made.images)), problem.maps)))
    left = problem.backprojected(problem.samples - problem.predicted(made))
    one, two = (np.hypot(uniform_filter(part.real, size), uniform_filter(part.imag, size)) for part in (seen, left))
    each = [float(one[at]) / amplitude for at, amplitude in zip(lesions.centres, lesions.amplitudes, strict=True)]
    response = float(np.mean(each)) * max(lesions.amplitudes)
    return float(two.max()) / response if response > 0 else 0.0


def lesions_for(image: Complex, maps: Complex, settings: Mapping[str, Any]) -> Lesions | None:
    """Return lesions for an image (a, b), in the most even tissue that is far from edges and from one another.

    ``settings``: ``count``, ``contrast`` (share of the signal there), ``radius`` (share of the shorter side). ``None``
    where the object is too small for any.
    """
    from scipy.ndimage import binary_erosion, gaussian_filter

    magnitude = np.abs(image)
    radius = max(1.5, float(settings["radius"]) * min(image.shape))
    smooth = gaussian_filter(magnitude, 1.5 * radius)
    spread = np.sqrt(np.maximum(gaussian_filter(magnitude**2, 1.5 * radius) - smooth**2, 0))
    inside = np.asarray(maps.any(axis=0))
    allowed = binary_erosion(inside, iterations=int(np.ceil(3 * radius)))
    allowed &= smooth > _LEAST_SIGNAL * np.percentile(magnitude[inside], _BRIGHT_PERCENTILE) if inside.any() else False
    roughness = np.where(allowed, spread / np.maximum(smooth, np.finfo(np.float32).tiny), np.inf)
    centres: list[tuple[int, int]] = []
    rows, columns = np.indices(image.shape)
    while len(centres) < int(settings["count"]) and np.isfinite(roughness).any():
        row, column = (int(n) for n in np.unravel_index(int(roughness.argmin()), roughness.shape))
        centres.append((row, column))
        roughness[np.hypot(rows - row, columns - column) < 6 * radius] = np.inf
    if not centres:
        return None
    phase = _unit(gaussian_filter(image.real, radius) + 1j * gaussian_filter(image.imag, radius))
    amplitudes = tuple(float(settings["contrast"]) * float(smooth[at]) for at in centres)
    shapes = [np.exp(-((np.hypot(rows - row, columns - column) / radius) ** 4)) for row, column in centres]
    added = np.zeros(image.shape, dtype=np.complex64)
    for amplitude, shape in zip(amplitudes, shapes, strict=True):
        added += (amplitude * shape * phase).astype(np.complex64)
    weights = np.asarray(np.sum(shapes, axis=0), dtype=np.float32)
    return Lesions(added, weights, amplitudes, tuple(centres), radius)


def recovery(lesions: Lesions, before: Image, after: Image) -> Recovery:
    """Return what came of lesions in magnitudes (a, b) of the same plane without and with them."""
    from scipy.ndimage import uniform_filter

    change = after.astype(np.float64) - before
    rows, columns = np.indices(change.shape)
    found: list[float] = []
    far = np.ones(change.shape, dtype=bool)
    for amplitude, (row, column) in zip(lesions.amplitudes, lesions.centres, strict=True):
        away = np.hypot(rows - row, columns - column)
        shape = np.exp(-((away / lesions.radius) ** 4))
        found.append(float((change * shape).sum() / (amplitude * (shape**2).sum())))
        far &= away > 3 * lesions.radius
    size = max(2, round(_LESION_WIDTH * lesions.radius))
    blurred = np.abs(uniform_filter(change, size))[far]
    largest = float(blurred.max()) if blurred.size else 0.0
    return Recovery(min(found), float(np.mean(found)), largest / max(lesions.amplitudes))


def _unit(values: NDArray[np.complexfloating]) -> NDArray[np.complexfloating]:
    size = np.abs(values)
    return np.asarray(np.where(size > 0, values / np.where(size > 0, size, 1), 1))
