"""The first schema, as it was: later changes of ``schema.py`` come in later files, never here."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

EXACT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NOT_NULL = sa.text("trashed_at IS NOT NULL")


def upgrade() -> None:
    """Create all tables and the guards of the append-only ones."""
    _create_studies()
    _create_study_parts()
    _create_kept_aside()
    _create_work()
    _create_endings()
    _create_results()
    _create_verdicts()
    _create_people()
    _create_trails()
    for table in ("history", "audit"):
        _guard(table)


def _create_studies() -> None:
    """The index of studies."""
    op.create_table(
        "studies",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("study_uid", EXACT, server_default="", nullable=False),
        sa.Column("patient_id", EXACT, server_default="", nullable=False),
        sa.Column("issuer_of_patient_id", EXACT, server_default="", nullable=False),
        sa.Column("patient_name", EXACT, server_default="", nullable=False),
        sa.Column("patient_name_folded", EXACT, server_default="", nullable=False),
        sa.Column("patient_birth_date", EXACT, server_default="", nullable=False),
        sa.Column("patient_sex", EXACT, server_default="", nullable=False),
        sa.Column("accession_number", EXACT, server_default="", nullable=False),
        sa.Column("study_id", EXACT, server_default="", nullable=False),
        sa.Column("study_date", EXACT, server_default="", nullable=False),
        sa.Column("study_time", EXACT, server_default="", nullable=False),
        sa.Column("study_description", EXACT, server_default="", nullable=False),
        sa.Column("referring_physician_name", EXACT, server_default="", nullable=False),
        sa.Column("referring_folded", EXACT, server_default="", nullable=False),
        sa.Column("search_text", EXACT, server_default="", nullable=False),
        sa.Column("modalities", EXACT, server_default="", nullable=False),
        sa.Column("series_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("instance_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", EXACT, server_default="", nullable=False),
        sa.Column("settled_reason", EXACT, nullable=True),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("first_received_at", sa.BigInteger(), nullable=False),
        sa.Column("last_received_at", sa.BigInteger(), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.Column("stat", sa.Boolean(), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("urgent_unread", sa.Boolean(), nullable=False),
        sa.Column("two_patients", sa.Boolean(), nullable=False),
        sa.Column("conflict_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("duplicate_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("trashed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("study_uid"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_studies_accession", "studies", ["accession_number"], unique=False)
    op.create_index("ix_studies_birth", "studies", ["patient_birth_date"], unique=False)
    op.create_index("ix_studies_date", "studies", ["study_date", "id"], unique=False)
    op.create_index("ix_studies_description", "studies", ["study_description"], unique=False)
    op.create_index("ix_studies_name", "studies", ["patient_name_folded"], unique=False)
    op.create_index("ix_studies_patient_id", "studies", ["patient_id"], unique=False)
    op.create_index("ix_studies_received", "studies", ["last_received_at"], unique=False)
    op.create_index("ix_studies_referring", "studies", ["referring_folded"], unique=False)
    op.create_index("ix_studies_search", "studies", ["search_text"], unique=False)
    op.create_index("ix_studies_state", "studies", ["state", "last_received_at"], unique=False)
    op.create_index("ix_studies_study_id", "studies", ["study_id"], unique=False)
    op.create_index(
        "ix_studies_trashed", "studies", ["trashed_at"], unique=False, sqlite_where=NOT_NULL, postgresql_where=NOT_NULL
    )
    op.create_index("ix_studies_worklist", "studies", ["urgent_unread", "stat", "last_received_at", "id"], unique=False)


def _create_study_parts() -> None:
    """Modalities and series of studies."""
    op.create_table(
        "study_modalities",
        sa.Column("modality", EXACT, nullable=False),
        sa.Column("study_date", EXACT, nullable=False),
        sa.Column("study_key", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["study_key"],
            ["studies.id"],
        ),
        sa.PrimaryKeyConstraint("modality", "study_date", "study_key"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_study_modalities_study", "study_modalities", ["study_key"], unique=False)
    op.create_table(
        "series",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("study_uid", EXACT, server_default="", nullable=False),
        sa.Column("series_uid", EXACT, server_default="", nullable=False),
        sa.Column("modality", EXACT, server_default="", nullable=False),
        sa.Column("series_number", sa.BigInteger(), nullable=True),
        sa.Column("series_description", EXACT, server_default="", nullable=False),
        sa.Column("body_part_examined", EXACT, server_default="", nullable=False),
        sa.Column("instance_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("own", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("study_uid", "series_uid"),
    )
    op.create_index("ix_series_uid", "series", ["series_uid"], unique=False)
    op.create_table(
        "instances",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("sop_uid", EXACT, server_default="", nullable=False),
        sa.Column("study_uid", EXACT, server_default="", nullable=False),
        sa.Column("series_uid", EXACT, server_default="", nullable=False),
        sa.Column("sop_class_uid", EXACT, server_default="", nullable=False),
        sa.Column("instance_number", sa.BigInteger(), nullable=True),
        sa.Column("header", sa.Text(), nullable=False),
        sa.Column("path", EXACT, server_default="", nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", EXACT, server_default="", nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("door", EXACT, server_default="", nullable=False),
        sa.Column("peer", EXACT, server_default="", nullable=False),
        sa.Column("address", EXACT, server_default="", nullable=False),
        sa.Column("association_id", EXACT, server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sop_uid"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_instances_series", "instances", ["study_uid", "series_uid"], unique=False)


def _create_kept_aside() -> None:
    """What was kept aside, and who is connected."""
    op.create_table(
        "conflicts",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("study_uid", EXACT, server_default="", nullable=False),
        sa.Column("sop_uid", EXACT, server_default="", nullable=False),
        sa.Column("path", EXACT, server_default="", nullable=False),
        sa.Column("sha256", EXACT, server_default="", nullable=False),
        sa.Column("reason", EXACT, server_default="", nullable=False),
        sa.Column("detail", EXACT, server_default="", nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("study_uid", "sop_uid", "sha256"),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("path", EXACT, server_default="", nullable=False),
        sa.Column("reason", EXACT, server_default="", nullable=False),
        sa.Column("detail", EXACT, server_default="", nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("path"),
    )
    op.create_table(
        "associations",
        sa.Column("association_id", EXACT, nullable=False),
        sa.Column("peer", EXACT, server_default="", nullable=False),
        sa.Column("address", EXACT, server_default="", nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("active_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("association_id"),
    )
    op.create_index("ix_associations_closed", "associations", ["closed_at"], unique=False)
    op.create_table(
        "association_studies",
        sa.Column("study_uid", EXACT, nullable=False),
        sa.Column("association_id", EXACT, nullable=False),
        sa.PrimaryKeyConstraint("study_uid", "association_id"),
    )


def _create_work() -> None:
    """Decisions and work."""
    op.create_table(
        "decisions",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("study_uid", EXACT, server_default="", nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("reader_id", EXACT, server_default="", nullable=False),
        sa.Column("reader_version", EXACT, server_default="", nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("sop_uids", sa.Text(), nullable=False),
        sa.Column("reason", EXACT, nullable=True),
        sa.Column("reason_detail", EXACT, server_default="", nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("study_uid", "generation", "reader_id"),
    )
    op.create_index("ix_decisions_decided", "decisions", ["accepted", "decided_at"], unique=False)
    op.create_table(
        "work",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("study_uid", EXACT, server_default="", nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("reader_id", EXACT, server_default="", nullable=False),
        sa.Column("reader_version", EXACT, server_default="", nullable=False),
        sa.Column("sop_uids", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", EXACT, server_default="", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", EXACT, server_default="", nullable=False),
        sa.Column("lease_expires_at", sa.BigInteger(), nullable=True),
        sa.Column("not_before", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("study_uid", "generation", "reader_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_work_queue", "work", ["state", "priority", "created_at"], unique=False)


def _create_endings() -> None:
    """Readings and how they stand on the worklist."""
    op.create_table(
        "readings",
        sa.Column("work_id", KEY, autoincrement=False, nullable=False),
        sa.Column("outcome", EXACT, server_default="", nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("arrays_path", EXACT, server_default="", nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["work_id"],
            ["work.id"],
        ),
        sa.PrimaryKeyConstraint("work_id"),
    )
    op.create_table(
        "outcomes",
        sa.Column("study_uid", EXACT, nullable=False),
        sa.Column("reader_id", EXACT, nullable=False),
        sa.Column("reader_version", EXACT, server_default="", nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("outcome", EXACT, nullable=True),
        sa.Column("reason", EXACT, nullable=True),
        sa.Column("reason_detail", EXACT, server_default="", nullable=False),
        sa.Column("headline", EXACT, server_default="", nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("work_id", KEY, nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("study_uid", "reader_id"),
    )
    op.create_index("ix_outcomes_outcome", "outcomes", ["outcome", "study_uid"], unique=False)


def _create_results() -> None:
    """Evidence and deliveries."""
    op.create_table(
        "evidence",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("work_id", KEY, nullable=False),
        sa.Column("kind", EXACT, server_default="", nullable=False),
        sa.Column("sop_class_uid", EXACT, server_default="", nullable=False),
        sa.Column("sop_uid", EXACT, server_default="", nullable=False),
        sa.Column("series_uid", EXACT, server_default="", nullable=False),
        sa.Column("study_uid", EXACT, server_default="", nullable=False),
        sa.Column("path", EXACT, server_default="", nullable=False),
        sa.Column("sha256", EXACT, server_default="", nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("proof", EXACT, server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["work_id"],
            ["work.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sop_uid"),
    )
    op.create_index("ix_evidence_study", "evidence", ["study_uid"], unique=False)
    op.create_index("ix_evidence_work", "evidence", ["work_id"], unique=False)
    op.create_table(
        "deliveries",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("evidence_id", KEY, nullable=False),
        sa.Column("study_uid", EXACT, server_default="", nullable=False),
        sa.Column("destination", EXACT, server_default="", nullable=False),
        sa.Column("state", EXACT, server_default="", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("last_error", EXACT, server_default="", nullable=False),
        sa.Column("lease_owner", EXACT, server_default="", nullable=False),
        sa.Column("lease_expires_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["evidence_id"],
            ["evidence.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("evidence_id", "destination"),
    )
    op.create_index("ix_deliveries_queue", "deliveries", ["destination", "state", "id"], unique=False)
    op.create_index("ix_deliveries_study", "deliveries", ["study_uid"], unique=False)


def _create_verdicts() -> None:
    """What radiologists said."""
    op.create_table(
        "verdicts",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("work_id", KEY, nullable=False),
        sa.Column("study_uid", EXACT, server_default="", nullable=False),
        sa.Column("finding_key", EXACT, server_default="", nullable=False),
        sa.Column("kind", EXACT, server_default="", nullable=False),
        sa.Column("user_name", EXACT, server_default="", nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("corrected_presence", EXACT, server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["work_id"],
            ["work.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_verdicts_study", "verdicts", ["study_uid"], unique=False)


def _create_people() -> None:
    """Accounts, logins and keys."""
    op.create_table(
        "users",
        sa.Column("name", EXACT, nullable=False),
        sa.Column("password_hash", EXACT, server_default="", nullable=False),
        sa.Column("role", EXACT, server_default="", nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", EXACT, nullable=False),
        sa.Column("user_name", EXACT, server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("address", EXACT, server_default="", nullable=False),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    op.create_index("ix_sessions_user", "sessions", ["user_name"], unique=False)
    op.create_table(
        "api_tokens",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("token_hash", EXACT, server_default="", nullable=False),
        sa.Column("user_name", EXACT, server_default="", nullable=False),
        sa.Column("label", EXACT, server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token_hash"),
    )


def _create_trails() -> None:
    """The append-only tables."""
    op.create_table(
        "history",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("study_uid", EXACT, server_default="", nullable=False),
        sa.Column("event", EXACT, server_default="", nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("actor", EXACT, server_default="", nullable=False),
        sa.Column("work_id", KEY, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_history_study", "history", ["study_uid", "id"], unique=False)
    op.create_table(
        "audit",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("user_name", EXACT, server_default="", nullable=False),
        sa.Column("action", EXACT, server_default="", nullable=False),
        sa.Column("target", EXACT, server_default="", nullable=False),
        sa.Column("address", EXACT, server_default="", nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )


def _guard(table: str) -> None:
    """Let the database itself refuse to change or remove rows."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_guard() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_guard()"
    )
