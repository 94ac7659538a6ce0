"""Freezing a cohort: one digest over its description, its table and every byte of its files.

What was frozen is proved before every run and again while the files are read; the root is no part of it.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import coread
from coread.validate.cohort import CASES_FILE, Cohort
from coread.validate.errors import BadCohort, CohortChanged
from coread.validate.sources import Sources

FROZEN_FILE = "frozen.json"
SCHEMA = 1
Progress = Callable[[int, int, str], None]
"""(done, total, what)"""


@dataclass(frozen=True, slots=True)
class Frozen:
    """What a cohort was when it was frozen: the SHA-256 of each file by its reference, and one digest over all."""

    files: Mapping[str, str]
    table: str
    digest: str
    frozen_at: str


def freeze(cohort: Cohort, *, progress: Progress | None = None) -> Frozen:
    """Write ``frozen.json`` for the cohort as it is now, or prove the one that is there.

    Raises CohortChanged naming the first file that differs, and BadCohort when a file cannot be read.
    """
    path = cohort.folder / FROZEN_FILE
    now = _measured(cohort, progress)
    if path.is_file():
        return _proved(path, now)
    body = {
        "schema": SCHEMA,
        "cohort": cohort.name,
        "cases": len(cohort.cases),
        "frozen_at": now.frozen_at,
        "coread_version": coread.__version__,
        "table": now.table,
        "files": dict(sorted(now.files.items())),
        "digest": now.digest,
    }
    beside = path.with_name(f".{FROZEN_FILE}.{os.getpid()}")
    try:
        beside.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        beside.replace(path)
    except OSError as problem:
        raise BadCohort(
            f"{path} cannot be written ({problem.strerror}). It is frozen in its own folder: make that writable once."
        ) from problem
    return now


def cohort_digest(cohort: Cohort, files: Mapping[str, str], table: str) -> str:
    """Return the digest over description, table and files; the root is left out."""
    stated = json.dumps(cohort.stated, sort_keys=True, ensure_ascii=False, default=str)
    lines = [f"coread cohort {SCHEMA}", f"description {hashlib.sha256(stated.encode()).hexdigest()}", f"table {table}"]
    lines += [f"{digest}  {name}" for name, digest in sorted(files.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _measured(cohort: Cohort, progress: Progress | None) -> Frozen:
    references = cohort.references()
    files: dict[str, str] = {}
    with Sources(cohort.root) as sources:
        for number, reference in enumerate(references, start=1):
            files[reference.text] = sources.digest(reference)
            if progress is not None:
                progress(number, len(references), "proving the cohort")
    table = hashlib.sha256((cohort.folder / CASES_FILE).read_bytes()).hexdigest()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Frozen(files, table, cohort_digest(cohort, files, table), now)


def _proved(path: Path, now: Frozen) -> Frozen:
    try:
        body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        then = Frozen(dict(body["files"]), str(body["table"]), str(body["digest"]), str(body["frozen_at"]))
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise CohortChanged(f"{path} cannot be read: {type(problem).__name__}: {problem}.") from problem
    if then.digest == now.digest:
        return then
    mend = f"Bring the frozen bytes back, or remove {path} to freeze another cohort under another name."
    if then.table != now.table:
        raise CohortChanged(f"{CASES_FILE} is not the table that was frozen on {then.frozen_at}. {mend}")
    for name in sorted(set(then.files) | set(now.files)):
        if then.files.get(name) != now.files.get(name):
            raise CohortChanged(f"{name} is not what was frozen on {then.frozen_at}. {mend}")
    raise CohortChanged(f"the description in cohort.toml is not what was frozen on {then.frozen_at}. {mend}")
