"""Query matching of PS3.4 C.2.2.2: single value, wildcard, range and list, as conditions on columns."""

from typing import Any

from sqlalchemy import ColumnElement, and_, or_

Condition = ColumnElement[bool]
_ESCAPE = "\\"


def text(column: Any, value: str) -> list[Condition]:
    """Match text with ``*`` and ``?``. A literal beginning also becomes a range, which the index can answer."""
    if not value or value == "*":
        return []
    if "*" not in value and "?" not in value:
        return [column == value]
    conditions: list[Condition] = []
    start = _literal_start(value)
    if start:
        conditions.append(column >= start)
        if (after := _after(start)) is not None:
            conditions.append(column < after)
    if value != f"{start}*" or (start and _after(start) is None):
        conditions.append(column.like(_pattern(value), escape=_ESCAPE))
    return conditions


def name(column: Any, value: str) -> list[Condition]:
    """Match a person name without regard to case; the alphabetic group alone is enough (PS3.5 section 6.2.1.2)."""
    wanted = value.casefold().rstrip("^= ")
    if not wanted or wanted == "*":
        return []
    if wanted.endswith("*"):
        return text(column, wanted)
    first_group = [and_(*text(column, f"{wanted}=*"))]
    return [or_(and_(*text(column, wanted)), *first_group)]


def span(column: Any, value: str) -> list[Condition]:
    """Match a date or time: one value or a range ``a-b``, ``a-``, ``-b`` (PS3.4 C.2.2.2.5)."""
    if not value:
        return []
    first, dash, last = (part.strip() for part in value.partition("-"))
    if not dash:
        return [column == first]
    conditions: list[Condition] = [column >= first] if first else [column != ""]
    if last:
        conditions.append(column <= f"{last}\x7f")  # also 093000.5 for an end of 0930
    return conditions


def one_of(column: Any, values: tuple[str, ...]) -> list[Condition]:
    """Match a list of UIDs or codes."""
    return [column.in_(values)] if values else []


def _literal_start(value: str) -> str:
    return value[: min(at for at in (value.find("*"), value.find("?")) if at >= 0)]


def _after(start: str) -> str | None:
    """Return the first text that sorts after everything that begins with ``start``."""
    last = ord(start[-1])
    if last >= 0xD7FF:  # the next code point could be a surrogate: let LIKE decide alone
        return None
    return start[:-1] + chr(last + 1)


def _pattern(value: str) -> str:
    escaped = value.replace(_ESCAPE, _ESCAPE * 2).replace("%", _ESCAPE + "%").replace("_", _ESCAPE + "_")
    return escaped.replace("*", "%").replace("?", "_")
