"""Operating points by rule: the threshold a rule asks for, and what it achieves. Present means score >= threshold."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from coread.domain.cards import Estimate
from coread.statistics.arrays import Flags, Floats, Groups, both_classes, members_of
from coread.statistics.confusion import Accuracy, accuracy_at
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.extras import scipy_part
from coread.statistics.intervals import estimate
from coread.statistics.precision_recall import PredictiveValues, predictive_values
from coread.statistics.roc import truth_and_scores

Kind = Literal["sensitivity", "specificity", "ppv", "youden", "alerts"]
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Rule:
    """What a threshold must keep. With ``confidence`` the lower bound of the rate must keep it, not its estimate."""

    kind: Kind
    wanted: float = 0.0
    """The rate to reach; for alerts: the most false alerts per day."""
    prevalence: float | None = None
    studies_per_day: float | None = None
    confidence: float | None = None
    """One-sided: 0.95 means that the 95 % lower bound reaches the wanted rate."""

    def __post_init__(self) -> None:
        if self.kind in ("sensitivity", "specificity", "ppv") and not 0.0 < self.wanted <= 1.0:
            raise UnsuitableData(f"a wanted {self.kind} lies in (0, 1], got {self.wanted}.")
        if self.kind in ("ppv", "alerts") and not (self.prevalence is not None and 0.0 < self.prevalence < 1.0):
            raise UnsuitableData(f"a rule of kind {self.kind!r} needs a prevalence between 0 and 1.")
        if self.kind == "alerts" and not (self.studies_per_day is not None and self.studies_per_day > 0):
            raise UnsuitableData("an alert budget needs the number of studies per day.")
        if self.kind == "alerts" and self.wanted < 0:
            raise UnsuitableData("an alert budget cannot be negative.")
        if self.confidence is not None and not 0.5 <= self.confidence < 1.0:
            raise UnsuitableData(f"a confidence lies in [0.5, 1), got {self.confidence}.")

    @classmethod
    def sensitivity(cls, wanted: float, *, confidence: float | None = None) -> "Rule":
        """Highest threshold that still finds that share of the positives."""
        return cls("sensitivity", wanted, confidence=confidence)

    @classmethod
    def specificity(cls, wanted: float, *, confidence: float | None = None) -> "Rule":
        """Lowest threshold that spares that share of the negatives."""
        return cls("specificity", wanted, confidence=confidence)

    @classmethod
    def ppv(cls, wanted: float, *, prevalence: float) -> "Rule":
        """Lowest threshold at which calls are right that often at the prevalence."""
        return cls("ppv", wanted, prevalence)

    @classmethod
    def youden(cls) -> "Rule":
        """Largest sum of sensitivity and specificity (Youden 1950)."""
        return cls("youden")

    @classmethod
    def alerts(cls, most: float, *, studies: float, prevalence: float, confidence: float | None = None) -> "Rule":
        """Lowest threshold with at most so many false alerts per day, at that many studies per day."""
        return cls("alerts", most, prevalence, studies, confidence)

    def words(self) -> str:
        """Return the rule as a sentence part for a card."""
        sure = f" with {self.confidence:.0%} confidence" if self.confidence is not None else ""
        match self.kind:
            case "sensitivity":
                return f"highest threshold with sensitivity >= {self.wanted:g}{sure}"
            case "specificity":
                return f"lowest threshold with specificity >= {self.wanted:g}{sure}"
            case "ppv":
                return f"lowest threshold with PPV >= {self.wanted:g} at prevalence {self.prevalence:g}"
            case "youden":
                return "largest sum of sensitivity and specificity (Youden)"
            case "alerts":
                return (
                    f"lowest threshold with at most {self.wanted:g} false alerts per day at {self.studies_per_day:g} "
                    f"studies per day and prevalence {self.prevalence:g}{sure}"
                )


@dataclass(frozen=True, slots=True)
class ChosenPoint:
    """A threshold, and what it achieves on the cases it was chosen on (optimistic: measure it again on others)."""

    rule: Rule
    threshold: float
    accuracy: Accuracy
    predictive: PredictiveValues | None
    """At the rule's prevalence, if it has one."""
    false_alerts_per_day: Estimate | None
    """For an alert budget."""


