"""Which readers are installed: found by card files, listed without importing any reader's code or an engine.

Built-in readers lie in folders beside this file. Readers from outside register an entry point of the group
``coread.readers`` whose value is the package that holds card.toml, reader.py and model/.
"""

import importlib
import importlib.util
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

from coread.domain.boxed import BoxReader
from coread.domain.cards import ReaderCard
from coread.domain.errors import Misconfigured
from coread.domain.reading import Reader
from coread.readers.card_file import CARD_FILE, read_card
from coread.readers.errors import BrokenReader

GROUP = "coread.readers"
_BUILT_IN = "coread.readers"
MODEL_FOLDER = "model"
_MANIFEST = "manifest.json"
_BOXED = "boxed.py"
PLANNED = "coread.readers.planned"
"""The code of every reader that is a plan in its package; it has no card and is none itself."""
PLAN_FILE = "preprocessing.json"


@dataclass(frozen=True, slots=True)
class InstalledReader:
    """A reader that can be routed to: its card, where it lies, and the digest its package claims to have."""

    card: ReaderCard
    folder: Path
    package_digest: str
    module: str
    package: Path | None = None
    """Where another version of card and model lies that this site switched on; None: beside the code."""

    @property
    def model_folder(self) -> Path:
        """The folder of the locked model package."""
        return (self.package or self.folder) / MODEL_FOLDER

    @property
    def card_path(self) -> Path:
        """The card file."""
        return (self.package or self.folder) / CARD_FILE


@dataclass(frozen=True, slots=True)
class ReaderProblem:
    """A reader that is here but cannot be used, with what is wrong; shown to people, never dropped."""

    name: str
    folder: str
    problem: str


@dataclass(frozen=True, slots=True)
class ReaderListing:
    """All readers of this installation: the usable ones and the broken ones."""

    readers: tuple[InstalledReader, ...]
    problems: tuple[ReaderProblem, ...]


def installed_readers() -> tuple[InstalledReader, ...]:
    """Return the usable readers, by reader id; ``reader_listing`` also tells of the broken ones."""
    return reader_listing().readers


def reader_listing(extra: Iterable[tuple[str, Path]] = ()) -> ReaderListing:
    """List every reader: built in, registered by entry points, and ``extra`` pairs of (module, folder)."""
    found: dict[str, InstalledReader] = {}
    problems: list[ReaderProblem] = []
    for module, folder in _places(problems, extra):
        try:
            reader = inspect_reader(module, folder)
        except Misconfigured as problem:
            problems.append(ReaderProblem(module, str(folder), str(problem)))
            continue
        known = found.setdefault(reader.card.reader_id, reader)
        if known is not reader and known.folder != reader.folder:
            text = f"reader id {reader.card.reader_id!r} is already taken by {known.folder}. Rename or remove one."
            problems.append(ReaderProblem(module, str(folder), text))
    return ReaderListing(tuple(found[key] for key in sorted(found)), tuple(problems))


def inspect_reader(module: str, folder: Path) -> InstalledReader:
    """Read the card and the package's claimed digest; raises Misconfigured when the folder is not a usable reader."""
    card = read_card(folder / CARD_FILE)
    if not (folder / "reader.py").is_file():
        raise BrokenReader(f"{folder} has a card but no reader.py. Add it, or remove the folder.")
    return InstalledReader(card, folder, _claimed_digest(folder / MODEL_FOLDER / _MANIFEST, card), module)


def with_package(reader: InstalledReader, package: Path) -> InstalledReader:
    """Return a reader with the card and model of another version; its code stays. Raises Misconfigured."""
    card = read_card(package / CARD_FILE)
    if card.reader_id != reader.card.reader_id:
        raise BrokenReader(f"{package} is a package of {card.reader_id!r}, not of {reader.card.reader_id!r}.")
    digest = _claimed_digest(package / MODEL_FOLDER / _MANIFEST, card)
    return replace(reader, card=card, package_digest=digest, package=package)


