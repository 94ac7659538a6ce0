"""The files that a user named on the command line."""

from collections.abc import Sequence
from pathlib import Path


def files_below(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the files among and below the paths, sorted, hidden ones left out."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found.extend(file for file in sorted(path.rglob("*")) if file.is_file() and not file.name.startswith("."))
        elif path.is_file():
            found.append(path)
    return tuple(found)
