"""Data sets of a recipe as one ArraySet with the part of every row; leaks and empty parts are found here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.models.lineage import StepRecord, read_record
from coread.train.arrays import ArraySet, ImageRows, PickedRows, Targets
from coread.train.cases import stacked_cases
from coread.train.datasets import ImageIndex, ImageRow, read_index
from coread.train.decoded import Decoded, decode_index, raise_damaged
from coread.train.errors import BadPlan, DataMissing
from coread.train.pictures import Place, digested_whole
from coread.train.recipes import HeadSource, Recipe
from coread.train.splits import check_no_leak, joined_groups
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
    unlabelled: ImageRows | None = None
    """Images of the parts that are learned from without their labels."""

    def rows(self, parts: Sequence[str]) -> NDArray[np.int64]:
        """Return the rows of these parts."""
        return np.flatnonzero(np.isin(self.parts, list(parts)))


def gather(recipe: Recipe, cache: Path, progress: Progress) -> Gathered:
    """Read, check and decode every data set of a recipe. Raises DataMissing, BadTarget, Leak and their like."""
    indices = [read_index(folder) for folder in recipe.datasets]
    _check_names(indices)
    labels = sorted({label for index in indices for label in index.labels})
    boxes = sorted({box.label for index in indices for row in index.rows for box in row.boxes})
    check_labels(recipe.heads, labels, boxes)
    sets = [_one_set(recipe, index, cache, progress) for index in indices]
    data = joined([one.data for one in sets])
    part_of = np.array([row.part for one in sets for row in one.rows], dtype=np.str_)
    if not len(data):
        raise DataMissing("no image is left to learn from")
    if recipe.unlabelled and not any(one.loose_rows for one in sets):
        raise DataMissing(f"no image is in part {' or '.join(map(repr, recipe.unlabelled))}, named under unlabelled")
    names = [name for one in sets for name in _names(recipe, one.index, one.rows)]
    loose = [name for one in sets for name in _names(recipe, one.index, one.loose_rows)]
    _check_parts(recipe, part_of, names, loose)
    groups = joined_groups([name.group for name in names], [name.patient for name in names])
    return Gathered(
        replace(data, groups=joined_groups(groups, [name.picture for name in names])),
        part_of,
        {image: why for one in sets for image, why in one.left_out.items()},
        {index.name: index.digest for index in indices},
        tuple(read_record(index.folder) for index in indices),
        _together([one.loose for one in sets]) if recipe.unlabelled else None,
    )


def _check_names(indices: Sequence[ImageIndex]) -> None:
    """Raise BadPlan where two data sets share a name: their images and digests could not be told apart."""
    names = [index.name for index in indices]
    for name in names:
        if names.count(name) > 1:
            folders = ", ".join(str(index.folder) for index in indices if index.name == name)
            raise BadPlan(f"two data sets are called {name}: {folders}. Build one of them again with another --name")


def _together(images: Sequence[ImageRows]) -> ImageRows:
    return images[0] if len(images) == 1 else np.concatenate([np.asarray(one) for one in images])


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


@dataclass(frozen=True, slots=True, eq=False)
class _OneSet:
    """What a recipe takes from one data set; ``loose`` are the images that are learned from without labels."""

    index: ImageIndex
    data: ArraySet
    rows: Sequence[ImageRow]
    loose: ImageRows
    loose_rows: Sequence[ImageRow]
    left_out: Mapping[str, str]


def _one_set(recipe: Recipe, index: ImageIndex, cache: Path, progress: Progress) -> _OneSet:
    def told(done: int, total: int) -> None:
        progress(f"decoding {index.name}", done, total)

    decoded = decode_index(index, recipe.images, recipe.heads, cache, told)
    if recipe.images.channels:
        index, decoded = stacked_cases(index, decoded, recipe.images.channels)
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
    loose = np.array(
        [n for n, row in enumerate(index.rows) if row.image_id not in left_out and row.part in recipe.unlabelled],
        dtype=np.int64,
    )
    return _OneSet(
        index,
        _arrays(recipe, index.name, rows, decoded, kept),
        rows,
        PickedRows(decoded.images, loose),
        [index.rows[n] for n in loose],
        left_out,
    )


@dataclass(frozen=True, slots=True)
class _Names:
    """What must not stand in two parts, as it is called across the data sets of a recipe."""

    group: str
    patient: str
    picture: str


def _names(recipe: Recipe, index: ImageIndex, rows: Sequence[ImageRow]) -> list[_Names]:
    """Name group, patient and picture of rows.

    Groups are those of their set. Patients of sets that the same adapter read are the same where their names are.
    """
    single = len(recipe.datasets) == 1
    of_set, of_adapter = ("", "") if single else (f"{index.name}/", f"{index.adapter or index.name}/")
    return [
        _Names(
            of_set + row.group,
            of_adapter + row.patient_id if row.patient_id else f"{of_set}{row.group}",
            _picture(row) if row.sha256 else f"{index.name}/{row.image_id}",
        )
        for row in rows
    ]


def _picture(row: ImageRow) -> str:
    """Name a picture by its digest; frames of one file share the file's digest and are told apart by their number."""
    return f"{row.sha256}#{Place.of(row.path).entry}" if digested_whole(row.path) else row.sha256


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


def _check_parts(recipe: Recipe, parts: NDArray[np.str_], names: Sequence[_Names], loose: Sequence[_Names]) -> None:
    """Raise DataMissing for a part without an image, Leak where two parts share a group, a patient or a picture."""
    for wanted in (recipe.train, recipe.tune) if not recipe.folds else (recipe.train,):
        if not np.isin(parts, list(wanted)).any():
            there = ", ".join(repr(str(part)) for part in np.unique(parts)) or "none"
            raise DataMissing(
                f"no image is in part {' or '.join(map(repr, wanted))}; the parts here are {there}. Split the data set "
                "with `coread dataset split`, or name other parts"
            )
    train, tune, test = (
        np.flatnonzero(np.isin(parts, list(chosen))) for chosen in (recipe.train, recipe.tune, recipe.test)
    )
    without = np.arange(len(names), len(names) + len(loose))
    used = [np.concatenate([train, without]), tune, test]
    if recipe.folds:  # every patient of train and tune is judged by a fit that must not have seen them
        used = [np.concatenate([train, tune]), test, without]
    everything = [*names, *loose]
    check_no_leak(used, [name.group for name in everything], [name.picture for name in everything])
    check_no_leak(used, [name.patient for name in everything])


def _is_mask(source: HeadSource) -> bool:
    return isinstance(source.head, Segmentation)
