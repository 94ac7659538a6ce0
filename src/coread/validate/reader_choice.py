"""Finding the reader that is to be measured: by its id among the installed ones, or by its folder."""

import sys
from pathlib import Path

from coread.readers.registry import InstalledReader, inspect_reader, reader_listing, reader_of_package
from coread.validate.errors import NoSuchReader

_PACKAGE_MARK = "__init__.py"


def chosen_reader(name: str | Path) -> InstalledReader:
    """Return the reader of that id, or of that folder; raises NoSuchReader or Misconfigured saying what is wrong."""
    listing = reader_listing()
    for reader in listing.readers:
        if reader.card.reader_id == str(name):
            return reader
    folder = Path(name)
    if (folder / "card.toml").is_file() and not (folder / "reader.py").is_file():
        return reader_of_package(folder.resolve(), listing.readers)
    if (folder / "card.toml").is_file():
        return inspect_reader(_module_of(folder.resolve()), folder.resolve())
    broken = [item.problem for item in listing.problems if item.name.rsplit(".", 1)[-1] == str(name)]
    if broken:
        raise NoSuchReader(f"reader {name} is here but cannot be used: {broken[0]}")
    known = ", ".join(reader.card.reader_id for reader in listing.readers) or "none"
    raise NoSuchReader(f"{name} is no installed reader ({known}) and no folder with a card.toml.")


def make_importable(reader: InstalledReader) -> None:
    """Let a reader that lies in a folder outside any installed package be imported by its module's name."""
    root = reader.folder
    for _ in reader.module.split("."):
        root = root.parent
    if str(root) not in sys.path and not reader.module.startswith("coread."):
        sys.path.append(str(root))


def _module_of(folder: Path) -> str:
    """Return the dotted name of a folder: every parent that is a package belongs to it."""
    names = [folder.name]
    parent = folder.parent
    while (parent / _PACKAGE_MARK).is_file():
        names.insert(0, parent.name)
        parent = parent.parent
    return ".".join(names)
