"""Ending work: the reading, its arrays, its evidence and the deliveries, all in one transaction."""

import hashlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row, select, update

import coread
from coread.domain import codec
from coread.domain.findings import Presence
from coread.domain.results import Failure, Provenance, Reading, ReadResult, Refusal
from coread.domain.study import InstanceHeader
from coread.domain.work import DeliveryState, Destination, EncodedObject, EvidenceRecord, VerdictKind, WorkState
from coread.store import files, schema
from coread.store.database import Transaction
from coread.store.errors import DamagedFile, LeaseLost
from coread.store.evidence_header import evidence_header
from coread.store.intake import OWN_DOOR
from coread.store.queue import locked_work, move
from coread.store.rows import evidence_record, header_document

_READINGS = schema.readings
_EVIDENCE = schema.evidence


def finish(
    tx: Transaction,
    work_id: int,
    owner: str | None,
    reading: Reading,
    made: Sequence[EncodedObject],
    destinations: Sequence[Destination],
) -> tuple[EvidenceRecord, ...]:
    """Store the ending of a work item; see ``Store.finish_work``. ``owner=None`` is the store itself."""
    row = locked_work(tx, work_id)
    if row.state == WorkState.COMPLETED.value:
        return evidence_of_work(tx, work_id)
    if row.state != WorkState.IN_PROGRESS.value or (owner is not None and row.lease_owner != owner):
        raise LeaseLost(f"work item {work_id} is {row.state.lower()} and not held by {owner!r}: nothing was stored")
    study = tx.run(select(schema.studies).where(schema.studies.c.study_uid == row.study_uid).with_for_update()).one()
    _store_reading(tx, row, reading)
    records = [store_evidence(tx, row, study, item) for item in made]
    queued = queue_deliveries(tx, records, destinations)
    move(tx, row, WorkState.COMPLETED, lease_owner="", lease_expires_at=None)
    _store_outcome(tx, row, reading)
    refresh_urgency(tx, row.study_uid)
    text = f"{row.reader_id}: {reading.outcome().value}"
    if headline := headline_of(reading):
        text = f"{text}, {headline}"
    tx.note(row.study_uid, "engine.finished", text, actor=owner or "", work_id=work_id)
    if queued:
        tx.note(row.study_uid, "deliver.queued", f"{queued} objects", work_id=work_id)
    return tuple(records)


def _store_reading(tx: Transaction, row: Row[Any], reading: Reading) -> None:
    encoded = codec.encode(reading)
    relative = files.arrays_path(row.study_uid, row.id) if encoded.arrays else ""
    if relative:
        files.write_file(files.safe_join(tx.folder, relative), pack(encoded.arrays), durable=tx.settings.durable)
    values = {"work_id": row.id, "outcome": reading.outcome().value, "document": encoded.document}
    tx.add(_READINGS, values | {"arrays_path": relative, "finished_at": reading.provenance.finished_at})


