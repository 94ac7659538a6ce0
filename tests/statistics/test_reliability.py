"""Calibration measures agree with scikit-learn, statsmodels and loops; tests keep their level on calibrated data."""

from itertools import pairwise

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.intervals import Resampling
from coread.statistics.reliability import (
    brier,
    brier_parts,
    calibration_error_estimate,
    calibration_line,
    debiased_calibration_error,
    expected_calibration_error,
    log_loss,
    reliability_points,
    spiegelhalter,
    sweep_calibration_error,
)


def calibrated(seed: int, n: int = 500) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    chance = random.beta(1, 3, n)
    truth = random.random(n) < chance
    truth[:2] = True, False
    return truth, chance


def ece_by_loop(truth: np.ndarray, chance: np.ndarray, bins: int) -> float:
    order = np.argsort(chance, kind="stable")
    total = 0.0
    for part in np.array_split(order, bins):
        total += len(part) * abs(chance[part].mean() - truth[part].mean())
    return total / len(order)


@given(st.integers(0, 1000), st.integers(1, 30), st.integers(30, 90))
def test_the_calibration_error_is_the_loop_over_bins(seed: int, bins: int, n: int) -> None:
    truth, chance = calibrated(seed, n)
    assert expected_calibration_error(truth, chance, bins) == pytest.approx(ece_by_loop(truth, chance, bins))


@given(st.integers(0, 300))
def test_the_sweep_stops_before_the_first_fall(seed: int) -> None:
    truth, chance = calibrated(seed, 120)
    bins = 1
    while bins < 120:
        means = [truth[part].mean() for part in np.array_split(np.argsort(chance, kind="stable"), bins + 1)]
        if any(b < a for a, b in pairwise(means)):
            break
        bins += 1
    assert sweep_calibration_error(truth, chance) == pytest.approx(ece_by_loop(truth, chance, bins))


def test_a_constant_probability_errs_by_its_distance_from_the_share() -> None:
    truth = np.tile([True, False, False, False], 50)
    assert expected_calibration_error(truth, np.full(200, 0.25), bins=1) == pytest.approx(0.0)
    assert expected_calibration_error(truth, np.full(200, 0.75), bins=1) == pytest.approx(0.5)


def test_the_debiased_error_is_near_nothing_where_the_plain_one_is_not() -> None:
    plain, square = [], []
    for seed in range(150):
        truth, chance = calibrated(seed, 300)
        plain.append(expected_calibration_error(truth, chance, 15))
        square.append(debiased_calibration_error(truth, chance, 15))
    assert np.mean(plain) > 0.05
    assert np.mean(square) < 0.03
    truth, chance = calibrated(1, 20_000)
    known = np.sqrt(np.mean((0.1 * np.ones(20_000)) ** 2))  # probabilities said 0.1 too high
    assert debiased_calibration_error(truth, np.clip(chance + 0.1, 0, 1), 20) == pytest.approx(known, abs=0.01)


@given(st.integers(0, 1000))
def test_brier_and_log_loss_are_those_of_scikit_learn(seed: int) -> None:
    truth, chance = calibrated(seed, 60)
    assert brier(truth, chance) == pytest.approx(brier_score_loss(truth, chance))
    assert log_loss(truth, chance) == pytest.approx(sklearn_log_loss(truth, chance))


@given(st.integers(0, 1000), st.integers(2, 12))
def test_the_parts_of_the_brier_score_add_up_and_are_exact_for_few_values(seed: int, values: int) -> None:
    truth, chance = calibrated(seed, 240)
    parts = brier_parts(truth, chance)
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins
    assert total == pytest.approx(parts.brier)
    stepped = np.repeat(np.linspace(0.05, 0.9, values), 240 // values)
    few = brier_parts(truth[: len(stepped)], stepped, bins=values)
    assert few.within_bins == pytest.approx(0.0, abs=1e-12)


def test_the_calibration_line_is_that_of_statsmodels() -> None:
    truth, chance = calibrated(2)
    logits = np.log(np.clip(chance, 1e-6, 1 - 1e-6) / (1 - np.clip(chance, 1e-6, 1 - 1e-6)))
    line = sm.GLM(truth.astype(float), sm.add_constant(logits), family=sm.families.Binomial()).fit()
    large = sm.GLM(truth.astype(float), np.ones(len(truth)), family=sm.families.Binomial(), offset=logits).fit()
    found = calibration_line(truth, chance)
    assert (found.intercept.value, found.slope.value) == pytest.approx(tuple(line.params), abs=1e-6)
    bounds = line.conf_int()
    assert (found.slope.low, found.slope.high) == pytest.approx(tuple(bounds[1]), abs=1e-5)
    assert (found.intercept.low, found.intercept.high) == pytest.approx(tuple(bounds[0]), abs=1e-5)
    assert found.in_the_large.value == pytest.approx(float(large.params[0]), abs=1e-6)
    assert (found.in_the_large.low, found.in_the_large.high) == pytest.approx(tuple(large.conf_int()[0]), abs=1e-5)


def test_spiegelhalters_test_keeps_its_level_and_sees_overconfidence() -> None:
    p_values = [spiegelhalter(*calibrated(seed, 200)).p_value for seed in range(400)]
    assert 8 <= sum(p < 0.05 for p in p_values) <= 36
    truth, chance = calibrated(5, 2000)
    sharper = chance**2 / (chance**2 + (1 - chance) ** 2)
    assert spiegelhalter(truth, sharper).p_value < 1e-6
    assert spiegelhalter(truth, sharper).z > 0


def test_reliability_points_hold_all_cases_and_their_shares() -> None:
    truth, chance = calibrated(6, 203)
    points = reliability_points(truth, chance, bins=10)
    assert sum(point.observed.n for point in points) == 203
    assert sum(point.observed.value * point.observed.n for point in points) == pytest.approx(truth.sum())
    assert sum(point.mean_probability * point.observed.n for point in points) == pytest.approx(chance.sum())
    assert all(a.high <= b.low for a, b in pairwise(points))


@pytest.mark.parametrize("kind", ["ece", "sweep", "debiased"])
def test_a_calibration_error_has_an_interval_over_patients(kind: str) -> None:
    truth, chance = calibrated(7)
    groups = [f"p{k // 2}" for k in range(500)]
    found = calibration_error_estimate(truth, chance, groups, kind=kind, plan=Resampling(repeats=100))  # type: ignore[arg-type]
    assert 0 <= found.low <= found.value <= found.high < 0.2
    assert found.n == 500


def test_logits_no_cases_and_one_class_are_refused() -> None:
    with pytest.raises(UnsuitableData, match="calibrate logits"):
        brier([1, 0], [2.3, -1.0])
    with pytest.raises(NotEstimable, match="no cases"):
        brier(np.empty(0), np.empty(0))
    with pytest.raises(NotEstimable, match="both classes"):
        calibration_line([1, 1], [0.5, 0.6])
    with pytest.raises(NotEstimable):
        calibration_line([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    with pytest.raises(NotEstimable, match="variance"):
        spiegelhalter([1, 0], [0.5, 0.5])
    with pytest.raises(NotEstimable, match="bins"):
        debiased_calibration_error([1, 0, 1], [0.5, 0.5, 0.2])
