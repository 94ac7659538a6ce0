"""Labels out of radiologists' reports for the images of a data set: which report is of which image, and what it adds.

A report belongs to an image by the image's identifier, the study, the accession number, or patient and day together; a
patient alone joins nothing. Labels that are there already stay unless it is asked for; where the report says the
opposite, that is listed.
"""

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from coread.domain.errors import Refused
from coread.imaging.header import scan_header
from coread.models.lineage import read_record
from coread.reports import FINDINGS, Label, ReportLabels, label_report, weak_labels_of
from coread.train.datasets import ImageIndex, ImageRow, read_index
from coread.train.derived import DerivedPlan, derive
from coread.train.errors import BadPlan, DataMissing

SOURCE = "report"
SUMMARY = "labels_from_reports.json"
HEDGED = 0.5
"""Entry in ``label_uncertainty`` of a hedged label, as the adapters write it."""
Progress = Callable[[int, int], None]


class SignedReport(NamedTuple):
    """A report and what tells whose it is; empty text where its source does not tell."""

    name: str
    text: str
    image_id: str = ""
    study_id: str = ""
    accession_number: str = ""
    patient_id: str = ""
    date: str = ""
    """ISO 8601 day."""


@dataclass(frozen=True, slots=True)
class ReportPlan:
    """What to take from the reports."""

    names: Mapping[str, str] = field(default_factory=dict)
    """Finding -> label of the data set; a finding that is not named keeps its own name."""
    only: tuple[str, ...] = ()
    """Findings to take; all when empty."""
    uncertain_as: float | None = None
    """Value of a hedged finding; ``None``: unknown."""
    overwrite: bool = False
    keep_text: bool = False

    def __post_init__(self) -> None:
        unknown = [name for name in (*self.names, *self.only) if name not in FINDINGS]
        if unknown:
            raise BadPlan(f"reports are not read for {', '.join(unknown)}; there are {', '.join(FINDINGS)}")
        if self.uncertain_as is not None and not 0 <= self.uncertain_as <= 1:
            raise BadPlan(f"a hedged finding can count as 0 to 1 or as unknown, not {self.uncertain_as}")


class Conflict(NamedTuple):
    """A label that was there and a report that says the opposite."""

    image_id: str
    label: str
    there: float
    report: float
    evidence: str


@dataclass(frozen=True, slots=True)
class ReportJoin:
    """The new data set and what became of the reports."""

    index: ImageIndex
    matched: Mapping[str, int]
    """Way of matching -> reports."""
    unmatched: tuple[str, ...]
    """Reports of no image here."""
    ambiguous: tuple[str, ...]
    """Reports whose patient and day fit several studies, or whose accession number is another patient's too."""
    not_assessed: tuple[tuple[str, str], ...]
    """(report, reason)."""
    without_report: int
    """Images that no report belongs to."""
    added: Mapping[str, int]
    """Label -> images that have it from a report now."""
    conflicts: tuple[Conflict, ...]


