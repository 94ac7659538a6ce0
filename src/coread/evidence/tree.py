"""Any DICOM object as a tree of labels and values that a person can read: content trees of reports, else headers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from coread.evidence.errors import SourceUnreadable

_LONGEST = 300
_NOT_READ_BYTES = 1 << 20
"""Only the length of a longer value is shown."""
_PIXELS = frozenset({"PixelData", "FloatPixelData", "DoubleFloatPixelData"})
_HEAD = (
    "SOPClassUID",
    "SeriesDescription",
    "PatientName",
    "PatientID",
    "StudyDate",
    "AccessionNumber",
    "Manufacturer",
    "ManufacturerModelName",
    "CompletionFlag",
    "VerificationFlag",
    "PreliminaryFlag",
    "ContentQualification",
    "ContentDate",
    "ContentTime",
    "TimezoneOffsetFromUTC",
)


@dataclass(frozen=True, slots=True)
class Node:
    """One line of the tree and what stands below it."""

    label: str
    value: str = ""
    children: tuple["Node", ...] = ()


def readable_tree(source: Path | Dataset) -> Node:
    """Return the tree of a report's content, or of all attributes for any other object.

    Raises SourceUnreadable when the file is not DICOM, or its content has no sense.
    """
    dataset = source if isinstance(source, Dataset) else _read(source)
    try:
        return _tree(dataset)
    except (
        AttributeError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
        NotImplementedError,
        RecursionError,
    ) as problem:
        # Objects come from anywhere: what pydicom or the standard's shape cannot make sense of is said, not a crash.
        raise SourceUnreadable(f"this object cannot be shown as a tree: {type(problem).__name__}") from problem


def _tree(dataset: Dataset) -> Node:
    name = dataset.SOPClassUID.name if "SOPClassUID" in dataset else "DICOM object"
    if "ContentSequence" in dataset:
        head = tuple(_element(dataset[keyword]) for keyword in _HEAD if keyword in dataset)
        return Node(name, "", (Node("Header", "", head), _content(dataset)))
    return Node(name, "", tuple(_attributes(dataset)))


def tree_lines(node: Node, depth: int = 0) -> Iterator[str]:
    """Yield the tree as indented lines of text, for the command line."""
    yield "  " * depth + (f"{node.label}: {node.value}" if node.value else node.label)
    for child in node.children:
        yield from tree_lines(child, depth + 1)


def _read(path: Path) -> Dataset:
    try:
        return dcmread(path, stop_before_pixels=True, defer_size=_NOT_READ_BYTES)
    except (OSError, InvalidDicomError) as problem:
        raise SourceUnreadable(f"{path.name} cannot be shown: {problem}") from problem


def _content(item: Dataset) -> Node:
    children = tuple(_content(child) for child in item.get("ContentSequence", []))
    return Node(_meaning(item.get("ConceptNameCodeSequence")) or _kind(item), _item_value(item), children)


def _kind(item: Dataset) -> str:
    return str(item.get("ValueType", "Reference")).capitalize()


def _item_value(item: Dataset) -> str:
    if "MeasuredValueSequence" in item:
        return _number(item)
    if "ConceptCodeSequence" in item:
        return _coded(item.ConceptCodeSequence)
    if "GraphicData" in item:
        numbers = [f"{float(number):g}" for number in item.GraphicData]
        pairs = [f"({column}, {row})" for column, row in zip(numbers[0::2], numbers[1::2], strict=False)]
        return f"{item.GraphicType.lower()} {' '.join(pairs)}"
    if "ReferencedSOPSequence" in item:
        return _reference(item.ReferencedSOPSequence[0])
    for keyword in ("TextValue", "UID", "PersonName", "DateTime", "Date", "Time"):
        if keyword in item:
            return _short(item[keyword].value)
    return ""


def _number(item: Dataset) -> str:
    if not item.MeasuredValueSequence:
        return "no value"
    measured = item.MeasuredValueSequence[0]
    unit = measured.MeasurementUnitsCodeSequence[0]
    shown = "" if unit.CodeValue == "1" else f" {unit.CodeValue}"
    return f"{float(measured.NumericValue):.6g}{shown}"


def _reference(reference: Dataset) -> str:
    parts = [f"{reference.ReferencedSOPClassUID.name} {reference.ReferencedSOPInstanceUID}"]
    for keyword, word in (("ReferencedFrameNumber", "frame"), ("ReferencedSegmentNumber", "segment")):
        if keyword in reference:
            parts.append(f"{word} {_short(reference[keyword].value)}")
    return ", ".join(parts)


def _meaning(sequence: Any) -> str:
    return str(sequence[0].get("CodeMeaning", "")) if sequence else ""


def _coded(sequence: Any) -> str:
    if not sequence:
        return ""
    item = sequence[0]
    return f"{item.get('CodeMeaning', '')} ({item.get('CodeValue', '')}, {item.get('CodingSchemeDesignator', '')})"


def _attributes(dataset: Dataset) -> Iterator[Node]:
    for tag in dataset.keys():  # noqa: SIM118 - iterating a data set would read what was deferred
        raw = dataset.get_item(tag, keep_deferred=True)
        length = _length_of_deferred(raw)
        if length:
            yield Node(f"[{tag}]", f"{length} bytes")
        elif dataset[tag].keyword not in _PIXELS:
            yield _element(dataset[tag])


def _length_of_deferred(raw: object) -> int:
    """Return how long the value is that was not read; 0 for one that was."""
    return raw.length if isinstance(raw, RawDataElement) and raw.value is None else 0


def _element(element: DataElement) -> Node:
    if element.VR != "SQ":
        return Node(element.name, _short(element.value))
    if element.keyword.endswith("CodeSequence") and len(element.value) == 1:
        return Node(element.name, _coded(element.value))
    items = (Node(f"Item {n}", "", tuple(_attributes(item))) for n, item in enumerate(element.value, start=1))
    return Node(element.name, "", tuple(items))


def _short(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if value is None:
        return ""
    if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue":
        text = " \\ ".join(str(part) for part in value)
    else:
        text = getattr(value, "name", "") if type(value).__name__ == "UID" else ""
        text = text or str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
