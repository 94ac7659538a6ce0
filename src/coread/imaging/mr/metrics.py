"""How far a reconstruction is from the truth: fastMRI's figures, fine detail, and the contrast of a lesion.

NMSE, PSNR and SSIM are those of fastMRI (Zbontar 2018, arXiv:1811.08839, section 5): of whole volumes
``(slices, a, b)`` of magnitudes, with the largest value of the true volume as the range of values. HFEN is the
high-frequency error norm of Ravishankar and Bresler (2011).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import InvalidRecord

Volume = NDArray[np.floating] | NDArray[np.complexfloating]
_SSIM_WINDOW = 7
_K1, _K2 = 0.01, 0.03
_LOG_SIDE, _LOG_SIGMA = 15, 1.5


class BadComparison(InvalidRecord):
    """Two arrays that cannot be compared; the message says why."""


@dataclass(frozen=True, slots=True)
class Quality:
    """The figures of one volume; ``psnr`` in decibel, the others without unit."""

    nmse: float
    psnr: float
    ssim: float
    hfen: float


def quality(truth: Volume, found: Volume) -> Quality:
    """Return all figures of a volume (slices, a, b), or of one slice (a, b); complex arrays count by magnitude."""
    reference, other = _compared(truth, found)
    return Quality(
        nmse(reference, other), psnr(reference, other), ssim(reference, other), hfen(reference, other)
    )  # fmt: skip


def nmse(truth: Volume, found: Volume) -> float:
    """Return the sum of squared differences as a share of the sum of squares of the truth."""
    reference, other = _compared(truth, found)
    return float(np.sum((reference - other) ** 2) / np.sum(reference**2))


def psnr(truth: Volume, found: Volume) -> float:
    """Return the peak signal to noise ratio in dB, with the largest value of the truth; infinite when equal."""
    reference, other = _compared(truth, found)
    squared = float(np.mean((reference - other) ** 2))
    return float("inf") if squared == 0 else float(20 * np.log10(reference.max()) - 10 * np.log10(squared))


def ssim(truth: Volume, found: Volume) -> float:
    """Return the mean over slices of the structural similarity: 7 x 7 uniform window, unbiased variances, borders cut.

    Wang 2004 with K1 0.01, K2 0.03; the range of values is the largest value of the true volume.
    """
    reference, other = _compared(truth, found)
    if min(reference.shape[1:]) < _SSIM_WINDOW:
        raise BadComparison(f"structural similarity needs slices of at least {_SSIM_WINDOW} x {_SSIM_WINDOW}")
    span = float(reference.max())
    return float(np.mean([_ssim_slice(one, two, span) for one, two in zip(reference, other, strict=True)]))


def hfen(truth: Volume, found: Volume) -> float:
    """Return the error of the edges: both filtered by a Laplacian of a Gaussian (15 x 15, sigma 1.5), as a share."""
    from scipy.ndimage import convolve

    reference, other = _compared(truth, found)
    kernel = _edge_kernel()[np.newaxis]
    edges, error = convolve(reference, kernel), convolve(reference - other, kernel)
    return float(np.linalg.norm(error) / np.linalg.norm(edges))


def lesion_contrast(image: Volume, lesion: NDArray[np.bool_], around: NDArray[np.bool_]) -> float:
    """Return the mean inside a lesion less the mean around it, as a share of the mean around (Weber's contrast)."""
    values = np.abs(image)
    if not lesion.any() or not around.any() or (lesion & around).any():
        raise BadComparison("lesion and surroundings are two regions that are not empty and do not overlap")
    beside = float(values[around].mean())
    if not beside > 0:
        raise BadComparison("the surroundings of the lesion have no signal to compare it with")
    return (float(values[lesion].mean()) - beside) / beside


def _compared(truth: Volume, found: Volume) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    reference, other = (np.abs(np.asarray(array)).astype(np.float64) for array in (truth, found))
    if reference.shape != other.shape or reference.ndim not in (2, 3) or not reference.size:
        raise BadComparison(f"volumes of shapes {reference.shape} and {other.shape} cannot be compared")
    if not np.isfinite(reference).all() or not np.isfinite(other).all() or not reference.max() > 0:
        raise BadComparison("values to compare are finite, and the truth has some signal")
    return reference.reshape(-1, *reference.shape[-2:]), other.reshape(-1, *other.shape[-2:])


def _ssim_slice(one: NDArray[np.float64], two: NDArray[np.float64], span: float) -> float:
    from scipy.ndimage import uniform_filter

    count = _SSIM_WINDOW**2
    unbiased = count / (count - 1)
    mean_one, mean_two = uniform_filter(one, _SSIM_WINDOW), uniform_filter(two, _SSIM_WINDOW)
    variance_one = unbiased * (uniform_filter(one * one, _SSIM_WINDOW) - mean_one**2)
    variance_two = unbiased * (uniform_filter(two * two, _SSIM_WINDOW) - mean_two**2)
    shared = unbiased * (uniform_filter(one * two, _SSIM_WINDOW) - mean_one * mean_two)
    small, smaller = (_K1 * span) ** 2, (_K2 * span) ** 2
    above = (2 * mean_one * mean_two + small) * (2 * shared + smaller)
    below = (mean_one**2 + mean_two**2 + small) * (variance_one + variance_two + smaller)
    cut = _SSIM_WINDOW // 2
    return float((above / below)[cut:-cut, cut:-cut].mean())


def _edge_kernel() -> NDArray[np.float64]:
    """Return the Laplacian of a Gaussian as MATLAB's ``fspecial('log', 15, 1.5)`` makes it: its sum is 0."""
    away = np.arange(_LOG_SIDE) - _LOG_SIDE // 2
    squared = away[:, np.newaxis] ** 2 + away**2
    gauss = np.exp(-squared / (2 * _LOG_SIGMA**2))
    gauss /= gauss.sum()
    kernel = gauss * (squared - 2 * _LOG_SIGMA**2) / _LOG_SIGMA**4
    return np.asarray(kernel - kernel.mean())
