"""Which measured samples a method is not given, to see what it makes of them."""

import numpy as np
from numpy.typing import NDArray

from coread.imaging.mr.calibration import calibration_region

Mask = NDArray[np.bool_]
_SEED = 2101


def left_out(mask: Mask, share: float, number: int) -> Mask:
    """Return ``mask`` (a, b) without a random share of what was sampled outside of the middle; the same each time.

    Whole lines where lines, or the same part of each (an asymmetric echo), were sampled, else single points. At least
    one is left out where any can be.
    """
    kept = mask.copy()
    middle = np.zeros_like(mask)
    if (region := calibration_region(mask)) is not None:
        middle[region] = True
    random = np.random.default_rng([_SEED, number])
    rows, columns = np.asarray(mask.any(axis=1)), np.asarray(mask.any(axis=0))
    by_lines = bool((mask == rows[:, np.newaxis] & columns).all())
    if by_lines and _unbroken(columns):
        free = np.flatnonzero(rows & ~middle.any(axis=1))
        kept[_some(free, share, random)] = False
    elif by_lines and _unbroken(rows):
        free = np.flatnonzero(columns & ~middle.any(axis=0))
        kept[:, _some(free, share, random)] = False
    else:
        free = np.flatnonzero(mask & ~middle)
        kept.flat[_some(free, share, random)] = False
    return kept


def left_out_spokes(mask: Mask, share: float, number: int) -> Mask:
    """Return ``mask`` (spokes, readout) without a random share of whole spokes; the same each time."""
    kept = mask.copy()
    free = np.flatnonzero(mask.any(axis=-1))
    kept[_some(free, share, np.random.default_rng([_SEED, number]))] = False
    return kept


def _unbroken(taken: Mask) -> bool:
    places = np.flatnonzero(taken)
    return bool(places.size) and int(places[-1] - places[0]) + 1 == places.size


def _some(free: NDArray[np.intp], share: float, random: np.random.Generator) -> NDArray[np.intp]:
    count = min(len(free), max(1, round(share * len(free))))
    return random.permutation(free)[:count]
