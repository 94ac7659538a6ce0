"""Indexing what was received: one transaction for a batch, duplicates counted, contradictions kept aside."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Row, bindparam, select, update

from coread.domain.reasons import Reason, ReasonCode
from coread.domain.states import STUDY_MOVES, check_move
from coread.domain.study import InstanceHeader, Origin, Received, ReceiveStatus, StudyState
from coread.store import files, schema
from coread.store.database import Transaction
from coread.store.placing import is_in_place, keep_bytes, remove_staged
from coread.store.records import StagedFile
from coread.store.retention import bring_back_trashed
from coread.store.rows import folded, header_document, origin_document, split_modalities

OWN_DOOR = "own"
_STAT = {"STAT", "HIGH"}
_STUDY_FIELDS = (
    "patient_id",
    "issuer_of_patient_id",
    "patient_name",
    "patient_birth_date",
    "patient_sex",
    "accession_number",
    "study_id",
    "study_date",
    "study_time",
    "study_description",
    "referring_physician_name",
)


@dataclass(slots=True)
class _StudyChange:
    """What one batch does to one study."""

    row: Row[Any]
    last_received_at: datetime
    stored: list[StagedFile] = field(default_factory=list)
    duplicates: int = 0
    conflicts: int = 0
    two_patients: bool = False
    doors: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Batch:
    """One call of add_files under way."""

    known: dict[str, Any]
    """SOP Instance UID -> (sha256, door, study UID) of what is stored, or of an earlier item of this batch."""
    studies: dict[str, _StudyChange]
    placements: list[tuple[Path, str]] = field(default_factory=list)
    receipts: list[Received] = field(default_factory=list)


def add_files(tx: Transaction, items: Sequence[StagedFile], *, synced: bool = True) -> list[Received]:
    """Index a batch; see ``Store.add_files``."""
    if not items:
        return []
    locked = _lock_studies(tx, items)  # first: what is known may change until the studies are ours
    batch = _Batch(_known_instances(tx, items), locked)
    for item in items:
        batch.receipts.append(_judge(tx, batch, item))
    keep_bytes(tx, batch.placements, synced=synced)
    for change in batch.studies.values():
        _apply(tx, change)
    _note_associations(tx, items)
    if synced:
        tx.after_commit.append(lambda: remove_staged(items))
    return batch.receipts


def _known_instances(tx: Transaction, items: Sequence[StagedFile]) -> dict[str, Any]:
    table = schema.instances.c
    wanted = {item.header.sop_instance_uid for item in items}
    found = tx.run(select(table.sop_uid, table.sha256, table.door, table.study_uid).where(table.sop_uid.in_(wanted)))
    return {row.sop_uid: (row.sha256, row.door, row.study_uid) for row in found}


def _lock_studies(tx: Transaction, items: Sequence[StagedFile]) -> dict[str, _StudyChange]:
    """Create missing studies, lock all of them in one order, and return their rows."""
    table = schema.studies
    first = {item.header.study_instance_uid: item for item in reversed(items)}
    wanted = select(table).where(table.c.study_uid.in_(sorted(first))).order_by(table.c.study_uid)
    rows = {row.study_uid: row for row in tx.run(wanted.with_for_update())}
    missing = [_study_values(tx, first[uid].header) for uid in sorted(first) if uid not in rows]
    if missing:
        tx.add_missing(table, missing)
        rows = {row.study_uid: row for row in tx.run(wanted.with_for_update())}
    for row in rows.values():
        if row.trashed_at is not None:
            bring_back_trashed(tx, row, "a new image arrived")
    return {uid: _StudyChange(row, row.last_received_at) for uid, row in rows.items()}


def _study_values(tx: Transaction, header: InstanceHeader) -> dict[str, Any]:
    values = {name: getattr(header, name) for name in _STUDY_FIELDS}
    searched = (header.patient_name, header.patient_id, header.accession_number, header.study_description)
    return values | {
        "study_uid": header.study_instance_uid,
        "patient_name_folded": folded(header.patient_name),
        "referring_folded": folded(header.referring_physician_name),
        "search_text": "\n".join(searched).casefold(),
        "state": StudyState.RECEIVING.value,
        "first_received_at": tx.now,
        "last_received_at": tx.now,
        "stat": False,
        "urgent": False,
        "urgent_unread": False,
        "two_patients": False,
    }


def _judge(tx: Transaction, batch: _Batch, item: StagedFile) -> Received:
    """Decide what becomes of one object and note where its bytes go."""
    header = item.header
    change = batch.studies[header.study_instance_uid]
    known = batch.known.get(header.sop_instance_uid)
    if known is not None:
        same = known[0] == item.sha256 and known[2] == header.study_instance_uid
        # Our own evidence that comes back from an archive may have been re-encoded on its way: still ours.
        if known[1] == OWN_DOOR:
            change.duplicates += 1
            return _receipt(ReceiveStatus.DUPLICATE, header, "already stored")
        if same:
            return _same_again(tx, batch, item)
        reason = Reason(ReasonCode.BAD_UID, "same SOP Instance UID, other bytes")
        return _set_aside(tx, batch, item, reason.detail, reason)
    if item.origin.door != OWN_DOOR and _another_patient(change.row, header):
        change.two_patients = True
        reason = Reason(ReasonCode.TWO_PATIENTS, "the study began with another patient")
        return _set_aside(tx, batch, item, reason.text(), reason)
    batch.known[header.sop_instance_uid] = (item.sha256, item.origin.door, header.study_instance_uid)
    batch.placements.append((item.path, files.instance_path(header.study_instance_uid, header.sop_instance_uid)))
    change.stored.append(item)
    change.doors[f"{item.origin.door} {item.origin.peer}".strip()] += 1
    return _receipt(ReceiveStatus.STORED, header, "")


def _same_again(tx: Transaction, batch: _Batch, item: StagedFile) -> Received:
    """Count a second copy; what a crash left under both names is none, and bytes that a power cut took come back."""
    header = item.header
    place = files.instance_path(header.study_instance_uid, header.sop_instance_uid)
    if not is_in_place(tx, item.path, place):
        batch.studies[header.study_instance_uid].duplicates += 1
        if not files.safe_join(tx.folder, place).exists():
            batch.placements.append((item.path, place))
    return _receipt(ReceiveStatus.DUPLICATE, header, "already stored")


def _receipt(status: ReceiveStatus, header: InstanceHeader, detail: str) -> Received:
    return Received(status, header.sop_instance_uid, header.study_instance_uid, detail)


def _another_patient(row: Row[Any], header: InstanceHeader) -> bool:
    """Say whether the header names another patient than the study. Absent values contradict nothing."""
    pairs = ((row.patient_id, header.patient_id), (row.issuer_of_patient_id, header.issuer_of_patient_id))
    if any(ours and theirs and ours != theirs for ours, theirs in pairs):
        return True
    if row.patient_id and header.patient_id:
        return False  # the same ID: a corrected spelling of the name is no second patient
    return bool(row.patient_name and header.patient_name and row.patient_name_folded != folded(header.patient_name))


def _set_aside(tx: Transaction, batch: _Batch, item: StagedFile, detail: str, reason: Reason) -> Received:
    header = item.header
    uids = (header.study_instance_uid, header.sop_instance_uid)
    path = files.conflict_path(*uids, item.sha256)
    table = schema.conflicts
    known = select(table.c.id).where(
        table.c.study_uid == uids[0], table.c.sop_uid == uids[1], table.c.sha256 == item.sha256
    )
    batch.placements.append((item.path, path))
    if tx.run(known).first() is None:
        values: dict[str, Any] = {"study_uid": uids[0], "sop_uid": uids[1], "path": path, "sha256": item.sha256}
        values |= {"reason": reason.code.value, "detail": detail, "at": tx.now}
        tx.add(table, values | {"origin": origin_document(item.origin)})
        batch.studies[uids[0]].conflicts += 1
        tx.note(uids[0], "receive.conflict", f"{reason.code.value}: {detail}", actor=item.origin.peer)
    return _receipt(ReceiveStatus.CONFLICT, header, detail)


def _apply(tx: Transaction, change: _StudyChange) -> None:
    """Write the rows of one study."""
    if change.stored:
        added = _add_series(tx, change)
        _add_instances(tx, change.stored)
    else:
        added = []
    values: dict[str, Any] = {}
    received = [item for item in change.stored if item.origin.door != OWN_DOOR]
    if received:
        values |= _grown(tx, change, received, added)
    table = schema.studies.c
    if change.duplicates:
        values["duplicate_count"] = table.duplicate_count + change.duplicates
        tx.note(change.row.study_uid, "receive.duplicate", f"{change.duplicates} already stored")
    if change.conflicts:
        values["conflict_count"] = table.conflict_count + change.conflicts
    if change.two_patients:
        values["two_patients"] = True
    if values:
        tx.run(update(schema.studies).where(table.id == change.row.id).values(values))


def _grown(
    tx: Transaction, change: _StudyChange, received: list[StagedFile], added: list[StagedFile]
) -> dict[str, Any]:
    """Return what new images change on the study's row; a settled study opens again."""
    row, table = change.row, schema.studies.c
    before = split_modalities(row.modalities)
    seen = {item.header.modality for item in received if item.header.modality}
    if not seen <= set(before):
        _add_modalities(tx, row, sorted(seen - set(before)))
    values: dict[str, Any] = {
        "instance_count": table.instance_count + len(received),
        "series_count": table.series_count + sum(item.origin.door != OWN_DOOR for item in added),
        "modalities": "\\".join(sorted(seen | set(before))),
        "last_received_at": max(tx.now, row.last_received_at),
    }
    if any(item.header.requested_procedure_priority.upper() in _STAT for item in received):
        values["stat"] = True
    doors = ", ".join(f"{count} over {door}" for door, count in sorted(change.doors.items()))
    tx.note(row.study_uid, "receive.stored", doors)
    if row.state == StudyState.SETTLED.value:
        check_move(STUDY_MOVES, StudyState.SETTLED, StudyState.RECEIVING)
        values |= {"state": StudyState.RECEIVING.value, "settled_reason": None, "settled_at": None}
        tx.note(row.study_uid, "receive.reopened", f"{len(received)} came after settling {row.generation}")
    return values


