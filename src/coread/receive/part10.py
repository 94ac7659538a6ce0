"""The first bytes of a stored file: preamble, prefix and File Meta Information (PS3.10 section 7.1).

The bytes depend on the object alone, never on who sent it or over which door, so that the same
object is the same file (and the same digest) whether it came by C-STORE, STOW-RS or from a folder.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache

from coread.domain.identifiers import derived_uid, is_tolerable_uid

IMPLEMENTATION_CLASS_UID = derived_uid("coread", "implementation class")
IMPLEMENTATION_VERSION_NAME = "COREAD"
"""Without the version: an upgrade must not change the bytes of an object that is sent again."""
PREFIX_BYTES = 132


@lru_cache(maxsize=256)
def _before(sop_class_uid: str) -> bytes:
    return _long(1, b"OB", b"\0\1") + _short(2, sop_class_uid)


@lru_cache(maxsize=256)
def _after(transfer_syntax_uid: str) -> bytes:
    version = IMPLEMENTATION_VERSION_NAME.encode()
    version += b" " * (len(version) % 2)
    return (
        _short(0x10, transfer_syntax_uid)
        + _short(0x12, IMPLEMENTATION_CLASS_UID)
        + struct.pack("<HH2sH", 2, 0x13, b"SH", len(version))
        + version
    )


def file_head(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Return everything of a Part 10 file that comes before its data set."""
    body = _before(sop_class_uid) + _short(3, sop_instance_uid) + _after(transfer_syntax_uid)
    return b"\0" * 128 + b"DICM" + struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(body)) + body


@dataclass(frozen=True, slots=True)
class GivenHead:
    """The File Meta Information of a file as somebody else wrote it."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    end: int
    """Offset of the data set."""


def read_given_head(data: bytes) -> GivenHead | None:
    """Read preamble and group 0002 when they are regular; None when they are not, or not all there yet."""
    if data[128:PREFIX_BYTES] != b"DICM":
        return None
    values: dict[int, bytes] = {}
    position = PREFIX_BYTES
    while data[position : position + 2] == b"\2\0" and position + 12 <= len(data):
        element, vr, length = struct.unpack_from("<2xH2sH", data, position)
        position += 8
        if vr in (b"OB", b"UN"):
            (length,) = struct.unpack_from("<L", data, position)
            position += 4
        values[element] = data[position : position + length]
        position += length
    if position + 12 > len(data):
        return None
    uids = [values.get(element, b"").rstrip(b"\0 ").decode("ascii", "replace") for element in (2, 3, 0x10)]
    if not all(is_tolerable_uid(uid) for uid in uids):
        return None
    return GivenHead(uids[0], uids[1], uids[2], position)


def _short(element: int, uid: str) -> bytes:
    raw = uid.encode("ascii", "replace")
    raw += b"\0" * (len(raw) % 2)
    return struct.pack("<HH2sH", 2, element, b"UI", len(raw)) + raw


def _long(element: int, vr: bytes, raw: bytes) -> bytes:
    return struct.pack("<HH2sHL", 2, element, vr, 0, len(raw)) + raw
