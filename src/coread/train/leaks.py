"""Finds what must not stand in two parts of a split: a patient, a group, the same pixels, or nearly the same picture.

Nearly the same is judged on two small descriptions of each image: a 64-bit perceptual hash (signs of the lowest
8 x 8 frequencies of a 32 x 32 thumbnail) and a 24 x 24 thumbnail of zero mean and unit deviation. Two images are
near-duplicates when at most HAMMING bits differ and the cosine of their thumbnails, after the mean thumbnail of the
set was taken away (otherwise all chests would look alike), is at least COSINE. Volumes and films are judged by their
middle slice or frame. Images of one value have no description: they are duplicates of nothing.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.train.datasets import ImageIndex, ImageRow
from coread.train.errors import Leak
from coread.train.pictures import PictureStore, Pixels

COSINE = 0.97
HAMMING = 6
"""Measured on real sets: all 26 known duplicates of PneumoniaMNIST and all 5 of IDRiD, 128 of the 151 pairs that BUSI's
groups join, no pair of different patients among 3,739 chest radiographs, and 2 such pairs among 262 mammograms."""
COSINE_OF_FEW = 0.99
FEW = 32
"""In a set this small the mean thumbnail says nothing and is not taken away; then the cosine must be higher."""
_SIDE = 24
_HASH_SIDE = 32
_LOW = 8
_BLOCK = 2048
_SHOWN = 5
_AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """What is compared of an image; ``pixels`` is empty for images of one value."""

    pixels: str
    bits: NDArray[np.bool_]
    thumbnail: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two images (by index) that are the same picture, or nearly."""

    one: int
    other: int
    exact: bool
    cosine: float
    by: str = "hash"
    """What found it: ``pixels``, ``hash`` or ``embedding``."""


@dataclass(frozen=True, slots=True)
class LeakFound:
    """Something that stands in two parts: ``what`` is patient, group, pixels or picture (nearly the same)."""

    what: str
    name: str
    images: tuple[str, str]
    parts: tuple[str, str]

    def __str__(self) -> str:
        one, other = self.images
        return f"{self.what} {self.name}: {one} in {self.parts[0]!r} and {other} in {self.parts[1]!r}"


def fingerprint(pixels: Pixels) -> Fingerprint:
    """Describe an image (rows, columns), in colour, or a volume by its middle slice."""
    if pixels.size == 0 or pixels.min() == pixels.max():
        return Fingerprint("", np.zeros(_LOW * _LOW, dtype=bool), np.zeros(_SIDE * _SIDE, dtype=np.float32))
    shape = f"{pixels.shape} {pixels.dtype}".encode()
    digest = hashlib.sha256(shape + np.ascontiguousarray(pixels).tobytes()).hexdigest()
    plane = _plane(pixels)
    thumbnail = _thumbnail(plane, _SIDE)
    deviation = float(thumbnail.std())
    flat = (
        ((thumbnail - thumbnail.mean()) / max(deviation, 1e-6)).ravel() if deviation > 1e-6 else 0 * thumbnail.ravel()
    )
    low = (_COSINES @ _thumbnail(plane, _HASH_SIDE) @ _COSINES.T).ravel()
    return Fingerprint(digest, low > np.median(low[1:]), flat.astype(np.float32))


