"""The Van Dyke data give what OR-DBM MRMC 2.51, MRMCaov and JAFROC 4.2.1 print; simulated studies keep their level."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

from coread.statistics.errors import NotEstimable, UnreadableStudy, UnsuitableData
from coread.statistics.imrmc import read_imrmc, write_imrmc
from coread.statistics.mrmc import Figure, ReaderStudy, analyse_pseudovalues, analyse_readers
from coread.statistics.power import mrmc_cases, mrmc_power
from tests.statistics import van_dyke


def test_van_dyke_areas_are_the_printed_ones() -> None:
    found = analyse_readers(van_dyke.study(), covariance="jackknife")
    assert found.aucs == pytest.approx(np.array(van_dyke.AUCS), abs=1e-7)
    assert found.aucs.mean(axis=1) == pytest.approx([0.89703704, 0.94083736], abs=1e-8)


def test_van_dyke_components_are_those_of_or_dbm_mrmc() -> None:
    found = analyse_readers(van_dyke.study(), covariance="jackknife")
    squares = (found.mean_square_modality, found.mean_square_reader, found.mean_square_interaction)
    assert squares == pytest.approx((0.00479617, 0.00383620, 0.00055103), abs=1e-8)
    c = found.components
    assert (c.reader, c.modality_reader) == pytest.approx((0.00153500, 0.00020040), abs=1e-8)
    assert (c.covariance1, c.covariance2, c.covariance3) == pytest.approx(
        (0.00034661, 0.00034407, 0.00023903), abs=1e-8
    )
    assert c.error == pytest.approx(0.00080229, abs=1e-8)


def test_van_dyke_with_random_readers_and_cases_is_f_4_46_p_0_0517() -> None:
    test = analyse_readers(van_dyke.study(), covariance="jackknife").random_both
    assert test.statistic == pytest.approx(4.46, abs=0.005)
    assert test.error_degrees_of_freedom == pytest.approx(15.26, abs=0.005)
    assert test.p_value == pytest.approx(0.0517, abs=5e-5)
    (pair,) = test.differences
    assert pair.difference.value == pytest.approx(-0.04380032, abs=1e-8)
    assert pair.standard_error == pytest.approx(0.02075, abs=5e-6)
    assert (pair.difference.low, pair.difference.high) == pytest.approx((-0.08796, 0.00036), abs=5e-6)
    one, other = test.modalities
    assert (one.low, one.high) == pytest.approx((0.82522360, 0.96885048), abs=1e-7)
    assert (other.low, other.high) == pytest.approx((0.89413783, 0.98753689), abs=1e-7)


def test_van_dyke_with_fixed_readers_is_chi_square_5_476_p_0_0193() -> None:
    found = analyse_readers(van_dyke.study(), covariance="jackknife")
    test = found.fixed_readers
    assert (test.statistic, test.p_value) == pytest.approx((5.47595, 0.0193), abs=5e-5)
    assert test.error_degrees_of_freedom is None
    (pair,) = test.differences
    assert (pair.difference.low, pair.difference.high) == pytest.approx((-0.08049, -0.00711), abs=5e-6)
    one, other = test.modalities
    assert (one.low, one.high) == pytest.approx((0.84943008, 0.94464399), abs=1e-7)
    assert (other.low, other.high) == pytest.approx((0.90795637, 0.97371835), abs=1e-7)
    errors = [pairs[0].standard_error for pairs in found.by_reader]
    assert errors == pytest.approx([0.02551, 0.02630, 0.03121, 0.01729, 0.04406], abs=5e-6)
    assert [pairs[0].p_value for pairs in found.by_reader] == pytest.approx(
        [0.2693, 0.0768, 0.5668, 0.1290, 0.0230], abs=5e-5
    )


def test_van_dyke_with_fixed_cases_is_f_8_70_p_0_0420() -> None:
    test = analyse_readers(van_dyke.study(), covariance="jackknife").fixed_cases
    assert (test.statistic, test.p_value) == pytest.approx((8.70, 0.0420), abs=5e-3)
    assert test.p_value == pytest.approx(0.0420, abs=5e-5)
    assert test.error_degrees_of_freedom == 4
    (pair,) = test.differences
    assert (pair.difference.low, pair.difference.high) == pytest.approx((-0.08502, -0.00258), abs=5e-6)
    assert (test.modalities[0].low, test.modalities[0].high) == pytest.approx((0.82809808, 0.96597599), abs=1e-7)


def test_van_dyke_pseudovalues_have_the_mean_squares_that_jafroc_prints() -> None:
    found = analyse_pseudovalues(van_dyke.study())
    squares = (
        found.modality,
        found.reader,
        found.case,
        found.modality_reader,
        found.modality_case,
        found.reader_case,
        found.modality_reader_case,
    )
    # JAFROC works in single precision: its last digits waver.
    assert squares == pytest.approx(
        (0.54676316, 0.43732679, 0.39686891, 0.06281753, 0.09984813, 0.06450099, 0.03997167), abs=2e-6
    )
    assert (found.f_random_both, found.p_random_both) == pytest.approx((4.46, 0.0517), abs=5e-3)
    assert found.error_degrees_of_freedom == pytest.approx(15.26, abs=5e-3)
    assert (found.f_fixed_readers, found.p_fixed_readers) == pytest.approx((5.48, 0.0210), abs=5e-3)
    assert (found.f_fixed_cases, found.p_fixed_cases) == pytest.approx((8.70, 0.0420), abs=5e-3)


def test_pseudovalues_and_areas_lead_to_the_same_test() -> None:
    study = _simulated(np.random.default_rng(8), readers=4, cases=60, modalities=3)
    areas, pseudo = analyse_readers(study, covariance="jackknife"), analyse_pseudovalues(study)
    assert areas.random_both.statistic == pytest.approx(pseudo.f_random_both)
    assert areas.random_both.error_degrees_of_freedom == pytest.approx(pseudo.error_degrees_of_freedom)
    assert areas.fixed_cases.p_value == pytest.approx(pseudo.p_fixed_cases)


def test_covariances_by_delong_jackknife_and_bootstrap_tell_the_same_story() -> None:
    found = {
        method: analyse_readers(van_dyke.study(), covariance=method, repeats=600).components
        for method in ("delong", "jackknife", "bootstrap")
    }
    for part in ("error", "covariance1", "covariance2"):
        values = [getattr(components, part) for components in found.values()]
        assert max(values) / min(values) < 1.15


def test_power_for_the_next_study_is_the_published_table() -> None:
    """Chakraborty's table for the Van Dyke pilot: cases for 80 % power at the observed difference."""
    variances = analyse_readers(van_dyke.study(), covariance="jackknife").variances()
    difference = 0.04380032
    assert mrmc_power(variances, difference, readers=6, cases=251) == pytest.approx(0.8005403, abs=2e-5)
    assert mrmc_power(variances, difference, readers=10, cases=163) == pytest.approx(0.8015625, abs=2e-5)
    table = {4: 1089, 5: 344, 6: 251, 7: 211, 8: 188, 10: 163, 20: 126, 40: 111, 100: 103}
    for readers, cases in table.items():
        assert mrmc_cases(variances, difference, readers=readers) == cases
    with pytest.raises(NotEstimable, match="more readers"):
        mrmc_cases(variances, difference, readers=3)


