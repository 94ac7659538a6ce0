"""Intervals agree with SciPy and statsmodels; the bootstrap resamples patients and covers as often as it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import t as student
from statsmodels.regression.linear_model import OLS

from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.intervals import (
    Resampling,
    bootstrap,
    bootstrap_weighted,
    clopper_pearson,
    clustered_proportion,
    estimate,
    proportion,
    wilson,
    wilson_bounds,
)


@given(st.integers(1, 300), st.data(), st.sampled_from([0.9, 0.95, 0.99]))
def test_intervals_of_a_proportion_are_those_of_scipy(n: int, data: st.DataObject, level: float) -> None:
    successes = data.draw(st.integers(0, n))
    reference = binomtest(successes, n)
    for ours, method in ((clopper_pearson, "exact"), (wilson, "wilson")):
        theirs = reference.proportion_ci(level, method=method)
        found = ours(successes, n, level=level)
        assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
        assert (found.value, found.n) == (successes / n, n)


def test_a_clustered_proportion_uses_the_cluster_robust_variance_of_statsmodels() -> None:
    random = np.random.default_rng(1)
    groups = np.repeat([f"p{k}" for k in range(40)], 4)
    hits = np.repeat(random.random(40) < 0.7, 4) ^ (random.random(160) < 0.1)
    fitted = OLS(hits.astype(float), np.ones(160)).fit(
        cov_type="cluster", cov_kwds={"groups": np.unique(groups, return_inverse=True)[1], "use_correction": False}
    )
    share = hits.mean()
    variance = float(fitted.cov_params()[0, 0]) * 40 / 39
    few = (norm.ppf(0.975) / student.ppf(0.975, 39)) ** 2  # Korn and Graubard's factor for 40 patients
    low, high = wilson_bounds(share, few * share * (1 - share) / variance)
    found = clustered_proportion(hits, groups)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.high - found.low > wilson(int(hits.sum()), 160).high - wilson(int(hits.sum()), 160).low


def test_a_proportion_is_exact_for_single_images_and_clustered_otherwise() -> None:
    hits = np.array([True] * 30 + [False] * 10)
    exact = clopper_pearson(30, 40)
    assert proportion(hits) == exact
    assert proportion(hits, [str(k) for k in range(40)]) == exact
    paired = [str(k // 2) for k in range(40)]
    assert proportion(hits, paired) == clustered_proportion(hits, paired)


def test_a_clustered_proportion_covers_as_often_as_it_says_with_few_patients() -> None:
    random = np.random.default_rng(7)
    held = 0
    for _ in range(400):
        rate = random.beta(4, 1, 15)  # 0.8 on average, different in each of 15 patients
        sizes = random.integers(1, 6, 15)
        groups = np.repeat(np.arange(15), sizes).astype(str)
        found = clustered_proportion(random.random(sizes.sum()) < np.repeat(rate, sizes), groups)
        held += found.low <= 0.8 <= found.high
    assert 0.92 <= held / 400 <= 0.99


def test_images_of_one_patient_count_as_one_case() -> None:
    found = clustered_proportion([1, 1, 0, 1], ["a", "a", "a", "a"])
    assert (found.low, found.high) == wilson_bounds(0.75, 1.0)
    alternating = clustered_proportion([1, 0] * 20, [str(k // 2) for k in range(40)])
    assert alternating.high - alternating.low >= wilson(20, 40).high - wilson(20, 40).low


def test_where_all_images_agree_patients_are_counted_once() -> None:
    found = clustered_proportion(np.ones(40, dtype=np.bool_), [str(k // 4) for k in range(40)])
    assert found.low == pytest.approx(clopper_pearson(10, 10).low)
    assert (found.value, found.high, found.n) == (1.0, 1.0, 40)


def test_the_bca_bootstrap_agrees_with_scipy() -> None:
    values = np.random.default_rng(2).exponential(size=60)
    theirs = scipy_bootstrap((values,), np.mean, n_resamples=8000, method="BCa", rng=np.random.default_rng(3))
    plan = Resampling(repeats=8000, seed=5)
    by_index = bootstrap(lambda chosen: float(values[chosen].mean()), 60, plan=plan)
    by_weight = bootstrap_weighted(lambda w: w @ values / w.sum(axis=1), 60, plan=plan)
    expected = (theirs.confidence_interval.low, theirs.confidence_interval.high)
    for found in (by_index, by_weight):
        assert (found.low, found.high) == pytest.approx(expected, abs=0.02)
        assert found.value == pytest.approx(values.mean())


def test_the_bootstrap_keeps_the_images_of_a_patient_together() -> None:
    values = np.repeat(np.random.default_rng(4).normal(size=30), 10)
    groups = [f"p{k // 10}" for k in range(300)]
    alone = bootstrap_weighted(lambda w: w @ values / w.sum(axis=1), 300)
    together = bootstrap_weighted(lambda w: w @ values / w.sum(axis=1), groups)
    ratio = (together.high - together.low) / (alone.high - alone.low)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.15)


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_the_bootstrap_covers_about_as_often_as_it_says(method: str) -> None:
    random = np.random.default_rng(6)
    plan = Resampling(repeats=400, method=method)  # type: ignore[arg-type]
    held = 0
    for _ in range(200):
        sizes = random.integers(1, 4, 50)
        values = np.repeat(random.normal(size=50), sizes) + 0.3 * random.normal(size=sizes.sum())
        groups = np.repeat(np.arange(50), sizes)
        found = bootstrap_weighted(lambda w, v=values: w @ v / w.sum(axis=1), [str(g) for g in groups], plan=plan)  # type: ignore[misc]
        held += found.low <= 0 <= found.high
    assert 0.88 <= held / 200 <= 0.99


def test_the_same_seed_gives_the_same_interval_and_progress_is_told() -> None:
    values = np.arange(20.0)
    told: list[tuple[int, int]] = []

    def run(seed: int) -> object:
        plan = Resampling(repeats=50, seed=seed)
        return bootstrap(lambda c: float(values[c].mean()), 20, plan=plan, progress=lambda *at: told.append(at))

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert told[49] == (50, 50)


def test_a_statistic_that_resamples_rarely_determine_is_not_estimable() -> None:
    def needs_case_0_three_times(chosen: np.ndarray) -> float:
        if len(chosen) == 100 and np.array_equal(chosen, np.arange(100)):
            return 1.0
        if (chosen == 0).sum() < 3:
            raise NotEstimable("rare")
        return 1.0

    with pytest.raises(NotEstimable, match="resamples"):
        bootstrap(needs_case_0_three_times, 100)


def test_no_cases_and_contradictions_are_errors() -> None:
    with pytest.raises(NotEstimable, match="no cases"):
        clopper_pearson(0, 0)
    with pytest.raises(NotEstimable, match="no cases"):
        bootstrap(lambda c: float(len(c)), 0)
    with pytest.raises(UnsuitableData, match="no proportion"):
        wilson(5, 3)
    with pytest.raises(UnsuitableData, match="level"):
        wilson(1, 3, level=95)
    with pytest.raises(UnsuitableData, match="0 and 1 only"):
        proportion(np.array([0.0, 1.0, np.nan]))
    with pytest.raises(UnsuitableData, match="tails"):
        Resampling(repeats=3)
    with pytest.raises(NotEstimable, match="not finite"):
        estimate(float("nan"), 0, 1, 3)
