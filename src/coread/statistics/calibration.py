"""From logits to probabilities: fits of temperature, Platt, isotonic and beta curves, and the choice between them.

A curve says its ``method`` and ``parameters()`` in the words of a package's calibration.json; the run time evaluates
the same formula one logit at a time. Measuring calibration is the business of ``reliability``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from coread.statistics.arrays import (
    Flags,
    Floats,
    Groups,
    Integers,
    both_classes,
    finite,
    flags,
    members_of,
    probabilities_of,
    same_length,
)
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.extras import scipy_part
from coread.statistics.logistic import fit_logistic, sigmoid

FLATTEST = 1e-3
"""Smallest slope: calibration never turns the order of two images round."""
_SURE = 1e-15
"""Losses treat a probability as at least so far from 0 and 1."""
Criterion = Literal["log_loss", "brier"]


@dataclass(frozen=True, slots=True)
class Platt:
    """sigmoid(a * logit + b) (Platt 1999)."""

    a: float
    b: float
    method = "platt"

    def probabilities(self, logits: ArrayLike) -> Floats:
        """Return calibrated probabilities of logits."""
        return sigmoid(self.a * np.asarray(logits, dtype=np.float64) + self.b)

    def parameters(self) -> dict[str, Any]:
        """Return the entry of calibration.json."""
        return {"a": self.a, "b": self.b}


@dataclass(frozen=True, slots=True)
class Temperature:
    """sigmoid(logit / temperature) (Guo et al. 2017)."""

    temperature: float
    method = "temperature"

    def probabilities(self, logits: ArrayLike) -> Floats:
        """Return calibrated probabilities of logits."""
        return sigmoid(np.asarray(logits, dtype=np.float64) / self.temperature)

    def parameters(self) -> dict[str, Any]:
        """Return the entry of calibration.json."""
        return {"temperature": self.temperature}


@dataclass(frozen=True, slots=True)
class Isotonic:
    """A non-decreasing line through (logits[k], values[k]), constant outside (Zadrozny and Elkan 2002)."""

    logits: tuple[float, ...]
    values: tuple[float, ...]
    method = "isotonic"

    def probabilities(self, logits: ArrayLike) -> Floats:
        """Return calibrated probabilities of logits."""
        return np.interp(np.asarray(logits, dtype=np.float64), self.logits, self.values)

    def parameters(self) -> dict[str, Any]:
        """Return the entry of calibration.json."""
        return {"logits": list(self.logits), "probabilities": list(self.values)}


@dataclass(frozen=True, slots=True)
class Beta:
    """sigmoid(a ln s - b ln(1 - s) + c) with s = sigmoid(logit), a and b >= 0 (Kull, Silva Filho, Flach 2017)."""

    a: float
    b: float
    c: float
    method = "beta"

    def probabilities(self, logits: ArrayLike) -> Floats:
        """Return calibrated probabilities of logits."""
        low, high = _beta_features(np.asarray(logits, dtype=np.float64))
        return sigmoid(self.a * low + self.b * high + self.c)

    def parameters(self) -> dict[str, Any]:
        """Return the entry of calibration.json."""
        return {"a": self.a, "b": self.b, "c": self.c}


Curve = Platt | Temperature | Isotonic | Beta


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The curve with the smallest loss on patients it was not fitted on, fitted anew on all."""

    curve: Curve
    method: str
    criterion: Criterion
    losses: Mapping[str, float]
    """Cross-fitted loss of every method that was tried."""
    probabilities: Floats
    """Cross-fitted probabilities of the chosen method: honest numbers for measuring calibration."""


def fit_platt(logits: ArrayLike, truth: ArrayLike) -> Platt:
    """Fit slope and offset with Platt's smoothed targets, which keep a separable fit finite."""
    values, known, target = _prepared(logits, truth)
    if np.ptp(values) == 0:
        return _base_rate(known, values)
    fitted = fit_logistic(np.column_stack([values, np.ones(len(values))]), target, what="Platt scaling")
    a, b = (float(c) for c in fitted.coefficients)
    return Platt(a, b) if a >= FLATTEST else _base_rate(known, values)


def fit_temperature(logits: ArrayLike, truth: ArrayLike) -> Temperature:
    """Fit one slope without offset, with Platt's smoothed targets."""
    values, _, target = _prepared(logits, truth)
    fitted = fit_logistic(values[:, None], target, what="temperature scaling")
    return Temperature(1.0 / max(float(fitted.coefficients[0]), FLATTEST))