def label_from_reports(
    folder: Path,
    reports: Iterable[SignedReport],
    out: Path,
    plan: ReportPlan,
    progress: Progress = lambda _done, _total: None,
) -> ReportJoin:
    """Write the data set ``out``: the one in ``folder`` with what ``reports`` say of its images.

    Raises DataMissing when not one report belongs to an image, BadPlan for a plan that would keep free text of
    de-identified images.
    """
    index, parent = read_index(folder), read_record(folder)
    if plan.keep_text and parent.settings.get("deidentify"):
        raise BadPlan("the images of this set are de-identified, and report texts may name the patient: leave them out")
    given = list(reports)
    finder = _Finder(index, given)
    texts: dict[int, list[SignedReport]] = defaultdict(list)
    ways: Counter[str] = Counter()
    unmatched: list[str] = []
    ambiguous: list[str] = []
    for report in given:
        way, rows = finder.find(report)
        if rows:
            ways[way] += 1
            for number in rows:
                texts[number].append(report)
        else:
            (ambiguous if way else unmatched).append(report.name)
    if not ways:
        raise DataMissing(
            f"none of {len(given)} reports belongs to an image of {index.name}: they are joined by image_id, study_id "
            "(StudyInstanceUID), accession_number, or patient_id with date; a file of text by its name"
        )
    made = _Maker(plan)
    rows_now = []
    for number, row in enumerate(index.rows):
        rows_now.append(made.labelled(row, texts[number]) if number in texts else row)
        progress(number + 1, len(index.rows))
    join = ReportJoin(
        index, dict(ways), tuple(unmatched), tuple(ambiguous), tuple(sorted(made.not_assessed.items())),
        len(index.rows) - len(texts), dict(sorted(made.added.items())), tuple(made.conflicts),
    )  # fmt: skip
    digest = hashlib.sha256("\x1e".join("\x1f".join(report) for report in given).encode()).hexdigest()
    written = derive(
        index, parent, rows_now, out, DerivedPlan("label from reports", _settings(plan), {"reports": digest},
        {SUMMARY: json.dumps(summary(join), indent=1, ensure_ascii=False) + "\n"}),
    )  # fmt: skip
    return replace(join, index=written)


def summary(join: ReportJoin) -> dict[str, Any]:
    """Return what became of the reports as plain data."""
    return {
        "matched": dict(join.matched), "unmatched": list(join.unmatched), "ambiguous": list(join.ambiguous),
        "not_assessed": [list(entry) for entry in join.not_assessed], "images_without_report": join.without_report,
        "added": dict(join.added), "conflicts": [conflict._asdict() for conflict in join.conflicts],
    }  # fmt: skip


def _settings(plan: ReportPlan) -> dict[str, Any]:
    return {
        "names": dict(plan.names), "only": list(plan.only), "uncertain_as": plan.uncertain_as,
        "overwrite": plan.overwrite, "keep_text": plan.keep_text,
    }  # fmt: skip


class _Finder:
    """Which images a report is about."""

    def __init__(self, index: ImageIndex, reports: Sequence[SignedReport]) -> None:
        self._rows = index.rows
        self._images = {row.image_id: number for number, row in enumerate(index.rows)}
        self._studies, self._days = defaultdict[str, list[int]](list), defaultdict[tuple[str, str], list[int]](list)
        self._accessions: dict[str, list[int]] = defaultdict(list)
        for number, row in enumerate(index.rows):
            if row.study_id:
                self._studies[row.study_id].append(number)
            if row.patient_id and len(row.date) == len("2020-01-31"):
                self._days[row.patient_id, row.date].append(number)
        if any(report.accession_number or not any(report[2:]) for report in reports):
            for number, accession in enumerate(_accessions(index)):
                if accession:
                    self._accessions[accession].append(number)

    def find(self, report: SignedReport) -> tuple[str, Sequence[int]]:
        """Return (way, row numbers); no rows and a way: the report fits several studies."""
        if not any(report[2:]):
            return self._by_name(PurePath(report.name).stem)
        if report.image_id in self._images:
            return "image", [self._images[report.image_id]]
        if report.study_id in self._studies:
            return "study", self._studies[report.study_id]
        if report.accession_number in self._accessions:
            return "accession number", self._by_accession(report.accession_number, report.patient_id)
        if any((report.image_id, report.study_id, report.accession_number)):
            return "", []  # it names its examination, and that is not here: another one of the same day is not meant
        rows = self._days.get((report.patient_id, report.date), [])
        if len({self._rows[number].study_id for number in rows}) > 1:
            return "patient and day", []
        return ("patient and day", rows) if rows else ("", [])

    def _by_name(self, stem: str) -> tuple[str, Sequence[int]]:
        """A file of text is called by its image, study or accession number; MIMIC-CXR sets an "s" before the study."""
        if stem in self._images:
            return "image", [self._images[stem]]
        for name in (stem, stem.removeprefix("s")):
            if name in self._studies:
                return "study", self._studies[name]
        return ("accession number", self._by_accession(stem)) if stem in self._accessions else ("", [])

    def _by_accession(self, number: str, patient: str = "") -> Sequence[int]:
        """Return the rows of an accession number, none where they are of several patients or not of the report's.

        Two hospitals give the same numbers (PS3.3 C.7.3.1: unique only together with who issued it).
        """
        rows = self._accessions[number]
        patients = {self._rows[row].patient_id for row in rows} - {""} | ({patient} - {""})
        return rows if len(patients) <= 1 else []


