"""Thresholds keep what their rule promises, and no better threshold would."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from coread.statistics.confusion import accuracy_at
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.thresholds import (
    Rule,
    choose_threshold,
    threshold_for_sensitivity,
    threshold_for_specificity,
    threshold_of_youden,
)


def sample(seed: int, n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = np.arange(n) < n // 3
    return truth, np.round(random.normal(size=n) + 1.5 * truth, 1)


def every_threshold(scores: np.ndarray) -> np.ndarray:
    return np.append(np.unique(scores), np.nextafter(scores.max(), np.inf))


@given(st.integers(0, 10_000), st.sampled_from([0.5, 0.8, 0.9, 0.95, 1.0]))
def test_sensitivity_and_specificity_rules_are_the_best_that_keep_their_word(seed: int, wanted: float) -> None:
    truth, scores = sample(seed)
    sensitive = choose_threshold(Rule.sensitivity(wanted), truth, scores)
    assert sensitive.accuracy.sensitivity.value >= wanted
    higher = every_threshold(scores)[every_threshold(scores) > sensitive.threshold]
    assert all(accuracy_at(truth, scores, t).sensitivity.value < wanted for t in higher)
    specific = choose_threshold(Rule.specificity(wanted), truth, scores)
    assert specific.accuracy.specificity.value >= wanted
    lower = every_threshold(scores)[every_threshold(scores) < specific.threshold]
    assert all(accuracy_at(truth, scores, t).specificity.value < wanted for t in lower)
    assert threshold_for_sensitivity(truth, scores, wanted) == sensitive.threshold
    assert threshold_for_specificity(truth, scores, wanted) == specific.threshold


@given(st.integers(0, 10_000))
def test_youdens_threshold_has_the_largest_sum(seed: int) -> None:
    truth, scores = sample(seed)
    sums = [
        (found := accuracy_at(truth, scores, t)).sensitivity.value + found.specificity.value
        for t in every_threshold(scores)
    ]
    chosen = accuracy_at(truth, scores, threshold_of_youden(truth, scores))
    assert chosen.sensitivity.value + chosen.specificity.value == pytest.approx(max(sums))


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.3, 0.6]), st.sampled_from([0.02, 0.2]))
def test_a_ppv_rule_is_the_lowest_threshold_that_keeps_it(seed: int, wanted: float, prevalence: float) -> None:
    truth, scores = sample(seed)

    def ppv(t: float) -> float:
        found = accuracy_at(truth, scores, t)
        right = found.sensitivity.value * prevalence
        wrong = (1 - found.specificity.value) * (1 - prevalence)
        return right / (right + wrong) if right + wrong > 0 else 0.0

    good = [t for t in every_threshold(scores) if ppv(t) >= wanted - 1e-9]
    if not good:
        with pytest.raises(NotEstimable, match="no threshold"):
            choose_threshold(Rule.ppv(wanted, prevalence=prevalence), truth, scores)
        return
    found = choose_threshold(Rule.ppv(wanted, prevalence=prevalence), truth, scores)
    assert found.threshold == min(good)
    assert found.predictive is not None
    assert found.predictive.ppv is not None
    assert found.predictive.ppv.value == pytest.approx(ppv(found.threshold))


@given(st.integers(0, 10_000), st.floats(0.5, 30), st.sampled_from([20, 200]))
def test_an_alert_budget_is_kept(seed: int, most: float, studies: int) -> None:
    truth, scores = sample(seed)
    found = choose_threshold(Rule.alerts(most, studies=studies, prevalence=0.05), truth, scores)
    assert found.false_alerts_per_day is not None
    assert found.false_alerts_per_day.value <= most + 1e-9
    assert found.false_alerts_per_day.value == pytest.approx(studies * 0.95 * (1 - found.accuracy.specificity.value))
    lower = every_threshold(scores)[every_threshold(scores) < found.threshold]
    assert all(studies * 0.95 * (1 - accuracy_at(truth, scores, t).specificity.value) > most for t in lower)


@given(st.integers(0, 10_000), st.sampled_from([0.7, 0.85]))
def test_with_confidence_the_exact_lower_bound_keeps_the_rule(seed: int, wanted: float) -> None:
    truth, scores = sample(seed)
    found = choose_threshold(Rule.sensitivity(wanted, confidence=0.95), truth, scores)
    hits = found.accuracy.true_positives
    bound = binomtest(hits, int(truth.sum()), alternative="greater").proportion_ci(0.95, method="exact").low
    assert bound >= wanted
    assert found.threshold <= choose_threshold(Rule.sensitivity(wanted), truth, scores).threshold


def test_with_several_images_per_patient_confidence_counts_patients() -> None:
    truth, scores = sample(3, 300)
    groups = [f"p{k // 5}" for k in range(300)]
    single = choose_threshold(Rule.specificity(0.8, confidence=0.95), truth, scores)
    clustered = choose_threshold(Rule.specificity(0.8, confidence=0.95), truth, scores, groups)
    assert clustered.threshold > single.threshold


def test_a_rule_says_itself_in_words() -> None:
    assert Rule.sensitivity(0.9).words() == "highest threshold with sensitivity >= 0.9"
    assert "with 95% confidence" in Rule.specificity(0.9, confidence=0.95).words()
    assert Rule.alerts(3, studies=200, prevalence=0.02).words() == (
        "lowest threshold with at most 3 false alerts per day at 200 studies per day and prevalence 0.02"
    )
    assert "PPV >= 0.5 at prevalence 0.1" in Rule.ppv(0.5, prevalence=0.1).words()
    assert "Youden" in Rule.youden().words()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Rule.sensitivity(0.0), "lies in"),
        (lambda: Rule("ppv", 0.5), "prevalence"),
        (lambda: Rule("alerts", 3, 0.1), "studies per day"),
        (lambda: Rule.alerts(-1, studies=3, prevalence=0.1), "negative"),
        (lambda: Rule.specificity(0.9, confidence=0.2), "confidence"),
    ],
)
def test_rules_without_meaning_are_refused(make: object, words: str) -> None:
    with pytest.raises(UnsuitableData, match=words):
        make()  # type: ignore[operator]


def test_too_few_cases_for_a_promise_are_said() -> None:
    truth, scores = sample(1, 30)
    with pytest.raises(NotEstimable, match="no threshold keeps the rule"):
        choose_threshold(Rule.sensitivity(0.95, confidence=0.95), truth, scores)
    with pytest.raises(NotEstimable, match="both classes"):
        choose_threshold(Rule.youden(), [1, 1], [0.2, 0.3])
