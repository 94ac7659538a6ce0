"""Typed reading of label tables: every wrong cell is named by file, line and column."""

import csv
import gzip
import io
import json
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coread.train.errors import BadTable, DataMissing


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line of a table; every question names the column and fails with the place when the answer is no good."""

    cells: Mapping[str, str]
    where: str

    def text(self, column: str) -> str:
        """Return a cell without outer spaces; empty where the table has no such column."""
        return self.cells.get(column, "").strip()

    def needed(self, column: str) -> str:
        """Return a cell that must not be empty."""
        value = self.text(column)
        if not value:
            raise BadTable(f"{self.where}: column {column!r} is empty")
        return value

    def number(self, column: str) -> float | None:
        """Return a finite number, or None where the cell is empty."""
        value = self.text(column)
        if not value or value.lower() in ("nan", "na", "n/a", "none"):
            return None
        try:
            found = float(value)
        except ValueError as problem:
            raise BadTable(f"{self.where}: column {column!r} holds {value!r}, which is no number") from problem
        if not math.isfinite(found):
            raise BadTable(f"{self.where}: column {column!r} holds {value!r}, which is not finite")
        return found

    def numbers(self, columns: Sequence[str]) -> tuple[float, ...] | None:
        """Return several numbers, or None where any of the cells is empty."""
        found = [self.number(column) for column in columns]
        known = tuple(value for value in found if value is not None)
        return known if len(known) == len(found) else None

    def whole(self, column: str) -> int:
        """Return a whole number that must be there."""
        self.needed(column)
        value = self.number(column)
        if value is None or not value.is_integer():
            raise BadTable(f"{self.where}: column {column!r} holds {self.text(column)!r}, which is no whole number")
        return int(value)

    def flag(self, column: str) -> float | None:
        """Return 1.0, 0.0 or None for a cell that holds 1, 0 or nothing."""
        value = self.number(column)
        if value not in (None, 0.0, 1.0):
            raise BadTable(f"{self.where}: column {column!r} holds {self.text(column)!r}, which is neither 0 nor 1")
        return value

    def choice(self, column: str, choices: Iterable[str]) -> str:
        """Return a cell that must be one of the choices."""
        value = self.text(column)
        allowed = list(choices)
        if value not in allowed:
            raise BadTable(
                f"{self.where}: column {column!r} holds {value!r}, which is outside the list: {', '.join(allowed)}"
            )
        return value

    def choices(self, column: str, choices: Iterable[str], separator: str = "|") -> tuple[str, ...]:
        """Return the parts of a cell, each of which must be one of the choices."""
        allowed = tuple(choices)
        parts = self.needed(column).split(separator)
        return tuple(TableRow({column: part}, self.where).choice(column, allowed) for part in parts)

    def sex(self, column: str) -> str:
        """Return F, M, O or empty for the usual ways to write a sex."""
        value = self.text(column).upper()
        known = {"F": "F", "FEMALE": "F", "W": "F", "M": "M", "MALE": "M", "O": "O", "OTHER": "O"}
        if value in ("", "U", "UNKNOWN", "NAN", "N/A"):
            return ""
        if value not in known:
            raise BadTable(f"{self.where}: column {column!r} holds {self.text(column)!r}, which is no sex")
        return known[value]

    def years(self, column: str) -> float | None:
        """Return an age in years from ``54``, ``054Y`` or ``006M``; None for the impossible (above 120)."""
        value = self.text(column).upper()
        per_year = {"Y": 1.0, "M": 12.0, "W": 52.1775, "D": 365.25}
        if value and value[-1] in per_year:
            number = TableRow({column: value[:-1]}, self.where).number(column)
            found = None if number is None else number / per_year[value[-1]]
        else:
            found = self.number(column)
        return found if found is not None and 0 <= found <= 120 else None


def read_table(path: Path, needed: Sequence[str], *, delimiter: str = ",") -> Iterator[TableRow]:
    """Yield the lines of a CSV file (also ``.csv.gz`` and ``.csv.zip``) that must have the ``needed`` columns.

    Spaces around column names are ignored: several official tables have them.
    """
    text = _text_of(path)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip() for name in reader.fieldnames or []]
        missing = [column for column in needed if column not in names]
        if missing:
            raise BadTable(f"{path} has no column {', '.join(map(repr, missing))}; it has {', '.join(names)}")
        reader.fieldnames = names
        for cells in reader:
            if not any(value.strip() for value in cells.values() if isinstance(value, str)):
                continue  # spreadsheets leave lines of commas at the end
            where = f"{path} line {reader.line_num}"
            if any(cells.get(column) is None for column in needed):
                raise BadTable(f"{where}: the line is shorter than the head of the table")
            yield TableRow({key: value or "" for key, value in cells.items() if isinstance(key, str)}, where)
    except csv.Error as problem:
        raise BadTable(f"{path} line {reader.line_num}: {problem}") from problem


def read_json(path: Path) -> Any:
    """Return a JSON document; raises BadTable where it is none."""
    try:
        return json.loads(_text_of(path))
    except ValueError as problem:
        raise BadTable(f"{path} is no JSON document: {problem}") from problem


def read_lines(path: Path) -> tuple[str, ...]:
    """Return the lines of a text file without outer spaces and empty lines."""
    return tuple(line.strip() for line in _text_of(path).splitlines() if line.strip())


def _text_of(path: Path) -> str:
    if not path.is_file():
        raise DataMissing(f"{path} is not there")
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                data = archive.read(archive.namelist()[0])
        return data.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError, zipfile.BadZipFile, IndexError) as problem:
        raise BadTable(f"{path} cannot be read: {type(problem).__name__}: {problem}") from problem
