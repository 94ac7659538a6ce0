"""Do two measurements agree: limits of agreement, intraclass and concordance correlation, repeatability, errors."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from coread.domain.cards import Estimate
from coread.statistics.arrays import Floats, Groups, finite, same_length
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.extras import scipy_part
from coread.statistics.intervals import (
    USUAL,
    Resampling,
    bootstrap_weighted,
    check_level,
    estimate,
    normal_quantile,
    two_sided,
)

_LARGE = 2000
"""From so many pairs on, the normal approximation of the limits' intervals replaces the exact one."""


@dataclass(frozen=True, slots=True)
class BlandAltman:
    """Differences first minus second: bias, limits that hold most of them, and whether they grow with the mean."""

    bias: Estimate
    standard_deviation: float
    lower: Estimate
    upper: Estimate
    slope: Estimate
    """Of the difference on the mean of both: proportional bias."""
    slope_p_value: float


@dataclass(frozen=True, slots=True)
class IntraclassCorrelations:
    """The six forms of Shrout and Fleiss (1979); n counts subjects.

    ``icc1``: every subject has its own raters. ``icc2``: raters are a sample, agreement. ``icc3``: these raters only,
    consistency. The ``k`` forms are for the mean of all raters.
    """

    icc1: Estimate
    icc2: Estimate
    icc3: Estimate
    icc1k: Estimate
    icc2k: Estimate
    icc3k: Estimate


@dataclass(frozen=True, slots=True)
class Repeatability:
    """Spread of repeated measurements of the same subject."""

    within_sd: Estimate
    coefficient: Estimate
    """Two measurements of one subject differ by less in 95 % of pairs (Bland and Altman 1999)."""
    subjects: int
    repeats: int
    """Measurements of a subject; the most that one has, where they differ."""
    measurements: int
    spread_p_value: float | None
    """Does a subject's spread go with its mean (Kendall's tau)? Then one standard deviation does not fit all."""


def bland_altman(first: ArrayLike, second: ArrayLike, *, level: float = 0.95, coverage: float = 0.95) -> BlandAltman:
    """Return bias and limits of agreement; the limits' intervals are exact (Carkeet 2015, noncentral t)."""
    student = scipy_part("stats").t

    one, other = finite(first, what="first"), finite(second, what="second")
    n = same_length(one, other)
    if n < 3:
        raise NotEstimable(f"limits of agreement need at least three pairs, got {n}.")
    check_level(coverage)
    difference, middle = one - other, (one + other) / 2
    bias, spread = float(difference.mean()), float(difference.std(ddof=1))
    half = float(student.ppf(0.5 + level / 2, n - 1)) * spread / np.sqrt(n)
    width = normal_quantile(0.5 + coverage / 2)
    near, far = _limit_factors(n, width, level)
    slope, p_value = _slope(middle, difference, level)
    return BlandAltman(
        bias=estimate(bias, bias - half, bias + half, n),
        standard_deviation=spread,
        lower=estimate(bias - width * spread, bias - far * spread, bias - near * spread, n),
        upper=estimate(bias + width * spread, bias + near * spread, bias + far * spread, n),
        slope=slope,
        slope_p_value=p_value,
    )


def _limit_factors(n: int, width: float, level: float) -> tuple[float, float]:
    """Return by how many standard deviations from the bias the interval of a limit begins and ends."""
    nct = scipy_part("stats").nct

    if n > _LARGE:
        half = two_sided(level) * np.sqrt(1 / n + width**2 / (2 * (n - 1)))
        return width - float(half), width + float(half)
    tails = nct.ppf([(1 - level) / 2, (1 + level) / 2], n - 1, width * np.sqrt(n)) / np.sqrt(n)
    return float(tails[0]), float(tails[1])


def _slope(x: Floats, y: Floats, level: float) -> tuple[Estimate, float]:
    student = scipy_part("stats").t

    n = len(x)
    centred = x - x.mean()
    square = float((centred**2).sum())
    if square <= 0:
        return estimate(0.0, 0.0, 0.0, n), 1.0
    slope = float((centred * y).sum()) / square
    residual = y - y.mean() - slope * centred
    error = float(np.sqrt((residual**2).sum() / (n - 2) / square))
    half = float(student.ppf(0.5 + level / 2, n - 2)) * error
    p_value = float(2 * student.sf(abs(slope) / error, n - 2)) if error > 0 else float(slope == 0)
    return estimate(slope, slope - half, slope + half, n), p_value


