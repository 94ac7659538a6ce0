"""Routing decisions and the work queue: a work item is a row that a worker holds with a lease."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from coread.domain.reasons import ReasonCode
from coread.domain.results import Outcome
from coread.domain.states import WORK_MOVES, check_move
from coread.domain.work import Priority, RoutingDecision, WorkItem, WorkState
from coread.store import schema
from coread.store.database import Transaction
from coread.store.errors import LeaseLost, NoSuchRecord
from coread.store.records import Unread
from coread.store.rows import decision_record, work_record
from coread.store.studies import locked_study

_OPEN = (WorkState.SCHEDULED.value, WorkState.IN_PROGRESS.value)
_WORK = schema.work


def record_decisions(tx: Transaction, given: Sequence[RoutingDecision], priority: Priority) -> tuple[WorkItem, ...]:
    """Store decisions of one study and generation with their work items; see ``Store.record_decisions``."""
    if not given:
        return ()
    uid, generation = given[0].study_instance_uid, given[0].generation
    locked_study(tx, uid)
    cancel_older(tx, uid, generation)
    table = schema.decisions.c
    known = select(table.reader_id).where(table.study_uid == uid, table.generation == generation)
    before = set(tx.connection.scalars(known))
    new = [decision for decision in given if decision.reader_id not in before]
    if new:
        tx.run(insert(schema.decisions), [_decision_values(tx, decision) for decision in new])
        _add_work(tx, [decision for decision in new if decision.accepted], priority)
        _start_outcomes(tx, uid, generation, new)
    for decision in new:
        text = decision.reason.text() if decision.reason is not None else f"{len(decision.sop_instance_uids)} images"
        verb = "route.accepted" if decision.accepted else "route.declined"
        tx.note(uid, verb, f"{decision.reader_id} {decision.reader_version}: {text}")
    return tuple(item for item in work_items(tx, uid) if item.generation == generation)


def cancel_older(tx: Transaction, uid: str, generation: int) -> None:
    """Cancel unfinished work of older generations: late images came."""
    older = (_WORK.c.study_uid == uid, _WORK.c.generation < generation, _WORK.c.state.in_(_OPEN))
    for row in tx.run(select(_WORK).where(*older).with_for_update()).all():
        move(tx, row, WorkState.CANCELED, lease_owner="", lease_expires_at=None)
        tx.note(uid, "engine.canceled", f"{row.reader_id}: {ReasonCode.SUPERSEDED.value}", work_id=row.id)
    table = schema.outcomes.c
    finished = select(table.reader_id, table.work_id).where(
        table.study_uid == uid, table.generation < generation, table.outcome.is_not(None), table.work_id.is_not(None)
    )
    for row in tx.run(finished).all():
        tx.note(uid, "engine.superseded", f"{row.reader_id}: {ReasonCode.SUPERSEDED.value}", work_id=row.work_id)


def move(tx: Transaction, row: Row[Any], after: WorkState, **values: Any) -> None:
    """Move a locked work item by the table."""
    check_move(WORK_MOVES, WorkState(row.state), after)
    tx.run(update(_WORK).where(_WORK.c.id == row.id).values(state=after.value, **values))


def _decision_values(tx: Transaction, decision: RoutingDecision) -> dict[str, Any]:
    return {
        "study_uid": decision.study_instance_uid,
        "generation": decision.generation,
        "reader_id": decision.reader_id,
        "reader_version": decision.reader_version,
        "accepted": decision.accepted,
        "sop_uids": json.dumps(decision.sop_instance_uids),
        "reason": decision.reason.code.value if decision.reason is not None else None,
        "reason_detail": decision.reason.detail if decision.reason is not None else "",
        "decided_at": decision.decided_at or tx.now,
    }


def _add_work(tx: Transaction, accepted: Sequence[RoutingDecision], priority: Priority) -> None:
    rows = [
        {
            "study_uid": decision.study_instance_uid,
            "generation": decision.generation,
            "reader_id": decision.reader_id,
            "reader_version": decision.reader_version,
            "sop_uids": json.dumps(decision.sop_instance_uids),
            "priority": int(priority),
            "state": WorkState.SCHEDULED.value,
            "created_at": tx.now,
        }
        for decision in accepted
    ]
    if rows:
        tx.run(insert(_WORK), rows)


def _start_outcomes(tx: Transaction, uid: str, generation: int, new: Sequence[RoutingDecision]) -> None:
    """Put the newest generation on the worklist; older outcomes leave it."""
    table = schema.outcomes
    tx.run(delete(table).where(table.c.study_uid == uid, table.c.generation < generation))
    keys = select(_WORK.c.reader_id, _WORK.c.id).where(_WORK.c.study_uid == uid, _WORK.c.generation == generation)
    work_ids = {row.reader_id: row.id for row in tx.run(keys)}
    rows = []
    for decision in new:
        declined = not decision.accepted
        values = _decision_values(tx, decision)
        rows.append(
            {name: values[name] for name in ("study_uid", "reader_id", "reader_version", "generation", "reason")}
            | {
                "reason_detail": values["reason_detail"],
                "outcome": Outcome.NOT_ANALYSED.value if declined else None,
                "urgent": False,
                "work_id": work_ids.get(decision.reader_id),
                "finished_at": tx.now if declined else None,
            }
        )
    tx.run(insert(table), rows)


def decisions(tx: Transaction, uid: str) -> tuple[RoutingDecision, ...]:
    """Return all decisions of a study, newest generation first."""
    table = schema.decisions
    order = (table.c.generation.desc(), table.c.reader_id)
    return tuple(decision_record(row) for row in tx.run(select(table).where(table.c.study_uid == uid).order_by(*order)))


def work_items(tx: Transaction, uid: str) -> tuple[WorkItem, ...]:
    """Return all work items of a study, in the order in which they were made."""
    return tuple(work_record(row) for row in tx.run(select(_WORK).where(_WORK.c.study_uid == uid).order_by(_WORK.c.id)))


def work_item(tx: Transaction, work_id: int) -> WorkItem | None:
    """Return one work item."""
    row = tx.run(select(_WORK).where(_WORK.c.id == work_id)).one_or_none()
    return work_record(row) if row is not None else None


def _waiting(now: datetime, reader_ids: Sequence[str] | None) -> Any:
    ready = _WORK.c.not_before.is_(None) | (_WORK.c.not_before <= now)
    where = [_WORK.c.state == WorkState.SCHEDULED.value, ready]
    if reader_ids is not None:
        where.append(_WORK.c.reader_id.in_(reader_ids))
    order = (_WORK.c.priority, _WORK.c.created_at, _WORK.c.id)
    return select(_WORK).where(*where).order_by(*order).limit(1)


def anything_waiting(tx: Transaction, reader_ids: Sequence[str] | None) -> bool:
    """Say whether a claim could succeed: a read, so that idle workers never queue for the write lock."""
    return tx.run(_waiting(tx.now, reader_ids)).first() is not None


def claim(tx: Transaction, owner: str, lease_seconds: float, reader_ids: Sequence[str] | None) -> WorkItem | None:
    """Take the most pressing item; other claimers skip its row (PostgreSQL) or wait their turn (SQLite)."""
    row = tx.run(_waiting(tx.now, reader_ids).with_for_update(skip_locked=True)).one_or_none()
    if row is None:
        return None
    until = tx.now + timedelta(seconds=lease_seconds)
    values = {"attempts": row.attempts + 1, "lease_owner": owner, "lease_expires_at": until, "not_before": None}
    move(tx, row, WorkState.IN_PROGRESS, **values)
    tx.note(
        row.study_uid, "engine.started", f"{row.reader_id}, attempt {row.attempts + 1}", actor=owner, work_id=row.id
    )
    return work_record(tx.run(select(_WORK).where(_WORK.c.id == row.id)).one())


def heartbeat(tx: Transaction, work_id: int, owner: str, lease_seconds: float) -> bool:
    """Lengthen a lease; False when it is no longer this owner's."""
    mine = (_WORK.c.id == work_id, _WORK.c.lease_owner == owner, _WORK.c.state == WorkState.IN_PROGRESS.value)
    until = tx.now + timedelta(seconds=lease_seconds)
    return tx.run(update(_WORK).where(*mine).values(lease_expires_at=until)).rowcount == 1


