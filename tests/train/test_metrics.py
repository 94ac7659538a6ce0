"""Numbers agree with scikit-learn and SciPy, which other people check."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from coread.train.errors import DataMissing
from coread.train.metrics import (
    auc,
    auc_estimate,
    expected_calibration_error,
    proportion,
    sensitivity_and_specificity,
    threshold_for_sensitivity,
    threshold_for_specificity,
    threshold_of_youden,
)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(4, 60), st.integers(1, 8))
def test_auc_is_the_auc_of_scikit_learn_ties_included(seed: int, n: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    truth = random.random(n) < 0.4
    truth[0], truth[1] = True, False
    scores = random.integers(0, levels, n).astype(np.float64)
    assert auc(truth, scores) == pytest.approx(roc_auc_score(truth, scores))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 200), st.data())
def test_a_proportion_has_the_exact_interval_of_scipy(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    exact = binomtest(successes, n).proportion_ci(method="exact")
    found = proportion(successes, n)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    assert found.n == n


def test_an_auc_of_one_class_is_refused() -> None:
    with pytest.raises(DataMissing, match="both classes"):
        auc(np.ones(3, dtype=np.bool_), np.zeros(3))


def test_the_interval_of_an_auc_is_wider_when_images_share_patients() -> None:
    random = np.random.default_rng(3)
    truth = np.repeat(random.random(60) < 0.5, 5)
    scores = np.repeat(random.normal(size=60), 5) + truth
    many = auc_estimate(truth, scores, [str(i) for i in range(300)], repeats=200)
    few = auc_estimate(truth, scores, [str(i // 5) for i in range(300)], repeats=200)
    assert few.high - few.low > many.high - many.low
    assert few.low <= few.value <= few.high


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([0.5, 0.8, 0.9, 0.95]))
def test_thresholds_keep_what_they_promise(seed: int, wanted: float) -> None:
    random = np.random.default_rng(seed)
    truth = np.arange(50) < 20
    scores = np.round(random.normal(size=50) + truth, 1)
    sensitive, _ = sensitivity_and_specificity(truth, scores, threshold_for_sensitivity(truth, scores, wanted))
    _, specific = sensitivity_and_specificity(truth, scores, threshold_for_specificity(truth, scores, wanted))
    assert sensitive.value >= wanted
    assert specific.value >= wanted
    one, other = sensitivity_and_specificity(truth, scores, threshold_of_youden(truth, scores))
    best = max(
        sum(part.value for part in sensitivity_and_specificity(truth, scores, float(t))) for t in np.unique(scores)
    )
    assert one.value + other.value == pytest.approx(best)


def test_a_perfectly_calibrated_score_has_no_calibration_error() -> None:
    truth = np.tile([True, False, False, False], 50)
    assert expected_calibration_error(truth, np.full(200, 0.25), bins=1) == pytest.approx(0.0)
    assert expected_calibration_error(truth, np.full(200, 0.75), bins=1) == pytest.approx(0.5)
