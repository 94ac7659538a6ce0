"""A cohort: the cases on which a reader is measured, their truth, and how their pictures become DICOM.

A folder with ``cohort.toml`` (what the cohort is) and ``cohort.csv`` (one row per case); ``freezing.py`` freezes it.
"""

import csv
import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from coread.domain.errors import InvalidRecord
from coread.phantoms.picture import Wrapping
from coread.validate.errors import BadCohort
from coread.validate.sources import Reference, reference_of, references_of

COHORT_FILE = "cohort.toml"
CASES_FILE = "cohort.csv"
READ, REFUSE = "read", "refuse"
_PREFIXES = ("truth", "number", "type", "mask", "group")
_PLAIN = (
    "case_id", "patient_id", "files", "boxes", "mask", "site", "scanner", "view", "laterality", "age", "sex", "expect",
    "repeat", "note",
)  # fmt: skip
_MAX_NAME = 60


@dataclass(frozen=True, slots=True)
class TruthBox:
    """One lesion as the truth marks it, in pixels of its picture (top left corner of the picture is 0, 0)."""

    label: str
    """The output's key."""
    x0: float
    y0: float
    x1: float
    y1: float
    image: int = 0
    """Which of the case's files it stands on, from 0."""


@dataclass(frozen=True, slots=True)
class Case:
    """One study: its files and what is true of it."""

    case_id: str
    patient_id: str
    files: tuple[Reference, ...]
    truth: Mapping[str, bool]
    """By output key; an unknown truth is left out."""
    boxes: tuple[TruthBox, ...] | None = None
    """None where nobody marked anything; an empty tuple where somebody looked and there is nothing."""
    masks: Mapping[str, Reference] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    """By name of the type: the key of the output that should score highest."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Strata besides site, scanner, view, age and sex."""
    expect: str = READ
    """``refuse`` for cases that the reader should turn away; they count for its gate, not for its accuracy."""
    site: str = ""
    scanner: str = ""
    view: str = ""
    laterality: str = ""
    age_years: float | None = None
    sex: str = ""
    repeat: str = ""
    """Cases with the same word are repeated acquisitions of the same thing."""


@dataclass(frozen=True, slots=True)
class NumberSpec:
    """Which measurement of the reader is compared with a ``number:`` column."""

    concept: str = ""
    """Code value of the measurement's concept; empty: the measurement whose meaning reads like the name."""
    unit: str = ""
    within: float | None = None
    """A difference that does not matter clinically, for the share within limits."""


