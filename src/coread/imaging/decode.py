"""Stored values of chosen frames, decoded on demand and refused before anything absurd is allocated."""

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import get_frame
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from coread.imaging.codecs import DECODERS, LOSSY_RGB
from coread.imaging.codestream import stream_size
from coread.imaging.colour import rgb_from_ybr, rgb_from_ybr_422
from coread.imaging.elements import UNDEFINED
from coread.imaging.errors import ImagingRefused, NoPixels, NotDicom, PixelsUnread, Truncated, UnknownSyntax
from coread.imaging.objects import MAX_INFLATED_HEADER, PIXELS, Encoding, RawHeader, inflate, raw_header, read_meta
from coread.imaging.pixel_element import PixelElement, find_pixels
from coread.imaging.pixel_format import (
    DEFAULT_MAX_PIXELS,
    OFFSET_LENGTHS,
    OFFSET_TABLE,
    PIXEL_TAGS,
    PixelFormat,
    check_size,
    pixel_format,
)

NATIVE = frozenset(
    str(uid)
    for uid in (
        ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian,
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PixelSource:
    """An opened object: its raw attributes, pixel layout and where the pixel bytes are."""

    raw: RawHeader
    layout: PixelFormat
    element: PixelElement
    path: Path


def decode_frames(
    path: Path, frames: Sequence[int] | None = None, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> NDArray[Any]:
    """Return stored values (frames, rows, columns[, 3]); ``frames`` counts from 1, all when ``None``.

    Unused bits are cleared or sign-extended (PS3.5 section 8.1.1); YBR colour is returned as RGB; palette
    indices are returned as they are. The array may be a read-only view of the file.
    """
    return decode_source(open_pixels(path), frames, max_pixels=max_pixels)


def open_pixels(path: Path, extra_tags: frozenset[int] = frozenset()) -> PixelSource:
    """Map a file and read its pixel attributes, and the raw values of ``extra_tags``."""
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as problem:
            raise NotDicom("the file is empty") from problem
    raw = raw_header(data, len(data), read_meta(data, len(data)), PIXEL_TAGS | extra_tags, PIXELS)
    element = find_pixels(raw)
    if element is None:
        raise NoPixels("the object has no pixel data element")
    return PixelSource(raw, pixel_format(raw, element.tag), element, path)


def decode_source(
    source: PixelSource, frames: Sequence[int] | None = None, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> NDArray[Any]:
    """Decode frames of an opened object; see ``decode_frames``."""
    layout = source.layout
    wanted = tuple(range(1, layout.frames + 1)) if frames is None else tuple(frames)
    if not wanted or min(wanted) < 1 or max(wanted) > layout.frames:
        raise NoPixels(f"frames {wanted[:5]} were asked for, the object has {layout.frames}")
    check_size(layout, len(wanted), max_pixels)
    if source.raw.transfer_syntax_uid in NATIVE:
        return _native_frames(source, wanted)
    _check_known(source.raw.transfer_syntax_uid)
    if source.element.length != UNDEFINED:
        raise PixelsUnread("compressed pixel data is not encapsulated")
    return np.stack([settled_bits(_compressed_frame(source, frame), layout) for frame in wanted])


def _native_frames(source: PixelSource, wanted: tuple[int, ...]) -> NDArray[Any]:
    layout = source.layout
    if layout.bits_allocated == 1:
        return _bit_frames(source, wanted)
    half = layout.photometric == "YBR_FULL_422" and layout.samples == 3
    per_frame = layout.rows * layout.columns * 2 if half else layout.frame_samples
    size = per_frame * layout.bits_allocated // 8
    data, offset = _pixel_bytes(source, size * layout.frames)
    dtype = np.dtype(layout.dtype).newbyteorder("<" if source.raw.little_endian else ">")
    values = np.frombuffer(data, dtype=dtype, count=per_frame * layout.frames, offset=offset)
    chosen: NDArray[Any] = values.reshape(layout.frames, per_frame)
    if len(wanted) != layout.frames or wanted != tuple(range(1, layout.frames + 1)):
        first = wanted[0] - 1
        chosen = chosen[first : first + 1] if len(wanted) == 1 else chosen[[frame - 1 for frame in wanted]]
    if half:
        return rgb_from_ybr_422(chosen.reshape(len(wanted), layout.rows, layout.columns // 2, 4))
    if not dtype.isnative:
        chosen = chosen.astype(layout.dtype)
    if layout.planar:
        chosen = chosen.reshape(len(wanted), 3, layout.rows, layout.columns).transpose(0, 2, 3, 1)
    settled = settled_bits(chosen.reshape(len(wanted), *layout.shape), layout)
    return rgb_from_ybr(settled) if layout.samples == 3 and layout.photometric == "YBR_FULL" else settled


def _pixel_bytes(source: PixelSource, size: int) -> tuple[bytes | mmap.mmap, int]:
    """Return the buffer that holds ``size`` bytes of native pixels and where they begin in it."""
    element, data = source.element, source.raw.data
    if element.length == UNDEFINED:
        raise PixelsUnread("uncompressed pixel data of undefined length")
    if element.length < size:
        raise Truncated(f"the header needs {size} bytes of pixels, the element has {element.length}")
    if element.offset + size > len(data) and len(data) == MAX_INFLATED_HEADER:
        data = _inflated_again(source, element.offset + size)
    if element.offset + size > len(data):
        raise Truncated(f"{element.offset + size - len(data)} of {size} bytes of pixels are missing")
    return data, element.offset


def _inflated_again(source: PixelSource, limit: int) -> bytes:
    """Inflate as much as the header's own sizes allow: a bomb beyond that is never unfolded."""
    with source.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        encoding: Encoding = read_meta(whole, len(whole))
        return inflate(whole[encoding.start :], limit)


def _bit_frames(source: PixelSource, wanted: tuple[int, ...]) -> NDArray[Any]:
    """Unpack 1-bit pixels: bits run on over frame borders, least significant first (PS3.5 section 8.1.1)."""
    layout = source.layout
    per_frame = layout.rows * layout.columns
    data, offset = _pixel_bytes(source, (per_frame * layout.frames + 7) // 8)
    unpacked = []
    for frame in wanted:
        first = (frame - 1) * per_frame
        start, end = offset + first // 8, offset + (first + per_frame + 7) // 8
        bits = np.unpackbits(np.frombuffer(data[start:end], dtype=np.uint8), bitorder="little")
        unpacked.append(bits[first % 8 : first % 8 + per_frame].reshape(layout.rows, layout.columns))
    return np.stack(unpacked)


def _compressed_frame(source: PixelSource, frame: int) -> NDArray[Any]:
    layout, syntax = source.layout, source.raw.transfer_syntax_uid
    decoder = DECODERS.get(syntax)
    if decoder is None:
        return _pydicom_frame(source, frame)
    data = _encoded_frame(source, frame)
    stated = stream_size(data)
    if stated is not None and (stated.rows, stated.columns, stated.components) != (
        layout.rows, layout.columns, layout.samples,
    ):  # fmt: skip
        raise PixelsUnread(
            f"the frame is {stated.rows} x {stated.columns} x {stated.components}, the header says {layout.shape}"
        )
    try:
        values = decoder(data, layout)
    except (ValueError, RuntimeError, TypeError, MemoryError) as problem:
        raise PixelsUnread(f"frame {frame} in {syntax}: {problem}") from problem
    if values.shape != layout.shape:
        raise PixelsUnread(f"the frame decodes to {values.shape}, the header says {layout.shape}")
    if layout.samples == 3 and syntax not in LOSSY_RGB and layout.photometric == "YBR_FULL":
        values = rgb_from_ybr(values)
    return values


def _encoded_frame(source: PixelSource, frame: int) -> bytes:
    layout, raw = source.layout, source.raw
    tables = None
    if raw.values.get(OFFSET_TABLE) and raw.values.get(OFFSET_LENGTHS):
        tables = (raw.values[OFFSET_TABLE], raw.values[OFFSET_LENGTHS])
    buffer = raw.data[source.element.offset :]
    try:
        return get_frame(buffer, frame - 1, extended_offsets=tables, number_of_frames=layout.frames)
    except MemoryError:
        raise  # a full memory says nothing about the object
    except Exception as problem:
        raise PixelsUnread(f"frame {frame} cannot be found in the fragments: {problem}") from problem


def _check_known(transfer_syntax_uid: str) -> None:
    """Refuse a syntax that neither this room nor pydicom has a decoder for."""
    if transfer_syntax_uid in DECODERS:
        return
    from pydicom.config import IGNORE
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    if not UID(transfer_syntax_uid, validation_mode=IGNORE).is_valid:  # pydicom would warn, and look it up all the same
        raise UnknownSyntax(transfer_syntax_uid)
    try:
        get_decoder(UID(transfer_syntax_uid))
    except NotImplementedError as problem:
        raise UnknownSyntax(transfer_syntax_uid) from problem


def _pydicom_frame(source: PixelSource, frame: int) -> NDArray[Any]:
    """Decode with pydicom's plug-ins what has no decoder here."""
    from pydicom.pixels.utils import pixel_array

    try:
        return np.asarray(pixel_array(source.path, index=frame - 1))
    except (ImagingRefused, MemoryError):
        raise  # a full memory says nothing about the object
    except Exception as problem:
        raise PixelsUnread(f"frame {frame} in {source.raw.transfer_syntax_uid}: {problem}") from problem


def settled_bits(values: NDArray[Any], layout: PixelFormat) -> NDArray[Any]:
    """Give values the stated type, with unused bits cleared or the sign extended (PS3.5 section 8.1.1)."""
    if layout.floating:
        return values
    width = layout.bits_allocated
    unsigned = np.dtype(f"u{width // 8}")
    if values.dtype.itemsize != unsigned.itemsize:
        values = values.astype(np.dtype(layout.dtype))
    if layout.bits_stored == width:
        return values.view(np.dtype(layout.dtype))
    above, below = width - 1 - layout.high_bit, width - layout.bits_stored
    if layout.signed:
        return np.asarray(np.right_shift(np.left_shift(values.view(np.dtype(layout.dtype)), above), below))
    bits = values.view(unsigned)
    if layout.high_bit != layout.bits_stored - 1:
        bits = np.right_shift(bits, layout.high_bit - layout.bits_stored + 1)
    return np.asarray(np.bitwise_and(bits, unsigned.type(2**layout.bits_stored - 1)))


def iterate_frames(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Iterator[NDArray[Any]]:
    """Yield one frame after another without ever holding two."""
    source = open_pixels(path)
    for frame in range(1, source.layout.frames + 1):
        yield decode_source(source, (frame,), max_pixels=max_pixels)[0]
