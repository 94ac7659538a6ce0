"""Fitting what turns a network's logits into probabilities and calls: curves, operating points, abstention, sets.

Works on predictions alone, without the network: a hospital can fit its own calibration without torch. The curve is
chosen and its error measured on patients that it was not fitted on.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import Estimate
from coread.models.calibration import Beta, Calibration, Curve, Isotonic, Platt
from coread.models.errors import BadPredictions
from coread.models.predictions import OutputPredictions

if TYPE_CHECKING:
    from coread.statistics import calibration as fitting
    from coread.statistics.conformal import Selective
    from coread.statistics.reliability import ReliabilityPoint
    from coread.statistics.thresholds import ChosenPoint, Rule

Progress = Callable[[str], None]
METHODS = ("temperature", "platt", "beta", "isotonic")


@dataclass(frozen=True, slots=True)
class CalibratePlan:
    """What to fit. ``rules`` name the operating points."""

    rules: tuple[tuple[str, "Rule"], ...]
    methods: tuple[str, ...] = METHODS
    criterion: str = "log_loss"
    folds: int = 5
    bins: int = 10
    repeats: int = 1000
    seed: int = 0
    coverage: float = 0.9
    """Of the conformal sets."""
    most_error: float | None = None
    """With it: refuse between two probabilities so that, of what is answered, at most this share is wrong."""
    from_prevalence: float | None = None
    """None: the share of positives among these cases."""
    to_prevalence: float | None = None
    """None: probabilities are for the prevalence of these cases."""


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedOutput:
    """The calibration of one output with what was measured."""

    key: str
    n: int
    positives: int
    patients: int
    unknown: int
    curve: Curve
    method: str
    losses: dict[str, float]
    """Cross-fitted loss of every method tried."""
    raw_error: float
    """Calibration error of the plain sigmoid, before."""
    error: Estimate
    """Expected calibration error (equal mass) of the chosen method on patients it was not fitted on."""
    debiased_error: Estimate | None
    """The same, less the noise of the bins (root mean square); None: too few cases for it."""
    brier: float
    points: "tuple[ReliabilityPoint, ...]"
    operating_points: "tuple[tuple[str, ChosenPoint], ...]"
    unreachable: tuple[tuple[str, str], ...]
    """Rules that no threshold keeps, with the reason."""
    prevalence: tuple[float, float] | None
    """From and to, where the curve was moved."""
    conformal: tuple[float, tuple[float, float]]
    """Coverage, and the limits of (absent, present)."""
    abstention: "Selective | None"


def calibrate_output(found: OutputPredictions, plan: CalibratePlan) -> CalibratedOutput:
    """Choose and fit the curve of one output and everything that follows from it."""
    from coread.statistics.calibration import choose_calibration
    from coread.statistics.errors import NotEstimable
    from coread.statistics.reliability import brier, expected_calibration_error, reliability_points

    criterion: fitting.Criterion = "brier" if plan.criterion == "brier" else "log_loss"
    try:
        choice = choose_calibration(
            found.logits,
            found.truth,
            found.patients,
            methods=plan.methods,
            folds=plan.folds,
            criterion=criterion,
            seed=plan.seed,
        )
    except NotEstimable as problem:
        raise BadPredictions(f"output {found.output!r}: {problem}") from problem
    fitted, prevalence = _for_prevalence(choice.curve, found, plan)
    crossed = _moved(choice.probabilities, prevalence)
    final = np.array([run_time_curve(fitted).probability(float(logit)) for logit in found.logits])
    points, unreachable = _operating_points(found, final, plan)
    abstention, why_not = _abstention(found, crossed, points, plan)
    return CalibratedOutput(
        key=found.output,
        n=len(found.truth),
        positives=int(found.truth.sum()),
        patients=len(set(found.patients)),
        unknown=found.unknown,
        curve=run_time_curve(fitted),
        method=fitted.method,
        losses=dict(choice.losses),
        raw_error=expected_calibration_error(found.truth, _sigmoid(found.logits), plan.bins),
        error=_error(found, choice.probabilities, plan),
        debiased_error=_debiased(found, choice.probabilities, plan),
        brier=brier(found.truth, choice.probabilities),
        points=reliability_points(found.truth, choice.probabilities, bins=plan.bins),
        operating_points=points,
        unreachable=unreachable + why_not,
        prevalence=prevalence,
        conformal=_conformal(found, crossed, plan),
        abstention=abstention,
    )


def calibration_of(outputs: tuple[CalibratedOutput, ...]) -> Calibration:
    """Return what goes into calibration.json."""
    return Calibration(tuple((item.key, item.curve) for item in sorted(outputs, key=lambda item: item.key)))


def run_time_curve(curve: "fitting.Curve") -> Curve:
    """Return the run-time twin of a fitted curve: the same formula for one logit, without SciPy."""
    values = curve.parameters()
    match curve.method:
        case "temperature":
            return Platt(1.0 / float(values["temperature"]), 0.0)
        case "platt":
            return Platt(float(values["a"]), float(values["b"]))
        case "beta":
            return Beta(float(values["a"]), float(values["b"]), float(values["c"]))
        case _:
            return Isotonic(tuple(values["logits"]), tuple(values["probabilities"]))


def _for_prevalence(
    curve: "fitting.Curve", found: OutputPredictions, plan: CalibratePlan
) -> "tuple[fitting.Curve, tuple[float, float] | None]":
    if plan.to_prevalence is None:
        return curve, None
    from coread.statistics.calibration import shifted

    start = float(found.truth.mean()) if plan.from_prevalence is None else plan.from_prevalence
    return shifted(curve, from_prevalence=start, to_prevalence=plan.to_prevalence), (start, plan.to_prevalence)


def _moved(probabilities: NDArray[np.float64], prevalence: tuple[float, float] | None) -> NDArray[np.float64]:
    if prevalence is None:
        return probabilities
    from coread.statistics.calibration import shift_prevalence

    return shift_prevalence(probabilities, from_prevalence=prevalence[0], to_prevalence=prevalence[1])


def _operating_points(
    found: OutputPredictions, probabilities: NDArray[np.float64], plan: CalibratePlan
) -> "tuple[tuple[tuple[str, ChosenPoint], ...], tuple[tuple[str, str], ...]]":
    """Find every rule's threshold; a rule that cannot be kept is told, not replaced by another."""
    from coread.statistics.errors import NotEstimable
    from coread.statistics.thresholds import choose_threshold

    points: list[tuple[str, ChosenPoint]] = []
    unreachable: list[tuple[str, str]] = []
    for name, rule in plan.rules:
        try:
            point = choose_threshold(rule, found.truth, probabilities, found.patients)
        except NotEstimable as problem:
            unreachable.append((name, str(problem)))
            continue
        if not 0.0 < point.threshold < 1.0:
            unreachable.append((name, f"the threshold would be {point.threshold:.3g}, outside (0, 1): {rule.words()}"))
            continue
        points.append((name, replace(point, threshold=_between(point.threshold, probabilities))))
    return tuple(points), tuple(unreachable)


