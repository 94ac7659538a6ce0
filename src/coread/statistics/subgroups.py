"""Does the reader work for everybody: estimates by stratum, tests that strata differ, and control of many tests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from coread.domain.cards import Estimate
from coread.statistics.arrays import Floats, Groups, Indices, finite, flags, members_of, numbers, same_length
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.extras import scipy_part
from coread.statistics.intervals import two_sided
from coread.statistics.logistic import fit_logistic

Scale = Literal["logit", "plain"]


@dataclass(frozen=True, slots=True)
class Stratum:
    """One value of a covariate; ``estimate`` is None where ``reason`` says why there is none."""

    name: str
    images: int
    positives: int
    estimate: Estimate | None
    reason: str


@dataclass(frozen=True, slots=True)
class Heterogeneity:
    """Cochran's Q over strata, and the share of their spread that is more than chance (I squared, Higgins 2003)."""

    q: float
    degrees_of_freedom: int
    p_value: float
    i_squared: float


@dataclass(frozen=True, slots=True)
class Welch:
    """Welch's F (1951) over strata whose spreads may differ."""

    f: float
    degrees_of_freedom: tuple[float, float]
    p_value: float


@dataclass(frozen=True, slots=True)
class LikelihoodRatio:
    """Twice the gain of log-likelihood, and its chi-square test."""

    statistic: float
    degrees_of_freedom: int
    p_value: float


def by_stratum(
    strata: Sequence[str],
    truth: ArrayLike,
    measure: Callable[[Indices], Estimate],
    *,
    fewest: int = 20,
) -> tuple[Stratum, ...]:
    """Measure every stratum of images; small ones and those that do not determine the number say so."""
    known = flags(truth)
    same_length(strata, known)
    names = np.asarray(strata, dtype=object)
    answers = []
    for name in sorted({str(s) for s in strata}):
        chosen = np.flatnonzero(names == name)
        positives = int(known[chosen].sum())
        estimate, reason = None, ""
        if len(chosen) < fewest:
            reason = f"only {len(chosen)} images; at least {fewest} are asked for"
        else:
            try:
                estimate = measure(chosen)
            except NotEstimable as problem:
                reason = str(problem)
        answers.append(Stratum(name, len(chosen), positives, estimate, reason))
    return tuple(answers)


def heterogeneity(values: ArrayLike, standard_errors: ArrayLike) -> Heterogeneity:
    """Test whether estimates of several strata differ by more than chance (Cochran 1954)."""
    chdtrc = scipy_part("special").chdtrc

    found, errors = finite(values), finite(standard_errors, what="standard errors")
    count = same_length(found, errors)
    if count < 2:
        raise NotEstimable(f"strata can only differ when there are at least two, got {count}.")
    if (errors <= 0).any():
        raise NotEstimable("a stratum has no standard error, so it cannot be compared.")
    weights = 1 / errors**2
    pooled = float((weights * found).sum() / weights.sum())
    q = float((weights * (found - pooled) ** 2).sum())
    degrees = count - 1
    return Heterogeneity(q, degrees, float(chdtrc(degrees, q)), max(0.0, (q - degrees) / q) if q > 0 else 0.0)


def heterogeneity_of(estimates: Sequence[Estimate], *, level: float = 0.95, scale: Scale = "logit") -> Heterogeneity:
    """Test estimates by the standard errors that their intervals imply; shares and areas on the logit scale."""
    z = two_sided(level)
    if scale == "plain":
        return heterogeneity([e.value for e in estimates], [(e.high - e.low) / (2 * z) for e in estimates])
    low, high = (np.array([_inside(getattr(e, side), e.n) for e in estimates]) for side in ("low", "high"))
    middle = np.array([_inside(e.value, e.n) for e in estimates])
    return heterogeneity(_logit(middle), (_logit(high) - _logit(low)) / (2 * z))


def rate_heterogeneity(hits: ArrayLike, strata: Sequence[str], groups: Groups | None = None) -> Heterogeneity:
    """Test whether shares of several strata differ: Pearson's chi-square of counts over their design effects.

    Rao and Scott (1992): where patients give several images, counts are divided by the design effect of the stratum (at
    least 1); where all images of a stratum agree, it is unknown and each patient counts as one image.
    """
    right = flags(hits, what="hits")
    same_length(right, strata)
    member, _ = members_of(groups, len(right))
    names = np.asarray(strata, dtype=object)
    levels = sorted({str(name) for name in strata})
    if len(levels) < 2:
        raise NotEstimable(f"strata can only differ when there are at least two, got {len(levels)}.")
    counts = np.array([_effective(right[names == level], member[names == level]) for level in levels])
    hit, all_images = counts[:, 0], counts[:, 1]
    share = float(hit.sum() / all_images.sum())
    degrees = len(levels) - 1
    if share in (0.0, 1.0):
        return Heterogeneity(0.0, degrees, 1.0, 0.0)
    q = float(((hit - all_images * share) ** 2 / (all_images * share * (1 - share))).sum())
    p_value = float(scipy_part("special").chdtrc(degrees, q))
    return Heterogeneity(q, degrees, p_value, max(0.0, (q - degrees) / q) if q > 0 else 0.0)


