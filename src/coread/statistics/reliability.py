"""How well probabilities mean what they say: calibration errors, reliability points, Brier parts, calibration line."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from coread.domain.cards import Estimate
from coread.statistics.arrays import Flags, Floats, Groups, both_classes, flags, probabilities_of, same_length
from coread.statistics.calibration import loss
from coread.statistics.errors import NotEstimable
from coread.statistics.extras import scipy_part
from coread.statistics.intervals import SHORT, Progress, Resampling, bootstrap, estimate, two_sided, wilson
from coread.statistics.logistic import fit_logistic

Kind = Literal["ece", "sweep", "debiased"]
_MOST_BINS = 500
_ROUNDING = 1e-12
_EDGE = 1e-6
"""Logits of probabilities are taken no further than this from 0 and 1."""


@dataclass(frozen=True, slots=True)
class ReliabilityPoint:
    """One bin of a reliability diagram: what was said on average, and what was seen, with Wilson's interval."""

    low: float
    high: float
    mean_probability: float
    observed: Estimate


@dataclass(frozen=True, slots=True)
class BrierParts:
    """Murphy (1973): brier = reliability - resolution + uncertainty + within_bins.

    ``within_bins`` is what binning leaves over (Stephenson, Coelho, Jolliffe 2008); zero when each bin holds one value.
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float


@dataclass(frozen=True, slots=True)
class CalibrationLine:
    """Cox (1958): logit(seen) = intercept + slope * logit(said); 1 and 0 are perfect."""

    slope: Estimate
    intercept: Estimate
    in_the_large: Estimate
    """Intercept with the slope held at 1: are probabilities too low (positive) or too high (negative) overall."""


@dataclass(frozen=True, slots=True)
class Spiegelhalter:
    """Test that all probabilities are right (Spiegelhalter 1986); two-sided p-value."""

    z: float
    p_value: float


def expected_calibration_error(truth: ArrayLike, probabilities: ArrayLike, bins: int = 10) -> float:
    """Return the mean gap between said probability and seen share over bins of equal count."""
    sizes, said, seen = _binned(*_checked(truth, probabilities), bins)
    return float((sizes * np.abs(said - seen)).sum() / sizes.sum())


def sweep_calibration_error(truth: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the ECE with the most equal-count bins whose seen shares still rise (Roelofs et al. 2022).

    At most 500 bins: a perfect separation would end with one bin per case.
    """
    known, chance = _checked(truth, probabilities)
    sums = _running_sums(known, chance)
    bins = 1
    while bins < min(len(known), _MOST_BINS):
        _, _, seen = _split(*sums, bins + 1)
        if (np.diff(seen) < -_ROUNDING).any():
            break
        bins += 1
    return expected_calibration_error(known, chance, bins)


def debiased_calibration_error(truth: ArrayLike, probabilities: ArrayLike, bins: int = 10) -> float:
    """Return the root mean square calibration error less the noise of the bins (Broecker 2012; Kumar et al. 2019)."""
    known, chance = _checked(truth, probabilities)
    if len(known) < 2 * bins:
        raise NotEstimable(f"{bins} bins of at least two cases need {2 * bins} cases, got {len(known)}.")
    sizes, said, seen = _binned(known, chance, bins)
    squared = (said - seen) ** 2 - seen * (1 - seen) / (sizes - 1)
    return float(np.sqrt(max(float((sizes * squared).sum() / sizes.sum()), 0.0)))


def calibration_error_estimate(
    truth: ArrayLike,
    probabilities: ArrayLike,
    groups: Groups | None = None,
    *,
    kind: Kind = "ece",
    bins: int = 10,
    plan: Resampling = SHORT,
    progress: Progress | None = None,
) -> Estimate:
    """Return a calibration error with its bootstrap interval over patients."""
    known, chance = _checked(truth, probabilities)
    measures: dict[Kind, Callable[[Flags, Floats], float]] = {
        "ece": lambda t, p: expected_calibration_error(t, p, bins),
        "sweep": sweep_calibration_error,
        "debiased": lambda t, p: debiased_calibration_error(t, p, bins),
    }
    measure = measures[kind]
    return bootstrap(
        lambda chosen: measure(known[chosen], chance[chosen]),
        len(known) if groups is None else groups,
        plan=plan,
        progress=progress,
    )


