"""The clinicians' page of a classifier, written from its card and its validation report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coread.domain.cards import Estimate, OutputSpec, ReaderCard

PLAIN = ("value", "low", "high")


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says beyond card and report."""

    reader_id: str
    answers: str
    """What the reader's answer means, and what it refuses."""
    pixels: str
    """What the network sees of an image."""
    more: Callable[[Mapping[str, Any]], Sequence[str]] | None = None
    """More lines of what was measured, from the validation report."""
    unit: str = "images"
    """What a case is."""


def page_of(card: ReaderCard, report: Mapping[str, Any], page: Page) -> str:
    """Return README.md."""
    cases = report["cases"]
    lines = [
        f"# {card.name}",
        "",
        "Research use only. This page is written by `recipe.py` from `validation.json`.",
        "",
        card.intended_use,
        "",
        card.not_for,
        "",
        "## What it answers, and when it does not",
        "",
        page.answers,
        "",
        "## What it was measured to do",
        "",
        card.validation,
        "",
        "| finding | n | AUC (95 % interval) | operating point | threshold | sensitivity | specificity |",
        "|---|---|---|---|---|---|---|",
        *(row for output in card.outputs for row in _rows(output)),
        "",
        f"Of {cases['to_be_read']} {page.unit} that it should read it read {_share(cases['read_share'])}."
        f"{_turned_away(cases, page.unit)}{_reasons(report['refusals'])}",
        *_calibration(card.outputs, report),
        *(page.more(report) if page.more else ()),
        "",
        "## When not to trust it",
        "",
        *(f"- {limit}" for limit in card.limits),
        "",
        "## Which pixels it sees",
        "",
        page.pixels,
        "",
        "## How to make it again",
        "",
        f"`python -m coread.readers.{page.reader_id}.recipe --data FOLDER --out FOLDER` with the extra `train`, on the "
        "data named on the card.",
    ]
    return "\n".join(lines) + "\n"


def _rows(output: OutputSpec) -> list[str]:
    auc = f"{output.auc.n} | {_estimate(output.auc)}" if output.auc else " | not measured"
    return [
        f"| {output.name} | {auc} | {point.name}{' (default)' if point.name == output.default_operating_point else ''} "
        f"| {point.threshold:.3f} | {_estimate(point.sensitivity) if point.sensitivity else 'not measured'} "
        f"| {_estimate(point.specificity) if point.specificity else 'not measured'} |"
        for point in output.operating_points
    ]


def _estimate(value: Estimate) -> str:
    return f"{value.value:.3f} ({value.low:.3f} to {value.high:.3f})"


def _share(body: Mapping[str, Any]) -> str:
    if "value" not in body:
        return str(body.get("not_estimable", "not measured"))
    value, low, high = (f"{100 * float(body[name]):.1f}" for name in PLAIN)
    return f"{value} % ({low} to {high})"


def _turned_away(cases: Mapping[str, Any], unit: str) -> str:
    if not cases["to_be_refused"]:
        return ""
    share = _share(cases["refused_share_of_unfit"])
    return f" Of {cases['to_be_refused']} {unit} that it should not read it refused {share}."


def _reasons(refusals: Sequence[Mapping[str, Any]]) -> str:
    if not refusals:
        return " It refused none."
    named = [f"{item['meaning']} ({item['n']})" for item in refusals]
    return f" Reasons: {'; '.join(named)}."


def _calibration(outputs: Sequence[OutputSpec], report: Mapping[str, Any]) -> list[str]:
    found = []
    for output in outputs:
        body = report["outputs"].get(output.key, {}).get("calibration", {}).get("ece", {})
        if "value" in body:
            found.append(f"{output.name} {float(body['value']):.3f}")
    return ["", f"Calibration error (ECE) on these images: {'; '.join(found)}."] if found else []
