"""Splits with a fixed seed by patient, group, site or time, and the check that nothing stands in two parts."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from coread.train.datasets import ImageRow
from coread.train.errors import BadPlan, DataMissing, Leak

_MOST_VALUES = 10
"""A label with more values than this is cut into quarters to be spread evenly."""


class SplitBy(StrEnum):
    """What is never divided between two parts."""

    PATIENT = "patient"
    GROUP = "group"
    SITE = "site"
    TIME = "time"
    """Whole patients, ordered by the date of their last image: the last part is the future."""


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """How to divide: name of each part and its share of the images (any positive numbers)."""

    by: SplitBy
    shares: Mapping[str, float]
    seed: int = 0
    labels: tuple[str, ...] = field(default=())
    """Labels to spread evenly; all of them when empty."""

    def __post_init__(self) -> None:
        if len(self.shares) < 2 or not all(share > 0 for share in self.shares.values()):
            raise BadPlan(f"a split needs two parts or more with positive shares, got {dict(self.shares)}")
        if not all(self.shares):
            raise BadPlan("every part of a split needs a name")


def folds(count: int) -> dict[str, float]:
    """Return equal shares named ``0`` to ``count - 1``."""
    return {str(number): 1.0 for number in range(count)}


def split_rows(
    rows: Sequence[ImageRow], plan: SplitPlan, duplicates: Iterable[tuple[int, int]] = ()
) -> tuple[ImageRow, ...]:
    """Return the rows with their part. ``duplicates`` are pairs of indices of (nearly) the same picture.

    Whatever shares the unit of the plan, a patient, a group or a picture stays together. Raises DataMissing when a row
    lacks what the plan divides by, and BadPlan when there are fewer units than parts.
    """
    unit_of = _together(rows, plan.by, duplicates)
    units = int(unit_of.max()) + 1 if len(rows) else 0
    if units < len(plan.shares):
        raise BadPlan(
            f"by {plan.by} there are {units} units that stay together, fewer than the {len(plan.shares)} parts"
        )
    names = list(plan.shares)
    shares = np.array([plan.shares[name] for name in names]) / sum(plan.shares.values())
    if plan.by is SplitBy.TIME:
        part_of_unit = _by_time(rows, unit_of, shares)
    else:
        part_of_unit = _spread(_columns(rows, plan.labels), unit_of, shares, seed=plan.seed)
    return tuple(replace(row, part=names[part]) for row, part in zip(rows, part_of_unit[unit_of], strict=True))


def _together(rows: Sequence[ImageRow], by: SplitBy, duplicates: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """Number the connected components of rows that share a unit, a patient, a group or a picture."""
    leader = list(range(len(rows)))

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    def join(one: int, other: int) -> None:
        first, second = find(one), find(other)
        leader[max(first, second)] = min(first, second)

    first_with: dict[tuple[str, str], int] = {}
    for index, row in enumerate(rows):
        for key in _keys(row, by):
            join(first_with.setdefault(key, index), index)
    for one, other in duplicates:
        join(one, other)
    _, numbers = np.unique([find(index) for index in range(len(rows))], return_inverse=True)
    return np.asarray(numbers, dtype=np.int64)


def _keys(row: ImageRow, by: SplitBy) -> list[tuple[str, str]]:
    needed = {SplitBy.PATIENT: row.patient_id, SplitBy.SITE: row.site, SplitBy.TIME: row.date, SplitBy.GROUP: row.group}
    if not needed[by]:
        other = " Divide by group instead." if by is SplitBy.PATIENT else ""
        raise DataMissing(f"image {row.image_id} has no {'date' if by is SplitBy.TIME else by}.{other}")
    keys = [("group", row.group)]
    if row.patient_id:
        keys.append(("patient", row.patient_id))
    if by is SplitBy.SITE:
        keys.append(("site", row.site))
    return keys


def _columns(rows: Sequence[ImageRow], labels: Sequence[str]) -> NDArray[np.float64]:
    """Return (rows, columns) of what is spread evenly: the images, and each value of each label."""
    chosen = labels or sorted({label for row in rows for label in row.labels})
    columns = [np.ones(len(rows))]
    for label in chosen:
        given = [row.labels.get(label) for row in rows]
        values = np.array([np.nan if value is None else value for value in given], dtype=np.float64)
        known = np.unique(values[np.isfinite(values)])
        if not len(known):
            raise DataMissing(f"no image has the label {label!r}")
        if len(known) > _MOST_VALUES:
            cuts = np.quantile(values[np.isfinite(values)], [0.25, 0.5, 0.75])
            binned = np.where(np.isfinite(values), np.searchsorted(cuts, values), np.nan)
            values, known = binned, np.arange(4.0)
        columns += [(values == value).astype(np.float64) for value in known]
    return np.column_stack(columns)


def _spread(
    columns: NDArray[np.float64], unit_of: NDArray[np.int64], shares: NDArray[np.float64], *, seed: int
) -> NDArray[np.int64]:
    """Give each unit a part: rarest units first, each to where the parts come closest to their shares."""
    load = np.zeros((int(unit_of.max()) + 1, columns.shape[1]))
    np.add.at(load, unit_of, columns)
    wanted = np.maximum(shares[:, None] * load.sum(axis=0), 1e-9)
    shuffled = np.random.default_rng(seed).permutation(len(load))
    rarity = (load / np.maximum(load.sum(axis=0), 1e-9)).sum(axis=1)
    total = np.zeros_like(wanted)
    parts = np.empty(len(load), dtype=np.int64)
    for unit in shuffled[np.argsort(-rarity[shuffled], kind="stable")]:
        after, before = (total + load[unit]) / wanted, total / wanted
        parts[unit] = int(np.argmin((shares[:, None] * (after**2 - before**2)).sum(axis=1)))
        total[parts[unit]] += load[unit]
    return parts


def _by_time(rows: Sequence[ImageRow], unit_of: NDArray[np.int64], shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give each unit a part in the order of its last date; equal dates stay together."""
    last = [""] * (int(unit_of.max()) + 1)
    for row, unit in zip(rows, unit_of, strict=True):
        last[int(unit)] = max(last[int(unit)], row.date)
    days, day_of = np.unique(last, return_inverse=True)
    images = np.bincount(day_of[unit_of], minlength=len(days))
    middle = (np.cumsum(images) - images / 2) / len(rows)
    part_of_day = np.minimum(np.searchsorted(np.cumsum(shares), middle), len(shares) - 1)
    if len(np.unique(part_of_day)) < len(shares):
        raise BadPlan(f"the {len(days)} dates do not divide into {len(shares)} parts of these shares")
    return np.asarray(part_of_day[day_of], dtype=np.int64)


