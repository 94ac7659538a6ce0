"""Report texts out of the files in which reports travel: plain text, CSV, Parquet, HL7 ORU, DICOM SR."""

import contextlib
import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from coread.app.errors import NothingFound
from coread.domain.errors import Misconfigured
from coread.reports.errors import UnreadableReport

TEXT_COLUMNS = (
    "text",
    "report",
    "report_text",
    "reporttext",
    "radiology_report",
    "note",
    "note_text",
    "findings",
    "body",
)
"""Columns that hold report text, in the order in which they are looked for."""
NAME_COLUMNS = ("report_id", "study_id", "accession", "accession_number", "note_id", "image_id", "id", "uid")
MOST_BYTES = 200_000_000
_DICOM_MARK = slice(128, 132)
_HL7_SECTIONS = {"IMP": "IMPRESSION", "GDT": "FINDINGS", "ADT": "ADDENDUM", "REC": "RECOMMENDATION"}
"""Suffixes of OBX-3 in radiology reports (HL7 2.5.1 section 7.4.2.3)."""


class Examination(NamedTuple):
    """Which examination a report is of, as far as its source tells."""

    image_id: str = ""
    study_id: str = ""
    accession_number: str = ""
    patient_id: str = ""
    date: str = ""
    """ISO 8601 day."""


_COLUMNS_OF: tuple[tuple[str, ...], ...] = (
    ("image_id", "sopinstanceuid", "sop_instance_uid", "dicom_id"),
    ("study_id", "studyinstanceuid", "study_instance_uid"),
    ("accession_number", "accession", "accessionnumber"),
    ("patient_id", "patientid", "subject_id", "mrn"),
    ("date", "study_date", "studydate", "report_date", "exam_date"),
)
"""Columns of tables, in lower case, for each field of ``Examination``."""


class ReportText(NamedTuple):
    """One report: where it comes from, its text, or why there is none."""

    name: str
    text: str
    problem: str = ""
    of: Examination = Examination()


def day(text: str) -> str:
    """Return the day of a DICOM, HL7 or ISO 8601 date or time as ``YYYY-MM-DD``, or empty where there is none."""
    for written in (text[:10], text[:8]):
        with contextlib.suppress(ValueError):
            return date.fromisoformat(written).isoformat()
    return ""


def report_texts(sources: Sequence[str], column: str = "") -> Iterator[ReportText]:
    """Yield the reports of files, folders (all files below, by name) and ``-`` (standard input)."""
    for source in sources:
        if source == "-":
            yield from _standard_input(column)
            continue
        path = Path(source)
        if not path.exists():
            raise NothingFound(f"there is no file or folder {source}")
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            name = str(file.relative_to(path)) if path.is_dir() else file.name
            try:
                yield from _of_file(file, name, column)
            except UnreadableReport as problem:
                yield ReportText(name, "", str(problem))
            except OSError as problem:
                yield ReportText(name, "", f"cannot be read: {problem.strerror}")


def _standard_input(column: str) -> Iterator[ReportText]:
    data = sys.stdin.buffer.read()
    try:
        if column:
            yield from _csv(io.StringIO(decoded(data)), "standard input", column, ",")
        else:
            yield from _named("standard input", data)
    except UnreadableReport as problem:
        yield ReportText("standard input", "", str(problem))


def _of_file(file: Path, name: str, column: str) -> Iterator[ReportText]:
    size = file.stat().st_size
    if file.suffix.lower() == ".parquet":
        yield from _parquet(file, name, column)
    elif file.suffix.lower() in (".csv", ".tsv"):
        with file.open(encoding=_encoding(file), errors="replace", newline="") as lines:
            yield from _csv(lines, name, column, "\t" if file.suffix.lower() == ".tsv" else ",")
    elif size > MOST_BYTES:
        raise UnreadableReport(f"{size / 1e6:.0f} MB: too long for one report")
    else:
        yield from _named(name, file.read_bytes())


