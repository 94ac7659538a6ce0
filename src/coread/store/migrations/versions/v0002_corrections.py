"""Corrected versions of results."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

EXACT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "corrections",
        sa.Column("id", KEY, autoincrement=True, nullable=False),
        sa.Column("work_id", KEY, nullable=False),
        sa.Column("study_uid", EXACT, server_default="", nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("user_name", EXACT, server_default="", nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("value_before", sa.Text(), nullable=False),
        sa.Column("value_after", sa.Text(), nullable=False),
        sa.Column("same_as", sa.Integer(), server_default="0", nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("arrays_path", EXACT, server_default="", nullable=False),
        sa.ForeignKeyConstraint(["work_id"], ["work.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("work_id", "version"),
    )
    op.create_index("ix_corrections_study", "corrections", ["study_uid"], unique=False)
