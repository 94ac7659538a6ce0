"""Where the pixel data element lies, and whether all of it is there (PS3.5 section 8 and annex A.4)."""

from dataclasses import dataclass

from coread.imaging.elements import ITEM, SEQUENCE_END, UNDEFINED, NeedMore
from coread.imaging.errors import Truncated
from coread.imaging.objects import MAX_INFLATED_HEADER, RawHeader

FLOAT_PIXELS = 0x7FE00008
DOUBLE_PIXELS = 0x7FE00009
INTEGER_PIXELS = 0x7FE00010


@dataclass(frozen=True, slots=True)
class PixelElement:
    """Tag, offset and length of the pixel value in ``RawHeader.data``; length UNDEFINED when encapsulated."""

    tag: int
    offset: int
    length: int


def find_pixels(raw: RawHeader) -> PixelElement | None:
    """Return the pixel data element that the walk stopped at; ``None`` where the object has none."""
    data, position = raw.data, raw.stopped_at
    order = "little" if raw.little_endian else "big"
    head = data[position : position + 12]
    if len(head) < 8:
        return None
    tag = int.from_bytes(head[:2], order) << 16 | int.from_bytes(head[2:4], order)  # type: ignore[arg-type]
    if tag not in (FLOAT_PIXELS, DOUBLE_PIXELS, INTEGER_PIXELS):
        return None
    if not raw.explicit:
        return PixelElement(tag, position + 8, int.from_bytes(head[4:8], order))  # type: ignore[arg-type]
    if len(head) < 12:
        raise Truncated("the file ends inside the pixel data element")
    return PixelElement(tag, position + 12, int.from_bytes(head[8:12], order))  # type: ignore[arg-type]


def check_pixels_are_there(raw: RawHeader, total: int) -> None:
    """Refuse an object whose pixel data ends before it says it does; NeedMore to look further."""
    if len(raw.data) < raw.stopped_at + 12 <= total:
        raise NeedMore
    element = find_pixels(raw)
    if element is None or (total >= MAX_INFLATED_HEADER and len(raw.data) == MAX_INFLATED_HEADER):
        return
    if element.length != UNDEFINED:
        missing = element.offset + element.length - total
        if missing > 0:
            raise Truncated(f"{missing} of {element.length} bytes of pixel data are missing")
        return
    if len(raw.data) < total:
        raise NeedMore
    _walk_fragments(raw, element.offset, total)


def _walk_fragments(raw: RawHeader, position: int, total: int) -> None:
    """Step over the fragments of encapsulated pixels; some writers leave the delimiter out, which is tolerated."""
    while position + 8 <= total:
        head = raw.data[position : position + 8]
        tag = int.from_bytes(head[:2], "little") << 16 | int.from_bytes(head[2:4], "little")
        if tag != ITEM:
            if tag == SEQUENCE_END:
                return
            raise Truncated("the fragments of the pixel data are broken")
        position += 8 + int.from_bytes(head[4:8], "little")
    if position > total:
        raise Truncated(f"{position - total} bytes of the last fragment of pixel data are missing")
