"""Discrimination and calibration with 95 % intervals; agrees with scikit-learn and SciPy (see the tests)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import Estimate
from coread.train.errors import DataMissing

Scores = NDArray[np.floating[Any]]
Truth = NDArray[np.bool_]


def auc(truth: Truth, scores: Scores) -> float:
    """Return the area under the ROC curve: the chance that a positive scores above a negative, ties count half."""
    from scipy.stats import rankdata

    positives = int(truth.sum())
    negatives = len(truth) - positives
    if positives == 0 or negatives == 0:
        raise DataMissing(f"an AUC needs both classes, got {positives} positives and {negatives} negatives")
    ranks = rankdata(scores)
    return float((ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def auc_estimate(
    truth: Truth, scores: Scores, patients: Sequence[str], *, repeats: int = 1000, seed: int = 0
) -> Estimate:
    """Return the AUC with a patient-level bootstrap interval (percentiles); n counts images."""
    value = auc(truth, scores)
    names, member = np.unique(np.asarray(patients), return_inverse=True)
    images_of = [np.flatnonzero(member == name) for name in range(len(names))]
    random = np.random.default_rng(seed)
    drawn: list[float] = []
    while len(drawn) < repeats:
        chosen = np.concatenate([images_of[i] for i in random.integers(0, len(names), len(names))])
        if 0 < truth[chosen].sum() < len(chosen):
            drawn.append(auc(truth[chosen], scores[chosen]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(value, min(value, float(low)), max(value, float(high)), len(truth))


def proportion(successes: int, n: int) -> Estimate:
    """Return a proportion with the exact interval of Clopper and Pearson (1934)."""
    from scipy.stats import beta

    if n == 0:
        raise DataMissing("a proportion of no cases cannot be estimated")
    low = 0.0 if successes == 0 else float(beta.ppf(0.025, successes, n - successes + 1))
    high = 1.0 if successes == n else float(beta.ppf(0.975, successes + 1, n - successes))
    value = successes / n
    return Estimate(value, min(low, value), max(high, value), n)


def sensitivity_and_specificity(truth: Truth, scores: Scores, threshold: float) -> tuple[Estimate, Estimate]:
    """Measure a threshold: present when the score is at least the threshold."""
    called = scores >= threshold
    positives, negatives = int(truth.sum()), int((~truth).sum())
    return proportion(int((called & truth).sum()), positives), proportion(int((~called & ~truth).sum()), negatives)


def expected_calibration_error(truth: Truth, probabilities: Scores, bins: int = 10) -> float:
    """Return the mean gap between said probability and seen share over bins of equal count."""
    order = np.argsort(probabilities, kind="stable")
    gaps = [
        len(part) * abs(float(probabilities[part].mean()) - float(truth[part].mean()))
        for part in np.array_split(order, min(bins, len(order)))
    ]
    return float(sum(gaps) / len(order))


def threshold_for_sensitivity(truth: Truth, scores: Scores, wanted: float) -> float:
    """Return the highest threshold that still calls at least ``wanted`` of the positives present."""
    ordered = np.sort(scores[truth])
    return float(ordered[int(np.floor((1.0 - wanted) * len(ordered) + 1e-9))])


def threshold_for_specificity(truth: Truth, scores: Scores, wanted: float) -> float:
    """Return the lowest score that, as threshold, calls at least ``wanted`` of the negatives absent."""
    allowed = int(np.floor((1.0 - wanted) * int((~truth).sum()) + 1e-9))
    for candidate in np.unique(scores):
        if int((scores[~truth] >= candidate).sum()) <= allowed:
            return float(candidate)
    return float(np.nextafter(scores.max(), np.inf))


def threshold_of_youden(truth: Truth, scores: Scores) -> float:
    """Return the threshold with the largest sum of sensitivity and specificity (Youden 1950)."""
    candidates = np.unique(scores)
    positives, negatives = np.sort(scores[truth]), np.sort(scores[~truth])
    sensitivity = 1.0 - np.searchsorted(positives, candidates) / len(positives)
    specificity = np.searchsorted(negatives, candidates) / len(negatives)
    return float(candidates[int(np.argmax(sensitivity + specificity))])
