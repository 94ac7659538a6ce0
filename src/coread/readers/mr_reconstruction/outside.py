"""Where the learned reconstruction ends: what it was not taught on, or what its own checks on this case found."""

from collections.abc import Mapping
from enum import IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.imaging.mr.calibration import calibration_region
from coread.imaging.mr.partial_fourier import one_sided

LEAST_BLOCK = 4
"""Lines and samples without a gap around the centre that the network finds its coils from."""


class Outside(IntFlag):
    """What lies outside of what was validated; several may hold. All but a lost lesion lead to the classical images."""

    NO_NETWORK = 1
    ACCELERATION = 2
    MATRIX = 4
    COILS = 8
    CALIBRATION = 16
    NOISE = 32
    TRAJECTORY = 64
    DYNAMIC = 128
    RESIDUAL = 256
    HELD_OUT = 512
    LESION_LOST = 1024
    LESION_ADDED = 2048
    ONE_SIDED = 4096
    LESION_LESS = 8192
    UNTRIED = 16384


WORDS: dict[Outside, str] = {
    Outside.NO_NETWORK: "the package holds no network",
    Outside.ACCELERATION: "the acceleration is not one that the network was taught on",
    Outside.MATRIX: "the matrix is not of a size that the network was taught on",
    Outside.COILS: "the number of coils is not one that the network was taught on",
    Outside.CALIBRATION: "the middle of k-space was taken apart from the image, or is too small for the network",
    Outside.NOISE: "there is more noise than in what the network was taught on",
    Outside.TRAJECTORY: "the way through k-space is not Cartesian",
    Outside.DYNAMIC: "images over time are reconstructed together, by the classical method",
    Outside.RESIDUAL: "the learned images contradict the measured samples more than the classical ones",
    Outside.HELD_OUT: "the learned images predict lines that were left out worse than the classical ones",
    Outside.LESION_LOST: "a test lesion came out too weak in the delivered images: small lesions may be missed",
    Outside.LESION_ADDED: "a test lesion that was put into the samples changed the learned images elsewhere",
    Outside.ONE_SIDED: "one side of k-space was left out (partial Fourier), which the network was not taught on",
    Outside.LESION_LESS: "the learned images kept less of a test lesion than the classical ones",
    Outside.UNTRIED: "no test lesion fits into the object, so the learned images could not be tried out",
}


def before_reconstruction(
    taught: Mapping[str, Any] | None, mask: NDArray[np.bool_], coils: int, signal_to_noise: float
) -> Outside:
    """Return what speaks against the network before it runs; ``taught`` are the ranges of its package, if it has one.

    ``mask`` is (planes, a, b); ``signal_to_noise`` the mean of the object over the standard deviation of the real part.
    """
    if taught is None:
        return Outside.NO_NETWORK
    found = Outside(0)
    low, high = taught["acceleration"]
    if not low <= acceleration_of(mask) <= high:
        found |= Outside.ACCELERATION
    shortest, longest = taught["side"]
    if min(mask.shape[1:]) < shortest or max(mask.shape[1:]) > longest:
        found |= Outside.MATRIX
    fewest, most = taught["coils"]
    if not fewest <= coils <= most:
        found |= Outside.COILS
    if signal_to_noise < float(taught["signal_to_noise"]):
        found |= Outside.NOISE
    if any(not _has_block(plane) for plane in mask):
        found |= Outside.CALIBRATION
    if any(one_sided(np.asarray(plane.any(axis=axis))) for plane in mask for axis in (0, 1)):
        found |= Outside.ONE_SIDED
    return found


def acceleration_of(mask: NDArray[np.bool_]) -> float:
    """Return how many times fewer samples were taken than the planes (planes, a, b) have."""
    return float(mask.size / max(int(np.count_nonzero(mask)), 1))


def words_of(found: Outside) -> list[str]:
    """Return each reason as people read it."""
    return [text for flag, text in WORDS.items() if flag in found]


def _has_block(mask: NDArray[np.bool_]) -> bool:
    region = calibration_region(mask)
    return region is not None and min(part.stop - part.start for part in region) >= LEAST_BLOCK