def patient_folds(
    patients: Sequence[str], labels: NDArray[np.bool_], *, folds: int, seed: int, images: Sequence[str] = ()
) -> NDArray[np.int64]:
    """Give every image a fold, (N,): whole patients, with the labels (N, K) spread evenly over the folds.

    ``images`` are digests of the pixels: patients who share an image are kept together.
    """
    groups = joined_groups(patients, images)
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    columns = np.column_stack([np.ones(len(labels)), labels])
    load = np.zeros((len(names), columns.shape[1]))
    np.add.at(load, member, columns)
    fold_of = np.empty(len(names), dtype=np.int64)
    total = np.zeros((folds, columns.shape[1]))
    wanted = np.maximum(load.sum(axis=0) / folds, 1e-9)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    rarity = (load / wanted).sum(axis=1)
    for name in shuffled[np.argsort(-rarity[shuffled], kind="stable")]:
        after = (total + load[name]) / wanted
        before = total / wanted
        fold_of[name] = int(np.argmin((after**2 - before**2).sum(axis=1)))
        total[fold_of[name]] += load[name]
    return fold_of[member]


def check_no_leak(parts: Sequence[NDArray[np.int64]], patients: Sequence[str], images: Sequence[str] = ()) -> None:
    """Raise Leak when two of the parts (index arrays) share an image index, a patient or a picture."""
    named = [("patient", patients)] + ([("picture", images)] if images else [])
    for what, names in named:
        seen: dict[str, int] = {}
        for part, indices in enumerate(parts):
            for name in {names[int(i)] for i in indices}:
                if seen.setdefault(name, part) != part:
                    raise Leak(f"{what} {name} stands in parts {seen[name]} and {part}: split again by patient")


def held_out(name: str, group: str, percent: int = 20) -> bool:
    """Say whether a patient or group belongs to the fixed test part of a set: the same answer for everybody, always.

    Depends on the set's name and the group alone, so that adding images never moves anybody between the parts.
    """
    drawn = int(hashlib.sha256(f"coread held out {name} {group}".encode()).hexdigest()[:8], 16)
    return drawn % 100 < percent


def joined_groups(patients: Sequence[str], images: Sequence[str]) -> list[str]:
    """Name every image's group: its patient, or the first patient among those who share a picture."""
    leader = {patient: patient for patient in patients}

    def find(patient: str) -> str:
        while leader[patient] != patient:
            patient = leader[patient]
        return patient

    first: dict[str, str] = {}
    for patient, image in zip(patients, images, strict=False):
        one, other = find(first.setdefault(image, patient)), find(patient)
        leader[max(one, other)] = min(one, other)
    return [find(patient) for patient in patients]
