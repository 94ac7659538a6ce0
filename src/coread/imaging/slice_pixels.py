"""Slices into a float32 array in modality values: read, settled and rescaled in one pass, several at a time.

Native pixels are read straight from their place in the file into one buffer per thread, never mapped and never
decoded twice; compressed frames go through the decoders, which release the interpreter's lock.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import FloatPixels
from coread.imaging.decode import decode_source, open_pixels, settled_bits
from coread.imaging.errors import PixelMeaning, PixelsNotFinite, Truncated
from coread.imaging.intensity import GreyScale, apply_modality
from coread.imaging.pixel_format import DEFAULT_MAX_PIXELS
from coread.imaging.slices import Slice

MOST_WORKERS = 4
_EXACT = 2**24
"""Whole numbers up to here are exact in float32."""


def fill(voxels: FloatPixels, slices: Sequence[Slice], *, workers: int = 0) -> None:
    """Write slice k into ``voxels[k]`` (slices, rows, columns); ``workers`` 0 takes the cores of this process.

    Values equal float64 ``stored * slope + intercept`` (or the Modality LUT), rounded once to float32. Raises
    ImagingRefused where a slice cannot be read; nothing of the array counts then.
    """
    wanted = workers or min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1, MOST_WORKERS)
    wanted = max(1, min(wanted, len(slices)))
    if wanted == 1:
        _fill_every(voxels, slices, 0, 1)
        return
    with ThreadPoolExecutor(wanted, thread_name_prefix="slices") as pool:
        for done in [pool.submit(_fill_every, voxels, slices, start, wanted) for start in range(wanted)]:
            done.result()


def _fill_every(voxels: FloatPixels, slices: Sequence[Slice], start: int, step: int) -> None:
    buffers: dict[tuple[int, str], NDArray[Any]] = {}
    for k in range(start, len(slices), step):
        item = slices[k]
        stored = _native(item, buffers) if item.pixels_at is not None else _decoded(item)
        if item.layout.floating and not np.isfinite(stored).all():
            raise PixelsNotFinite(f"{item.name()} holds NaN or infinity")
        _rescaled(stored, item.grey, voxels[k])


def _native(item: Slice, buffers: dict[tuple[int, str], NDArray[Any]]) -> NDArray[Any]:
    """Read the frame's bytes into a buffer that is used again for the next slice, and settle the bits."""
    layout, element = item.layout, item.pixels_at
    if element is None:
        raise PixelMeaning(f"{item.name()} has no pixels in place")
    dtype = np.dtype(layout.dtype)
    key = (layout.frame_samples, dtype.str)
    if key not in buffers:
        buffers[key] = np.empty(layout.frame_samples, dtype=dtype)
    buffer = buffers[key]
    _read_into(item, buffer, element.offset + (item.frame - 1) * buffer.nbytes)
    return _tile(item, settled_bits(buffer.reshape(layout.rows, layout.columns), layout))


def _read_into(item: Slice, buffer: NDArray[Any], offset: int) -> None:
    descriptor = os.open(item.path, os.O_RDONLY)
    try:
        view = memoryview(buffer.view(np.uint8).data)
        while view:
            got = os.preadv(descriptor, [view], offset)
            if got == 0:
                raise Truncated(f"{item.name()}: {len(view)} bytes of pixels are missing")
            view, offset = view[got:], offset + got
    finally:
        os.close(descriptor)


def _decoded(item: Slice) -> NDArray[Any]:
    source = open_pixels(item.path)
    if source.layout.samples != 1:
        raise PixelMeaning(f"{item.name()}: colour is no volume")
    limit = max(source.layout.frame_samples, DEFAULT_MAX_PIXELS)
    return _tile(item, decode_source(source, (item.frame,), max_pixels=limit)[0])


def _tile(item: Slice, frame: NDArray[Any]) -> NDArray[Any]:
    if item.tile is None:
        return frame
    top, left = item.tile.row, item.tile.column
    return frame[top : top + item.rows, left : left + item.columns]


def _rescaled(stored: NDArray[Any], grey: GreyScale, into: NDArray[np.float32]) -> None:
    if grey.modality_lut is not None:
        into[...] = apply_modality(stored, grey)
        return
    if grey.slope == 1.0 and _stays_whole(stored, grey.intercept):
        into[...] = stored
        if grey.intercept:
            into += np.float32(grey.intercept)
        return
    if stored.dtype.itemsize == 2 and stored.size > 2**16:
        # Every 16-bit value once in float64 costs less than each pixel: the same numbers, looked up.
        table = np.arange(2**16, dtype=np.uint16).view(stored.dtype).astype(np.float64)
        table *= grey.slope
        table += grey.intercept
        np.take(table.astype(np.float32), stored.view(np.uint16), out=into, mode="wrap")
        return
    into[...] = stored.astype(np.float64) * grey.slope + grey.intercept


def _stays_whole(stored: NDArray[Any], intercept: float) -> bool:
    """Whether adding the intercept in float32 is exact: whole numbers that stay below 2**24."""
    small = stored.dtype.kind in "iub" and stored.dtype.itemsize <= 2
    return small and intercept == int(intercept) and abs(intercept) + 2**16 < _EXACT