def _add_modalities(tx: Transaction, row: Row[Any], modalities: Sequence[str]) -> None:
    rows = [{"modality": name, "study_date": row.study_date, "study_key": row.id} for name in modalities]
    tx.add_missing(schema.study_modalities, rows)


def _add_series(tx: Transaction, change: _StudyChange) -> list[StagedFile]:
    """Insert new series and count instances into all of them; return one file of each new series."""
    table = schema.series
    study_uid = change.row.study_uid
    counts = Counter(item.header.series_instance_uid for item in change.stored)
    known = set(
        tx.connection.scalars(
            select(table.c.series_uid).where(table.c.study_uid == study_uid, table.c.series_uid.in_(counts))
        )
    )
    first = {item.header.series_instance_uid: item for item in reversed(change.stored)}
    new = [item for uid, item in first.items() if uid not in known]
    if new:
        tx.run(table.insert(), [_series_values(item, counts) for item in new])
    grown = [{"uid": uid, "more": counts[uid]} for uid in known]
    if grown:
        more = table.c.instance_count + bindparam("more")
        where = (table.c.study_uid == study_uid, table.c.series_uid == bindparam("uid"))
        tx.run(update(table).where(*where).values(instance_count=more), grown)
    return new


def _series_values(item: StagedFile, counts: Counter[str]) -> dict[str, Any]:
    header = item.header
    return {
        "study_uid": header.study_instance_uid,
        "series_uid": header.series_instance_uid,
        "modality": header.modality,
        "series_number": header.series_number,
        "series_description": header.series_description,
        "body_part_examined": header.body_part_examined,
        "instance_count": counts[header.series_instance_uid],
        "own": item.origin.door == OWN_DOOR,
    }


