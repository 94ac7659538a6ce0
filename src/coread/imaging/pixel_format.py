"""The Image Pixel attributes of one object (PS3.3 C.7.6.3), checked before anything is allocated."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from coread.imaging.errors import ImageTooLarge, NoPixels, PixelMeaning
from coread.imaging.fields import plain_text, short_number, whole_number
from coread.imaging.objects import RawHeader
from coread.imaging.pixel_element import DOUBLE_PIXELS, FLOAT_PIXELS

DEFAULT_MAX_PIXELS = 2**27
"""Samples (rows x columns x samples x frames asked for): 256 MiB at 16 bits."""

SAMPLES, PHOTOMETRIC, PLANAR, FRAMES = 0x00280002, 0x00280004, 0x00280006, 0x00280008
ROWS, COLUMNS = 0x00280010, 0x00280011
ALLOCATED, STORED, HIGH_BIT, REPRESENTATION = 0x00280100, 0x00280101, 0x00280102, 0x00280103
OFFSET_TABLE, OFFSET_LENGTHS = 0x7FE00001, 0x7FE00002
PIXEL_TAGS = frozenset([
    SAMPLES, PHOTOMETRIC, PLANAR, FRAMES, ROWS, COLUMNS, ALLOCATED, STORED, HIGH_BIT, REPRESENTATION,
    OFFSET_TABLE, OFFSET_LENGTHS,
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How the stored values of an object are laid out."""

    rows: int
    columns: int
    samples: int
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str
    planar: bool
    """Colour by plane (R..G..B..) instead of by pixel."""
    floating: bool

    @property
    def frame_samples(self) -> int:
        """Number of values in one frame."""
        return self.rows * self.columns * self.samples

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, columns) or (rows, columns, samples)."""
        return (self.rows, self.columns) if self.samples == 1 else (self.rows, self.columns, self.samples)

    @property
    def dtype(self) -> DTypeLike:
        """Native-endian type of the stored values."""
        if self.floating:
            return np.dtype(f"f{self.bits_allocated // 8}")
        return np.dtype(f"{'i' if self.signed else 'u'}{max(1, self.bits_allocated // 8)}")


def pixel_format(raw: RawHeader, pixel_tag: int) -> PixelFormat:
    """Read and check the pixel attributes; refuses zero sizes and contradictions."""
    rows, columns = _short(raw, ROWS), _short(raw, COLUMNS)
    if not rows or not columns:
        raise NoPixels(f"the matrix is {rows or 0} x {columns or 0}")
    floating = pixel_tag in (FLOAT_PIXELS, DOUBLE_PIXELS)
    allocated = _short(raw, ALLOCATED) or 0
    allowed = {FLOAT_PIXELS: (32,), DOUBLE_PIXELS: (64,)}.get(pixel_tag, (1, 8, 16, 32))
    if allocated not in allowed:
        raise PixelMeaning(f"Bits Allocated is {allocated or 'absent'}")
    stored = _short(raw, STORED) or allocated
    high_bit = _short(raw, HIGH_BIT)
    high_bit = stored - 1 if high_bit is None else high_bit
    if not floating and not stored - 1 <= high_bit < allocated:
        raise PixelMeaning(f"Bits Allocated {allocated}, Bits Stored {stored} and High Bit {high_bit} do not fit")
    samples = 1 if floating else (_short(raw, SAMPLES) or 1)
    photometric = plain_text(raw.values.get(PHOTOMETRIC, b""))
    if samples not in (1, 3) or (samples == 3 and allocated == 1):
        raise PixelMeaning(f"{samples} samples per pixel of {allocated} bits")
    if photometric == "YBR_FULL_422" and columns % 2:
        raise PixelMeaning(f"YBR_FULL_422 with an odd number of columns ({columns})")
    if floating:
        stored, high_bit = allocated, allocated - 1
    return PixelFormat(
        rows=rows, columns=columns, samples=samples, frames=_frames(raw),
        bits_allocated=allocated, bits_stored=stored, high_bit=high_bit,
        signed=_short(raw, REPRESENTATION) == 1, photometric=photometric,
        planar=samples > 1 and _short(raw, PLANAR) == 1, floating=floating,
    )  # fmt: skip


def check_size(layout: PixelFormat, frames: int, max_pixels: int) -> None:
    """Refuse more samples than ``max_pixels`` before anything is allocated."""
    wanted = layout.frame_samples * frames
    if wanted > max_pixels:
        size = f"{layout.rows} x {layout.columns} x {layout.samples}, {frames} frames"
        raise ImageTooLarge(f"{size} is {wanted} samples, the limit is {max_pixels}")


def _short(raw: RawHeader, tag: int) -> int | None:
    return short_number(raw.values.get(tag, b""), little_endian=raw.little_endian)


def _frames(raw: RawHeader) -> int:
    value = raw.values.get(FRAMES, b"").strip(b" \0")
    if not value:
        return 1
    frames = whole_number(value)
    if frames is None or frames < 1:
        raise NoPixels(f"Number of Frames is {plain_text(value)[:20]!r}")
    return frames
