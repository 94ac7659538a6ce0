"""Calls against truth: rates and predictive values at a threshold, tables of several classes, paired tests."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from coread.domain.cards import Estimate
from coread.statistics.arrays import Floats, Groups, Integers, flags, same_length
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.extras import scipy_part
from coread.statistics.intervals import clopper_pearson, estimate, proportion, two_sided, wilson_bounds
from coread.statistics.roc import truth_and_scores

_CERTAIN = 1e9
"""A score statistic where the difference leaves no doubt."""
Weights = Literal["none", "linear", "quadratic"]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """All of a 2 x 2 table; a predictive value is None where nobody was called that way."""

    threshold: float
    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate | None
    npv: Estimate | None
    accuracy: Estimate


@dataclass(frozen=True, slots=True)
class ClassMeasures:
    """One class against the rest; precision is None where the class was never called."""

    label: int
    cases: int
    sensitivity: Estimate
    specificity: Estimate
    precision: Estimate | None
    f1: float


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two readers on the same cases: how often only one of them is right, and the two-sided tests."""

    only_first: int
    only_second: int
    p_exact: float
    p_mid: float
    """The mid-p value: closer to its level than the exact one (Fagerland, Lydersen, Laake 2013)."""


def accuracy_at(
    truth: ArrayLike, scores: ArrayLike, threshold: float, groups: Groups | None = None, *, level: float = 0.95
) -> Accuracy:
    """Measure a threshold: present when the score is at least the threshold. Exact or clustered intervals."""
    known, given = truth_and_scores(truth, scores)
    called = given >= threshold
    names = None if groups is None else np.asarray(groups)

    def share(right: np.ndarray, among: np.ndarray) -> Estimate:
        return proportion(right[among], None if names is None else names[among], level=level)

    if not known.any() or known.all():
        raise NotEstimable(f"sensitivity and specificity need both classes, got {int(known.sum())} of {len(known)}.")
    return Accuracy(
        threshold=float(threshold),
        true_positives=int((called & known).sum()),
        false_positives=int((called & ~known).sum()),
        true_negatives=int((~called & ~known).sum()),
        false_negatives=int((~called & known).sum()),
        sensitivity=share(called, known),
        specificity=share(~called, ~known),
        ppv=share(known, called) if called.any() else None,
        npv=share(~known, ~called) if not called.all() else None,
        accuracy=share(called == known, np.ones(len(known), dtype=np.bool_)),
    )


def sensitivity_and_specificity(
    truth: ArrayLike, scores: ArrayLike, threshold: float, groups: Groups | None = None, *, level: float = 0.95
) -> tuple[Estimate, Estimate]:
    """Return both rates of a threshold."""
    measured = accuracy_at(truth, scores, threshold, groups, level=level)
    return measured.sensitivity, measured.specificity


def confusion_matrix(truth: ArrayLike, called: ArrayLike, classes: int) -> Integers:
    """Return counts (classes, classes): rows are the truth, columns the calls, both 0 .. classes - 1."""
    rows, columns = np.asarray(truth), np.asarray(called)
    same_length(rows, columns)
    for name, values in (("truth", rows), ("calls", columns)):
        if len(values) and (values.min() < 0 or values.max() >= classes or not np.equal(np.mod(values, 1), 0).all()):
            raise UnsuitableData(f"{name} must be whole numbers from 0 to {classes - 1}.")
    flat = rows.astype(np.int64) * classes + columns.astype(np.int64)
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def overall_accuracy(matrix: Integers, *, level: float = 0.95) -> Estimate:
    """Return the share of cases on the diagonal with its exact interval."""
    return clopper_pearson(int(np.trace(matrix)), int(matrix.sum()), level=level)


def class_measures(matrix: Integers, *, level: float = 0.95) -> tuple[ClassMeasures, ...]:
    """Return each class against all others; a class without cases is NotEstimable."""
    total = int(matrix.sum())
    rows = []
    for label in range(len(matrix)):
        hits, cases, calls = int(matrix[label, label]), int(matrix[label].sum()), int(matrix[:, label].sum())
        if cases in (0, total):
            raise NotEstimable(f"class {label} has {cases} of {total} cases: no one-against-rest measures.")
        rows.append(
            ClassMeasures(
                label=label,
                cases=cases,
                sensitivity=clopper_pearson(hits, cases, level=level),
                specificity=clopper_pearson(total - cases - (calls - hits), total - cases, level=level),
                precision=clopper_pearson(hits, calls, level=level) if calls else None,
                f1=2 * hits / (cases + calls),
            )
        )
    return tuple(rows)


def balanced_accuracy(matrix: Integers, *, level: float = 0.95) -> Estimate:
    """Return the mean sensitivity over classes; the interval joins the classes' Wilson intervals (MOVER, Zou 2008)."""
    cases = matrix.sum(axis=1)
    if (cases == 0).any():
        raise NotEstimable(f"class {int(np.argmin(cases))} has no cases, so balanced accuracy is not defined.")
    shares = np.diag(matrix) / cases
    bounds = np.array([wilson_bounds(float(s), float(n), level=level) for s, n in zip(shares, cases, strict=True)])
    value = float(shares.mean())
    low = value - float(np.sqrt(((shares - bounds[:, 0]) ** 2).sum())) / len(shares)
    high = value + float(np.sqrt(((bounds[:, 1] - shares) ** 2).sum())) / len(shares)
    return estimate(value, max(0.0, low), min(1.0, high), int(cases.sum()))