def intraclass_correlations(ratings: ArrayLike, *, level: float = 0.95) -> IntraclassCorrelations:
    """Return the six intraclass correlations of ratings (subjects, raters) with their F intervals."""
    table = _rectangle(ratings, least=(2, 2), what="intraclass correlations")
    n, k = table.shape
    between, raters, error, within = _mean_squares(table)
    if within <= 0 or between + within <= 0:
        raise NotEstimable("all ratings of every subject are equal: the ratio of variances is not determined.")
    if between <= 0:
        raise NotEstimable("all subjects have the same mean: there is nothing that ratings could tell apart.")
    one = (between - within) / (between + (k - 1) * within)
    two = (between - error) / (between + (k - 1) * error + k * (raters - error) / n)
    one_low, one_high = _f_bounds(between, within, (n - 1, n * (k - 1)), k, level)
    if error > 0:
        three = (between - error) / (between + (k - 1) * error)
        three_low, three_high = _f_bounds(between, error, (n - 1, (n - 1) * (k - 1)), k, level)
    else:
        three = three_low = three_high = 1.0
    two_low, two_high = _icc2_bounds(between, raters, error, two, (n, k), level)
    return IntraclassCorrelations(
        icc1=estimate(one, one_low, one_high, n),
        icc2=estimate(two, two_low, two_high, n),
        icc3=estimate(three, three_low, three_high, n),
        icc1k=estimate(_stepped(one, k), _stepped(one_low, k), _stepped(one_high, k), n),
        icc2k=estimate(_stepped(two, k), _stepped(two_low, k), _stepped(two_high, k), n),
        icc3k=estimate(_stepped(three, k), _stepped(three_low, k), _stepped(three_high, k), n),
    )


def _mean_squares(table: Floats) -> tuple[float, float, float, float]:
    """Return mean squares between subjects, between raters, of the residual, and within subjects."""
    n, k = table.shape
    rows, columns, middle = table.mean(axis=1), table.mean(axis=0), table.mean()
    between = k * float(((rows - middle) ** 2).sum()) / (n - 1)
    raters = n * float(((columns - middle) ** 2).sum()) / (k - 1)
    within = float(((table - rows[:, None]) ** 2).sum()) / (n * (k - 1))
    residual = table - rows[:, None] - columns[None, :] + middle
    return between, raters, float((residual**2).sum()) / ((n - 1) * (k - 1)), within


def _f_bounds(between: float, error: float, degrees: tuple[int, int], raters: int, level: float) -> tuple[float, float]:
    f = scipy_part("stats").f

    ratio, upper = between / error, 0.5 + level / 2
    low = ratio / float(f.ppf(upper, *degrees))
    high = ratio * float(f.ppf(upper, degrees[1], degrees[0]))
    return (low - 1) / (low + raters - 1), (high - 1) / (high + raters - 1)


def _icc2_bounds(
    between: float, raters: float, error: float, value: float, shape: tuple[int, int], level: float
) -> tuple[float, float]:
    """Return the interval of ICC(2, 1) with Satterthwaite's degrees of freedom (Shrout and Fleiss 1979, p. 424)."""
    f = scipy_part("stats").f

    n, k = shape
    if error <= 0:
        return value, value
    ratio = raters / error
    rest = n * (1 + (k - 1) * value) - k * value
    degrees = (k - 1) * (n - 1) * (k * value * ratio + rest) ** 2
    degrees /= (n - 1) * k**2 * value**2 * ratio**2 + rest**2
    up, down = float(f.ppf(0.5 + level / 2, n - 1, degrees)), float(f.ppf(0.5 + level / 2, degrees, n - 1))
    other = k * raters + (k * n - k - n) * error
    low = n * (between - up * error) / (up * other + n * between)
    return low, n * (down * between - error) / (other + n * down * between)


def _stepped(single: float, k: int) -> float:
    """Return the correlation of means of k ratings (Spearman and Brown)."""
    return k * single / (1 + (k - 1) * single)


def repeatability(measurements: ArrayLike, *, level: float = 0.95) -> Repeatability:
    """Return within-subject standard deviation and repeatability coefficient of measurements (subjects, repeats)."""
    table = _rectangle(measurements, least=(2, 2), what="repeatability")
    return repeatability_of(table.ravel(), np.repeat(np.arange(len(table)), table.shape[1]), level=level)


