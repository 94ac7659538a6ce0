"""The documents of the JSON API. Their names are stable; every answer says that this is research use."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from coread.app.verdicts import standing_verdicts
from coread.app.web.context import CheckLevel, DestinationState, HealthCheck
from coread.app.web.rendering import RESEARCH_USE
from coread.app.why import ReaderStory, SentObject, Stage, Story
from coread.domain.cards import Estimate, OperatingPoint, OutputSpec
from coread.domain.corrections import Correction
from coread.domain.findings import Finding, Presence
from coread.domain.results import Outcome, ReadResult
from coread.domain.study import Study, StudyState
from coread.domain.work import (
    Delivery,
    DeliveryState,
    Destination,
    EvidenceKind,
    HistoryEntry,
    ReaderOutcome,
    Verdict,
    VerdictKind,
)
from coread.readers.registry import InstalledReader
from coread.store import WorklistRow


class Document(BaseModel):
    """Base of all documents: built from records, never changed."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class Answer(Document):
    """Base of all answers."""

    notice: str = RESEARCH_USE


class ReasonDocument(Document):
    """A coded reason of scheme 99COREAD, with its meaning and what was seen."""

    code: str
    text: str


class StudyDocument(Document):
    """A study as the worklist shows it."""

    study_instance_uid: str
    patient_name: str
    patient_id: str
    patient_birth_date: str
    patient_sex: str
    accession_number: str
    study_date: str
    study_time: str
    study_description: str
    modalities: tuple[str, ...]
    series_count: int
    instance_count: int
    state: StudyState
    generation: int
    stat: bool
    first_received_at: datetime
    last_received_at: datetime
    settled_at: datetime | None


class OutcomeDocument(Document):
    """How a study stands with one reader; ``outcome`` is empty while it is under way."""

    reader_id: str
    reader_version: str
    outcome: Outcome | None
    reason: ReasonDocument | None
    headline: str
    urgent: bool
    work_id: int | None
    finished_at: datetime | None
    stage: str

    @classmethod
    def of(cls, record: ReaderOutcome) -> "OutcomeDocument":
        """Return the document of a record."""
        reason = record.reason
        coded = ReasonDocument(code=reason.code.value, text=reason.text()) if reason is not None else None
        return cls(
            reader_id=record.reader_id,
            reader_version=record.reader_version,
            outcome=record.outcome,
            reason=coded,
            headline=record.headline,
            urgent=record.urgent,
            work_id=record.work_id,
            finished_at=record.finished_at,
            stage=record.stage,
        )


class WorklistItem(Document):
    """One row of the worklist."""

    study: StudyDocument
    outcomes: tuple[OutcomeDocument, ...]
    urgent: bool
    verdicts: int
    flags: tuple[str, ...]

    @classmethod
    def of(cls, row: WorklistRow) -> "WorklistItem":
        """Return the document of a row."""
        return cls(
            study=study_document(row.study),
            outcomes=tuple(OutcomeDocument.of(item) for item in row.outcomes),
            urgent=row.urgent,
            verdicts=row.verdicts,
            flags=row.flags,
        )


class WorklistAnswer(Answer):
    """Part of the worklist."""

    items: tuple[WorklistItem, ...]
    more: bool
    change_token: int


class FindingDocument(Document):
    """One finding: a probability never stands without its threshold and operating point."""

    key: str
    code: str
    scheme: str
    meaning: str
    presence: Presence
    probability: float | None
    threshold: float | None
    operating_point: str
    urgent: bool

    @classmethod
    def of(cls, finding: Finding) -> "FindingDocument":
        """Return the document of a record."""
        return cls(
            key=finding.key,
            code=finding.concept.value,
            scheme=finding.concept.scheme,
            meaning=finding.concept.meaning,
            presence=finding.presence,
            probability=finding.probability,
            threshold=finding.threshold,
            operating_point=finding.operating_point,
            urgent=finding.urgent,
        )


