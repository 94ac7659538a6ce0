"""Tables agree with scikit-learn and statsmodels, paired tests with examples of Fagerland, Lydersen and Laake."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, f1_score
from sklearn.metrics import confusion_matrix as sklearn_matrix
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.proportion import confint_proportions_2indep

from coread.statistics.confusion import (
    accuracy_at,
    balanced_accuracy,
    class_measures,
    confusion_matrix,
    kappa,
    mcnemar,
    overall_accuracy,
    paired_difference,
    proportion_difference,
    sensitivity_and_specificity,
)
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.intervals import clopper_pearson


def pairs(table: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Case by case answers of a paired 2 x 2 table: rows the first reader right, wrong; columns the second."""
    (a, b), (c, d) = table
    return np.array([1] * (a + b) + [0] * (c + d)), np.array([1] * a + [0] * b + [1] * c + [0] * d)


CAVO = [[59, 6], [16, 80]]
"""Response before and after consolidation (Cavo et al. 2012), in Fagerland, Lydersen, Laake (2017), chapter 8."""
BENTUR = [[1, 1], [7, 12]]
"""Airway hyper-responsiveness before and after transplantation (Bentur et al. 2009), the same chapter."""


def test_mcnemar_has_the_published_p_values() -> None:
    found = mcnemar(*pairs(CAVO))
    assert (found.only_first, found.only_second) == (6, 16)
    assert (found.p_exact, found.p_mid) == pytest.approx((0.052479, 0.034690), abs=5e-7)
    small = mcnemar(*pairs(BENTUR))
    assert (small.p_exact, small.p_mid) == pytest.approx((0.0703, 0.0391), abs=5e-5)


def test_paired_differences_have_the_published_intervals() -> None:
    tango = paired_difference(*pairs(CAVO), method="tango")
    assert (tango.value, tango.low, tango.high) == pytest.approx((-0.0621, -0.1240, -0.0054), abs=5e-5)
    newcombe = paired_difference(*pairs(CAVO))
    assert (newcombe.low, newcombe.high) == pytest.approx((-0.1186, -0.0046), abs=5e-5)


@given(st.integers(0, 40), st.integers(0, 25), st.integers(0, 25), st.integers(0, 40))
def test_mcnemar_is_that_of_statsmodels(a: int, b: int, c: int, d: int) -> None:
    found = mcnemar(*pairs([[a, b], [c, d]]))
    if b + c:
        assert found.p_exact == pytest.approx(float(statsmodels_mcnemar([[a, b], [c, d]], exact=True).pvalue))
    assert found.p_mid <= found.p_exact