def fit_isotonic(logits: ArrayLike, truth: ArrayLike) -> Isotonic:
    """Fit steps by pooling adjacent violators, joined by lines.

    Values stay 1 / (n + 2) away from 0 and 1: n cases cannot teach certainty.
    """
    isotonic_regression = scipy_part("optimize").isotonic_regression

    values, known, _ = _prepared(logits, truth)
    levels, member, counts = np.unique(values, return_inverse=True, return_counts=True)
    shares = np.bincount(member, weights=known.astype(np.float64)) / counts
    pooled = isotonic_regression(shares, weights=counts.astype(np.float64)).x
    edge = 1.0 / (len(values) + 2)
    heights = np.clip(pooled, edge, 1 - edge)
    # Only the ends of a level stretch carry information.
    ends = np.r_[True, heights[1:] != heights[:-1]] | np.r_[heights[1:] != heights[:-1], True]
    return Isotonic(tuple(levels[ends].tolist()), tuple(heights[ends].tolist()))


def fit_beta(logits: ArrayLike, truth: ArrayLike) -> Beta:
    """Fit a, b and c with smoothed targets; a negative slope becomes zero and the rest is fitted again."""
    values, known, target = _prepared(logits, truth)
    low, high = _beta_features(values)
    ones = np.ones(len(values))
    try:
        a, b, c = fit_logistic(np.column_stack([low, high, ones]), target, what="beta calibration").coefficients
        if a >= 0 and b >= 0 and a + b > FLATTEST:
            return Beta(float(a), float(b), float(c))
        kept = low if b < 0 else high
        slope, offset = fit_logistic(np.column_stack([kept, ones]), target, what="beta calibration").coefficients
        if slope > FLATTEST:
            return Beta(float(slope), 0.0, float(offset)) if b < 0 else Beta(0.0, float(slope), float(offset))
    except NotEstimable:
        # Logits so extreme that ln s or ln(1 - s) vanishes: two features say the same, and a = b is Platt scaling.
        plain = fit_platt(values, known)
        return Beta(plain.a, plain.a, plain.b)
    flat = _base_rate(known, values)
    return Beta(flat.a, flat.a, flat.b)


Fit = Callable[[ArrayLike, ArrayLike], Curve]
FITS: dict[str, Fit] = {
    "temperature": fit_temperature,
    "platt": fit_platt,
    "beta": fit_beta,
    "isotonic": fit_isotonic,
}
"""Name in calibration.json: how it is fitted, simplest first (the first of equal losses is taken)."""


def cross_fitted(logits: ArrayLike, truth: ArrayLike, fit: Fit, folds: Integers) -> Floats:
    """Return for each image the probability by a curve that was fitted on the other folds."""
    values, known = finite(logits, what="logits"), flags(truth)
    same_length(values, known, folds)
    crossed = np.empty(len(values))
    for fold in np.unique(folds):
        here = folds == fold
        crossed[here] = fit(values[~here], known[~here]).probabilities(values[here])
    return crossed


def choose_calibration(
    logits: ArrayLike,
    truth: ArrayLike,
    groups: Groups | None = None,
    *,
    methods: Sequence[str] = tuple(FITS),
    folds: int = 5,
    criterion: Criterion = "log_loss",
    seed: int = 0,
) -> Choice:
    """Choose by loss on patients that a curve was not fitted on, then fit the chosen method on all of them.

    A method that the patients of some fold do not determine is no candidate and has no loss.
    """
    unknown = sorted(set(methods) - set(FITS))
    if unknown or not methods:
        raise UnsuitableData(f"unknown calibration methods {unknown}; choose from {sorted(FITS)}.")
    values, known, _ = _prepared(logits, truth)
    parts = patient_folds(known, groups, folds=folds, seed=seed)
    crossed: dict[str, Floats] = {}
    reasons: list[str] = []
    for name in methods:
        try:
            crossed[name] = cross_fitted(values, known, FITS[name], parts)
        except NotEstimable as problem:
            reasons.append(str(problem))
    if not crossed:
        raise NotEstimable(f"no calibration method can be fitted: {'; '.join(reasons)}")
    losses = {name: loss(known, probabilities, criterion) for name, probabilities in crossed.items()}
    best = min(losses, key=lambda name: losses[name])
    return Choice(FITS[best](values, known), best, criterion, losses, crossed[best])