def repeatability_of(values: ArrayLike, subjects: Groups, *, level: float = 0.95) -> Repeatability:
    """Return the same where subjects were measured unequally often: the residual of a one-way analysis of variance.

    Subjects that were measured once say nothing of it. The interval is that of a variance (chi-square), so it takes
    subjects for independent and their errors for normal.
    """
    chi2 = scipy_part("stats").chi2

    given, names = finite(values), np.asarray(subjects)
    same_length(given, names)
    found = [given[names == name] for name in dict.fromkeys(names.tolist())]
    parts = [part for part in found if len(part) > 1]
    if len(parts) < 2:
        raise NotEstimable(f"repeatability needs at least two subjects that were measured twice, got {len(parts)}.")
    degrees = sum(len(part) - 1 for part in parts)
    spread = float(np.sqrt(sum(float(((part - part.mean()) ** 2).sum()) for part in parts) / degrees))
    low = spread * float(np.sqrt(degrees / chi2.ppf(0.5 + level / 2, degrees)))
    high = spread * float(np.sqrt(degrees / chi2.ppf(0.5 - level / 2, degrees)))
    factor = two_sided(0.95) * float(np.sqrt(2))
    return Repeatability(
        within_sd=estimate(spread, low, high, len(parts)),
        coefficient=estimate(factor * spread, factor * low, factor * high, len(parts)),
        subjects=len(parts),
        repeats=max(len(part) for part in parts),
        measurements=sum(len(part) for part in parts),
        spread_p_value=_goes_with(
            np.array([part.mean() for part in parts]), np.array([part.std(ddof=1) for part in parts])
        ),
    )


def _goes_with(means: Floats, spreads: Floats) -> float | None:
    """Return the p value of Kendall's tau; None where one of them never changes."""
    if np.ptp(means) == 0 or np.ptp(spreads) == 0:
        return None
    return float(scipy_part("stats").kendalltau(means, spreads).pvalue)


def concordance(first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Return the concordance correlation with an interval on Fisher's scale (Lin 1989, corrected 2000)."""
    x, y = finite(first, what="first"), finite(second, what="second")
    n = same_length(x, y)
    if n < 4:
        raise NotEstimable(f"a concordance correlation needs at least four pairs, got {n}.")
    spread_x, spread_y = float(x.var()), float(y.var())
    if spread_x <= 0 or spread_y <= 0:
        raise NotEstimable("one of the measurements never changes, so nothing can be concordant with it.")
    shared = float(((x - x.mean()) * (y - y.mean())).mean())
    r = shared / float(np.sqrt(spread_x * spread_y))
    value = 2 * shared / (spread_x + spread_y + float(x.mean() - y.mean()) ** 2)
    if r == 0 or abs(value) >= 1 - 1e-12:
        return estimate(value, value, value, n)
    shift = float((x.mean() - y.mean()) ** 2) / float(np.sqrt(spread_x * spread_y))
    variance = (
        (1 - r**2) * value**2 * (1 - value**2) / r**2
        + 2 * value**3 * (1 - value) * shift / r
        - value**4 * shift**2 / (2 * r**2)
    ) / (n - 2)
    half = two_sided(level) * float(np.sqrt(max(variance, 0.0))) / (1 - value**2)
    centre = float(np.arctanh(value))
    return estimate(value, float(np.tanh(centre - half)), float(np.tanh(centre + half)), n)


def mean_absolute_error(
    truth: ArrayLike, predicted: ArrayLike, groups: Groups | None = None, *, plan: Resampling = USUAL
) -> Estimate:
    """Return the mean absolute error with a bootstrap interval over patients."""
    return _mean_of(np.abs(_errors(truth, predicted)), groups, plan, root=False)


def root_mean_square_error(
    truth: ArrayLike, predicted: ArrayLike, groups: Groups | None = None, *, plan: Resampling = USUAL
) -> Estimate:
    """Return the root mean square error with a bootstrap interval over patients."""
    return _mean_of(_errors(truth, predicted) ** 2, groups, plan, root=True)


def _errors(truth: ArrayLike, predicted: ArrayLike) -> Floats:
    known, given = finite(truth, what="truth"), finite(predicted, what="predictions")
    same_length(known, given)
    return given - known


def _mean_of(values: Floats, groups: Groups | None, plan: Resampling, *, root: bool) -> Estimate:
    def weighted(weights: Floats) -> Floats:
        means = weights @ values / weights.sum(axis=1)
        return np.asarray(np.sqrt(means) if root else means)

    return bootstrap_weighted(weighted, len(values) if groups is None else groups, plan=plan)


def _rectangle(values: ArrayLike, *, least: tuple[int, int], what: str) -> Floats:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not np.isfinite(table).all():
        raise UnsuitableData(f"{what} need a complete table (subjects, measurements) of finite numbers.")
    if table.shape[0] < least[0] or table.shape[1] < least[1]:
        raise NotEstimable(f"{what} need at least {least[0]} subjects and {least[1]} measurements, got {table.shape}.")
    return table
