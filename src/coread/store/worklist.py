"""The worklist: what needs a radiologist first, in two queries."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, and_, func, or_, select

from coread.domain.reasons import OUT_OF_SCOPE
from coread.domain.results import Outcome
from coread.domain.work import ReaderOutcome, WorkState
from coread.store import schema
from coread.store.database import Transaction
from coread.store.records import Page, WorklistQuery, WorklistRow
from coread.store.rows import reason_record, study_record
from coread.store.studies import flags_of

_ESCAPE = "\\"
_RARE = 500


def worklist(tx: Transaction, query: WorklistQuery) -> Page[WorklistRow]:
    """Return one page: unread urgent findings first, then STAT orders, then the newest."""
    table, verdicts = schema.studies, schema.verdicts
    count = select(func.count()).where(verdicts.c.study_uid == table.c.study_uid).scalar_subquery()
    statement = select(table, count.label("verdict_count")).where(*_conditions(tx, query))
    order = (table.c.urgent_unread.desc(), table.c.stat.desc(), table.c.last_received_at.desc(), table.c.id.desc())
    page = statement.order_by(*order).limit(query.limit + 1).offset(query.offset)
    found = list(tx.run(page))
    shown = found[: query.limit]
    outcomes = outcomes_of(tx, [row.study_uid for row in shown])
    rows = tuple(
        WorklistRow(study_record(row), outcomes.get(row.study_uid, ()), row.urgent, row.verdict_count, flags_of(row))
        for row in shown
    )
    return Page(rows, query.offset, len(found) > query.limit)


def _conditions(tx: Transaction, query: WorklistQuery) -> list[Any]:
    table = schema.studies.c
    where: list[Any] = [table.trashed_at.is_(None), table.instance_count > 0]
    for word in query.text.casefold().split():
        escaped = word.replace(_ESCAPE, _ESCAPE * 2).replace("%", _ESCAPE + "%").replace("_", _ESCAPE + "_")
        inner = schema.studies.alias()  # along the index of this one column: the rows are ten times as long
        found = inner.c.search_text.like(f"%{escaped}%", escape=_ESCAPE)
        where.append(table.id.in_(select(inner.c.id).where(found)))
    if query.modality:
        own = schema.study_modalities.c
        keyed = select(own.study_key).where(own.modality == query.modality, own.study_key == table.id)
        where.append(keyed.where(own.study_date == table.study_date).exists())
    if query.since is not None:
        where.append(table.last_received_at >= query.since)
    if query.outcome is not None or query.reader_id:
        where.append(_with_outcome(tx, query))
    return where


def _with_outcome(tx: Transaction, query: WorklistQuery) -> Any:
    """Match the outcome: a rare one from its own index, a common one while walking the worklist."""
    outcomes = schema.outcomes.c
    if query.outcome is Outcome.NOT_ANALYSED and not query.reader_id:
        return _not_analysed()
    wanted: list[Any] = []
    if query.outcome is not None:
        wanted.append(outcomes.outcome == query.outcome.value)
    if query.reader_id:
        wanted.append(outcomes.reader_id == query.reader_id)
    found = select(outcomes.study_uid).where(*wanted)
    if len(tx.run(found.limit(_RARE + 1)).all()) <= _RARE:
        return schema.studies.c.study_uid.in_(found)
    return found.where(outcomes.study_uid == schema.studies.c.study_uid).exists()


def _not_analysed() -> Any:
    """Match studies that a reader for their kind did not analyse, and those that no reader read at all."""
    own, other = schema.outcomes.c, schema.outcomes.alias().c
    declined = select(own.study_uid).where(
        own.study_uid == schema.studies.c.study_uid, own.outcome == Outcome.NOT_ANALYSED.value
    )
    elsewhere = select(other.study_uid).where(
        other.study_uid == schema.studies.c.study_uid,
        or_(other.outcome.is_(None), other.outcome != Outcome.NOT_ANALYSED.value),
    )
    meant = declined.where(or_(own.reason.is_(None), own.reason.not_in([code.value for code in OUT_OF_SCOPE])))
    return or_(meant.exists(), and_(declined.exists(), ~elsewhere.exists()))


def outcomes_of(tx: Transaction, uids: Sequence[str]) -> dict[str, tuple[ReaderOutcome, ...]]:
    """Return how the newest generation of each study stands with every reader."""
    if not uids:
        return {}
    table, work = schema.outcomes, schema.work
    statement = (
        select(table, work.c.state.label("work_state"))
        .outerjoin(work, work.c.id == table.c.work_id)
        .where(table.c.study_uid.in_(uids))
        .order_by(table.c.reader_id)
    )
    grouped: dict[str, list[ReaderOutcome]] = {}
    for row in tx.run(statement):
        grouped.setdefault(row.study_uid, []).append(_outcome(row))
    return {uid: tuple(items) for uid, items in grouped.items()}


def _outcome(row: Row[Any]) -> ReaderOutcome:
    under_way = row.outcome is None
    stage = ("reading" if row.work_state == WorkState.IN_PROGRESS.value else "waiting") if under_way else ""
    return ReaderOutcome(
        reader_id=row.reader_id,
        reader_version=row.reader_version,
        outcome=None if under_way else Outcome(row.outcome),
        reason=reason_record(row.reason, row.reason_detail),
        headline=row.headline,
        urgent=row.urgent,
        work_id=row.work_id,
        finished_at=row.finished_at,
        stage=stage,
    )
