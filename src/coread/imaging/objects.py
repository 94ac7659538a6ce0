"""A DICOM object as bytes: file meta information, transfer syntax, and the raw values of wanted elements.

Two paths give equal answers: the walk of ``elements.py``, and pydicom for everything rare (big endian, deflated,
irregular). Both hand out raw value bytes, which ``fields.py`` interprets once.
"""

import warnings
import zlib
from collections.abc import Container
from dataclasses import dataclass

from pydicom.dataelem import RawDataElement
from pydicom.filereader import data_element_generator
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from coread.imaging.elements import UNDEFINED, Buffer, Extent, NeedMore, walk_elements
from coread.imaging.errors import BadHeader, HeadTooShort, NotDicom, Truncated
from coread.imaging.strict_reader import StrictReader

PIXELS = 0x7FE00008
"""Walking as far as the pixels means stopping before Float Pixel Data, the first of the pixel elements."""
MAX_INFLATED_HEADER = 64 * 1024 * 1024
_PREAMBLE = 132
_META_LIMIT = 64 * 1024
_TRANSFER_SYNTAX = 0x00020010
_CHARSET = 0x00080005
_MAX_BLANKS = 8


@dataclass(frozen=True, slots=True)
class RawHeader:
    """Raw values of the wanted elements and where the walk over the data set stopped."""

    values: dict[int, bytes]
    transfer_syntax_uid: str
    little_endian: bool
    explicit: bool
    started_at: int
    stopped_at: int
    """Offsets in ``data`` of the first element, and of the first one not read."""
    data: Buffer
    """The bytes that were walked: the object itself, or the inflated data set of a deflated one."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a data set is written: where it starts and by which transfer syntax."""

    transfer_syntax_uid: str
    start: int

    @property
    def explicit(self) -> bool:
        """Whether value representations are written out."""
        return self.transfer_syntax_uid != ImplicitVRLittleEndian

    @property
    def little_endian(self) -> bool:
        """Whether numbers are written least significant byte first."""
        return self.transfer_syntax_uid != ExplicitVRBigEndian


def read_meta(buffer: Buffer, total: int) -> Encoding:
    """Return the encoding that the file meta information states (PS3.10 section 7.1).

    Files without preamble or without meta information are read when they begin like a data set.
    """
    start = _PREAMBLE if buffer[128:_PREAMBLE] == b"DICM" else 0
    if start == 0 and not _begins_like_dicom(buffer):
        raise NotDicom("no DICM prefix, and the first bytes are no data element")
    walk = _walk_meta(buffer, Extent(start, total, explicit=True, stop_at=0x00030000))
    if walk is None:
        raise Truncated("the file ends inside the file meta information")
    syntax, end = walk
    if not syntax:
        return Encoding(_guessed_syntax(buffer, end), end)
    return Encoding(syntax, end)


def _begins_like_dicom(buffer: Buffer) -> bool:
    """A first element of group 2 or 8 with a small, even length: a data set stored without preamble."""
    head = buffer[:8]
    if len(head) < 8 or head[0] not in (2, 8) or head[1] != 0 or head[3] != 0:
        return False
    return head[4:6].isupper() or int.from_bytes(head[4:8], "little") < 1024


def _guessed_syntax(buffer: Buffer, start: int) -> str:
    letters = buffer[start + 4 : start + 6]
    return "1.2.840.10008.1.2.1" if letters.isalpha() and letters.isupper() else str(ImplicitVRLittleEndian)


def _walk_meta(buffer: Buffer, extent: Extent) -> tuple[str, int] | None:
    """Return (Transfer Syntax UID, end of the meta information), walking group 0002 element by element."""
    syntax = b""
    position = extent.start
    while position + 8 <= len(buffer) and buffer[position : position + 2] == b"\x02\x00":
        if position - extent.start > _META_LIMIT:
            raise BadHeader("the file meta information is longer than 64 KiB")
        long_form = buffer[position + 4 : position + 6] in (b"OB", b"OW", b"UN", b"SQ", b"UT", b"UC", b"UR")
        body = position + (12 if long_form else 8)
        size_at = slice(position + 8, position + 12) if long_form else slice(position + 6, position + 8)
        length = int.from_bytes(buffer[size_at], "little")
        tag = int.from_bytes(buffer[position : position + 2], "little") << 16
        tag |= int.from_bytes(buffer[position + 2 : position + 4], "little")
        position = body + length
        if position > len(buffer):
            if len(buffer) < extent.total and position <= extent.total:
                raise NeedMore
            return None
        if tag == _TRANSFER_SYNTAX:
            syntax = buffer[body:position]
    return syntax.decode("ascii", "replace").strip(" \0"), position


