"""The append-only history of every study."""

from sqlalchemy import func, select

from coread.domain.work import HistoryEntry
from coread.store import schema
from coread.store.database import Transaction

_TABLE = schema.history


def entries(tx: Transaction, uid: str) -> tuple[HistoryEntry, ...]:
    """Return the history of a study, oldest first; ``uid=""``: what belongs to no study."""
    rows = tx.run(select(_TABLE).where(_TABLE.c.study_uid == uid).order_by(_TABLE.c.id))
    return tuple(
        HistoryEntry(row.id, row.at, row.study_uid, row.event, row.detail, row.actor, row.work_id) for row in rows
    )


def change_token(tx: Transaction) -> int:
    """Return the number of the newest line: it grows with every change."""
    return int(tx.connection.scalar(select(func.coalesce(func.max(_TABLE.c.id), 0))) or 0)
