"""Discrimination: ROC curve, area under it, its variance by DeLong, comparisons, and patients with several images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from coread.domain.cards import Estimate
from coread.statistics.arrays import (
    Flags,
    Floats,
    Groups,
    both_classes,
    ends_of_levels,
    flags,
    members_of,
    numbers,
    same_length,
    starts_of_levels,
)
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.extras import scipy_part
from coread.statistics.intervals import (
    SHORT,
    USUAL,
    Progress,
    Resampling,
    bootstrap,
    bootstrap_weighted,
    check_level,
    estimate,
    two_sided,
)

_NO_VARIANCE = 1e-15
"""A variance of areas this small is rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class RocCurve:
    """Points from (0, 0) to (1, 1); a case is called when its score is at least the threshold."""

    thresholds: Floats
    false_positive_rate: Floats
    sensitivity: Floats


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two estimates on the same or on different cases, and the test of no difference."""

    first: Estimate
    second: Estimate
    difference: Estimate
    """First minus second."""
    p_value: float
    method: str


def truth_and_scores(truth: ArrayLike, scores: ArrayLike) -> tuple[Flags, Floats]:
    """Return both as checked arrays of one length."""
    known, given = flags(truth), numbers(scores)
    same_length(known, given)
    return known, given


def auc(truth: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve: the chance that a positive scores above a negative, ties count half."""
    known, given = truth_and_scores(truth, scores)
    positives, negatives = both_classes(known)
    ranks = midranks(given)
    return float((ranks[known].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def midranks(values: Floats) -> Floats:
    """Return ranks from 1; tied values share the mean of their ranks."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = starts_of_levels(ordered)
    last = np.r_[first[1:], len(values)]
    ranks = np.empty(len(values))
    ranks[order] = np.repeat((first + last + 1) / 2, last - first)
    return ranks


def roc_curve(truth: ArrayLike, scores: ArrayLike) -> RocCurve:
    """Return one point per distinct score, highest first, after the point where nobody is called."""
    known, given = truth_and_scores(truth, scores)
    positives, negatives = both_classes(known, what="an ROC curve")
    order = np.argsort(-given, kind="stable")
    ends = ends_of_levels(given[order])
    hits = np.cumsum(known[order])[ends]
    return RocCurve(
        thresholds=np.r_[np.inf, given[order][ends]],
        false_positive_rate=np.r_[0.0, (ends + 1 - hits) / negatives],
        sensitivity=np.r_[0.0, hits / positives],
    )


def placements(truth: Flags, scores: Floats) -> tuple[Floats, Floats]:
    """Return the share of negatives below each positive, and the share of positives above each negative."""
    positives, negatives = both_classes(truth)
    together = midranks(scores)
    above = (together[truth] - midranks(scores[truth])) / negatives
    below = 1.0 - (together[~truth] - midranks(scores[~truth])) / positives
    return above, below


def delong_covariance(truth: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    """Return AUCs (K,) and their covariance (K, K) for scores (K, N) of K readers on the same N cases.

    DeLong, DeLong and Clarke-Pearson (1988), with the mid-ranks of Sun and Xu (2014): n log n instead of n squared.
    """
    known = flags(truth)
    table = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    positives, negatives = both_classes(known)
    if positives < 2 or negatives < 2:
        raise NotEstimable("the variance of an AUC needs at least two positives and two negatives.")
    parts = [placements(known, truth_and_scores(known, row)[1]) for row in table]
    above, below = np.stack([p[0] for p in parts]), np.stack([p[1] for p in parts])
    covariance = np.atleast_2d(np.cov(above)) / positives + np.atleast_2d(np.cov(below)) / negatives
    return above.mean(axis=1), covariance


def auc_delong(truth: ArrayLike, scores: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Return the AUC with DeLong's variance and an interval on the logit scale, which stays inside (0, 1)."""
    areas, covariance = delong_covariance(truth, scores)
    known = flags(truth)
    return _logit_interval(float(areas[0]), float(covariance[0, 0]), *both_classes(known), level=level)


def auc_newcombe(area: float, positives: int, negatives: int, *, level: float = 0.95) -> Estimate:
    """Return an AUC with the score interval of Newcombe (2006, method 5), defined even where nothing overlaps.

    The bounds solve |area - t| = z sqrt(V(t)) with the variance of Hanley and McNeil and the mean of both counts in it.
    """
    brentq = scipy_part("optimize").brentq

    z = two_sided(level)
    if positives < 1 or negatives < 1:
        raise NotEstimable("an AUC needs both classes.")

    def gap(t: float) -> float:
        middle = (positives + negatives) / 2 - 1
        spread = t * (1 - t) * (1 + middle * (1 - t) / (2 - t) + middle * t / (1 + t)) / (positives * negatives)
        return float((area - t) ** 2 - z * z * spread)

    edge = 1e-12  # at 0 and 1 themselves the variance vanishes and the equation holds trivially
    low = 0.0 if area <= 0 else float(brentq(gap, 0.0, min(area, 1 - edge)))
    high = 1.0 if area >= 1 else float(brentq(gap, max(area, edge), 1.0))
    return estimate(area, low, high, positives + negatives)


def auc_clustered(truth: ArrayLike, scores: ArrayLike, groups: Groups, *, level: float = 0.95) -> Estimate:
    """Return the AUC over images, with the variance of Obuchowski (1997) for patients with several images."""
    areas, covariance = clustered_covariance(truth, scores, groups)
    known = flags(truth)
    _, patients = members_of(groups, len(known))
    if covariance[0, 0] <= _NO_VARIANCE:
        # Nothing overlaps: patients, not images, are the independent cases behind that.
        shrunk = max(1, round(patients * known.mean()))
        bounds = auc_newcombe(float(areas[0]), shrunk, max(1, patients - shrunk), level=level)
        return estimate(float(areas[0]), bounds.low, bounds.high, len(known))
    return _logit_interval(float(areas[0]), float(covariance[0, 0]), *both_classes(known), level=level)


def clustered_covariance(truth: ArrayLike, scores: ArrayLike, groups: Groups) -> tuple[Floats, Floats]:
    """Return AUCs (K,) and their covariance (K, K) for scores (K, N); patients, not images, are independent.

    Obuchowski (1997): sums of placements by patient; a patient may have positive and negative images.
    """
    known = flags(truth)
    table = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    positives, negatives = both_classes(known)
    member, patients = members_of(groups, len(known))
    with_positive = len(np.unique(member[known]))
    with_negative = len(np.unique(member[~known]))
    if with_positive < 2 or with_negative < 2:
        raise NotEstimable("the variance of a clustered AUC needs two patients with positives and two with negatives.")
    parts = [placements(known, truth_and_scores(known, row)[1]) for row in table]
    areas = np.array([above.mean() for above, _ in parts])
    up = np.stack(
        [np.bincount(member[known], above - area, patients) for (above, _), area in zip(parts, areas, strict=True)]
    )
    down = np.stack(
        [np.bincount(member[~known], below - area, patients) for (_, below), area in zip(parts, areas, strict=True)]
    )
    crossed = up @ down.T
    covariance = (
        with_positive / (with_positive - 1) * (up @ up.T) / positives**2
        + with_negative / (with_negative - 1) * (down @ down.T) / negatives**2
        + patients / (patients - 1) * (crossed + crossed.T) / (positives * negatives)
    )
    return areas, covariance


def auc_estimate(truth: ArrayLike, scores: ArrayLike, groups: Groups | None = None, *, level: float = 0.95) -> Estimate:
    """Return the AUC with DeLong's interval, or Obuchowski's where a patient has several images; n counts images."""
    known = flags(truth)
    _, patients = members_of(groups, len(known))
    if groups is None or patients == len(known):
        return auc_delong(known, scores, level=level)
    return auc_clustered(known, scores, groups, level=level)


def auc_bootstrap(
    truth: ArrayLike,
    scores: ArrayLike,
    groups: Groups | None = None,
    *,
    plan: Resampling = USUAL,
    progress: Progress | None = None,
) -> Estimate:
    """Return the AUC with a bootstrap interval over patients."""
    known, given = truth_and_scores(truth, scores)
    both_classes(known)
    order = np.argsort(given, kind="stable")
    starts = starts_of_levels(given[order])
    positive = known[order]

    def weighted(weights: Floats) -> Floats:
        ordered = weights[:, order]
        up = np.add.reduceat(np.where(positive, ordered, 0.0), starts, axis=1)
        down = np.add.reduceat(np.where(positive, 0.0, ordered), starts, axis=1)
        below = np.cumsum(down, axis=1) - down / 2
        pairs = up.sum(axis=1) * down.sum(axis=1)
        values = np.full(len(weights), np.nan)
        np.divide((up * below).sum(axis=1), pairs, out=values, where=pairs > 0)
        return values

    return bootstrap_weighted(weighted, len(known) if groups is None else groups, plan=plan, progress=progress)


def compare_aucs(
    truth: ArrayLike, first: ArrayLike, second: ArrayLike, groups: Groups | None = None, *, level: float = 0.95
) -> Comparison:
    """Compare two readers on the same cases: DeLong's paired test, or Obuchowski's for several images per patient."""
    known = flags(truth)
    _, patients = members_of(groups, len(known))
    table = np.stack([truth_and_scores(known, first)[1], truth_and_scores(known, second)[1]])
    if groups is None or patients == len(known):
        areas, covariance = delong_covariance(known, table)
        one, other = (auc_delong(known, row, level=level) for row in table)
        method = "paired DeLong"
    else:
        areas, covariance = clustered_covariance(known, table, groups)
        one, other = (auc_clustered(known, row, groups, level=level) for row in table)
        method = "paired, patients as clusters (Obuchowski 1997)"
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    return difference_test(one, other, float(areas[0] - areas[1]), float(variance), method=method, level=level)


def compare_aucs_unpaired(
    first_truth: ArrayLike,
    first_scores: ArrayLike,
    second_truth: ArrayLike,
    second_scores: ArrayLike,
    *,
    level: float = 0.95,
) -> Comparison:
    """Compare AUCs on different patients, each with DeLong's variance."""
    one, other = (
        auc_delong(first_truth, first_scores, level=level),
        auc_delong(second_truth, second_scores, level=level),
    )
    variance = sum(
        float(delong_covariance(truth, scores)[1][0, 0])
        for truth, scores in ((first_truth, first_scores), (second_truth, second_scores))
    )
    return difference_test(one, other, one.value - other.value, variance, method="unpaired DeLong", level=level)


def difference_test(
    first: Estimate, second: Estimate, difference: float, variance: float, *, method: str, level: float
) -> Comparison:
    """Build a Comparison from a difference and its variance by the normal distribution."""
    ndtr = scipy_part("special").ndtr

    n = max(first.n, second.n)
    if variance <= _NO_VARIANCE:
        if abs(difference) > 1e-12:
            raise NotEstimable("the difference has no variance on these cases, so it cannot be tested.")
        return Comparison(first, second, estimate(0.0, 0.0, 0.0, n), 1.0, method)
    spread = float(np.sqrt(variance))
    z = two_sided(level)
    p_value = float(2 * ndtr(-abs(difference) / spread))
    interval = estimate(difference, difference - z * spread, difference + z * spread, n)
    return Comparison(first, second, interval, p_value, method)


def partial_auc(
    truth: ArrayLike, scores: ArrayLike, *, most_false_positives: float = 0.2, standardised: bool = True
) -> float:
    """Return the area at false positive rates up to a limit; standardised to 0.5 .. 1 as McClish (1989) does."""
    if not 0.0 < most_false_positives <= 1.0:
        raise UnsuitableData("the largest false positive rate lies in (0, 1].")
    curve = roc_curve(truth, scores)
    inside = curve.false_positive_rate <= most_false_positives
    edge = float(np.interp(most_false_positives, curve.false_positive_rate, curve.sensitivity))
    last = np.searchsorted(curve.false_positive_rate, most_false_positives, side="right")
    if last < len(curve.false_positive_rate):
        before, after = last - 1, last
        x0, x1 = curve.false_positive_rate[[before, after]]
        y0, y1 = curve.sensitivity[[before, after]]
        edge = float(y0 + (y1 - y0) * (most_false_positives - x0) / (x1 - x0))
    x = np.r_[curve.false_positive_rate[inside], most_false_positives]
    y = np.r_[curve.sensitivity[inside], edge]
    area = float(np.trapezoid(y, x))
    if not standardised:
        return area
    least, most = most_false_positives**2 / 2, most_false_positives
    return 0.5 * (1 + (area - least) / (most - least))


def sensitivity_at_specificity(
    truth: ArrayLike,
    scores: ArrayLike,
    specificity: float,
    groups: Groups | None = None,
    *,
    plan: Resampling = SHORT,
) -> Estimate:
    """Return the highest sensitivity at that specificity or better; each resample finds its own threshold."""
    known, given = truth_and_scores(truth, scores)
    return _rate_at(known, given, specificity, groups, plan)


def specificity_at_sensitivity(
    truth: ArrayLike,
    scores: ArrayLike,
    sensitivity: float,
    groups: Groups | None = None,
    *,
    plan: Resampling = SHORT,
) -> Estimate:
    """Return the highest specificity at that sensitivity or better; each resample finds its own threshold."""
    known, given = truth_and_scores(truth, scores)
    return _rate_at(~known, -given, sensitivity, groups, plan)


def _rate_at(truth: Flags, scores: Floats, wanted: float, groups: Groups | None, plan: Resampling) -> Estimate:
    if not 0.0 <= wanted <= 1.0:
        raise UnsuitableData("a wanted rate lies in [0, 1].")
    both_classes(truth, what="an operating point")

    def best(chosen: np.ndarray) -> float:
        here, score = truth[chosen], scores[chosen]
        both_classes(here, what="an operating point")
        against = np.sort(score[~here])
        allowed = int(np.floor((1.0 - wanted) * len(against) + 1e-9))
        if allowed >= len(against):
            return 1.0
        # Called must lie above the (allowed + 1)-th highest negative.
        limit = against[len(against) - 1 - allowed]
        return float((score[here] > limit).mean())

    return bootstrap(best, len(truth) if groups is None else groups, plan=plan)


def _logit_interval(area: float, variance: float, positives: int, negatives: int, *, level: float) -> Estimate:
    check_level(level)
    if variance <= _NO_VARIANCE or not 0.0 < area < 1.0:
        return auc_newcombe(area, positives, negatives, level=level)
    centre = np.log(area / (1 - area))
    half = two_sided(level) * np.sqrt(variance) / (area * (1 - area))
    low, high = 1 / (1 + np.exp(-(centre - half))), 1 / (1 + np.exp(-(centre + half)))
    return estimate(area, float(low), float(high), positives + negatives)
