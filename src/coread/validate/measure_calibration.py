"""What a probability is worth: calibration with intervals, sets with stated coverage, usefulness of acting on it."""

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import Estimate
from coread.statistics.calibration import Platt, cross_fitted, fit_platt, patient_folds, shift_prevalence
from coread.statistics.conformal import fit_conformal
from coread.statistics.decision import net_benefit
from coread.statistics.errors import NotEstimable
from coread.statistics.intervals import bootstrap_weighted, proportion
from coread.statistics.reliability import (
    brier,
    calibration_error_estimate,
    calibration_line,
    reliability_points,
    spiegelhalter,
)
from coread.validate.measure_settings import MeasureSettings
from coread.validate.observations import Answers
from coread.validate.plain import Plain, not_estimable, plain_estimate, rounded, stated, thinned

COVERAGE = 0.9
_FOLDS = 5
_EDGE = 1e-6
Floats = NDArray[np.float64]


def need_both(answers: Answers) -> None:
    """Raise NotEstimable, with the reason, where an AUC (or any curve of both classes) does not exist."""
    if not len(answers.truth):
        raise NotEstimable("AUC not estimable: no case with a known truth was read")
    if not answers.has_probability:
        raise NotEstimable("AUC not estimable: the reader gives no probability")
    if not answers.truth.any():
        raise NotEstimable("AUC not estimable: no positives")
    if answers.truth.all():
        raise NotEstimable("AUC not estimable: no negatives")


def calibration_of(read: Answers, settings: MeasureSettings) -> Plain:
    """Return calibration errors with intervals over patients, the calibration line, and the reliability diagram.

    ``recalibrated`` says what a Platt curve of these very cases would leave of the error, cross-fitted over patients:
    whether calibrating here is worth it.
    """
    try:
        need_both(read)
    except NotEstimable as problem:
        return not_estimable(str(problem).replace("AUC", "calibration"))
    truth, given = read.truth, read.probability
    bins = max(2, min(10, len(truth) // 20))
    body: Plain = {
        "n": len(truth),
        "bins": bins,
        **_errors(read, given, bins, settings),
        "points": [
            {"mean_probability": rounded(item.mean_probability), "observed": plain_estimate(item.observed)}
            for item in reliability_points(truth, given, bins=bins)
        ],
        "recalibrated": _recalibrated(read, bins, settings),
    }
    try:
        line = calibration_line(truth, given)
        body |= {name: plain_estimate(getattr(line, name)) for name in ("slope", "intercept", "in_the_large")}
        body["spiegelhalter_p"] = rounded(spiegelhalter(truth, given).p_value)
    except NotEstimable as problem:
        body["line"] = not_estimable(str(problem))
    return body


def conformal_of(read: Answers, settings: MeasureSettings) -> Plain:
    """Return what sets of answers with a stated coverage come to here: fitted on some patients, measured on the others.

    A set holds "present", "absent", both (undecided) or neither (unlike all that was calibrated on).
    """
    try:
        need_both(read)
        folds = patient_folds(read.truth, read.patients, folds=_FOLDS, seed=settings.seed)
    except NotEstimable as problem:
        return not_estimable(str(problem).replace("AUC", "coverage"))
    return {
        "wanted": COVERAGE,
        "n": len(read.truth),
        "marginal": _sets(read, folds, class_conditional=False),
        "by_class": _sets(read, folds, class_conditional=True),
    }


def _sets(read: Answers, folds: NDArray[np.int64], *, class_conditional: bool) -> Plain:
    """Return how often sets of one kind hold the truth, and what they hold."""
    sets = np.zeros((len(read.truth), 2), dtype=np.bool_)
    classes = read.truth.astype(np.int64)
    for fold in np.unique(folds):
        here = folds == fold
        fitted = fit_conformal(
            read.probability[~here], classes[~here], coverage=COVERAGE, class_conditional=class_conditional
        )
        sets[here] = fitted.sets(read.probability[here])
    held = sets[np.arange(len(sets)), classes]
    sizes = sets.sum(axis=1)
    return {
        "coverage": _share(held, read.patients),
        "coverage_positives": _share(held[read.truth], read.patients[read.truth]),
        "coverage_negatives": _share(held[~read.truth], read.patients[~read.truth]),
        **{name: _share(sizes == size, read.patients) for size, name in enumerate(("neither", "one", "both"))},
    }


def _share(hits: NDArray[np.bool_], patients: NDArray[np.str_]) -> Plain:
    return stated(lambda: proportion(hits, patients))


def decision_of(read: Answers, settings: MeasureSettings) -> Plain:
    """Return net benefit in these cases, with its band over patients."""
    return _benefit(read, read.probability, None, settings)


def decision_at(read: Answers, prevalence: float | None, settings: MeasureSettings) -> Plain | None:
    """Return net benefit where the reader will be used; None where nothing is said of that place.

    Probabilities that fit these cases say too much where the finding is rarer: they are moved to that prevalence first,
    likelihood ratios unchanged (Elkan 2001).
    """
    if prevalence is None:
        return None
    share = float(read.truth.mean()) if len(read.truth) else 0.0
    moved = read.probability
    if 0.0 < share < 1.0 and read.has_probability:
        moved = shift_prevalence(read.probability, from_prevalence=share, to_prevalence=prevalence)
    return _benefit(read, moved, prevalence, settings)


def _benefit(read: Answers, given: Floats, prevalence: float | None, settings: MeasureSettings) -> Plain:
    try:
        need_both(read)
        found = net_benefit(
            read.truth, given, np.linspace(0.01, 0.99, 99), read.patients, prevalence=prevalence,
            plan=settings.plan(1000, method="percentile"),
        )  # fmt: skip
    except NotEstimable as problem:
        return not_estimable(str(problem).replace("AUC", "net benefit"))
    columns = (found.thresholds, found.reader, found.everybody, found.low, found.high)
    return {
        "columns": ["threshold", "reader", "everybody", "low", "high"],
        "prevalence": rounded(found.prevalence),
        "rows": thinned(*columns),
    }


def _errors(read: Answers, given: Floats, bins: int, settings: MeasureSettings) -> Plain:
    truth, patients = read.truth, read.patients
    # Resamples are less well calibrated than the cases themselves: percentiles keep that on the safe side, unlike BCa.
    plan = settings.plan(500, method="percentile")
    squared = (given - truth) ** 2

    def score() -> Estimate:
        found = bootstrap_weighted(lambda weights: weights @ squared / weights.sum(axis=1), patients, plan=plan)
        return Estimate(brier(truth, given), found.low, found.high, found.n)

    return {
        "ece": stated(lambda: calibration_error_estimate(truth, given, patients, bins=bins, plan=plan)),
        "ece_debiased": stated(
            lambda: calibration_error_estimate(truth, given, patients, kind="debiased", bins=bins, plan=plan)
        ),
        "brier": stated(score),
    }


def _recalibrated(read: Answers, bins: int, settings: MeasureSettings) -> Plain:
    kept = np.clip(read.probability, _EDGE, 1 - _EDGE)
    logits = np.log(kept / (1 - kept))
    try:
        folds = patient_folds(read.truth, read.patients, folds=_FOLDS, seed=settings.seed)
        given = cross_fitted(logits, read.truth, fit_platt, folds)
    except NotEstimable as problem:
        return not_estimable(str(problem))
    return {"method": Platt.method, "folds": len(np.unique(folds)), **_errors(read, given, bins, settings)}
