"""What the store takes and gives besides the records of ``coread.domain``."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar

from coread.domain.results import Outcome
from coread.domain.study import InstanceHeader, Origin, Study
from coread.domain.work import EncodedObject, ReaderOutcome

Item = TypeVar("Item")
NewEvidence = EncodedObject


@dataclass(frozen=True, slots=True)
class StagedFile:
    """One complete file in the staging folder, scanned and digested, ready to be indexed."""

    path: Path
    header: InstanceHeader
    size: int
    sha256: str
    origin: Origin
    durable_already: bool = False
    """The bytes and the staging name have been synced to the disk."""


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some of the matches. There is no total: counting 100,000 studies costs more than showing 100 of them."""

    items: tuple[Item, ...]
    offset: int = 0
    more: bool = False
    """There are further matches after these."""


class DiskLevel(StrEnum):
    """How full the disk is, against the two limits of the settings."""

    OK = "ok"
    WARN = "warn"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class DiskState:
    """Free space of the store's disk."""

    level: DiskLevel
    free_bytes: int
    free_fraction: float


@dataclass(frozen=True, slots=True)
class StudyActivity:
    """A growing study and what its senders are doing: the input of the settling policy."""

    study: Study
    open_associations: int
    last_association_closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class StudyQuery:
    """QIDO-RS and C-FIND matching at study level (PS3.4 C.2.2.2); empty fields match everything.

    Text takes ``*`` and ``?``; Patient Name matches without regard to case; dates and times are single
    values or ranges ``a-b``, ``a-``, ``-b``.
    """

    study_instance_uids: tuple[str, ...] = ()
    patient_id: str = ""
    issuer_of_patient_id: str = ""
    patient_name: str = ""
    patient_birth_date: str = ""
    patient_sex: str = ""
    accession_number: str = ""
    study_id: str = ""
    study_date: str = ""
    study_time: str = ""
    study_description: str = ""
    referring_physician_name: str = ""
    modalities_in_study: tuple[str, ...] = ()
    limit: int = 100
    offset: int = 0


@dataclass(frozen=True, slots=True)
class SeriesQuery:
    """QIDO-RS matching at series level."""

    study_instance_uid: str = ""
    series_instance_uids: tuple[str, ...] = ()
    modality: str = ""
    series_number: int | None = None
    series_description: str = ""
    body_part_examined: str = ""
    limit: int = 1000
    offset: int = 0


@dataclass(frozen=True, slots=True)
class InstanceQuery:
    """QIDO-RS matching at instance level."""

    study_instance_uid: str = ""
    series_instance_uid: str = ""
    sop_instance_uids: tuple[str, ...] = ()
    sop_class_uids: tuple[str, ...] = ()
    instance_number: int | None = None
    limit: int = 1000
    offset: int = 0


@dataclass(frozen=True, slots=True)
class WorklistQuery:
    """What part of the worklist to show; empty fields show everything."""

    text: str = ""
    """Part of a name, patient ID, accession number or description."""
    outcome: Outcome | None = None
    reader_id: str | None = None
    modality: str | None = None
    since: datetime | None = None
    """Only studies whose last image came at or after this moment."""
    limit: int = 100
    offset: int = 0


@dataclass(frozen=True, slots=True)
class WorklistRow:
    """One study on the worklist with what every reader said of it."""

    study: Study
    outcomes: tuple[ReaderOutcome, ...]
    urgent: bool
    verdicts: int
    flags: tuple[str, ...]
    """``two_patients``, ``conflicts``; empty for most."""


@dataclass(frozen=True, slots=True)
class User:
    """One account; ``password_hash`` is what the web front made of the password, never the password."""

    name: str
    password_hash: str
    role: str
    disabled: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """One login. The store knows only the hash of its secret."""

    token_hash: str
    user: str
    created_at: datetime
    expires_at: datetime
    address: str = ""


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A key for programs. The store knows only the hash of its secret."""

    token_id: int
    user: str
    label: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the append-only audit trail: who did or saw what, from where."""

    entry_id: int
    at: datetime
    user: str
    action: str
    target: str
    address: str
    detail: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """An object that was kept aside because it contradicts what is stored."""

    conflict_id: int
    study_instance_uid: str
    sop_instance_uid: str
    path: str
    sha256: str
    reason: str
    detail: str
    at: datetime
    origin: Origin


@dataclass(frozen=True, slots=True)
class Unread:
    """An accepted routing decision without a finished reading: what the completeness report lists."""

    study_instance_uid: str
    generation: int
    reader_id: str
    decided_at: datetime
    work_state: str


@dataclass(frozen=True, slots=True)
class TrashedStudy:
    """A removed study that can still be brought back."""

    study_instance_uid: str
    accession_number: str
    instance_count: int
    purged_at: datetime
    """When it will be gone for good."""


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What one run of the retention rule did."""

    trashed: tuple[str, ...] = ()
    kept_unfinished: int = 0
    """Old enough, but with unfinished work or undelivered results: never removed."""
    purged: tuple[str, ...] = ()