class DeliveryDocument(Document):
    """One object on its way to one destination."""

    delivery_id: int
    destination: str
    state: DeliveryState
    attempts: int
    created_at: datetime
    finished_at: datetime | None
    last_error: str

    @classmethod
    def of(cls, record: Delivery) -> "DeliveryDocument":
        """Return the document of a record."""
        return cls.model_validate(record)


class ObjectDocument(Document):
    """One result object."""

    kind: EvidenceKind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    size: int
    sha256: str
    created_at: datetime
    proof: str
    deliveries: tuple[DeliveryDocument, ...]

    @classmethod
    def of(cls, sent: SentObject) -> "ObjectDocument":
        """Return the document of a record."""
        record = sent.evidence
        return cls(
            kind=record.kind,
            sop_class_uid=record.sop_class_uid,
            sop_instance_uid=record.sop_instance_uid,
            series_instance_uid=record.series_instance_uid,
            size=record.size,
            sha256=record.sha256,
            created_at=record.created_at,
            proof=record.proof,
            deliveries=tuple(DeliveryDocument.of(one) for one in sent.deliveries),
        )


class ReaderStoryDocument(Document):
    """What one reader made of the study."""

    reader_id: str
    reader_version: str
    outcome: Outcome | None
    explanation: str
    package_digest: str
    findings: tuple[FindingDocument, ...]
    objects: tuple[ObjectDocument, ...]

    @classmethod
    def of(cls, story: ReaderStory) -> "ReaderStoryDocument":
        """Return the document of a record."""
        ending = story.reading.ending if story.reading is not None else None
        findings = ending.findings if isinstance(ending, ReadResult) else ()
        return cls(
            reader_id=story.reader_id,
            reader_version=story.reader_version,
            outcome=story.outcome,
            explanation=story.explanation,
            package_digest=story.reading.provenance.package_digest if story.reading is not None else "",
            findings=tuple(FindingDocument.of(finding) for finding in findings),
            objects=tuple(ObjectDocument.of(sent) for sent in story.objects),
        )


class StageDocument(Document):
    """One step on the way, with the seconds since the step before."""

    key: str
    name: str
    at: datetime
    seconds: float | None
    detail: str


class HistoryDocument(Document):
    """One line of the history."""

    at: datetime
    event: str
    detail: str
    actor: str


class VerdictDocument(Document):
    """A radiologist's word on a finding."""

    work_id: int
    finding_key: str
    kind: VerdictKind
    user: str
    comment: str
    corrected_presence: str
    created_at: datetime


class CorrectionDocument(Document):
    """A version of a result after the reader's own: who changed what, from what to what, and why."""

    work_id: int
    version: int
    user: str
    reason: str
    created_at: datetime
    what: str
    before: str
    after: str
    same_as: int


class CaseAnswer(Answer):
    """The story of one study: what happened, what did not, and why."""

    study: StudyDocument
    readers: tuple[ReaderStoryDocument, ...]
    earlier: tuple[ReaderStoryDocument, ...]
    stages: tuple[StageDocument, ...]
    verdicts: tuple[VerdictDocument, ...]
    corrections: tuple[CorrectionDocument, ...]
    missing: tuple[str, ...]
    history: tuple[HistoryDocument, ...]
    also: tuple[str, ...]

    @classmethod
    def of(cls, story: Story, corrections: Sequence[Correction] = ()) -> "CaseAnswer":
        """Return the document of a story."""
        return cls(
            study=study_document(story.study),
            readers=tuple(ReaderStoryDocument.of(reader) for reader in story.readers),
            earlier=tuple(ReaderStoryDocument.of(reader) for reader in story.earlier),
            stages=tuple(_stage(stage) for stage in story.stages),
            verdicts=tuple(_verdict(verdict) for verdict in standing_verdicts(story.verdicts).values()),
            corrections=tuple(CorrectionDocument.model_validate(item) for item in corrections),
            missing=story.missing,
            history=tuple(_history(entry) for entry in story.history),
            also=story.also,
        )


