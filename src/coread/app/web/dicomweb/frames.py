"""Pixels of single frames (PS3.18 sections 10.4.1.1.3 and 8.7.3): as stored, or plain in little endian."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from pydicom.encaps import get_frame
from starlette.responses import Response

from coread.app.web.dicomweb.accept import MediaRange
from coread.app.web.dicomweb.archive import Archive, Resource, instance_at
from coread.app.web.dicomweb.errors import BadRequest, NoSuchResource, NotAcceptable
from coread.app.web.dicomweb.parts import Part, multipart, single
from coread.imaging.decode import NATIVE, PixelSource, decode_source, open_pixels
from coread.imaging.errors import ImagingRefused, NoPixels
from coread.imaging.pixel_format import OFFSET_LENGTHS, OFFSET_TABLE

OCTETS = "application/octet-stream"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
_AT_ONCE = 4
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
MEDIA_TYPES = {
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
    "1.2.840.10008.1.2.4.92": "image/jpx",
    "1.2.840.10008.1.2.4.93": "image/jpx",
    "1.2.840.10008.1.2.4.201": "image/jphc",
    "1.2.840.10008.1.2.4.202": "image/jphc",
    "1.2.840.10008.1.2.4.203": "image/jphc",
    "1.2.840.10008.1.2.4.110": "image/jxl",
    "1.2.840.10008.1.2.4.111": "image/jxl",
    "1.2.840.10008.1.2.4.112": "image/jxl",
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}
"""Media types of compressed frames (PS3.18 table 8.7.3-5)."""


def frame_numbers(text: str) -> tuple[int, ...]:
    """Parse ``1,2,7``; frames count from 1."""
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and 0 < len(part) <= 9 and int(part) > 0 for part in parts):
        raise BadRequest(f"{text[:80]!r} is not a list of frame numbers, which count from 1")
    return tuple(int(part) for part in parts)


def frames_answer(
    archive: Archive, resource: Resource, numbers: Sequence[int], accepted: Sequence[MediaRange]
) -> Response:
    """Answer with frames in the best accepted form."""
    instance, path = instance_at(archive, resource)
    stored = instance.header.transfer_syntax_uid
    try:
        source = open_pixels(path)
        if max(numbers) > source.layout.frames:
            raise NoSuchResource(f"the object has {source.layout.frames} frames")
        if len(numbers) > source.layout.frames:
            raise BadRequest("a frame is asked for twice")
        for item in accepted:
            parts = _parts(source, stored, numbers, item)
            if parts:
                return single(parts[0]) if len(parts) == 1 and not item.is_multipart else multipart(parts, _type(parts))
    except NoPixels as problem:
        raise NoSuchResource(str(problem)) from problem
    except ImagingRefused as problem:
        raise NotAcceptable(str(problem)) from problem
    stored_as = MEDIA_TYPES.get(stored, OCTETS)
    raise NotAcceptable(
        f"stored in {stored}: frames can be given as {stored_as} so, or as {OCTETS} in {EXPLICIT_LITTLE}"
    )


def _type(parts: Sequence[Part]) -> str:
    return parts[0].content_type.split(";")[0]


def _parts(source: PixelSource, stored: str, numbers: Sequence[int], item: MediaRange) -> list[Part]:
    """Return the parts in the form that this media range accepts; none where it accepts neither."""
    if len(numbers) > 1 and not item.is_multipart:
        return []
    compressed = MEDIA_TYPES.get(stored)
    any_syntax = item.transfer_syntax == "*" and item.part == OCTETS
    if compressed and stored not in NATIVE and ((item.covers(compressed) and item.takes_syntax(stored)) or any_syntax):
        content_type = f"{compressed}; transfer-syntax={stored}"
        return _made(content_type, partial(_encoded, source), numbers)
    if item.covers(OCTETS) and item.transfer_syntax in ("", "*", EXPLICIT_LITTLE):
        content_type = f"{OCTETS}; transfer-syntax={EXPLICIT_LITTLE}"
        return _made(content_type, partial(plain_frame, source), numbers)
    return []


def _made(content_type: str, make: Callable[[int], bytes], numbers: Sequence[int]) -> list[Part]:
    """Make a few frames now, so that what cannot be made is refused; many are made one by one as they are sent."""
    if len(numbers) <= _AT_ONCE:
        return [Part(content_type, make(number)) for number in numbers]
    return [Part(content_type, partial(make, number)) for number in numbers]


def _encoded(source: PixelSource, number: int) -> bytes:
    raw, layout = source.raw, source.layout
    tables = None
    if raw.values.get(OFFSET_TABLE) and raw.values.get(OFFSET_LENGTHS):
        tables = (raw.values[OFFSET_TABLE], raw.values[OFFSET_LENGTHS])
    try:
        return get_frame(
            raw.data[source.element.offset :], number - 1, extended_offsets=tables, number_of_frames=layout.frames
        )
    except (ValueError, IndexError, EOFError) as problem:
        raise NotAcceptable(f"frame {number} cannot be found in the fragments: {problem}") from problem


def plain_frame(source: PixelSource, number: int) -> bytes:
    """Return one frame as little endian bytes; of plain stored pixels exactly the bytes that are stored."""
    layout, syntax = source.layout, source.raw.transfer_syntax_uid
    size = layout.frame_samples * layout.bits_allocated // 8
    if syntax in NATIVE and syntax != _BIG_ENDIAN and layout.bits_allocated >= 8:
        start = source.element.offset + (number - 1) * size
        stored = bytes(source.raw.data[start : start + size])
        if len(stored) == size:
            return stored
    values = decode_source(source, (number,))[0]
    if layout.bits_allocated == 1:
        return np.packbits(values.reshape(-1).astype(np.uint8), bitorder="little").tobytes()
    return bytes(values.astype(values.dtype.newbyteorder("<")).tobytes())


def native_bytes(path: Path, number: int | None) -> bytes:
    """Return one frame, or with ``None`` all pixels, as little endian bytes."""
    try:
        source = open_pixels(path)
        if number is not None:
            return plain_frame(source, number)
        if source.layout.bits_allocated == 1:
            bits = decode_source(source).reshape(-1).astype(np.uint8)
            return np.packbits(bits, bitorder="little").tobytes()
        return b"".join(plain_frame(source, frame) for frame in range(1, source.layout.frames + 1))
    except NoPixels as problem:
        raise NoSuchResource(str(problem)) from problem
    except ImagingRefused as problem:
        raise NotAcceptable(str(problem)) from problem