def _accessions(index: ImageIndex) -> list[str]:
    """Return the accession number of every row: as the set tells it, else as the header of its DICOM file does."""
    found: dict[str, str] = {}
    for row in index.rows:
        if row.path not in found:
            told = str(row.covariates.get("accession_number", "") or "")
            found[row.path] = told or _of_header(index.place(row.path))
    return [found[row.path] for row in index.rows]


def _of_header(file: Path) -> str:
    if file.suffix.lower() not in (".dcm", ".dicom", "") or not file.is_file():
        return ""
    try:
        return scan_header(file).accession_number
    except Refused:
        return ""  # no DICOM file: it has no accession number


class _Maker:
    """Makes the new rows and counts what happens; the same text is read once."""

    def __init__(self, plan: ReportPlan) -> None:
        self._plan = plan
        self._read: dict[str, ReportLabels] = {}
        self.not_assessed: dict[str, str] = {}
        self.added: Counter[str] = Counter()
        self.conflicts: list[Conflict] = []

    def labelled(self, row: ImageRow, reports: Sequence[SignedReport]) -> ImageRow:
        text = "\n\n".join(report.text for report in reports)
        said = self._read.get(text)
        if said is None:
            said = self._read[text] = label_report(text)
        if not said.assessed:
            self.not_assessed.update((report.name, said.reason) for report in reports)
            return row
        plan = self._plan
        weak = weak_labels_of(said, uncertain_as=math.nan if plan.uncertain_as is None else plan.uncertain_as)
        labels, uncertainty = dict(row.labels), dict(row.label_uncertainty)
        evidence: dict[str, Any] = {}
        for finding, doubt in weak.uncertainty.items():
            if plan.only and finding not in plan.only:
                continue
            label = plan.names.get(finding, finding)
            value = None if math.isnan(weak.values[finding]) else weak.values[finding]
            place = said.label(finding) or said.label("intracranial_hemorrhage")
            entry = _evidence(place, text, doubt, reports)
            if not self._may_stand(row, label, value, str(entry["words"])):
                continue
            labels[label], evidence[label] = value, entry
            uncertainty.pop(label, None)
            if doubt == 1.0:
                uncertainty[label] = HEDGED
            self.added[label] += 1
        known = {name for name in labels if name not in evidence and labels[name] is not None}
        return replace(
            row,
            labels=labels,
            label_uncertainty=uncertainty,
            label_source="; ".join(dict.fromkeys(filter(None, (row.label_source if known else "", SOURCE)))),
            text=text if plan.keep_text else row.text,
            covariates={**row.covariates} | {"report_labels": {**row.covariates.get("report_labels", {}), **evidence}}
            if evidence
            else row.covariates,
        )  # fmt: skip

    def _may_stand(self, row: ImageRow, label: str, value: float | None, words: str) -> bool:
        there = row.labels.get(label)
        if there is None:
            return True
        if value is not None and (value >= HEDGED) != (there >= HEDGED):
            self.conflicts.append(Conflict(row.image_id, label, there, value, words))
        return self._plan.overwrite and value is not None


def _evidence(place: Label | None, text: str, doubt: float, reports: Sequence[SignedReport]) -> dict[str, Any]:
    """Return what stands behind a label: source, status, uncertainty (0 outright, 0.5 implied, 1 hedged), words."""
    entry: dict[str, Any] = {"source": SOURCE, "uncertainty": doubt, "report": ", ".join(one.name for one in reports)}
    if place is None:
        return entry | {"words": ""}
    words = " ".join(text[place.start : place.end].split())
    return entry | {
        "status": place.status.value, "section": place.section.value,
        "start": place.start, "end": place.end, "words": words,
    }  # fmt: skip