def abandoned(tx: Transaction, owner: str | None) -> Sequence[Row[Any]]:
    """Return the items in progress of a dead owner, or, without one, those whose lease ran out; locked."""
    gone = _WORK.c.lease_owner == owner if owner is not None else _WORK.c.lease_expires_at < tx.now
    statement = select(_WORK).where(_WORK.c.state == WorkState.IN_PROGRESS.value, gone).order_by(_WORK.c.id)
    return tx.run(statement.with_for_update(skip_locked=True)).all()


def lease_owners(tx: Transaction) -> tuple[str, ...]:
    """Return who holds items in progress."""
    statement = select(_WORK.c.lease_owner).where(_WORK.c.state == WorkState.IN_PROGRESS.value).distinct()
    return tuple(tx.run(statement).scalars())


def waiting_readers(tx: Transaction) -> tuple[str, ...]:
    """Return the readers that items wait for."""
    statement = select(_WORK.c.reader_id).where(_WORK.c.state == WorkState.SCHEDULED.value).distinct()
    return tuple(sorted(tx.run(statement).scalars()))


def put_back(tx: Transaction, row: Row[Any], detail: str, not_before: datetime | None = None) -> None:
    """Return a locked item to the queue."""
    move(tx, row, WorkState.SCHEDULED, lease_owner="", lease_expires_at=None, not_before=not_before)
    tx.note(row.study_uid, "engine.retried", f"{row.reader_id}: {detail}", work_id=row.id)


def locked_work(tx: Transaction, work_id: int) -> Row[Any]:
    """Return the row of a work item, locked until the end of the transaction."""
    row = tx.run(select(_WORK).where(_WORK.c.id == work_id).with_for_update()).one_or_none()
    if row is None:
        raise NoSuchRecord(f"there is no work item {work_id}")
    return row


def retry(tx: Transaction, work_id: int, not_before: datetime | None, detail: str) -> None:
    """Return an item in progress to the queue, for its own worker."""
    row = locked_work(tx, work_id)
    if row.state != WorkState.IN_PROGRESS.value:
        raise LeaseLost(f"work item {work_id} is {row.state.lower()}: nothing to retry")
    put_back(tx, row, detail, not_before)


def without_outcome(tx: Transaction, since: datetime) -> tuple[Unread, ...]:
    """Return accepted decisions since then that have no finished reading and were not superseded."""
    table, readings = schema.decisions, schema.readings
    same = (_WORK.c.study_uid == table.c.study_uid) & (_WORK.c.generation == table.c.generation)
    statement = (
        select(table.c.study_uid, table.c.generation, table.c.reader_id, table.c.decided_at, _WORK.c.state)
        .outerjoin(_WORK, same & (_WORK.c.reader_id == table.c.reader_id))
        .outerjoin(readings, readings.c.work_id == _WORK.c.id)
        .where(table.c.accepted.is_(True), table.c.decided_at >= since, readings.c.work_id.is_(None))
        .where(_WORK.c.state.is_distinct_from(WorkState.CANCELED.value))
        .order_by(table.c.decided_at)
    )
    return tuple(
        Unread(row.study_uid, row.generation, row.reader_id, row.decided_at, row.state or "")
        for row in tx.run(statement)
    )
