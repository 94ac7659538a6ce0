"""Decision curves follow their formula; strata, heterogeneity and corrections agree with statsmodels."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, chi2_contingency
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.oneway import anova_oneway

from coread.domain.cards import Estimate
from coread.statistics.decision import net_benefit
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.intervals import Resampling, wilson
from coread.statistics.roc import auc_delong
from coread.statistics.subgroups import (
    benjamini_hochberg,
    bonferroni,
    by_stratum,
    heterogeneity,
    heterogeneity_of,
    holm,
    interaction_test,
    mean_heterogeneity,
    rate_heterogeneity,
)

QUICK = Resampling(repeats=200)


def sample(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    chance = random.beta(1, 3, n)
    return random.random(n) < chance, chance


def test_net_benefit_is_its_formula() -> None:
    truth, chance = sample(1)
    curve = net_benefit(truth, chance, [0.1, 0.25, 0.5], plan=QUICK)
    for k, cut in enumerate([0.1, 0.25, 0.5]):
        called = chance >= cut
        expected = (called & truth).sum() / 300 - (called & ~truth).sum() / 300 * cut / (1 - cut)
        assert curve.reader[k] == pytest.approx(expected)
        assert curve.everybody[k] == pytest.approx(truth.mean() - (1 - truth.mean()) * cut / (1 - cut))
        assert curve.low[k] <= curve.reader[k] <= curve.high[k]
    assert curve.nobody.tolist() == [0, 0, 0]
    assert curve.standardised == pytest.approx(curve.reader / truth.mean())


def test_at_its_own_prevalence_the_population_formula_is_the_plain_one() -> None:
    truth, chance = sample(2)
    plain = net_benefit(truth, chance, plan=QUICK)
    stated = net_benefit(truth, chance, prevalence=float(truth.mean()), plan=QUICK)
    assert stated.reader == pytest.approx(plain.reader)
    assert len(plain.thresholds) == 99
    rare = net_benefit(truth, chance, [0.2], prevalence=0.01, plan=QUICK)
    assert rare.reader[0] < plain.reader[19]


def test_patients_with_many_images_widen_the_band_of_a_decision_curve() -> None:
    truth, chance = sample(3, 60)
    truth, chance = np.repeat(truth, 6), np.repeat(chance, 6)
    groups = [f"p{k // 6}" for k in range(360)]
    single, clustered = (net_benefit(truth, chance, [0.2], names, plan=QUICK) for names in (None, groups))
    ratio = (clustered.high[0] - clustered.low[0]) / (single.high[0] - single.low[0])
    assert ratio == pytest.approx(np.sqrt(6), rel=0.35)


def test_decision_curves_refuse_what_they_cannot_use() -> None:
    with pytest.raises(NotEstimable, match="both classes"):
        net_benefit([1, 1], [0.2, 0.3])
    with pytest.raises(UnsuitableData, match="threshold probabilities"):
        net_benefit([1, 0], [0.2, 0.3], [0.0, 0.5])
    with pytest.raises(UnsuitableData, match="prevalence"):
        net_benefit([1, 0], [0.2, 0.3], prevalence=1.0)


def test_strata_are_measured_or_say_why_not() -> None:
    truth, chance = sample(4)
    strata = ["a"] * 150 + ["b"] * 140 + ["c"] * 10
    truth[150:290] = False
    found = by_stratum(strata, truth, lambda chosen: auc_delong(truth[chosen], chance[chosen]))
    assert [row.name for row in found] == ["a", "b", "c"]
    assert found[0].estimate == auc_delong(truth[:150], chance[:150])
    assert found[1].estimate is None
    assert "both classes" in found[1].reason
    assert found[2].estimate is None
    assert "only 10 images" in found[2].reason
    assert sum(row.positives for row in found) == truth.sum()


@settings(max_examples=25)
@given(st.integers(0, 1000))
def test_heterogeneity_is_that_of_statsmodels(seed: int) -> None:
    random = np.random.default_rng(seed)
    values, errors = random.normal(size=5), random.uniform(0.3, 1.0, 5)
    found = heterogeneity(values, errors)
    theirs = combine_effects(values, errors**2)
    assert found.q == pytest.approx(theirs.q)
    assert found.p_value == pytest.approx(float(chi2.sf(theirs.q, 4)))
    assert found.i_squared == pytest.approx(max(0.0, theirs.i2))


def test_equal_strata_seldom_look_different_and_different_ones_do() -> None:
    random = np.random.default_rng(5)
    p_values = [
        heterogeneity_of([wilson(int(random.binomial(80, 0.85)), 80) for _ in range(4)]).p_value for _ in range(400)
    ]
    assert sum(p < 0.05 for p in p_values) <= 36
    assert heterogeneity_of([wilson(75, 80), wilson(50, 80)]).p_value < 0.001
    perfect = heterogeneity_of([wilson(80, 80), wilson(60, 80)])
    assert perfect.p_value < 0.05
    plain = heterogeneity_of([Estimate(1.0, 0.5, 1.5, 9), Estimate(2.0, 1.5, 2.5, 9)], scale="plain")
    assert plain.q == pytest.approx(1 / (2 * (0.5 / 1.959964) ** 2))


def test_the_interaction_test_is_the_likelihood_ratio_of_statsmodels() -> None:
    random = np.random.default_rng(6)
    strata = np.array(["x", "y", "z"])[random.integers(0, 3, 400)]
    score = random.normal(size=400)
    truth = random.random(400) < 1 / (1 + np.exp(-score * np.where(strata == "x", 2.0, 0.7)))
    member = np.column_stack([strata == name for name in ("x", "y", "z")]).astype(float)
    plain = sm.Logit(truth.astype(float), np.column_stack([member, score])).fit(disp=False)
    full = sm.Logit(truth.astype(float), np.column_stack([member, member * score[:, None]])).fit(disp=False)
    found = interaction_test(truth, score, list(strata))
    assert found.statistic == pytest.approx(2 * (full.llf - plain.llf), abs=1e-6)
    assert found.p_value == pytest.approx(float(chi2.sf(found.statistic, 2)))
    assert found.p_value < 0.05


@settings(max_examples=8)
@given(st.integers(0, 1000), st.integers(1, 12))
def test_corrections_for_many_tests_are_those_of_statsmodels(seed: int, count: int) -> None:
    p_values = np.round(np.random.default_rng(seed).random(count) ** 2, 2)
    for ours, name in ((bonferroni, "bonferroni"), (holm, "holm"), (benjamini_hochberg, "fdr_bh")):
        assert ours(p_values) == pytest.approx(multipletests(p_values, method=name)[1])


def test_strata_that_cannot_be_compared_are_said() -> None:
    with pytest.raises(NotEstimable, match="at least two"):
        heterogeneity([0.8], [0.1])
    with pytest.raises(NotEstimable, match="standard error"):
        heterogeneity([0.8, 0.9], [0.1, 0.0])
    with pytest.raises(NotEstimable, match="at least two strata"):
        interaction_test([1, 0], [0.2, 0.3], ["a", "a"])
    with pytest.raises(NotEstimable, match="one class"):
        interaction_test([1, 0, 0, 0], [0.2, 0.3, 0.1, 0.5], ["a", "a", "b", "b"])
    with pytest.raises(UnsuitableData, match="p-values"):
        holm([0.2, 1.3])


def test_shares_of_strata_are_compared_as_by_pearson_with_one_image_a_patient() -> None:
    random = np.random.default_rng(20)
    strata = random.choice(["a", "b", "c"], 200)
    hits = random.random(200) < np.where(strata == "a", 0.6, 0.8)
    table = [[(hits & (strata == name)).sum(), (~hits & (strata == name)).sum()] for name in "abc"]
    found, wanted = rate_heterogeneity(hits, list(strata)), chi2_contingency(table, correction=False)
    assert found.q == pytest.approx(wanted.statistic)
    assert found.degrees_of_freedom == wanted.dof
    assert found.p_value == pytest.approx(wanted.pvalue)
    assert rate_heterogeneity([1, 1, 1, 1], ["a", "a", "b", "b"]).p_value == 1.0


def test_shares_are_divided_by_the_design_effect_of_their_stratum() -> None:
    """Copies of every image change nothing: six images of a patient are one."""
    random = np.random.default_rng(21)
    strata = np.repeat(["a", "b"], 40)
    hits = random.random(80) < np.where(strata == "a", 0.5, 0.8)
    one = rate_heterogeneity(hits, list(strata))
    six = rate_heterogeneity(np.repeat(hits, 6), list(np.repeat(strata, 6)), np.repeat(np.arange(80), 6))
    assert six.q == pytest.approx(one.q * 39 / 40)
    assert rate_heterogeneity(np.repeat(hits, 6), list(np.repeat(strata, 6))).q == pytest.approx(6 * one.q)


def test_the_level_of_both_tests_of_strata_holds_with_several_images_a_patient() -> None:
    random = np.random.default_rng(22)
    patients = np.repeat(np.arange(90), 4)
    strata = [("a", "b", "c")[number % 3] for number in patients]
    shares = means = plain = 0
    for _ in range(400):
        hits = np.repeat(random.random(90) < 0.7, 4)
        shares += rate_heterogeneity(hits, strata, patients).p_value < 0.05
        plain += rate_heterogeneity(hits, strata).p_value < 0.05
        values = np.repeat(random.normal(size=90), 4) + 0.1 * random.normal(size=360)
        means += mean_heterogeneity(values, strata, patients).p_value < 0.05
    assert shares / 400 < 0.08
    assert 0.02 < means / 400 < 0.08
    assert plain / 400 > 0.2


def test_means_of_strata_are_compared_as_by_welch() -> None:
    random = np.random.default_rng(23)
    strata = np.repeat(["a", "b", "c"], [12, 30, 20])
    values = random.normal(size=62) * np.repeat([1.0, 3.0, 0.5], [12, 30, 20])
    wanted = anova_oneway([values[strata == name] for name in "abc"], use_var="unequal", welch_correction=True)
    found = mean_heterogeneity(values, list(strata))
    assert found.f == pytest.approx(wanted.statistic)
    assert found.p_value == pytest.approx(wanted.pvalue)
    assert found.degrees_of_freedom == pytest.approx((wanted.df_num, wanted.df_denom))
    with pytest.raises(NotEstimable, match="no spread"):
        mean_heterogeneity([1.0, 1.0, 2.0, 3.0], ["a", "a", "b", "b"])
    for test, data in ((mean_heterogeneity, [1.0, 2.0]), (rate_heterogeneity, [1, 0])):
        with pytest.raises(NotEstimable, match="at least two"):
            test(data, ["a", "a"])
