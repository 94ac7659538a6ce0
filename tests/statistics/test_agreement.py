"""Agreement: the published examples of Shrout and Fleiss and of Bland and Altman, and what simulations must cover."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, theilslopes

from coread.statistics.agreement import (
    bland_altman,
    concordance,
    intraclass_correlations,
    mean_absolute_error,
    repeatability,
    repeatability_of,
    root_mean_square_error,
)
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.intervals import Resampling
from coread.statistics.method_comparison import deming, passing_bablok

SHROUT_FLEISS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
"""Four judges, six targets (Shrout and Fleiss 1979, table 2)."""

WRIGHT = [[494, 490], [395, 397], [516, 512], [434, 401], [476, 470], [557, 611], [413, 415], [442, 431], [650, 638],
          [433, 429], [417, 420], [656, 633], [267, 275], [478, 492], [178, 165], [423, 372], [427, 421]]  # fmt: skip
MINI = [[512, 525], [430, 415], [520, 508], [428, 444], [500, 500], [600, 625], [364, 460], [380, 390], [658, 642],
        [445, 432], [432, 420], [626, 605], [260, 227], [477, 467], [259, 268], [350, 370], [451, 443]]  # fmt: skip
"""Peak expiratory flow in l/min of 17 people, twice with each of two meters (Bland and Altman 1986, table 1)."""


def test_intraclass_correlations_are_those_of_shrout_and_fleiss() -> None:
    found = intraclass_correlations(SHROUT_FLEISS)
    values = [found.icc1, found.icc2, found.icc3, found.icc1k, found.icc2k, found.icc3k]
    assert [round(v.value, 2) for v in values] == [0.17, 0.29, 0.71, 0.44, 0.62, 0.91]
    # Intervals as R's psych prints them for the same table.
    bounds = [(-0.133, 0.72), (0.019, 0.76), (0.342, 0.95), (-0.884, 0.91), (0.071, 0.93), (0.676, 0.99)]
    for value, (low, high) in zip(values, bounds, strict=True):
        assert value.low == pytest.approx(low, abs=6e-4)
        assert value.high == pytest.approx(high, abs=6e-3)


def test_limits_of_agreement_are_those_of_bland_and_altman() -> None:
    found = bland_altman(np.array(WRIGHT)[:, 0], np.array(MINI)[:, 0])
    assert found.bias.value == pytest.approx(-2.1, abs=0.05)
    assert found.standard_deviation == pytest.approx(38.8, abs=0.05)
    assert (found.bias.low, found.bias.high) == pytest.approx((-22.0, 17.8), abs=0.1)
    # The paper adds and takes off two standard deviations, after rounding.
    two = bland_altman(np.array(WRIGHT)[:, 0], np.array(MINI)[:, 0], coverage=0.9544997)
    assert (two.lower.value, two.upper.value) == pytest.approx((-79.7, 75.5), abs=0.1)


def test_repeatability_is_that_of_bland_and_altman() -> None:
    # Standard deviations of the differences of a pair in the paper: 21.6 and 28.2 l/min.
    for table, expected in ((WRIGHT, 21.6), (MINI, 28.2)):
        found = repeatability(table)
        assert round(float(np.sqrt(2)) * found.within_sd.value, 1) == expected
        assert found.coefficient.value == pytest.approx(1.959964 * np.sqrt(2) * found.within_sd.value)


def test_unequal_repeats_are_the_residual_of_an_analysis_of_variance() -> None:
    random = np.random.default_rng(11)
    names = np.repeat([f"s{number}" for number in range(12)], random.integers(1, 5, 12))
    values = random.normal(50, 10, 12)[np.unique(names, return_inverse=True)[1]] + random.normal(0, 2, len(names))
    found = repeatability_of(values, names)
    repeated = np.array([(names == name).sum() > 1 for name in names])
    dummies = (names[:, None] == np.unique(names)[None, :]).astype(float)
    model = sm.OLS(values, dummies).fit()
    assert found.within_sd.value == pytest.approx(np.sqrt(model.mse_resid))
    assert (found.measurements, found.subjects) == (repeated.sum(), len(np.unique(names[repeated])))
    assert found.coefficient.value == pytest.approx(2.7718 * found.within_sd.value, rel=1e-4)
    degrees = model.df_resid
    assert found.within_sd.low == pytest.approx(np.sqrt(model.ssr / chi2.ppf(0.975, degrees)))
    with pytest.raises(NotEstimable, match="measured twice, got 1"):
        repeatability_of([1.0, 2.0, 3.0], ["a", "a", "b"])


def test_an_error_that_grows_with_the_mean_is_found() -> None:
    random = np.random.default_rng(12)
    means = random.uniform(10, 200, 40)
    growing = means[:, None] * (1 + 0.1 * random.standard_normal((40, 2)))
    steady = means[:, None] + 5 * random.standard_normal((40, 2))
    found, other = repeatability(growing).spread_p_value, repeatability(steady).spread_p_value
    assert found is not None
    assert other is not None
    assert found < 0.01 < other
    assert repeatability([[1.0, 1.0], [2.0, 2.0]]).spread_p_value is None


def test_exact_intervals_of_limits_cover_also_in_small_samples() -> None:
    random = np.random.default_rng(1)
    held = 0
    for _ in range(600):
        found = bland_altman(random.normal(size=8), np.zeros(8))
        held += (found.upper.low <= 1.959964 <= found.upper.high) + (found.lower.low <= -1.959964 <= found.lower.high)
    assert held / 1200 == pytest.approx(0.95, abs=0.02)


def test_large_samples_have_the_same_limits_by_approximation() -> None:
    random = np.random.default_rng(2)
    values = random.normal(size=2001)
    many, fewer = bland_altman(values, np.zeros(2001)), bland_altman(values[:2000], np.zeros(2000))
    assert many.upper.high - many.upper.low == pytest.approx(fewer.upper.high - fewer.upper.low, rel=0.01)


def test_proportional_bias_is_the_regression_of_statsmodels() -> None:
    random = np.random.default_rng(3)
    first = random.uniform(10, 50, 40)
    second = 1.1 * first + random.normal(scale=2, size=40)
    found = bland_altman(first, second)
    theirs = sm.OLS(first - second, sm.add_constant((first + second) / 2)).fit()
    assert found.slope.value == pytest.approx(theirs.params[1])
    assert (found.slope.low, found.slope.high) == pytest.approx(tuple(theirs.conf_int()[1]))
    assert found.slope_p_value == pytest.approx(theirs.pvalues[1])


@pytest.mark.parametrize("form", ["icc1", "icc3"])
def test_intervals_of_intraclass_correlation_cover_as_often_as_they_say(form: str) -> None:
    random = np.random.default_rng(4)
    held = 0
    for _ in range(400):
        ratings = random.normal(size=(25, 1)) * 2 + random.normal(size=(25, 3))
        found = getattr(intraclass_correlations(ratings), form)
        held += found.low <= 0.8 <= found.high
    assert held / 400 == pytest.approx(0.95, abs=0.035)


def test_the_within_sd_interval_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        found = repeatability(random.normal(size=(12, 1)) * 3 + random.normal(size=(12, 3)))
        held += found.within_sd.low <= 1.0 <= found.within_sd.high
    assert held / 400 == pytest.approx(0.95, abs=0.035)


def test_concordance_is_its_definition_and_its_interval_covers() -> None:
    random = np.random.default_rng(6)
    held = 0
    for _ in range(300):
        person = random.normal(size=60)
        x, y = person + 0.5 * random.normal(size=60), person + 0.5 * random.normal(size=60) + 0.5
        found = concordance(x, y)
        held += found.low <= 2 * 1.0 / (1.25 + 1.25 + 0.25) <= found.high
    assert held / 300 == pytest.approx(0.95, abs=0.04)
    by_hand = 2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    assert found.value == pytest.approx(by_hand)
    assert concordance([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]).low == pytest.approx(1.0)


@given(st.integers(0, 1000))
def test_deming_of_exact_lines_is_exact_and_its_inverse_is_the_other_way_round(seed: int) -> None:
    random = np.random.default_rng(seed)
    x = random.normal(size=20)
    exact = deming(x, 2 * x - 1)
    assert (exact.slope.value, exact.intercept.value) == pytest.approx((2, -1))
    y = 1.5 * x + 0.3 + random.normal(scale=0.3, size=20)
    there, back = deming(x, y, variance_ratio=2.0), deming(y, x, variance_ratio=0.5)
    assert there.slope.value == pytest.approx(1 / back.slope.value)
    # Orthogonal regression is the first principal axis.
    axis = np.linalg.eigh(np.cov(x, y))[1][:, 1]
    assert deming(x, y).slope.value == pytest.approx(axis[1] / axis[0])


def test_deming_recovers_the_slope_that_least_squares_flattens() -> None:
    random = np.random.default_rng(7)
    held, flattened = 0, []
    for _ in range(150):
        person = random.normal(size=60)
        x, y = person + 0.5 * random.normal(size=60), 1.2 * person + 0.5 * random.normal(size=60)
        found = deming(x, y)
        held += found.slope.low <= 1.2 <= found.slope.high
        flattened.append(float(np.polyfit(x, y, 1)[0]))
    assert held / 150 == pytest.approx(0.95, abs=0.06)
    assert np.mean(flattened) < 1.05


def passing_bablok_by_loop(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    slopes = []
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            if x[i] == x[j] and y[i] == y[j]:
                continue
            slope = np.inf * np.sign(y[j] - y[i]) if x[i] == x[j] else (y[j] - y[i]) / (x[j] - x[i])
            if slope != -1:
                slopes.append(slope)
    slopes.sort()
    n, count, offset = len(x), len(slopes), sum(s < -1 for s in slopes)
    half = 1.959964 * np.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    first = round((count - half) / 2)
    if count % 2:
        middle = slopes[(count + 1) // 2 + offset - 1]
    else:
        middle = 0.5 * (slopes[count // 2 + offset - 1] + slopes[count // 2 + offset])
    return float(middle), float(slopes[first + offset - 1]), float(slopes[count - first + 1 + offset - 1])


@settings(max_examples=40)
@given(st.integers(0, 1000), st.booleans())
def test_passing_bablok_is_its_description(seed: int, rounded: bool) -> None:
    random = np.random.default_rng(seed)
    x = random.uniform(1, 20, 25)
    y = 1.1 * x + random.normal(scale=1.5, size=25)
    if rounded:
        x, y = np.round(x), np.round(y)
    found = passing_bablok(x, y)
    assert (found.slope.value, found.slope.low, found.slope.high) == pytest.approx(passing_bablok_by_loop(x, y))
    assert found.intercept.value == pytest.approx(np.median(y - found.slope.value * x))
    turned = passing_bablok(y, x)
    assert turned.slope.value == pytest.approx(1 / found.slope.value, rel=0.02)


def test_passing_bablok_without_negative_slopes_is_the_slope_of_theil_and_sen() -> None:
    x = np.arange(12.0)
    y = x + np.array([0.1, 0.0, 0.2, 0.1, 0.3, 0.2, 0.1, 0.0, 0.1, 0.2, 0.4, 0.1])
    assert passing_bablok(x, y).slope.value == pytest.approx(theilslopes(y, x)[0])


def test_errors_of_numbers_have_intervals_over_patients() -> None:
    random = np.random.default_rng(8)
    truth = random.uniform(0, 10, 200)
    predicted = truth + random.normal(size=200)
    plan = Resampling(repeats=300)
    absolute = mean_absolute_error(truth, predicted, plan=plan)
    root = root_mean_square_error(truth, predicted, [f"p{k // 2}" for k in range(200)], plan=plan)
    assert absolute.value == pytest.approx(np.abs(predicted - truth).mean())
    assert root.value == pytest.approx(np.sqrt(((predicted - truth) ** 2).mean()))
    assert absolute.low < np.sqrt(2 / np.pi) < absolute.high
    assert root.low < 1.0 < root.high


def test_too_little_or_unchanging_data_is_said() -> None:
    with pytest.raises(NotEstimable, match="three pairs"):
        bland_altman([1.0, 2.0], [1.0, 2.0])
    with pytest.raises(NotEstimable, match="at least 2 subjects"):
        intraclass_correlations([[1.0, 2.0]])
    with pytest.raises(NotEstimable, match="equal"):
        intraclass_correlations([[1.0, 1.0], [2.0, 2.0]])
    with pytest.raises(NotEstimable, match="same mean"):
        intraclass_correlations([[11.0, 10.0]] * 4)
    with pytest.raises(NotEstimable, match="never changes"):
        concordance([1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0])
    with pytest.raises(UnsuitableData, match="complete table"):
        repeatability([[1.0, np.nan], [2.0, 3.0]])
    with pytest.raises(NotEstimable, match="no line"):
        deming([0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0])
    with pytest.raises(NotEstimable, match="four pairs"):
        concordance([1.0, 2.0], [1.0, 2.0])
    with pytest.raises(NotEstimable, match="four pairs"):
        deming([1.0, 2.0], [1.0, 2.0])
    with pytest.raises(NotEstimable, match="different pairs"):
        passing_bablok([1.0] * 5, [1.0] * 5)
    assert bland_altman([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]).slope_p_value == 1.0  # the means do not differ
    consistent = intraclass_correlations([[1.0, 2.0], [2.0, 3.0], [5.0, 6.0]])
    assert consistent.icc3.value == consistent.icc3.low == 1.0
    assert consistent.icc2.value < 1.0
    with pytest.raises(NotEstimable, match="four pairs"):
        passing_bablok([1.0, 2.0], [1.0, 2.0])
    with pytest.raises(UnsuitableData, match="positive"):
        deming([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], variance_ratio=0)
