"""What a card may say of an output: discrimination, operating points and calibration from out-of-fold predictions.

Every number here is for an image whose patient the network did not learn from. Thresholds and calibration that are
judged on a fold were chosen on the other folds; the ones that are shipped are chosen on all folds together.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import Estimate, OperatingPoint
from coread.statistics.calibration import Platt, cross_fitted, fit_platt
from coread.statistics.intervals import clopper_pearson
from coread.statistics.reliability import expected_calibration_error
from coread.statistics.roc import auc_estimate
from coread.statistics.thresholds import threshold_for_sensitivity, threshold_for_specificity, threshold_of_youden

Logits = NDArray[np.floating[Any]]
Truth = NDArray[np.bool_]
Rule = Callable[[Truth, NDArray[np.float64]], float]

RULES: dict[str, tuple[str, Rule]] = {
    "screening": ("highest threshold with sensitivity >= 0.90", lambda t, p: threshold_for_sensitivity(t, p, 0.90)),
    "balanced": ("largest sum of sensitivity and specificity (Youden)", threshold_of_youden),
    "specific": ("lowest threshold with specificity >= 0.90", lambda t, p: threshold_for_specificity(t, p, 0.90)),
}
"""Name of an operating point: how it is chosen, in words and as a function of truth and probabilities."""


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """Predictions for images that the predicting network did not learn from."""

    patients: Sequence[str]
    folds: NDArray[np.int64]
    inside: NDArray[np.bool_]
    """Images of the subset in which the easy difference between sources is absent."""


@dataclass(frozen=True, slots=True)
class OutputMeasurement:
    """All that was measured of one output."""

    key: str
    positives: int
    auc: Estimate
    positives_inside: int
    auc_inside: Estimate
    platt: Platt
    calibration_error: float
    """Expected calibration error, 10 bins of equal count, calibration fitted on the other folds."""
    points: tuple[OperatingPoint, ...]


def measure_output(key: str, truth: Truth, logits: Logits, cases: OutOfFold, *, measured_on: str) -> OutputMeasurement:
    """Measure one output over all images and inside the subset."""
    platt = fit_platt(logits, truth)
    probabilities = platt.probabilities(logits)
    crossed = cross_fitted(logits, truth, fit_platt, cases.folds)
    names = list(cases.patients)
    inside = np.flatnonzero(cases.inside)
    return OutputMeasurement(
        key=key,
        positives=int(truth.sum()),
        auc=auc_estimate(truth, logits, names),
        positives_inside=int(truth[inside].sum()),
        auc_inside=auc_estimate(truth[inside], logits[inside], [names[i] for i in inside]),
        platt=platt,
        calibration_error=expected_calibration_error(truth, crossed),
        points=tuple(
            _point(name, truth, logits, probabilities, cases.folds, measured_on=measured_on) for name in RULES
        ),
    )


def _point(
    name: str,
    truth: Truth,
    logits: Logits,
    probabilities: NDArray[np.float64],
    folds: NDArray[np.int64],
    *,
    measured_on: str,
) -> OperatingPoint:
    words, rule = RULES[name]
    called = np.empty(len(truth), dtype=np.bool_)
    for fold in np.unique(folds):
        here = folds == fold
        called[here] = logits[here] >= rule(truth[~here], np.asarray(logits[~here], dtype=np.float64))
    positives, negatives = int(truth.sum()), int((~truth).sum())
    return OperatingPoint(
        name=name,
        # Rounded down, so that the image that set the threshold is still called.
        threshold=math.floor(rule(truth, probabilities) * 1e6) / 1e6,
        rule=words,
        sensitivity=clopper_pearson(int((called & truth).sum()), positives),
        specificity=clopper_pearson(int((~called & ~truth).sum()), negatives),
        measured_on=measured_on,
    )
