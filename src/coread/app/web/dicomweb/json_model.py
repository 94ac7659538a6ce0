"""The DICOM JSON model (PS3.18 annex F): values to JSON, and attribute names to tags."""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

from coread.app.web.dicomweb.errors import BadRequest

MEDIA_TYPE = "application/dicom+json"
Item = dict[str, Any]
"""One data set in the DICOM JSON model."""
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_NUMBERS = frozenset({"IS", "DS", "US", "SS", "UL", "SL", "FL", "FD", "UV", "SV"})


def to_bytes(document: object) -> bytes:
    """Return a document as UTF-8 JSON."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def tag_of(name: str) -> str:
    """Return the tag (8 hexadecimal digits) of an attribute given by keyword or tag; BadRequest when unknown.

    A path into a sequence (``a.b``) names its last attribute.
    """
    last = name.rsplit(".", 1)[-1]
    if _TAG.fullmatch(last):
        return last.upper()
    tag = tag_for_keyword(last)
    if tag is None:
        raise BadRequest(f"attribute {name[:64]!r} is neither a keyword nor a tag of eight hexadecimal digits")
    return f"{tag:08X}"


def put(item: Item, keyword: str, value: object) -> None:
    """Put an attribute into a data set; an empty value gives an empty attribute (PS3.18 section F.2.5)."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise BadRequest(f"{keyword} is no keyword of PS3.6")
    vr = dictionary_VR(tag)
    values = _values(vr, value)
    item[f"{tag:08X}"] = {"vr": vr, "Value": values} if values else {"vr": vr}


def _values(vr: str, value: object) -> list[Any]:
    if value is None or value == "":
        return []
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [part for single in value for part in _values(vr, single)]
    if vr == "PN":
        return [_person_name(str(value))]
    if vr in _NUMBERS:
        return [value] if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)) else []
    return [value]


def _person_name(text: str) -> dict[str, str]:
    """Split the component groups of a name (PS3.18 section F.2.2)."""
    groups = text.split("=")
    names = ("Alphabetic", "Ideographic", "Phonetic")
    return {name: group for name, group in zip(names, groups, strict=False) if group}


def finite(value: Any) -> Any:
    """Replace numbers that JSON cannot hold by the words that the standard gives them (PS3.18 table F.2.3-1)."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return value