def _named(name: str, data: bytes) -> Iterator[ReportText]:
    """Tell by their first bytes what bytes without a telling name are."""
    if data[_DICOM_MARK] == b"DICM":
        yield ReportText(name, structured_report_text(data), of=_of_structured_report(data))
    elif data.lstrip(b"\x0b\r\n ").startswith((b"MSH|", b"FHS|", b"BHS|")):
        yield from _hl7(name, decoded(data))
    else:
        yield ReportText(name, decoded(data))


def decoded(data: bytes) -> str:
    """Bytes to text: UTF-8, UTF-16 with its mark, else Windows-1252; refuses what is no text."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    if b"\x00" in data[:65536]:
        raise UnreadableReport("holds binary data, not text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _encoding(file: Path) -> str:
    with file.open("rb") as opened:
        head = opened.read(1 << 20)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\x00" in head:
        raise UnreadableReport("holds binary data, not a table of text")
    try:
        head[:-4].decode("utf-8-sig")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def _csv(lines: Iterable[str], name: str, column: str, delimiter: str) -> Iterator[ReportText]:
    csv.field_size_limit(MOST_BYTES)
    rows = csv.DictReader(lines, delimiter=delimiter)
    try:
        columns = rows.fieldnames or ()
        columns_of_text, key = _columns(columns, column), _name_column(columns)
        for number, row in enumerate(rows, start=1):
            named = f"{name}:{(row.get(key) if key else '') or number}"
            yield ReportText(named, _joined(row, columns_of_text), of=_of_row(row))
    except csv.Error as problem:
        raise UnreadableReport(f"is not a table: {problem}") from problem


def _parquet(file: Path, name: str, column: str) -> Iterator[ReportText]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as problem:
        raise Misconfigured("Parquet files need the extra: pip install 'coread[validate]'") from problem
    try:
        opened = pyarrow.parquet.ParquetFile(file)
    except pyarrow.ArrowInvalid as problem:
        raise UnreadableReport(f"is not a Parquet file: {problem}") from problem
    columns_of_text, key = _columns(opened.schema_arrow.names, column), _name_column(opened.schema_arrow.names)
    number = 0
    wanted = {name for names in _COLUMNS_OF for name in names}
    telling = [column for column in opened.schema_arrow.names if column.strip().lower() in wanted]
    read = list(dict.fromkeys([*columns_of_text, *([key] if key else []), *telling]))
    for batch in opened.iter_batches(batch_size=4096, columns=read):
        for row in batch.to_pylist():
            number += 1
            named = f"{name}:{row[key] if key else number}"
            yield ReportText(named, _joined(row, columns_of_text), of=_of_row(row))


def _columns(columns: Sequence[str], wanted: str) -> list[str]:
    """The columns of text: the one that was named, a known one, or "findings" and "impression" together."""
    if wanted:
        if wanted not in columns:
            raise UnreadableReport(f"has no column {wanted!r}; it has {', '.join(columns)}")
        return [wanted]
    by_lower = {name.strip().lower(): name for name in columns}
    parts = [by_lower[part] for part in ("findings", "impression") if part in by_lower]
    if len(parts) == 2:
        return parts
    for candidate in (*TEXT_COLUMNS, "impression"):
        if candidate in by_lower:
            return [by_lower[candidate]]
    raise UnreadableReport(
        f"has no column of report text that we know; name it with --column (it has {', '.join(columns)})"
    )


def _name_column(columns: Sequence[str]) -> str:
    by_lower = {name.strip().lower(): name for name in columns}
    return next((by_lower[name] for name in NAME_COLUMNS if name in by_lower), "")


def _of_row(row: Mapping[str, Any]) -> Examination:
    by_lower = {str(name).strip().lower(): str(value or "").strip() for name, value in row.items() if name is not None}
    image, study, accession, patient, date = (
        next((by_lower[name] for name in names if by_lower.get(name)), "") for names in _COLUMNS_OF
    )
    return Examination(image, study, accession, patient, day(date))


def _joined(row: dict[str, Any], columns: Sequence[str]) -> str:
    if len(columns) == 1:
        return str(row.get(columns[0]) or "")
    return "\n\n".join(f"{column.strip().upper()}:\n{row[column]}" for column in columns if row.get(column))


def _hl7(name: str, text: str) -> Iterator[ReportText]:
    """Reports of HL7 v2 messages: the text of OBX segments FT, TX and ST, in order, one report per OBR."""
    number = 0
    lines: list[str] = []
    patient, of = "", Examination()
    for segment in re.split(r"[\r\n]+", text):
        fields = segment.strip("\x0b\x1c").split("|")
        if fields[0] == "OBR":
            if lines:
                number += 1
                yield ReportText(f"{name}:{number}", "\n".join(lines), of=of)
            lines = []
            of = _of_order(fields, patient)
        elif fields[0] == "PID":
            patient = _component(fields, 3)
        elif fields[0] == "OBX" and len(fields) > 5 and fields[2] in ("FT", "TX", "ST"):
            suffix = re.search(r"&([A-Z]{3})", fields[3])
            heading = _HL7_SECTIONS.get(suffix.group(1), "") if suffix else ""
            lines.append(f"{heading}:\n{_unescaped(fields[5])}" if heading else _unescaped(fields[5]))
    if not lines and number == 0:
        raise UnreadableReport("is an HL7 message without report text (no OBX of type FT, TX or ST)")
    if lines:
        yield ReportText(f"{name}:{number + 1}", "\n".join(lines), of=of)


def _of_order(fields: Sequence[str], patient: str) -> Examination:
    """OBR-18 (IHE RAD TF-2 4.4: accession number), else the filler's order number OBR-3; OBR-7 is when it was taken."""
    accession = _component(fields, 18) or _component(fields, 3)
    return Examination(accession_number=accession, patient_id=patient, date=day(_component(fields, 7)))


