"""The report as one JSON document: who was measured on what, by which bytes, with which result."""

import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import coread
from coread.models.lineage import sha256_of
from coread.validate.errors import BadRun
from coread.validate.measure_settings import MeasureSettings
from coread.validate.plain import Plain
from coread.validate.running import CohortRun

SCHEMA = 1
KIND = "coread validation"
REPORT_FILE = "report.json"
NOTICE = "Research use only. Not a medical device."
_FLAT = re.compile(r"\[[-+.\deE,\s]+\]|\{[^{}\[\]]{0,160}\}")
_PACKAGES = ("numpy", "scipy", "onnxruntime", "pydicom", "pillow", "matplotlib")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """How the run was asked for: what a reader of the report needs to do it again."""

    command: str
    criteria_sha256: str = ""
    workers: int = 1


def report_document(runs: Sequence[CohortRun], body: Plain, how: Circumstances, settings: MeasureSettings) -> Plain:
    """Return the whole report."""
    reader = runs[0].reader
    card = reader.card
    return {
        "schema": SCHEMA,
        "kind": KIND,
        "notice": NOTICE,
        "reader": {
            "reader_id": card.reader_id,
            "name": card.name,
            "version": card.version,
            "kind": card.kind.value,
            "intended_use": card.intended_use,
            "not_for": card.not_for,
            "limits": list(card.limits),
            "training_data": list(card.training_data),
            "training_licence": card.training_licence,
        },
        "package_digest": reader.package_digest,
        "card_sha256": sha256_of(reader.card_path),
        "cohorts": [cohort_document(run) for run in runs],
        "run": {
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "coread_version": coread.__version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "runtime": next((run.runtime for run in runs if run.runtime), ""),
            "packages": {name: _version(name) for name in _PACKAGES},
            "command": how.command,
            "workers": how.workers,
            "criteria_sha256": how.criteria_sha256,
            "resamples": settings.repeats,
            "seed": settings.seed,
        },
        **body,
    }


def cohort_document(run: CohortRun) -> Plain:
    """Return what a report says of a cohort; no path of this machine is in it."""
    cohort, frozen = run.cohort, run.frozen
    return {
        "name": cohort.name,
        "digest": frozen.digest,
        "frozen_at": frozen.frozen_at,
        "cases": len(cohort.cases),
        "patients": len({case.patient_id for case in cohort.cases}),
        "files": len(frozen.files),
        "data": cohort.data,
        "split": cohort.split,
        "licence": cohort.licence,
        "citation": cohort.citation,
        "reference_standard": cohort.reference_standard,
        "simulated": cohort.simulated,
        "modalities": _counts([record.modality for record in run.records]),
        "ages": _range([case.age_years for case in cohort.cases if case.age_years is not None]),
        "sexes": _counts([case.sex for case in cohort.cases]),
    }


def write_json(path: Path, body: Mapping[str, Any]) -> None:
    """Write a document beside its place and rename it: never half-written."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    text = _FLAT.sub(_on_one_line, json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False))
    beside.write_text(text + "\n", encoding="utf-8")
    beside.replace(path)


def read_report(folder: Path) -> Plain:
    """Read the report of a finished run; raises BadRun where there is none or one of another kind."""
    path = folder if folder.is_file() else folder / REPORT_FILE
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        kind, schema = body["kind"], body["schema"]
    except FileNotFoundError as problem:
        raise BadRun(f"{path} is missing: {folder} holds no finished validation.") from problem
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise BadRun(f"{path} cannot be read: {type(problem).__name__}: {problem}.") from problem
    if kind != KIND or schema != SCHEMA:
        raise BadRun(f"{path} is {kind!r} of schema {schema!r}; this version reads {KIND!r} of schema {SCHEMA}.")
    return dict(body)


def _on_one_line(found: re.Match[str]) -> str:
    """Set a list of numbers, or an estimate, on one line."""
    return re.sub(r"\s*\n\s*", " ", found[0]).replace("[ ", "[").replace(" ]", "]")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _range(values: Sequence[float]) -> Plain | None:
    if not values:
        return None
    ordered = sorted(values)
    return {"n": len(ordered), "least": ordered[0], "median": ordered[len(ordered) // 2], "most": ordered[-1]}


def _counts(values: Sequence[str]) -> Plain:
    return {word or "not stated": values.count(word) for word in sorted(set(values))}
