"""The journal of a run: one line for each finished case, so that a run that was killed goes on where it was.

The first line says what the run is of; a journal of anything else is refused, never mixed.
One process writes at a time.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from coread.validate.errors import OtherRun
from coread.validate.records import CaseRecord, record_of

JOURNAL_FILE = "cases.jsonl"
_SYNC_EVERY = 50


class Journal:
    """An append-only file, locked while it is open; a context manager.

    Raises OtherRun when it is of another run, or another process writes it now.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self._path = path
        self._identity = dict(identity)
        self.finished: dict[str, CaseRecord] = {}
        self._unsynced = 0
        self._stream = path.open("a+b")
        try:
            _lock(self._stream, path)
            kept = _kept(path, self._identity, self.finished)
            self._stream.truncate(kept)
            if not kept:
                self._write(self._identity)
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()

    def add(self, record: CaseRecord) -> None:
        """Keep one finished case."""
        self._write(record.document())
        self.finished[record.case_id] = record

    def _write(self, body: Mapping[str, Any]) -> None:
        self._stream.write(json.dumps(body, ensure_ascii=False).encode() + b"\n")
        self._stream.flush()  # in the kernel's hands: survives the end of this process
        self._unsynced += 1
        if self._unsynced >= _SYNC_EVERY:
            os.fsync(self._stream.fileno())
            self._unsynced = 0


def read_journal(path: Path) -> tuple[dict[str, Any], dict[str, CaseRecord]]:
    """Return the identity and the finished cases of a journal; raises OtherRun where it is none."""
    finished: dict[str, CaseRecord] = {}
    try:
        with path.open("rb") as stream:
            identity = json.loads(stream.readline())
    except (OSError, ValueError) as problem:
        raise OtherRun(f"{path} is no journal of a validation: {type(problem).__name__}: {problem}.") from problem
    _kept(path, identity, finished)
    return identity, finished


def _lock(stream: IO[bytes], path: Path) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as problem:
        raise OtherRun(
            f"another process is writing {path} now. Wait until it ends, or use another folder with --out."
        ) from problem


def _kept(path: Path, identity: Mapping[str, Any], finished: dict[str, CaseRecord]) -> int:
    """Read the whole lines of an earlier run into ``finished``; returns how many bytes of the file are whole."""
    if not path.exists():
        return 0
    kept = 0
    with path.open("rb") as stream:
        for line in stream:
            if not line.endswith(b"\n"):
                break  # the line that was being written when the process ended
            body = _parsed(path, line)
            if kept == 0:
                _compare(path, body, identity)
            else:
                record = record_of(body)
                finished[record.case_id] = record
            kept += len(line)
    return kept


def _parsed(path: Path, line: bytes) -> dict[str, Any]:
    try:
        body = json.loads(line)
    except ValueError as problem:
        raise OtherRun(f"{path} is damaged: {problem}. Remove the folder and run again.") from problem
    if not isinstance(body, dict):
        raise OtherRun(f"{path} is no journal of a validation. Use another folder.")
    return body


def _compare(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for key, value in wanted.items():
        if found.get(key) != value:
            raise OtherRun(
                f"{path.parent} holds a run with {key} {_short(found.get(key))}, this one has {_short(value)}. "
                "Use another folder with --out, or remove that one."
            )


def _short(value: object) -> str:
    """Return a value for people: of a digest its beginning."""
    words = str(value)
    return words[:16] if len(words) == 64 else words[:80]