@dataclass(frozen=True, slots=True)
class MaskSpec:
    """How a ``mask:`` column is compared with the reader's regions."""

    region: str = ""
    """Label of the region; empty: all regions of the answer together."""
    value: int | None = None
    """Only pixels of this value are inside; None: everything that is not background."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """A cohort as read from its folder."""

    name: str
    folder: Path
    root: Path
    cases: tuple[Case, ...]
    wrapping: Wrapping
    data: str = "not stated"
    """What the images are, for the card: set, place, years."""
    split: str = "not stated"
    """How the cases were kept apart from training."""
    licence: str = "not stated"
    citation: str = "not stated"
    reference_standard: str = "not stated"
    simulated: bool = False
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Truth columns that are called otherwise than the reader's outputs: column -> output key."""
    prevalence: Mapping[str, float] = field(default_factory=dict)
    """Prevalence by output key where the reader is to be used; PPV and NPV are computed for it."""
    studies_per_day: float | None = None
    """How many studies a day the reader would read there; false alerts a day are computed for it."""
    numbers: Mapping[str, NumberSpec] = field(default_factory=dict)
    masks: Mapping[str, MaskSpec] = field(default_factory=dict)
    types: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By name of the type: the output keys among which the highest probability wins."""
    stated: Mapping[str, Any] = field(default_factory=dict)
    """The description as written, without the root."""

    def references(self) -> tuple[Reference, ...]:
        """Return every file, member and array that the cases name, each once, in order."""
        seen: dict[str, Reference] = {}
        for case in self.cases:
            for reference in (*case.files, *case.masks.values()):
                seen.setdefault(reference.text, reference)
        return tuple(seen.values())


def read_cohort(folder: Path, *, root: Path | None = None) -> Cohort:
    """Read ``cohort.toml`` and ``cohort.csv``; ``root`` replaces the root that the description names.

    Raises BadCohort naming the file, the row and the column.
    """
    path = folder / COHORT_FILE
    try:
        with path.open("rb") as stream:
            body = tomllib.load(stream)
        where = folder / str(body.pop("root", "."))
        cohort = _described(folder, where if root is None else root, body)
    except FileNotFoundError as problem:
        raise BadCohort(f"{path} is missing: a cohort is a folder with {COHORT_FILE} and {CASES_FILE}.") from problem
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise BadCohort(f"{path} cannot be read: {problem}.") from problem
    except (InvalidRecord, TypeError, ValueError, AttributeError) as problem:
        if isinstance(problem, BadCohort):
            raise
        raise BadCohort(f"{path}: {problem}.") from problem
    return cohort


_TABLES = {"wrap", "outputs", "prevalence", "numbers", "masks", "types"}


def _described(folder: Path, root: Path, body: Mapping[str, Any]) -> Cohort:
    known = {item.name for item in fields(Cohort)} - {"folder", "root", "cases", "wrapping", "stated"} | {"wrap"}
    if unknown := sorted(set(body) - known):
        raise ValueError(f"key {unknown[0]!r} is unknown; use {', '.join(sorted(known))}")
    name = str(body.get("name", "")).strip()
    if not re.fullmatch(r"[\w .,+()-]{1,60}", name):
        raise ValueError(f"name is {name!r}; use 1 to 60 letters, digits, spaces, dots and dashes")
    prevalence = {str(key): float(value) for key, value in body.get("prevalence", {}).items()}
    if any(not 0 < value < 1 for value in prevalence.values()):
        raise ValueError("a prevalence lies between 0 and 1")
    volume = body.get("studies_per_day")
    if volume is not None and not (isinstance(volume, int | float) and 0 < volume < math.inf):
        raise ValueError(f"studies_per_day is {volume!r}; use a number above 0")
    masks = {str(key): MaskSpec(**value) for key, value in body.get("masks", {}).items()}
    cohort = Cohort(
        name=name,
        folder=folder,
        root=root,
        cases=(),
        wrapping=_wrapping(body.get("wrap", {})),
        simulated=bool(body.get("simulated", False)),
        outputs={str(key): str(value) for key, value in body.get("outputs", {}).items()},
        prevalence=prevalence,
        studies_per_day=None if volume is None else float(volume),
        numbers={str(key): NumberSpec(**value) for key, value in body.get("numbers", {}).items()},
        masks=masks,
        types={str(key): tuple(value["outputs"]) for key, value in body.get("types", {}).items()},
        stated=dict(body),
        **{
            key: str(body[key]) for key in ("data", "split", "licence", "citation", "reference_standard") if key in body
        },
    )
    return _with_cases(cohort, _cases(cohort))


def _with_cases(cohort: Cohort, cases: Sequence[Case]) -> Cohort:
    values = {item.name: getattr(cohort, item.name) for item in fields(Cohort)}
    return Cohort(**values | {"cases": tuple(cases)})


def _wrapping(body: Mapping[str, Any]) -> Wrapping:
    values = dict(body)
    if "patient_orientation" in values:
        values["patient_orientation"] = tuple(str(item) for item in values["patient_orientation"])
    return Wrapping(**values)


def _cases(cohort: Cohort) -> list[Case]:
    path = cohort.folder / CASES_FILE
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            table = csv.DictReader(stream)
            _check_columns(path, table.fieldnames or ())
            cases = [_case(cohort, f"{path}, line {table.line_num}", row) for row in table]
    except FileNotFoundError as problem:
        raise BadCohort(f"{path} is missing: it names the cases of the cohort.") from problem
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise BadCohort(f"{path} cannot be read: {problem}.") from problem
    if not cases:
        raise BadCohort(f"{path} names no case.")
    seen: set[str] = set()
    for case in cases:
        if case.case_id in seen:
            raise BadCohort(f"{path}: case_id {case.case_id!r} stands twice. Give each case its own.")
        seen.add(case.case_id)
    return cases


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    for needed in ("case_id", "patient_id", "files"):
        if needed not in columns:
            raise BadCohort(f"{path} has no column {needed!r}.")
    for column in columns:
        prefix, colon, name = column.partition(":")
        known = (prefix in _PREFIXES and name) if colon else column in _PLAIN
        if not known:
            words = ", ".join(_PLAIN)
            raise BadCohort(
                f"{path}: column {column!r} is unknown. Use {words}, or {', '.join(f'{p}:NAME' for p in _PREFIXES)}."
            )
    if len(set(columns)) != len(columns):
        raise BadCohort(f"{path}: a column stands twice.")


def _case(cohort: Cohort, where: str, row: Mapping[str, Any]) -> Case:
    try:
        return _parsed(cohort, {str(key): (value or "").strip() for key, value in row.items() if key is not None})
    except BadCohort as problem:
        raise BadCohort(f"{where}: {problem}") from problem
    except (ValueError, TypeError, AttributeError) as problem:
        raise BadCohort(f"{where}: {problem}.") from problem


def _parsed(cohort: Cohort, row: Mapping[str, str]) -> Case:
    named: dict[str, dict[str, str]] = {prefix: {} for prefix in _PREFIXES}
    for column, value in row.items():
        prefix, colon, name = column.partition(":")
        if colon and value:
            named[prefix][name] = value
    if not row["case_id"] or not row["patient_id"] or not row["files"]:
        raise ValueError("case_id, patient_id and files must not be empty")
    masks = {name: reference_of(value) for name, value in named["mask"].items()}
    if row.get("mask"):
        masks[""] = reference_of(row["mask"])
    if row.get("expect", "") not in ("", READ, REFUSE):
        raise ValueError(f"expect is {row['expect']!r}; use {READ} or {REFUSE}")
    return Case(
        case_id=row["case_id"],
        patient_id=row["patient_id"],
        files=tuple(
            found for item in row["files"].split(";") if item.strip() for found in references_of(item, cohort.root)
        ),
        truth={cohort.outputs.get(name, name): _yes_or_no(name, value) for name, value in named["truth"].items()},
        boxes=_boxes(row["boxes"]) if row.get("boxes") else None,
        masks=masks,
        numbers={name: _number(name, value) for name, value in named["number"].items()},
        types=_types(cohort, named["type"]),
        groups=named["group"],
        expect=row.get("expect") or READ,
        site=row.get("site", ""),
        scanner=row.get("scanner", ""),
        view=row.get("view", ""),
        laterality=row.get("laterality", ""),
        age_years=_number("age", row["age"]) if row.get("age") else None,
        sex=row.get("sex", ""),
        repeat=row.get("repeat", ""),
    )


def _yes_or_no(name: str, value: str) -> bool:
    if value in ("0", "0.0", "1", "1.0"):
        return value[0] == "1"
    raise ValueError(f"truth:{name} is {value!r}; use 1 (present), 0 (absent) or nothing (unknown)")


def _number(name: str, value: str) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} is {value!r}, which is no finite number")
    return number


def _types(cohort: Cohort, found: Mapping[str, str]) -> dict[str, str]:
    for name, value in found.items():
        if value not in cohort.types.get(name, ()):
            allowed = ", ".join(cohort.types.get(name, ())) or f"none: add [types.{name}] with outputs = [...]"
            raise ValueError(f"type:{name} is {value!r}; outputs of this type are {allowed}")
    return dict(found)


def _boxes(text: str) -> tuple[TruthBox, ...]:
    items = json.loads(text)
    if not isinstance(items, list):
        raise ValueError("boxes must be a JSON list of [label, x0, y0, x1, y1] (and the number of the file, from 0)")
    boxes = []
    for item in items:
        label, x0, y0, x1, y1, *image = item
        box = TruthBox(str(label), float(x0), float(y0), float(x1), float(y1), int(image[0]) if image else 0)
        if not (0 <= box.x0 < box.x1 and 0 <= box.y0 < box.y1) or box.image < 0:
            raise ValueError(f"box {item} needs 0 <= x0 < x1 and 0 <= y0 < y1")
        boxes.append(box)
    return tuple(boxes)
