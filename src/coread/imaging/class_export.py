"""From class scores on a network's grid to labels on the source grid, streamed plane by plane.

Interpolating each class over the whole volume and then taking the largest (what nnU-Net does by default) costs minutes
and tens of gigabytes with many classes. Here two planes of scores are held, each output plane is interpolated from them
by two matrix products, and classes that cannot win anywhere in a band of rows are left out; the labels are the same.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Places = NDArray[np.float64]
_BAND = 32
"""Rows of the network's grid that are judged together when classes are left out."""


def half_pixel_places(size: int, source: int) -> Places:
    """Return where ``size`` voxels lie among ``source`` ones when both grids cover one extent (skimage, nnU-Net)."""
    return np.clip((np.arange(size) + 0.5) * source / size - 0.5, 0, source - 1)


def labels_from(slabs: Iterable[Floats], at: tuple[Places, Places, Places]) -> NDArray[np.uint16]:
    """Return labels (planes, rows, columns): at each place the class with the largest linearly interpolated score.

    ``slabs``: scores (classes, depth, h, w), one after the other along the first axis. ``at``: for each axis of the
    result the fractional index among the voxels of the scores, inside them and ascending along the first axis. Equal
    scores go to the lower class. Raises ValueError where the slabs end before the last place, or a place descends.
    """
    planes_at, rows_at, columns_at = at
    if np.any(np.diff(planes_at) < 0):
        raise ValueError("places along the first axis must ascend: the scores are seen once")
    labels = np.zeros((len(planes_at), len(rows_at), len(columns_at)), dtype=np.uint16)
    across = None
    planes = _pairs(slabs)
    pair = next(planes, None)
    for number, place in enumerate(planes_at):
        while pair is not None and place > pair.number + 1 and not pair.last:
            pair = next(planes, None)
        if pair is None or place > pair.number + 1 + 1e-9:
            raise ValueError(f"the scores end before plane {number} of the labels")
        if across is None:
            across = _matrix(columns_at, pair.near.shape[2]).T.copy()
        labels[number] = _plane(pair, float(place) - pair.number, rows_at, across)
    return labels


class _Pair(NamedTuple):
    """Two planes of scores (classes, h, w) that follow one another; ``near`` has ``number``."""

    number: int
    near: Floats
    far: Floats
    last: bool


def _pairs(slabs: Iterable[Floats]) -> Iterator[_Pair]:
    """Yield neighbouring planes; a single plane is its own neighbour."""
    before: Floats | None = None
    held: _Pair | None = None
    index = -1
    for slab in slabs:
        for depth in range(slab.shape[1]):
            plane = np.asarray(slab[:, depth], dtype=np.float32)
            if before is not None:
                if held is not None:
                    yield held
                held = _Pair(index, before, plane, False)
            before, index = plane, index + 1
    if held is not None:
        yield held._replace(last=True)
    elif before is not None:
        yield _Pair(0, before, before, True)


def _plane(pair: _Pair, share: float, rows_at: Places, across: Floats) -> NDArray[np.uint16]:
    share = min(max(share, 0.0), 1.0)
    scores = pair.near if share == 0.0 else pair.far if share == 1.0 else _between(pair, np.float32(share))
    height = scores.shape[1]
    labels = np.zeros((len(rows_at), across.shape[1]), dtype=np.uint16)
    for low in range(0, max(height - 1, 1), _BAND):
        high = min(low + _BAND, height - 1)
        last = high == height - 1
        wanted = np.flatnonzero((rows_at >= low) & ((rows_at <= high) if last else (rows_at < high)))
        if not len(wanted):
            continue
        band = scores[:, low : high + 1]
        able = _able(band)
        if len(able) == 1:
            labels[wanted] = able[0]
            continue
        down = _matrix(rows_at[wanted] - low, band.shape[1])
        labels[wanted] = _largest(band, able, down, across)
    return labels


def _between(pair: _Pair, share: np.float32) -> Floats:
    scores = pair.far - pair.near
    scores *= share
    scores += pair.near
    return scores


def _able(band: Floats) -> NDArray[np.intp]:
    """Return the classes that can be the largest somewhere in between: not below one and the same class everywhere.

    Interpolated scores are means of their neighbours, so a class that is below another at all of them stays below it.
    """
    flat = band.reshape(len(band), -1)
    ruler = int(flat.mean(axis=1).argmax())
    able = (flat >= flat[ruler]).any(axis=1)
    able[ruler] = True
    return np.flatnonzero(able)


def _largest(band: Floats, able: NDArray[np.intp], down: Floats, across: Floats) -> NDArray[np.uint16]:
    best: Floats | None = None
    winner = np.full((len(down), across.shape[1]), able[0], dtype=np.uint16)
    for number in able:
        scores = (down @ band[number]) @ across
        if best is None:
            best = scores
            continue
        above = scores > best
        winner[above] = number
        np.maximum(best, scores, out=best)
    return winner


def _matrix(at: Places, size: int) -> Floats:
    """Return (places, size) whose product with values along one axis interpolates them linearly."""
    below = np.clip(np.floor(at).astype(np.int64), 0, max(size - 2, 0))
    share = np.clip(at - below, 0.0, 1.0)
    matrix = np.zeros((len(at), size), dtype=np.float32)
    rows = np.arange(len(at))
    matrix[rows, below] = 1.0 - share
    matrix[rows, np.minimum(below + 1, size - 1)] += share
    return matrix