def raw_header(buffer: Buffer, total: int, encoding: Encoding, wanted: Container[int], stop_at: int) -> RawHeader:
    """Return the wanted values below ``stop_at``; NeedMore where the buffer ends first."""
    if encoding.transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        if len(buffer) < total:
            raise NeedMore
        return _inflated_header(buffer, encoding, wanted, stop_at)
    if encoding.little_endian and not _implicit_in_doubt(buffer, encoding):
        extent = Extent(encoding.start, total, encoding.explicit, stop_at)
        walk = walk_elements(buffer, extent, wanted)
        if walk is not None:
            return RawHeader(
                walk.values, encoding.transfer_syntax_uid, True, encoding.explicit, encoding.start, walk.stopped_at,
                buffer,
            )  # fmt: skip
    if len(buffer) < total:
        raise NeedMore
    return pydicom_header(buffer, encoding, wanted, stop_at)


def _implicit_in_doubt(buffer: Buffer, encoding: Encoding) -> bool:
    """Implicit VR is stated but the first element shows two capital letters where a length should be."""
    letters = buffer[encoding.start + 4 : encoding.start + 6]
    return not encoding.explicit and letters.isalpha() and letters.isupper()


def _inflated_header(buffer: Buffer, encoding: Encoding, wanted: Container[int], stop_at: int) -> RawHeader:
    data = inflate(buffer[encoding.start :], MAX_INFLATED_HEADER)
    plain = Encoding("1.2.840.10008.1.2.1", 0)
    try:
        found = raw_header(data, len(data), plain, wanted, stop_at)
    except Truncated as problem:
        if len(data) < MAX_INFLATED_HEADER:
            raise
        raise BadHeader("the deflated header inflates to more than 64 MiB") from problem
    return RawHeader(found.values, encoding.transfer_syntax_uid, True, found.explicit, 0, found.stopped_at, data)


def inflate(data: bytes, limit: int) -> bytes:
    """Inflate a raw deflate stream (PS3.5 annex A.5) up to ``limit`` bytes and no further."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, limit)
    except zlib.error as problem:
        raise BadHeader(f"the deflated data set cannot be inflated: {problem}") from problem


def pydicom_header(buffer: Buffer, encoding: Encoding, wanted: Container[int], stop_at: int) -> RawHeader:
    """Return the wanted values with pydicom's element reader; slower, tolerant of what is merely odd."""
    explicit = encoding.explicit
    if encoding.little_endian:
        letters = buffer[encoding.start + 4 : encoding.start + 6]
        explicit = letters.isalpha() and letters.isupper()
    blanks: frozenset[int] = frozenset()
    while True:
        reader = StrictReader(buffer, encoding.start, blanks)
        try:
            values = _pydicom_values(reader, encoding, explicit, wanted, stop_at)
            break
        except Exception as problem:
            if reader.ran_short:
                raise Truncated("a data element goes on beyond the end of the object") from problem
            charset = _charset_just_read(reader, buffer, encoding) - blanks
            if not charset or len(blanks) >= _MAX_BLANKS:
                raise BadHeader(f"{type(problem).__name__}: {problem}") from problem
            blanks |= charset
    if reader.ran_short:
        raise Truncated("a data element goes on beyond the end of the object")
    if blanks and values.get(_CHARSET, b"?").isspace():
        at = min(blanks)
        values[_CHARSET] = buffer[at : at + len(values[_CHARSET])]
    return RawHeader(
        values,
        encoding.transfer_syntax_uid,
        encoding.little_endian,
        explicit,
        encoding.start,
        reader.tell(),
        buffer,
    )


def _pydicom_values(
    reader: StrictReader, encoding: Encoding, explicit: bool, wanted: Container[int], stop_at: int
) -> dict[int, bytes]:
    values: dict[int, bytes] = {}

    def stop(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        return int(tag) >= stop_at

    # pydicom warns of odd character sets and values; whatever it warns of is decided on in fields.py.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for element in data_element_generator(reader, not explicit, encoding.little_endian, stop):  # type: ignore[arg-type]
            if int(element.tag) in wanted and isinstance(element, RawDataElement):
                values[int(element.tag)] = element.value or b""
    return values


def _charset_just_read(reader: StrictReader, buffer: Buffer, encoding: Encoding) -> frozenset[int]:
    """Return where the value read last lies, if it is a Specific Character Set: pydicom fails on some terms."""
    at = reader.last_read_at
    tag = b"\x08\x00\x05\x00" if encoding.little_endian else b"\x00\x08\x00\x05"
    return frozenset([at]) if tag in (buffer[at - 8 : at - 4], buffer[at - 12 : at - 8]) else frozenset()


def too_short(_: NeedMore) -> HeadTooShort:
    """Translate the walk's need for more bytes into the refusal that callers see."""
    return HeadTooShort("the header goes on beyond the bytes in hand")


__all__ = [
    "PIXELS",
    "UNDEFINED",
    "Encoding",
    "RawHeader",
    "inflate",
    "pydicom_header",
    "raw_header",
    "read_meta",
    "too_short",
]