def _component(fields: Sequence[str], number: int) -> str:
    return fields[number].split("~")[0].split("^")[0].strip() if len(fields) > number else ""


def _unescaped(value: str) -> str:
    """Formatting and escape sequences of HL7 2.5.1 section 2.7."""
    text = re.sub(r"\\\.(?:br|sp|ce)\d*\\", "\n", value).replace("~", "\n")
    text = re.sub(r"\\\.[a-z]{2}[^\\]{0,8}\\|\\[HN]\\", "", text)
    for escaped, plain in (("\\F\\", "|"), ("\\S\\", "^"), ("\\T\\", "&"), ("\\R\\", "~"), ("\\E\\", "\\")):
        text = text.replace(escaped, plain)
    return text


def structured_report_text(data: bytes) -> str:
    """The TEXT items of a DICOM SR (PS3.3 C.17.3), each container's name as a heading."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        dataset = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
        lines = list(_content(dataset))
    except (InvalidDicomError, EOFError, ValueError, KeyError, AttributeError) as problem:
        raise UnreadableReport(f"is a damaged DICOM file: {problem}") from problem
    if not lines:
        raise UnreadableReport("is a DICOM object without report text")
    return "\n\n".join(lines)


def _of_structured_report(data: bytes) -> Examination:
    """The examination of an SR: what it was requested for, not the document's own UIDs (PS3.3 C.17.2)."""
    import pydicom

    header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    names = ("StudyInstanceUID", "AccessionNumber", "PatientID", "StudyDate")
    study, accession, patient, taken = (str(header.get(name, "") or "").strip() for name in names)
    return Examination("", study, accession, patient, day(taken))


def _content(item: Any) -> Iterator[str]:
    for child in item.get("ContentSequence", ()):
        concept = child.get("ConceptNameCodeSequence", ())
        heading = str(concept[0].get("CodeMeaning", "")) if concept else ""
        if child.get("ValueType") == "TEXT":
            yield f"{heading.upper()}:\n{child.get('TextValue', '')}" if heading else str(child.get("TextValue", ""))
        elif child.get("ValueType") == "CONTAINER":
            inner = list(_content(child))
            if inner and heading:
                yield f"{heading.upper()}:\n" + "\n".join(inner)
            else:
                yield from inner
