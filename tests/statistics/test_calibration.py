"""Fits agree with scikit-learn and SciPy; curves mean at run time what they meant when fitted; the choice is honest."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss as sklearn_log_loss

from coread.models.calibration import calibration_from_json
from coread.models.errors import BadCalibration
from coread.statistics.calibration import (
    FITS,
    Beta,
    Isotonic,
    Platt,
    Temperature,
    choose_calibration,
    cross_fitted,
    fit_beta,
    fit_isotonic,
    fit_multiclass_temperature,
    fit_platt,
    fit_temperature,
    patient_folds,
    shift_prevalence,
    shifted,
)
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.reliability import expected_calibration_error


def sample(seed: int, n: int = 400, slope: float = 2.5, offset: float = -1.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are too small and shifted by known amounts. Simulated."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=n)
    truth = random.random(n) < 1 / (1 + np.exp(-(slope * logits + offset)))
    truth[:2] = True, False
    return logits, truth


def smoothed(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Platt's targets as weights of a positive and a negative copy of each case, as scikit-learn can take them."""
    positives, negatives = truth.sum(), (~truth).sum()
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    return np.r_[np.ones(len(truth)), np.zeros(len(truth))], np.r_[target, 1 - target]


@pytest.mark.parametrize("seed", range(5))
def test_platt_is_logistic_regression_on_smoothed_targets(seed: int) -> None:
    logits, truth = sample(seed)
    copies, weights = smoothed(truth)
    theirs = LogisticRegression(C=np.inf, tol=1e-12, max_iter=2000).fit(
        np.r_[logits, logits][:, None], copies, sample_weight=weights
    )
    found = fit_platt(logits, truth)
    assert (found.a, found.b) == pytest.approx((float(theirs.coef_[0, 0]), float(theirs.intercept_[0])), rel=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_beta_is_logistic_regression_on_the_logs_of_the_score(seed: int) -> None:
    logits, truth = sample(seed, slope=1.5, offset=0.3)
    score = 1 / (1 + np.exp(-logits))
    features = np.column_stack([np.log(score), -np.log(1 - score)])
    copies, weights = smoothed(truth)
    theirs = LogisticRegression(C=np.inf, tol=1e-12, max_iter=5000).fit(
        np.r_[features, features], copies, sample_weight=weights
    )
    found = fit_beta(logits, truth)
    assert (found.a, found.b) == pytest.approx(tuple(theirs.coef_[0]), rel=1e-3)
    assert found.c == pytest.approx(float(theirs.intercept_[0]), abs=1e-3)
    s = 1 / (1 + np.exp(-logits[:5]))
    assert found.probabilities(logits[:5]) == pytest.approx(
        1 / (1 + 1 / (np.exp(found.c) * s**found.a / (1 - s) ** found.b))
    )


def test_beta_never_turns_the_order_round() -> None:
    random = np.random.default_rng(1)
    for seed in range(20):
        logits = random.normal(size=60) * 3
        truth = (np.abs(logits) < 1.5) ^ (random.random(60) < 0.1) if seed % 2 else random.random(60) < 0.5
        truth[:2] = True, False
        found = fit_beta(logits, truth)
        assert found.a >= 0
        assert found.b >= 0
        curve = found.probabilities(np.linspace(-8, 8, 50))
        assert (np.diff(curve) >= -1e-12).all()


@pytest.mark.parametrize("seed", range(5))
def test_temperature_minimises_the_log_loss(seed: int) -> None:
    logits, truth = sample(seed, offset=0.0)
    copies, weights = smoothed(truth)

    def loss(temperature: float) -> float:
        chance = 1 / (1 + np.exp(-np.r_[logits, logits] / temperature))
        return float(sklearn_log_loss(copies, chance, sample_weight=weights))

    best = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-10}).x
    assert fit_temperature(logits, truth).temperature == pytest.approx(best, rel=1e-5)


@given(st.integers(0, 10_000), st.integers(0, 5))
def test_isotonic_is_that_of_scikit_learn_but_never_certain(seed: int, levels: int) -> None:
    logits, truth = sample(seed, 80)
    if levels:
        logits = np.round(logits * levels)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(logits, truth)
    grid = np.linspace(logits.min() - 1, logits.max() + 1, 200)
    found = fit_isotonic(logits, truth)
    knots = np.unique(logits)
    expected = np.clip(theirs.predict(knots), 1 / 82, 81 / 82)
    assert found.probabilities(knots) == pytest.approx(expected)
    assert (np.diff(found.probabilities(grid)) >= 0).all()
    assert found.probabilities(grid).min() >= 1 / 82


@pytest.mark.parametrize("method", sorted(FITS))
def test_the_run_time_gives_the_same_probability(method: str) -> None:
    logits, truth = sample(4)
    curve = FITS[method](logits, truth)
    document = json.dumps({"schema": 1, "method": curve.method, "outputs": {"x": curve.parameters()}})
    try:
        running = calibration_from_json(document)
    except BadCalibration:
        pytest.skip(f"this run time does not know {method!r} yet")
    grid = np.linspace(-6, 6, 40)
    assert [running.probability("x", float(value)) for value in grid] == pytest.approx(list(curve.probabilities(grid)))


@pytest.mark.parametrize("method", sorted(FITS))
def test_extreme_and_separable_logits_stay_finite_and_ordered(method: str) -> None:
    logits = np.array([-900.0, -50.0, -3.0, 2.0, 60.0, 800.0])
    curve = FITS[method](logits, [0, 0, 0, 1, 1, 1])
    chance = curve.probabilities([-1e4, -5, 0, 5, 1e4])
    assert np.isfinite(chance).all()
    assert (np.diff(chance) >= 0).all()
    assert all(np.isfinite(v).all() for v in curve.parameters().values())


