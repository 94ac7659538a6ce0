"""Validation records of a package: kept beside it, outside its digest, each for exactly one digest.

A record is a folder that ``coread validate`` left: record.json of the step ``validate`` and report.json with the digest
of the package that was measured. Readers that ship with Coread keep one file ``validation.json`` beside their card: it
is part of the installed code. The same file beside any other package is its maker's word and counts for nothing.
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
    _refuse_link(release / FOLDER)
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
    for name in (RECORD, REPORT):
        _refuse_link(folder / name)
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


def validations_of(release: Path, package_digest: str, *, built_in: bool = False) -> tuple[ValidationRecord, ...]:
    """Return the sound records for exactly this digest, in the order of their names; raises NotValidated for links.

    Only of a ``built_in`` release the file that came with it counts.
    """
    found = [read_validation(folder) for folder in _kept(release / FOLDER)]
    shipped = release / SHIPPED
    if built_in and shipped.is_file():
        found.append(ValidationRecord(release, sha256_of(shipped), *_facts(_report(shipped))))
    return tuple(item for item in found if item.package_digest == package_digest)


def require_validation(
    release: Path, package_digest: str, given: Path | None = None, *, built_in: bool = False
) -> ValidationRecord:
    """Return a record that allows these bytes to be used; raises NotValidated with what is missing.

    Where criteria were not met, only a record whose own criteria were met allows them.
    """
    known = validations_of(release, package_digest, built_in=built_in)
    named = None
    if given is not None:
        named = read_validation(given)
        _require_fit(named, package_digest)
        known = (*known, named)
    if not known:
        raise NotValidated(
            f"there is no validation record for package {package_digest[:16]}. Run `coread validate` on this package "
            "and name its folder with --validation, or keep it with `coread models attach-validation`."
        )
    failed = [item for item in known if item.accepted is False]
    met = [item for item in known if item.accepted]
    if (named is not None and named.accepted is False) or (failed and not met):
        raise NotValidated(
            f"package {package_digest[:16]} was validated ({failed[-1].cohort}) and did not meet the criteria "
            "that were written down before. It is not switched on."
        )
    allowing = met if failed else known
    return named if named in allowing and named is not None else (met or known)[-1]


def _kept(folder: Path) -> list[Path]:
    """Return the folders of attached records; what a killed process left is none."""
    _refuse_link(folder)
    found = sorted(path for path in folder.glob("*") if not path.name.startswith("."))
    for path in found:
        _refuse_link(path)
    return [path for path in found if (path / RECORD).exists() or (path / RECORD).is_symlink()]


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise NotValidated(f"{path} is a link: a validation record holds plain files only. Attach it anew.")


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
