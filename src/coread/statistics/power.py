"""How many patients and readers a study needs: areas, proportions, pairs, reader studies. Tests are two-sided."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.extras import scipy_part
from coread.statistics.intervals import normal_quantile, two_sided, wilson_bounds

_MOST = 10_000_000


@dataclass(frozen=True, slots=True)
class MrmcVariances:
    """Variance components of Obuchowski and Rockette from a pilot study of ``cases`` cases."""

    modality_reader: float
    error: float
    covariance1: float
    covariance2: float
    covariance3: float
    cases: int


def hanley_mcneil_variance(area: float, positives: int, negatives: int) -> float:
    """Return the variance of an AUC under the exponential model (Hanley and McNeil 1982)."""
    _check_area(area)
    _check_counts(positives, negatives)
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (positives - 1) * (q1 - area**2) + (negatives - 1) * (q2 - area**2)
    return spread / (positives * negatives)


def obuchowski_variance(area: float, positives: int, negatives: int) -> float:
    """Return the variance of an AUC under the binormal model (Obuchowski 1994)."""
    _check_area(area)
    _check_counts(positives, negatives)
    shift = 1.414 * normal_quantile(area)
    ratio = negatives / positives
    spread = 0.0099 * np.exp(-(shift**2) / 2) * ((5 * shift**2 + 8) + (shift**2 + 8) / ratio)
    return float(spread) / positives


def auc_power(area: float, null: float, positives: int, negatives: int, *, alpha: float = 0.05) -> float:
    """Return the chance to show that an AUC of ``area`` differs from ``null`` (normal approximation)."""
    under_null = float(np.sqrt(hanley_mcneil_variance(null, positives, negatives)))
    under_truth = float(np.sqrt(hanley_mcneil_variance(area, positives, negatives)))
    return _normal_power(abs(area - null), under_null, under_truth, alpha)


def positives_for_auc(
    area: float, null: float, *, power: float = 0.8, negatives_per_positive: float = 1.0, alpha: float = 0.05
) -> int:
    """Return the positives needed to show that an AUC differs from ``null``."""
    if area == null:
        raise UnsuitableData("an AUC that equals the null value cannot be shown to differ.")
    _check_rate(power, "a power")

    def enough(positives: int) -> bool:
        return auc_power(area, null, positives, _partner(positives, negatives_per_positive), alpha=alpha) >= power

    return _smallest(enough, 2)


def positives_for_auc_width(
    area: float,
    width: float,
    *,
    negatives_per_positive: float = 1.0,
    level: float = 0.95,
    model: Literal["hanley_mcneil", "obuchowski"] = "obuchowski",
) -> int:
    """Return the positives needed for an interval of the whole ``width`` around an AUC."""
    if not 0.0 < width < 1.0:
        raise UnsuitableData(f"a width lies between 0 and 1, got {width}.")
    variance = obuchowski_variance if model == "obuchowski" else hanley_mcneil_variance
    z = two_sided(level)

    def enough(positives: int) -> bool:
        spread = variance(area, positives, _partner(positives, negatives_per_positive))
        return 2 * z * float(np.sqrt(spread)) <= width

    return _smallest(enough, 2)


def cases_for_proportion(
    expected: float, width: float, *, level: float = 0.95, method: Literal["wilson", "exact"] = "wilson"
) -> int:
    """Return the cases needed for an interval of the whole ``width`` around an expected proportion."""
    betaincinv = scipy_part("special").betaincinv

    if not (0.0 <= expected <= 1.0 and 0.0 < width < 1.0):
        raise UnsuitableData("a proportion lies in [0, 1] and a width between 0 and 1.")
    tail = (1 - level) / 2

    def enough(n: int) -> bool:
        if method == "wilson":
            low, high = wilson_bounds(expected, n, level=level)
        else:
            hits = expected * n
            low = float(betaincinv(hits, n - hits + 1, tail)) if hits > 0 else 0.0
            high = float(betaincinv(hits + 1, n - hits, 1 - tail)) if hits < n else 1.0
        return high - low <= width

    return _smallest(enough, 1)


def proportion_power(expected: float, null: float, n: int, *, alpha: float = 0.025) -> float:
    """Return the chance that an exact one-sided binomial test shows a proportion above (or below) ``null``."""
    binom = scipy_part("stats").binom

    if not (0.0 < null < 1.0 and 0.0 <= expected <= 1.0) or expected == null:
        raise UnsuitableData("the null proportion lies between 0 and 1 and differs from the expected one.")
    if expected < null:
        return proportion_power(1 - expected, 1 - null, n, alpha=alpha)
    critical = int(binom.isf(alpha, n, null)) + 1  # P(X >= critical) <= alpha
    return float(binom.sf(critical - 1, n, expected))


def cases_for_proportion_test(expected: float, null: float, *, power: float = 0.8, alpha: float = 0.025) -> int:
    """Return the smallest number from which on the exact one-sided test keeps the power (it wavers with n)."""
    _check_rate(power, "a power")
    first = _smallest(lambda n: proportion_power(expected, null, n, alpha=alpha) >= power, 1, steady=False)
    # The saw teeth of the binomial die out within a few dozen cases, growing with n.
    last_miss = first - 1
    for n in range(first, first + max(50, first // 3)):
        if proportion_power(expected, null, n, alpha=alpha) < power:
            last_miss = n
    return last_miss + 1


def paired_power(only_first: float, only_second: float, n: int, *, alpha: float = 0.05) -> float:
    """Return the power of McNemar's test when so many pairs are right in one reader only (Connor 1987)."""
    discordant, gap = _discordance(only_first, only_second)
    ndtr = scipy_part("special").ndtr

    z = two_sided(1 - alpha)
    return float(ndtr((gap * np.sqrt(n) - z * np.sqrt(discordant)) / np.sqrt(discordant - gap**2)))


