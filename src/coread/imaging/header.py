"""Read what the index keeps of an object from its first bytes: a few kilobytes, never the pixels.

``scan_header`` reads Part 10 files; ``scan_header_bytes`` reads a bare data set as C-STORE delivers it.
Objects in unknown transfer syntaxes are read like any other: only decoding their pixels is refused.
"""

import mmap
import os
from pathlib import Path

from coread.domain.study import InstanceHeader
from coread.imaging.elements import UNDEFINED, NeedMore
from coread.imaging.errors import NotDicom, Truncated
from coread.imaging.fields import LAST_TAG, WANTED, instance_header
from coread.imaging.objects import PIXELS, Encoding, RawHeader, raw_header, read_meta, too_short
from coread.imaging.pixel_element import check_pixels_are_there

HEAD_BYTES = 16 * 1024


def scan_header(path: Path) -> InstanceHeader:
    """Read the header of a Part 10 file; refuses files whose pixel data is cut short."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        total = os.fstat(descriptor).st_size
        head = os.pread(descriptor, HEAD_BYTES, 0)
        if total == 0:
            raise NotDicom("the file is empty")
        try:
            return _part10(head, total)
        except NeedMore:
            with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as whole:
                return _part10(whole, len(whole))
    finally:
        os.close(descriptor)


def scan_part10_bytes(data: bytes) -> InstanceHeader:
    """Read the header of a whole Part 10 object in memory."""
    try:
        return _part10(data, len(data))
    except NeedMore as problem:
        raise Truncated("the object ends inside its header") from problem


def scan_header_bytes(head: bytes, transfer_syntax_uid: str, *, total: int | None = None) -> InstanceHeader:
    """Read the header of a data set without file meta information, as C-STORE delivers it.

    ``head`` may be the first part only: then ``total`` is the size of the whole data set, and HeadTooShort
    says that ``head`` ends before the header does (16 KiB is nearly always enough).
    """
    size = len(head) if total is None else max(total, len(head))
    try:
        return instance_header(raw_header(head, size, Encoding(transfer_syntax_uid, 0), WANTED, LAST_TAG + 1))
    except NeedMore as problem:
        raise too_short(problem) from problem


def _part10(buffer: bytes | mmap.mmap, total: int) -> InstanceHeader:
    raw = raw_header(buffer, total, read_meta(buffer, total), WANTED, PIXELS)
    header = instance_header(raw)
    check_pixels_are_there(raw, _size_of(raw, buffer, total))
    return header


def _size_of(raw: RawHeader, buffer: bytes | mmap.mmap, total: int) -> int:
    return total if raw.data is buffer else len(raw.data)


__all__ = ["HEAD_BYTES", "UNDEFINED", "scan_header", "scan_header_bytes", "scan_part10_bytes"]
