"""Removing old studies: first to the trash, later for good; never one with unfinished work."""

import shutil
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Row, delete, exists, func, select, update

from coread.domain.study import StudyState
from coread.domain.work import DeliveryState, WorkState
from coread.store import files, schema
from coread.store.database import Transaction
from coread.store.errors import NoSuchRecord
from coread.store.records import TrashedStudy

_BATCH = 500


def removable(tx: Transaction, now: datetime) -> tuple[tuple[str, ...], int]:
    """Return the studies that are old and finished, and how many are old but not finished."""
    if tx.settings.retention_days is None:
        return (), 0
    table = schema.studies.c
    old = (table.last_received_at < now - timedelta(days=tx.settings.retention_days), table.trashed_at.is_(None))
    finished = tx.connection.scalars(select(table.study_uid).where(*old, ~_unfinished()).limit(_BATCH)).all()
    kept = tx.connection.scalar(select(func.count()).select_from(schema.studies).where(*old, _unfinished()))
    return tuple(finished), int(kept or 0)


def _unfinished() -> Any:
    studies, work, deliveries = schema.studies.c, schema.work.c, schema.deliveries.c
    open_work = (WorkState.SCHEDULED.value, WorkState.IN_PROGRESS.value)
    undelivered = (DeliveryState.QUEUED.value, DeliveryState.SENDING.value, DeliveryState.DEAD.value)
    return (
        exists().where(work.study_uid == studies.study_uid, work.state.in_(open_work))
        | exists().where(deliveries.study_uid == studies.study_uid, deliveries.state.in_(undelivered))
        | (studies.state == StudyState.RECEIVING.value)
    )


def trash(tx: Transaction, study_uid: str, now: datetime) -> bool:
    """Move one study to the trash; False when it got work meanwhile."""
    table = schema.studies
    row = tx.run(
        select(table, _unfinished().label("busy")).where(table.c.study_uid == study_uid).with_for_update(of=table)
    ).one()
    if row.busy or row.trashed_at is not None:
        return False
    _move(tx, files.study_folder(study_uid), files.trash_folder(study_uid))
    tx.run(update(table).where(table.c.id == row.id).values(trashed_at=now))
    tx.note(study_uid, "retention.trashed", f"kept {tx.settings.trash_days} days more")
    return True


def restore(tx: Transaction, study_uid: str) -> None:
    """Bring a study back from the trash."""
    table = schema.studies
    row = tx.run(select(table).where(table.c.study_uid == study_uid).with_for_update()).one_or_none()
    if row is None or row.trashed_at is None:
        raise NoSuchRecord(f"no study {study_uid} is in the trash")
    bring_back_trashed(tx, row, "asked for")


def bring_back_trashed(tx: Transaction, row: Row[Any], why: str) -> None:
    """Bring a study back whose row is locked."""
    _move(tx, files.trash_folder(row.study_uid), files.study_folder(row.study_uid))
    tx.run(update(schema.studies).where(schema.studies.c.id == row.id).values(trashed_at=None))
    tx.note(row.study_uid, "retention.restored", why)


def _move(tx: Transaction, source: str, target: str) -> None:
    """Rename a study's folder; one that an interrupted call has moved already is where it should be."""
    origin, goal = files.safe_join(tx.folder, source), files.safe_join(tx.folder, target)
    if not origin.is_dir():
        return
    files.make_folder(goal.parent, durable=tx.settings.durable)
    origin.rename(goal)
    if tx.settings.durable:
        files.sync_folders([origin.parent, goal.parent])


def trashed(tx: Transaction) -> tuple[TrashedStudy, ...]:
    """Return what lies in the trash, the latest first."""
    table = schema.studies.c
    statement = select(table.study_uid, table.accession_number, table.instance_count, table.trashed_at)
    rows = tx.run(statement.where(table.trashed_at.is_not(None)).order_by(table.trashed_at.desc(), table.id))
    keep = timedelta(days=tx.settings.trash_days)
    return tuple(TrashedStudy(r.study_uid, r.accession_number, r.instance_count, r.trashed_at + keep) for r in rows)


def expired_trash(tx: Transaction, now: datetime) -> tuple[str, ...]:
    """Return the studies whose time in the trash is over."""
    table = schema.studies.c
    limit = now - timedelta(days=tx.settings.trash_days)
    return tuple(tx.connection.scalars(select(table.study_uid).where(table.trashed_at < limit).limit(_BATCH)))


def purge(tx: Transaction, study_uid: str) -> bool:
    """Forget one study for good; its history and the audit trail stay. False when it was brought back meanwhile."""
    studies = schema.studies
    row = tx.run(select(studies).where(studies.c.study_uid == study_uid).with_for_update()).one_or_none()
    if row is None or row.trashed_at is None:
        return False
    _forget(tx, study_uid)
    tx.note(study_uid, "retention.purged", "removed for good")
    gone = (files.trash_folder(study_uid), files.study_folder(study_uid), f"conflicts/{files.name_of(study_uid)}")
    folders = [files.safe_join(tx.folder, name) for name in gone]
    tx.after_commit += [partial(shutil.rmtree, folder, ignore_errors=True) for folder in folders]
    return True


def _forget(tx: Transaction, study_uid: str) -> None:
    """Remove all rows of one study but its history."""
    work = select(schema.work.c.id).where(schema.work.c.study_uid == study_uid)
    key = select(schema.studies.c.id).where(schema.studies.c.study_uid == study_uid)
    tx.run(delete(schema.readings).where(schema.readings.c.work_id.in_(work)))
    tx.run(delete(schema.study_modalities).where(schema.study_modalities.c.study_key.in_(key)))
    for table in (
        schema.verdicts,
        schema.corrections,
        schema.deliveries,
        schema.evidence,
        schema.outcomes,
        schema.work,
        schema.decisions,
        schema.association_studies,
        schema.conflicts,
        schema.instances,
        schema.series,
        schema.studies,
    ):
        tx.run(delete(table).where(table.c.study_uid == study_uid))
