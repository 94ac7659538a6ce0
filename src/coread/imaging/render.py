"""Frames as PNG or JPEG for previews and WADO rendered frames; for looking at, never for measuring."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import PlanarImage, Quantity
from coread.domain.study import InstanceHeader
from coread.imaging.errors import PixelMeaning
from coread.imaging.intensity import Window
from coread.imaging.pixel_format import DEFAULT_MAX_PIXELS
from coread.imaging.planar import load_planar, read_frame

Pixels8 = NDArray[np.uint8]


def render_png(
    path: Path, header: InstanceHeader, frame: int = 1, *, max_size: int | None = None, window: Window | None = None
) -> bytes:
    """Return one frame as PNG, its longer side at most ``max_size``; ``window`` replaces the object's VOI."""
    return encode_png(frame_pixels(path, header, frame, window=window), max_size=max_size)


def render_jpeg(
    path: Path, header: InstanceHeader, frame: int = 1, *, max_size: int | None = None, window: Window | None = None
) -> bytes:
    """Return one frame as JPEG of quality 90; see ``render_png``."""
    return encode_jpeg(frame_pixels(path, header, frame, window=window), max_size=max_size)


def frame_pixels(path: Path, header: InstanceHeader, frame: int = 1, *, window: Window | None = None) -> Pixels8:
    """Return one frame as 8-bit grey (rows, columns) or RGB (rows, columns, 3)."""
    if header.photometric_interpretation.startswith("MONOCHROME"):
        return planar_pixels(load_planar(path, header, frame, window=window))
    read = read_frame(path, frame, max_pixels=DEFAULT_MAX_PIXELS)
    if read.stored.ndim == 2:
        return planar_pixels(load_planar(path, header, frame, window=window))
    top = 2**read.layout.bits_stored - 1
    return np.asarray(read.stored if top == 255 else np.rint(read.stored * (255.0 / top)), dtype=np.uint8)


def planar_pixels(image: PlanarImage) -> Pixels8:
    """Return display values as 8-bit grey; padding is black."""
    if image.quantity is not Quantity.DISPLAY:
        raise PixelMeaning(f"{image.quantity} has no display range; load the frame with load_planar")
    grey = np.rint(np.nan_to_num(image.pixels) * 255).astype(np.uint8)
    return grey if image.valid is None else np.where(image.valid, grey, np.uint8(0))


def encode_png(pixels: Pixels8, *, max_size: int | None = None) -> bytes:
    """Encode 8-bit pixels as PNG."""
    return _encode(pixels, max_size, "PNG", compress_level=3)


def encode_jpeg(pixels: Pixels8, *, max_size: int | None = None, quality: int = 90) -> bytes:
    """Encode 8-bit pixels as JPEG."""
    return _encode(pixels, max_size, "JPEG", quality=quality)


def _encode(pixels: Pixels8, max_size: int | None, kind: str, **options: Any) -> bytes:
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    if max_size is not None and max(image.size) > max_size:
        scale = max_size / max(image.size)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        image = image.resize(size, Image.Resampling.BOX if scale < 0.25 else Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, format=kind, **options)
    return out.getvalue()
