"""Validation records of a package: kept beside it, outside its digest, each for exactly one digest.

A record is a folder that ``coread validate`` left: record.json of the step ``validate`` and report.json with the digest
of the package that was measured. Readers that ship with Coread keep one file ``validation.json`` beside their card.
"""

import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coread.models.errors import BrokenLineage, NotValidated
from coread.models.lineage import RECORD, read_record, sha256_of
from coread.models.writing import sync_folder

FOLDER = "validation"
REPORT = "report.json"
SHIPPED = "validation.json"


@dataclass(frozen=True, slots=True)
class ValidationRecord:
    """What proves how a package performs: where it lies, what it was made of, and whether its criteria were met."""

    folder: Path
    digest: str
    """Of the record, or SHA-256 of the shipped report."""
    package_digest: str
    cohort: str
    accepted: bool | None
    """None: no criteria were written down before the run."""


def attach_validation(release: Path, package_digest: str, source: Path) -> ValidationRecord:
    """Copy a finished validation beside a package; raises NotValidated when it is of another package."""
    found = read_validation(source)
    _require_fit(found, package_digest)
    target = release / FOLDER / found.digest[:16]
    if target.exists():
        return read_validation(target)
    incoming = release / FOLDER / f".incoming-{uuid.uuid4().hex}"
    incoming.parent.mkdir(parents=True, exist_ok=True)
    try:
        incoming.mkdir()
        # Pictures and predictions of single cases stay where they were made: a package travels, patients do not.
        for name in (RECORD, REPORT):
            shutil.copyfile(source / name, incoming / name)
        incoming.rename(target)
        sync_folder(target.parent)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return read_validation(target)


def read_validation(folder: Path) -> ValidationRecord:
    """Read and prove one validation folder; raises NotValidated or BrokenLineage."""
    record = read_record(folder, check_outputs=False)
    if record.step != "validate":
        raise NotValidated(f"{folder} is the record of the step {record.step!r}, not of a validation.")
    if REPORT not in record.outputs:
        raise NotValidated(f"{folder / RECORD} does not cover {REPORT}. Run `coread validate` again.")
    for name, wanted in record.outputs.items():
        absent = not (folder / name).is_file()
        if (absent and name == REPORT) or (not absent and sha256_of(folder / name) != wanted):
            raise BrokenLineage(f"{folder / name} is not the file that the validation made. Run it again.")
    body = _report(folder / REPORT)
    return ValidationRecord(folder, record.digest, *_facts(body))


def validations_of(release: Path, package_digest: str) -> tuple[ValidationRecord, ...]:
    """Return the sound records for exactly this digest, in the order of their names."""
    found = [read_validation(path.parent) for path in sorted((release / FOLDER).glob(f"*/{RECORD}"))]
    shipped = release / SHIPPED
    if shipped.is_file():
        found.append(ValidationRecord(release, sha256_of(shipped), *_facts(_report(shipped))))
    return tuple(item for item in found if item.package_digest == package_digest)


def require_validation(release: Path, package_digest: str, given: Path | None = None) -> ValidationRecord:
    """Return a record that allows these bytes to be used; raises NotValidated with what is missing."""
    if given is not None:
        named = read_validation(given)
        _require_fit(named, package_digest)
    usable = validations_of(release, package_digest) if given is None else (named,)
    if not usable:
        raise NotValidated(
            f"there is no validation record for package {package_digest[:16]}. Run `coread validate` on this package "
            "and name its folder with --validation, or keep it with `coread models attach-validation`."
        )
    met = [item for item in usable if item.accepted is not False]
    if not met:
        raise NotValidated(
            f"package {package_digest[:16]} was validated ({usable[-1].cohort}) and did not meet the criteria "
            "that were written down before. It is not switched on."
        )
    return met[-1]


def _require_fit(found: ValidationRecord, package_digest: str) -> None:
    if found.package_digest != package_digest:
        raise NotValidated(
            f"{found.folder} measured package {found.package_digest[:16]}, not {package_digest[:16]}: another digest "
            "is another model. Validate this package."
        )


def _report(path: Path) -> Mapping[str, Any]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(body, dict):
            raise TypeError("no JSON object")
    except (OSError, ValueError, TypeError) as problem:
        raise NotValidated(f"{path} cannot be read: {problem}. Run `coread validate` again.") from problem
    return body


def _facts(body: Mapping[str, Any]) -> tuple[str, str, bool | None]:
    """Return (package digest, cohort, criteria met) of a report."""
    cohorts, criteria = body.get("cohorts", []), body.get("criteria")
    listed = cohorts if isinstance(cohorts, list) else []
    names = ", ".join(str(item.get("name", "")) for item in listed if isinstance(item, dict))
    passed = criteria.get("passed") if isinstance(criteria, dict) else None
    return str(body.get("package_digest", "")), names, passed if isinstance(passed, bool) else None