def patient_folds(truth: ArrayLike, groups: Groups | None, *, folds: int, seed: int) -> Integers:
    """Return a fold per image: patients stay together, patients with a positive are dealt out evenly."""
    known = flags(truth)
    member, patients = members_of(groups, len(known))
    has_positive = np.bincount(member, weights=known, minlength=patients) > 0
    has_negative = np.bincount(member, weights=~known, minlength=patients) > 0
    with_positive, with_negative = int(has_positive.sum()), int(has_negative.sum())
    count = min(folds, with_positive, with_negative)
    if count < 2:
        raise NotEstimable(
            "cross-fitting needs two folds, two patients with a positive and two with a negative image; "
            f"got {folds}, {with_positive} and {with_negative}."
        )
    order = np.random.default_rng(seed).permutation(patients)
    # Patients with positives only, with both, with negatives only: each stretch is dealt out in turn.
    kind = has_negative.astype(np.int64) - has_positive
    dealt = order[np.argsort(kind[order], kind="stable")]
    fold_of = np.empty(patients, dtype=np.int64)
    fold_of[dealt] = np.arange(patients) % count
    return fold_of[member]


def loss(truth: ArrayLike, probabilities: ArrayLike, criterion: Criterion) -> float:
    """Return the mean log loss or the Brier score."""
    known, chance = flags(truth), probabilities_of(probabilities)
    same_length(known, chance)
    if criterion == "brier":
        return float(np.mean((chance - known) ** 2))
    sure = np.clip(chance, _SURE, 1 - _SURE)
    return float(-np.mean(np.where(known, np.log(sure), np.log1p(-sure))))


def shift_prevalence(probabilities: ArrayLike, *, from_prevalence: float, to_prevalence: float) -> Floats:
    """Return probabilities for a population of another prevalence, the likelihood ratios unchanged (Elkan 2001)."""
    chance = probabilities_of(probabilities)
    odds = _odds_ratio(from_prevalence, to_prevalence)
    return np.asarray(odds * chance / (odds * chance + (1 - chance)))


def shifted(curve: Curve, *, from_prevalence: float, to_prevalence: float) -> Curve:
    """Return the curve for another prevalence: every logit of a probability moves by the logit difference.

    For an isotonic curve the corners are moved; between them the line stays a line.
    """
    move = float(np.log(_odds_ratio(from_prevalence, to_prevalence)))
    match curve:
        case Platt(a, b):
            return Platt(a, b + move)
        case Temperature(temperature):
            return Platt(1.0 / temperature, move)
        case Beta(a, b, c):
            return Beta(a, b, c + move)
        case Isotonic(logits, values):
            heights = shift_prevalence(values, from_prevalence=from_prevalence, to_prevalence=to_prevalence)
            return Isotonic(logits, tuple(heights.tolist()))


def fit_multiclass_temperature(logits: ArrayLike, truth: ArrayLike) -> float:
    """Return the temperature that minimises the log loss of softmax(logits / temperature), logits (N, K)."""
    minimize_scalar = scipy_part("optimize").minimize_scalar
    logsumexp = scipy_part("special").logsumexp

    table, classes = np.asarray(logits, dtype=np.float64), np.asarray(truth, dtype=np.int64)
    if table.ndim != 2 or len(table) != len(classes) or not np.isfinite(table).all():
        raise UnsuitableData(f"logits must be finite with shape (cases, classes), got {table.shape}.")
    if len(classes) == 0 or classes.min() < 0 or classes.max() >= table.shape[1]:
        raise UnsuitableData("class numbers must lie between 0 and the number of columns.")
    right = table[np.arange(len(table)), classes]

    def mean_loss(log_temperature: float) -> float:
        warm = np.exp(log_temperature)
        return float(np.mean(logsumexp(table / warm, axis=1) - right / warm))

    found = minimize_scalar(mean_loss, bounds=(np.log(0.01), np.log(100.0)), method="bounded", options={"xatol": 1e-8})
    return float(np.exp(found.x))


def _prepared(logits: ArrayLike, truth: ArrayLike) -> tuple[Floats, Flags, Floats]:
    values, known = finite(logits, what="logits"), flags(truth)
    same_length(values, known)
    positives, negatives = both_classes(known, what="calibration")
    target = np.where(known, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    return values, known, target


def _base_rate(truth: Flags, logits: Floats) -> Platt:
    """Return the curve of a network that learned nothing: everybody gets the base rate, the order is kept."""
    rate = (int(truth.sum()) + 1) / (len(truth) + 2)
    return Platt(FLATTEST, float(np.log(rate / (1 - rate)) - FLATTEST * np.mean(logits)))


def _beta_features(logits: Floats) -> tuple[Floats, Floats]:
    """Return ln s and -ln(1 - s) of s = sigmoid(logit)."""
    return -np.logaddexp(0.0, -logits), np.logaddexp(0.0, logits)


def _odds_ratio(from_prevalence: float, to_prevalence: float) -> float:
    for prevalence in (from_prevalence, to_prevalence):
        if not 0.0 < prevalence < 1.0:
            raise UnsuitableData(f"a prevalence lies between 0 and 1, got {prevalence}.")
    return to_prevalence / (1 - to_prevalence) / (from_prevalence / (1 - from_prevalence))
