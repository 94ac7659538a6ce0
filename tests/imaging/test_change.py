"""Change over time: categories at their published limits, doubling times, and lesions that are paired as they lie."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from coread.domain.errors import InvalidRecord
from coread.imaging.change import (
    Response,
    Verdict,
    change_of,
    doubling_time,
    match_lesions,
    recist_response,
    volume_response,
)
from coread.imaging.measuring import Size

VALUES = st.floats(0.1, 1000)


@pytest.mark.parametrize(
    ("sums", "new", "expected"),
    [
        ([100.0, 70.0], False, Response.PARTIAL),
        ([100.0, 70.1], False, Response.STABLE),
        ([100.0, 119.9], False, Response.STABLE),
        ([100.0, 120.0], False, Response.PROGRESSIVE),
        ([20.0, 24.0], False, Response.STABLE),  # 20 %, but only 4 mm
        ([20.0, 25.0], False, Response.PROGRESSIVE),
        ([100.0, 50.0, 60.0], False, Response.PROGRESSIVE),  # against the smallest sum, though 40 % below the baseline
        ([100.0, 50.0, 54.0], False, Response.PARTIAL),
        ([100.0, 0.0], False, Response.COMPLETE),
        ([100.0, 0.0, 6.0], False, Response.PROGRESSIVE),
        ([100.0, 60.0], True, Response.PROGRESSIVE),
    ],
)
def test_responses_are_those_of_recist(sums: list[float], new: bool, expected: Response) -> None:
    assert recist_response(sums, new_lesions=new) is expected


@given(diameters=st.lists(st.floats(30, 300), min_size=2, max_size=5))
def test_one_ball_has_the_same_response_by_volume_as_by_diameter(diameters: list[float]) -> None:
    nadir = min(diameters[:-1])
    assume(all(abs(diameters[-1] / d - limit) > 1e-6 for d in (nadir, diameters[0]) for limit in (0.7, 1.2)))
    volumes = [math.pi / 6 * d**3 for d in diameters]
    assert volume_response(volumes, new_lesions=False) is recist_response(diameters, new_lesions=False)


@given(before=VALUES, after=VALUES, repeatability=st.floats(0, 1))
def test_a_change_is_real_beyond_the_repeatability_and_the_other_way_round_alike(
    before: float, after: float, repeatability: float
) -> None:
    there = change_of(before, after, repeatability=repeatability)
    back = change_of(after, before, repeatability=repeatability)
    opposite = {Verdict.GREW: Verdict.SHRANK, Verdict.SHRANK: Verdict.GREW, Verdict.WITHIN_ERROR: Verdict.WITHIN_ERROR}
    assert back.verdict is opposite[there.verdict]
    assert (there.verdict is Verdict.WITHIN_ERROR) == (abs(after - before) <= repeatability * (before + after) / 2)


def test_what_was_not_there_before_has_no_relative_change() -> None:
    found = change_of(0.0, 2.0, repeatability=0.1)
    assert (found.relative, found.verdict) == (None, Verdict.GREW)
    with pytest.raises(InvalidRecord):
        change_of(-1.0, 2.0, repeatability=0.1)
    with pytest.raises(InvalidRecord):
        change_of(1.0, math.nan, repeatability=0.1)


def test_a_volume_that_doubled_in_a_hundred_days_has_that_doubling_time() -> None:
    found = doubling_time(Size(2.0, 0.1), Size(4.0, 0.2), 100)
    assert found is not None
    assert found.days == pytest.approx(100)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 100 < found.high
    spread = math.hypot(0.05, 0.05)
    assert found.high == pytest.approx(100 * math.log(2) / (math.log(2) - spread))


def test_a_doubling_time_without_a_sure_direction_has_no_bounds() -> None:
    found = doubling_time(Size(2.0, 0.5), Size(2.1, 0.5), 100)
    assert found is not None
    assert (found.low, found.high) == (None, None)
    assert doubling_time(Size(2.0, 0.5), Size(2.0, 0.5), 100) is None
    shrinking = doubling_time(Size(4.0, 0.1), Size(2.0, 0.1), 50)
    assert shrinking is not None
    assert shrinking.days == pytest.approx(-50)
    with pytest.raises(InvalidRecord):
        doubling_time(Size(0.0, 0.1), Size(2.0, 0.1), 50)


def test_a_response_without_baseline_is_refused() -> None:
    for sums in ([10.0], [0.0, 5.0], [-1.0, 2.0]):
        with pytest.raises(InvalidRecord):
            recist_response(sums, new_lesions=False)
        with pytest.raises(InvalidRecord):
            volume_response(sums, new_lesions=False)


places = st.lists(st.tuples(*[st.integers(-40, 40)] * 3), max_size=6, unique=True)


@given(before=places, after=places, within=st.floats(1, 90))
def test_lesions_are_paired_as_an_independent_assignment_pairs_them(
    before: list[tuple[int, int, int]], after: list[tuple[int, int, int]], within: float
) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    one = np.array(before, dtype=np.float64).reshape(-1, 3)
    two = np.array(after, dtype=np.float64).reshape(-1, 3)
    found = match_lesions(one, two, within_mm=within)
    apart = np.linalg.norm(one[:, None] - two[None], axis=2).reshape(len(one), len(two))
    forbidden = 1e6
    rows, columns = optimize.linear_sum_assignment(np.where(apart <= within, apart, forbidden))
    theirs = [(i, j) for i, j in zip(rows, columns, strict=True) if apart[i, j] <= within]
    assert len(found.pairs) == len(theirs)
    ours_mm = sum(apart[i, j] for i, j in found.pairs)
    assert ours_mm == pytest.approx(sum(apart[i, j] for i, j in theirs))
    assert sorted([i for i, _ in found.pairs] + list(found.vanished)) == list(range(len(one)))
    assert sorted([j for _, j in found.pairs] + list(found.new)) == list(range(len(two)))


def test_large_lesions_may_move_further() -> None:
    before, after = np.array([[0.0, 0, 0], [100.0, 0, 0]]), np.array([[12.0, 0, 0], [112.0, 0, 0]])
    found = match_lesions(before, after, within_mm={(0, 0): 5.0, (1, 1): 15.0})
    assert (found.pairs, found.vanished, found.new) == (((1, 1),), (0,), (0,))
