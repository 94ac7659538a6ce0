"""Corrected versions of results: each one a row and a whole result; the reader's own stays as it was.

Two people who correct the same version at the same time: the first one's is stored, the second is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Row, func, select

from coread.domain import codec
from coread.domain.corrections import Correction
from coread.domain.results import ReadResult
from coread.domain.work import Destination, EncodedObject, EvidenceRecord, WorkState
from coread.store import files, schema
from coread.store.database import Database, Transaction
from coread.store.errors import CorrectedMeanwhile, DamagedFile, NoSuchRecord
from coread.store.queue import locked_work
from coread.store.results import pack, queue_deliveries, store_evidence

_TABLE = schema.corrections
READ_AGAIN = (
    "Late images came and the study is read again: this result is an earlier one now. Nothing of yours was stored: "
    "reload the page and look at the result of the whole study."
)


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """A correction that is about to be stored as version ``version``."""

    work_id: int
    version: int
    user: str
    reason: str
    what: str
    before: str
    after: str
    result: ReadResult
    same_as: int = 0


class Corrections:
    """The corrected versions in one store."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(
        self, proposal: Proposal, evidence: Sequence[EncodedObject], destinations: Sequence[Destination]
    ) -> tuple[Correction, tuple[EvidenceRecord, ...]]:
        """Store a version, its objects and their deliveries in one transaction.

        Raises CorrectedMeanwhile when that version is there already, the one before it is not, or the study has been
        settled anew: nobody would see a correction of a result that no longer stands.
        """
        return self._db.write(lambda tx: _add(tx, proposal, evidence, destinations))

    def of_study(self, study_uid: str) -> tuple[Correction, ...]:
        """Return the corrections of all readings of a study, oldest first."""
        statement = select(_TABLE).where(_TABLE.c.study_uid == study_uid).order_by(_TABLE.c.id)
        return self._db.read(lambda tx: tuple(_record(row) for row in tx.run(statement)))

    def result(self, work_id: int, version: int) -> ReadResult:
        """Return the corrected result of a version from 2 on; raises NoSuchRecord, DamagedFile."""
        return self._db.read(lambda tx: _result(tx, work_id, version))


def latest_version(tx: Transaction, work_id: int) -> int:
    """Return the number of the newest version of a reading: 1 where nobody corrected it."""
    newest = tx.connection.scalar(select(func.max(_TABLE.c.version)).where(_TABLE.c.work_id == work_id))
    return int(newest or 1)


def _add(
    tx: Transaction, proposal: Proposal, evidence: Sequence[EncodedObject], destinations: Sequence[Destination]
) -> tuple[Correction, tuple[EvidenceRecord, ...]]:
    work = locked_work(tx, proposal.work_id)
    if work.state != WorkState.COMPLETED.value:
        raise NoSuchRecord(f"work item {proposal.work_id} has no result that could be corrected")
    newest = latest_version(tx, proposal.work_id)
    if newest != proposal.version - 1:
        raise CorrectedMeanwhile(_meanwhile(tx, proposal.work_id, newest))
    study = tx.run(select(schema.studies).where(schema.studies.c.study_uid == work.study_uid).with_for_update()).one()
    if study.generation != work.generation:
        raise CorrectedMeanwhile(READ_AGAIN)
    key = _store_version(tx, work, proposal)
    records = [store_evidence(tx, work, study, item) for item in evidence]
    queued = queue_deliveries(tx, records, destinations)
    stored = _record(tx.run(select(_TABLE).where(_TABLE.c.id == key)).one())
    tx.note(work.study_uid, "people.corrected", stored.sentence(), actor=proposal.user, work_id=work.id)
    if queued:
        tx.note(work.study_uid, "deliver.queued", f"{queued} objects", work_id=work.id)
    return stored, tuple(records)


def _store_version(tx: Transaction, work: Row[Any], proposal: Proposal) -> int:
    encoded = codec.encode(proposal.result)
    relative = files.version_path(work.study_uid, work.id, proposal.version) if encoded.arrays else ""
    if relative:
        files.write_file(files.safe_join(tx.folder, relative), pack(encoded.arrays), durable=tx.settings.durable)
    values: dict[str, Any] = {"work_id": work.id, "study_uid": work.study_uid, "version": proposal.version}
    values |= {"user_name": proposal.user, "reason": proposal.reason, "created_at": tx.now}
    values |= {"what": proposal.what, "value_before": proposal.before, "value_after": proposal.after}
    values |= {"same_as": proposal.same_as, "document": encoded.document, "arrays_path": relative}
    return tx.add(_TABLE, values)


def _meanwhile(tx: Transaction, work_id: int, newest: int) -> str:
    row = tx.run(select(_TABLE).where(_TABLE.c.work_id == work_id, _TABLE.c.version == newest)).one_or_none()
    if row is None:
        return "There is no such version of this result any more. Reload the page."
    return (
        f"{row.user_name} corrected this result meanwhile (version {newest}: {row.what}). Nothing of yours was stored: "
        "reload the page, look at that version, and correct it if you still want to."
    )


def _result(tx: Transaction, work_id: int, version: int) -> ReadResult:
    row = tx.run(select(_TABLE).where(_TABLE.c.work_id == work_id, _TABLE.c.version == version)).one_or_none()
    if row is None:
        raise NoSuchRecord(f"work item {work_id} has no version {version}")
    if not row.arrays_path:
        return codec.decode(ReadResult, row.document)
    path = files.safe_join(tx.folder, row.arrays_path)
    if not path.is_file():
        raise DamagedFile(f"the arrays of version {version} of work item {work_id} are missing: {row.arrays_path}")
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return codec.decode(ReadResult, row.document, arrays)


def _record(row: Row[Any]) -> Correction:
    return Correction(
        correction_id=row.id,
        work_id=row.work_id,
        study_instance_uid=row.study_uid,
        version=row.version,
        user=row.user_name,
        reason=row.reason,
        created_at=row.created_at,
        what=row.what,
        before=row.value_before,
        after=row.value_after,
        same_as=row.same_as,
    )