def test_van_dyke_with_delongs_covariance_is_what_mrmcaov_prints() -> None:
    found = analyse_readers(van_dyke.study(), covariance="delong")
    c = found.components
    assert (c.error, c.covariance1, c.covariance2, c.covariance3) == pytest.approx(
        (0.0007921325, 0.0003420090, 0.0003395265, 0.0002358497), abs=6e-11
    )
    assert (c.reader, c.modality_reader) == pytest.approx((0.0015364254, 0.0002045840), abs=6e-11)
    test = found.random_both
    assert (test.statistic, test.p_value) == pytest.approx((4.484854, 0.05123303), abs=6e-7)
    assert test.error_degrees_of_freedom == pytest.approx(15.06611, abs=6e-6)
    (pair,) = test.differences
    assert (pair.difference.low, pair.difference.high) == pytest.approx((-0.0878671960, 0.0002665519), abs=6e-10)
    one, other = test.modalities
    assert (one.low, one.high, other.low, other.high) == pytest.approx(
        (0.8253461, 0.9687280, 0.8942155, 0.9874592), abs=6e-8
    )


def test_van_dyke_sensitivities_at_rating_3_are_analysed_as_mrmcaov_does() -> None:
    study = van_dyke.study()
    calls = ReaderStudy(study.modalities, study.readers, study.cases, study.truth, (study.scores >= 3).astype(float))
    found = analyse_readers(calls, covariance="jackknife", figure="sensitivity")
    assert found.aucs == pytest.approx(
        np.array([[0.889, 0.778, 0.822, 0.933, 0.689], [0.978, 0.822, 0.911, 1, 0.889]]), abs=6e-4
    )
    c = found.components
    assert (c.error, c.covariance1, c.covariance2, c.covariance3) == pytest.approx(
        (0.0023681257, 0.0009943883, 0.0010145903, 0.0006604938), abs=6e-11
    )
    test = found.random_both
    assert (test.statistic, test.p_value) == pytest.approx((6.689493, 0.02008822), abs=6e-7)
    assert test.error_degrees_of_freedom == pytest.approx(15.71732, abs=6e-6)
    one, other = test.modalities
    assert (one.low, one.high) == pytest.approx((0.6961876, 0.9482568), abs=6e-8)
    assert (other.low, other.high) == pytest.approx((0.8328691, 1.0), abs=6e-8)


