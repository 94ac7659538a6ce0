"""The index of a data set: one frozen row per image, kept as Parquet beside what it came from. No pixels are kept here.

A data set is a folder: ``index.parquet`` (rows), ``dataset.json`` (name, root of the images, licence, citation) and
``record.json`` (which step made it from what). The images stay where they are, below the root.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from coread.domain.errors import InvalidRecord
from coread.models.errors import BrokenLineage
from coread.models.lineage import RECORD, StepRecord, read_record, write_record
from coread.train.errors import DataMissing, DatasetExists, MissingExtra

INDEX = "index.parquet"
DATASET = "dataset.json"
OWN = "dataset:"
"""A path that begins so lies in the data set's own folder, not below the root of its images."""
SEXES = ("F", "M", "O", "")
OLDEST = 130.0


class Box(NamedTuple):
    """A rectangle in pixels around something with a label; the maxima are exclusive."""

    label: str
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True)
class ImageRow:
    """What is known of one image; empty text and ``None`` mean that the source does not tell.

    ``path`` is relative to the root of the set: ``file``, ``archive.zip!member`` or ``arrays.npz!name#5`` (entry 5
    along the first axis; also a frame of a film or of a DICOM object, from 0).
    """

    image_id: str
    path: str
    patient_id: str = ""
    group_id: str = ""
    """What must never be divided between two parts; the patient where the set names no other group."""
    study_id: str = ""
    site: str = ""
    scanner: str = ""
    vendor: str = ""
    view: str = ""
    date: str = ""
    """ISO 8601, ``YYYY-MM-DD`` or shorter; shifted where the source shifted it."""
    dates_moved: str = ""
    """``yes`` where the date is not that of the examination, ``no`` where it is, empty where nobody says."""
    age: float | None = None
    """Years."""
    sex: str = ""
    source: str = ""
    sha256: str = ""
    labels: Mapping[str, float | None] = field(default_factory=dict)
    """0, 1, a grade or a measured number; ``None`` is unknown, never negative."""
    label_source: str = ""
    """Where the labels come from, e.g. ``report text``, ``radiologists`` or ``histology``."""
    label_uncertainty: Mapping[str, float] = field(default_factory=dict)
    """Share of raters, or 0.5 for a hedged label."""
    boxes: tuple[Box, ...] = ()
    mask: str = ""
    text: str = ""
    covariates: Mapping[str, Any] = field(default_factory=dict)
    part: str = ""
    """``train``, ``tune``, ``test``, the number of a fold, or empty before a split."""

    def __post_init__(self) -> None:
        if not self.image_id or not self.path:
            raise InvalidRecord("an image needs an identifier and a path")
        for path in (self.path, self.mask):
            if path.startswith(("/", "\\")) or ".." in path.split("!", 1)[0].removeprefix(OWN).split("/"):
                raise InvalidRecord(f"image {self.image_id}: path {path!r} leaves the folder of the set")
        if self.sex not in SEXES:
            raise InvalidRecord(f"image {self.image_id}: sex {self.sex!r} is none of F, M, O")
        if self.dates_moved not in ("", "yes", "no"):
            raise InvalidRecord(f"image {self.image_id}: dates_moved {self.dates_moved!r} is neither yes nor no")
        if self.age is not None and not 0 <= self.age <= OLDEST:
            raise InvalidRecord(f"image {self.image_id}: age {self.age} years")
        for label, value in self.labels.items():
            if value is not None and not math.isfinite(value):
                raise InvalidRecord(f"image {self.image_id}: label {label!r} is {value}; unknown is None")
        for box in self.boxes:
            if not (box.x1 > box.x0 and box.y1 > box.y0):
                raise InvalidRecord(f"image {self.image_id}: the box {tuple(box)} has no area")

    @property
    def group(self) -> str:
        """Return what must stay together: the group, else the patient, else the image itself."""
        return self.group_id or self.patient_id or self.image_id


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """A data set: its rows in their order and where the images are."""

    name: str
    root: Path
    """Folder that the paths of the rows are relative to."""
    rows: tuple[ImageRow, ...]
    folder: Path
    """The data set's own folder: what ``dataset:`` paths are relative to."""
    licence: str = ""
    citation: str = ""
    adapter: str = ""
    digest: str = ""
    left_out: tuple[tuple[str, str], ...] = ()
    """(image, reason) of rows that the build was told to leave out."""
    mask_digests: Mapping[str, str] = field(default_factory=dict)
    """Mask -> SHA-256 when the set was built; sets of before know none."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Return every label that a row has, sorted."""
        return tuple(sorted({label for row in self.rows for label in row.labels}))

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the parts of a split in sorted order; one empty name before a split."""
        return tuple(sorted({row.part for row in self.rows}))

    def part(self, name: str) -> tuple[ImageRow, ...]:
        """Return the rows of one part; raises DataMissing where the split has no such part."""
        found = tuple(row for row in self.rows if row.part == name)
        if not found:
            raise DataMissing(f"{self.name} has no part {name!r}; it has {', '.join(map(repr, self.parts))}")
        return found

    def place(self, path: str) -> Path:
        """Return the file (or archive) of a row's ``path`` or ``mask``."""
        file = path.split("!", 1)[0].split("#", 1)[0]
        return self.folder / file.removeprefix(OWN) if file.startswith(OWN) else self.root / file


