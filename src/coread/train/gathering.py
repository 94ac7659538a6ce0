"""Data sets of a recipe as one ArraySet with the part of every row; leaks and empty parts are found here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.models.lineage import StepRecord, read_record
from coread.train.arrays import ArraySet, Targets
from coread.train.datasets import ImageIndex, ImageRow, read_index
from coread.train.decoded import Decoded, decode_index, raise_damaged
from coread.train.errors import DataMissing
from coread.train.recipes import HeadSource, Recipe
from coread.train.splits import check_no_leak
from coread.train.targets import box_target, check_labels, covariate_table, vector_target
from coread.train.tasks import Boxes, Segmentation

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done and how many there are."""


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """What a recipe learns from."""

    data: ArraySet
    parts: NDArray[np.str_]
    """(N,) part of every row."""
    left_out: Mapping[str, str]
    """Image to reason."""
    digests: Mapping[str, str]
    """Data set to digest over its rows."""
    records: tuple[StepRecord, ...]

    def rows(self, parts: Sequence[str]) -> NDArray[np.int64]:
        """Return the rows of these parts."""
        return np.flatnonzero(np.isin(self.parts, list(parts)))


def gather(recipe: Recipe, cache: Path, progress: Progress) -> Gathered:
    """Read, check and decode every data set of a recipe. Raises DataMissing, BadTarget, Leak and their like."""
    indices = [read_index(folder) for folder in recipe.datasets]
    labels = sorted({label for index in indices for label in index.labels})
    boxes = sorted({box.label for index in indices for row in index.rows for box in row.boxes})
    check_labels(recipe.heads, labels, boxes)
    sets, parts = [], []
    left_out: dict[str, str] = {}
    for index in indices:
        one, part, without = _one_set(recipe, index, cache, progress)
        sets.append(one)
        parts.append(part)
        left_out |= without
    data, part_of = joined(sets), np.concatenate(parts)
    if not len(data):
        raise DataMissing("no image is left to learn from")
    _check_parts(recipe, data, part_of)
    return Gathered(
        data,
        part_of,
        left_out,
        {index.name: index.digest for index in indices},
        tuple(read_record(index.folder) for index in indices),
    )


def joined(sets: Sequence[ArraySet]) -> ArraySet:
    """Put sets one after the other; one set stays where it is on disk, several are copied into memory."""
    if len(sets) == 1:
        return sets[0]
    covariates = [one.covariates for one in sets]
    known = [table for table in covariates if table is not None]

    def stack(name: str) -> Targets:
        values: list[Any] = [one.targets[name] for one in sets]
        if all(hasattr(value, "dtype") for value in values):
            return np.concatenate([np.asarray(value) for value in values])
        return tuple(boxes for value in values for boxes in value)

    return ArraySet(
        images=np.concatenate([np.asarray(one.images) for one in sets]),
        targets={name: stack(name) for name in sets[0].targets},
        groups=[group for one in sets for group in one.groups],
        keys=[key for one in sets for key in one.keys],
        covariates=np.concatenate(known) if len(known) == len(sets) else None,
    )


def _one_set(
    recipe: Recipe, index: ImageIndex, cache: Path, progress: Progress
) -> tuple[ArraySet, NDArray[np.str_], dict[str, str]]:
    def told(done: int, total: int) -> None:
        progress(f"decoding {index.name}", done, total)

    decoded = decode_index(index, recipe.images, recipe.heads, cache, told)
    skip = set(recipe.skip)
    wanted = {*recipe.train, *recipe.tune, *recipe.test}
    damaged = {row: why for row, why in decoded.damaged.items() if index.rows[row].image_id not in skip}
    if not recipe.skip_damaged:
        raise_damaged(index, damaged)
    left_out = {index.rows[row].image_id: why for row, why in damaged.items()}
    left_out |= {row.image_id: "named under skip" for row in index.rows if row.image_id in skip}
    kept = np.array(
        [n for n, row in enumerate(index.rows) if row.image_id not in left_out and row.part in wanted], dtype=np.int64
    )
    rows = [index.rows[n] for n in kept]
    return (
        _arrays(recipe, index.name, rows, decoded, kept),
        np.array([row.part for row in rows], dtype=np.str_),
        left_out,
    )


def _arrays(recipe: Recipe, name: str, rows: Sequence[ImageRow], decoded: Decoded, kept: NDArray[np.int64]) -> ArraySet:
    whole = ArraySet(
        decoded.images,
        {source.head.name: decoded.masks[source.head.name] for source in recipe.heads if _is_mask(source)},
        [""] * len(decoded.images),
        [""] * len(decoded.images),
    ).subset(kept)
    targets: dict[str, Targets] = {}
    for source in recipe.heads:
        if _is_mask(source):
            targets[source.head.name] = whole.targets[source.head.name]
        elif isinstance(source.head, Boxes):
            shapes = [(int(down), int(across)) for down, across in decoded.shapes[kept]]
            targets[source.head.name] = tuple(
                box_target(source, row, shape, recipe.images.side) for row, shape in zip(rows, shapes, strict=True)
            )
        else:
            targets[source.head.name] = vector_target(source, rows)
    single = len(recipe.datasets) == 1
    prefix = "" if single else f"{name}/"
    return ArraySet(
        whole.images,
        targets,
        [prefix + row.group for row in rows],
        [prefix + row.image_id for row in rows],
        covariates=covariate_table(recipe.covariates, rows),
    )


def _check_parts(recipe: Recipe, data: ArraySet, parts: NDArray[np.str_]) -> None:
    for names in (recipe.train, recipe.tune) if not recipe.folds else (recipe.train,):
        if not np.isin(parts, list(names)).any():
            there = ", ".join(repr(str(part)) for part in np.unique(parts)) or "none"
            raise DataMissing(
                f"no image is in part {' or '.join(map(repr, names))}; the parts here are {there}. Split the data set "
                "with `coread dataset split`, or name other parts"
            )
    used = [np.flatnonzero(np.isin(parts, list(names))) for names in (recipe.train, recipe.tune, recipe.test)]
    if recipe.folds:
        used = [np.concatenate(used[:2]), used[2]]
    check_no_leak(used, data.groups)


def _is_mask(source: HeadSource) -> bool:
    return isinstance(source.head, Segmentation)
