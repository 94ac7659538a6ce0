"""Array types of this room, and the checks that every function applies once at its door."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coread.statistics.errors import NotEstimable, UnsuitableData

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Indices = NDArray[np.intp]
Groups = Sequence[str] | NDArray[Any]
"""The patient (or other cluster) of each image."""


def flags(values: ArrayLike, *, what: str = "truth") -> Flags:
    """Return a one-dimensional boolean array; anything but 0, 1, False and True is refused."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise UnsuitableData(f"{what} must be one-dimensional, got shape {array.shape}.")
    if array.dtype == np.bool_:
        return array
    if not np.isin(array, (0, 1)).all():
        raise UnsuitableData(f"{what} may hold 0 and 1 only; leave cases of unknown truth out before measuring.")
    return array.astype(np.bool_)


def numbers(values: ArrayLike, *, what: str = "scores") -> Floats:
    """Return a one-dimensional float array; NaN is refused (infinite scores are an order like any other)."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise UnsuitableData(f"{what} must be one-dimensional, got shape {array.shape}.")
    if np.isnan(array).any():
        raise UnsuitableData(f"{what} hold NaN; leave these cases out and count them as not analysed.")
    return array


def finite(values: ArrayLike, *, what: str = "values") -> Floats:
    """Return a one-dimensional float array of finite values."""
    array = numbers(values, what=what)
    if not np.isfinite(array).all():
        raise UnsuitableData(f"{what} hold an infinite value.")
    return array


def probabilities_of(values: ArrayLike) -> Floats:
    """Return a one-dimensional float array inside [0, 1]."""
    array = numbers(values, what="probabilities")
    if len(array) and (array.min() < 0 or array.max() > 1):
        raise UnsuitableData("probabilities must lie in [0, 1]; calibrate logits before measuring calibration.")
    return array


def same_length(*arrays: Any) -> int:
    """Return the common length of several arrays; refuses when they differ."""
    lengths = {len(array) for array in arrays}
    if len(lengths) != 1:
        raise UnsuitableData(f"arrays of one analysis differ in length: {sorted(lengths)}.")
    return lengths.pop()


def both_classes(truth: Flags, *, what: str = "an AUC") -> tuple[int, int]:
    """Return the counts of positives and negatives; refuses when one of them is missing."""
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if positives == 0 or negatives == 0:
        raise NotEstimable(f"{what} needs both classes, got {positives} positives and {negatives} negatives.")
    return positives, negatives


def members_of(groups: Groups | None, n: int) -> tuple[Integers, int]:
    """Return the group number of each of ``n`` images, and how many groups there are (None: each its own)."""
    if groups is None:
        return np.arange(n, dtype=np.int64), n
    same_length(groups, range(n))
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    return member.astype(np.int64), len(names)


def starts_of_levels(ordered: Floats) -> Indices:
    """Return where each run of equal values begins in an ordered array (infinite values are equal to themselves)."""
    return np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(ordered) else np.empty(0, dtype=np.intp)


def ends_of_levels(ordered: Floats) -> Indices:
    """Return where each run of equal values ends in an ordered array."""
    return np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if len(ordered) else np.empty(0, dtype=np.intp)


def images_of_groups(member: Integers, groups: int) -> tuple[Indices, Indices, Indices]:
    """Return images in the order of their groups, where each group starts in that order, and its size."""
    sizes = np.bincount(member, minlength=groups)
    return np.argsort(member, kind="stable"), np.cumsum(sizes) - sizes, sizes


def gathered(order: Indices, starts: Indices, sizes: Indices, chosen: Indices) -> Indices:
    """Return the images of the chosen groups, group by group, as often as each group was chosen."""
    lengths = sizes[chosen]
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.asarray(order[np.repeat(starts[chosen], lengths) + within])
