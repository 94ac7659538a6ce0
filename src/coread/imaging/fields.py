"""Which elements the index keeps, and how their raw bytes become the values of an InstanceHeader."""

import math
from typing import Any

from coread.domain.identifiers import is_tolerable_uid
from coread.domain.study import InstanceHeader
from coread.imaging.errors import BadUid, MissingUid
from coread.imaging.objects import RawHeader
from coread.imaging.text import decode_text, encodings_of

CHARSET = 0x00080005
_MAX_INTEGER = 2**31
_SAFE_DIGITS = 10

_TEXT = {
    "patient_id": 0x00100020,
    "issuer_of_patient_id": 0x00100021,
    "patient_name": 0x00100010,
    "accession_number": 0x00080050,
    "study_id": 0x00200010,
    "study_description": 0x00081030,
    "referring_physician_name": 0x00080090,
    "series_description": 0x0008103E,
    "protocol_name": 0x00181030,
    "manufacturer": 0x00080070,
    "manufacturer_model_name": 0x00081090,
    "station_name": 0x00081010,
    "institution_name": 0x00080080,
}
_CODE_TEXT = {
    "patient_birth_date": 0x00100030,
    "patient_sex": 0x00100040,
    "patient_age": 0x00101010,
    "study_date": 0x00080020,
    "study_time": 0x00080030,
    "series_date": 0x00080021,
    "series_time": 0x00080031,
    "modality": 0x00080060,
    "body_part_examined": 0x00180015,
    "view_position": 0x00185101,
    "photometric_interpretation": 0x00280004,
    "frame_of_reference_uid": 0x00200052,
    "requested_procedure_priority": 0x00401003,
}
_UIDS = {
    "study_instance_uid": 0x0020000D,
    "series_instance_uid": 0x0020000E,
    "sop_instance_uid": 0x00080018,
    "sop_class_uid": 0x00080016,
}
_UID_NAMES = {
    "study_instance_uid": "Study Instance UID",
    "series_instance_uid": "Series Instance UID",
    "sop_instance_uid": "SOP Instance UID",
    "sop_class_uid": "SOP Class UID",
}
_INTEGER_TEXT = {
    "series_number": 0x00200011,
    "instance_number": 0x00200013,
    "acquisition_number": 0x00200012,
    "number_of_frames": 0x00280008,
}
_SHORTS = {"rows": 0x00280010, "columns": 0x00280011, "bits_allocated": 0x00280100}
_IMAGE_LATERALITY = 0x00200062
_LATERALITY = 0x00200060
_IMAGE_TYPE = 0x00080008
_PATIENT_ORIENTATION = 0x00200020
_KVP = 0x00180060
_POSITION = 0x00200032
_ORIENTATION = 0x00200037

LAST_TAG = 0x00401003
WANTED = frozenset(
    {CHARSET, _IMAGE_LATERALITY, _LATERALITY, _IMAGE_TYPE, _PATIENT_ORIENTATION, _POSITION, _ORIENTATION, _KVP}
    | {*_TEXT.values(), *_CODE_TEXT.values(), *_UIDS.values(), *_INTEGER_TEXT.values(), *_SHORTS.values()}
)


def instance_header(raw: RawHeader) -> InstanceHeader:
    """Interpret raw values; refuses absent, empty and malformed unique identifiers."""
    values = raw.values
    encodings = encodings_of(values.get(CHARSET, b""))
    found: dict[str, Any] = _uids(values, raw.transfer_syntax_uid)
    for name, tag in _TEXT.items():
        if tag in values:
            found[name] = decode_text(values[tag], encodings)
    for name, tag in _CODE_TEXT.items():
        if tag in values:
            found[name] = plain_text(values[tag])
    for name, tag in _INTEGER_TEXT.items():
        found[name] = whole_number(values.get(tag, b""))
    for name, tag in _SHORTS.items():
        found[name] = short_number(values.get(tag, b""), little_endian=raw.little_endian)
    found["laterality"] = plain_text(values.get(_IMAGE_LATERALITY, b"")) or plain_text(values.get(_LATERALITY, b""))
    found["image_type"] = _codes(values.get(_IMAGE_TYPE, b""))
    found["patient_orientation"] = _codes(values.get(_PATIENT_ORIENTATION, b""))
    found["image_position_patient"] = decimals(values.get(_POSITION, b""), count=3)
    found["image_orientation_patient"] = decimals(values.get(_ORIENTATION, b""), count=6)
    found["kvp"] = next(iter(decimals(values.get(_KVP, b""), count=1)), None)
    return InstanceHeader(**found)


def _uids(values: dict[int, bytes], transfer_syntax_uid: str) -> dict[str, Any]:
    found: dict[str, Any] = {"transfer_syntax_uid": transfer_syntax_uid}
    for name, tag in _UIDS.items():
        uid = plain_text(values.get(tag, b""))
        if not uid:
            raise MissingUid(_UID_NAMES[name])
        if not is_tolerable_uid(uid):
            raise BadUid(f"{_UID_NAMES[name]} {uid[:80]!r}")
        found[name] = uid
    if not is_tolerable_uid(transfer_syntax_uid):
        raise BadUid(f"Transfer Syntax UID {transfer_syntax_uid[:80]!r}")
    return found


def plain_text(value: bytes) -> str:
    """Decode a value that no character set applies to (CS, DA, TM, AS, UI: PS3.5 section 6.1.2.2)."""
    text = value.decode("ascii", "replace").strip(" \0\t\r\n")
    return text.replace("\0", "") if "\0" in text else text


def _codes(value: bytes) -> tuple[str, ...]:
    """Return the values of a CS element, empty ones left out."""
    return tuple(part.strip(" ") for part in plain_text(value).split("\\") if part)


def whole_number(value: bytes) -> int | None:
    """Return an IS value as a number; ``None`` where it is absent or no number of 32 bits."""
    text = value.split(b"\\", 1)[0].strip(b" \0")
    if not text:
        return None
    if text.isdigit() and len(text) < _SAFE_DIGITS:
        return int(text)
    number = decimals(text, count=1)
    if not number or abs(number[0]) >= _MAX_INTEGER or number[0] != int(number[0]):
        return None
    return int(number[0])


def short_number(value: bytes, *, little_endian: bool, signed: bool = False) -> int | None:
    """Return the first US or SS value; ``None`` where it is absent."""
    if len(value) < 2:
        return None
    return int.from_bytes(value[:2], "little" if little_endian else "big", signed=signed)


def decimals(value: bytes, *, count: int = 0) -> tuple[float, ...]:
    """Return DS values; empty where one is no finite number or the count is another than ``count``."""
    if not value:
        return ()
    try:
        numbers = tuple([float(part) for part in plain_text(value).split("\\")])
    except ValueError:
        return ()
    if (count and len(numbers) != count) or not math.isfinite(sum(numbers)):
        return ()
    return numbers