def choose_threshold(rule: Rule, truth: ArrayLike, scores: ArrayLike, groups: Groups | None = None) -> ChosenPoint:
    """Find the threshold of a rule and measure it; NotEstimable where no threshold keeps the rule."""
    known, given = truth_and_scores(truth, scores)
    both_classes(known, what="an operating point")
    threshold = _threshold(rule, known, given, groups)
    measured = accuracy_at(known, given, threshold, groups)
    predictive = None
    if rule.prevalence is not None:
        predictive = predictive_values(measured.sensitivity, measured.specificity, rule.prevalence)
    alerts = None
    if rule.kind == "alerts":
        at_risk = (rule.studies_per_day or 0.0) * (1 - (rule.prevalence or 0.0))
        spared = measured.specificity
        alerts = estimate(
            at_risk * (1 - spared.value), at_risk * (1 - spared.high), at_risk * (1 - spared.low), spared.n
        )
    return ChosenPoint(rule, threshold, measured, predictive, alerts)


def threshold_for_sensitivity(truth: ArrayLike, scores: ArrayLike, wanted: float) -> float:
    """Return the highest threshold that still calls at least ``wanted`` of the positives present."""
    known, given = truth_and_scores(truth, scores)
    return _threshold(Rule.sensitivity(wanted), known, given, None)


def threshold_for_specificity(truth: ArrayLike, scores: ArrayLike, wanted: float) -> float:
    """Return the lowest score that, as threshold, calls at least ``wanted`` of the negatives absent."""
    known, given = truth_and_scores(truth, scores)
    return _threshold(Rule.specificity(wanted), known, given, None)


def threshold_of_youden(truth: ArrayLike, scores: ArrayLike) -> float:
    """Return the threshold with the largest sum of sensitivity and specificity."""
    known, given = truth_and_scores(truth, scores)
    return _threshold(Rule.youden(), known, given, None)


def _threshold(rule: Rule, truth: Flags, scores: Floats, groups: Groups | None) -> float:
    both_classes(truth, what="an operating point")
    # Every distinct score, and one above all: nobody is called.
    candidates = np.r_[np.unique(scores), np.nextafter(scores.max(), np.inf)]
    positives, negatives = np.sort(scores[truth]), np.sort(scores[~truth])
    found: Floats = np.asarray(1 - np.searchsorted(positives, candidates) / len(positives))
    spared: Floats = np.asarray(np.searchsorted(negatives, candidates) / len(negatives))
    if rule.confidence is not None:
        found = _lower_bounds(found, _independent(truth, groups, of=True), rule.confidence)
        spared = _lower_bounds(spared, _independent(truth, groups, of=False), rule.confidence)
    match rule.kind:
        case "sensitivity":
            good = np.flatnonzero(found >= rule.wanted - _ROUNDING)
            return float(candidates[_some(good, rule)[-1]])
        case "specificity":
            good = np.flatnonzero(spared >= rule.wanted - _ROUNDING)
        case "youden":
            return float(candidates[int(np.argmax(found + spared))])
        case "ppv":
            prevalence = rule.prevalence or 0.0
            right, wrong = found * prevalence, (1 - spared) * (1 - prevalence)
            share = np.divide(right, right + wrong, out=np.zeros_like(right), where=right + wrong > 0)
            good = np.flatnonzero(share >= rule.wanted - _ROUNDING)
        case "alerts":
            at_risk = (rule.studies_per_day or 0.0) * (1 - (rule.prevalence or 0.0))
            good = np.flatnonzero(at_risk * (1 - spared) <= rule.wanted + _ROUNDING)
    return float(candidates[_some(good, rule)[0]])


def _some(good: np.ndarray, rule: Rule) -> np.ndarray:
    if len(good) == 0:
        raise NotEstimable(f"no threshold keeps the rule on these cases: {rule.words()}. More cases or a milder rule.")
    return good


def _independent(truth: Flags, groups: Groups | None, *, of: bool) -> int:
    """Return how many patients stand behind the positives or negatives."""
    member, _ = members_of(groups, len(truth))
    return len(np.unique(member[truth == of]))


def _lower_bounds(shares: Floats, n: int, confidence: float) -> Floats:
    """Return one-sided exact lower bounds; images of one patient count as one case."""
    betaincinv = scipy_part("special").betaincinv

    hits = shares * n
    bounds = np.zeros(len(shares))
    some = hits > 0
    bounds[some] = betaincinv(hits[some], n - hits[some] + 1, 1 - confidence)
    return bounds
