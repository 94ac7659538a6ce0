"""The store as one thing to hold: a thin front over the modules of this room.

Safe to use from several threads, and from several processes that each opened their own.
"""

import threading
import time
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType

from coread.domain.reasons import Reason
from coread.domain.results import Reading
from coread.domain.study import Instance, Origin, Received, Series, SettledReason, Study
from coread.domain.work import (
    Delivery,
    DeliveryState,
    Destination,
    EncodedObject,
    EvidenceRecord,
    HistoryEntry,
    Priority,
    RoutingDecision,
    Verdict,
    VerdictKind,
    WorkItem,
)
from coread.store import (
    deliveries,
    files,
    history,
    intake,
    people,
    placing,
    queries,
    queue,
    recovery,
    results,
    retention,
    studies,
)
from coread.store import worklist as worklists
from coread.store.corrections import Corrections
from coread.store.database import Database, utc_now
from coread.store.migrating import check_schema
from coread.store.migrating import migrate as migrate_schema
from coread.store.records import (
    ApiToken,
    AuditEntry,
    Conflict,
    DiskLevel,
    DiskState,
    InstanceQuery,
    Page,
    RetentionReport,
    SeriesQuery,
    Session,
    StagedFile,
    StudyActivity,
    StudyQuery,
    TrashedStudy,
    Unread,
    User,
    WorklistQuery,
    WorklistRow,
)
from coread.store.settings import StoreSettings

_DISK_CACHE_SECONDS = 1.0