class EstimateDocument(Document):
    """A measured number with its 95 % interval and the number of cases."""

    value: float
    low: float
    high: float
    n: int


class PointDocument(Document):
    """A named threshold and what was measured there."""

    name: str
    threshold: float
    rule: str
    sensitivity: EstimateDocument | None
    specificity: EstimateDocument | None
    measured_on: str


class OutputDocument(Document):
    """One finding that a reader reports."""

    key: str
    name: str
    code: str
    scheme: str
    urgent: bool
    auc: EstimateDocument | None
    operating_points: tuple[PointDocument, ...]
    default_operating_point: str

    @classmethod
    def of(cls, spec: OutputSpec) -> "OutputDocument":
        """Return the document of a record."""
        return cls(
            key=spec.key,
            name=spec.name,
            code=spec.concept.value,
            scheme=spec.concept.scheme,
            urgent=spec.urgent,
            auc=_estimate(spec.auc),
            operating_points=tuple(_point(point) for point in spec.operating_points),
            default_operating_point=spec.default_operating_point,
        )


class ReaderDocument(Document):
    """One installed reader."""

    reader_id: str
    name: str
    version: str
    kind: str
    intended_use: str
    not_for: str
    limits: tuple[str, ...]
    package_digest: str
    outputs: tuple[OutputDocument, ...]

    @classmethod
    def of(cls, reader: InstalledReader) -> "ReaderDocument":
        """Return the document of a record."""
        card = reader.card
        return cls(
            reader_id=card.reader_id,
            name=card.name,
            version=card.version,
            kind=card.kind.value,
            intended_use=card.intended_use,
            not_for=card.not_for,
            limits=card.limits,
            package_digest=reader.package_digest,
            outputs=tuple(OutputDocument.of(output) for output in card.outputs),
        )


class ReadersAnswer(Answer):
    """Every installed reader."""

    readers: tuple[ReaderDocument, ...]


class DestinationDocument(Document):
    """One destination with its queue."""

    name: str
    protocol: str
    address: str
    ae_title: str
    enabled: bool
    breaker: str
    detail: str
    counts: dict[str, int]

    @classmethod
    def of(cls, one: Destination, state: DestinationState, counts: dict[str, int]) -> "DestinationDocument":
        """Return the document of a destination and its state."""
        return cls(
            name=one.name,
            protocol=one.protocol.value,
            address=one.address,
            ae_title=one.ae_title,
            enabled=one.enabled,
            breaker=state.breaker,
            detail=state.detail,
            counts=counts,
        )


class DestinationsAnswer(Answer):
    """Every destination and all dead letters."""

    destinations: tuple[DestinationDocument, ...]
    dead_letters: tuple[DeliveryDocument, ...]


class CheckDocument(Document):
    """One health check."""

    name: str
    level: CheckLevel
    detail: str
    mend: str


class HealthAnswer(Answer):
    """Whether the system works."""

    level: CheckLevel
    version: str
    checks: tuple[CheckDocument, ...]
    disk: str
    free_bytes: int
    studies_last_day: int
    outcomes_last_day: dict[str, int]


def study_document(study: Study) -> StudyDocument:
    """Return the document of a study."""
    return StudyDocument.model_validate(study)


def check_document(check: HealthCheck) -> CheckDocument:
    """Return the document of a check."""
    return CheckDocument.model_validate(check)


def _stage(stage: Stage) -> StageDocument:
    return StageDocument.model_validate(stage)


def _history(entry: HistoryEntry) -> HistoryDocument:
    return HistoryDocument.model_validate(entry)


def _verdict(verdict: Verdict) -> VerdictDocument:
    return VerdictDocument.model_validate(verdict)


def _estimate(measured: Estimate | None) -> EstimateDocument | None:
    return EstimateDocument.model_validate(measured) if measured is not None else None


def _point(point: OperatingPoint) -> PointDocument:
    return PointDocument.model_validate(point)