def cases_for_paired(only_first: float, only_second: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """Return the pairs that McNemar's test needs (Connor 1987)."""
    _check_rate(power, "a power")
    discordant, gap = _discordance(only_first, only_second)
    z = two_sided(1 - alpha)
    root = z * np.sqrt(discordant) + normal_quantile(power) * np.sqrt(discordant - gap**2)
    return int(np.ceil((root / gap) ** 2))


def paired_auc_power(
    first: float, second: float, positives: int, negatives: int, *, correlation: float, alpha: float = 0.05
) -> float:
    """Return the power to tell two AUCs on the same cases apart (Hanley and McNeil 1983); correlation of the areas."""
    if not -1.0 <= correlation < 1.0:
        raise UnsuitableData(f"a correlation lies in [-1, 1), got {correlation}.")
    middle = (first + second) / 2
    under_null = 2 * hanley_mcneil_variance(middle, positives, negatives) * (1 - correlation)
    one, other = (hanley_mcneil_variance(area, positives, negatives) for area in (first, second))
    under_truth = one + other - 2 * correlation * float(np.sqrt(one * other))
    return _normal_power(abs(first - second), float(np.sqrt(under_null)), float(np.sqrt(under_truth)), alpha)


def mrmc_power(variances: MrmcVariances, difference: float, *, readers: int, cases: int, alpha: float = 0.05) -> float:
    """Return the power of a study of two modalities, readers and cases random (Hillis, Obuchowski, Berbaum 2011)."""
    part = scipy_part("stats")
    f, ncf = part.f, part.ncf

    if readers < 2 or cases < 2 or variances.cases < 2:
        raise NotEstimable("a reader study needs at least two readers and two cases.")
    shrink = variances.cases / cases
    shared = max(variances.covariance2 - variances.covariance3, 0.0)
    own = variances.error - variances.covariance1
    modality_reader = max(variances.modality_reader, 0.0)
    noise = modality_reader + shrink * (own + (readers - 1) * shared)
    interaction = modality_reader + shrink * (own - shared)
    if noise <= 0 or interaction <= 0:
        raise NotEstimable("the pilot's variance components leave no error to test against.")
    degrees = noise**2 / (interaction**2 / (readers - 1))
    return float(ncf.sf(f.ppf(1 - alpha, 1, degrees), 1, degrees, readers * difference**2 / 2 / noise))


def mrmc_cases(
    variances: MrmcVariances,
    difference: float,
    *,
    readers: int,
    power: float = 0.8,
    alpha: float = 0.05,
    most: int = 2000,
) -> int:
    """Return the cases that so many readers need; NotEstimable where more than ``most`` are not enough."""
    _check_rate(power, "a power")

    def enough(cases: int) -> bool:
        return mrmc_power(variances, difference, readers=readers, cases=cases, alpha=alpha) >= power

    if not enough(most):
        raise NotEstimable(f"{readers} readers do not reach a power of {power:g} with {most} cases: take more readers.")
    return _smallest(enough, 2)


def _normal_power(gap: float, under_null: float, under_truth: float, alpha: float) -> float:
    ndtr = scipy_part("special").ndtr

    z = two_sided(1 - alpha)
    return float(ndtr((gap - z * under_null) / under_truth))


def _smallest(enough: Callable[[int], bool], least: int, *, steady: bool = True) -> int:
    """Return the smallest number that is enough: by doubling and halving where enough stays enough, else one by one."""
    high = least
    while not enough(high):
        high *= 2
        if high > _MOST:
            raise NotEstimable(f"not even {_MOST:,} cases are enough.")
    low = max(least, high // 2)
    if not steady:
        # The first hit may lie below: go up from where a miss is certain for all practical rates.
        return next(n for n in range(max(least, high // 4), high + 1) if enough(n))
    while low < high:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle + 1
    return high


def _partner(positives: int, ratio: float) -> int:
    if ratio <= 0:
        raise UnsuitableData("negatives per positive must be positive.")
    return max(1, round(positives * ratio))


def _discordance(only_first: float, only_second: float) -> tuple[float, float]:
    if not (0.0 <= only_first <= 1.0 and 0.0 <= only_second <= 1.0 and only_first + only_second <= 1.0):
        raise UnsuitableData("shares of discordant pairs lie in [0, 1] and sum to at most 1.")
    if only_first == only_second:
        raise UnsuitableData("equal shares of discordant pairs are no difference to find.")
    return only_first + only_second, abs(only_first - only_second)


def _check_area(area: float) -> None:
    if not 0.0 < area < 1.0:
        raise UnsuitableData(f"an expected AUC lies between 0 and 1, got {area}.")


def _check_counts(positives: int, negatives: int) -> None:
    if positives < 1 or negatives < 1:
        raise NotEstimable("an AUC needs both classes.")


def _check_rate(rate: float, what: str) -> None:
    if not 0.0 < rate < 1.0:
        raise UnsuitableData(f"{what} lies between 0 and 1, got {rate}.")
