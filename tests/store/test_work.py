"""The work queue: who gets which item, when it comes back, and how it ends."""

from datetime import timedelta

import pytest

from coread.domain.errors import InvalidRecord
from coread.domain.reasons import ReasonCode
from coread.domain.results import Failure, Outcome, Reading, ReadResult
from coread.domain.study import SettledReason
from coread.domain.work import EvidenceKind, Priority, WorkState
from coread.store import Store
from coread.store.database import utc_now
from coread.store.errors import LeaseLost, NoSuchRecord
from tests.store.examples import (
    NOW,
    PACS,
    accepted,
    declined,
    evidence,
    header,
    negative,
    positive,
    ready_work,
    receive,
    refusal,
    route,
    staged,
)


def test_accepted_decisions_become_work_and_declined_ones_do_not(store: Store) -> None:
    uid = receive(store)
    (item,) = route(store, uid)
    assert (item.reader_id, item.state, item.attempts) == ("chest_xray", WorkState.SCHEDULED, 0)
    assert item.sop_instance_uids == ("1.2.3",)
    taken, left = store.decisions(uid)
    assert taken.accepted
    assert left.reason is not None
    assert left.reason.code is ReasonCode.WRONG_MODALITY


def test_recording_the_same_decisions_twice_changes_nothing(store: Store) -> None:
    uid = receive(store)
    items = route(store, uid)
    token = store.change_token()
    assert store.record_decisions([accepted(uid), declined(uid)], Priority.MEDIUM) == items
    assert store.change_token() == token


def test_stat_work_comes_first_then_the_oldest(store: Store) -> None:
    for name, priority in (("a", Priority.MEDIUM), ("b", Priority.STAT), ("c", Priority.MEDIUM)):
        uid = receive(store, name)
        store.settle(uid, SettledReason.SILENCE)
        store.record_decisions([accepted(uid)], priority)
    order = [store.claim_work(f"w{k}", 60) for k in range(4)]
    assert [item.study_instance_uid if item else None for item in order] == [
        *(header(name).study_instance_uid for name in "bac"),
        None,
    ]


def test_a_worker_gets_only_what_it_can_read(store: Store) -> None:
    route(store, receive(store))
    assert store.claim_work("w", 60, ["ct_bleed"]) is None
    assert store.claim_work("w", 60, ["chest_xray"]) is not None


def test_the_item_of_a_silent_worker_is_taken_again(store: Store) -> None:
    item = ready_work(store)
    assert store.release_expired() == 0
    assert store.heartbeat(item.work_id, "worker", -1)
    assert store.release_expired() == 1
    again = store.claim_work("other", 60)
    assert again is not None
    assert (again.work_id, again.attempts) == (item.work_id, 2)
    assert not store.heartbeat(item.work_id, "worker", 60)


def test_the_items_of_a_dead_worker_come_back_at_once(store: Store) -> None:
    item = ready_work(store)
    assert store.release_owner("another", "died") == 0
    assert store.release_owner("worker", "killed by signal 9") == 1
    (waiting,) = store.work_items(item.study_instance_uid)
    assert waiting.state is WorkState.SCHEDULED
    assert any("signal 9" in entry.detail for entry in store.history(item.study_instance_uid))


def test_an_item_that_kills_its_workers_ends_as_failed(store: Store) -> None:
    route(store, receive(store))
    for attempt in (1, 2, 3):
        item = store.claim_work("worker", 60)
        assert item is not None
        assert item.attempts == attempt
        store.release_owner("worker", "died")
    assert store.claim_work("worker", 60) is None
    (ended,) = store.work_items(header().study_instance_uid)
    reading = store.reading(ended.work_id)
    assert reading is not None
    assert isinstance(reading.ending, Failure)
    assert reading.ending.kind == "KeptCrashing"
    outcomes = {row.reader_id: row.outcome for row in store.worklist().items[0].outcomes}
    assert outcomes["chest_xray"] is Outcome.FAILED


def test_an_item_waits_until_its_time_to_be_tried_again(store: Store) -> None:
    item = ready_work(store)
    store.retry_work(item.work_id, utc_now() + timedelta(hours=1), "out of memory")
    assert store.claim_work("worker", 60) is None
    with pytest.raises(LeaseLost):
        store.retry_work(item.work_id)


def test_a_reading_comes_back_exactly_as_it_was_given(store: Store) -> None:
    item = ready_work(store)
    given = positive()
    store.finish_work(item.work_id, "worker", given)
    stored = store.reading(item.work_id)
    assert stored is not None
    assert isinstance(given.ending, ReadResult)
    assert isinstance(stored.ending, ReadResult)
    assert stored.provenance == given.provenance
    (ours,), (theirs,) = given.ending.findings, stored.ending.findings
    assert ours.heat_maps[0].values.tobytes() == theirs.heat_maps[0].values.tobytes()
    assert stored.ending.regions[0].mask.tolist() == given.ending.regions[0].mask.tolist()


