"""The tables of the index. Times are whole microseconds since 1970 UTC; UIDs and codes compare byte by byte."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator

REVISION = "0002"
"""The Alembic revision that this code needs."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class UtcTime(TypeDecorator[datetime]):
    """A moment, stored as whole microseconds: sorts, compares and indexes the same on every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """Turn an aware datetime into microseconds."""
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Turn microseconds into an aware datetime."""
        return None if value is None else _EPOCH + timedelta(microseconds=value)


metadata = MetaData()
Exact = String().with_variant(String(collation="C"), "postgresql")
"""Text in byte order on PostgreSQL too, so that prefix ranges use the index whatever the server's locale."""
Key = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up only INTEGER PRIMARY KEY columns."""


def _text(name: str, **more: Any) -> Column[str]:
    return Column(name, Exact, nullable=False, server_default="", **more)


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean(create_constraint=False), nullable=False, default=False)


def _key(name: str) -> Column[int]:
    return Column(name, Key, primary_key=True, autoincrement=True)


studies = Table(
    "studies",
    metadata,
    _key("id"),
    _text("study_uid", unique=True),
    _text("patient_id"),
    _text("issuer_of_patient_id"),
    _text("patient_name"),
    _text("patient_name_folded"),
    _text("patient_birth_date"),
    _text("patient_sex"),
    _text("accession_number"),
    _text("study_id"),
    _text("study_date"),
    _text("study_time"),
    _text("study_description"),
    _text("referring_physician_name"),
    _text("referring_folded"),
    _text("search_text"),
    _text("modalities"),
    _count("series_count"),
    _count("instance_count"),
    _text("state"),
    Column("settled_reason", Exact),
    _count("generation"),
    Column("first_received_at", UtcTime, nullable=False),
    Column("last_received_at", UtcTime, nullable=False),
    Column("settled_at", UtcTime),
    _flag("stat"),
    _flag("urgent"),
    _flag("urgent_unread"),
    _flag("two_patients"),
    _count("conflict_count"),
    _count("duplicate_count"),
    Column("trashed_at", UtcTime),
    sqlite_autoincrement=True,
)
Index("ix_studies_date", studies.c.study_date, studies.c.id)
Index("ix_studies_patient_id", studies.c.patient_id)
Index("ix_studies_accession", studies.c.accession_number)
Index("ix_studies_study_id", studies.c.study_id)
Index("ix_studies_name", studies.c.patient_name_folded)
Index("ix_studies_description", studies.c.study_description)
Index("ix_studies_search", studies.c.search_text)
Index("ix_studies_birth", studies.c.patient_birth_date)
Index("ix_studies_referring", studies.c.referring_folded)
Index("ix_studies_state", studies.c.state, studies.c.last_received_at)
Index("ix_studies_worklist", studies.c.urgent_unread, studies.c.stat, studies.c.last_received_at, studies.c.id)
Index("ix_studies_received", studies.c.last_received_at)
_in_trash = studies.c.trashed_at.is_not(None)
Index("ix_studies_trashed", studies.c.trashed_at, sqlite_where=_in_trash, postgresql_where=_in_trash)
"""Partial: as a full index it would tempt the planner, because every query asks for "not in the trash"."""

study_modalities = Table(
    "study_modalities",
    metadata,
    Column("modality", Exact, primary_key=True),
    Column("study_date", Exact, primary_key=True),
    Column("study_key", Key, ForeignKey("studies.id"), primary_key=True),
    sqlite_with_rowid=False,
)
Index("ix_study_modalities_study", study_modalities.c.study_key)

series = Table(
    "series",
    metadata,
    _key("id"),
    _text("study_uid"),
    _text("series_uid"),
    _text("modality"),
    Column("series_number", BigInteger),
    _text("series_description"),
    _text("body_part_examined"),
    _count("instance_count"),
    _flag("own"),
    UniqueConstraint("study_uid", "series_uid"),
)
Index("ix_series_uid", series.c.series_uid)

instances = Table(
    "instances",
    metadata,
    _key("id"),
    _text("sop_uid", unique=True),
    _text("study_uid"),
    _text("series_uid"),
    _text("sop_class_uid"),
    Column("instance_number", BigInteger),
    Column("header", Text, nullable=False),
    _text("path"),
    Column("size", BigInteger, nullable=False),
    _text("sha256"),
    Column("received_at", UtcTime, nullable=False),
    _text("door"),
    _text("peer"),
    _text("address"),
    _text("association_id"),
    sqlite_autoincrement=True,
)
Index("ix_instances_series", instances.c.study_uid, instances.c.series_uid)

conflicts = Table(
    "conflicts",
    metadata,
    _key("id"),
    _text("study_uid"),
    _text("sop_uid"),
    _text("path"),
    _text("sha256"),
    _text("reason"),
    _text("detail"),
    Column("at", UtcTime, nullable=False),
    Column("origin", Text, nullable=False),
    UniqueConstraint("study_uid", "sop_uid", "sha256"),
)

quarantine = Table(
    "quarantine",
    metadata,
    _key("id"),
    _text("path", unique=True),
    _text("reason"),
    _text("detail"),
    Column("at", UtcTime, nullable=False),
    Column("origin", Text, nullable=False),
)

associations = Table(
    "associations",
    metadata,
    Column("association_id", Exact, primary_key=True),
    _text("peer"),
    _text("address"),
    Column("opened_at", UtcTime, nullable=False),
    Column("active_at", UtcTime, nullable=False),
    Column("closed_at", UtcTime),
)
Index("ix_associations_closed", associations.c.closed_at)

association_studies = Table(
    "association_studies",
    metadata,
    Column("study_uid", Exact, primary_key=True),
    Column("association_id", Exact, primary_key=True),
)

decisions = Table(
    "decisions",
    metadata,
    _key("id"),
    _text("study_uid"),
    Column("generation", Integer, nullable=False),
    _text("reader_id"),
    _text("reader_version"),
    _flag("accepted"),
    Column("sop_uids", Text, nullable=False),
    Column("reason", Exact),
    _text("reason_detail"),
    Column("decided_at", UtcTime, nullable=False),
    UniqueConstraint("study_uid", "generation", "reader_id"),
)
Index("ix_decisions_decided", decisions.c.accepted, decisions.c.decided_at)

work = Table(
    "work",
    metadata,
    _key("id"),
    _text("study_uid"),
    Column("generation", Integer, nullable=False),
    _text("reader_id"),
    _text("reader_version"),
    Column("sop_uids", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    _text("state"),
    _count("attempts"),
    Column("created_at", UtcTime, nullable=False),
    _text("lease_owner"),
    Column("lease_expires_at", UtcTime),
    Column("not_before", UtcTime),
    UniqueConstraint("study_uid", "generation", "reader_id"),
    sqlite_autoincrement=True,
)
Index("ix_work_queue", work.c.state, work.c.priority, work.c.created_at)

readings = Table(
    "readings",
    metadata,
    Column("work_id", Key, ForeignKey("work.id"), primary_key=True, autoincrement=False),
    _text("outcome"),
    Column("document", Text, nullable=False),
    _text("arrays_path"),
    Column("finished_at", UtcTime, nullable=False),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("study_uid", Exact, primary_key=True),
    Column("reader_id", Exact, primary_key=True),
    _text("reader_version"),
    Column("generation", Integer, nullable=False),
    Column("outcome", Exact),
    Column("reason", Exact),
    _text("reason_detail"),
    _text("headline"),
    _flag("urgent"),
    Column("work_id", Key),
    Column("finished_at", UtcTime),
)
Index("ix_outcomes_outcome", outcomes.c.outcome, outcomes.c.study_uid)

evidence = Table(
    "evidence",
    metadata,
    _key("id"),
    Column("work_id", Key, ForeignKey("work.id"), nullable=False),
    _text("kind"),
    _text("sop_class_uid"),
    _text("sop_uid", unique=True),
    _text("series_uid"),
    _text("study_uid"),
    _text("path"),
    _text("sha256"),
    Column("size", BigInteger, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    _text("proof"),
)
Index("ix_evidence_study", evidence.c.study_uid)
Index("ix_evidence_work", evidence.c.work_id)

deliveries = Table(
    "deliveries",
    metadata,
    _key("id"),
    Column("evidence_id", Key, ForeignKey("evidence.id"), nullable=False),
    _text("study_uid"),
    _text("destination"),
    _text("state"),
    _count("attempts"),
    Column("created_at", UtcTime, nullable=False),
    Column("next_attempt_at", UtcTime),
    Column("finished_at", UtcTime),
    _text("last_error"),
    _text("lease_owner"),
    Column("lease_expires_at", UtcTime),
    UniqueConstraint("evidence_id", "destination"),
)
Index("ix_deliveries_queue", deliveries.c.destination, deliveries.c.state, deliveries.c.id)
Index("ix_deliveries_study", deliveries.c.study_uid)

verdicts = Table(
    "verdicts",
    metadata,
    _key("id"),
    Column("work_id", Key, ForeignKey("work.id"), nullable=False),
    _text("study_uid"),
    _text("finding_key"),
    _text("kind"),
    _text("user_name"),
    Column("comment", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    _text("corrected_presence"),
)
Index("ix_verdicts_study", verdicts.c.study_uid)

corrections = Table(
    "corrections",
    metadata,
    _key("id"),
    Column("work_id", Key, ForeignKey("work.id"), nullable=False),
    _text("study_uid"),
    Column("version", Integer, nullable=False),
    _text("user_name"),
    Column("reason", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("what", Text, nullable=False),
    Column("value_before", Text, nullable=False),
    Column("value_after", Text, nullable=False),
    _count("same_as"),
    Column("document", Text, nullable=False),
    _text("arrays_path"),
    UniqueConstraint("work_id", "version"),
)
Index("ix_corrections_study", corrections.c.study_uid)

users = Table(
    "users",
    metadata,
    Column("name", Exact, primary_key=True),
    _text("password_hash"),
    _text("role"),
    _flag("disabled"),
    Column("created_at", UtcTime, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", Exact, primary_key=True),
    _text("user_name"),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    _text("address"),
)
Index("ix_sessions_user", sessions.c.user_name)

api_tokens = Table(
    "api_tokens",
    metadata,
    _key("id"),
    _text("token_hash", unique=True),
    _text("user_name"),
    _text("label"),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime),
    Column("last_used_at", UtcTime),
)

history = Table(
    "history",
    metadata,
    _key("id"),
    Column("at", UtcTime, nullable=False),
    _text("study_uid"),
    _text("event"),
    Column("detail", Text, nullable=False),
    _text("actor"),
    Column("work_id", Key),
    sqlite_autoincrement=True,
)
Index("ix_history_study", history.c.study_uid, history.c.id)

audit = Table(
    "audit",
    metadata,
    _key("id"),
    Column("at", UtcTime, nullable=False),
    _text("user_name"),
    _text("action"),
    _text("target"),
    _text("address"),
    Column("detail", Text, nullable=False),
    sqlite_autoincrement=True,
)

APPEND_ONLY = ("history", "audit")
"""Tables whose rows the database itself refuses to change or remove."""
