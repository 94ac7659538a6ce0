"""Pictures that look alike to the encoder that comes with Coread: turned, brightened or re-windowed copies of others.

The perceptual hash of ``leaks`` finds copies in the same place; this finds those that were turned by a few degrees or
shown in other grey levels. Features are standardised over the set, so that what all its pictures have in common does
not count; pairs are compared in blocks.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.train.datasets import ImageIndex
from coread.train.errors import BadTable, DataMissing
from coread.train.frozen_heads import embed
from coread.train.heading import OWN_ENCODER, thumbnails
from coread.train.leaks import Duplicate, close_pairs
from coread.train.selfsupervised import read_encoder

COSINE = 0.98
"""Measured on real sets: docs/how-to/build-a-dataset.md."""
FEWEST = 64
"""In a smaller set mean and deviation of the features say nothing; only the hash is asked."""
_FLAT = 2.0
"""Grey levels of deviation below which a thumbnail shows nothing."""
PAIRS = ("image", "other", "part", "other_part", "found_by", "similarity")
Progress = Callable[[int, int], None]


def alike(index: ImageIndex, progress: Progress = lambda _done, _total: None) -> tuple[Duplicate, ...]:
    """Return the pairs of rows whose pictures look alike to the encoder; pictures that it cannot open are left out."""
    first: dict[str, int] = {}
    for number, row in enumerate(index.rows):
        first.setdefault(row.path, number)
    rows = list(first.values())
    if len(rows) < FEWEST:
        return ()
    taught = read_encoder(OWN_ENCODER)
    try:
        pictures, left_out = thumbnails(
            index, rows, taught.network.shape[0], lambda _what, done, total: progress(done, total)
        )
    except DataMissing:
        return ()  # k-space, films: nothing that is a picture
    kept = [row for row in rows if index.rows[row].image_id not in left_out]
    shown = np.flatnonzero(pictures.reshape(len(pictures), -1).std(axis=1) >= _FLAT)
    if len(shown) < FEWEST:
        return ()
    points = standardised_features(embed(taught, pictures[shown]))
    return tuple(
        Duplicate(kept[int(shown[one])], kept[int(shown[other])], False, cosine, "embedding")
        for one, other, cosine in close_pairs(points, COSINE)
    )


def standardised_features(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return features (N, F) with mean 0 and deviation 1 over the set, each row of length 1."""
    points = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    return np.asarray(points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-9), dtype=np.float32)


def together(found: Sequence[Duplicate], more: Sequence[Duplicate]) -> tuple[Duplicate, ...]:
    """Join two lists of pairs; a pair that both know is taken from the first.

    Identical images are each paired with the first of them in ``found``, and only that one with other pictures.
    """
    first = {pair.other: pair.one for pair in found if pair.exact}
    pairs = {(pair.one, pair.other): pair for pair in found}
    for pair in more:
        ends = sorted((first.get(pair.one, pair.one), first.get(pair.other, pair.other)))
        if ends[0] != ends[1]:
            pairs.setdefault((ends[0], ends[1]), replace(pair, one=ends[0], other=ends[1]))
    return tuple(pairs[ends] for ends in sorted(pairs))


def without_accepted(pairs: Sequence[Duplicate], index: ImageIndex, accepted: Path) -> tuple[Duplicate, ...]:
    """Leave out the pairs that ``accepted`` lists: somebody has looked at them, and they are two pictures.

    Identical pixels cannot be accepted. Raises BadTable for a file without the columns ``image`` and ``other`` and for
    an image that the set does not have.
    """
    known = {row.image_id for row in index.rows}
    try:
        with accepted.open(encoding="utf-8-sig", newline="") as stream:
            lines = csv.DictReader(stream)
            if not {"image", "other"} <= set(lines.fieldnames or ()):
                raise BadTable(f"{accepted} lacks the columns image and other")
            named = [((line["image"] or "").strip(), (line["other"] or "").strip()) for line in lines]
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise BadTable(f"{accepted} cannot be read as a table: {problem}") from problem
    if strange := sorted({name for pair in named for name in pair} - known):
        raise BadTable(f"{accepted} names {strange[0]!r}, which is no image of {index.name}")
    looked_at = {frozenset(pair) for pair in named}
    rows = index.rows
    return tuple(
        pair
        for pair in pairs
        if pair.exact or frozenset((rows[pair.one].image_id, rows[pair.other].image_id)) not in looked_at
    )


def write_pairs(path: Path, pairs: Sequence[Duplicate], index: ImageIndex) -> None:
    """Write pairs as a table; take out what is a leak, and the rest can be given back as accepted."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(PAIRS)
        for pair in pairs:
            one, other = index.rows[pair.one], index.rows[pair.other]
            writer.writerow((one.image_id, other.image_id, one.part, other.part, pair.by, f"{pair.cosine:.4f}"))