@pytest.mark.parametrize("figure", ["sensitivity", "specificity"])
def test_calls_of_readers_are_analysed_by_the_same_model(figure: Figure) -> None:
    study = van_dyke.study()
    calls = ReaderStudy(study.modalities, study.readers, study.cases, study.truth, (study.scores >= 4).astype(float))
    found = analyse_readers(calls, figure=figure)
    among = study.truth if figure == "sensitivity" else ~study.truth
    right = calls.scores[..., among] if figure == "sensitivity" else 1 - calls.scores[..., among]
    assert found.aucs == pytest.approx(right.mean(axis=2))
    paired = ttest_rel(found.aucs[0], found.aucs[1])  # readers random, cases fixed: a paired t-test over readers
    assert found.fixed_cases.statistic == pytest.approx(float(paired.statistic) ** 2)
    assert found.fixed_cases.p_value == pytest.approx(float(paired.pvalue))
    first = right[0, 0], right[1, 0]  # one reader: the variance of a paired difference of shares
    spread = np.sqrt(np.var(first[0] - first[1], ddof=1) / among.sum())
    assert found.by_reader[0][0].standard_error == pytest.approx(float(spread))
    drawn = analyse_readers(calls, figure=figure, covariance="bootstrap", repeats=4000).components
    assert drawn.error == pytest.approx(found.components.error, rel=0.08)


def test_sensitivity_of_scores_is_refused() -> None:
    with pytest.raises(UnsuitableData, match="calls, 0 or 1"):
        analyse_readers(van_dyke.study(), figure="sensitivity")


@pytest.mark.parametrize("view", ["random_both", "fixed_readers"])
def test_without_a_difference_one_study_in_twenty_finds_one(view: str) -> None:
    random = np.random.default_rng(4)
    p_values = [
        getattr(analyse_readers(_simulated(random, readers=4, cases=60, modalities=2)), view).p_value
        for _ in range(250)
    ]
    # 250 studies at 5 %: 3 .. 22 rejections hold 99.9 %.
    assert 3 <= sum(p < 0.05 for p in p_values) <= 22


def test_a_single_reader_is_named_not_analysed() -> None:
    study = van_dyke.study()
    alone = ReaderStudy(study.modalities, study.readers[:1], study.cases, study.truth, study.scores[:, :1])
    for analyse in (analyse_readers, analyse_pseudovalues):
        with pytest.raises(NotEstimable, match="at least two readers"):
            analyse(alone)
    one = ReaderStudy(study.modalities[:1], study.readers, study.cases, study.truth, study.scores[:1])
    with pytest.raises(NotEstimable, match="two modalities"):
        analyse_readers(one)
    few = ReaderStudy(("a", "b"), ("x", "y"), ("1", "2", "3"), np.array([True, False, False]), np.zeros((2, 2, 3)))
    with pytest.raises(NotEstimable, match="two positives"):
        analyse_readers(few)
    with pytest.raises(NotEstimable, match="both classes"):
        analyse_readers(ReaderStudy(("a", "b"), ("x", "y"), ("1", "2"), np.array([True, True]), np.zeros((2, 2, 2))))
    holes = study.scores.copy()
    holes[0, 0, 0] = np.nan
    with pytest.raises(UnsuitableData, match="did not score"):
        ReaderStudy(study.modalities, study.readers, study.cases, study.truth, holes)