def _between(threshold: float, probabilities: NDArray[np.float64]) -> float:
    """Move a threshold half way to the next lower probability: the same calls here, and no call hangs on rounding."""
    lower = probabilities[probabilities < threshold]
    return float((threshold + lower.max()) / 2) if lower.size else threshold


def _error(found: OutputPredictions, probabilities: NDArray[np.float64], plan: CalibratePlan) -> Estimate:
    from coread.statistics.intervals import Resampling
    from coread.statistics.reliability import calibration_error_estimate

    resampling = Resampling(repeats=plan.repeats, seed=plan.seed)  # BCa: resamples are worse calibrated than the data
    return calibration_error_estimate(
        found.truth, probabilities, found.patients, kind="ece", bins=plan.bins, plan=resampling
    )


def _debiased(found: OutputPredictions, probabilities: NDArray[np.float64], plan: CalibratePlan) -> Estimate | None:
    from coread.statistics.errors import NotEstimable
    from coread.statistics.intervals import Resampling
    from coread.statistics.reliability import calibration_error_estimate

    resampling = Resampling(repeats=plan.repeats, seed=plan.seed)
    try:
        return calibration_error_estimate(
            found.truth, probabilities, found.patients, kind="debiased", bins=plan.bins, plan=resampling
        )
    except NotEstimable:
        return None


def _conformal(
    found: OutputPredictions, probabilities: NDArray[np.float64], plan: CalibratePlan
) -> tuple[float, tuple[float, float]]:
    from coread.statistics.conformal import fit_conformal

    table = np.stack([1.0 - probabilities, probabilities], axis=1)
    fitted = fit_conformal(table, found.truth.astype(np.int64), coverage=plan.coverage, class_conditional=True)
    low, high = (float(limit) for limit in fitted.limits)
    return plan.coverage, (low, high)


def _abstention(
    found: OutputPredictions,
    probabilities: NDArray[np.float64],
    points: "tuple[tuple[str, ChosenPoint], ...]",
    plan: CalibratePlan,
) -> "tuple[Selective | None, tuple[tuple[str, str], ...]]":
    """Fit on one case of each patient (the bound needs independent ones), at the first operating point."""
    if plan.most_error is None:
        return None, ()
    if plan.to_prevalence is not None:
        raise BadPredictions(
            "a bound on wrong answers holds for one prevalence: leave out --most-error or --prevalence-to."
        )
    from coread.statistics.conformal import fit_selective
    from coread.statistics.errors import NotEstimable

    first = np.unique(np.asarray(found.patients, dtype=object).astype(str), return_index=True)[1]
    threshold = points[0][1].threshold if points else 0.5
    try:
        fitted = fit_selective(
            found.truth[first], probabilities[first], most_error=plan.most_error, threshold=threshold
        )
    except NotEstimable as problem:
        return None, (("abstention", str(problem)),)
    return fitted, ()


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-np.logaddexp(0.0, -logits)), dtype=np.float64)