def test_a_network_that_learned_the_opposite_gives_the_base_rate() -> None:
    logits, truth = sample(5)
    found = fit_platt(-logits, truth)
    assert found.a > 0
    assert found.probabilities(-logits).mean() == pytest.approx(truth.mean(), abs=0.01)


def test_the_choice_has_the_smallest_loss_and_calibrates_unseen_patients() -> None:
    logits, truth = sample(6, 1500)
    found = choose_calibration(logits, truth)
    assert found.losses[found.method] == min(found.losses.values())
    assert set(found.losses) == {"temperature", "platt", "beta", "isotonic"}
    assert found.method != "temperature"  # the simulated logits are shifted, which a temperature cannot mend
    unseen, unseen_truth = sample(7, 4000)
    before = expected_calibration_error(unseen_truth, 1 / (1 + np.exp(-unseen)))
    after = expected_calibration_error(unseen_truth, found.curve.probabilities(unseen))
    assert before > 0.15
    assert after < 0.03
    by_brier = choose_calibration(logits, truth, criterion="brier", methods=["platt"])
    assert by_brier.losses["platt"] == pytest.approx(np.mean((by_brier.probabilities - truth) ** 2))


def test_cross_fitting_never_judges_a_patient_by_a_curve_that_saw_him() -> None:
    logits, truth = sample(8, 120)
    groups = [f"p{k // 3}" for k in range(120)]
    folds = patient_folds(truth, groups, folds=4, seed=1)
    assert all(len(set(folds[3 * k : 3 * k + 3])) == 1 for k in range(40))
    assert len(set(folds)) == 4
    crossed = cross_fitted(logits, truth, fit_platt, folds)
    for fold in range(4):
        other = fit_platt(logits[folds != fold], truth[folds != fold])
        assert crossed[folds == fold] == pytest.approx(other.probabilities(logits[folds == fold]))


@given(st.integers(0, 10_000), st.integers(2, 6))
def test_every_training_part_of_the_folds_has_both_classes(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    groups = random.integers(0, 15, 60)
    truth = random.random(60) < 0.2
    truth[:4] = True, True, False, False
    groups[:4] = 0, 1, 2, 3
    folds = patient_folds(truth, groups, folds=count, seed=seed)
    for fold in np.unique(folds):
        assert 0 < truth[folds != fold].sum() < (folds != fold).sum()


@given(st.floats(0.01, 0.9), st.floats(0.01, 0.9))
def test_a_shifted_prevalence_is_bayes_rule(before: float, after: float) -> None:
    likelihood_ratio = np.array([0.1, 1.0, 30.0])
    odds = likelihood_ratio * before / (1 - before)
    moved = shift_prevalence(odds / (1 + odds), from_prevalence=before, to_prevalence=after)
    expected = likelihood_ratio * after / (1 - after)
    assert moved == pytest.approx(expected / (1 + expected))


@pytest.mark.parametrize(
    "curve",
    [Platt(1.5, -0.2), Temperature(2.0), Beta(0.8, 1.2, 0.1), Isotonic((-2.0, 0.0, 1.0), (0.1, 0.3, 0.8))],
    ids=lambda c: c.method,
)
def test_a_shifted_curve_gives_shifted_probabilities(curve: Platt) -> None:
    logits = np.array([-2.0, 0.0, 1.0])
    expected = shift_prevalence(curve.probabilities(logits), from_prevalence=0.3, to_prevalence=0.05)
    moved = shifted(curve, from_prevalence=0.3, to_prevalence=0.05)
    assert moved.probabilities(logits) == pytest.approx(expected)
    back = shifted(moved, from_prevalence=0.05, to_prevalence=0.3)
    assert back.probabilities(logits) == pytest.approx(curve.probabilities(logits))


def test_a_softmax_temperature_is_found_again() -> None:
    random = np.random.default_rng(9)
    logits = random.normal(size=(6000, 4)) * 2
    chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.array([random.choice(4, p=p) for p in chance])
    assert fit_multiclass_temperature(3.0 * logits, truth) == pytest.approx(3.0, rel=0.06)


def test_logits_without_spread_give_the_base_rate_or_are_left_out() -> None:
    truth = np.arange(40) % 4 == 0
    found = fit_platt(np.full(40, 2.0), truth)
    assert found.probabilities([2.0])[0] == pytest.approx(0.25, abs=0.03)
    chosen = choose_calibration(np.zeros(40), truth)
    assert "temperature" not in chosen.losses
    assert chosen.curve.probabilities([0.0])[0] == pytest.approx(0.25, abs=0.03)
    with pytest.raises(NotEstimable, match="no calibration method"):
        choose_calibration(np.zeros(40), truth, methods=["temperature"])


def test_beta_of_logits_that_saturate_is_platt_scaling() -> None:
    random = np.random.default_rng(2)
    logits = 60 + random.normal(size=80)  # ln s is zero for all of them
    truth = random.random(80) < 1 / (1 + np.exp(-(logits - 60)))
    beta, platt = fit_beta(logits, truth), fit_platt(logits, truth)
    assert beta.probabilities(logits) == pytest.approx(platt.probabilities(logits), abs=1e-6)


def test_one_class_and_unknown_methods_are_said() -> None:
    for fit in FITS.values():
        with pytest.raises(NotEstimable, match="both classes"):
            fit([0.1, 0.2], [1, 1])
    with pytest.raises(NotEstimable, match="two patients"):
        choose_calibration([0.1, 0.2, 0.3], [1, 0, 0])
    with pytest.raises(UnsuitableData, match="unknown calibration methods"):
        choose_calibration([0.1, 0.2], [1, 0], methods=["spline"])
    with pytest.raises(UnsuitableData, match="infinite"):
        fit_platt([np.inf, 0.0], [1, 0])
