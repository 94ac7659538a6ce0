"""Straight lines between two methods that both err: Deming and Passing-Bablok regression."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from coread.domain.cards import Estimate
from coread.statistics.arrays import Floats, finite, same_length
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.extras import scipy_part
from coread.statistics.intervals import estimate, two_sided


@dataclass(frozen=True, slots=True)
class Line:
    """y = intercept + slope * x; the methods agree where the intervals hold 0 and 1."""

    slope: Estimate
    intercept: Estimate


def deming(x: ArrayLike, y: ArrayLike, *, variance_ratio: float = 1.0, level: float = 0.95) -> Line:
    """Fit with errors in both methods (Deming 1943); jackknife intervals (Linnet 1993).

    ``variance_ratio``: error variance of y divided by that of x.
    """
    if variance_ratio <= 0:
        raise UnsuitableData("a ratio of variances is positive.")
    one, other = finite(x, what="x"), finite(y, what="y")
    n = same_length(one, other)
    if n < 4:
        raise NotEstimable(f"Deming regression needs at least four pairs, got {n}.")
    slope, intercept = _deming(one, other, variance_ratio)
    left = np.array([_deming(np.delete(one, k), np.delete(other, k), variance_ratio) for k in range(n)])
    return _jackknifed(np.array([slope, intercept]), left, level)


def passing_bablok(x: ArrayLike, y: ArrayLike, *, level: float = 0.95) -> Line:
    """Fit by the shifted median of all pairwise slopes (Passing and Bablok 1983); for positively related methods."""
    one, other = finite(x, what="x"), finite(y, what="y")
    n = same_length(one, other)
    if n < 4:
        raise NotEstimable(f"Passing-Bablok regression needs at least four pairs, got {n}.")
    first, second = np.triu_indices(n, 1)
    run, rise = one[second] - one[first], other[second] - other[first]
    kept = (run != 0) | (rise != 0)
    run, rise = run[kept], rise[kept]
    with np.errstate(divide="ignore"):
        slopes = np.where(run == 0, np.copysign(np.inf, rise), rise / np.where(run == 0, 1.0, run))
    slopes = np.sort(slopes[slopes != -1.0])
    offset = int((slopes < -1).sum())
    count = len(slopes)
    if count < 3:
        raise NotEstimable("too few different pairs for a slope.")
    half = two_sided(level) * float(np.sqrt(n * (n - 1) * (2 * n + 5) / 18))
    low = max(round((count - half) / 2), 1)
    high = min(count - low + 1, count)

    def at(place: int) -> float:
        return float(slopes[min(max(place + offset, 1), count) - 1])

    middle = at((count + 1) // 2) if count % 2 else (at(count // 2) + at(count // 2 + 1)) / 2
    bounds = at(low), at(high)
    if not np.isfinite([middle, *bounds]).all():
        raise NotEstimable("the methods rise together too rarely for a bounded slope.")
    cuts = [float(np.median(other - slope * one)) for slope in (middle, *bounds)]
    return Line(
        estimate(middle, bounds[0], bounds[1], n), estimate(cuts[0], min(cuts[1], cuts[2]), max(cuts[1], cuts[2]), n)
    )


def _deming(x: Floats, y: Floats, ratio: float) -> tuple[float, float]:
    spread_x, spread_y = float(x.var(ddof=1)), float(y.var(ddof=1))
    shared = float(np.cov(x, y)[0, 1])
    if shared == 0:
        raise NotEstimable("the methods are not related: no line between them.")
    gap = spread_y - ratio * spread_x
    slope = (gap + float(np.sqrt(gap**2 + 4 * ratio * shared**2))) / (2 * shared)
    return slope, float(y.mean() - slope * x.mean())


def _jackknifed(values: Floats, left: Floats, level: float) -> Line:
    student = scipy_part("stats").t

    n = len(left)
    pseudo = n * values - (n - 1) * left
    errors = pseudo.std(axis=0, ddof=1) / np.sqrt(n)
    half = float(student.ppf(0.5 + level / 2, n - 2)) * errors
    make: Callable[[int], Estimate] = lambda k: estimate(  # noqa: E731
        float(values[k]), float(values[k] - half[k]), float(values[k] + half[k]), n
    )
    return Line(make(0), make(1))