def fingerprints(
    index: ImageIndex, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> tuple[Fingerprint, ...]:
    """Describe every image of a data set, decoding each path once."""
    paths = list(dict.fromkeys(row.path for row in index.rows))
    found: dict[str, Fingerprint] = {}
    with PictureStore.of(index) as store, ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for start in range(0, len(paths), _AT_ONCE):
            some = paths[start : start + _AT_ONCE]
            for path, described in zip(some, pool.map(lambda path: fingerprint(store.pixels(path)), some), strict=True):
                found[path] = described
                progress(len(found), len(paths))
    return tuple(found[row.path] for row in index.rows)


def find_duplicates(described: Sequence[Fingerprint]) -> tuple[Duplicate, ...]:
    """Return pairs of (nearly) the same picture, in order; compares every picture with every other in blocks.

    Identical images are each paired with the first of them, and only that one is compared with other pictures.
    """
    first: dict[str, int] = {}
    pairs = []
    for number, item in enumerate(described):
        if item.pixels and first.setdefault(item.pixels, number) != number:
            pairs.append(Duplicate(first[item.pixels], number, True, 1.0, "pixels"))
    single = sorted(first.values())
    if len(single) < 2:
        return tuple(pairs)
    thumbnails = np.stack([described[number].thumbnail for number in single])
    limit = COSINE
    if len(single) > FEW:
        thumbnails = thumbnails - thumbnails.mean(axis=0)
    else:
        limit = COSINE_OF_FEW
    lengths = np.linalg.norm(thumbnails, axis=1, keepdims=True)
    thumbnails = np.where(lengths > 1e-6, thumbnails / np.maximum(lengths, 1e-6), 0).astype(np.float32)
    bits = np.stack([described[number].bits for number in single])
    for one, other, cosine in close_pairs(thumbnails, limit):
        if int((bits[one] != bits[other]).sum()) <= HAMMING:
            pairs.append(Duplicate(single[one], single[other], False, cosine))
    return tuple(sorted(pairs, key=lambda pair: (pair.one, pair.other)))


def close_pairs(points: NDArray[np.float32], limit: float) -> Iterator[tuple[int, int, float]]:
    """Yield (one, other, cosine) of every pair of unit vectors (N, F) above the limit, in blocks of little memory."""
    for start in range(0, len(points), _BLOCK):
        for beside in range(start, len(points), _BLOCK):
            cosines = points[start : start + _BLOCK] @ points[beside : beside + _BLOCK].T
            for row, column in zip(*np.nonzero(cosines >= limit), strict=True):
                if start + row < beside + column:
                    yield start + int(row), beside + int(column), float(cosines[row, column])


def find_leaks(rows: Sequence[ImageRow], duplicates: Sequence[Duplicate] = ()) -> tuple[LeakFound, ...]:
    """Return everything that stands in two parts; a patient or group is named once."""
    found: list[LeakFound] = []
    names = {"patient": [row.patient_id for row in rows], "group": [row.group_id for row in rows]}
    for what, names_of_rows in names.items():
        first: dict[str, ImageRow] = {}
        named: set[str] = set()
        for row, name in zip(rows, names_of_rows, strict=True):
            earlier = first.setdefault(name, row)
            if name and name not in named and earlier.part != row.part:
                named.add(name)
                found.append(LeakFound(what, name, (earlier.image_id, row.image_id), (earlier.part, row.part)))
    for pair in duplicates:
        one, other = rows[pair.one], rows[pair.other]
        if one.part != other.part:
            what, name = (
                ("pixels", "identical") if pair.exact else ("picture", f"cosine {pair.cosine:.3f} by {pair.by}")
            )
            found.append(LeakFound(what, name, (one.image_id, other.image_id), (one.part, other.part)))
    return tuple(found)


def require_no_leak(leaks: Sequence[LeakFound]) -> None:
    """Raise Leak with the number of each kind and the first few."""
    if not leaks:
        return
    kinds = {what: sum(leak.what == what for leak in leaks) for what in ("patient", "group", "pixels", "picture")}
    counts = ", ".join(f"{number} by {what}" for what, number in kinds.items() if number)
    shown = "; ".join(str(leak) for leak in leaks[:_SHOWN])
    raise Leak(
        f"the parts of this split are not apart ({counts}): {shown}. Split again; nothing measured on it is true"
    )


def _plane(pixels: Pixels) -> NDArray[np.float32]:
    values = np.abs(pixels) if np.iscomplexobj(pixels) else pixels
    while values.ndim > 2 and not (values.ndim == 3 and values.shape[-1] in (3, 4)):
        values = values[len(values) // 2]
    plane = np.asarray(values, dtype=np.float32)
    return plane[..., :3].mean(axis=-1) if plane.ndim == 3 else np.atleast_2d(plane)


def _thumbnail(plane: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    from PIL import Image

    larger = min(plane.shape) >= side
    how = Image.Resampling.BOX if larger else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(plane).resize((side, side), how), dtype=np.float32)


def _cosines() -> NDArray[np.float32]:
    """Return the first rows of the orthonormal cosine transform (DCT-II), (low, side)."""
    frequency, position = np.mgrid[0:_LOW, 0:_HASH_SIDE]
    basis = np.cos(np.pi * frequency * (2 * position + 1) / (2 * _HASH_SIDE)) * np.sqrt(2 / _HASH_SIDE)
    basis[0] /= np.sqrt(2)
    return np.asarray(basis, dtype=np.float32)


_COSINES = _cosines()
