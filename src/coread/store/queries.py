"""Finding studies, series and instances, as QIDO-RS and C-FIND ask."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Select, select

from coread.domain.study import Instance, Series, Study
from coread.store import matching, schema
from coread.store.database import Transaction
from coread.store.records import InstanceQuery, Page, SeriesQuery, StudyQuery
from coread.store.rows import instance_record, series_record, study_record

_TEXTS = ("patient_id", "issuer_of_patient_id", "patient_sex", "accession_number", "study_id", "study_description")


def find_studies(tx: Transaction, query: StudyQuery) -> Page[Study]:
    """Return one page of matching studies, newest study date first."""
    table, modalities = schema.studies, schema.study_modalities
    where = [table.c.trashed_at.is_(None), *matching.one_of(table.c.study_uid, query.study_instance_uids)]
    for name in _TEXTS:
        where += _text(name, getattr(query, name), matching.text)
    where += _text("patient_name_folded", query.patient_name, matching.name)
    where += _text("referring_folded", query.referring_physician_name, matching.name)
    where += matching.span(table.c.patient_birth_date, query.patient_birth_date)
    where += matching.span(table.c.study_time, query.study_time)
    if len(query.modalities_in_study) == 1:
        # This table repeats the study date: one walk along its key gives the matches in the order of the answer.
        statement = select(table).join(modalities, modalities.c.study_key == table.c.id)
        where += [modalities.c.modality == query.modalities_in_study[0]]
        where += matching.span(modalities.c.study_date, query.study_date)
        order = (modalities.c.study_date.desc(), modalities.c.study_key.desc())
    else:
        statement = select(table)
        where += matching.span(table.c.study_date, query.study_date)
        if query.modalities_in_study:
            any_of = select(modalities.c.study_key).where(modalities.c.modality.in_(query.modalities_in_study))
            where.append(table.c.id.in_(any_of))
        order = (table.c.study_date.desc(), table.c.id.desc())
    rows, more = _page(tx, statement.where(*where).order_by(*order), query.limit, query.offset)
    return Page(tuple(study_record(row) for row in rows), query.offset, more)


def _text(column: str, value: str, match: Callable[[Any, str], list[matching.Condition]]) -> list[matching.Condition]:
    """Match a text column. A pattern without a beginning is looked for along the column's index, not in the rows."""
    if not value.startswith(("*", "?")) or value == "*":
        return match(schema.studies.c[column], value)
    inner = schema.studies.alias()
    return [schema.studies.c.id.in_(select(inner.c.id).where(*match(inner.c[column], value)))]


def find_series(tx: Transaction, query: SeriesQuery) -> Page[Series]:
    """Return one page of matching series, evidence too."""
    table = schema.series
    where = matching.one_of(table.c.series_uid, query.series_instance_uids)
    if query.study_instance_uid:
        where.append(table.c.study_uid == query.study_instance_uid)
    for name in ("modality", "series_description", "body_part_examined"):
        where += matching.text(table.c[name], getattr(query, name))
    if query.series_number is not None:
        where.append(table.c.series_number == query.series_number)
    where.append(~_trashed(table.c.study_uid))
    rows, more = _page(tx, select(table).where(*where).order_by(table.c.id), query.limit, query.offset)
    return Page(tuple(series_record(row) for row in rows), query.offset, more)


def find_instances(tx: Transaction, query: InstanceQuery) -> Page[Instance]:
    """Return one page of matching instances, evidence too."""
    table = schema.instances
    where = matching.one_of(table.c.sop_uid, query.sop_instance_uids)
    where += matching.one_of(table.c.sop_class_uid, query.sop_class_uids)
    if query.study_instance_uid:
        where.append(table.c.study_uid == query.study_instance_uid)
    if query.series_instance_uid:
        where.append(table.c.series_uid == query.series_instance_uid)
    if query.instance_number is not None:
        where.append(table.c.instance_number == query.instance_number)
    where.append(~_trashed(table.c.study_uid))
    rows, more = _page(tx, select(table).where(*where).order_by(table.c.id), query.limit, query.offset)
    return Page(tuple(instance_record(row) for row in rows), query.offset, more)


def _trashed(study_uid: Any) -> Any:
    table = schema.studies.c
    return select(table.id).where(table.study_uid == study_uid, table.trashed_at.is_not(None)).exists()


def _page(tx: Transaction, statement: Select[Any], limit: int, offset: int) -> tuple[list[Any], bool]:
    """Fetch one row more than asked for: it tells whether there are more, without counting them."""
    rows = list(tx.run(statement.limit(limit + 1).offset(offset)))
    return rows[:limit], len(rows) > limit
