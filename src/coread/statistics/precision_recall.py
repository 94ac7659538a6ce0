"""What a call means where disease is rare: precision and recall, and predictive values at a stated prevalence."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from coread.domain.cards import Estimate
from coread.statistics.arrays import Floats, Groups, ends_of_levels, starts_of_levels
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.intervals import USUAL, Progress, Resampling, bootstrap_weighted, estimate, two_sided
from coread.statistics.roc import truth_and_scores


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionRecallCurve:
    """One point per distinct score, highest first; a case is called when its score is at least the threshold."""

    thresholds: Floats
    precision: Floats
    recall: Floats
    prevalence: float
    """The precision of calling everybody: the curve of a reader that knows nothing."""


@dataclass(frozen=True, slots=True)
class PredictiveValues:
    """How often a call, or its absence, is right in a population with this prevalence; None where there are none."""

    prevalence: float
    ppv: Estimate | None
    npv: Estimate | None


def precision_recall_curve(truth: ArrayLike, scores: ArrayLike) -> PrecisionRecallCurve:
    """Return precision and recall at every distinct score."""
    known, given = truth_and_scores(truth, scores)
    positives = _positives(known)
    order = np.argsort(-given, kind="stable")
    ends = ends_of_levels(given[order])
    hits = np.cumsum(known[order])[ends]
    return PrecisionRecallCurve(given[order][ends], hits / (ends + 1), hits / positives, positives / len(known))


def average_precision(truth: ArrayLike, scores: ArrayLike) -> float:
    """Return the mean precision over the steps of recall, without interpolation."""
    curve = precision_recall_curve(truth, scores)
    return float((np.diff(np.r_[0.0, curve.recall]) * curve.precision).sum())


def average_precision_estimate(
    truth: ArrayLike,
    scores: ArrayLike,
    groups: Groups | None = None,
    *,
    plan: Resampling = USUAL,
    progress: Progress | None = None,
) -> Estimate:
    """Return the average precision with a bootstrap interval over patients; it depends on the prevalence here."""
    known, given = truth_and_scores(truth, scores)
    _positives(known)
    order = np.argsort(-given, kind="stable")
    starts = starts_of_levels(given[order])
    positive = known[order]

    def weighted(weights: Floats) -> Floats:
        ordered = weights[:, order]
        hits = np.add.reduceat(np.where(positive, ordered, 0.0), starts, axis=1)
        called = np.cumsum(np.add.reduceat(ordered, starts, axis=1), axis=1)
        precision = np.divide(np.cumsum(hits, axis=1), called, out=np.zeros_like(called), where=called > 0)
        total = hits.sum(axis=1)
        values = np.full(len(total), np.nan)
        np.divide((hits * precision).sum(axis=1), total, out=values, where=total > 0)
        return values

    return bootstrap_weighted(weighted, len(known) if groups is None else groups, plan=plan, progress=progress)


def predictive_values(
    sensitivity: Estimate, specificity: Estimate, prevalence: float, *, level: float = 0.95
) -> PredictiveValues:
    """Return PPV and NPV at a prevalence, with logit intervals from case-control data (Mercaldo, Lau, Zhou 2007).

    ``sensitivity.n`` are the positives and ``specificity.n`` the negatives behind the estimates. Where a rate is 0 or 1
    the interval uses the adjusted rates (x + k) / (n + 2 k), k = z^2 / 2, as the paper advises.
    """
    if not 0.0 < prevalence < 1.0:
        raise UnsuitableData(f"a prevalence lies between 0 and 1, got {prevalence}.")
    z = two_sided(level)
    found, spared = sensitivity.value, specificity.value
    inside = 0.0 < found < 1.0 and 0.0 < spared < 1.0
    adjusted, kept = (found, spared) if inside else (_adjusted(sensitivity, z), _adjusted(specificity, z))
    odds = np.log(prevalence / (1 - prevalence))
    right = odds + np.log(adjusted / (1 - kept))
    absent = -odds + np.log(kept / (1 - adjusted))
    right_spread = np.sqrt((1 - adjusted) / (adjusted * sensitivity.n) + kept / ((1 - kept) * specificity.n))
    absent_spread = np.sqrt(adjusted / ((1 - adjusted) * sensitivity.n) + (1 - kept) / (kept * specificity.n))
    n = sensitivity.n + specificity.n

    def value(good: float, bad: float, logit: float, spread: float) -> Estimate | None:
        if good + bad <= 0:
            return None  # nobody is called in that way
        return estimate(good / (good + bad), _sigmoid(logit - z * spread), _sigmoid(logit + z * spread), n)

    return PredictiveValues(
        prevalence,
        ppv=value(found * prevalence, (1 - spared) * (1 - prevalence), right, right_spread),
        npv=value(spared * (1 - prevalence), (1 - found) * prevalence, absent, absent_spread),
    )


def _adjusted(rate: Estimate, z: float) -> float:
    extra = z * z / 2
    return (rate.value * rate.n + extra) / (rate.n + 2 * extra)


def _sigmoid(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))


def _positives(truth: np.ndarray) -> int:
    positives = int(truth.sum())
    if positives == 0:
        raise NotEstimable("precision and recall need at least one positive.")
    return positives
