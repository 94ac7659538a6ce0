"""Noise of equal strength and without correlation in all coils: pre-whitening by a scan without excitation.

Least squares over coils is the best estimate only for such noise (Roemer 1990; Pruessmann 2001, section "noise
decorrelation").
"""

import numpy as np
from numpy.typing import NDArray

from coread.imaging.errors import BadSamples
from coread.imaging.mr.fourier import Complex


def whitened(samples: Complex, noise: Complex) -> Complex:
    """Return samples (coils, …) as linear combinations whose noise has covariance 1 between the new coils.

    ``noise`` (coils, n) was taken without excitation with the same bandwidth. Raises BadSamples where it does not fit
    or cannot be trusted, see ``whitening_matrix``.
    """
    if len(samples) != len(noise):
        raise BadSamples(f"noise of {len(noise)} coils for samples of {len(samples)}")
    return np.asarray(np.tensordot(whitening_matrix(noise), samples, axes=1), dtype=np.complex64)


def whitening_matrix(noise: Complex) -> Complex:
    """Return the inverse of the lower Cholesky factor of the covariance of noise (coils, n): (coils, coils).

    Raises BadSamples where the noise is not finite, has fewer samples than twice the coils, or where a coil is without
    noise or a combination of others (its covariance has no inverse): such coils must be left out first.
    """
    if noise.ndim != 2 or noise.shape[1] < 2 * len(noise):
        raise BadSamples(f"noise is (coils, n) with n of at least twice the coils, got {noise.shape}")
    if not np.isfinite(noise).all():
        raise BadSamples("the noise scan is not finite")
    covariance = noise_covariance(noise)
    strengths = np.sqrt(np.diagonal(covariance).real)
    if (strengths <= 0).any():
        raise BadSamples(f"coils {np.flatnonzero(strengths <= 0).tolist()} of the noise scan are without noise")
    correlation = covariance / np.outer(strengths, strengths)
    if np.linalg.eigvalsh(correlation)[0] < 1e-6:
        raise BadSamples("two coils of the noise scan hold the same noise: leave one out")
    factor = np.linalg.cholesky(covariance)
    return np.asarray(np.linalg.inv(factor), dtype=np.complex64)


def equalising_matrix(noise: Complex) -> Complex:
    """Return a multiple of ``whitening_matrix``: noise becomes equal in all coils, at its geometric mean.

    Signals so keep the units of the raw data, though each coil is weighted by how quiet it is. Raises BadSamples.
    """
    matrix = whitening_matrix(noise)
    strength = float(np.exp(-np.mean(np.log(np.abs(np.diagonal(matrix))))))
    return np.asarray(matrix * np.float32(strength), dtype=np.complex64)


def noise_covariance(noise: Complex) -> NDArray[np.complex128]:
    """Return the covariance (coils, coils) of noise (coils, n) of mean 0, in the units of the samples squared."""
    exact = noise.astype(np.complex128)
    return np.asarray(exact @ exact.conj().T / exact.shape[1])
