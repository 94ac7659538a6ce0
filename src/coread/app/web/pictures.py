"""Draws preview frames and heat maps. For looking at, never for measuring; every picture says so on the page."""

import io
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock, Semaphore
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.findings import HeatMap
from coread.domain.study import InstanceHeader

LARGEST_SIDE = 1536
_KEPT = 6
# Stops of the heat colour: from nothing over deep red to pale yellow; red, green, blue, opacity in [0, 1].
_HEAT_STOPS: Sequence[tuple[float, tuple[float, float, float, float]]] = (
    (0.0, (0.45, 0.05, 0.25, 0.0)),
    (0.3, (0.65, 0.10, 0.25, 0.12)),
    (0.6, (0.95, 0.40, 0.15, 0.42)),
    (1.0, (1.00, 0.90, 0.45, 0.62)),
)


class FrameDrawer:
    """Draws frames and keeps the last few decoded ones (16 bit, at most 1536 pixels), so that windowing is quick."""

    def __init__(self) -> None:
        self._frames: OrderedDict[tuple[str, int], NDArray[np.uint16]] = OrderedDict()
        self._lock = Lock()
        self._turn = Semaphore(2)

    def draw(
        self, path: Path, header: InstanceHeader, frame: int, *, level: float = 0.5, window: float = 1.0,
        invert: bool = False,
    ) -> bytes:  # fmt: skip
        """Return a PNG of one frame; ``level`` and ``window`` are parts of its displayed range (0.5 and 1: as is)."""
        with self._turn:
            pixels = self._decoded(path, header, frame)
            return _png(windowed(pixels, level=level, window=window, invert=invert))

    def _decoded(self, path: Path, header: InstanceHeader, frame: int) -> NDArray[np.uint16]:
        key = (str(path), frame)
        with self._lock:
            if key in self._frames:
                self._frames.move_to_end(key)
                return self._frames[key]
        pixels = _display_values(path, header, frame)
        with self._lock:
            self._frames[key] = pixels
            while len(self._frames) > _KEPT:
                self._frames.popitem(last=False)
        return pixels


def _display_values(path: Path, header: InstanceHeader, frame: int) -> NDArray[np.uint16]:
    """Return (rows, columns) or (rows, columns, 3) display values, 0 to 65535, made smaller where needed."""
    from coread.imaging.planar import load_planar
    from coread.imaging.render import frame_pixels

    if not header.photometric_interpretation.startswith("MONOCHROME"):
        return smaller(np.asarray(frame_pixels(path, header, frame) / 255, dtype=np.float32))
    image = load_planar(path, header, frame)
    shown = image.pixels if image.valid is None else np.where(image.valid, image.pixels, np.float32(0))
    return smaller(np.asarray(np.nan_to_num(shown), dtype=np.float32))


def smaller(pixels: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return display values in [0, 1] as 16 bit, averaged down by a whole factor where a side is too long."""
    rows, columns = pixels.shape[:2]
    factor = -(-max(rows, columns) // LARGEST_SIDE)
    if factor > 1 and min(rows, columns) >= factor:
        cut = pixels[: rows // factor * factor, : columns // factor * factor]
        blocks = cut.reshape(rows // factor, factor, columns // factor, factor, *pixels.shape[2:])
        pixels = blocks.mean(axis=(1, 3), dtype=np.float32)
    scaled: NDArray[np.uint16] = np.rint(np.clip(pixels, 0, 1) * 65535).astype(np.uint16)
    return scaled


def windowed(pixels: NDArray[np.uint16], *, level: float, window: float, invert: bool) -> NDArray[np.uint8]:
    """Return 8-bit pixels of a linear window over the displayed range."""
    steps = np.arange(65536, dtype=np.float32) / 65535
    shown = np.clip((steps - (level - window / 2)) / window, 0, 1)
    table = np.rint((1 - shown if invert else shown) * 255).astype(np.uint8)
    return np.asarray(table[pixels])


def draw_heat(heat: HeatMap) -> bytes:
    """Return a PNG of a heat map with its own transparency, smooth at 16 times its grid (at most 512 pixels)."""
    from PIL import Image

    values = np.clip(np.nan_to_num(heat.values), 0, 1).astype(np.float32)
    scale = max(1, min(16, 512 // max(values.shape)))
    size = (values.shape[1] * scale, values.shape[0] * scale)
    smooth = np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BICUBIC))
    return _png(coloured(np.clip(smooth, 0, 1)))


def coloured(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return (rows, columns, 4) RGBA of values in [0, 1]."""
    places = [place for place, _ in _HEAT_STOPS]
    channels = [np.interp(values, places, [colour[index] for _, colour in _HEAT_STOPS]) for index in range(4)]
    return np.rint(np.stack(channels, axis=-1) * 255).astype(np.uint8)


def _png(pixels: NDArray[Any]) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, format="PNG", compress_level=1)
    return out.getvalue()
