"""Coil sensitivities from the calibration block: ESPIRiT (Uecker 2014, Magn Reson Med 71:990).

Patches of the calibration block span a small space. The projection onto it, seen in the image, is at each pixel a
Hermitian matrix over the coils whose eigenvector of eigenvalue 1 is the sensitivity; where there is no signal the
largest eigenvalue stays below 1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.imaging.mr.calibration import calibration_samples
from coread.imaging.mr.fourier import Complex


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
    """Fade the maps out by the eigenvalue instead of cutting them off (Soft-SENSE)."""
    iterations: int = 100
    """Most steps of the power iteration at a pixel."""

    def __post_init__(self) -> None:
        if self.kernel < 1 or self.calibration < self.kernel or self.iterations < 1:
            raise ValueError(f"a kernel of {self.kernel} in a calibration block of {self.calibration} samples")
        if not (0 <= self.threshold < 1 and 0 <= self.crop < 1):
            raise ValueError(f"threshold {self.threshold} and crop {self.crop} lie between 0 and 1")


def espirit_maps(
    samples: Complex, mask: NDArray[np.bool_], options: EspiritOptions | None = None, *, workers: int = 1
) -> Complex:
    """Return sensitivities (coils, a, b) of samples (coils, a, b) sampled where mask (a, b) says.

    Over the coils they have norm 1, or 0 outside the object. Their phase is such that the principal component of the
    calibration block (a virtual coil) has phase 0, as ``bart ecalib`` does it. Raises ValueError where the calibration
    block is smaller than the kernel.
    """
    options = options or EspiritOptions()
    block = calibration_samples(samples, mask, options.calibration)
    if block is None or min(block.shape[1:]) < options.kernel:
        raise ValueError(f"no fully sampled block of {options.kernel} x {options.kernel} in the middle of k-space")
    maps, eigenvalues = leading_eigenvectors(_gram_images(block, mask.shape, options), options.iterations)
    maps = maps * _phase_of_principal_coil(maps, block).conj()
    weights = _crop(eigenvalues, options)
    return np.asarray(maps * weights, dtype=np.complex64)


def _gram_images(block: Complex, shape: tuple[int, ...], options: EspiritOptions) -> Complex:
    """Return the Hermitian matrices (coils, coils, a, b) whose eigenvectors are the sensitivities."""
    kernel, coils = options.kernel, len(block)
    patches = np.lib.stride_tricks.sliding_window_view(block, (kernel, kernel), axis=(1, 2))
    matrix = patches.transpose(1, 2, 0, 3, 4).reshape(-1, coils * kernel * kernel)
    values, vectors = np.linalg.eigh(matrix.T @ matrix.conj())
    kept = vectors[:, values > options.threshold * values[-1]]
    projection = (kept @ kept.conj().T).reshape(coils, kernel, kernel, coils, kernel, kernel)
    offsets = 2 * kernel - 1
    lags = np.zeros((coils, coils, offsets, offsets), dtype=np.complex64)
    for p in range(kernel):
        for q in range(kernel):
            top, left = kernel - 1 - p, kernel - 1 - q
            lags[:, :, top : top + kernel, left : left + kernel] += projection[:, :, :, :, p, q].transpose(0, 3, 1, 2)
    lags /= kernel * kernel
    return np.asarray(_waves(shape[0], kernel) @ lags @ _waves(shape[1], kernel).T, dtype=np.complex64)


def _waves(count: int, kernel: int) -> Complex:
    """Return exp(2 pi i x d / N) (count, 2 kernel - 1) for x around the centre of the axis and lags d."""
    places, lags = np.arange(count) - count // 2, np.arange(1 - kernel, kernel)
    return np.exp(2j * np.pi * np.outer(places, lags) / count).astype(np.complex64)


def leading_eigenvectors(gram: Complex, iterations: int) -> tuple[Complex, NDArray[np.float32]]:
    """Return the eigenvectors (coils, a, b) of the largest eigenvalues (a, b) of matrices (coils, coils, a, b)."""
    vectors = np.ones(gram.shape[1:], dtype=np.complex64)
    size = np.ones(gram.shape[2:], dtype=np.float32)
    matrices = np.ascontiguousarray(gram.transpose(2, 3, 0, 1))
    found = np.ascontiguousarray(vectors.transpose(1, 2, 0))[..., None]
    for _ in range(iterations):
        found = matrices @ found
        size = np.linalg.norm(found[..., 0], axis=-1)
        found /= np.maximum(size, np.finfo(np.float32).tiny)[..., None, None]
    return np.ascontiguousarray(found[..., 0].transpose(2, 0, 1)), size.astype(np.float32)


def _phase_of_principal_coil(maps: Complex, block: Complex) -> Complex:
    flat = block.reshape(len(block), -1)
    principal = np.linalg.eigh(flat @ flat.conj().T)[1][:, -1]
    seen = np.einsum("c,cab->ab", principal.conj(), maps)
    size = np.abs(seen)
    return np.where(size > 0, seen / np.maximum(size, np.finfo(np.float32).tiny), 1).astype(np.complex64)


def _crop(eigenvalues: NDArray[np.float32], options: EspiritOptions) -> NDArray[np.float32]:
    if not options.soft:
        return (eigenvalues > options.crop).astype(np.float32)
    height = (np.sqrt(np.maximum(eigenvalues, 0)) - options.crop) / (1 - options.crop)
    height = np.clip(height, -1, 1)
    return np.asarray(0.5 + height / (1 + np.square(height)), dtype=np.float32)
