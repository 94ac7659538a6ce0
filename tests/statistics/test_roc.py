"""Areas and their variances agree with scikit-learn, with the definitions written as loops, and with the bootstrap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.intervals import Resampling
from coread.statistics.roc import (
    auc,
    auc_bootstrap,
    auc_clustered,
    auc_delong,
    auc_estimate,
    auc_newcombe,
    clustered_covariance,
    compare_aucs,
    compare_aucs_unpaired,
    delong_covariance,
    partial_auc,
    roc_curve,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)

Case = tuple[np.ndarray, np.ndarray]


def sample(seed: int, n: int = 60, levels: int = 0, shift: float = 1.0) -> Case:
    random = np.random.default_rng(seed)
    truth = random.random(n) < 0.4
    truth[:4] = True, True, False, False
    scores = random.normal(size=n) + shift * truth
    return truth, np.round(scores * levels / 4) if levels else scores


@given(st.integers(0, 10_000), st.integers(4, 60), st.integers(0, 8))
def test_the_auc_is_that_of_scikit_learn_ties_included(seed: int, n: int, levels: int) -> None:
    truth, scores = sample(seed, n, levels)
    assert auc(truth, scores) == pytest.approx(roc_auc_score(truth, scores))


@given(st.integers(0, 10_000), st.integers(0, 8))
def test_the_curve_is_that_of_scikit_learn(seed: int, levels: int) -> None:
    truth, scores = sample(seed, 40, levels)
    false_positive_rate, sensitivity, thresholds = sklearn_roc_curve(truth, scores, drop_intermediate=False)
    ours = roc_curve(truth, scores)
    assert ours.false_positive_rate == pytest.approx(false_positive_rate)
    assert ours.sensitivity == pytest.approx(sensitivity)
    assert ours.thresholds == pytest.approx(thresholds)
    assert np.trapezoid(ours.sensitivity, ours.false_positive_rate) == pytest.approx(auc(truth, scores))


@given(st.integers(0, 10_000), st.sampled_from([0.05, 0.1, 0.37, 1.0]), st.integers(0, 6))
def test_the_partial_auc_is_that_of_scikit_learn(seed: int, limit: float, levels: int) -> None:
    truth, scores = sample(seed, 50, levels)
    assert partial_auc(truth, scores, most_false_positives=limit) == pytest.approx(
        roc_auc_score(truth, scores, max_fpr=limit)
    )


def delong_by_definition(truth: np.ndarray, table: np.ndarray) -> np.ndarray:
    """DeLong, DeLong and Clarke-Pearson (1988), equations 4 to 6, one pair of cases at a time."""

    def kernel(positive: float, negative: float) -> float:
        return 1.0 if positive > negative else 0.5 if positive == negative else 0.0

    v10, v01 = [], []
    for scores in table:
        x, y = scores[truth], scores[~truth]
        v10.append([sum(kernel(a, b) for b in y) / len(y) for a in x])
        v01.append([sum(kernel(a, b) for a in x) / len(x) for b in y])
    return np.asarray(np.atleast_2d(np.cov(v10)) / truth.sum() + np.atleast_2d(np.cov(v01)) / (~truth).sum())


@given(st.integers(0, 10_000), st.integers(0, 6))
def test_the_covariance_is_delongs_definition(seed: int, levels: int) -> None:
    truth, first = sample(seed, 30, levels)
    table = np.stack([first, sample(seed + 1, 30, levels)[1], -first])
    areas, covariance = delong_covariance(truth, table)
    assert covariance == pytest.approx(delong_by_definition(truth, table))
    assert areas == pytest.approx([auc(truth, row) for row in table])


def test_delongs_interval_matches_the_bootstrap_and_is_fast() -> None:
    truth, scores = sample(3, 400)
    exact = auc_delong(truth, scores)
    drawn = auc_bootstrap(truth, scores)
    assert (drawn.low, drawn.high) == pytest.approx((exact.low, exact.high), abs=0.006)
    large_truth, large = sample(4, 200_000)
    assert auc_delong(large_truth, large).n == 200_000


def test_the_bootstrap_auc_of_a_resample_is_the_auc_of_its_images() -> None:
    truth, scores = sample(5, 50, 4)
    one = auc_bootstrap(truth, scores, plan=Resampling(repeats=30, method="percentile"))
    random = np.random.default_rng(0)
    drawn = []
    for counts in random.multinomial(50, np.full(50, 1 / 50), size=30):
        chosen = np.repeat(np.arange(50), counts)
        drawn.append(roc_auc_score(truth[chosen], scores[chosen]))
    assert (one.low, one.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))


def obuchowski_by_definition(truth: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> float:
    """Obuchowski (1997), the variance of one clustered AUC, as sums over clusters."""
    x, y = scores[truth], scores[~truth]
    area = roc_auc_score(truth, scores)
    v10 = np.array([(np.sum(a > y) + 0.5 * np.sum(a == y)) / len(y) for a in x])
    v01 = np.array([(np.sum(b < x) + 0.5 * np.sum(b == x)) / len(x) for b in y])
    s10 = s01 = s11 = 0.0
    clusters = np.unique(groups)
    i10, i01 = len(np.unique(groups[truth])), len(np.unique(groups[~truth]))
    for g in clusters:
        up = sum(v10[groups[truth] == g] - area)
        down = sum(v01[groups[~truth] == g] - area)
        s10, s01, s11 = s10 + up**2, s01 + down**2, s11 + up * down
    m, n, i = len(x), len(y), len(clusters)
    s10 *= i10 / ((i10 - 1) * m)
    s01 *= i01 / ((i01 - 1) * n)
    s11 *= i / (i - 1)
    return float(s10 / m + s01 / n + 2 * s11 / (m * n))


@given(st.integers(0, 10_000))
def test_the_clustered_variance_is_obuchowskis_definition(seed: int) -> None:
    truth, scores = sample(seed, 40, 5)
    groups = np.random.default_rng(seed).integers(0, 12, 40)
    assert clustered_covariance(truth, scores, groups)[1][0, 0] == pytest.approx(
        obuchowski_by_definition(truth, scores, groups)
    )


def test_with_one_image_per_patient_clustering_changes_nothing() -> None:
    truth, scores = sample(7)
    names = [f"p{k}" for k in range(60)]
    assert clustered_covariance(truth, scores, names)[1] == pytest.approx(delong_covariance(truth, scores)[1])
    assert auc_estimate(truth, scores, names) == auc_delong(truth, scores)


def test_the_clustered_interval_matches_the_bootstrap_over_patients() -> None:
    random = np.random.default_rng(8)
    sizes = random.integers(1, 6, 150)
    patient = np.repeat(random.normal(size=150), sizes)
    truth = np.repeat(random.random(150) < 0.4, sizes) ^ (random.random(sizes.sum()) < 0.15)
    scores = 0.8 * truth + patient + 0.5 * random.normal(size=sizes.sum())
    groups = np.repeat([f"p{k}" for k in range(150)], sizes)
    formula, drawn = auc_clustered(truth, scores, groups), auc_bootstrap(truth, scores, groups)
    assert (drawn.low, drawn.high) == pytest.approx((formula.low, formula.high), abs=0.012)
    assert auc_estimate(truth, scores, groups) == formula
    assert formula.high - formula.low > 1.2 * (auc_delong(truth, scores).high - auc_delong(truth, scores).low)


def test_the_logit_interval_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(9)
    true_area = 0.8413447  # Phi(sqrt(2) / sqrt(2)): means sqrt(2) apart, unit variances
    truth = np.arange(80) < 40
    held = 0
    for _ in range(400):
        found = auc_delong(truth, random.normal(size=80) + np.sqrt(2) * truth)
        held += found.low <= true_area <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_a_perfect_reader_has_an_interval_too() -> None:
    truth = np.arange(20) < 10
    found = auc_delong(truth, truth.astype(float))
    assert found.value == found.high == 1.0
    assert found.low == auc_newcombe(1.0, 10, 10).low
    assert 0.7 < found.low < 0.95
    opposite = auc_newcombe(0.0, 10, 10)
    assert opposite.high == pytest.approx(1 - found.low, abs=0.02)


@given(st.floats(0.02, 0.98), st.integers(2, 80), st.integers(2, 80))
def test_newcombes_bounds_solve_his_equation(area: float, positives: int, negatives: int) -> None:
    found = auc_newcombe(area, positives, negatives)
    for t in (found.low, found.high):
        middle = (positives + negatives) / 2 - 1
        spread = t * (1 - t) * (1 + middle * (1 - t) / (2 - t) + middle * t / (1 + t)) / (positives * negatives)
        assert abs(area - t) == pytest.approx(1.959964 * np.sqrt(spread), rel=1e-5)


def test_a_paired_comparison_is_the_ratio_of_difference_and_error() -> None:
    truth, first = sample(10, 120)
    second = 0.7 * first + np.random.default_rng(11).normal(size=120) * 0.5
    found = compare_aucs(truth, first, second)
    covariance = delong_by_definition(truth, np.stack([first, second]))
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    gap = roc_auc_score(truth, first) - roc_auc_score(truth, second)
    assert found.difference.value == pytest.approx(gap)
    assert (found.difference.high - found.difference.low) / 2 == pytest.approx(1.959964 * error, rel=1e-5)
    assert found.p_value < 0.05 or abs(gap / error) < 1.96
    turned = compare_aucs(truth, second, first)
    assert (turned.p_value, turned.difference.value) == pytest.approx((found.p_value, -gap))


def test_the_paired_test_keeps_its_level_also_for_clusters() -> None:
    random = np.random.default_rng(12)
    truth = np.repeat(np.arange(40) < 20, 3)
    groups = [f"p{k // 3}" for k in range(120)]
    single, clustered = 0, 0
    for _ in range(200):
        base, one, other = (np.repeat(random.normal(size=40), 3) for _ in range(3))
        scores = [truth + base + own + 0.3 * random.normal(size=120) for own in (one, other)]
        single += compare_aucs(truth, scores[0], scores[1]).p_value < 0.05
        clustered += compare_aucs(truth, scores[0], scores[1], groups).p_value < 0.05
    assert 2 <= clustered <= 22
    assert single > clustered + 10  # ignoring patients invents differences


def test_comparing_a_reader_with_itself_finds_nothing() -> None:
    truth, scores = sample(13)
    found = compare_aucs(truth, scores, scores)
    assert (found.p_value, found.difference.value) == (1.0, 0.0)
    other_truth, other = sample(14)
    unpaired = compare_aucs_unpaired(truth, scores, other_truth, other)
    assert unpaired.difference.value == pytest.approx(auc(truth, scores) - auc(other_truth, other))


def test_rates_at_a_wanted_rate_lie_on_the_curve() -> None:
    truth, scores = sample(15, 200)
    plan = Resampling(repeats=100)
    curve = roc_curve(truth, scores)
    for wanted in (0.8, 0.9):
        reachable = curve.sensitivity[1 - curve.false_positive_rate >= wanted].max()
        found = sensitivity_at_specificity(truth, scores, wanted, plan=plan)
        assert found.value == pytest.approx(reachable)
        assert found.low <= found.value <= found.high
        spared = (1 - curve.false_positive_rate)[curve.sensitivity >= wanted].max()
        assert specificity_at_sensitivity(truth, scores, wanted, plan=plan).value == pytest.approx(spared)


@given(st.integers(0, 1000))
def test_an_area_depends_on_the_order_only_and_turns_with_the_truth(seed: int) -> None:
    truth, scores = sample(seed, 40, 5)
    moved = np.exp(scores / 2) + 3
    assert auc(truth, moved) == pytest.approx(auc(truth, scores))
    assert delong_covariance(truth, moved)[1] == pytest.approx(delong_covariance(truth, scores)[1])
    assert auc(~truth, scores) == pytest.approx(1 - auc(truth, scores))
    assert auc(truth, -scores) == pytest.approx(1 - auc(truth, scores))


def test_perfect_separation_over_clusters_counts_patients() -> None:
    truth = np.repeat(np.arange(12) < 6, 5)
    groups = [f"p{k // 5}" for k in range(60)]
    clustered = auc_clustered(truth, truth.astype(float), groups)
    assert (clustered.value, clustered.high, clustered.n) == (1.0, 1.0, 60)
    assert clustered.low == auc_newcombe(1.0, 6, 6).low
    assert clustered.low < auc_delong(truth, truth.astype(float)).low
    with pytest.raises(NotEstimable, match="two patients"):
        auc_clustered([1, 1, 0, 0], [0.4, 0.3, 0.2, 0.1], ["a", "a", "b", "c"])


def test_two_readers_that_never_vary_but_differ_cannot_be_tested() -> None:
    truth = np.array([1, 1, 0, 0])
    with pytest.raises(NotEstimable, match="no variance"):
        compare_aucs(truth, [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0])


def test_partial_areas_and_wanted_rates_have_limits() -> None:
    truth, scores = sample(16)
    assert partial_auc(truth, scores, most_false_positives=1.0, standardised=False) == pytest.approx(auc(truth, scores))
    with pytest.raises(UnsuitableData, match="false positive rate"):
        partial_auc(truth, scores, most_false_positives=0.0)
    with pytest.raises(UnsuitableData, match="wanted rate"):
        sensitivity_at_specificity(truth, scores, 1.2)
    assert sensitivity_at_specificity(truth, scores, 0.0, plan=Resampling(repeats=20)).value == 1.0


def test_one_class_is_said_never_nan() -> None:
    for truth in (np.ones(3, dtype=np.bool_), np.zeros(3, dtype=np.bool_)):
        for measure in (auc, roc_curve, auc_delong, auc_bootstrap, partial_auc):
            with pytest.raises(NotEstimable, match="both classes"):
                measure(truth, np.arange(3.0))
    with pytest.raises(NotEstimable, match="two positives"):
        auc_delong([1, 0, 0], [1.0, 2.0, 3.0])


def test_infinite_scores_are_an_order_like_any_other() -> None:
    truth = np.array([1, 1, 1, 0, 0, 0])
    endless = np.array([np.inf, np.inf, 0.0, 0.0, -np.inf, -np.inf])
    finite = np.array([9.0, 9.0, 0.0, 0.0, -9.0, -9.0])
    assert auc(truth, endless) == auc(truth, finite)
    assert roc_curve(truth, endless).sensitivity.tolist() == roc_curve(truth, finite).sensitivity.tolist()
    assert auc_bootstrap(truth, endless) == auc_bootstrap(truth, finite)


def test_unknown_truth_and_nan_scores_are_refused() -> None:
    with pytest.raises(UnsuitableData, match="unknown truth"):
        auc([1.0, np.nan, 0.0], [1.0, 2.0, 3.0])
    with pytest.raises(UnsuitableData, match="NaN"):
        auc([1, 0, 0], [1.0, np.nan, 3.0])
    with pytest.raises(UnsuitableData, match="length"):
        auc([1, 0, 0], [1.0, 2.0])