def test_finishing_twice_changes_nothing(store: Store) -> None:
    item = ready_work(store)
    made = [evidence("sr"), evidence("sc", EvidenceKind.SECONDARY_CAPTURE)]
    first = store.finish_work(item.work_id, "worker", positive(), made, [PACS])
    token = store.change_token()
    assert store.finish_work(item.work_id, "worker", positive(), made, [PACS]) == first
    assert store.change_token() == token
    assert len(store.deliveries()) == 2
    assert store.evidence(item.study_instance_uid) == first
    assert store.path_of(first[0].path).read_bytes() == made[0].data


def test_evidence_is_indexed_with_its_transfer_syntax_and_patient(store: Store) -> None:
    item = ready_work(store)
    (record,) = store.finish_work(item.work_id, "worker", positive(), [evidence()])
    (instance,) = store.instances([record.sop_instance_uid])
    assert instance.header.transfer_syntax_uid == "1.2.840.10008.1.2.1"
    assert (instance.header.patient_id, instance.header.modality, instance.origin.door) == ("P1", "SR", "own")


def test_a_worker_that_lost_its_lease_stores_nothing(store: Store) -> None:
    item = ready_work(store)
    store.release_owner("worker", "thought dead")
    with pytest.raises(LeaseLost):
        store.finish_work(item.work_id, "worker", positive(), [evidence()])
    assert store.claim_work("other", 60) is not None
    with pytest.raises(LeaseLost):
        store.finish_work(item.work_id, "worker", positive(), [evidence()])
    assert store.evidence(item.study_instance_uid) == ()
    assert store.reading(item.work_id) is None


def test_late_images_cancel_unfinished_work_and_supersede_results(store: Store) -> None:
    item = ready_work(store)
    uid = item.study_instance_uid
    store.add_files([staged(store, header(sop="late"))])
    (newer,) = route(store, uid)
    older, current = store.work_items(uid)
    assert (older.state, current.state) == (WorkState.CANCELED, WorkState.SCHEDULED)
    assert newer.generation == 2
    with pytest.raises(LeaseLost):
        store.finish_work(item.work_id, "worker", positive())
    claimed = store.claim_work("worker", 60)
    assert claimed is not None
    store.finish_work(claimed.work_id, "worker", negative())
    store.add_files([staged(store, header(sop="later"))])
    route(store, uid)
    assert "engine.superseded" in [entry.event for entry in store.history(uid)]


def test_the_same_evidence_from_a_second_reading_is_taken_over_and_sent_once(store: Store) -> None:
    item = ready_work(store)
    store.finish_work(item.work_id, "worker", positive(), [evidence()], [PACS])
    store.add_files([staged(store, header(sop="late"))])
    route(store, item.study_instance_uid)
    again = store.claim_work("worker", 60)
    assert again is not None
    (record,) = store.finish_work(again.work_id, "worker", positive(), [evidence()], [PACS])
    assert record.work_id == again.work_id
    assert len(store.deliveries()) == len(store.evidence(item.study_instance_uid)) == 1


def test_a_destination_gets_only_the_kinds_that_it_takes(store: Store) -> None:
    item = ready_work(store)
    made = [evidence("sr"), evidence("seg", EvidenceKind.SEG)]
    from dataclasses import replace

    store.finish_work(item.work_id, "worker", positive(), made, [replace(PACS, kinds=(EvidenceKind.SEG,))])
    (delivery,) = store.deliveries(destination="pacs")
    record = store.evidence_record(delivery.evidence_id)
    assert record is not None
    assert record.kind is EvidenceKind.SEG


def test_what_was_accepted_but_never_read_is_reported(store: Store) -> None:
    item = ready_work(store)
    (unread,) = store.eligible_without_outcome(NOW - timedelta(days=900))
    assert (unread.study_instance_uid, unread.reader_id) == (item.study_instance_uid, "chest_xray")
    store.finish_work(item.work_id, "worker", refusal())
    assert store.eligible_without_outcome(NOW - timedelta(days=900)) == ()


def test_a_study_settles_once_per_generation(store: Store) -> None:
    uid = receive(store)
    store.settle(uid, SettledReason.SILENCE)
    with pytest.raises(InvalidRecord):
        store.settle(uid, SettledReason.SILENCE)
    with pytest.raises(NoSuchRecord):
        store.settle("1.2.3", SettledReason.SILENCE)


def test_a_damaged_reading_is_refused_not_guessed(store: Store) -> None:
    item = ready_work(store)
    store.finish_work(item.work_id, "worker", positive())
    (arrays,) = store.folder.rglob("*.npz")
    arrays.unlink()
    from coread.store.errors import DamagedFile

    with pytest.raises(DamagedFile):
        store.reading(item.work_id)
    assert isinstance(negative(), Reading)
