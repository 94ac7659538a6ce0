"""The worklist: order, filters, outcomes, urgency."""

from dataclasses import replace
from datetime import timedelta

from coread.domain import codes
from coread.domain.findings import Measurement, Presence
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import Outcome, Reading, ReadResult
from coread.domain.study import SettledReason
from coread.domain.work import VerdictKind
from coread.store import Store, WorklistQuery
from coread.store.database import utc_now
from tests.store.examples import (
    declined,
    evidence,
    finding,
    header,
    negative,
    positive,
    provenance,
    ready_work,
    receive,
    refusal,
    route,
    staged,
)


def order(store: Store, **query: object) -> list[str]:
    rows = store.worklist(WorklistQuery(**query)).items  # type: ignore[arg-type]
    names = {header(name).study_instance_uid: name for name in "abcdefgh"}
    return [names[row.study.study_instance_uid] for row in rows]


def read(store: Store, name: str, urgent: bool = True) -> int:
    item = ready_work(store, name)
    store.finish_work(item.work_id, "worker", positive(urgent))
    return item.work_id


def test_unread_urgent_findings_come_first_then_stat_orders_then_the_newest(store: Store) -> None:
    receive(store, "a", requested_procedure_priority="HIGH")
    work_id = read(store, "b")
    receive(store, "c")
    receive(store, "d")
    assert order(store) == ["b", "a", "d", "c"]
    store.add_verdict(work_id, "pneumothorax", VerdictKind.ACCEPT, "dr")
    assert order(store) == ["a", "d", "c", "b"]
    (row,) = [row for row in store.worklist().items if row.urgent]
    assert row.verdicts == 1
    store.add_verdict(work_id, "pneumothorax", VerdictKind.WITHDRAW, "dr")
    assert order(store)[0] == "b"


def test_a_row_says_what_every_reader_said_or_does(store: Store) -> None:
    route(store, receive(store, "a"))
    chest, bleed = store.worklist().items[0].outcomes
    assert (chest.outcome, chest.stage) == (None, "waiting")
    assert (bleed.outcome, bleed.stage) == (Outcome.NOT_ANALYSED, "")
    assert bleed.reason is not None
    item = store.claim_work("worker", 60)
    assert item is not None
    assert store.worklist().items[0].outcomes[0].stage == "reading"
    store.finish_work(item.work_id, "worker", positive())
    chest = store.worklist().items[0].outcomes[0]
    assert (chest.outcome, chest.headline, chest.urgent) == (Outcome.POSITIVE, "Pneumothorax (suspected)", True)
    assert chest.work_id == item.work_id


def test_a_refusal_shows_its_reason(store: Store) -> None:
    item = ready_work(store, "a")
    store.finish_work(item.work_id, "worker", refusal())
    chest = store.worklist().items[0].outcomes[0]
    assert chest.outcome is Outcome.NOT_ANALYSED
    assert chest.reason is not None
    assert chest.reason.detail == "hand"


def test_an_unclear_result_is_not_analysed_and_keeps_what_it_holds(store: Store) -> None:
    item = ready_work(store, "a")
    unclear = replace(finding(presence=Presence.INDETERMINATE), probability=None)
    measured = Measurement(codes.CHEST, 3.0, codes.CHEST)
    made = [evidence()]
    store.finish_work(item.work_id, "worker", Reading(ReadResult((unclear,), (measured,)), provenance()), made)
    chest = store.worklist().items[0].outcomes[0]
    assert (chest.outcome, chest.headline) == (Outcome.NOT_ANALYSED, f"{unclear.concept.meaning} (indeterminate)")
    assert chest.reason == Reason(ReasonCode.INDETERMINATE, unclear.concept.meaning)
    assert order(store, outcome=Outcome.NEGATIVE) == []
    assert order(store, outcome=Outcome.NOT_ANALYSED) == ["a"]
    kept = store.reading(item.work_id)
    assert kept is not None
    assert isinstance(kept.ending, ReadResult)
    assert kept.ending.measurements == (measured,)
    assert len(store.evidence(header("a").study_instance_uid)) == 1


def test_not_analysed_is_what_a_reader_for_this_kind_of_study_declined_or_what_nobody_read(store: Store) -> None:
    read(store, "a")  # positive, and declined by a reader of another modality
    item = ready_work(store, "b")
    store.finish_work(item.work_id, "worker", refusal())
    other = receive(store, "c")
    route(store, other, [declined(other), replace(declined(other), reader_id="chest_xray")])
    assert declined(other).reason == Reason(ReasonCode.WRONG_MODALITY, "DX")
    assert sorted(order(store, outcome=Outcome.NOT_ANALYSED)) == ["b", "c"]
    assert sorted(order(store, outcome=Outcome.NOT_ANALYSED, reader_id=declined(other).reader_id)) == ["a", "b", "c"]


def test_filters_narrow_the_list(store: Store) -> None:
    read(store, "a")
    item = ready_work(store, "b")
    store.finish_work(item.work_id, "worker", negative())
    receive(store, "c", images=1, modality="CT", patient_name="Wong^Li", patient_id="77%")
    assert order(store, outcome=Outcome.POSITIVE) == ["a"]
    assert order(store, outcome=Outcome.NEGATIVE, reader_id="chest_xray") == ["b"]
    assert order(store, reader_id="nobody") == []
    assert order(store, modality="CT") == ["c"]
    assert order(store, text="wong") == ["c"]
    assert order(store, text="li WONG") == ["c"]
    assert order(store, text="7%") == ["c"]
    assert order(store, text="_") == []
    assert order(store, since=utc_now() + timedelta(hours=1)) == []


def test_pages_say_whether_there_is_more(store: Store) -> None:
    for name in "abc":
        receive(store, name)
    first = store.worklist(WorklistQuery(limit=2))
    assert (len(first.items), first.more) == (2, True)
    last = store.worklist(WorklistQuery(limit=2, offset=2))
    assert (len(last.items), last.more) == (1, False)


def test_late_images_do_not_hide_an_urgent_study_while_it_is_read_again(store: Store) -> None:
    read(store, "a")
    uid = header("a").study_instance_uid
    store.add_files([staged(store, header("a", "late"))])
    assert store.worklist().items[0].urgent
    route(store, uid)
    assert store.worklist().items[0].urgent
    item = store.claim_work("worker", 60)
    assert item is not None
    store.finish_work(item.work_id, "worker", negative())
    assert not store.worklist().items[0].urgent


def test_every_change_moves_the_token(store: Store) -> None:
    tokens = [store.change_token()]
    uid = receive(store, "a")
    tokens.append(store.change_token())
    store.settle(uid, SettledReason.MANUAL)
    tokens.append(store.change_token())
    store.add_history(uid, "test.note", "hello", "me")
    tokens.append(store.change_token())
    assert tokens == sorted(set(tokens))


def test_the_latest_studies_are_the_settled_ones_last_received_first(store: Store) -> None:
    uids = [receive(store, name) for name in "abc"]
    for uid in uids[:2]:
        store.settle(uid, SettledReason.MANUAL)
    assert store.latest_studies(10) == (uids[1], uids[0])
    assert store.latest_studies(1, 1) == (uids[0],)
