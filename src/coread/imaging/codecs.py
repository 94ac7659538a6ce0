"""One compressed frame to values, each transfer syntax by the fastest decoder that is exact.

Measured by ``bench/decode.py``: RLE pylibjpeg-rle; all others imagecodecs (CharLS, OpenJPH, OpenJPEG,
libjpeg-turbo, liblj92). Syntaxes without a decoder here go to pydicom's own (``decode.py``).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.imaging.pixel_format import PixelFormat

_END_OF_IMAGE = b"\xff\xd9"
_TAIL = 16
"""Fragments are padded to an even length (PS3.5 annex A.4); a few writers pad more."""
FrameDecoder = Callable[[bytes, PixelFormat], NDArray[Any]]


def _rle(data: bytes, layout: PixelFormat) -> NDArray[Any]:
    from rle.rle import decode_frame

    values = decode_frame(data, layout.rows * layout.columns, layout.bits_allocated, "<")
    planes = np.frombuffer(values, dtype=f"<u{layout.bits_allocated // 8}")
    planes = planes.reshape(layout.samples, layout.rows, layout.columns)
    return planes[0] if layout.samples == 1 else np.ascontiguousarray(np.moveaxis(planes, 0, -1))


def _jpeg(data: bytes, layout: PixelFormat) -> NDArray[Any]:
    import imagecodecs

    if layout.samples == 1:
        return np.asarray(imagecodecs.jpeg8_decode(data))
    source = "YCBCR" if layout.photometric.startswith("YBR") else "RGB"
    return np.asarray(imagecodecs.jpeg8_decode(data, colorspace=source, outcolorspace="RGB"))


def _lossless_jpeg(data: bytes, layout: PixelFormat) -> NDArray[Any]:
    import imagecodecs

    if layout.samples == 1:
        return np.asarray(imagecodecs.ljpeg_decode(data))
    return _jpeg(data, layout)


def _jpeg_ls(data: bytes, _: PixelFormat) -> NDArray[Any]:
    import imagecodecs

    if _END_OF_IMAGE not in data[-_TAIL:]:
        # CharLS searches a stream that is cut short for tens of seconds before it gives up.
        raise ValueError("the JPEG-LS stream has no end marker: it is cut short")
    return np.asarray(imagecodecs.jpegls_decode(data))


def _jpeg2000(data: bytes, _: PixelFormat) -> NDArray[Any]:
    import imagecodecs

    return np.asarray(imagecodecs.jpeg2k_decode(data, numthreads=1))


def _htj2k(data: bytes, _: PixelFormat) -> NDArray[Any]:
    import imagecodecs

    return np.asarray(imagecodecs.htj2k_decode(data))


DECODERS: dict[str, FrameDecoder] = {
    "1.2.840.10008.1.2.5": _rle,
    "1.2.840.10008.1.2.4.50": _jpeg,
    "1.2.840.10008.1.2.4.51": _jpeg,
    "1.2.840.10008.1.2.4.53": _jpeg,
    "1.2.840.10008.1.2.4.55": _jpeg,
    "1.2.840.10008.1.2.4.57": _lossless_jpeg,
    "1.2.840.10008.1.2.4.70": _lossless_jpeg,
    "1.2.840.10008.1.2.4.80": _jpeg_ls,
    "1.2.840.10008.1.2.4.81": _jpeg_ls,
    "1.2.840.10008.1.2.4.90": _jpeg2000,
    "1.2.840.10008.1.2.4.91": _jpeg2000,
    "1.2.840.10008.1.2.4.201": _htj2k,
    "1.2.840.10008.1.2.4.202": _htj2k,
    "1.2.840.10008.1.2.4.203": _htj2k,
}
"""By Transfer Syntax UID (PS3.6 table A-1). 53 and 55 are retired but read: libjpeg-turbo knows them."""

LOSSY_RGB = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 53, 55))
"""Decoders that turn YCbCr into RGB themselves."""
