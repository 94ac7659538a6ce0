"""Finds the images of a set below its folder, whichever of the usual ways it was unpacked."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

from coread.train.errors import CorruptImage, DataMissing


class SourceTree:
    """All files below a folder by name and by path; a ``.zip`` among ``archives`` is looked into."""

    def __init__(self, root: Path, endings: Iterable[str], archives: Iterable[str] = ()) -> None:
        if not root.is_dir():
            raise DataMissing(f"{root} is no folder")
        self.root = root
        self._endings = tuple(endings)
        self._by_name: dict[str, list[str]] = {}
        for path in sorted(root.rglob("*")):
            if path.name.lower().endswith(self._endings) and path.is_file():
                self._add(path.relative_to(root).as_posix(), path.name)
        for name in archives:
            if (root / name).is_file():
                self._look_into(root / name, name)

    def _look_into(self, archive: Path, name: str) -> None:
        try:
            with zipfile.ZipFile(archive) as opened:
                for member in sorted(opened.namelist()):
                    if member.lower().endswith(self._endings):
                        self._add(f"{name}!{member}", Path(member).name)
        except zipfile.BadZipFile as problem:
            raise CorruptImage(f"{archive} is no zip archive: {problem}") from problem

    def _add(self, path: str, name: str) -> None:
        self._by_name.setdefault(name, []).append(path)

    @property
    def paths(self) -> tuple[str, ...]:
        """Return every path in order."""
        return tuple(sorted(path for paths in self._by_name.values() for path in paths))

    def has(self, name: str) -> bool:
        """Say whether a file with this name is there."""
        return name in self._by_name

    def named(self, name: str) -> str:
        """Return the path of the file with this name; where it is missing, the place where it was looked for.

        The build finds out that it is not there and names it: one missing image must not hide the others.
        """
        return self._by_name.get(name, [name])[0]

    def ending_with(self, tail: str) -> str:
        """Return the path that ends with this relative path; where it is missing, the relative path itself."""
        for path in self._by_name.get(tail.rsplit("/", 1)[-1], []):
            if path == tail or path.endswith(("/" + tail, "!" + tail)):
                return path
        return tail


def first_file(root: Path, *names: str) -> Path:
    """Return the first of these files that is below the folder (directly, else anywhere); raises DataMissing."""
    if not root.is_dir():
        raise DataMissing(f"{root} is no folder")
    for name in names:
        if (root / name).is_file():
            return root / name
    for name in names:
        found = sorted(root.rglob(name))
        if found:
            return found[0]
    raise DataMissing(f"{root} holds none of: {', '.join(names)}")


def optional_file(root: Path, *names: str) -> Path | None:
    """Return the first of these files that is below the folder, or None."""
    try:
        return first_file(root, *names)
    except DataMissing:
        return None