@given(st.integers(0, 30), st.integers(0, 15), st.integers(0, 15), st.integers(0, 30))
def test_tangos_bounds_are_where_the_score_test_just_rejects(a: int, b: int, c: int, d: int) -> None:
    n = a + b + c + d
    if n == 0:
        return
    found = paired_difference(*pairs([[a, b], [c, d]]), method="tango")

    def score_at(delta: float) -> float:
        """The score statistic with the nuisance parameter fitted by numbers, not by Tango's formula."""

        def minus_likelihood(q: float) -> float:
            parts = [(b, q + delta), (c, q), (a + d, 1 - 2 * q - delta)]
            return -sum(k * np.log(p) if k else 0.0 for k, p in parts if k == 0 or p > 0)

        low, high = max(0.0, -delta) + 1e-12, (1 - delta) / 2 - 1e-12
        q = float(minimize_scalar(minus_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x)
        return float((b - c - n * delta) / np.sqrt(n * (2 * q + delta * (1 - delta))))

    for bound, sign in ((found.low, 1), (found.high, -1)):
        if abs(bound) < 0.999:
            assert score_at(bound) == pytest.approx(sign * 1.959964, abs=2e-2)


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_unpaired_differences_are_those_of_statsmodels(n1: int, n2: int, data: st.DataObject) -> None:
    s1, s2 = data.draw(st.integers(0, n1)), data.draw(st.integers(0, n2))
    found = proportion_difference(s1, n1, s2, n2)
    theirs = confint_proportions_2indep(s1, n1, s2, n2, method="newcomb")
    assert (found.low, found.high) == pytest.approx(theirs, abs=1e-9)


@given(st.integers(0, 10_000), st.integers(2, 5))
def test_tables_of_classes_are_those_of_scikit_learn(seed: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    truth = np.r_[np.arange(classes), random.integers(0, classes, 50)]
    called = np.where(random.random(len(truth)) < 0.6, truth, random.integers(0, classes, len(truth)))
    matrix = confusion_matrix(truth, called, classes)
    assert np.array_equal(matrix, sklearn_matrix(truth, called, labels=range(classes)))
    assert balanced_accuracy(matrix).value == pytest.approx(balanced_accuracy_score(truth, called))
    scores = f1_score(truth, called, labels=range(classes), average=None, zero_division=0)
    assert [row.f1 for row in class_measures(matrix)] == pytest.approx(list(scores))
    assert overall_accuracy(matrix) == clopper_pearson(int((truth == called).sum()), len(truth))


@given(st.integers(0, 10_000), st.sampled_from(["none", "linear", "quadratic"]))
def test_kappa_and_its_interval_are_those_of_statsmodels(seed: int, weights: str) -> None:
    random = np.random.default_rng(seed)
    truth = np.r_[np.arange(4), random.integers(0, 4, 80)]
    called = np.clip(truth + random.integers(-1, 2, len(truth)), 0, 3)
    matrix = confusion_matrix(truth, called, 4)
    found = kappa(matrix, weights=weights)  # type: ignore[arg-type]
    named = {"none": None, "linear": "linear", "quadratic": "quadratic"}[weights]
    assert found.value == pytest.approx(cohen_kappa_score(truth, called, weights=named))
    theirs = cohens_kappa(matrix, wt=named)
    assert (found.low, found.high) == pytest.approx((theirs.kappa_low, min(theirs.kappa_upp, 1.0)), abs=1e-9)


def test_the_interval_of_balanced_accuracy_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    true_rates, sizes = np.array([0.95, 0.7, 0.85]), (20, 35, 50)
    held = 0
    for _ in range(500):
        hits = [int(random.binomial(n, p)) for n, p in zip(sizes, true_rates, strict=True)]
        matrix = np.array(
            [
                [h if i == j else (n - h if j == (i + 1) % 3 else 0) for j in range(3)]
                for i, (h, n) in enumerate(zip(hits, sizes, strict=True))
            ]
        )
        found = balanced_accuracy(matrix)
        held += found.low <= true_rates.mean() <= found.high
    assert 0.93 <= held / 500 <= 0.99


def test_a_threshold_is_measured_from_its_table() -> None:
    truth, scores = [1, 1, 1, 0, 0, 0, 0], [0.9, 0.8, 0.2, 0.8, 0.1, 0.1, 0.3]
    found = accuracy_at(truth, scores, 0.8)
    counts = (found.true_positives, found.false_positives, found.true_negatives, found.false_negatives)
    assert counts == (2, 1, 3, 1)
    assert found.sensitivity == clopper_pearson(2, 3)
    assert found.specificity == clopper_pearson(3, 4)
    assert (found.ppv, found.npv) == (clopper_pearson(2, 3), clopper_pearson(3, 4))
    assert found.accuracy == clopper_pearson(5, 7)
    assert sensitivity_and_specificity(truth, scores, 0.8) == (found.sensitivity, found.specificity)
    assert accuracy_at(truth, scores, 1.0).ppv is None
    assert accuracy_at(truth, scores, 0.0).npv is None


def test_images_of_one_patient_widen_the_interval_of_a_threshold() -> None:
    random = np.random.default_rng(2)
    truth = np.repeat(random.random(80) < 0.5, 4)
    scores = np.repeat(random.normal(size=80), 4) + truth
    single = accuracy_at(truth, scores, 0.5)
    clustered = accuracy_at(truth, scores, 0.5, [f"p{k // 4}" for k in range(320)])
    assert clustered.sensitivity.value == single.sensitivity.value
    ratio = (clustered.sensitivity.high - clustered.sensitivity.low) / (
        single.sensitivity.high - single.sensitivity.low
    )
    assert ratio == pytest.approx(2.0, rel=0.15)  # four copies of each image: half the information


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(NotEstimable, match="both classes"):
        accuracy_at([1, 1], [0.1, 0.9], 0.5)
    with pytest.raises(NotEstimable, match="one-against-rest"):
        class_measures(np.array([[3, 1], [0, 0]]))
    with pytest.raises(NotEstimable, match="class 1 has no cases"):
        balanced_accuracy(np.array([[3, 1], [0, 0]]))
    with pytest.raises(NotEstimable, match="by chance"):
        kappa(np.array([[5, 0], [0, 0]]))
    with pytest.raises(UnsuitableData, match="from 0 to 2"):
        confusion_matrix([0, 3], [0, 1], 3)
    with pytest.raises(NotEstimable, match="no cases"):
        paired_difference(np.empty(0, dtype=np.bool_), np.empty(0, dtype=np.bool_))
    assert mcnemar([1, 0], [1, 0]).p_exact == 1.0
