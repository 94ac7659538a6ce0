"""Draws masks from the ways in which public sets write them: run lengths, polygons, edge points."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from coread.train.errors import BadTable

Mask = NDArray[np.uint8]
"""(rows, columns), 0 is background, 255 (or a class number) the object."""
INSIDE = 255


def from_relative_runs(text: str, rows: int, columns: int) -> Mask:
    """Draw SIIM-ACR run lengths: pairs of (pixels to skip since the last run, length), down the columns."""
    numbers = _whole_numbers(text)
    flat = np.zeros(rows * columns, dtype=np.uint8)
    position = 0
    for skip, length in zip(numbers[::2], numbers[1::2], strict=True):
        position += skip
        _fill(flat, position, length)
        position += length
    return np.ascontiguousarray(flat.reshape(columns, rows).T)


def from_counts(counts: Sequence[int], rows: int, columns: int) -> Mask:
    """Draw uncompressed COCO run lengths: runs of 0 and 1 in turn, down the columns."""
    flat = np.zeros(rows * columns, dtype=np.uint8)
    position = 0
    for number, length in enumerate(counts):
        if number % 2:
            _fill(flat, position, length)
        position += length
    if position != flat.size:
        raise BadTable(f"run lengths cover {position} pixels, the image has {flat.size}")
    return np.ascontiguousarray(flat.reshape(columns, rows).T)


def from_polygons(
    polygons: Sequence[Sequence[tuple[float, float]]], rows: int, columns: int, *, value: int = INSIDE
) -> Mask:
    """Fill polygons of (column, row) points whose corners are pixel centres; where two overlap both count."""
    from PIL import Image, ImageDraw

    canvas = Image.new("L", (columns, rows), 0)
    draw = ImageDraw.Draw(canvas)
    for polygon in polygons:
        if len(polygon) >= 3:
            draw.polygon([(float(x), float(y)) for x, y in polygon], fill=value, outline=value)
        else:
            draw.point([(float(x), float(y)) for x, y in polygon], fill=value)
    return np.asarray(canvas, dtype=np.uint8)


def box_of(points: Sequence[tuple[float, float]]) -> tuple[float, float, float, float]:
    """Return (x0, y0, x1, y1) around pixel centres, with exclusive maxima."""
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    return min(xs), min(ys), max(xs) + 1, max(ys) + 1


def box_of_mask(mask: Mask) -> tuple[float, float, float, float] | None:
    """Return (x0, y0, x1, y1) around everything that is not background, or None for an empty mask."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return None
    return float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)


def _fill(flat: Mask, start: int, length: int) -> None:
    if start < 0 or length < 0 or start + length > flat.size:
        raise BadTable(f"a run of {length} pixels at {start} leaves the image of {flat.size} pixels")
    flat[start : start + length] = INSIDE


def _whole_numbers(text: str) -> list[int]:
    try:
        numbers = [int(word) for word in text.split()]
    except ValueError as problem:
        raise BadTable(f"run lengths must be whole numbers: {problem}") from problem
    if len(numbers) % 2:
        raise BadTable(f"run lengths come in pairs, got {len(numbers)} numbers")
    return numbers
