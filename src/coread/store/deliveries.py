"""The outbox: one row for each evidence object and destination."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, select, update

from coread.domain.states import DELIVERY_MOVES, check_move
from coread.domain.work import Delivery, DeliveryState
from coread.store import schema
from coread.store.database import Transaction
from coread.store.errors import NoSuchRecord
from coread.store.rows import delivery_record

_TABLE = schema.deliveries


def _ready(tx: Transaction, destination: str) -> Any:
    due = _TABLE.c.next_attempt_at.is_(None) | (_TABLE.c.next_attempt_at <= tx.now)
    queued = (_TABLE.c.state == DeliveryState.QUEUED.value) & due
    left = (_TABLE.c.state == DeliveryState.SENDING.value) & (_TABLE.c.lease_expires_at < tx.now)
    return select(_TABLE).where(_TABLE.c.destination == destination, queued | left).order_by(_TABLE.c.id).limit(1)


def anything_waiting(tx: Transaction, destination: str) -> bool:
    """Say whether a claim could succeed, without queueing for the write lock."""
    return tx.run(_ready(tx, destination)).first() is not None


def claim(tx: Transaction, destination: str, owner: str, lease_seconds: float) -> Delivery | None:
    """Take the oldest waiting object for a destination; one whose deliverer died is waiting again."""
    row = tx.run(_ready(tx, destination).with_for_update(skip_locked=True)).one_or_none()
    if row is None:
        return None
    if row.state == DeliveryState.SENDING.value:
        _move(tx, row, DeliveryState.QUEUED, "deliver.retried", "its deliverer fell silent")
        row = _locked(tx, row.id)
    until = tx.now + timedelta(seconds=lease_seconds)
    values = {"attempts": row.attempts + 1, "lease_owner": owner, "lease_expires_at": until, "next_attempt_at": None}
    _move(tx, row, DeliveryState.SENDING, "deliver.started", f"attempt {row.attempts + 1}", **values)
    return delivery_record(_locked(tx, row.id))


def _locked(tx: Transaction, delivery_id: int) -> Row[Any]:
    row = tx.run(select(_TABLE).where(_TABLE.c.id == delivery_id).with_for_update()).one_or_none()
    if row is None:
        raise NoSuchRecord(f"there is no delivery {delivery_id}")
    return row


def _move(tx: Transaction, row: Row[Any], after: DeliveryState, what: str, detail: str, **values: Any) -> None:
    check_move(DELIVERY_MOVES, DeliveryState(row.state), after)
    actor = values.pop("actor", "")
    if after is not DeliveryState.SENDING:
        values |= {"lease_owner": "", "lease_expires_at": None}
    tx.run(update(_TABLE).where(_TABLE.c.id == row.id).values(state=after.value, **values))
    text = f"{row.destination}, delivery {row.id}"
    tx.note(row.study_uid, what, f"{text}: {detail}" if detail else text, actor=actor)


def sent(tx: Transaction, delivery_id: int) -> None:
    """The peer answered success."""
    row = _locked(tx, delivery_id)
    if row.state not in (DeliveryState.SENT.value, DeliveryState.COMMITTED.value):
        _move(tx, row, DeliveryState.SENT, "deliver.sent", "", finished_at=tx.now, last_error="")


def retry(tx: Transaction, delivery_id: int, error: str, next_attempt_at: datetime) -> None:
    """Try again later."""
    values = {"last_error": error, "next_attempt_at": next_attempt_at}
    _move(tx, _locked(tx, delivery_id), DeliveryState.QUEUED, "deliver.retried", error, **values)


def dead(tx: Transaction, delivery_id: int, error: str) -> None:
    """Give up: a dead letter."""
    values = {"last_error": error, "finished_at": tx.now}
    _move(tx, _locked(tx, delivery_id), DeliveryState.DEAD, "deliver.dead", error, **values)


def committed(tx: Transaction, delivery_id: int) -> None:
    """The peer has taken responsibility for the object (storage commitment)."""
    row = _locked(tx, delivery_id)
    if row.state != DeliveryState.COMMITTED.value:
        _move(tx, row, DeliveryState.COMMITTED, "deliver.committed", "", finished_at=tx.now)


def commit_failed(tx: Transaction, delivery_id: int, error: str) -> None:
    """The peer does not commit: send again."""
    values = {"last_error": error, "next_attempt_at": None, "finished_at": None}
    _move(tx, _locked(tx, delivery_id), DeliveryState.QUEUED, "deliver.commit_failed", error, **values)


def requeue(tx: Transaction, delivery_id: int, actor: str) -> None:
    """Send a dead letter again, because a person asked for it: a new retry budget."""
    values = {"attempts": 0, "next_attempt_at": None, "finished_at": None, "actor": actor}
    _move(tx, _locked(tx, delivery_id), DeliveryState.QUEUED, "deliver.requeued", "", **values)


def find(
    tx: Transaction, study_uid: str | None, destination: str | None, state: DeliveryState | None
) -> tuple[Delivery, ...]:
    """Return deliveries, oldest first; ``None`` means any."""
    where = []
    if study_uid is not None:
        where.append(_TABLE.c.study_uid == study_uid)
    if destination is not None:
        where.append(_TABLE.c.destination == destination)
    if state is not None:
        where.append(_TABLE.c.state == state.value)
    rows: Sequence[Row[Any]] = tx.run(select(_TABLE).where(*where).order_by(_TABLE.c.id)).all()
    return tuple(delivery_record(row) for row in rows)


def one(tx: Transaction, delivery_id: int) -> Delivery | None:
    """Return one delivery."""
    row = tx.run(select(_TABLE).where(_TABLE.c.id == delivery_id)).one_or_none()
    return delivery_record(row) if row is not None else None


def counts(tx: Transaction) -> dict[str, dict[DeliveryState, int]]:
    """Return how many objects of each destination are in each state."""
    answer: dict[str, dict[DeliveryState, int]] = {}
    statement = select(_TABLE.c.destination, _TABLE.c.state, func.count().label("total")).group_by(
        _TABLE.c.destination, _TABLE.c.state
    )
    for row in tx.run(statement):
        answer.setdefault(row.destination, {})[DeliveryState(row.state)] = row.total
    return answer
