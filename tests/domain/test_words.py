"""Codes, reasons, identifiers and the state tables keep the rules that the standard and the store rely on."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coread.domain import codes
from coread.domain.codes import Code
from coread.domain.errors import InvalidRecord
from coread.domain.findings import Box, Finding, ImageReference, Measurement, Presence
from coread.domain.identifiers import derived_uid, digest_of, is_tolerable_uid, is_valid_uid
from coread.domain.reasons import MEANINGS, Reason, ReasonCode
from coread.domain.results import Outcome, ReadResult
from coread.domain.states import DELIVERY_MOVES, STUDY_MOVES, WORK_MOVES, check_move
from coread.domain.study import StudyState
from coread.domain.work import DeliveryState, WorkState

IMAGE = ImageReference("1.2", "1.2.3", "1.2.4")


@pytest.mark.parametrize("code", ReasonCode)
def test_every_reason_has_a_meaning_that_fits_dicom(code: ReasonCode) -> None:
    assert 0 < len(MEANINGS[code]) <= 64
    assert len(code.value) <= 16
    assert Reason(code).coded().scheme == "99COREAD"
    assert Reason(code, "seen").text() == f"{MEANINGS[code]}: seen"
    assert Reason(code).text() == MEANINGS[code]


def test_no_two_reasons_read_the_same() -> None:
    assert len(set(MEANINGS.values())) == len(MEANINGS) == len(ReasonCode)


def test_two_codes_are_equal_by_value_and_scheme() -> None:
    assert Code("1", "SCT", "One") == Code("1", "SCT", "Eins")
    assert Code("1", "SCT", "One") != Code("1", "DCM", "One")


@pytest.mark.parametrize(
    ("value", "scheme", "meaning"), [("", "SCT", "x"), ("x" * 17, "SCT", "x"), ("x", "SCT", "x" * 65)]
)
def test_a_code_that_dicom_cannot_hold_is_refused(value: str, scheme: str, meaning: str) -> None:
    with pytest.raises(InvalidRecord):
        Code(value, scheme, meaning)


def test_our_own_scheme_is_a_private_one() -> None:
    assert codes.COREAD_SCHEME.startswith("99")


@given(st.lists(st.text(max_size=20), max_size=5))
def test_derived_uids_are_valid_and_always_the_same(parts: list[str]) -> None:
    uid = derived_uid(*parts)
    assert is_valid_uid(uid)
    assert uid == derived_uid(*parts)
    assert uid.startswith("2.25.")


def test_derived_uids_tell_parts_apart() -> None:
    assert len({derived_uid("ab", "c"), derived_uid("a", "bc"), derived_uid("abc"), derived_uid("abc", "")}) == 4


@given(st.lists(st.text(alphabet="0123456789abcdef", min_size=1)), st.randoms(use_true_random=False))
def test_the_digest_of_a_set_is_free_of_order(parts: list[str], shuffle: random.Random) -> None:
    mixed = list(parts)
    shuffle.shuffle(mixed)
    assert digest_of(mixed) == digest_of(parts)


@pytest.mark.parametrize(
    ("uid", "valid", "tolerable"),
    [
        ("1.2.840.10008.1.1", True, True),
        ("0", True, True),
        ("1.02.3", False, True),
        ("1..2", False, True),
        ("", False, False),
        ("1.2.3 ", False, False),
        ("1.2.a", False, False),
        ("../../etc", False, False),
        ("1" * 64, True, True),
        ("1" * 65, False, False),
        ("1." + "2" * 198, False, False),
        ("1.2.3\n", False, False),
    ],
)
def test_uids_are_judged_strictly_when_written_and_mildly_when_read(uid: str, valid: bool, tolerable: bool) -> None:
    assert is_valid_uid(uid) == valid
    assert is_tolerable_uid(uid) == tolerable


@given(st.sampled_from(StudyState), st.sampled_from(StudyState))
def test_only_listed_moves_of_studies_pass(before: StudyState, after: StudyState) -> None:
    _check(lambda: check_move(STUDY_MOVES, before, after), (before, after) in STUDY_MOVES)


@given(st.sampled_from(WorkState), st.sampled_from(WorkState))
def test_only_listed_moves_of_work_pass(before: WorkState, after: WorkState) -> None:
    _check(lambda: check_move(WORK_MOVES, before, after), (before, after) in WORK_MOVES)


@given(st.sampled_from(DeliveryState), st.sampled_from(DeliveryState))
def test_only_listed_moves_of_deliveries_pass(before: DeliveryState, after: DeliveryState) -> None:
    _check(lambda: check_move(DELIVERY_MOVES, before, after), (before, after) in DELIVERY_MOVES)


def test_ended_work_stays_ended() -> None:
    assert {before for before, _ in WORK_MOVES}.isdisjoint({WorkState.COMPLETED, WorkState.CANCELED})


def test_every_state_can_be_reached_from_the_first() -> None:
    reached = {WorkState.SCHEDULED}
    for _ in WorkState:
        reached |= {after for before, after in WORK_MOVES if before in reached}
    assert reached == set(WorkState)
    sent = {DeliveryState.QUEUED}
    for _ in DeliveryState:
        sent |= {after for before, after in DELIVERY_MOVES if before in sent}
    assert sent == set(DeliveryState)


def test_an_empty_result_is_not_a_negative() -> None:
    with pytest.raises(InvalidRecord, match="return a Refusal"):
        ReadResult(())
    not_assessed = Finding("a", codes.CHEST, Presence.NOT_ASSESSED)
    with pytest.raises(InvalidRecord):
        ReadResult((not_assessed,))
    absent = Finding("a", codes.CHEST, Presence.ABSENT)
    assert ReadResult((absent, not_assessed)).outcome() is Outcome.NEGATIVE


def test_what_is_not_clear_is_no_negative() -> None:
    volume = Measurement(codes.CHEST, 1.0, codes.CHEST)
    absent = Finding("a", codes.CHEST, Presence.ABSENT)
    unclear = Finding("b", codes.INDETERMINATE, Presence.INDETERMINATE)
    not_assessed = Finding("c", codes.CHEST, Presence.NOT_ASSESSED)
    only_unclear = ReadResult((unclear, not_assessed), (volume,))
    assert only_unclear.outcome() is Outcome.NOT_ANALYSED
    assert only_unclear.reason() == Reason(ReasonCode.INDETERMINATE, codes.INDETERMINATE.meaning)
    mixed = ReadResult((absent, unclear))
    assert mixed.outcome() is Outcome.NOT_ANALYSED
    assert mixed.reason() == Reason(
        ReasonCode.INDETERMINATE, f"{codes.INDETERMINATE.meaning}; not detected: {codes.CHEST.meaning}"
    )
    measured = ReadResult((not_assessed,), (volume,))
    assert measured.outcome() is Outcome.NOT_ANALYSED
    assert measured.reason() == Reason(ReasonCode.MEASURED_ONLY)
    found = ReadResult((unclear, Finding("d", codes.CHEST, Presence.PRESENT)))
    assert (found.outcome(), found.reason()) == (Outcome.POSITIVE, None)
    assert ReadResult((absent,)).reason() is None


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_a_probability_outside_its_range_is_refused(probability: float) -> None:
    with pytest.raises(InvalidRecord):
        Finding("a", codes.CHEST, Presence.PRESENT, probability, 0.5, "balanced")


def test_a_probability_without_its_operating_point_is_refused() -> None:
    with pytest.raises(InvalidRecord, match="threshold"):
        Finding("a", codes.CHEST, Presence.PRESENT, 0.9)


@pytest.mark.parametrize("corners", [(5, 0, 5, 9), (9, 0, 5, 9), (-1, 0, 5, 9), (0, 9, 5, 9)])
def test_a_box_without_area_is_refused(corners: tuple[float, float, float, float]) -> None:
    with pytest.raises(InvalidRecord):
        Box(IMAGE, *corners)


def _check(move: Callable[[], None], allowed: bool) -> None:
    if allowed:
        move()
        return
    with pytest.raises(InvalidRecord, match="cannot go from"):
        move()
