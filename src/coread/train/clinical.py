"""Structured clinical data beside the image: indication, earlier examinations, laboratory values. Nothing from later.

Each becomes numbers in the covariates of a row; what is not known is left out and reaches the network as missing.
A laboratory value counts for an image only when it was taken on an earlier day (or the same, where it is asked for)
within a window: a value from after the image may already be an answer to it.
"""

import csv
import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from coread.models.lineage import read_record, sha256_of
from coread.reports.indication import flags_of, indication_of
from coread.train.dataset_split import moved_when_built
from coread.train.datasets import ImageIndex, ImageRow, read_index
from coread.train.derived import DerivedPlan, derive
from coread.train.errors import BadPlan, BadTable, DataMissing

INDICATION, PRIORS, LAB = "indication_", "prior_", "lab_"
COLUMNS = {
    "patient_id": ("patient_id", "PatientID", "subject_id", "mrn"),
    "date": ("date", "charttime", "collected", "taken", "time"),
    "name": ("name", "test", "label", "analyte"),
    "value": ("value", "valuenum", "result"),
}
"""Columns of a table of laboratory values, one value a line; the first that is there is taken."""


@dataclass(frozen=True, slots=True)
class ClinicalPlan:
    """What to put beside the images."""

    indication: bool = False
    priors: bool = False
    labs: Path | None = None
    lab_names: tuple[str, ...] = ()
    """Names in the table to take; all when empty."""
    window_days: int = 7
    same_day: bool = False
    """Take values of the image's own day too: only where the day's order is known to be right."""

    def __post_init__(self) -> None:
        if not (self.indication or self.priors or self.labs):
            raise BadPlan("say what to put beside the images: the indication, priors, or a table of laboratory values")
        if self.window_days < 0:
            raise BadPlan(f"a window of {self.window_days} days holds nothing")


@dataclass(frozen=True, slots=True)
class ClinicalAdded:
    """The new data set and what it got."""

    index: ImageIndex
    known: Mapping[str, int]
    """Covariate -> images that have it."""
    later: int
    """Laboratory values of these patients from the image's day or after, within the window: never used."""
    stale: int
    """Images whose latest earlier value lies before the window."""
    strangers: int
    """Lines of the table about patients without an image here."""


@dataclass(slots=True)
class _Counts:
    later: int = 0
    stale: int = 0
    strangers: int = 0
    known: dict[str, int] = field(default_factory=lambda: defaultdict(int))


Labs = Mapping[tuple[str, str], Sequence[tuple[date, float]]]


def add_clinical(folder: Path, out: Path, plan: ClinicalPlan) -> ClinicalAdded:
    """Write the data set ``out``: the one in ``folder`` with clinical data in the covariates of its rows.

    Raises BadTable for a table that cannot be read, DataMissing where nothing of it belongs to an image, BadPlan where
    the dates that it takes are not there, or were moved away from those of the table.
    """
    index, parent = read_index(folder), read_record(folder)
    if (plan.labs or plan.priors) and not any(_day(row) and row.patient_id for row in index.rows):
        raise BadPlan(f"no image of {index.name} has a patient and a day: nothing tells what was before it")
    if plan.labs and moved_when_built(parent):
        raise BadPlan(
            f"the dates of {index.name} were moved when it was built, those of {plan.labs.name} were not: a value from "
            "after an image could pass for an earlier one. Build the set with its dates kept and add the values to that"
        )
    counts = _Counts()
    labs = read_labs(plan.labs, plan.lab_names) if plan.labs is not None else {}
    patients = {row.patient_id for row in index.rows if row.patient_id}
    counts.strangers = sum(len(values) for (patient, _), values in labs.items() if patient not in patients)
    if labs and counts.strangers == sum(map(len, labs.values())):
        raise DataMissing(f"no line of {plan.labs} is about a patient of {index.name}")
    names = sorted({name for _, name in labs})
    examinations = _examinations(index.rows) if plan.priors else {}
    rows = []
    for row in index.rows:
        made: dict[str, Any] = {}
        if plan.indication:
            made |= _indication(row)
        if plan.priors:
            made |= _priors(row, examinations)
        for name in names:
            made |= _lab(row, name, labs, plan, counts)
        for covariate in made:
            counts.known[covariate] += 1
        rows.append(replace(row, covariates={**row.covariates, **made}) if made else row)
    if not counts.known:
        raise DataMissing(f"nothing of what was asked for is known of any image of {index.name}")
    inputs = {"labs": sha256_of(plan.labs)} if plan.labs is not None else {}
    written = derive(index, parent, rows, out, DerivedPlan("clinical data", _settings(plan), inputs))
    return ClinicalAdded(written, dict(sorted(counts.known.items())), counts.later, counts.stale, counts.strangers)


