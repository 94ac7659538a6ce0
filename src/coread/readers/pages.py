"""The page for clinicians of a reader, written from its card and from the report of its validation."""

from collections.abc import Mapping, Sequence
from typing import Any

from coread.domain.cards import Estimate, ReaderCard

Row = tuple[str, str, str]
"""What was measured, the value with its interval, on how many."""


def clinicians_page(card: ReaderCard, *, what: str, rows: Sequence[Row], refuses: str, cite: Sequence[str]) -> str:
    """Return README.md: what the reader looks for, what was measured, what it refuses, when not to trust it."""
    lines = [
        f"# {card.name}",
        "",
        "Research use only. This page is written by `recipe.py` from the card and from `validation.json`.",
        "",
        card.intended_use,
        "",
        card.not_for,
        "",
        "## What it says",
        "",
        what,
        "",
        "## What it was measured to do",
        "",
        card.validation,
        "",
        "Intervals are 95 %.",
        "",
        "| measure | value | n |",
        "|---|---|---|",
        *(f"| {name} | {value} | {n} |" for name, value, n in (*rows, *_points(card))),
        "",
        "## What it refuses",
        "",
        refuses,
        "",
        "## When not to trust it",
        "",
        *(f"- {limit}" for limit in card.limits),
        "",
        "## What it learnt from",
        "",
        *(f"- {item}" for item in card.training_data),
        "",
        f"Licence: {card.training_licence}.",
        "",
        *cite,
    ]
    return "\n".join(lines).rstrip() + "\n"


def row_of(name: str, measured: Mapping[str, Any] | None, *, digits: int = 3) -> Row:
    """Return one line of the table from an estimate of a report, or why there is none."""
    if not measured or "value" not in measured:
        return name, str((measured or {}).get("not_estimable", "not measured")), ""
    value, low, high = (f"{float(measured[key]):.{digits}f}" for key in ("value", "low", "high"))
    return name, f"{value} ({low} to {high})", str(measured["n"])


def _points(card: ReaderCard) -> list[Row]:
    rows: list[Row] = []
    for output in card.outputs:
        if output.auc is not None:
            rows.append((f"{output.name}: AUC", _estimate(output.auc), str(output.auc.n)))
        point = output.operating_point()
        rows += [_point_row(output.name, "sensitivity", point.sensitivity)]
        rows += [_point_row(output.name, "specificity", point.specificity)]
    return rows


def _point_row(name: str, what: str, value: Estimate | None) -> Row:
    return (
        (f"{name}: {what}", "not measured", "")
        if value is None
        else (f"{name}: {what}", _estimate(value), str(value.n))
    )


def _estimate(value: Estimate) -> str:
    return f"{value.value:.3f} ({value.low:.3f} to {value.high:.3f})"
