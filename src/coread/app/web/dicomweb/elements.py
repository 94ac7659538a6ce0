"""One data set in the DICOM JSON model, straight from its raw elements (PS3.18 annex F).

Plain values are read here; everything rare (other character sets, odd values, implicit private attributes) goes
through pydicom, slower and with an equal answer.
"""

import base64
import struct
import warnings
from collections.abc import Callable
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement

from coread.app.web.dicomweb.json_model import Item, finite

INLINE_BYTES = 4096
"""Longer binary values are not put into the document: a BulkDataURI names them."""
_TEXTS = frozenset({"AE", "AS", "CS", "DA", "DT", "LO", "SH", "TM", "UI", "UC"})
_WHOLE_TEXTS = frozenset({"LT", "ST", "UT", "UR"})
_BINARY = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN"})
_STRUCTS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}

BulkUri = Callable[[str], str]
"""From the path of an element (``7FE00010``, ``00081199/1/...``) to the address of its value."""


def data_set_item(dataset: Dataset, bulk_uri: BulkUri, prefix: str = "") -> Item:
    """Return a data set in the DICOM JSON model; text comes out as Unicode, so its character set is UTF-8."""
    item: Item = {}
    for tag, element in dataset.items():
        if tag.group != 2 and tag.element != 0:
            name = f"{int(tag):08X}"
            item[name] = _element(dataset, element, bulk_uri, prefix + name)
    if "00080005" in item:
        item["00080005"] = {"vr": "CS", "Value": ["ISO_IR 192"]}
    return item


def _element(dataset: Dataset, element: Any, bulk_uri: BulkUri, path: str) -> Item:
    if isinstance(element, RawDataElement) and element.is_little_endian:
        vr = element.VR or _known_vr(int(element.tag))
        if element.value is None and vr in _BINARY and element.length > INLINE_BYTES:
            return {"vr": vr, "BulkDataURI": bulk_uri(path)}  # deferred: hundreds of megabytes of raw data
        plain = _plain(vr, element.value or b"", bulk_uri, path)
        if plain is not None:
            return plain
    return _converted(dataset, element.tag, bulk_uri, path)


def _known_vr(tag: int) -> str:
    """Return the VR of the dictionary for Implicit VR; private and ambiguous ones are left to pydicom."""
    try:
        return dictionary_VR(tag)
    except KeyError:
        return ""


def _plain(vr: str, value: bytes, bulk_uri: BulkUri, path: str) -> Item | None:
    """Return the element of a plain value, or None where pydicom must look."""
    if vr in _BINARY:
        return _binary(vr, value, bulk_uri, path)
    if vr in _STRUCTS:
        return _numbers(vr, value)
    if not value.isascii() or b"\x1b" in value:  # an escape announces another character set (PS3.5 section 6.1.2.5)
        return None
    if vr in _TEXTS:
        return _listed(vr, [part.strip(" \0") or None for part in value.decode().rstrip(" \0").split("\\")])
    if vr in _WHOLE_TEXTS:
        return _listed(vr, [value.decode().rstrip(" \0") or None])
    if vr == "PN":
        return _listed(vr, [_name(part) for part in value.decode().rstrip(" \0").split("\\")])
    if vr in ("IS", "DS"):
        return _decimals(vr, value.decode().strip(" \0"))
    return None


def _listed(vr: str, values: list[Any]) -> Item:
    return {"vr": vr, "Value": values} if any(value is not None for value in values) else {"vr": vr}


def _binary(vr: str, value: bytes, bulk_uri: BulkUri, path: str) -> Item:
    if not value:
        return {"vr": vr}
    if len(value) > INLINE_BYTES:
        return {"vr": vr, "BulkDataURI": bulk_uri(path)}
    return {"vr": vr, "InlineBinary": base64.b64encode(value).decode()}


def _numbers(vr: str, value: bytes) -> Item | None:
    size = struct.calcsize("<" + _STRUCTS[vr])
    if len(value) % size:
        return None
    numbers = struct.unpack(f"<{len(value) // size}{_STRUCTS[vr]}", value)
    return _listed(vr, [finite(number) for number in numbers])


def _decimals(vr: str, text: str) -> Item | None:
    try:
        values = [_decimal(vr, part.strip()) for part in text.split("\\")]
    except ValueError:
        return _listed(vr, [part.strip() or None for part in text.split("\\")])
    return _listed(vr, values)


def _decimal(vr: str, part: str) -> Any:
    """A number; text that is none stays text, which the model allows for IS and DS (PS3.18 table F.2.3-1)."""
    if not part:
        return None
    return int(part) if vr == "IS" else finite(float(part))


def _name(text: str) -> dict[str, str] | None:
    groups = dict(zip(("Alphabetic", "Ideographic", "Phonetic"), text.split("="), strict=False))
    return {key: group.strip() for key, group in groups.items() if group.strip()} or None


def _converted(dataset: Dataset, tag: Any, bulk_uri: BulkUri, path: str) -> Item:
    """Return the element as pydicom reads it; a value that even pydicom cannot read is left out, its VR stays."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of odd values; they are shown as they are
        try:
            element = dataset[tag]
            if element.VR == "SQ":
                items = [
                    data_set_item(part, bulk_uri, f"{path}/{number}/") for number, part in enumerate(element.value, 1)
                ]
                return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
            return _by_pydicom(element, bulk_uri, path)
        except (ValueError, TypeError, AttributeError, NotImplementedError, OverflowError, UnicodeError):
            raw = dataset.get_item(tag)
            return {"vr": getattr(raw, "VR", None) or "UN"}


def _by_pydicom(element: DataElement, bulk_uri: BulkUri, path: str) -> Item:
    if element.VR in _BINARY and isinstance(element.value, bytes):
        return _binary(element.VR, element.value, bulk_uri, path)
    item: Item = finite(element.to_json_dict(None, 0))
    return item