def read_labs(table: Path, wanted: Sequence[str] = ()) -> dict[tuple[str, str], list[tuple[date, float]]]:
    """Read (patient, name) -> values by day; a cell that holds no number (``<0.3``, ``hemolyzed``) is no value."""
    found: dict[tuple[str, str], list[tuple[date, float]]] = defaultdict(list)
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            lines = csv.DictReader(stream)
            columns = _columns(table, lines.fieldnames or ())
            for number, line in enumerate(lines, start=2):
                name = (line[columns["name"]] or "").strip()
                if wanted and name not in wanted:
                    continue
                day = _iso(line[columns["date"]] or "")
                if day is None:
                    raise BadTable(f"{table}:{number}: {line[columns['date']]!r} is no date")
                value = _finite(line[columns["value"]] or "")
                if value is not None:
                    found[(line[columns["patient_id"]] or "").strip(), name].append((day, value))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise BadTable(f"{table} cannot be read as a table: {problem}") from problem
    if missing := sorted(set(wanted) - {name for _, name in found}):
        raise BadTable(f"{table} holds no number of {', '.join(missing)}")
    for values in found.values():
        values.sort()
    return dict(found)


def _columns(table: Path, there: Sequence[str]) -> dict[str, str]:
    made = {}
    for what, names in COLUMNS.items():
        column = next((name for name in names if name in there), None)
        if column is None:
            raise BadTable(f"{table} has no column for {what} ({', '.join(names)}); it has {', '.join(there)}")
        made[what] = column
    return made


def _indication(row: ImageRow) -> dict[str, float]:
    told = str(row.covariates.get("indication", "") or "") or indication_of(row.text)
    return {f"{INDICATION}{flag}": float(said) for flag, said in flags_of(told).items()}


def _examinations(rows: Sequence[ImageRow]) -> dict[str, list[tuple[date, str]]]:
    """Patient -> days and studies, each study once, in order."""
    found: dict[str, set[tuple[date, str]]] = defaultdict(set)
    for row in rows:
        day = _day(row)
        if row.patient_id and day is not None:
            found[row.patient_id].add((day, row.study_id))
    return {patient: sorted(days) for patient, days in found.items()}


def _priors(row: ImageRow, examinations: Mapping[str, Sequence[tuple[date, str]]]) -> dict[str, float]:
    day = _day(row)
    if day is None or not row.patient_id:
        return {}
    earlier = [when for when, _ in examinations[row.patient_id] if when < day]
    made = {f"{PRIORS}count": float(len(earlier))}
    return made | {f"{PRIORS}days_since": float((day - earlier[-1]).days)} if earlier else made


def _lab(row: ImageRow, name: str, labs: Labs, plan: ClinicalPlan, counts: _Counts) -> dict[str, float]:
    day = _day(row)
    values = labs.get((row.patient_id, name), ())
    if day is None or not values:
        return {}
    days = [when for when, _ in values]
    end = bisect_right(days, day) if plan.same_day else bisect_left(days, day)
    counts.later += sum((when - day).days <= plan.window_days for when in days[end:])
    if not end:
        return {}
    when, value = values[end - 1]
    age = (day - when).days
    if age > plan.window_days:
        counts.stale += 1
        return {}
    return {f"{LAB}{name}": value, f"{LAB}{name}_days": float(age)}


def _day(row: ImageRow) -> date | None:
    return _iso(row.date) if len(row.date) == len("2020-01-31") else None


def _iso(text: str) -> date | None:
    try:
        return date.fromisoformat(text.strip()[:10])
    except ValueError:
        return None


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _settings(plan: ClinicalPlan) -> dict[str, Any]:
    return {
        "indication": plan.indication, "priors": plan.priors, "labs": plan.labs.name if plan.labs else "",
        "lab_names": list(plan.lab_names), "window_days": plan.window_days, "same_day": plan.same_day,
    }  # fmt: skip
