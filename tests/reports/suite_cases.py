"""The hard sentences: text, what must be found in it, tags. Both parts were written by the author of the rules."""

import json
from dataclasses import dataclass
from pathlib import Path

from coread.reports import label_report

FOLDER = Path(__file__).parent / "suite"


@dataclass(frozen=True, slots=True)
class Case:
    """One text with every label that it must get, and no other ("no_finding" only where it is named)."""

    text: str
    expect: dict[str, str]
    tags: tuple[str, ...]


def cases(part: str) -> list[Case]:
    lines = (FOLDER / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
    return [Case(row["text"], row["expect"], tuple(row["tags"])) for row in map(json.loads, lines)]


def statuses(text: str) -> dict[str, str]:
    return {label.finding: label.status.value for label in label_report(text).labels}


def answered(case: Case) -> dict[str, str]:
    found = statuses(case.text)
    if "no_finding" not in case.expect:
        found.pop("no_finding", None)
    return found
