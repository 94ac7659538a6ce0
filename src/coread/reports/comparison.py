"""A signed report against what a reader found: where the two agree, where not, and where nobody can tell."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from coread.domain.findings import Presence
from coread.reports.records import Label, ReportLabels, Status


class Agreement(StrEnum):
    """How a report and a reader stand to each other on one finding."""

    CONCORDANT = "concordant"
    DISCORDANT = "discordant"
    UNASSESSABLE = "unassessable"


class Comparison(NamedTuple):
    """One finding: what the report and the reader say. ``report`` is None where the report is silent."""

    key: str
    agreement: Agreement
    report: Label | None
    reader: Presence
    reason: str


READER_KEYS: Mapping[str, tuple[str, ...]] = {
    "effusion": ("pleural_effusion",),
    "opacity": ("lung_opacity", "consolidation", "pneumonia", "edema", "atelectasis", "lung_lesion"),
    "nodule_mass": ("lung_lesion", "lung_nodule"),
}
"""Output keys of readers that stand for other words of a report: the strongest of them counts."""


def compare_with_reader(report: ReportLabels, reader: Mapping[str, Presence]) -> tuple[Comparison, ...]:
    """Compare each output of a reader with the report.

    Only a plain yes against a plain no is discordant. A report that hedges, is silent or was not assessed, and a reader
    that could not say, are unassessable: silence is no negative.
    """
    return tuple(_compare(report, key, presence) for key, presence in reader.items())


def _compare(report: ReportLabels, key: str, reader: Presence) -> Comparison:
    label = _label(report, READER_KEYS.get(key, (key,)))
    if not report.assessed:
        return Comparison(key, Agreement.UNASSESSABLE, None, reader, f"report not assessed: {report.reason}")
    if reader in (Presence.INDETERMINATE, Presence.NOT_ASSESSED):
        return Comparison(key, Agreement.UNASSESSABLE, label, reader, f"the reader says {reader.value}")
    if label is None:
        return Comparison(key, Agreement.UNASSESSABLE, None, reader, "the report does not mention it")
    if label.status is Status.UNCERTAIN:
        return Comparison(key, Agreement.UNASSESSABLE, label, reader, "the report hedges")
    same = (label.status is Status.PRESENT) == (reader is Presence.PRESENT)
    return Comparison(key, Agreement.CONCORDANT if same else Agreement.DISCORDANT, label, reader, "")


def _label(report: ReportLabels, keys: tuple[str, ...]) -> Label | None:
    found = [label for key in keys if (label := report.label(key)) is not None]
    for status in (Status.PRESENT, Status.UNCERTAIN, Status.ABSENT):
        for label in found:
            if label.status is status:
                return label
    return None
