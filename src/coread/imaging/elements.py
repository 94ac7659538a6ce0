"""The fast path of header reading: walk little-endian data elements by their lengths, keep the wanted ones.

It answers only when everything it meets is regular (PS3.5 section 7); at the first doubt it answers ``None``
and the caller asks pydicom. Nothing is allocated by a length that the file declares.
"""

import mmap
import struct
from collections.abc import Container
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR

Buffer = bytes | mmap.mmap

UNDEFINED = 0xFFFFFFFF
ITEM = 0xFFFEE000
ITEM_END = 0xFFFEE00D
SEQUENCE_END = 0xFFFEE0DD
ITEM_GROUP = 0xFFFE
FIRST_TAG = 0x00080000
MAX_DEPTH = 24

_LONG = b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split()
_SHORT = b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
_LENGTH_BYTES = {int.from_bytes(vr, "little"): 4 for vr in _LONG} | {int.from_bytes(vr, "little"): 2 for vr in _SHORT}
_SQ = int.from_bytes(b"SQ", "little")
_explicit = struct.Struct("<HHHH").unpack_from
_u32 = struct.Struct("<I").unpack_from


class NeedMore(Exception):
    """The buffer ends before the walk does, but the data set goes on."""


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk found: raw values by tag, and where it stopped."""

    values: dict[int, bytes]
    stopped_at: int
    """Offset of the first element that was not walked over; the end of the data set if there is none."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Which bytes to walk: ``total`` is the size of the whole object, which may exceed the buffer."""

    start: int
    total: int
    explicit: bool
    stop_at: int
    """The walk ends before the first element whose tag is not below this one."""


def walk_elements(buffer: Buffer, extent: Extent, wanted: Container[int]) -> Walk | None:
    """Walk top-level elements; ``None`` where anything is irregular, NeedMore where the buffer is too short."""
    values: dict[int, bytes] = {}
    total, explicit, stop_at = extent.total, extent.explicit, extent.stop_at
    position, previous = extent.start, FIRST_TAG - 1
    while position < total:
        position, previous = _plain_run(buffer, position, extent, wanted, values, previous)
        if position == total:
            break
        found = _element(buffer, position, total, explicit)
        if found is None:
            return None
        tag, vr, length, body = found
        if tag >= stop_at:
            break
        if tag <= previous:
            return None
        previous = tag
        if length == UNDEFINED:
            position = -1
            if tag not in wanted and _is_sequence(tag, vr, explicit=explicit):
                position = _after_sequence(buffer, body, extent, 0)
        else:
            position = body + length
        if not 0 <= position <= total:
            return None
        if tag in wanted:
            if position > len(buffer):
                raise NeedMore
            values[tag] = buffer[body:position]
    return Walk(values, position)


def _plain_run(
    buffer: Buffer,
    position: int,
    extent: Extent,
    wanted: Container[int],
    values: dict[int, bytes],
    previous: int,
) -> tuple[int, int]:
    """Walk over as many plain elements as there are: the hot loop; whatever is not plain is left to the caller.

    Returns the offset of the first element left over and the tag before it.
    """
    have, explicit, stop_at = len(buffer), extent.explicit, extent.stop_at
    unpack, long_length, length_bytes_of = _explicit, _u32, _LENGTH_BYTES.get
    while position + 12 <= have:
        group, element, vr, length = unpack(buffer, position)
        tag = group << 16 | element
        if tag >= stop_at or tag <= previous:
            break
        end = position + 8
        if not explicit:
            length = vr | length << 16
        else:
            length_bytes = length_bytes_of(vr)
            if length_bytes == 4:
                length = long_length(buffer, end)[0]
                end += 4
            elif length_bytes is None:
                break
        body = end
        end += length
        if end > have or length == UNDEFINED:
            break
        if tag in wanted:
            values[tag] = buffer[body:end]
        previous, position = tag, end
    return position, previous


def _element(buffer: Buffer, position: int, total: int, explicit: bool) -> tuple[int, int, int, int] | None:
    """Return (tag, VR, length, offset of the value) of the element here; ``None`` where it is irregular."""
    body = position + 8
    if body + 4 > len(buffer) and (len(buffer) < total or body > total):
        if len(buffer) < total:
            raise NeedMore
        return None
    group, element, vr, length = _explicit(buffer, position)
    tag = group << 16 | element
    if not explicit or group == ITEM_GROUP:
        return tag, 0, vr | length << 16, body
    length_bytes = _LENGTH_BYTES.get(vr)
    if length_bytes == 2:
        return tag, vr, length, body
    if length_bytes is None or body + 4 > len(buffer):
        return None
    return tag, vr, _u32(buffer, body)[0], body + 4


def _is_sequence(tag: int, vr: int, *, explicit: bool) -> bool:
    if explicit:
        return vr == _SQ
    try:
        return dictionary_VR(tag) == "SQ"
    except KeyError:
        return False


def _after_sequence(buffer: Buffer, position: int, extent: Extent, depth: int) -> int:
    """Return the offset after a sequence of undefined length, or -1 where it is irregular."""
    while depth < MAX_DEPTH:
        found = _element(buffer, position, extent.total, explicit=False)
        if found is None:
            return -1
        tag, _, length, position = found
        if tag == SEQUENCE_END:
            return position if length == 0 else -1
        if tag != ITEM:
            return -1
        position = position + length if length != UNDEFINED else _after_item(buffer, position, extent, depth)
        if not 0 <= position <= extent.total:
            return -1
    return -1


def _after_item(buffer: Buffer, position: int, extent: Extent, depth: int) -> int:
    """Return the offset after an item of undefined length, or -1 where it is irregular."""
    explicit = extent.explicit
    while 0 <= position <= extent.total:
        found = _element(buffer, position, extent.total, explicit)
        if found is None:
            return -1
        tag, vr, length, body = found
        if tag == ITEM_END:
            return body if length == 0 else -1
        if tag >> 16 == ITEM_GROUP:
            return -1
        if length != UNDEFINED:
            position = body + length
        elif _is_sequence(tag, vr, explicit=explicit):
            position = _after_sequence(buffer, body, extent, depth + 1)
        else:
            return -1
    return -1