def _effective(hits: np.ndarray, member: np.ndarray) -> tuple[float, float]:
    """Return hits and images of one stratum, both over its design effect."""
    n, share = len(hits), float(hits.mean())
    _, position = np.unique(member, return_inverse=True)
    patients = int(position.max()) + 1
    if share in (0.0, 1.0) or patients < 2:
        return share * patients, float(patients)
    residual = np.bincount(position, weights=hits - share)
    variance = patients / (patients - 1) * float((residual**2).sum()) / n**2
    effect = 1.0 if patients == n else max(variance / (share * (1 - share) / n), 1.0)
    return share * n / effect, n / effect


def mean_heterogeneity(values: ArrayLike, strata: Sequence[str], groups: Groups | None = None) -> Welch:
    """Test whether means of several strata differ: Welch's analysis of variance (1951) on one mean for each patient."""
    given = finite(values)
    same_length(given, strata)
    member, _ = members_of(groups, len(given))
    names = np.asarray(strata, dtype=object)
    levels = sorted({str(name) for name in strata})
    if len(levels) < 2:
        raise NotEstimable(f"strata can only differ when there are at least two, got {len(levels)}.")
    sizes, means, variances = [], [], []
    for level in levels:
        chosen = names == level
        _, position = np.unique(member[chosen], return_inverse=True)
        by_patient = np.bincount(position, weights=given[chosen]) / np.bincount(position)
        if len(by_patient) < 2 or np.ptp(by_patient) == 0:
            raise NotEstimable(f"the patients of {level!r} have no spread, so it cannot be compared.")
        sizes.append(len(by_patient))
        means.append(float(by_patient.mean()))
        variances.append(float(by_patient.var(ddof=1)))
    return _welch(np.array(sizes, dtype=np.float64), np.array(means), np.array(variances))


def _welch(sizes: Floats, means: Floats, variances: Floats) -> Welch:
    count = len(sizes)
    weights = sizes / variances
    pooled = float((weights * means).sum() / weights.sum())
    rest = float(((1 - weights / weights.sum()) ** 2 / (sizes - 1)).sum())
    between = float((weights * (means - pooled) ** 2).sum()) / (count - 1)
    f = between / (1 + 2 * (count - 2) / (count**2 - 1) * rest)
    degrees = (float(count - 1), (count**2 - 1) / (3 * rest))
    return Welch(f, degrees, float(scipy_part("special").fdtrc(*degrees, f)))


def interaction_test(truth: ArrayLike, scores: ArrayLike, strata: Sequence[str]) -> LikelihoodRatio:
    """Test whether the score means something else in different strata: logistic models with and without interaction."""
    chdtrc = scipy_part("special").chdtrc

    known, given = flags(truth), numbers(scores)
    same_length(known, given, strata)
    names = np.asarray(strata, dtype=object)
    levels = sorted({str(s) for s in strata})
    if len(levels) < 2:
        raise NotEstimable("an interaction needs at least two strata.")
    spread = float(given.std())
    if spread <= 0:
        raise NotEstimable("all scores are equal.")
    standard = (given - given.mean()) / spread
    member = np.column_stack([names == level for level in levels]).astype(np.float64)
    for level, column in zip(levels, member.T, strict=True):
        share = float(known[column > 0].mean())
        if share in (0.0, 1.0):
            raise NotEstimable(f"stratum {level!r} holds one class only, so its slope is not determined.")
    target = known.astype(np.float64)
    plain = fit_logistic(np.column_stack([member, standard]), target, what="the model without interaction")
    full = fit_logistic(
        np.column_stack([member, member * standard[:, None]]), target, what="the model with interaction"
    )
    statistic = max(2 * (full.log_likelihood - plain.log_likelihood), 0.0)
    return LikelihoodRatio(statistic, len(levels) - 1, float(chdtrc(len(levels) - 1, statistic)))


def bonferroni(p_values: ArrayLike) -> Floats:
    """Return p-values times their number, at most 1."""
    return np.minimum(_p_values(p_values) * len(np.asarray(p_values)), 1.0)


def holm(p_values: ArrayLike) -> Floats:
    """Return step-down adjusted p-values that control the chance of any false finding (Holm 1979)."""
    given = _p_values(p_values)
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    adjusted = np.empty(len(given))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """Return step-up adjusted p-values that control the share of false findings (Benjamini and Hochberg 1995)."""
    given = _p_values(p_values)
    order = np.argsort(given, kind="stable")
    scaled = given[order] * len(given) / np.arange(1, len(given) + 1)
    adjusted = np.empty(len(given))
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted


def _p_values(values: ArrayLike) -> Floats:
    given = numbers(values, what="p-values")
    if len(given) and (given.min() < 0 or given.max() > 1):
        raise UnsuitableData("p-values lie in [0, 1].")
    return given


def _inside(value: float, n: int) -> float:
    """Return a share moved off 0 and 1 by half a case, so that it has a logit."""
    return min(max(value, 0.5 / n), 1 - 0.5 / n)


def _logit(values: Floats) -> Floats:
    return np.asarray(np.log(values / (1 - values)))
