"""Studies, series and instances: looking one up, settling, associations."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, exists, func, select, update

from coread.domain.states import STUDY_MOVES, check_move
from coread.domain.study import Instance, Series, SettledReason, Study, StudyState
from coread.store import schema
from coread.store.database import Transaction
from coread.store.errors import NoSuchRecord
from coread.store.intake import OWN_DOOR
from coread.store.records import Conflict, StudyActivity
from coread.store.rows import instance_record, origin_record, series_record, study_record

ABANDONED_AFTER = timedelta(hours=1)
"""An association that stayed silent this long no longer keeps its studies open: its receiver has died."""
_IN_LIMIT = 500


def study(tx: Transaction, uid: str, *, with_series: bool, with_instances: bool) -> Study | None:
    """Return a study, or ``None``; evidence that we made is not among its series and instances."""
    table = schema.studies
    row = tx.run(select(table).where(table.c.study_uid == uid, table.c.trashed_at.is_(None))).one_or_none()
    if row is None:
        return None
    if not (with_series or with_instances):
        return study_record(row)
    return study_record(row, _series_of(tx, uid, with_instances=with_instances))


def latest(tx: Transaction, limit: int, offset: int) -> tuple[str, ...]:
    """Return the UIDs of settled studies, the last received first."""
    table = schema.studies.c
    settled = (table.state == StudyState.SETTLED.value, table.trashed_at.is_(None))
    order = (table.last_received_at.desc(), table.id.desc())
    rows = tx.run(select(table.study_uid).where(*settled).order_by(*order).limit(limit).offset(offset))
    return tuple(row.study_uid for row in rows)


def _series_of(tx: Transaction, uid: str, *, with_instances: bool) -> tuple[Series, ...]:
    table = schema.series
    order = (table.c.series_number, table.c.id)
    rows = tx.run(select(table).where(table.c.study_uid == uid, table.c.own.is_(False)).order_by(*order)).all()
    members: dict[str, list[Instance]] = {row.series_uid: [] for row in rows}
    if with_instances:
        for instance in instances_of_study(tx, uid):
            if instance.origin.door != OWN_DOOR and instance.header.series_instance_uid in members:
                members[instance.header.series_instance_uid].append(instance)
    return tuple(series_record(row, tuple(members[row.series_uid])) for row in rows)


def instances_of_study(tx: Transaction, uid: str) -> tuple[Instance, ...]:
    """Return all instances of a study, evidence too, by series and instance number."""
    table = schema.instances
    order = (table.c.series_uid, table.c.instance_number, table.c.id)
    return tuple(instance_record(row) for row in tx.run(select(table).where(table.c.study_uid == uid).order_by(*order)))


def instances_by_uid(tx: Transaction, uids: Sequence[str]) -> tuple[Instance, ...]:
    """Return the instances of these SOP Instance UIDs in the order of asking; unknown ones are left out."""
    table = schema.instances
    found: dict[str, Instance] = {}
    for start in range(0, len(uids), _IN_LIMIT):
        wanted = uids[start : start + _IN_LIMIT]
        for row in tx.run(select(table).where(table.c.sop_uid.in_(wanted))):
            found[row.sop_uid] = instance_record(row)
    return tuple(found[uid] for uid in uids if uid in found)


def locked_study(tx: Transaction, uid: str) -> Row[Any]:
    """Return the row of a study, locked until the end of the transaction."""
    table = schema.studies
    row = tx.run(select(table).where(table.c.study_uid == uid).with_for_update()).one_or_none()
    if row is None:
        raise NoSuchRecord(f"no study {uid} is in the index")
    return row


def settle(tx: Transaction, uid: str, reason: SettledReason, detail: str) -> Study:
    """Close a growing study: one generation more."""
    row = locked_study(tx, uid)
    check_move(STUDY_MOVES, StudyState(row.state), StudyState.SETTLED)
    values = {
        "state": StudyState.SETTLED.value,
        "settled_reason": reason.value,
        "settled_at": tx.now,
        "generation": row.generation + 1,
    }
    table = schema.studies
    tx.run(update(table).where(table.c.id == row.id).values(values))
    tx.note(uid, "receive.settled", f"{reason.value}: {detail}" if detail else reason.value)
    return study_record(locked_study(tx, uid))


def unsettled(tx: Transaction) -> tuple[Study, ...]:
    """Return the growing studies, the quietest first."""
    table = schema.studies
    where = (table.c.state == StudyState.RECEIVING.value, table.c.trashed_at.is_(None), table.c.instance_count > 0)
    rows = tx.run(select(table).where(*where).order_by(table.c.last_received_at))
    return tuple(study_record(row) for row in rows)


def undecided(tx: Transaction, limit: int) -> tuple[str, ...]:
    """Return settled studies that no reader has decided about in their generation: a crash came in between."""
    table, decided = schema.studies.c, schema.decisions.c
    known = exists().where(decided.study_uid == table.study_uid, decided.generation == table.generation)
    where = (table.state == StudyState.SETTLED.value, table.trashed_at.is_(None), ~known)
    return tuple(tx.run(select(table.study_uid).where(*where).order_by(table.id).limit(limit)).scalars())


def activity(tx: Transaction) -> tuple[StudyActivity, ...]:
    """Return the growing studies with what their senders are doing."""
    found = unsettled(tx)
    opened: dict[str, tuple[int, Any]] = {}
    links, table = schema.association_studies, schema.associations
    growing = select(schema.studies.c.study_uid).where(schema.studies.c.state == StudyState.RECEIVING.value)
    alive = table.c.closed_at.is_(None) & (table.c.active_at > tx.now - ABANDONED_AFTER)
    statement = (
        select(links.c.study_uid, func.count().filter(alive).label("open"), func.max(table.c.closed_at).label("closed"))
        .join(table, table.c.association_id == links.c.association_id)
        .where(links.c.study_uid.in_(growing))
        .group_by(links.c.study_uid)
    )
    for row in tx.run(statement):
        opened[row.study_uid] = (row.open, row.closed)
    return tuple(StudyActivity(study, *opened.get(study.study_instance_uid, (0, None))) for study in found)


def association_opened(tx: Transaction, association_id: str, peer: str, address: str) -> None:
    """Note that a sender has connected."""
    values = {"association_id": association_id, "peer": peer, "address": address}
    tx.add_missing(schema.associations, [values | {"opened_at": tx.now, "active_at": tx.now, "closed_at": None}])


def association_closed(tx: Transaction, association_id: str) -> None:
    """Note that a sender has gone."""
    table = schema.associations
    open_one = (table.c.association_id == association_id, table.c.closed_at.is_(None))
    tx.run(update(table).where(*open_one).values(closed_at=tx.now))


def close_all_associations(tx: Transaction) -> int:
    """Close what a dead receiver left open; for the supervisor, before receivers start."""
    table = schema.associations
    return tx.run(update(table).where(table.c.closed_at.is_(None)).values(closed_at=tx.now)).rowcount


def flags_of(row: Row[Any]) -> tuple[str, ...]:
    """Return the warnings that a study's row carries."""
    flags = (("two_patients", row.two_patients), ("conflicts", row.conflict_count > 0))
    return tuple(name for name, is_set in flags if is_set)


def study_flags(tx: Transaction, uid: str) -> tuple[str, ...]:
    """Return the warnings of a study; an unknown one has none."""
    table = schema.studies.c
    row = tx.run(select(table.two_patients, table.conflict_count).where(table.study_uid == uid)).one_or_none()
    return flags_of(row) if row is not None else ()


def conflicts(tx: Transaction, uid: str) -> tuple[Conflict, ...]:
    """Return what was kept aside for a study."""
    table = schema.conflicts
    rows = tx.run(select(table).where(table.c.study_uid == uid).order_by(table.c.id))
    return tuple(
        Conflict(
            conflict_id=row.id,
            study_instance_uid=row.study_uid,
            sop_instance_uid=row.sop_uid,
            path=row.path,
            sha256=row.sha256,
            reason=row.reason,
            detail=row.detail,
            at=row.at,
            origin=origin_record(row.origin),
        )
        for row in rows
    )
