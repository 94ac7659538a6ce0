"""A study is complete by a count, by a closed association with whole series, or by silence: never by one timer."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coread.domain.study import Origin, SettledReason
from coread.route.facts import study_facts
from coread.route.settle import Activity, SeriesFacts, SettlePolicy, StudyFacts, may_settle, next_look, settle_decision
from tests.route.studies import NOW, header, study

WHOLE = (SeriesFacts("1.2.3.1", True),)
GAP = (SeriesFacts("1.2.3.1", False, "slice 7 of 9 is missing"),)
CT = StudyFacts(("CT",), 9, NOW, WHOLE, Activity())
DX = StudyFacts(("DX",), 1, NOW, WHOLE, Activity())


def after(facts: StudyFacts, seconds: float) -> SettledReason | None:
    settled = settle_decision(facts, NOW + timedelta(seconds=seconds))
    return settled.reason if settled else None


def test_a_radiograph_settles_when_the_sender_hangs_up() -> None:
    assert after(DX, 0.0) is SettledReason.ASSOCIATION_COMPLETE


def test_a_ct_waits_for_other_associations_first() -> None:
    assert after(CT, 1.0) is None
    assert after(CT, 5.0) is SettledReason.ASSOCIATION_COMPLETE


def test_an_open_association_is_waited_for_beyond_the_silence() -> None:
    facts = replace(CT, activity=Activity(open_associations=1, association_ended=False))
    assert after(facts, 40.0) is None
    assert after(facts, 600.0) is SettledReason.SILENCE


def test_a_series_with_a_gap_waits_for_silence_and_says_so() -> None:
    facts = replace(CT, series=GAP)
    assert after(facts, 10.0) is None
    settled = settle_decision(facts, NOW + timedelta(seconds=30))
    assert settled is not None
    assert settled.reason is SettledReason.SILENCE
    assert "slice 7 of 9 is missing" in settled.detail


def test_the_count_of_the_pacs_settles_a_study_before_the_timer() -> None:
    facts = replace(CT, series=GAP, expected_instances=9)
    assert after(facts, 1.0) is None
    assert after(facts, 2.0) is SettledReason.EXPECTED_COUNT


def test_no_timer_outvotes_a_pacs_that_has_more() -> None:
    facts = replace(CT, expected_instances=300)
    assert after(facts, 5.0) is None
    assert after(facts, 599.0) is None
    settled = settle_decision(facts, NOW + timedelta(seconds=600))
    assert settled is not None
    assert settled.reason is SettledReason.SILENCE
    assert "but the PACS has 300" in settled.detail


def test_an_empty_study_never_settles() -> None:
    assert after(replace(DX, instance_count=0, series=()), 1e6) is None


def test_the_slowest_modality_of_a_study_decides() -> None:
    facts = replace(DX, modalities=("DX", "MR"))
    assert after(facts, 19.0) is None
    assert after(facts, 20.0) is SettledReason.ASSOCIATION_COMPLETE


def test_a_clock_that_runs_backwards_settles_nothing_early() -> None:
    assert after(CT, -100.0) is None


def test_facts_come_from_the_index_without_our_own_evidence() -> None:
    images = study([header()])
    own = study([header(2, modality="SR", series_instance_uid="1.2.3.9")], door="own")
    both = replace(images, series=images.series + own.series, instance_count=2)
    assert study_facts(both, expected_instances=1) == replace(DX, expected_instances=1)


def test_an_association_that_never_ended_is_not_an_ended_one() -> None:
    images = study([header()])
    (series,) = images.series
    sent = replace(series.instances[0], origin=Origin("c-store", "MODALITY", "", "a1"))
    by_association = replace(images, series=(replace(series, instances=(sent,)),))
    assert not study_facts(by_association).activity.association_ended
    assert study_facts(by_association, last_association_closed_at=NOW).activity.association_ended


def test_a_stack_with_a_gap_is_known_to_have_one() -> None:
    axial = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    slices = [
        header(
            n,
            modality="CT",
            instance_number=n,
            image_orientation_patient=axial,
            image_position_patient=(0.0, 0.0, 2.0 * n),
        )
        for n in (1, 2, 3, 5, 6)
    ]
    (series,) = study_facts(study(slices)).series
    assert not series.complete
    assert "4" in series.missing


FACTS = st.builds(
    StudyFacts,
    st.lists(st.sampled_from(["DX", "CT", "MR", "XX"]), max_size=3).map(tuple),
    st.integers(0, 20),
    st.just(NOW),
    st.lists(st.builds(SeriesFacts, st.just("1"), st.booleans()), max_size=3).map(tuple),
    st.builds(Activity, st.integers(0, 2), st.booleans()),
    st.none() | st.integers(0, 30),
)


@given(FACTS, st.floats(0, 4000), st.floats(0, 4000))
def test_a_settled_study_stays_settled_while_nothing_happens(facts: StudyFacts, one: float, other: float) -> None:
    early, late = sorted((one, other))
    if settle_decision(facts, NOW + timedelta(seconds=early)) is not None:
        assert settle_decision(facts, NOW + timedelta(seconds=late)) is not None


@given(FACTS, st.floats(0, 4000))
def test_the_laws_of_settling(facts: StudyFacts, seconds: float) -> None:
    settled = settle_decision(facts, NOW + timedelta(seconds=seconds))
    longest = SettlePolicy().patience_for(facts.modalities).longest
    if facts.instance_count > 0 and seconds >= longest + 0.001:
        assert settled is not None
    if settled is None or seconds >= longest:
        return
    assert facts.activity.open_associations == 0
    assert facts.expected_instances is None or facts.instance_count >= facts.expected_instances


@given(FACTS, st.floats(0, 4000))
def test_a_study_that_is_not_worth_a_look_would_not_settle(facts: StudyFacts, seconds: float) -> None:
    now = NOW + timedelta(seconds=seconds)
    row = replace(study([header()]), modalities=facts.modalities, last_received_at=NOW)
    if not may_settle(row, facts.activity.open_associations, now):
        assert settle_decision(facts, now) is None


def test_a_study_that_is_arriving_is_not_worth_a_look() -> None:
    row = replace(study([header()]), modalities=("CT",))
    assert not may_settle(row, 1, NOW + timedelta(seconds=60))
    assert not may_settle(row, 0, NOW + timedelta(seconds=1))
    assert may_settle(row, 0, NOW + timedelta(seconds=2))
    assert may_settle(row, 1, NOW + timedelta(seconds=600))


@given(FACTS, st.floats(0, 4000))
def test_looking_at_the_named_moments_is_enough(facts: StudyFacts, seconds: float) -> None:
    now = NOW + timedelta(seconds=seconds)
    soon = next_look(facts, now)
    middle = now + (soon - now) / 2
    before, between = settle_decision(facts, now), settle_decision(facts, middle)
    assert (before is None) == (between is None)


def test_a_dose_report_beside_a_radiograph_is_no_reason_to_wait() -> None:
    assert after(replace(DX, modalities=("DX", "SR")), 0.0) is SettledReason.ASSOCIATION_COMPLETE


@pytest.mark.parametrize("modality", ["DX", "CR"])
def test_time_to_settle_of_a_radiograph_is_zero(modality: str) -> None:
    assert SettlePolicy().patience_for((modality,)).after_association == 0.0
