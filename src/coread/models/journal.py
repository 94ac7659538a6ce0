"""The journal of switches: which version of each reader is active at this site, and every change with who and when.

One file, written whole and renamed: after ``kill -9`` there is the old journal or the new one, and the active version
is never anything else than its last line. Entries are chained by hashes, so that a line changed by hand is noticed.
"""

import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from coread.models.errors import BrokenJournal
from coread.models.writing import canonical, write_json

JOURNAL = "journal.json"
BUILT_IN = "built-in"
"""Stands for the version that came with the installed code."""
NONE = "none"
"""Stands for no version at all: an imported reader before its first switch, or after that was taken back."""
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Switch:
    """One change of the active version of one reader."""

    at: str
    actor: str
    action: str
    """``switch`` or ``rollback``."""
    reader_id: str
    from_digest: str
    to_digest: str
    """A digest, ``built-in`` or ``none``."""
    validation: str
    """Digest of the validation record that allowed it; empty for a rollback."""
    signature: str
    replay: str
    """Digest of the record of the replay that was accepted before it; empty: none was asked."""
    reason: str
    previous: str = ""
    digest: str = ""

    def sentence(self) -> str:
        """Say it in one line for the history."""
        names = [digest[:16] for digest in (self.from_digest, self.to_digest)]
        why = f": {self.reason}" if self.reason else ""
        return f"{self.reader_id}: {self.action} from {names[0]} to {names[1]}{why} [{self.digest[:16]}]"


class Journal:
    """The switches of one site, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / JOURNAL

    def entries(self) -> tuple[Switch, ...]:
        """Return every switch, oldest first; raises BrokenJournal when a line was changed."""
        if not self.path.exists():
            return ()
        try:
            body = json.loads(self.path.read_text(encoding="utf-8"))
            if body["schema"] != SCHEMA:
                raise ValueError(f"schema {body['schema']!r}")
            found = tuple(Switch(**{key: str(value) for key, value in item.items()}) for item in body["entries"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
            raise BrokenJournal(f"{self.path} cannot be read: {problem}. Restore it from a backup.") from problem
        previous = ""
        for number, item in enumerate(found, start=1):
            if item.previous != previous or item.digest != _digest(item):
                raise BrokenJournal(f"{self.path}: entry {number} was changed by hand. Restore it from a backup.")
            previous = item.digest
        return found

    def active(self) -> dict[str, str]:
        """Return the active digest of each reader that was ever switched; ``built-in`` may be one."""
        return {item.reader_id: item.to_digest for item in self.entries()}

    def undo_of(self, reader_id: str) -> tuple[str, ...]:
        """Return the versions to which rollbacks lead, the nearest first: every switch that was not taken back."""
        stack: list[str] = []
        for item in self.entries():
            if item.reader_id != reader_id:
                continue
            if item.action == "rollback":
                stack.pop()
            else:
                stack.append(item.from_digest)
        return tuple(reversed(stack))

    def append(self, change: Switch) -> Switch:
        """Add one entry; it must be called while ``held``."""
        entries = self.entries()
        linked = replace(change, at=change.at or _now(), previous=entries[-1].digest if entries else "", digest="")
        whole = replace(linked, digest=_digest(linked))
        body = {"schema": SCHEMA, "entries": [asdict(item) for item in (*entries, whole)]}
        write_json(self.path, body, mode=0o600)
        return whole

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from switching meanwhile; the lock falls with the process."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / ".lock").open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def stamp(self) -> tuple[int, int, int]:
        """Return numbers that change with every switch: cheap enough to look at before every work item."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return (0, 0, 0)
        return (status.st_ino, status.st_mtime_ns, status.st_size)


def _digest(item: Switch) -> str:
    body = {key: value for key, value in asdict(item).items() if key != "digest"}
    return hashlib.sha256(canonical(body)).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