def _add_instances(tx: Transaction, stored: Sequence[StagedFile]) -> None:
    rows = []
    for item in stored:
        header, origin = item.header, item.origin
        values: dict[str, Any] = {
            "sop_uid": header.sop_instance_uid,
            "study_uid": header.study_instance_uid,
            "series_uid": header.series_instance_uid,
            "sop_class_uid": header.sop_class_uid,
            "instance_number": header.instance_number,
            "header": header_document(header),
            "path": files.instance_path(header.study_instance_uid, header.sop_instance_uid),
            "size": item.size,
            "sha256": item.sha256,
            "received_at": tx.now,
        }
        values |= {"door": origin.door, "peer": origin.peer, "address": origin.address}
        rows.append(values | {"association_id": origin.association_id})
    tx.run(schema.instances.insert(), rows)


def _note_associations(tx: Transaction, items: Sequence[StagedFile]) -> None:
    """Remember which associations work on which studies: an open one keeps its studies growing."""
    own = {(item.header.study_instance_uid, item.origin.association_id) for item in items}
    pairs = sorted(pair for pair in own if pair[1])
    if not pairs:
        return
    tx.add_missing(schema.association_studies, [{"study_uid": study, "association_id": name} for study, name in pairs])
    table = schema.associations
    names = {name for _, name in pairs}
    tx.run(update(table).where(table.c.association_id.in_(names)).values(active_at=tx.now))


def quarantine(tx: Transaction, path: Path, kept: str, reason: Reason, origin: Origin) -> Path:
    """Keep the bytes of a refused object; ``kept`` is where, relative to the store."""
    keep_bytes(tx, [(path, kept)])
    values = {"path": kept, "reason": reason.code.value, "detail": reason.detail, "at": tx.now}
    tx.add_missing(schema.quarantine, [values | {"origin": origin_document(origin)}])
    tx.note("", "receive.refused", reason.text(), actor=origin.peer)
    tx.after_commit.append(lambda: path.unlink(missing_ok=True))
    return files.safe_join(tx.folder, kept)