def pack(arrays: dict[str, NDArray[Any]]) -> bytes:
    """Return arrays as an .npz file; objects (pickles) are refused."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def reading(tx: Transaction, work_id: int) -> Reading | None:
    """Return the stored reading of a work item, exactly as it was given; ``None`` before its end."""
    row = tx.run(select(_READINGS).where(_READINGS.c.work_id == work_id)).one_or_none()
    if row is None:
        return None
    arrays: dict[str, NDArray[Any]] = {}
    if row.arrays_path:
        path = files.safe_join(tx.folder, row.arrays_path)
        if not path.is_file():
            raise DamagedFile(f"the arrays of work item {work_id} are missing: {row.arrays_path}")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    return codec.decode(Reading, row.document, arrays)


def store_evidence(tx: Transaction, row: Row[Any], study: Row[Any], item: EncodedObject) -> EvidenceRecord:
    """Store one object; one with this UID that is there already is taken over, not doubled."""
    known = tx.run(select(_EVIDENCE).where(_EVIDENCE.c.sop_uid == item.sop_instance_uid)).one_or_none()
    if known is not None:
        tx.run(update(_EVIDENCE).where(_EVIDENCE.c.id == known.id).values(work_id=row.id))
        return evidence_record(tx.run(select(_EVIDENCE).where(_EVIDENCE.c.id == known.id)).one())
    relative = files.evidence_path(row.study_uid, item.sop_instance_uid)
    files.write_file(files.safe_join(tx.folder, relative), item.data, durable=tx.settings.durable)
    values: dict[str, Any] = {
        "work_id": row.id,
        "kind": item.kind.value,
        "sop_class_uid": item.sop_class_uid,
        "sop_uid": item.sop_instance_uid,
        "series_uid": item.series_instance_uid,
        "study_uid": row.study_uid,
        "path": relative,
        "sha256": hashlib.sha256(item.data).hexdigest(),
        "size": len(item.data),
        "created_at": tx.now,
        "proof": item.proof,
    }
    key = tx.add(_EVIDENCE, values)
    _index_evidence(tx, evidence_header(item, study), values, row.reader_id)
    return evidence_record(tx.run(select(_EVIDENCE).where(_EVIDENCE.c.id == key)).one())


def _index_evidence(tx: Transaction, header: InstanceHeader, values: dict[str, Any], reader_id: str) -> None:
    """Make evidence visible to DICOMweb. It counts for no study: it never settles nor re-opens one."""
    series, instances = schema.series, schema.instances
    if tx.run(select(instances.c.id).where(instances.c.sop_uid == values["sop_uid"])).first() is not None:
        return
    key = {"study_uid": values["study_uid"], "series_uid": values["series_uid"]}
    described = {"modality": header.modality, "series_number": header.series_number, "own": True}
    described |= {"series_description": header.series_description, "body_part_examined": header.body_part_examined}
    tx.add_missing(series, [key | described])
    mine = (series.c.study_uid == key["study_uid"], series.c.series_uid == key["series_uid"])
    tx.run(update(series).where(*mine).values(instance_count=series.c.instance_count + 1))
    placed = {name: values[name] for name in ("sop_uid", "sop_class_uid", "path", "size", "sha256")}
    placed |= {"header": header_document(header), "instance_number": header.instance_number}
    tx.add(instances, key | placed | {"received_at": tx.now, "door": OWN_DOOR, "peer": reader_id})


def queue_deliveries(tx: Transaction, records: Sequence[EvidenceRecord], destinations: Sequence[Destination]) -> int:
    """Queue each object for each destination that takes its kind; return how many."""
    table = schema.deliveries
    rows = [
        {
            "evidence_id": record.evidence_id,
            "study_uid": record.study_instance_uid,
            "destination": destination.name,
            "state": DeliveryState.QUEUED.value,
            "created_at": tx.now,
        }
        for destination in destinations
        for record in records
        if record.kind in destination.kinds
    ]
    tx.add_missing(table, rows)
    return len(rows)


def _store_outcome(tx: Transaction, row: Row[Any], reading: Reading) -> None:
    """Put the ending on the worklist, unless a newer generation stands there already."""
    values: dict[str, Any] = {"outcome": reading.outcome().value, "headline": headline_of(reading)}
    values |= {"urgent": is_urgent(reading), "finished_at": reading.provenance.finished_at}
    if (reason := reading.reason()) is not None:
        values |= {"reason": reason.code.value, "reason_detail": reason.detail}
    table = schema.outcomes
    mine = (table.c.study_uid == row.study_uid, table.c.reader_id == row.reader_id, table.c.work_id == row.id)
    tx.run(update(table).where(*mine).values(values))


def is_urgent(reading: Reading) -> bool:
    """Say whether anything urgent is present."""
    if not isinstance(reading.ending, ReadResult):
        return False
    return any(item.urgent and item.presence is Presence.PRESENT for item in reading.ending.findings)


def headline_of(reading: Reading) -> str:
    """Return one line for people. Found things are "suspected": a reader never diagnoses. Remarks on images are not."""
    ending = reading.ending
    if isinstance(ending, Refusal):
        return ending.reason.text()
    if isinstance(ending, Failure):
        return f"Failed: {ending.kind}"
    present = [item for item in ending.findings if item.presence is Presence.PRESENT]
    present.sort(key=lambda item: (not item.urgent, -(item.probability or 0.0)))
    names = ", ".join(dict.fromkeys(item.concept.meaning for item in present))
    if names:
        return names if reading.notes_images() else f"{names} (suspected)"
    unclear = dict.fromkeys(item.concept.meaning for item in ending.findings if item.presence is Presence.INDETERMINATE)
    if unclear:
        return f"{', '.join(unclear)} (indeterminate)"
    looked = any(item.presence is Presence.ABSENT for item in ending.findings)
    if looked and reading.notes_images():
        return "Nothing to note"
    return "No finding suspected" if looked else "Measured; no finding assessed"


def refresh_urgency(tx: Transaction, uid: str) -> None:
    """Recompute a study's place on the worklist from its newest generation.

    While that generation is still being read, a study that was urgent stays urgent: late images must not
    hide a suspected pneumothorax for the minute that the new reading takes.
    """
    table, studies = schema.outcomes.c, schema.studies
    rows = tx.run(select(table.outcome, table.urgent, table.work_id).where(table.study_uid == uid)).all()
    row = tx.run(select(studies.c.urgent, studies.c.urgent_unread).where(studies.c.study_uid == uid)).one()
    reading_now = any(item.outcome is None for item in rows)
    urgent = any(item.urgent for item in rows) or (row.urgent and reading_now)
    unread = urgent and not _all_judged(tx, [item.work_id for item in rows if item.urgent])
    tx.run(update(studies).where(studies.c.study_uid == uid).values(urgent=urgent, urgent_unread=unread))


def _all_judged(tx: Transaction, work_ids: Sequence[int]) -> bool:
    """Say whether every urgent reading has a verdict that was not withdrawn."""
    table = schema.verdicts.c
    latest: dict[tuple[int, str], str] = {}
    rows = tx.run(
        select(table.work_id, table.finding_key, table.kind).where(table.work_id.in_(work_ids)).order_by(table.id)
    )
    for row in rows:
        latest[row.work_id, row.finding_key] = row.kind
    judged = {key[0] for key, kind in latest.items() if kind != VerdictKind.WITHDRAW.value}
    return bool(work_ids) and judged >= set(work_ids)


def evidence_of_study(tx: Transaction, uid: str) -> tuple[EvidenceRecord, ...]:
    """Return the evidence of a study, in the order in which it was made."""
    rows = tx.run(select(_EVIDENCE).where(_EVIDENCE.c.study_uid == uid).order_by(_EVIDENCE.c.id))
    return tuple(evidence_record(row) for row in rows)


def evidence_of_work(tx: Transaction, work_id: int) -> tuple[EvidenceRecord, ...]:
    """Return the evidence of one reading."""
    rows = tx.run(select(_EVIDENCE).where(_EVIDENCE.c.work_id == work_id).order_by(_EVIDENCE.c.id))
    return tuple(evidence_record(row) for row in rows)


def evidence_by_id(tx: Transaction, evidence_id: int) -> EvidenceRecord | None:
    """Return one piece of evidence."""
    row = tx.run(select(_EVIDENCE).where(_EVIDENCE.c.id == evidence_id)).one_or_none()
    return evidence_record(row) if row is not None else None


def kept_crashing(tx: Transaction, row: Row[Any]) -> Reading:
    """Return the ending of an item whose workers died again and again."""
    message = f"the reading process died or fell silent {row.attempts} times"
    failure = Failure("KeptCrashing", message, "see the worker's log for these times; the study can be read again")
    provenance = Provenance(
        reader_id=row.reader_id,
        reader_version=row.reader_version,
        package_digest="",
        input_digest="",
        coread_version=coread.__version__,
        runtime="",
        started_at=row.created_at,
        finished_at=tx.now,
    )
    return Reading(failure, provenance)
