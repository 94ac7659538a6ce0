"""Precision and recall agree with scikit-learn; predictive values with the delta method done by numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score
from sklearn.metrics import precision_recall_curve as sklearn_curve

from coread.domain.cards import Estimate
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.intervals import Resampling, clopper_pearson
from coread.statistics.precision_recall import (
    average_precision,
    average_precision_estimate,
    precision_recall_curve,
    predictive_values,
)


@given(st.integers(0, 10_000), st.integers(1, 50), st.integers(0, 6))
def test_average_precision_and_curve_are_those_of_scikit_learn(seed: int, n: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    truth = random.random(n) < 0.3
    truth[0] = True
    scores = random.normal(size=n) + truth
    if levels:
        scores = np.round(scores * levels / 3)
    assert average_precision(truth, scores) == pytest.approx(average_precision_score(truth, scores))
    precision, recall, thresholds = sklearn_curve(truth, scores)
    ours = precision_recall_curve(truth, scores)
    assert ours.precision[::-1] == pytest.approx(precision[:-1])
    assert ours.recall[::-1] == pytest.approx(recall[:-1])
    assert ours.thresholds[::-1] == pytest.approx(thresholds)
    assert ours.prevalence == pytest.approx(truth.mean())


def test_the_bootstrap_of_average_precision_is_that_of_resampled_images() -> None:
    random = np.random.default_rng(1)
    truth, n = np.arange(60) < 20, 60
    scores = np.round(random.normal(size=n) + truth, 1)
    found = average_precision_estimate(truth, scores, plan=Resampling(repeats=40, method="percentile"))
    drawn = []
    for counts in np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=40):
        chosen = np.repeat(np.arange(n), counts)
        drawn.append(average_precision_score(truth[chosen], scores[chosen]))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    assert found.value == pytest.approx(average_precision_score(truth, scores))


@given(st.integers(1, 79), st.integers(1, 119), st.floats(0.001, 0.6))
def test_predictive_values_have_mercaldos_logit_intervals(found: int, spared: int, prevalence: float) -> None:
    sensitivity, specificity = clopper_pearson(found, 80), clopper_pearson(spared, 120)
    got = predictive_values(sensitivity, specificity, prevalence)

    def logit_ppv(rates: np.ndarray) -> float:
        return float(np.log(rates[0] * prevalence / ((1 - rates[1]) * (1 - prevalence))))

    def logit_npv(rates: np.ndarray) -> float:
        return float(np.log(rates[1] * (1 - prevalence) / ((1 - rates[0]) * prevalence)))

    rates = np.array([found / 80, spared / 120])
    spread = np.array([rates[0] * (1 - rates[0]) / 80, rates[1] * (1 - rates[1]) / 120])
    assert got.ppv is not None
    assert got.npv is not None
    for logit, value in ((logit_ppv, got.ppv), (logit_npv, got.npv)):
        step = 1e-6
        slopes = np.array([(logit(rates + step * e) - logit(rates - step * e)) / (2 * step) for e in np.eye(2)])
        half = 1.959964 * np.sqrt((slopes**2 * spread).sum())
        low, high = (1 / (1 + np.exp(-(logit(rates) + side * half))) for side in (-1, 1))
        assert (value.low, value.high) == pytest.approx((low, high), rel=1e-4)
        assert value.value == pytest.approx(1 / (1 + np.exp(-logit(rates))))


def test_rates_of_one_still_have_intervals_and_the_extremes_are_said() -> None:
    perfect = predictive_values(clopper_pearson(30, 30), clopper_pearson(50, 50), 0.1)
    assert perfect.ppv is not None
    assert perfect.npv is not None
    assert (perfect.ppv.value, perfect.npv.value) == (1.0, 1.0)
    assert perfect.ppv.low < 0.9
    nobody = Estimate(0.0, 0.0, 0.1, 30)
    assert predictive_values(nobody, clopper_pearson(50, 50), 0.1).ppv is None
    with pytest.raises(UnsuitableData, match="prevalence"):
        predictive_values(perfect.ppv, perfect.npv, 0.0)
    with pytest.raises(NotEstimable, match="positive"):
        average_precision([0, 0], [0.1, 0.2])