def test_equal_readings_leave_no_error_to_test_against() -> None:
    study = van_dyke.study()
    twice = np.repeat(study.scores[:1, :1], 2, axis=0).repeat(3, axis=1)
    with pytest.raises(NotEstimable, match="no error"):
        analyse_readers(ReaderStudy(("a", "b"), ("x", "y", "z"), study.cases, study.truth, twice))


def test_a_study_survives_the_imrmc_format() -> None:
    study = van_dyke.study()
    again = read_imrmc(write_imrmc(study, title="Van Dyke"))
    assert again.modalities == study.modalities
    assert again.readers == study.readers
    assert again.cases == study.cases
    assert np.array_equal(again.truth, study.truth)
    assert np.array_equal(again.scores, study.scores)


def test_an_imrmc_file_may_have_spaces_and_any_order() -> None:
    text = """A study
NR: 2
N0: 1

BEGIN DATA:
-1 , case1 , modality does not matter , 0
-1,2,0,1
 reader 1 ,2, film ,4.5
reader1,case1,film,1
B,case 1,film,2
B,2,film,3
"""
    study = read_imrmc(text)
    assert study.readers == ("reader 1", "B")
    assert study.modalities == ("film",)
    assert study.cases == ("case1", "2")
    assert study.scores.tolist() == [[[1.0, 4.5], [2.0, 3.0]]]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("", "no truth"),
        ("-1,1,0,0\nA,1,m", "line 4: expected"),
        ("-1,1,0,0\nA,1,m,high", "line 4: 'high' is not a number"),
        ("-1,1,0,0\nA,1,m,nan", "finite"),
        ("-1,1,0,2\nA,1,m,1", "0 or 1"),
        ("-1,1,0,1\n-1,1,0,1\nA,1,m,1", "given twice"),
        ("-1,1,0,1\nA,1,m,1\nA,1,m,2", "scored case '1' twice"),
        ("-1,1,0,1\nA,2,m,1", "no truth"),
        ("-1,1,0,1\n-1,2,0,0\nA,1,m,1\nA,2,m,1\nB,1,m,2", "not crossed: reader 'B'"),
    ],
)
def test_a_broken_imrmc_file_is_refused_by_line(rows: str, words: str) -> None:
    with pytest.raises(UnreadableStudy, match=words):
        read_imrmc("title\nBEGIN DATA:\n" + rows)


def test_a_file_without_data_is_no_imrmc_file() -> None:
    with pytest.raises(UnreadableStudy, match="BEGIN DATA"):
        read_imrmc("reader,case,modality,score\n")
    study = van_dyke.study()
    with pytest.raises(UnreadableStudy, match="cannot be written"):
        write_imrmc(ReaderStudy(("cine, spin", "2"), study.readers, study.cases, study.truth, study.scores))


def _simulated(random: np.random.Generator, *, readers: int, cases: int, modalities: int) -> ReaderStudy:
    """A study of Roe and Metz (1997) without a difference between modalities. Simulated."""
    truth = np.arange(cases) < cases // 2
    case, reader = random.normal(size=cases), 0.15 * random.normal(size=readers)
    by_modality, by_reader = random.normal(size=(modalities, cases)), random.normal(size=(readers, cases))
    scores = 1.3 * truth + 0.5 * case + 0.4 * by_modality[:, None] + 0.4 * by_reader[None]
    scores = scores + (truth * reader[:, None])[None] + 0.6 * random.normal(size=(modalities, readers, cases))
    names = [tuple(str(k) for k in range(size)) for size in (modalities, readers, cases)]
    return ReaderStudy(names[0], names[1], names[2], truth, scores)
