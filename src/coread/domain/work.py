"""Work items, routing decisions, evidence, deliveries, verdicts: the rows that hand work from room to room."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum

from coread.domain.reasons import Reason
from coread.domain.results import Outcome


class Priority(IntEnum):
    """Order of work; lower is sooner (values of DICOM UPS Scheduled Procedure Step Priority)."""

    STAT = 0
    HIGH = 1
    MEDIUM = 2
    LOW = 3


class WorkState(StrEnum):
    """UPS states (PS3.4 CC.1.1); the moves are in ``states.py``."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """For every study (per generation) and every reader: accepted with series, or declined with a reason."""

    study_instance_uid: str
    generation: int
    reader_id: str
    reader_version: str
    accepted: bool
    sop_instance_uids: tuple[str, ...] = ()
    """The instances that the reader will be given."""
    reason: Reason | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One reader to run over one study."""

    work_id: int
    study_instance_uid: str
    generation: int
    reader_id: str
    reader_version: str
    sop_instance_uids: tuple[str, ...]
    priority: Priority
    state: WorkState
    attempts: int
    created_at: datetime
    lease_owner: str = ""
    lease_expires_at: datetime | None = None
    not_before: datetime | None = None


class EvidenceKind(StrEnum):
    """The standard objects that a result leaves as."""

    SR = "SR"
    SEG = "SEG"
    SECONDARY_CAPTURE = "SC"
    KEY_OBJECT = "KOS"
    PDF = "PDF"
    """The summary page as an encapsulated document."""
    OVERLAY = "OVERLAY"
    """The source slices in colour with the outlines burnt in; made only for destinations that ask for it."""
    PARAMETRIC_MAP = "PM"
    DERIVED_IMAGES = "IMG"
    """Slices of a series that was computed, e.g. reconstructed from raw data."""
    PROBABILITY = "PROB"
    """Probabilities of regions as fractional Segmentation; made only for destinations that ask for it: few viewers
    show them, and they are eight times as large as outlines."""


DEFAULT_KINDS = tuple(kind for kind in EvidenceKind if kind not in (EvidenceKind.OVERLAY, EvidenceKind.PROBABILITY))
"""What a destination takes when nothing is said: marks burnt into copies of images, and probabilities, only where they
are wanted."""


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """One proved, stored DICOM object that stands for (part of) a result."""

    evidence_id: int
    work_id: int
    kind: EvidenceKind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    path: str
    sha256: str
    size: int
    created_at: datetime
    proof: str = ""
    """What proved it, e.g. ``pydicom, highdicom, dciodvfy 0 errors``."""


class DeliveryProtocol(StrEnum):
    """How a destination takes objects."""

    C_STORE = "c-store"
    STOW_RS = "stow-rs"


@dataclass(frozen=True, slots=True)
class Destination:
    """A peer that results are sent to, with its own time-out and retry budget."""

    name: str
    protocol: DeliveryProtocol
    address: str
    """``host:port`` for C-STORE, base URL for STOW-RS."""
    ae_title: str = ""
    enabled: bool = True
    kinds: tuple[EvidenceKind, ...] = DEFAULT_KINDS
    storage_commitment: bool = False
    timeout_seconds: float = 30.0
    max_attempts: int = 8
    tls: bool = False


class DeliveryState(StrEnum):
    """States of one object on its way to one destination; the moves are in ``states.py``."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    COMMITTED = "committed"
    DEAD = "dead"
    """Retry budget spent: a dead letter, shown in the UI, sent again on request."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One evidence object for one destination."""

    delivery_id: int
    evidence_id: int
    destination: str
    state: DeliveryState
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None = None
    finished_at: datetime | None = None
    last_error: str = ""


class VerdictKind(StrEnum):
    """What a radiologist said of one finding."""

    ACCEPT = "accept"
    REJECT = "reject"
    EDIT = "edit"
    WITHDRAW = "withdraw"
    """Takes the user's earlier verdict on the finding back; nothing is deleted."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A radiologist's word on one finding; never changes the result, stands beside it."""

    verdict_id: int
    work_id: int
    finding_key: str
    kind: VerdictKind
    user: str
    comment: str
    created_at: datetime
    corrected_presence: str = ""


@dataclass(frozen=True, slots=True)
class ReaderOutcome:
    """How one study stands with one reader, for worklist rows: an outcome, or ``None`` while under way."""

    reader_id: str
    reader_version: str
    outcome: Outcome | None
    reason: Reason | None
    headline: str
    """E.g. ``Pneumothorax (suspected)``; empty while under way."""
    urgent: bool
    work_id: int | None
    finished_at: datetime | None
    stage: str = ""
    """While under way: ``waiting``, ``reading``."""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of the append-only history, written in the same transaction as the change it tells of."""

    entry_id: int
    at: datetime
    study_instance_uid: str
    event: str
    """A dotted name, ``room.what``: e.g. ``receive.stored``, ``route.accepted``, ``engine.started``."""
    detail: str
    actor: str = ""
    work_id: int | None = None


@dataclass(frozen=True, slots=True)
class EncodedObject:
    """One DICOM object as Part 10 bytes, proved and ready to be stored and sent."""

    kind: EvidenceKind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    data: bytes
    proof: str
    series_description: str = ""
    """This and the following only where the object is an image that people leaf through."""
    instance_number: int | None = None
    rows: int | None = None
    columns: int | None = None
