"""The record of one step on the way from images to a locked reader: hash-linked to the steps before it.

``dataset build -> split -> train -> calibrate -> validate -> lock -> switch`` each leave one ``record.json`` in their
folder. A record names what went in and what came out by SHA-256 and its parents by their own digests, so that a locked
reader leads back to the bytes of its images.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import coread
from coread.models.errors import BrokenLineage

RECORD = "record.json"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step: ``inputs`` and ``outputs`` map a name to the SHA-256 of its bytes, ``parents`` are record digests."""

    step: str
    made_at: str
    coread_version: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    parents: tuple[str, ...]
    settings: Mapping[str, Any]
    digest: str


def write_record(
    folder: Path,
    step: str,
    *,
    inputs: Mapping[str, str],
    outputs: Sequence[str],
    parents: Sequence[StepRecord] = (),
    settings: Mapping[str, Any] | None = None,
) -> StepRecord:
    """Write ``record.json`` into the folder of a finished step; ``outputs`` are names of files in that folder."""
    body = {
        "schema": SCHEMA,
        "step": step,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "coread_version": coread.__version__,
        "inputs": dict(inputs),
        "outputs": {name: sha256_of(folder / name) for name in outputs},
        "parents": [parent.digest for parent in parents],
        "settings": dict(settings or {}),
    }
    body["digest"] = _digest(body)
    path = folder / RECORD
    beside = path.with_name(f".{RECORD}.{os.getpid()}")
    beside.write_text(json.dumps(body, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    beside.replace(path)
    return _record(body)


def read_record(folder: Path, *, check_outputs: bool = True) -> StepRecord:
    """Read the record of a step and prove it: its own digest, and (unless told not to) the bytes of its outputs.

    Raises BrokenLineage with what differs.
    """
    path = folder / RECORD
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        record = _record(body)
    except FileNotFoundError as problem:
        raise BrokenLineage(f"{path} is missing: the step before this one was not finished.") from problem
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise BrokenLineage(f"{path} cannot be read: {type(problem).__name__}: {problem}.") from problem
    if record.digest != _digest({key: value for key, value in body.items() if key != "digest"}):
        raise BrokenLineage(f"{path} was changed after it was written: its digest does not fit.")
    for name, wanted in record.outputs.items() if check_outputs else ():
        if not (folder / name).is_file() or sha256_of(folder / name) != wanted:
            raise BrokenLineage(f"{folder / name} is not the file that the step {record.step!r} made. Run it again.")
    return record


def sha256_of(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of_folder(folder: Path, suffix: str = "") -> str:
    """Return one SHA-256 over the files below a folder (names and bytes, free of order and times).

    With ``suffix`` only files that end so. Raises BrokenLineage where there is none: nothing has no digest.
    """
    files = sorted(path for path in folder.rglob(f"*{suffix}") if path.is_file())
    if not files:
        raise BrokenLineage(f"{folder} holds no file{f' *{suffix}' if suffix else ''}: nothing can be named by digest.")
    lines = [f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}" for path in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _record(body: Mapping[str, Any]) -> StepRecord:
    return StepRecord(
        step=str(body["step"]),
        made_at=str(body["made_at"]),
        coread_version=str(body["coread_version"]),
        inputs={str(key): str(value) for key, value in body["inputs"].items()},
        outputs={str(key): str(value) for key, value in body["outputs"].items()},
        parents=tuple(str(parent) for parent in body["parents"]),
        settings=dict(body["settings"]),
        digest=str(body["digest"]),
    )
