"""What a scanner measures of an image: coil maps, Fourier transform, mask; and the normal equations of that.

Everything iterative needs only ``A^H y`` and ``A^H A x`` of ``A = mask F maps``. Both are held here without a phase
ramp or shift per iteration: with the axes moved once (ifftshift) the centred transform is the plain one. Where the mask
is the same at every readout sample the transform along the readout cancels in ``A^H A`` and is left out: half the work.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from coread.imaging.errors import BadSamples
from coread.imaging.mr.fourier import Complex, to_image, transforms

Mask = NDArray[np.bool_]
PLANE = (-2, -1)
_COILS_AT_ONCE = 2
_SCALE_SIDE = 32
"""Side of the middle of k-space from which the brightness of the image is judged, as ``bart pics`` does."""


class NormalEquations(Protocol):
    """What iterative methods need of any encoding; images are (a, b) with moved axes."""

    @property
    def backprojected(self) -> Complex:
        """Return ``A^H y``."""

    @property
    def largest(self) -> float:
        """Return a bound of the eigenvalues of ``A^H A``."""

    def normal(self, image: Complex) -> Complex:
        """Return ``A^H A image``."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """``A`` of one slice; images go in and out with moved axes (ifftshift), see :func:`encoding`."""

    maps: Complex
    """(coils, a, b), moved."""
    conjugate: Complex
    kept: NDArray[np.float32]
    """The mask, moved: 1 where sampled; (a, 1) or (1, b) where one axis needs no transform."""
    axes: tuple[int, ...]
    """The axes that the normal operator transforms."""
    backprojected: Complex
    """``A^H y`` (a, b), moved."""
    largest: float
    """Bound of the eigenvalues of ``A^H A``: the largest sum of squared sensitivities over a pixel."""
    workers: int = 1
    """Threads."""

    def normal(self, image: Complex) -> Complex:
        """Return ``A^H A image``, both (a, b) and moved."""
        return summed(lambda coils: self._of_coils(image, coils), len(self.maps), self.workers)

    def _of_coils(self, image: Complex, coils: range) -> Complex:
        fft = transforms()
        total = np.zeros_like(image)
        for coil in coils:  # one coil at a time stays in the processor's cache
            seen = fft.fftn(self.maps[coil] * image, axes=self.axes, overwrite_x=True)
            seen *= self.kept
            back = fft.ifftn(seen, axes=self.axes, overwrite_x=True)
            back *= self.conjugate[coil]
            total += back
        return total


def summed(of_coils: Callable[[range], Complex], coils: int, workers: int) -> Complex:
    """Return the sum over all coils; sums of few coils are added in their order, so threads do not change a bit."""
    groups = [range(first, min(first + _COILS_AT_ONCE, coils)) for first in range(0, coils, _COILS_AT_ONCE)]
    if min(workers, len(groups)) < 2:
        return _added(map(of_coils, groups))
    with ThreadPoolExecutor(workers) as pool:
        return _added(pool.map(of_coils, groups))


def _added(parts: Iterator[Complex]) -> Complex:
    total = next(parts)
    for part in parts:
        total += part
    return total


def encoding(samples: Complex, mask: Mask, maps: Complex, *, workers: int = 1) -> Encoding:
    """Return the encoding of samples (coils, a, b), taken where mask (a, b) says, with maps (coils, a, b).

    Raises BadSamples for shapes that do not fit, samples or maps that are not finite, and a mask or samples with
    nothing in them.
    """
    check_samples(samples, mask)
    check_maps(samples, maps)
    moved = np.fft.ifftshift(maps, axes=PLANE).astype(np.complex64, copy=False)
    conjugate = moved.conj()
    images = to_image(np.where(mask, samples, np.complex64(0)), workers=workers)
    backprojected = np.einsum("cab,cab->ab", conjugate, np.fft.ifftshift(images, axes=PLANE))
    kept, axes = lean(np.fft.ifftshift(mask).astype(np.float32))
    largest = float(np.square(np.abs(moved)).sum(axis=0).max())
    return Encoding(moved, conjugate, kept, axes, backprojected, largest, workers)


def lean(kept: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[int, ...]]:
    """Return the mask (…, a, b) along the axes that must be transformed alone, and these axes."""
    if (kept == kept[..., :1]).all():
        return kept[..., :1], (-2,)
    if (kept == kept[..., :1, :]).all():
        return kept[..., :1, :], (-1,)
    return kept, PLANE


def check_samples(samples: Complex, mask: Mask) -> None:
    """Raise BadSamples unless samples are (…, a, b), finite where mask (a, b) says, and not all zero there."""
    if samples.ndim < 3 or samples.size == 0 or mask.shape != samples.shape[-2:]:
        raise BadSamples(f"samples are (coils, a, b) and the mask is (a, b); got {samples.shape} and {mask.shape}")
    if not mask.any():
        raise BadSamples("the mask says that nothing was sampled")
    taken = samples[..., mask]
    if not np.isfinite(taken).all():
        wrong = int(np.count_nonzero(~np.isfinite(taken)))
        raise BadSamples(f"{wrong} of {taken.size} samples are not finite; leave their lines out of the mask")
    if not taken.any():
        raise BadSamples("every sample is 0")


def check_maps(samples: Complex, maps: Complex) -> None:
    """Raise BadSamples unless coil maps have the shape of the samples, are finite and not all zero."""
    if maps.shape != samples.shape:
        raise BadSamples(f"coil maps {maps.shape} for samples {samples.shape}")
    if not np.isfinite(maps).all() or not maps.any():
        raise BadSamples("coil maps are not finite or all zero")


def check_penalty(weight: float, iterations: int) -> None:
    """Raise ValueError for a weight below 0 or not finite and for fewer than one iteration."""
    if not np.isfinite(weight) or weight < 0 or iterations < 1:
        raise ValueError(f"weight {weight} must be 0 or more and iterations {iterations} at least 1")


def brightness(samples: Complex) -> float:
    """Return how bright the image of samples (coils, a, b) is: what weights of penalties are relative to.

    The rule of ``bart pics`` (`estimate_scaling`): the root sum of squares of the middle 32 x 32 samples, and of its
    values the 90th percentile, or the largest where that stands out by more than twice the distance from the median
    to the percentile. The same weight then means the same for every scanner's units.
    """
    a, b = samples.shape[-2:]
    height, width = min(_SCALE_SIDE, a), min(_SCALE_SIDE, b)
    top, left = a // 2 - height // 2, b // 2 - width // 2
    images = to_image(samples[..., top : top + height, left : left + width])
    values = np.sqrt(np.square(np.abs(images)).sum(axis=0)) * np.sqrt(height * width / (a * b))
    found = standing_out(values)
    return found if found > 0 else float(np.abs(samples).max())


def standing_out(values: NDArray[np.floating[Any]]) -> float:
    """Return the 90th percentile of magnitudes, or the largest where that stands out (see ``brightness``)."""
    values = np.sort(values, axis=None)
    middle, high, most = values[values.size // 2], values[int(values.size * 0.9)], values[-1]
    return float(high if most - high < 2 * (high - middle) else most)
