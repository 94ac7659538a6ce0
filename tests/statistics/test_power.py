"""Sample sizes reach the power they promise, by simulation, by exact enumeration or against statsmodels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from statsmodels.stats.proportion import proportion_confint

from coread.statistics.confusion import mcnemar
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.intervals import clopper_pearson, wilson
from coread.statistics.power import (
    MrmcVariances,
    auc_power,
    cases_for_paired,
    cases_for_proportion,
    cases_for_proportion_test,
    hanley_mcneil_variance,
    mrmc_power,
    obuchowski_variance,
    paired_auc_power,
    paired_power,
    positives_for_auc,
    positives_for_auc_width,
    proportion_power,
)
from coread.statistics.roc import auc, auc_delong


def test_hanley_and_mcneils_variance_is_exact_for_exponential_scores() -> None:
    random = np.random.default_rng(1)
    truth = np.arange(150) < 60
    # Positives last four times as long on average: the area is 4 / (4 + 1).
    areas = [auc(truth, random.exponential(np.where(truth, 4.0, 1.0))) for _ in range(4000)]
    assert np.mean(areas) == pytest.approx(0.8, abs=0.003)
    assert hanley_mcneil_variance(0.8, 60, 90) == pytest.approx(np.var(areas), rel=0.08)


@pytest.mark.parametrize("shift", [0.8, 1.5])
def test_obuchowskis_variance_is_on_the_safe_side_for_normal_scores(shift: float) -> None:
    random = np.random.default_rng(2)
    truth = np.arange(150) < 60
    areas = np.array([auc(truth, random.normal(size=150) + shift * truth) for _ in range(1500)])
    assert 1.0 < obuchowski_variance(float(areas.mean()), 60, 90) / areas.var() < 1.5
    # For equal groups it is the formula of Hajian-Tilaki (2014).
    a = 1.414 * 0.8416212
    assert obuchowski_variance(0.8, 50, 50) == pytest.approx(
        0.0099 * np.exp(-(a**2) / 2) * (6 * a**2 + 16) / 50, rel=1e-6
    )


def test_the_positives_for_an_area_reach_the_power_in_simulation() -> None:
    positives = positives_for_auc(0.8413447, 0.7, power=0.8)
    assert auc_power(0.8413447, 0.7, positives, positives) >= 0.8
    assert auc_power(0.8413447, 0.7, positives - 1, positives - 1) < 0.8
    random = np.random.default_rng(2)
    truth = np.arange(2 * positives) < positives
    shown = sum(auc_delong(truth, random.normal(size=2 * positives) + np.sqrt(2) * truth).low > 0.7 for _ in range(400))
    assert shown / 400 == pytest.approx(0.8, abs=0.1)


def test_the_width_of_an_area_is_reached_and_not_with_one_case_fewer() -> None:
    for model, variance in (("obuchowski", obuchowski_variance), ("hanley_mcneil", hanley_mcneil_variance)):
        positives = positives_for_auc_width(0.9, 0.08, negatives_per_positive=2, model=model)  # type: ignore[arg-type]
        assert 2 * 1.959964 * np.sqrt(variance(0.9, positives, 2 * positives)) <= 0.08
        assert 2 * 1.959964 * np.sqrt(variance(0.9, positives - 1, 2 * positives - 2)) > 0.08


@settings(max_examples=40)
@given(st.sampled_from([0.5, 0.8, 0.9, 0.95, 1.0]), st.sampled_from([0.05, 0.1, 0.2]))
def test_the_width_of_a_proportion_is_reached_and_not_before(expected: float, width: float) -> None:
    n = cases_for_proportion(expected, width)
    low, high = proportion_confint(expected * n, n, method="wilson")
    assert high - low <= width
    low, high = proportion_confint(expected * (n - 1), n - 1, method="wilson")
    assert high - low > width
    exact = cases_for_proportion(expected, width, method="exact")
    found = clopper_pearson(round(expected * exact), exact)
    assert found.high - found.low <= width * 1.05
    assert wilson(round(expected * n), n).n == n


@pytest.mark.parametrize(("expected", "null"), [(0.9, 0.8), (0.95, 0.85), (0.05, 0.15)])
def test_exact_power_is_enumeration_and_stays(expected: float, null: float) -> None:
    n = cases_for_proportion_test(expected, null)

    def power_by_enumeration(size: int) -> float:
        total = 0.0
        for x in range(size + 1):
            tail = binom.sf(x - 1, size, null) if expected > null else binom.cdf(x, size, null)
            total += binom.pmf(x, size, expected) if tail <= 0.025 else 0.0
        return total

    assert proportion_power(expected, null, n) == pytest.approx(power_by_enumeration(n))
    assert all(proportion_power(expected, null, k) >= 0.8 for k in range(n, n + 40))
    assert proportion_power(expected, null, n - 1) < 0.8


def test_mcnemars_pairs_reach_the_power_in_simulation() -> None:
    n = cases_for_paired(0.15, 0.05)
    assert paired_power(0.15, 0.05, n) >= 0.8
    assert paired_power(0.15, 0.05, n - 1) < 0.8
    random = np.random.default_rng(3)
    shown = 0
    for _ in range(400):
        kinds = random.choice(4, n, p=[0.6, 0.15, 0.05, 0.2])
        shown += mcnemar(np.isin(kinds, (0, 1)), np.isin(kinds, (0, 2))).p_mid < 0.05
    assert shown / 400 == pytest.approx(0.8, abs=0.07)


def test_correlated_areas_need_fewer_cases() -> None:
    powers = [paired_auc_power(0.9, 0.85, 100, 100, correlation=r) for r in (0.0, 0.4, 0.8)]
    assert powers == sorted(powers)
    assert powers[2] > powers[0] + 0.2


def test_a_reader_study_reaches_its_power_by_the_law_of_its_statistic() -> None:
    """F as the ratio of simulated chi-squares with the mean squares that the components imply."""
    parts = MrmcVariances(0.0002, 0.0008, 0.00035, 0.00034, 0.00024, 114)
    readers, cases, difference = 6, 200, 0.045
    shrink = 114 / cases
    interaction = parts.modality_reader + shrink * (
        parts.error - parts.covariance1 - (parts.covariance2 - parts.covariance3)
    )
    noise = interaction + readers * shrink * (parts.covariance2 - parts.covariance3)
    random = np.random.default_rng(4)
    between = noise * random.noncentral_chisquare(1, readers * difference**2 / 2 / noise, 40_000)
    square = interaction * random.chisquare(readers - 1, 40_000) / (readers - 1)
    from scipy.stats import f

    error = square + noise - interaction
    degrees = error**2 / (square**2 / (readers - 1))
    shown = float(np.mean(between / error > f.ppf(0.95, 1, degrees)))
    assert mrmc_power(parts, difference, readers=readers, cases=cases) == pytest.approx(shown, abs=0.02)


def test_wishes_that_mean_nothing_are_refused() -> None:
    with pytest.raises(UnsuitableData, match="null value"):
        positives_for_auc(0.8, 0.8)
    with pytest.raises(UnsuitableData, match="AUC lies"):
        auc_power(1.0, 0.5, 10, 10)
    with pytest.raises(NotEstimable, match="both classes"):
        auc_power(0.9, 0.5, 0, 10)
    with pytest.raises(UnsuitableData, match="no difference"):
        cases_for_paired(0.1, 0.1)
    with pytest.raises(UnsuitableData, match="power"):
        cases_for_paired(0.1, 0.2, power=1.0)
    with pytest.raises(UnsuitableData, match="width"):
        cases_for_proportion(0.9, 0.0)
    with pytest.raises(UnsuitableData, match="width"):
        positives_for_auc_width(0.9, 1.0)
    with pytest.raises(UnsuitableData, match="differs"):
        proportion_power(0.8, 0.8, 10)
    with pytest.raises(UnsuitableData, match="correlation"):
        paired_auc_power(0.9, 0.8, 10, 10, correlation=1.0)
    with pytest.raises(UnsuitableData, match="per positive"):
        positives_for_auc(0.9, 0.8, negatives_per_positive=0)
    with pytest.raises(UnsuitableData, match="discordant"):
        cases_for_paired(0.7, 0.6)
    with pytest.raises(NotEstimable, match="enough"):
        cases_for_proportion(0.5, 1e-5)
    with pytest.raises(NotEstimable, match="no error"):
        mrmc_power(MrmcVariances(0, 0, 0, 0, 0, 100), 0.05, readers=4, cases=100)
    with pytest.raises(NotEstimable, match="two readers"):
        mrmc_power(MrmcVariances(0, 0.001, 0, 0, 0, 100), 0.05, readers=1, cases=100)
