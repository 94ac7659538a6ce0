"""From maps of likely places to scores of slices and of the study: the same arithmetic for reading and calibration."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

HIGHEST = 24
"""Pixels whose mean probability stands for a slice."""
TOP = 2
"""Slices whose mean score stands for the study."""
NEIGHBOURS = (1 / 6, 2 / 3, 1 / 6)
"""Weights of the slice below, the slice and the slice above: blood is seldom in one slice alone, noise is."""
_SURE = 1e-4


def place_probabilities(logits: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return how likely each pixel is blood (S, side, side), from logits (S, 1, side, side) of a whole series."""
    from scipy import ndimage

    single = 1 / (1 + np.exp(-np.asarray(logits[:, 0], dtype=np.float32)))
    return np.asarray(ndimage.convolve1d(single, NEIGHBOURS, axis=0, mode="nearest"), dtype=np.float32)


def slice_logits(places: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the score of each slice (S,) from probabilities of places (S, side, side)."""
    flat = places.reshape(len(places), -1)
    count = min(HIGHEST, flat.shape[1])
    highest = np.partition(flat, -count, axis=1)[:, -count:].mean(axis=1, dtype=np.float64)
    return np.asarray(np.log(np.clip(highest, _SURE, 1 - _SURE)) - np.log1p(-np.clip(highest, _SURE, 1 - _SURE)))


def study_logit(logits: NDArray[np.floating[Any]]) -> float:
    """Return the mean of the highest slice logits (S,): one odd slice alone does not make a study suspect."""
    return float(np.mean(np.sort(np.asarray(logits, dtype=np.float64))[-TOP:]))


def carrying(logits: NDArray[np.floating[Any]]) -> list[int]:
    """Return the slices (S,) that make the study's logit, in the order of their places."""
    return sorted(int(row) for row in np.argsort(np.asarray(logits), kind="stable")[-TOP:])