def read_index(folder: Path, *, root: Path | None = None) -> ImageIndex:
    """Read a data set and prove it: the record fits the files and the digest fits the rows.

    ``root`` replaces the stored place of the images when they were moved. Raises DataMissing or BrokenLineage.
    """
    if not (folder / INDEX).is_file() and not (folder / RECORD).is_file():
        raise DataMissing(f"{folder} is no data set: it has no {INDEX}. Make one with `coread dataset build`")
    read_record(folder)
    try:
        about = json.loads((folder / DATASET).read_text(encoding="utf-8"))
        entries = _parquet_rows(folder / INDEX)
        rows = tuple(_row(entry) for entry in entries)
        stored_root, digest = Path(about["root"]), str(about["digest"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise DataMissing(f"{folder} cannot be read as a data set: {type(problem).__name__}: {problem}") from problem
    if _digest(entries) != digest:
        raise BrokenLineage(f"the rows of {folder / INDEX} are not those that {DATASET} names: build it again")
    return ImageIndex(
        name=str(about["name"]),
        root=root if root is not None else (folder / stored_root).resolve(),
        rows=rows,
        folder=folder,
        licence=str(about["licence"]),
        citation=str(about["citation"]),
        adapter=str(about["adapter"]),
        digest=digest,
        left_out=tuple((str(image), str(reason)) for image, reason in about["left_out"]),
        mask_digests={str(mask): str(sha) for mask, sha in about.get("mask_digests", {}).items()},
    )


def write_index(
    index: ImageIndex,
    *,
    step: str,
    inputs: Mapping[str, str] | None = None,
    parents: Iterable[StepRecord] = (),
    settings: Mapping[str, Any] | None = None,
    outputs: Iterable[str] = (),
) -> ImageIndex:
    """Write ``index.parquet``, ``dataset.json`` and last ``record.json`` into ``index.folder``.

    Returns the index with its digest. Raises DatasetExists when the folder already holds a finished data set, and
    InvalidRecord when two rows share an identifier.
    """
    folder = index.folder
    if (folder / RECORD).exists():
        raise DatasetExists(f"{folder} already holds a data set; name another folder")
    seen: set[str] = set()
    for row in index.rows:
        if row.image_id in seen:
            raise InvalidRecord(f"two rows are called {row.image_id}")
        seen.add(row.image_id)
    folder.mkdir(parents=True, exist_ok=True)
    finished = replace(index, digest=digest_of_rows(index.rows))
    _write_parquet(finished.rows, folder / INDEX)
    root = "." if index.root.resolve() == folder.resolve() else str(index.root.resolve())
    about = {
        "name": index.name, "root": root, "licence": index.licence, "citation": index.citation,
        "adapter": index.adapter, "images": len(index.rows), "groups": len({row.group for row in index.rows}),
        "labels": list(index.labels), "left_out": [list(entry) for entry in index.left_out],
        "digest": finished.digest,
    }  # fmt: skip
    if index.mask_digests:
        about["mask_digests"] = dict(sorted(index.mask_digests.items()))
    beside = folder / f".{DATASET}"
    beside.write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    beside.replace(folder / DATASET)
    write_record(
        folder, step, inputs=inputs or {}, outputs=[INDEX, DATASET, *outputs], parents=tuple(parents), settings=settings
    )
    return finished


def digest_of_rows(rows: Iterable[ImageRow]) -> str:
    """Return the SHA-256 over all rows, sorted by their canonical text: the order of rows does not count."""
    return _digest(_entry(row) for row in rows)


def _digest(entries: Iterable[Mapping[str, Any]]) -> str:
    """Join the columns as they stand in the Parquet file: text, JSON text, and age as the shortest exact decimal."""
    names = sorted(item.name for item in fields(ImageRow))
    # Sets of before a column was there keep the digest that they were made with.
    lines = sorted("\x1f".join(str(entry[name]) for name in names if name in entry) for entry in entries)
    return hashlib.sha256("\x1e".join(lines).encode()).hexdigest()


_JSON = ("labels", "label_uncertainty", "boxes", "covariates")
_EMPTY = {"labels": "{}", "label_uncertainty": "{}", "boxes": "[]", "covariates": "{}"}
_NUMBERS = ("age",)
_LATER = ("dates_moved",)
"""Columns that sets of before do not have."""


def _row(entry: Mapping[str, Any]) -> ImageRow:
    values = {item.name: entry[item.name] for item in fields(ImageRow) if item.name in entry or item.name not in _LATER}
    for name in _JSON:
        text = values[name]
        values[name] = {} if text == "{}" else json.loads(text)
    values["boxes"] = tuple(Box(str(box[0]), *(float(edge) for edge in box[1:5])) for box in values["boxes"])
    return ImageRow(**values)


def _entry(row: ImageRow) -> dict[str, Any]:
    values: dict[str, Any] = {item.name: getattr(row, item.name) for item in fields(ImageRow)}
    values["boxes"] = [[box.label, float(box.x0), float(box.y0), float(box.x1), float(box.y1)] for box in row.boxes]
    values["age"] = None if row.age is None else float(row.age)
    for name in _JSON:
        values[name] = json.dumps(values[name], sort_keys=True, ensure_ascii=False) if values[name] else _EMPTY[name]
    return values


def _parquet() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as problem:
        raise MissingExtra("data sets are kept as Parquet: pip install 'coread[train]' (pyarrow)") from problem
    return pyarrow


def _parquet_rows(path: Path) -> list[dict[str, Any]]:
    arrow = _parquet()
    try:
        found: list[dict[str, Any]] = arrow.parquet.read_table(path).to_pylist()
    except (arrow.ArrowException, OSError) as problem:
        raise DataMissing(f"{path} cannot be read as Parquet: {problem}") from problem
    return found


def _write_parquet(rows: Iterable[ImageRow], path: Path) -> None:
    arrow = _parquet()
    columns: dict[str, list[Any]] = {item.name: [] for item in fields(ImageRow)}
    for row in rows:
        for name, value in _entry(row).items():
            columns[name].append(value)
    kinds = {name: arrow.float64() if name in _NUMBERS else arrow.string() for name in columns}
    schema = arrow.schema([arrow.field(name, kind) for name, kind in kinds.items()])
    beside = path.with_name(f".{path.name}")
    arrow.parquet.write_table(arrow.table(columns, schema=schema), beside)
    beside.replace(path)
