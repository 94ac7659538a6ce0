"""A moving multi-frame object as a loop: display values of every frame, times, view and scale of an ultrasound.

What is not moving pictures of one place (a multi-frame volume, a single frame) is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from coread.domain.images import Loop, Quantity, Sector
from coread.domain.study import InstanceHeader
from coread.imaging.attributes import dataset_of
from coread.imaging.colour import luminance
from coread.imaging.decode import PixelSource, decode_source, open_pixels
from coread.imaging.errors import PixelMeaning, TooFewImages
from coread.imaging.intensity import apply_modality, apply_voi, grey_scale
from coread.imaging.pixel_format import DEFAULT_MAX_PIXELS, check_size

_VIEWS: Mapping[tuple[str, str], str] = {
    ("SCT", "399214001"): "A4C",
    ("SCT", "399232001"): "A2C",
    ("SRT", "G-A19C"): "A4C",
    ("SRT", "G-A19B"): "A2C",
}
"""View codes of PS3.16 CID 12226 (echocardiography image view) by which a reader can be told its view."""
_TISSUE, _TWO_DIMENSIONS, _CENTIMETRES = 1, 1, 3
"""Region Data Type, Region Spatial Format and Physical Units (PS3.3 C.8.5.5.1)."""


@dataclass(frozen=True, slots=True, eq=False)
class OpenedLoop:
    """A loop before its frames are decoded."""

    header: InstanceHeader
    frames: int
    view: str
    times_ms: tuple[float, ...]
    sector: Sector | None
    source: PixelSource
    attributes: Dataset


def open_loop(path: Path, header: InstanceHeader) -> OpenedLoop:
    """Read what a multi-frame object says of itself; raises TooFewImages for a single frame."""
    source = open_pixels(path)
    attributes = dataset_of(source.raw)
    frames = source.layout.frames
    if frames < 2:
        raise TooFewImages("a single frame is no loop")
    size = source.layout.rows, source.layout.columns
    sector = sector_of(attributes, size)
    view, times = view_of(attributes), frame_times(attributes, frames)
    return OpenedLoop(header, frames, view, times, sector, source, attributes)


def load_loop(opened: OpenedLoop, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Loop:
    """Decode the frames of a loop one after the other; raises PixelMeaning where colours are not plain."""
    layout = opened.source.layout
    check_size(layout, opened.frames, max_pixels)
    if layout.photometric == "PALETTE COLOR":
        raise PixelMeaning("palette colour in a loop")
    pixels = np.empty((opened.frames, layout.rows, layout.columns), dtype=np.float32)
    grey = grey_scale(opened.attributes, signed=layout.signed)
    top = float(2**layout.bits_stored - 1)
    for number in range(opened.frames):
        stored = decode_source(opened.source, (number + 1,), max_pixels=max_pixels)[0]
        if stored.ndim == 3:
            pixels[number] = luminance(stored) / np.float32(top)
        else:
            pixels[number] = apply_voi(apply_modality(stored, grey), grey, (0.0, top))
    return Loop(pixels, Quantity.DISPLAY, opened.header, opened.times_ms, opened.view, opened.sector)


def view_of(attributes: Dataset) -> str:
    """Return the view that View Code Sequence (0054,0220) states, as a short name; empty where none is known."""
    for item in attributes.get("ViewCodeSequence") or ():
        key = str(item.get("CodingSchemeDesignator", "")), str(item.get("CodeValue", ""))
        if key in _VIEWS:
            return _VIEWS[key]
    return ""


def frame_times(attributes: Dataset, frames: int) -> tuple[float, ...]:
    """Return the time of each frame in ms from Frame Time Vector or Frame Time (PS3.3 C.7.6.5); else nothing."""
    vector = attributes.get("FrameTimeVector")
    steps = [] if vector is None or isinstance(vector, str | bytes) or not hasattr(vector, "__len__") else list(vector)
    if len(steps) == frames:
        times = np.cumsum([0.0, *(_number(step) for step in steps[1:])])
    else:
        times = np.arange(frames) * _number(attributes.get("FrameTime"))
    rising = bool(np.isfinite(times).all()) and bool((np.diff(times) > 0).all())
    return tuple(float(time) for time in times) if rising else ()


def sector_of(attributes: Dataset, size: tuple[int, int]) -> Sector | None:
    """Return the largest calibrated region of tissue (PS3.3 C.8.5.5), its scale in mm; ``None`` where there is none.

    A region that begins beyond the frame, which has ``size`` (rows, columns), says nothing of it.
    """
    found = [sector for item in attributes.get("SequenceOfUltrasoundRegions") or () if (sector := _sector(item))]
    inside = [one for one in found if one.row_min < size[0] and one.column_min < size[1]]
    return max(inside, key=_area, default=None)


def _sector(item: Dataset) -> Sector | None:
    kind = (item.get("RegionDataType"), item.get("RegionSpatialFormat"))
    units = (item.get("PhysicalUnitsXDirection"), item.get("PhysicalUnitsYDirection"))
    across, down = abs(_number(item.get("PhysicalDeltaX"))), abs(_number(item.get("PhysicalDeltaY")))
    names = ("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1")
    edges = [item.get(name) for name in names]
    if kind != (_TISSUE, _TWO_DIMENSIONS) or units != (_CENTIMETRES, _CENTIMETRES):
        return None
    if not (np.isfinite([across, down]).all() and min(across, down) > 0):
        return None
    left, top, right, bottom = (int(edge) if isinstance(edge, int) else -1 for edge in edges)
    if not (0 <= left < right and 0 <= top < bottom):
        return None
    return Sector(left, top, right + 1, bottom + 1, (down * 10, across * 10))


def _area(sector: Sector) -> int:
    return (sector.column_max - sector.column_min) * (sector.row_max - sector.row_min)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


__all__ = ["OpenedLoop", "frame_times", "load_loop", "open_loop", "sector_of", "view_of"]
