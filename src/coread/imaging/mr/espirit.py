"""Coil sensitivities from the calibration block: ESPIRiT (Uecker 2014, Magn Reson Med 71:990).

Patches of the calibration block span a small space. The projection onto it, seen in the image, is at each pixel a
Hermitian matrix over the coils whose eigenvector of eigenvalue 1 is the sensitivity; where there is no signal the
largest eigenvalue stays below 1. That matrix is a trigonometric polynomial of few lags, so it is evaluated row by row
with two small matrix products instead of a Fourier transform of every kernel.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.imaging.errors import BadSamples, NoCalibration
from coread.imaging.mr.blas import one_blas_thread
from coread.imaging.mr.calibration import calibration_samples
from coread.imaging.mr.eigenvectors import Leading, Reals, leading_eigenvectors
from coread.imaging.mr.fourier import Complex

_CACHED = 160_000
"""Matrix elements that are worked on at once: at 8 coils that is 8 rows of 320 pixels."""


@dataclass(frozen=True, slots=True)
class EspiritOptions:
    """How sensitivities are estimated; the defaults are those of ``bart ecalib``."""

    kernel: int = 6
    """Side of the patches in samples."""
    calibration: int = 24
    """Largest side of the calibration block that is used, in samples."""
    threshold: float = 0.001
    """Directions of the patches below this part of the largest eigenvalue of their Gram matrix count as noise."""
    crop: float = 0.8
    """Maps are 0 where the largest eigenvalue is not above this."""
    soft: bool = False
    """Fade the maps out by the eigenvalue instead of cutting them off (``bart ecalib -S``)."""

    def __post_init__(self) -> None:
        if self.kernel < 1 or self.calibration < self.kernel:
            raise ValueError(f"a kernel of {self.kernel} in a calibration block of {self.calibration} samples")
        if not (0 <= self.threshold < 1 and 0 <= self.crop < 1):
            raise ValueError(f"threshold {self.threshold} and crop {self.crop} lie between 0 and 1")

    @property
    def floor(self) -> float:
        """Return the eigenvalue up to which a map is 0 for certain."""
        return max(2 * self.crop - 1, 0.0) ** 2 if self.soft else self.crop


def espirit_maps(
    samples: Complex, mask: NDArray[np.bool_], options: EspiritOptions | None = None, *, workers: int = 1
) -> Complex:
    """Return sensitivities (coils, a, b) of samples (coils, a, b) sampled where mask (a, b) says.

    Over the coils they have norm 1 (less where ``soft`` fades them), or 0 outside the object. Their phase is such that
    the principal component of the calibration block, a virtual coil, has phase 0, as ``bart ecalib`` does it but for
    one phase of the whole map: the largest coefficient of that coil is real and positive here. ``workers``: threads.
    Raises BadSamples for shapes that do not fit, NoCalibration where the calibration block is smaller than the kernel
    or holds no signal.
    """
    options = options or EspiritOptions()
    if samples.ndim != 3 or samples.shape[1:] != mask.shape:
        raise BadSamples(f"samples are (coils, a, b) and the mask is (a, b); got {samples.shape} and {mask.shape}")
    block = calibration_samples(samples, mask, options.calibration)
    if block is None or min(block.shape[1:]) < options.kernel:
        raise NoCalibration(f"{options.kernel} x {options.kernel} samples in the middle of k-space are needed")
    if not np.isfinite(block).all() or not block.any():
        raise NoCalibration("the middle of k-space is 0 or not finite")
    with one_blas_thread():
        return _maps(block, mask.shape, options, workers)


def _maps(block: Complex, shape: tuple[int, ...], options: EspiritOptions, workers: int) -> Complex:
    """Return the maps (coils, a, b) of an image of ``shape`` (a, b) from its calibration block."""
    (height, width), coils, principal = shape, len(block), _principal_coil(block)
    lags = _lag_matrices(block, options)
    rows = np.tensordot(_waves(height, options.kernel), lags, axes=(1, 2)).reshape(height, coils**2, -1)
    across = _waves(width, options.kernel).T
    across_parts = np.concatenate([across.real, across.imag])
    maps = np.zeros((coils, height, width), dtype=np.complex64)
    step = max(1, _CACHED // (coils**2 * width))

    def fill(top: int) -> None:
        part = slice(top, top + step)
        maps[:, part] = _maps_of_rows(rows[part], across_parts, principal, options)

    with ThreadPoolExecutor(max(workers, 1)) as pool:
        list(pool.map(fill, range(0, height, step)))
    return maps


def _lag_matrices(block: Complex, options: EspiritOptions) -> Complex:
    """Return the projection onto signal summed over pairs of samples of one distance: (coils, coils, lags, lags)."""
    kernel, coils = options.kernel, len(block)
    patches = np.lib.stride_tricks.sliding_window_view(block, (kernel, kernel), axis=(1, 2))
    matrix = patches.transpose(1, 2, 0, 3, 4).reshape(-1, coils * kernel * kernel)
    kept = _signal_directions(matrix.T @ matrix.conj(), options.threshold)
    projection = (kept @ kept.conj().T).reshape(coils, kernel, kernel, coils, kernel, kernel)
    count = 2 * kernel - 1
    lags = np.zeros((coils, coils, count, count), dtype=np.complex64)
    for p in range(kernel):
        for q in range(kernel):
            top, left = kernel - 1 - p, kernel - 1 - q
            lags[:, :, top : top + kernel, left : left + kernel] += projection[:, :, :, :, p, q].transpose(0, 3, 1, 2)
    return lags / np.float32(kernel * kernel)


def _signal_directions(gram: Complex, threshold: float) -> Complex:
    """Return the eigenvectors (n, kept) of a Gram matrix above ``threshold`` of its largest eigenvalue.

    LAPACK's heevr finds only those: a quarter of the time of all of them by ``numpy.linalg.eigh`` (8 coils, 6 x 6).
    """
    from scipy import linalg

    count = len(gram)
    largest = float(linalg.eigh(gram, eigvals_only=True, subset_by_index=(count - 1, count - 1), check_finite=False)[0])
    bounds = (threshold * largest, np.inf)
    return np.asarray(linalg.eigh(gram, subset_by_value=bounds, check_finite=False)[1], dtype=np.complex64)


def _waves(count: int, kernel: int) -> Complex:
    """Return exp(2 pi i x d / N) (count, 2 kernel - 1) for x around the centre of the axis and lags d."""
    places, lags = np.arange(count) - count // 2, np.arange(1 - kernel, kernel)
    return np.asarray(np.exp(2j * np.pi * np.outer(places, lags) / count), dtype=np.complex64)


def _principal_coil(block: Complex) -> Complex:
    """Return the weights (coils,) of the virtual coil that holds most of the signal, the largest of them positive."""
    flat = block.reshape(len(block), -1)
    weights = np.linalg.eigh(flat @ flat.conj().T)[1][:, -1]
    largest = weights[np.abs(weights).argmax()]
    return np.asarray(weights * (largest.conj() / np.abs(largest)), dtype=np.complex64)


def _maps_of_rows(rows: Complex, across: Reals, principal: Complex, options: EspiritOptions) -> Complex:
    """Return maps (coils, rows, b) where ``rows`` (rows, coils^2, lags) are evaluated at ``across`` (2 lags, b)."""
    coils, width = len(principal), across.shape[1]
    real = np.concatenate([rows.real, -rows.imag], axis=2) @ across
    imaginary = np.concatenate([rows.imag, rows.real], axis=2) @ across
    gram = np.stack([real, imaginary]).transpose(0, 2, 1, 3).reshape(2, coils * coils, -1)
    inside = np.flatnonzero(np.einsum("pin,pin->n", gram, gram) > options.floor**2)
    maps = np.zeros((coils, len(rows) * width), dtype=np.complex64)
    if inside.size:  # elsewhere the Frobenius norm, and so every eigenvalue, is too small
        found = leading_eigenvectors(np.take(gram, inside, axis=-1).reshape(2, coils, coils, -1))
        maps[:, inside] = _weighted(found, principal, options)
    return maps.reshape(coils, len(rows), width)


def _weighted(found: Leading, principal: Complex, options: EspiritOptions) -> Complex:
    vectors = found.vectors[0] + 1j * found.vectors[1]
    seen = principal.conj() @ vectors
    size = np.abs(seen)
    turn = np.where(size > 0, seen.conj() / np.maximum(size, np.finfo(np.float32).tiny), 1)
    return np.asarray(vectors * (turn * _crop(found.values, options)), dtype=np.complex64)


def _crop(eigenvalues: Reals, options: EspiritOptions) -> Reals:
    """Return 1 inside and 0 outside; soft: a smooth step of the root of the eigenvalue, as in BART."""
    if not options.soft:
        return (eigenvalues > options.crop).astype(np.float32)
    height = (np.sqrt(np.maximum(eigenvalues, 0)) - options.crop) / (1 - options.crop)
    height = np.clip(height, -1, 1)
    return np.asarray(0.5 + height / (1 + np.square(height)), dtype=np.float32)