def kappa(matrix: Integers, *, weights: Weights = "none", level: float = 0.95) -> Estimate:
    """Return Cohen's kappa, weighted or not, with the variance of Fleiss, Cohen and Everitt (1969)."""
    n = int(matrix.sum())
    if n == 0:
        raise NotEstimable("kappa of no cases.")
    shares = matrix / n
    agreement = _agreement_weights(len(matrix), weights)
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    expected = np.outer(rows, columns)
    seen, by_chance = float((agreement * shares).sum()), float((agreement * expected).sum())
    if by_chance >= 1.0 - 1e-12:
        raise NotEstimable("all cases have one class in both ratings: agreement by chance is already complete.")
    value = (seen - by_chance) / (1 - by_chance)
    mean_rows, mean_columns = agreement @ columns, rows @ agreement
    inner = agreement - (mean_rows[:, None] + mean_columns[None, :]) * (1 - value)
    variance = ((shares * inner**2).sum() - (value - by_chance * (1 - value)) ** 2) / (n * (1 - by_chance) ** 2)
    half = two_sided(level) * float(np.sqrt(max(variance, 0.0)))
    return estimate(value, max(-1.0, value - half), min(1.0, value + half), n)


def _agreement_weights(classes: int, weights: Weights) -> Floats:
    steps: Floats = np.abs(np.subtract.outer(np.arange(classes), np.arange(classes))).astype(np.float64)
    if weights == "none":
        return np.asarray(steps == 0, dtype=np.float64)
    relative = steps / max(classes - 1, 1)
    return np.asarray(1.0 - (relative if weights == "linear" else relative**2))


def mcnemar(first_right: ArrayLike, second_right: ArrayLike) -> McNemar:
    """Compare two readers case by case (McNemar 1947): exact and mid-p, both two-sided."""
    binom = scipy_part("stats").binom

    one, other = flags(first_right, what="first_right"), flags(second_right, what="second_right")
    same_length(one, other)
    b, c = int((one & ~other).sum()), int((~one & other).sum())
    if b + c == 0:
        return McNemar(0, 0, 1.0, 1.0)
    at_least = float(binom.pmf(min(b, c), b + c, 0.5))
    both_tails = 2 * float(binom.cdf(min(b, c), b + c, 0.5))
    middle = 1 - at_least / 2 if b == c else both_tails - at_least
    return McNemar(b, c, min(1.0, both_tails), middle)


def paired_difference(
    first_right: ArrayLike,
    second_right: ArrayLike,
    *,
    method: Literal["newcombe", "tango"] = "newcombe",
    level: float = 0.95,
) -> Estimate:
    """Return the difference of two shares on the same cases (Newcombe 1998 paired method 10, or Tango 1998)."""
    one, other = flags(first_right, what="first_right"), flags(second_right, what="second_right")
    n = same_length(one, other)
    if n == 0:
        raise NotEstimable("no cases to compare.")
    table = np.array(
        [[(one & other).sum(), (one & ~other).sum()], [(~one & other).sum(), (~one & ~other).sum()]], dtype=np.float64
    )
    value = float(table[0, 1] - table[1, 0]) / n
    low, high = (_newcombe_paired if method == "newcombe" else _tango)(table, value, level)
    return estimate(value, low, high, n)


def proportion_difference(
    first_successes: int, first_n: int, second_successes: int, second_n: int, *, level: float = 0.95
) -> Estimate:
    """Return the difference of two independent shares (Newcombe 1998, method 10: hybrid of Wilson intervals)."""
    if first_n <= 0 or second_n <= 0:
        raise NotEstimable("a share of no cases cannot be compared.")
    one, other = first_successes / first_n, second_successes / second_n
    l1, u1 = wilson_bounds(one, first_n, level=level)
    l2, u2 = wilson_bounds(other, second_n, level=level)
    low = one - other - float(np.hypot(one - l1, u2 - other))
    high = one - other + float(np.hypot(u1 - one, other - l2))
    return estimate(one - other, low, high, first_n + second_n)


def _newcombe_paired(table: Floats, value: float, level: float) -> tuple[float, float]:
    n = float(table.sum())
    (a, b), (c, d) = table
    one, other = float((a + b) / n), float((a + c) / n)
    l1, u1 = wilson_bounds(one, n, level=level)
    l2, u2 = wilson_bounds(other, n, level=level)
    margins = float((a + b) * (c + d) * (a + c) * (b + d))
    linked = float(a * d - b * c)
    lessened = max(linked - n / 2, 0.0) if linked > 0 else linked  # Newcombe's continuity correction of phi
    phi = lessened / float(np.sqrt(margins)) if margins > 0 else 0.0
    below = (one - l1) ** 2 - 2 * phi * (one - l1) * (u2 - other) + (u2 - other) ** 2
    above = (other - l2) ** 2 - 2 * phi * (other - l2) * (u1 - one) + (u1 - one) ** 2
    return value - float(np.sqrt(max(below, 0.0))), value + float(np.sqrt(max(above, 0.0)))


def _tango(table: Floats, value: float, level: float) -> tuple[float, float]:
    brentq = scipy_part("optimize").brentq

    n, b, c = float(table.sum()), float(table[0, 1]), float(table[1, 0])
    z = two_sided(level)

    def score(delta: float) -> float:
        """Return the score statistic of a true difference (Tango 1998, eq. 4); falls as delta grows."""
        linear = -b - c + (2 * n - b + c) * delta
        root = max(linear**2 - 8 * n * (-c * delta * (1 - delta)), 0.0)
        share = (np.sqrt(root) - linear) / (4 * n)
        variance = n * (2 * share + delta * (1 - delta))
        gap = b - c - n * delta
        return float(gap / np.sqrt(variance)) if variance > 0 else float(np.sign(gap)) * _CERTAIN

    edge = 1e-10
    low = -1.0 if score(-1 + edge) < z else float(brentq(lambda d: score(d) - z, -1 + edge, value))
    high = 1.0 if score(1 - edge) > -z else float(brentq(lambda d: score(d) + z, value, 1 - edge))
    return low, high
