"""Any folder of DICOM files with a CSV of labels: the header gives patient, study, scanner, view, date, age and sex."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

from coread.domain.study import InstanceHeader
from coread.imaging.errors import ImagingRefused
from coread.imaging.header import scan_header
from coread.imaging.moved_dates import dates_moved
from coread.train.adapters.contract import Adapter, Draft, ReadOptions
from coread.train.adapters.tables import TableRow, read_table
from coread.train.datasets import ImageRow
from coread.train.errors import BadTable, CorruptImage, DataMissing

KEYS = ("path", "sop_instance_uid", "series_instance_uid", "study_instance_uid", "accession_number", "patient_id")
"""What a line of the table may be joined to images by, the most exact first."""
_TEXTS = ("patient_id", "group_id", "site", "scanner", "vendor", "view", "date", "dates_moved", "text", "label_source")


def read_dicom_table(source: Path, options: ReadOptions) -> Iterator[Draft]:
    """Join a table to DICOM files by path, UID, accession number or patient, whichever column it has.

    ``options.columns`` maps fields of an image row and the names in KEYS to columns of the table. A line that fits no
    file is an error; a file without a line is left out.
    """
    if options.table is None:
        raise DataMissing("this adapter needs a table of labels: name it with --set table=labels.csv")
    lines = list(read_table(options.table, tuple(options.columns.values())))
    if not lines:
        raise BadTable(f"{options.table} has no lines")
    key, column = _joining_column(options.table, lines[0].cells, options.columns)
    labels = options.labels or _number_columns(lines, {column, *options.columns.values()})
    if not labels:
        raise BadTable(f"{options.table} has no column of numbers to use as labels; name them with --label")
    wanted = {line.needed(column): line for line in lines}
    if len(wanted) < len(lines):
        raise BadTable(f"{options.table}: column {column!r} names the same {key} on two lines")
    joined: set[str] = set()
    for path, header in dicom_files(source):
        value = path if key == "path" else str(getattr(header, key))
        if value in wanted:
            joined.add(value)
            row = with_dates_moved(row_of_header(path, header), source / path)
            yield Draft(_row(row, wanted[value], labels=labels, columns=options.columns))
    lost = [value for value in wanted if value not in joined]
    if lost:
        raise DataMissing(
            f"{len(lost)} lines of {options.table} fit no file below {source} by {key}: {', '.join(lost[:5])}"
        )


def read_dicom_folder(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read every DICOM file below the folder, without labels: for pretraining, or to be labelled later."""
    for path, header in dicom_files(source):
        if header.rows:
            yield Draft(with_dates_moved(row_of_header(path, header), source / path))


def dicom_files(source: Path) -> Iterator[tuple[str, InstanceHeader]]:
    """Yield (path below the folder, header) of every DICOM file; a ``.dcm`` that cannot be read is an error."""
    if not source.is_dir():
        raise DataMissing(f"{source} is no folder")
    for path in sorted(source.rglob("*")):
        named = path.suffix.lower() in (".dcm", ".dicom")
        if not path.is_file() or path.name == "DICOMDIR" or not (named or _has_prefix(path)):
            continue
        try:
            yield path.relative_to(source).as_posix(), scan_header(path)
        except ImagingRefused as refusal:
            if named:
                raise CorruptImage(f"{path} cannot be read: {refusal}") from refusal


def _has_prefix(path: Path) -> bool:
    """Say whether a file of any name begins like a DICOM file (PS3.10 section 7.1)."""
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def row_of_header(path: str, header: InstanceHeader) -> ImageRow:
    """Return what a header tells of an image; labels are for the caller."""
    return ImageRow(
        image_id=header.sop_instance_uid,
        path=path,
        patient_id=header.patient_id,
        group_id=header.patient_id,
        study_id=header.study_instance_uid,
        site=header.institution_name,
        scanner=header.manufacturer_model_name,
        vendor=header.manufacturer,
        view=header.view_position,
        date=iso_date(header.study_date),
        age=_years(header.patient_age),
        sex=header.patient_sex if header.patient_sex in ("F", "M", "O") else "",
        source="dicom",
        covariates={
            name: value
            for name, value in (("modality", header.modality), ("body_part", header.body_part_examined))
            if value
        },
    )


def with_dates_moved(row: ImageRow, file: Path) -> ImageRow:
    """Return the row with what its file says of its date: an archive may have moved it before we got it."""
    moved = dates_moved(file) if row.date else None
    return row if moved is None else replace(row, dates_moved="yes" if moved else "no")


def iso_date(text: str) -> str:
    """Return ``YYYY-MM-DD`` of a DICOM date, or empty where the header holds none that exists."""
    with contextlib.suppress(ValueError):
        return date.fromisoformat(text).isoformat()
    return ""


def _years(text: str) -> float | None:
    with contextlib.suppress(BadTable):
        return TableRow({"age": text}, "header").years("age")
    return None


def _joining_column(table: Path, cells: Mapping[str, str], columns: Mapping[str, str]) -> tuple[str, str]:
    for key in KEYS:
        if key in columns:
            return key, columns[key]
    for key in KEYS:
        keyword = "".join(part.capitalize() for part in key.split("_")).replace("Uid", "UID").replace("Id", "ID")
        for name in (key, keyword):
            if name in cells:
                return key, name
    raise BadTable(
        f"{table} has no column to find images by; it has {', '.join(cells)}. "
        "Name one with --column path=COLUMN (or sop_instance_uid, study_instance_uid, accession_number, patient_id)"
    )


def _number_columns(lines: list[TableRow], without: set[str]) -> tuple[str, ...]:
    def holds_numbers(column: str) -> bool:
        try:
            return any(line.number(column) is not None for line in lines)
        except BadTable:
            return False

    reserved = {item.name for item in fields(ImageRow)} | set(KEYS)
    return tuple(name for name in lines[0].cells if name not in without | reserved and holds_numbers(name))


def _row(row: ImageRow, line: TableRow, *, labels: tuple[str, ...], columns: Mapping[str, str]) -> ImageRow:
    changes: dict[str, Any] = {name: line.text(columns[name]) for name in _TEXTS if name in columns}
    if "age" in columns:
        changes["age"] = line.years(columns["age"])
    if "sex" in columns:
        changes["sex"] = line.sex(columns["sex"])
    known = {"label_source": "table", "labels": {name: line.number(name) for name in labels}}
    return replace(row, **(known | changes))


DICOM_FOLDER = Adapter(
    title="Any folder of DICOM images, without labels",
    licence="as your source states",
    citation="",
    read=read_dicom_folder,
    layout="*.dcm anywhere below",
)
DICOM_TABLE = Adapter(
    title="Any folder of DICOM files with a CSV of labels",
    licence="as your source states",
    citation="",
    read=read_dicom_table,
    layout="*.dcm anywhere below; --set table=FILE.csv with a column of paths, UIDs, accession numbers or patients",
)
