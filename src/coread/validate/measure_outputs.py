"""One output with a yes-or-no truth: discrimination, operating points, calibration, usefulness, refusals counted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import Estimate, OperatingPoint, OutputSpec
from coread.statistics.errors import NotEstimable
from coread.statistics.intervals import Resampling, proportion
from coread.statistics.precision_recall import (
    average_precision_estimate,
    precision_recall_curve,
    predictive_values,
)
from coread.statistics.roc import auc_bootstrap, auc_estimate, roc_curve
from coread.validate.observations import Answers
from coread.validate.plain import (
    Plain,
    estimate_from,
    is_estimate,
    not_estimable,
    plain_estimate,
    rounded,
    stated,
    thinned,
)

_BINS = 20


@dataclass(frozen=True, slots=True)
class MeasureSettings:
    """How estimates are made."""

    repeats: int = 2000
    seed: int = 20260101
    fewest: int = 20
    """Strata with fewer cases get no estimate."""

    def plan(self, repeats: int | None = None, *, method: Literal["bca", "percentile"] = "bca") -> Resampling:
        """Return how a bootstrap is made."""
        return Resampling(repeats=min(repeats or self.repeats, self.repeats), seed=self.seed, method=method)


def measure_output(spec: OutputSpec, answers: Answers, prevalence: float | None, settings: MeasureSettings) -> Plain:
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
        "operating_points": {
            point.name: _at_point(spec, point, answers, prevalence) for point in spec.operating_points
        },
        "calibration": _calibration(read, settings),
        "decision": _decision(read),
        "curves": _curves(read),
    }


def measured_auc(answers: Answers) -> Estimate:
    """Return the AUC of the calibrated probability among cases that were read; DeLong, clustered by patient."""
    _need_both(answers)
    return auc_estimate(answers.truth, answers.probability, answers.patients)


def rates_at(answers: Answers, called: NDArray[np.bool_]) -> tuple[Plain, Plain]:
    """Return sensitivity and specificity of calls, each with its exact (or clustered) interval."""
    patients = answers.patients

    def rate(among: NDArray[np.bool_], right: NDArray[np.bool_], word: str) -> Plain:
        if not among.any():
            return not_estimable(f"no {word}")
        return stated(lambda: proportion(right[among], patients[among]))

    return rate(answers.truth, called, "positives"), rate(~answers.truth, ~called, "negatives")


def _need_both(answers: Answers) -> None:
    if not len(answers.truth):
        raise NotEstimable("AUC not estimable: no case with a known truth was read")
    if not answers.has_probability:
        raise NotEstimable("AUC not estimable: the reader gives no probability")
    if not answers.truth.any():
        raise NotEstimable("AUC not estimable: no positives")
    if answers.truth.all():
        raise NotEstimable("AUC not estimable: no negatives")


def _discrimination(answers: Answers, read: Answers, settings: MeasureSettings) -> Plain:
    def by_bootstrap() -> Estimate:
        _need_both(read)
        return auc_bootstrap(read.truth, read.probability, read.patients, plan=settings.plan())

    def precision() -> Estimate:
        _need_both(read)
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
    _need_both(answers.chosen(answers.read))
    scores = np.where(answers.read, answers.probability, np.where(answers.truth, -1.0, 2.0))
    return auc_estimate(answers.truth, scores, answers.patients)


def _at_point(spec: OutputSpec, point: OperatingPoint, answers: Answers, prevalence: float | None) -> Plain:
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
        "at_prevalence": _at_prevalence(sensitivity, specificity, prevalence),
    }


def _share(read: Answers, among: NDArray[np.bool_], right: NDArray[np.bool_], otherwise: str) -> Plain:
    if not among.any():
        return not_estimable(otherwise)
    return stated(lambda: proportion(right[among], read.patients[among]))


def _at_prevalence(sensitivity: Plain, specificity: Plain, prevalence: float | None) -> Plain | None:
    if prevalence is None or not (is_estimate(sensitivity) and is_estimate(specificity)):
        return None
    try:
        values = predictive_values(estimate_from(sensitivity), estimate_from(specificity), prevalence)
    except NotEstimable as problem:
        return {"prevalence": prevalence} | not_estimable(str(problem))
    body: Plain = {"prevalence": prevalence}
    for name, found in (("ppv", values.ppv), ("npv", values.npv)):
        body[name] = not_estimable("nobody would be called so") if found is None else plain_estimate(found)
    return body


def _calibration(read: Answers, settings: MeasureSettings) -> Plain:
    from coread.statistics.reliability import (
        brier,
        calibration_error_estimate,
        calibration_line,
        reliability_points,
        spiegelhalter,
    )

    try:
        _need_both(read)
    except NotEstimable as problem:
        return not_estimable(str(problem).replace("AUC", "calibration"))
    truth, given, patients = read.truth, read.probability, read.patients
    bins = max(2, min(10, len(truth) // 20))
    # Resamples are less well calibrated than the cases themselves: percentiles keep that on the safe side, unlike BCa.
    plan = settings.plan(500, method="percentile")
    body: Plain = {
        "bins": bins,
        "ece": stated(lambda: calibration_error_estimate(truth, given, patients, bins=bins, plan=plan)),
        "ece_debiased": stated(
            lambda: calibration_error_estimate(truth, given, patients, kind="debiased", bins=bins, plan=plan)
        ),
        "brier": rounded(brier(truth, given)),
        "points": [
            {"mean_probability": rounded(item.mean_probability), "observed": plain_estimate(item.observed)}
            for item in reliability_points(truth, given, bins=bins)
        ],
    }
    try:
        line = calibration_line(truth, given)
        body |= {name: plain_estimate(getattr(line, name)) for name in ("slope", "intercept", "in_the_large")}
        body["spiegelhalter_p"] = rounded(spiegelhalter(truth, given).p_value)
    except NotEstimable as problem:
        body["line"] = not_estimable(str(problem))
    return body


def _decision(read: Answers) -> Plain:
    from coread.statistics.decision import net_benefit

    try:
        _need_both(read)
        found = net_benefit(read.truth, read.probability, np.linspace(0.01, 0.99, 99), read.patients)
    except NotEstimable as problem:
        return not_estimable(str(problem).replace("AUC", "net benefit"))
    columns = (found.thresholds, found.reader, found.everybody)
    return {"columns": ["threshold", "reader", "everybody"], "rows": thinned(*columns)}


def _curves(read: Answers) -> Plain:
    body: Plain = {"histogram": _histogram(read)}
    try:
        _need_both(read)
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
