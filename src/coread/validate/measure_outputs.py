"""One output with a yes-or-no truth: discrimination, operating points, calibration, usefulness, refusals counted."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import Estimate, OperatingPoint, OutputSpec
from coread.statistics.errors import NotEstimable
from coread.statistics.intervals import proportion
from coread.statistics.precision_recall import (
    average_precision_estimate,
    precision_recall_curve,
    predictive_values,
)
from coread.statistics.roc import auc_bootstrap, auc_estimate, roc_curve
from coread.validate.measure_calibration import calibration_of, conformal_of, decision_at, decision_of, need_both
from coread.validate.measure_settings import MeasureSettings, Use
from coread.validate.observations import Answers
from coread.validate.plain import (
    Plain,
    estimate_from,
    is_estimate,
    not_estimable,
    plain_estimate,
    stated,
    thinned,
)

_BINS = 20


def measure_output(spec: OutputSpec, answers: Answers, used: Use, settings: MeasureSettings) -> Plain:
    """Return everything that these cases tell about one output of the reader."""
    read = answers.chosen(answers.read)
    positives, unread = int(answers.truth.sum()), answers.truth[~answers.read]
    return {
        "name": spec.name,
        "urgent": spec.urgent,
        "n": len(answers.truth),
        "patients": len(np.unique(answers.patients)),
        "positives": positives,
        "negatives": len(answers.truth) - positives,
        "not_read": {"positives": int(unread.sum()), "negatives": int((~unread).sum())},
        "discrimination": _discrimination(answers, read, settings),
        "operating_points": {point.name: _at_point(spec, point, answers, used) for point in spec.operating_points},
        "calibration": calibration_of(read, settings),
        "conformal": conformal_of(read, settings),
        "decision": decision_of(read, settings),
        "decision_at_prevalence": decision_at(read, used.prevalence, settings),
        "curves": _curves(read),
    }


def measured_auc(answers: Answers) -> Estimate:
    """Return the AUC of the calibrated probability among cases that were read; DeLong, clustered by patient."""
    need_both(answers)
    return auc_estimate(answers.truth, answers.probability, answers.patients)


def rates_at(answers: Answers, called: NDArray[np.bool_]) -> tuple[Plain, Plain]:
    """Return sensitivity and specificity of calls, each with its exact (or clustered) interval."""
    patients = answers.patients

    def rate(among: NDArray[np.bool_], right: NDArray[np.bool_], word: str) -> Plain:
        if not among.any():
            return not_estimable(f"no {word}")
        return stated(lambda: proportion(right[among], patients[among]))

    return rate(answers.truth, called, "positives"), rate(~answers.truth, ~called, "negatives")


def _discrimination(answers: Answers, read: Answers, settings: MeasureSettings) -> Plain:
    def by_bootstrap() -> Estimate:
        need_both(read)
        return auc_bootstrap(read.truth, read.probability, read.patients, plan=settings.plan())

    def precision() -> Estimate:
        need_both(read)
        return average_precision_estimate(read.truth, read.probability, read.patients, plan=settings.plan())

    one_each = len(np.unique(read.patients)) == len(read.truth)
    return {
        "score": "calibrated probability",
        "auc": stated(lambda: measured_auc(read)),
        "auc_method": "DeLong" if one_each else "DeLong, clustered by patient (Obuchowski)",
        "auc_bootstrap": stated(by_bootstrap),
        "auc_bootstrap_method": f"BCa, {settings.repeats} resamples of patients, seed {settings.seed}",
        "auc_with_refusals": stated(lambda: _auc_with_refusals(answers)),
        "average_precision": stated(precision),
    }


def _auc_with_refusals(answers: Answers) -> Estimate:
    """Return the AUC when each case that was not read counts as ranked wrongly: the lower end of what it may be."""
    need_both(answers.chosen(answers.read))
    scores = np.where(answers.read, answers.probability, np.where(answers.truth, -1.0, 2.0))
    return auc_estimate(answers.truth, scores, answers.patients)


def _at_point(spec: OutputSpec, point: OperatingPoint, answers: Answers, used: Use) -> Plain:
    default = point.name == spec.default_operating_point
    read = answers.chosen(answers.read)
    if answers.has_probability:
        called = read.probability >= point.threshold
    elif default:
        called = read.called
    else:
        return {"threshold": point.threshold, "default": default, **dict.fromkeys(
            ("sensitivity", "specificity"), not_estimable("the reader gives no probability")
        )}  # fmt: skip
    sensitivity, specificity = rates_at(read, called)
    whole = np.zeros(len(answers.truth), dtype=np.bool_)
    whole[answers.read] = called
    # Intention to diagnose: a case that was not read is neither found nor cleared, so it counts as wrong.
    whole[~answers.read] = ~answers.truth[~answers.read]
    strict_sensitivity, strict_specificity = rates_at(answers, whole)
    return {
        "threshold": point.threshold,
        "rule": point.rule,
        "default": default,
        "true_positives": int((called & read.truth).sum()),
        "false_negatives": int((~called & read.truth).sum()),
        "false_positives": int((called & ~read.truth).sum()),
        "true_negatives": int((~called & ~read.truth).sum()),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "sensitivity_with_refusals": strict_sensitivity,
        "specificity_with_refusals": strict_specificity,
        "ppv": _share(read, called, read.truth, "nobody was called positive"),
        "npv": _share(read, ~called, ~read.truth, "nobody was called negative"),
        "at_prevalence": _at_prevalence(sensitivity, specificity, used),
    }


def _share(read: Answers, among: NDArray[np.bool_], right: NDArray[np.bool_], otherwise: str) -> Plain:
    if not among.any():
        return not_estimable(otherwise)
    return stated(lambda: proportion(right[among], read.patients[among]))


def _at_prevalence(sensitivity: Plain, specificity: Plain, used: Use) -> Plain | None:
    """Return predictive values and false alerts where the reader will be used, if that is stated."""
    prevalence = used.prevalence
    if prevalence is None or not (is_estimate(sensitivity) and is_estimate(specificity)):
        return None
    body: Plain = {"prevalence": prevalence, "false_alerts_per_100": _alerts(specificity, prevalence, 100.0)}
    if used.studies_per_day is not None:
        body |= {
            "studies_per_day": used.studies_per_day,
            "false_alerts_per_day": _alerts(specificity, prevalence, used.studies_per_day),
        }
    try:
        values = predictive_values(estimate_from(sensitivity), estimate_from(specificity), prevalence)
    except NotEstimable as problem:
        return body | not_estimable(str(problem))
    for name, found in (("ppv", values.ppv), ("npv", values.npv)):
        body[name] = not_estimable("nobody would be called so") if found is None else plain_estimate(found)
    return body


def _alerts(specificity: Plain, prevalence: float, studies: float) -> Plain:
    """Return how many of so many studies are called although nothing is there; the prevalence is taken as known."""
    at_risk = studies * (1 - prevalence)
    spared = estimate_from(specificity)
    return plain_estimate(
        Estimate(at_risk * (1 - spared.value), at_risk * (1 - spared.high), at_risk * (1 - spared.low), spared.n)
    )


def _curves(read: Answers) -> Plain:
    body: Plain = {"histogram": _histogram(read)}
    try:
        need_both(read)
    except NotEstimable:
        return body  # there is no curve; the reason stands with the AUC
    roc = roc_curve(read.truth, read.probability)
    precision = precision_recall_curve(read.truth, read.probability)
    body["roc"] = {
        "columns": ["false_positive_rate", "sensitivity"],
        "rows": thinned(roc.false_positive_rate, roc.sensitivity),
    }
    body["precision_recall"] = {
        "columns": ["recall", "precision"],
        "rows": thinned(precision.recall, precision.precision),
    }
    return body


def _histogram(read: Answers) -> Mapping[str, list[int]] | Plain:
    if not read.has_probability:
        return not_estimable("the reader gives no probability")
    edges = np.linspace(0, 1, _BINS + 1)
    counts = {
        name: [int(count) for count in np.histogram(read.probability[read.truth == present], edges)[0]]
        for name, present in (("negatives", False), ("positives", True))
    }
    return {"bins": _BINS, **counts}