def reliability_points(
    truth: ArrayLike, probabilities: ArrayLike, *, bins: int = 10, level: float = 0.95
) -> tuple[ReliabilityPoint, ...]:
    """Return the points of a reliability diagram, bins of equal count."""
    known, chance = _checked(truth, probabilities)
    order = np.argsort(chance, kind="stable")
    points = []
    for part in np.array_split(order, min(bins, len(order))):
        here = chance[part]
        seen = wilson(int(known[part].sum()), len(part), level=level)
        points.append(ReliabilityPoint(float(here[0]), float(here[-1]), float(here.mean()), seen))
    return tuple(points)


def brier(truth: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean squared difference between probability and truth (Brier 1950)."""
    return loss(*_checked(truth, probabilities), "brier")


def log_loss(truth: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean negative log-likelihood in nats."""
    return loss(*_checked(truth, probabilities), "log_loss")


def brier_parts(truth: ArrayLike, probabilities: ArrayLike, bins: int = 10) -> BrierParts:
    """Split the Brier score over bins of equal count."""
    known, chance = _checked(truth, probabilities)
    sizes, said, seen = _binned(known, chance, bins)
    rate, total = float(known.mean()), float(sizes.sum())
    reliability = float((sizes * (said - seen) ** 2).sum() / total)
    resolution = float((sizes * (seen - rate) ** 2).sum() / total)
    uncertainty = rate * (1 - rate)
    score = brier(known, chance)
    return BrierParts(score, reliability, resolution, uncertainty, score - (reliability - resolution + uncertainty))


def calibration_line(truth: ArrayLike, probabilities: ArrayLike, *, level: float = 0.95) -> CalibrationLine:
    """Return calibration slope, intercept and calibration in the large with Wald intervals."""
    known, chance = _checked(truth, probabilities)
    both_classes(known, what="a calibration line")
    kept = np.clip(chance, _EDGE, 1 - _EDGE)
    logits = np.log(kept / (1 - kept))
    ones = np.ones((len(known), 1))
    target = known.astype(np.float64)
    line = fit_logistic(np.column_stack([ones[:, 0], logits]), target, what="the calibration line")
    large = fit_logistic(ones, target, offset=logits, what="calibration in the large")
    z = two_sided(level)

    def wald(value: float, variance: float) -> Estimate:
        half = z * float(np.sqrt(variance))
        return estimate(value, value - half, value + half, len(known))

    return CalibrationLine(
        slope=wald(float(line.coefficients[1]), float(line.covariance[1, 1])),
        intercept=wald(float(line.coefficients[0]), float(line.covariance[0, 0])),
        in_the_large=wald(float(large.coefficients[0]), float(large.covariance[0, 0])),
    )


def spiegelhalter(truth: ArrayLike, probabilities: ArrayLike) -> Spiegelhalter:
    """Test calibration by the Brier score's distance from what the probabilities promise."""
    ndtr = scipy_part("special").ndtr

    known, chance = _checked(truth, probabilities)
    variance = float(((1 - 2 * chance) ** 2 * chance * (1 - chance)).sum())
    if variance <= 0:
        raise NotEstimable("all probabilities are 0, 0.5 or 1: the Brier score has no variance to test against.")
    z = float(((known - chance) * (1 - 2 * chance)).sum()) / float(np.sqrt(variance))
    return Spiegelhalter(z, float(2 * ndtr(-abs(z))))


def _checked(truth: ArrayLike, probabilities: ArrayLike) -> tuple[Flags, Floats]:
    known, chance = flags(truth), probabilities_of(probabilities)
    if same_length(known, chance) == 0:
        raise NotEstimable("calibration of no cases.")
    return known, chance


def _binned(truth: Flags, chance: Floats, bins: int) -> tuple[Floats, Floats, Floats]:
    """Return size, mean probability and seen share of bins of equal count."""
    return _split(*_running_sums(truth, chance), bins)


def _running_sums(truth: Flags, chance: Floats) -> tuple[Floats, Floats]:
    """Return the sums of probabilities and of truth over the first k cases, by rising probability."""
    order = np.argsort(chance, kind="stable")
    return np.append(0.0, np.cumsum(chance[order])), np.append(0.0, np.cumsum(truth[order], dtype=np.float64))


def _split(said_sum: Floats, seen_sum: Floats, bins: int) -> tuple[Floats, Floats, Floats]:
    cases = len(said_sum) - 1
    least, more = divmod(cases, min(bins, cases))
    sizes = np.full(min(bins, cases), least, dtype=np.int64)
    sizes[:more] += 1
    edges = np.append(0, np.cumsum(sizes))
    return sizes.astype(np.float64), np.diff(said_sum[edges]) / sizes, np.diff(seen_sum[edges]) / sizes
