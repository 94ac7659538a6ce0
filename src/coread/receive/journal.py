"""What was done with files that stay where they are: one JSON line per file, read again at the next start."""

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FileMark:
    """What changes when a file changes."""

    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> "FileMark | None":
        """Return the mark of a file, or None when it has just gone."""
        try:
            state = path.stat()
        except FileNotFoundError:
            return None
        return cls(state.st_size, state.st_mtime_ns)


class Journal:
    """Remembers handled files by name, size and time of change. The file is made with the first entry."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._marks: dict[str, FileMark] = {}
        for line in path.read_text("utf-8").splitlines() if path.exists() else []:
            try:
                entry = json.loads(line)
                self._marks[entry["file"]] = FileMark(entry["size"], entry["modified_ns"])
            except (ValueError, KeyError, TypeError):
                _LOG.warning("a line of %s cannot be read; that file will be taken again", path.name)

    def knows(self, file: Path, mark: FileMark) -> bool:
        """Say whether this very state of the file was handled."""
        return self._marks.get(self._name(file)) == mark

    def add(self, file: Path, mark: FileMark, fate: str, detail: str) -> None:
        """Remember one handled file."""
        name = self._name(file)
        self._marks[name] = mark
        entry = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "file": name,
            "size": mark.size,
            "modified_ns": mark.modified_ns,
            "fate": fate,
            "detail": detail,
        }
        try:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(entry) + "\n")
        except OSError as error:
            # A folder that cannot be written: remembered in memory, taken again (as duplicates) after a restart.
            _LOG.warning("the journal of the watched folder cannot be written: %s", error.strerror)

    def _name(self, file: Path) -> str:
        return file.relative_to(self._path.parent).as_posix()