def planned_reader(package: Path) -> InstalledReader:
    """Return a reader without code of its own: the plan in its package (``model/preprocessing.json``) drives it."""
    if not (package / MODEL_FOLDER / PLAN_FILE).is_file():
        raise BrokenReader(
            f"{package} has neither a reader's code installed here nor {MODEL_FOLDER}/{PLAN_FILE}. Install the code."
        )
    card = read_card(package / CARD_FILE)
    return InstalledReader(card, package, _claimed_digest(package / MODEL_FOLDER / _MANIFEST, card), PLANNED, package)


def reader_of_package(package: Path, installed: Iterable[InstalledReader]) -> InstalledReader:
    """Return the reader that a package without code makes: with the installed code of its reader, or from its plan."""
    wanted = read_card(package / CARD_FILE).reader_id
    base = next((reader for reader in installed if reader.card.reader_id == wanted), None)
    return planned_reader(package) if base is None else with_package(base, package)


def load_reader(installed: InstalledReader) -> Reader:
    """Import the reader's code and build it with its card; raises BrokenReader when that cannot be done.

    The one reader that is driven by a plan is given its package's folder too.
    """
    name = f"{installed.module}.reader"
    try:
        module = importlib.import_module(name)
        if installed.module == PLANNED:
            planned = cast(Callable[[ReaderCard, Path], Reader], module.planned_reader)
            reader = planned(installed.card, installed.model_folder)
        else:
            reader = cast(Callable[[ReaderCard], Reader], module.reader)(installed.card)
    except Exception as problem:
        raise BrokenReader(f"{name} cannot be loaded: {type(problem).__name__}: {problem}.") from problem
    if reader.card != installed.card:
        raise BrokenReader(f"{name}: reader(card) did not keep its card. Return a reader whose .card is that card.")
    return reader


def load_box_reader(installed: InstalledReader) -> BoxReader | None:
    """Import what a reader offers for boxes that a person drew; ``None`` where nothing. Raises BrokenReader."""
    if not (installed.folder / _BOXED).is_file():
        return None
    name = f"{installed.module}.{_BOXED.removesuffix('.py')}"
    try:
        return cast(Callable[[ReaderCard], BoxReader], importlib.import_module(name).box_reader)(installed.card)
    except Exception as problem:
        raise BrokenReader(f"{name} cannot be loaded: {type(problem).__name__}: {problem}.") from problem


def _places(problems: list[ReaderProblem], extra: Iterable[tuple[str, Path]]) -> list[tuple[str, Path]]:
    root = Path(__file__).resolve().parent
    places = {path.parent: f"{_BUILT_IN}.{path.parent.name}" for path in sorted(root.glob(f"*/{CARD_FILE}"))}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        folder = _folder_of(point.value)
        if folder is None:
            text = f"package {point.value!r} cannot be found. Install it again, or remove its entry point."
            problems.append(ReaderProblem(point.name, "", text))
        else:
            places.setdefault(folder, point.value)
    for module, folder in extra:
        places.setdefault(folder.resolve(), module)
    return [(module, folder) for folder, module in places.items()]


def _folder_of(package: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))).resolve()


def _claimed_digest(manifest: Path, card: ReaderCard) -> str:
    try:
        body = json.loads(manifest.read_text(encoding="utf-8"))
        claimed = str(body["reader_id"]), str(body["version"])
        digest = str(body["digest"])
    except FileNotFoundError as problem:
        raise BrokenReader(f"{manifest} is missing: the model package was never locked.") from problem
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise BrokenReader(f"{manifest} cannot be read: {type(problem).__name__}: {problem}.") from problem
    if claimed != (card.reader_id, card.version):
        raise BrokenReader(f"{manifest} is for {claimed[0]} {claimed[1]}, not {card.reader_id} {card.version}.")
    return digest
