"""Promised coverage is kept on simulated new cases; where it cannot be promised, that is said."""

import numpy as np
import pytest

from coread.statistics.conformal import fit_conformal, fit_selective, set_coverage
from coread.statistics.errors import NotEstimable, UnsuitableData


def three_classes(random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a network that is too sure of itself, and the true classes. Simulated."""
    truth = random.choice(3, n, p=[0.6, 0.3, 0.1])
    logits = random.normal(size=(n, 3)) * 1.5
    logits[np.arange(n), truth] += np.array([2.0, 1.5, 0.5])[truth]
    chance = np.exp(2 * logits)
    return chance / chance.sum(axis=1, keepdims=True), truth


def test_sets_hold_the_truth_as_often_as_promised() -> None:
    random = np.random.default_rng(1)
    shares = []
    for _ in range(150):
        fitted = fit_conformal(*three_classes(random, 100), coverage=0.9)
        chance, truth = three_classes(random, 300)
        shares.append(set_coverage(fitted.sets(chance), truth).value)
    # Between 0.9 and 0.9 + 1 / (n + 1) on average over calibration sets.
    assert 0.89 <= np.mean(shares) <= 0.92


def test_class_conditional_sets_keep_the_promise_within_every_class() -> None:
    random = np.random.default_rng(2)
    plain, by_class = np.zeros(3), np.zeros(3)
    for _ in range(60):
        calibration = three_classes(random, 400)
        chance, truth = three_classes(random, 3000)
        for total, conditional in ((plain, False), (by_class, True)):
            sets = fit_conformal(*calibration, coverage=0.9, class_conditional=conditional).sets(chance)
            total += [sets[truth == k, k].mean() / 60 for k in range(3)]
    assert (by_class > 0.88).all()
    assert (by_class < 0.94).all()
    assert np.ptp(plain) > np.ptp(by_class)


def test_one_column_of_probabilities_is_two_classes() -> None:
    random = np.random.default_rng(3)
    truth = random.random(200) < 0.4
    chance = np.clip(0.5 + 0.3 * (truth - 0.5) + 0.2 * random.normal(size=200), 0.01, 0.99)
    fitted = fit_conformal(chance, truth, coverage=0.8)
    assert np.array_equal(fitted.sets(chance), fitted.sets(np.column_stack([1 - chance, chance])))
    assert set_coverage(fitted.sets(chance), truth).value >= 0.8


def test_too_few_cases_give_sets_of_all_classes() -> None:
    fitted = fit_conformal([[0.9, 0.1], [0.2, 0.8]], [0, 1], coverage=0.9)
    assert fitted.sets([[1.0, 0.0]]).all()
    with pytest.raises(NotEstimable, match="class 2"):
        fit_conformal(np.full((4, 3), 1 / 3), [0, 1, 0, 1], class_conditional=True)


def two_classes(random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    chance = random.beta(0.6, 1.2, n)
    return random.random(n) < chance, chance


def test_answers_err_less_than_promised_as_often_as_promised() -> None:
    random = np.random.default_rng(4)
    broken, silent, accepted = 0, 0, []
    for _ in range(200):
        try:
            fitted = fit_selective(*two_classes(random, 600), most_error=0.1, confidence=0.9)
        except NotEstimable:
            silent += 1
            continue
        truth, chance = two_classes(random, 20_000)
        inside = fitted.accepts(chance)
        error = ((chance >= 0.5) != truth)[inside].mean()
        broken += error > 0.1
        accepted.append(inside.mean())
    assert broken / 200 <= 0.1 + 0.05
    assert silent < 10
    assert np.mean(accepted) > 0.3
    assert fitted.error.value <= 0.1


def test_the_range_without_answer_lies_around_the_threshold() -> None:
    random = np.random.default_rng(5)
    truth, chance = two_classes(random, 2000)
    fitted = fit_selective(truth, chance, most_error=0.1, threshold=0.3)
    assert fitted.low < 0.3 < fitted.high
    inside = fitted.accepts(chance)
    assert inside.sum() == round(fitted.accepted.value * 2000)
    assert fitted.error.value == pytest.approx(((chance >= 0.3) != truth)[inside].mean())


def test_a_reader_that_knows_nothing_gets_no_range() -> None:
    random = np.random.default_rng(6)
    with pytest.raises(NotEstimable, match="clearest cases"):
        fit_selective(random.random(500) < 0.5, random.random(500), most_error=0.05)
    with pytest.raises(NotEstimable, match="needs 59 cases"):
        fit_selective([1, 0], [0.9, 0.1], most_error=0.05)


def test_wishes_outside_their_range_are_refused() -> None:
    with pytest.raises(UnsuitableData, match="coverage"):
        fit_conformal([[0.5, 0.5]], [0], coverage=1.0)
    with pytest.raises(UnsuitableData, match="class numbers"):
        fit_conformal([[0.5, 0.5]], [2])
    with pytest.raises(UnsuitableData, match="most_error"):
        fit_selective([1, 0], [0.9, 0.1], most_error=0.0)
    with pytest.raises(UnsuitableData, match="probabilities"):
        fit_conformal([[1.5, -0.5]], [0])
    with pytest.raises(UnsuitableData, match="classes given"):
        fit_conformal([[0.5, 0.5]], [0]).sets([[0.2, 0.3, 0.5]])