class Store:
    """Files, index, queue, results, people and history of one installation."""

    def __init__(self, settings: StoreSettings, database: Database) -> None:
        self.settings = settings
        self.folder = settings.folder
        self._db = database
        self.corrections = Corrections(database)
        self._disk: tuple[float, DiskState] | None = None
        self._disk_lock = threading.Lock()

    @classmethod
    def open(cls, settings: StoreSettings, *, migrate: bool = False) -> "Store":
        """Open folder and index; ``migrate`` creates them or brings the schema up to date.

        Raises StoreMisconfigured when the index has another schema and ``migrate`` is False.
        """
        for name in files.FOLDERS:
            files.make_folder(settings.folder / name, durable=settings.durable)
        database = Database(settings)
        try:
            if migrate:
                migrate_schema(database, settings.folder)
            check_schema(database)
        except BaseException:
            database.close()
            raise
        return cls(settings, database)

    def close(self) -> None:
        """Close all connections."""
        self._db.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # files and disk

    def path_of(self, relative: str) -> Path:
        """Return the path of a stored file; raises UnsafePath for one that would leave the folder."""
        return files.safe_join(self.folder, relative)

    def staging_folder(self) -> Path:
        """Return the folder that receivers stream into; it is on the file system of the store."""
        return self.folder / "staging"

    def disk_state(self) -> DiskState:
        """Return how full the disk is (at most a second old)."""
        with self._disk_lock:
            now = time.monotonic()
            if self._disk is None or now - self._disk[0] > _DISK_CACHE_SECONDS:
                self._disk = (now, self._measure_disk())
            return self._disk[1]

    def _measure_disk(self) -> DiskState:
        total, free = self.settings.disk_usage(self.folder)
        fraction = free / total if total else 0.0
        if fraction < self.settings.refuse_free_fraction:
            return DiskState(DiskLevel.REFUSE, free, fraction)
        level = DiskLevel.WARN if fraction < self.settings.warn_free_fraction else DiskLevel.OK
        return DiskState(level, free, fraction)

    # intake

    def add_files(self, items: Sequence[StagedFile], *, synced: bool = True) -> list[Received]:
        """Index a batch in one transaction and move its bytes into place; one receipt for each item, in order.

        Doing it twice stores nothing twice. Objects that contradict what is stored are kept aside, and
        objects of a second patient in a study too. With ``synced=False`` the staging names stay for recovery
        and the caller calls ``sync_intake`` with the items of many batches.
        """
        for item in items:
            if not item.durable_already and self.settings.durable:
                files.sync_file(item.path)
        return self._db.write(lambda tx: intake.add_files(tx, items, synced=synced), synced=synced)

    def sync_intake(self, items: Sequence[StagedFile]) -> None:
        """Bring files and rows that were added with ``synced=False`` to the disk; then their staging names go."""
        if self.settings.durable:
            placing.sync_names(self.folder, items)
        self._db.sync()
        placing.remove_staged(items)

    def quarantine(self, path: Path, reason: Reason, origin: Origin) -> Path:
        """Keep the bytes of a refused object and say why; returns where they are now."""
        kept = f"quarantine/{utc_now():%Y%m%d}/{uuid.uuid4().hex}.bin"
        return self._db.write(lambda tx: intake.quarantine(tx, path, kept, reason, origin))

    def recover_staging(self, scan: recovery.Scan) -> int:
        """After a crash: index files that were acknowledged (``*.ready``) but not indexed; returns how many."""
        return recovery.recover_staging(self, scan)

    def association_opened(self, association_id: str, peer: str, address: str) -> None:
        """Note that a sender has connected: while it is, what it sends is still growing."""
        self._db.write(lambda tx: studies.association_opened(tx, association_id, peer, address))

    def association_closed(self, association_id: str) -> None:
        """Note that a sender has gone."""
        self._db.write(lambda tx: studies.association_closed(tx, association_id))

    def close_all_associations(self) -> int:
        """Close what dead receivers left open; only before receivers start."""
        return self._db.write(studies.close_all_associations)

    # studies

    def study(self, uid: str, with_series: bool = False, with_instances: bool = False) -> Study | None:
        """Return a study with what was received of it (not our own evidence), or ``None``."""
        return self._db.read(lambda tx: studies.study(tx, uid, with_series=with_series, with_instances=with_instances))

    def instances(self, sop_instance_uids: Sequence[str] = (), *, study_uid: str = "") -> tuple[Instance, ...]:
        """Return instances by SOP Instance UID, in the order of asking, or all of one study (evidence too)."""
        if study_uid:
            return self._db.read(lambda tx: studies.instances_of_study(tx, study_uid))
        return self._db.read(lambda tx: studies.instances_by_uid(tx, sop_instance_uids))

    def find_studies(self, query: StudyQuery) -> Page[Study]:
        """Return one page of matching studies, newest study date first."""
        return self._db.read(lambda tx: queries.find_studies(tx, query))

    def find_series(self, query: SeriesQuery) -> Page[Series]:
        """Return one page of matching series, evidence too."""
        return self._db.read(lambda tx: queries.find_series(tx, query))

    def find_instances(self, query: InstanceQuery) -> Page[Instance]:
        """Return one page of matching instances, evidence too."""
        return self._db.read(lambda tx: queries.find_instances(tx, query))

    def latest_studies(self, limit: int, offset: int = 0) -> tuple[str, ...]:
        """Return the UIDs of settled studies, the last received first."""
        return self._db.read(lambda tx: studies.latest(tx, limit, offset))

    def unsettled_studies(self) -> tuple[Study, ...]:
        """Return the studies that are still growing, the quietest first."""
        return self._db.read(studies.unsettled)

    def unsettled_activity(self) -> tuple[StudyActivity, ...]:
        """Return the growing studies with their open associations: the input of the settling policy."""
        return self._db.read(studies.activity)

    def undecided_studies(self, limit: int = 100) -> tuple[str, ...]:
        """Return settled studies without any routing decision: a crash fell between settling and deciding."""
        return self._db.read(lambda tx: studies.undecided(tx, limit))

    def settle(self, study_uid: str, reason: SettledReason, detail: str = "") -> Study:
        """Call a growing study complete: one generation more."""
        return self._db.write(lambda tx: studies.settle(tx, study_uid, reason, detail))

    def study_flags(self, study_uid: str) -> tuple[str, ...]:
        """Return the warnings of a study: ``two_patients``, ``conflicts``."""
        return self._db.read(lambda tx: studies.study_flags(tx, study_uid))

    def conflicts(self, study_uid: str) -> tuple[Conflict, ...]:
        """Return the objects that were kept aside for a study."""
        return self._db.read(lambda tx: studies.conflicts(tx, study_uid))

    def record_decisions(
        self, decisions: Sequence[RoutingDecision], priority: Priority = Priority.MEDIUM
    ) -> tuple[WorkItem, ...]:
        """Store the decisions of one study and generation with work for the accepted ones.

        Unfinished work of older generations is canceled. Recording the same decisions again changes nothing;
        the work items of this generation are returned either way.
        """
        return self._db.write(lambda tx: queue.record_decisions(tx, decisions, priority))

    def decisions(self, study_uid: str) -> tuple[RoutingDecision, ...]:
        """Return all routing decisions of a study, newest generation first."""
        return self._db.read(lambda tx: queue.decisions(tx, study_uid))

    # work queue

    def claim_work(self, owner: str, lease_seconds: float, reader_ids: Sequence[str] | None = None) -> WorkItem | None:
        """Take the most pressing work item for a while, or ``None`` when nothing waits."""
        if not self._db.read(lambda tx: queue.anything_waiting(tx, reader_ids)):
            return None
        return self._db.write(lambda tx: queue.claim(tx, owner, lease_seconds, reader_ids))

    def heartbeat(self, work_id: int, owner: str, lease_seconds: float) -> bool:
        """Keep a work item; False means: stop, it is not yours any more."""
        return self._db.write(lambda tx: queue.heartbeat(tx, work_id, owner, lease_seconds))

    def release_expired(self) -> int:
        """Return items of silent workers to the queue; too often begun, they end as failed."""
        return self._db.write(lambda tx: recovery.release(tx, None, "its worker fell silent"))

    def release_owner(self, owner: str, detail: str) -> int:
        """Return the items of a dead worker to the queue; too often begun, they end as failed."""
        return self._db.write(lambda tx: recovery.release(tx, owner, detail))

    def lease_owners(self) -> tuple[str, ...]:
        """Return the owners of the items in progress, dead or alive."""
        return self._db.read(queue.lease_owners)

    def waiting_readers(self) -> tuple[str, ...]:
        """Return the readers that work items wait for, installed or not."""
        return self._db.read(queue.waiting_readers)

    def finish_work(
        self,
        work_id: int,
        owner: str,
        reading: Reading,
        evidence: Sequence[EncodedObject] = (),
        destinations: Sequence[Destination] = (),
    ) -> tuple[EvidenceRecord, ...]:
        """Store the ending, its evidence and deliveries in one transaction; finishing twice changes nothing.

        Raises LeaseLost when the item is another's by now or was superseded: nothing is stored then.
        """
        return self._db.write(lambda tx: results.finish(tx, work_id, owner, reading, evidence, destinations))

    def retry_work(self, work_id: int, not_before: datetime | None = None, detail: str = "") -> None:
        """Return an item in progress to the queue, not to be begun before a moment."""
        self._db.write(lambda tx: queue.retry(tx, work_id, not_before, detail))

    def reading(self, work_id: int) -> Reading | None:
        """Return the stored ending of a work item, exactly as it was given."""
        return self._db.read(lambda tx: results.reading(tx, work_id))

    def work_items(self, study_uid: str) -> tuple[WorkItem, ...]:
        """Return all work items of a study."""
        return self._db.read(lambda tx: queue.work_items(tx, study_uid))

    def work_item(self, work_id: int) -> WorkItem | None:
        """Return one work item."""
        return self._db.read(lambda tx: queue.work_item(tx, work_id))

    def evidence(self, study_uid: str) -> tuple[EvidenceRecord, ...]:
        """Return the evidence of a study."""
        return self._db.read(lambda tx: results.evidence_of_study(tx, study_uid))

    def evidence_record(self, evidence_id: int) -> EvidenceRecord | None:
        """Return one piece of evidence."""
        return self._db.read(lambda tx: results.evidence_by_id(tx, evidence_id))

    def eligible_without_outcome(self, since: datetime) -> tuple[Unread, ...]:
        """Return accepted decisions since then that still have no reading: the completeness report."""
        return self._db.read(lambda tx: queue.without_outcome(tx, since))

    # worklist

    def worklist(self, query: WorklistQuery | None = None) -> Page[WorklistRow]:
        """Return one page of the worklist: unread urgent findings, STAT orders, then the newest."""
        wanted = query or WorklistQuery()
        return self._db.read(lambda tx: worklists.worklist(tx, wanted))

    def change_token(self) -> int:
        """Return a number that grows with every change."""
        return self._db.read(history.change_token)

    # deliveries

    def claim_delivery(self, destination: str, owner: str, lease_seconds: float) -> Delivery | None:
        """Take the oldest object that waits for a destination, or ``None``."""
        if not self._db.read(lambda tx: deliveries.anything_waiting(tx, destination)):
            return None
        return self._db.write(lambda tx: deliveries.claim(tx, destination, owner, lease_seconds))

    def delivery_sent(self, delivery_id: int) -> None:
        """Note that the peer answered success."""
        self._db.write(lambda tx: deliveries.sent(tx, delivery_id))

    def delivery_retry(self, delivery_id: int, error: str, next_attempt_at: datetime) -> None:
        """Note a failure; the object is sent again at that time."""
        self._db.write(lambda tx: deliveries.retry(tx, delivery_id, error, next_attempt_at))

    def delivery_dead(self, delivery_id: int, error: str) -> None:
        """Give up on an object: a dead letter."""
        self._db.write(lambda tx: deliveries.dead(tx, delivery_id, error))

    def delivery_committed(self, delivery_id: int) -> None:
        """Note that the peer has committed to keeping the object."""
        self._db.write(lambda tx: deliveries.committed(tx, delivery_id))

    def delivery_commit_failed(self, delivery_id: int, error: str) -> None:
        """Note that the peer does not commit: the object is sent again."""
        self._db.write(lambda tx: deliveries.commit_failed(tx, delivery_id, error))

    def requeue_delivery(self, delivery_id: int, actor: str) -> None:
        """Send a dead letter again, because a person asked for it."""
        self._db.write(lambda tx: deliveries.requeue(tx, delivery_id, actor))

    def deliveries(
        self, study_uid: str | None = None, destination: str | None = None, state: DeliveryState | None = None
    ) -> tuple[Delivery, ...]:
        """Return deliveries, oldest first."""
        return self._db.read(lambda tx: deliveries.find(tx, study_uid, destination, state))

    def delivery(self, delivery_id: int) -> Delivery | None:
        """Return one delivery."""
        return self._db.read(lambda tx: deliveries.one(tx, delivery_id))

    def delivery_counts(self) -> dict[str, dict[DeliveryState, int]]:
        """Return how many objects of each destination are in each state."""
        return self._db.read(deliveries.counts)

    # people

    def add_verdict(
        self,
        work_id: int,
        finding_key: str,
        kind: VerdictKind,
        user: str,
        *,
        comment: str = "",
        corrected_presence: str = "",
    ) -> Verdict:
        """Add a radiologist's word beside a finding; the result itself never changes."""
        values = {"finding_key": finding_key, "kind": kind.value, "user_name": user, "comment": comment}
        values["corrected_presence"] = corrected_presence
        return self._db.write(lambda tx: people.add_verdict(tx, values, work_id))

    def verdicts(self, study_uid: str) -> tuple[Verdict, ...]:
        """Return the verdicts on a study, oldest first."""
        return self._db.read(lambda tx: people.verdicts(tx, study_uid))

    def add_user(self, name: str, password_hash: str, role: str) -> User:
        """Create an account; raises AlreadyExists."""
        return self._db.write(lambda tx: people.add_user(tx, name, password_hash, role))

    def user(self, name: str) -> User | None:
        """Return one account."""
        return self._db.read(lambda tx: people.user(tx, name))

    def users(self) -> tuple[User, ...]:
        """Return all accounts by name."""
        return self._db.read(people.users)

    def set_password(self, name: str, password_hash: str) -> None:
        """Give an account another password."""
        self._db.write(lambda tx: people.change_user(tx, name, password_hash=password_hash))

    def set_role(self, name: str, role: str) -> None:
        """Give an account another role."""
        self._db.write(lambda tx: people.change_user(tx, name, role=role))

    def disable_user(self, name: str, disabled: bool = True) -> None:
        """Stop an account from logging in, or let it again."""
        self._db.write(lambda tx: people.change_user(tx, name, disabled=disabled))

    def create_session(self, token_hash: str, user: str, expires_at: datetime, address: str = "") -> Session:
        """Remember a login by the hash of its secret."""
        session = Session(token_hash, user, utc_now(), expires_at, address)
        self._db.write(lambda tx: people.add_session(tx, session))
        return session

    def session(self, token_hash: str) -> Session | None:
        """Return a login that has not ended."""
        return self._db.read(lambda tx: people.session(tx, token_hash))

    def delete_session(self, token_hash: str) -> None:
        """End one login."""
        self._db.write(lambda tx: people.end_session(tx, token_hash))

    def delete_sessions_of(self, user: str) -> int:
        """End all logins of a user."""
        return self._db.write(lambda tx: people.end_sessions_of(tx, user))

    def create_api_token(self, token_hash: str, user: str, label: str, expires_at: datetime | None = None) -> ApiToken:
        """Remember a key for programs by the hash of its secret."""
        return self._db.write(lambda tx: people.add_token(tx, token_hash, user, label, expires_at))

    def user_of_api_token(self, token_hash: str) -> User | None:
        """Return the active user of a key that has not expired."""
        return self._db.read(lambda tx: people.user_of_token(tx, token_hash))

    def api_tokens(self, user: str | None = None) -> tuple[ApiToken, ...]:
        """Return the keys of one user, or of all."""
        return self._db.read(lambda tx: people.tokens(tx, user))

    def delete_api_token(self, token_id: int) -> bool:
        """Take a key away; False when there is none of that number."""
        return self._db.write(lambda tx: people.delete_token(tx, token_id))

    def audit(self, user: str, action: str, target: str = "", address: str = "", detail: str = "") -> None:
        """Add a line to the append-only audit trail. Never name a patient in it: UIDs only."""
        values = {"user_name": user, "action": action, "target": target, "address": address, "detail": detail}
        self._db.write(lambda tx: people.add_audit(tx, values))

    def audit_entries(self, limit: int = 100, offset: int = 0) -> tuple[AuditEntry, ...]:
        """Return the audit trail, newest first."""
        return self._db.read(lambda tx: people.audit_entries(tx, limit, offset))

    def history(self, study_uid: str) -> tuple[HistoryEntry, ...]:
        """Return the history of a study, oldest first; ``""``: what belongs to no study."""
        return self._db.read(lambda tx: history.entries(tx, study_uid))

    def add_history(self, study_uid: str, event: str, detail: str = "", actor: str = "") -> None:
        """Add a line to the history of a study."""
        self._db.write(lambda tx: tx.note(study_uid, event, detail, actor=actor))

    # retention

    def apply_retention(self, now: datetime) -> RetentionReport:
        """Move old, finished studies to the trash and purge what lay there long enough."""
        old, unfinished = self._db.read(lambda tx: retention.removable(tx, now))
        trashed = tuple(uid for uid in old if self._trash(uid, now))
        expired = self._db.read(lambda tx: retention.expired_trash(tx, now))
        purged = tuple(uid for uid in expired if self._purge(uid))
        return RetentionReport(trashed, unfinished, purged)

    def _trash(self, uid: str, now: datetime) -> bool:
        return self._db.write(lambda tx: retention.trash(tx, uid, now))

    def _purge(self, uid: str) -> bool:
        return self._db.write(lambda tx: retention.purge(tx, uid))

    def trashed_studies(self) -> tuple[TrashedStudy, ...]:
        """Return what lies in the trash, the latest first."""
        return self._db.read(retention.trashed)

    def restore_trash(self, study_uid: str) -> None:
        """Bring a study back from the trash."""
        self._db.write(lambda tx: retention.restore(tx, study_uid))
