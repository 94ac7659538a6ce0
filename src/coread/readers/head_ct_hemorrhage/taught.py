"""What the network is taught: slices with their neighbours and mirror images, with and without drawn blood."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.readers.head_ct_hemorrhage.drawn import DrawnSlice, with_blood
from coread.readers.head_ct_hemorrhage.outputs import PLACE_HEAD, SIDE, TYPE_HEAD, TYPES
from coread.readers.head_ct_hemorrhage.preprocess import brain_of
from coread.train.arrays import ArraySet, StackedChannels
from coread.train.errors import BadTarget
from coread.train.weak_places import SOMEWHERE, UNKNOWN

SEED = 20261129
DRAWN_TIMES = 4
"""How often blood is drawn around each slice through a brain that shows none."""
DRAWN = "drawn blood, "
SHARES = {"quiet": 0.42, "bleeding": 0.2, "drawn": 0.38}
"""Shares of real slices without blood, of real ones that bleed, and of slices with drawn blood, in what is learnt."""
SIMULATED_SHARE = 0.12
"""How much of the quiet and of the drawn slices comes from simulated heads."""
_SEEN_HERE, _SEEN_BESIDE = 8, 10
_TISSUE = 0.2
_REACH = 4
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """The slices (S, SIDE, SIDE) of one head, the truth of each (any and the types, NaN unknown), their names."""

    group: str
    slices: NDArray[np.float32]
    truth: Sequence[tuple[float, ...]]
    names: Sequence[str]
    real: bool


@dataclass(slots=True, eq=False)
class Pile:
    """Collects the slices of heads, and what is taught with them."""

    times: int = DRAWN_TIMES
    images: list[NDArray[np.uint8]] = field(default_factory=list)
    rows: list[tuple[int, int, int]] = field(default_factory=list)
    truth: list[tuple[float, ...]] = field(default_factory=list)
    places: list[NDArray[np.uint8]] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    simulated: list[bool] = field(default_factory=list)

    def add(self, head: Head) -> None:
        """Take the slices of a head as they are, then the same with blood drawn in."""
        first = len(self.images)
        self.images += list(np.rint(head.slices * 255).astype(np.uint8))
        brains = [brain_of(one) for one in head.slices]
        for number, truth in enumerate(head.truth):
            kind = {0.0: "quiet", 1.0: "bleeding"}.get(truth[0], "unknown")
            place = _whole(kind, head.slices[number], brains[number])
            self._teach(
                head, self._beside(first, len(head.slices), number, {}), truth, (head.names[number], kind, place)
            )
        random = np.random.default_rng([SEED, len(self.images)])
        for time in range(self.times):
            for number in range(len(head.slices)):
                if head.truth[number][0] == 0:
                    self._draw(head, brains, (first, number), (f"{time}", random))

    def _draw(
        self, head: Head, brains: Sequence[Mask | None], at: tuple[int, int], by: tuple[str, np.random.Generator]
    ) -> None:
        (first, number), (time, random) = at, by
        made = with_blood(head.slices, brains, number, random)
        if made is None:
            return
        drawn, kind = made
        if number not in drawn or drawn[number].seen < _SEEN_HERE or any(head.truth[k][0] != 0 for k in drawn):
            return
        shown = [number]
        other = int(random.choice([k for k in drawn if k != number] or [number]))
        if abs(other - number) == 1 and drawn[other].seen >= _SEEN_BESIDE:
            shown.append(other)
        stored = self._stored(drawn, {k for one in shown for k in (one - 1, one, one + 1)})
        truth = (1.0, *(float(kind == k) for k in range(len(TYPES))))
        for one in shown:
            name = f"{DRAWN}{head.names[one]}, around {number}, {time}"
            row = self._beside(first, len(head.slices), one, stored)
            self._teach(head, row, truth, (name, "drawn", drawn[one].place.astype(np.uint8)))

    def _stored(self, drawn: Mapping[int, DrawnSlice], needed: set[int]) -> dict[int, int]:
        found = {}
        for number in sorted(needed & drawn.keys()):
            found[number] = len(self.images)
            self.images.append(np.rint(drawn[number].image * 255).astype(np.uint8))
        return found

    @staticmethod
    def _beside(first: int, count: int, number: int, stored: Mapping[int, int]) -> tuple[int, int, int]:
        below, here, above = (min(max(k, 0), count - 1) for k in (number - 1, number, number + 1))
        return stored.get(below, first + below), stored.get(here, first + here), stored.get(above, first + above)

    def _teach(
        self, head: Head, row: tuple[int, int, int], truth: tuple[float, ...], what: tuple[str, str, NDArray[np.uint8]]
    ) -> None:
        name, kind, place = what
        self.rows.append(row)
        self.truth.append(truth)
        self.names.append(name)
        self.kinds.append(kind)
        self.places.append(place)
        self.groups.append(head.group)
        self.simulated.append(not head.real)

    def learned(self) -> ArraySet:
        """Return everything as one set: real slices first in the order they came, each head's drawn ones behind."""
        single = np.stack(self.images)[:, np.newaxis]
        rows = np.array(self.rows)
        images = StackedChannels(
            np.concatenate([single, single[..., ::-1]]), np.column_stack([rows, rows[:, 1] + len(single)])
        )
        types = np.array(self.truth, dtype=np.float32)[:, 1:]
        weights = drawing(np.array(self.kinds), np.array(self.simulated), np.array(self.groups))
        return ArraySet(
            images, {PLACE_HEAD: np.stack(self.places), TYPE_HEAD: types},
            groups=self.groups, keys=self.names, weights=weights,
        )  # fmt: skip


def _whole(kind: str, one: NDArray[np.float32], brain: Mask | None) -> NDArray[np.uint8]:
    """Return what is known of the places in a real slice (SIDE, SIDE)."""
    from scipy import ndimage

    if kind == "quiet":
        return np.zeros((SIDE, SIDE), dtype=np.uint8)
    if kind == "unknown":
        return np.full((SIDE, SIDE), UNKNOWN, dtype=np.uint8)
    inside = one > _TISSUE if brain is None else brain
    return np.where(ndimage.binary_dilation(inside, iterations=_REACH), SOMEWHERE, 0).astype(np.uint8)


def drawing(kinds: NDArray[np.str_], simulated: NDArray[np.bool_], groups: NDArray[np.str_]) -> NDArray[np.float32]:
    """Return how likely each slice is drawn: fixed shares by kind; patients count by the root of their slices.

    Slices whose label is unknown are never drawn.
    """
    weights = np.zeros(len(kinds), dtype=np.float32)
    for kind, share in SHARES.items():
        parts = (
            ((~simulated, 1.0),)
            if kind == "bleeding"
            else ((~simulated, 1 - SIMULATED_SHARE), (simulated, SIMULATED_SHARE))
        )
        for part, of_it in parts:
            here = np.flatnonzero(part & (kinds == kind))
            own, of = np.unique(groups[here], return_inverse=True)
            each = 1 / np.sqrt(np.bincount(of, minlength=len(own)))[of]
            weights[here] = share * of_it * each / max(float(each.sum()), 1e-12)
    return weights


def write_taught(taught: ArraySet, path: Path) -> None:
    """Store what ``Pile.learned`` gave."""
    images = taught.images
    if not isinstance(images, StackedChannels):
        raise BadTarget("only what a pile of heads gave is stored")
    part = path.with_name(f"{path.stem}.part.npz")
    np.savez(
        part, images=images.source, rows=images.rows, places=np.asarray(taught.targets[PLACE_HEAD]),
        types=np.asarray(taught.targets[TYPE_HEAD]), groups=np.array(taught.groups), keys=np.array(taught.keys),
        weights=np.asarray(taught.weights),
    )  # fmt: skip
    part.replace(path)


def read_taught(path: Path) -> ArraySet:
    """Read it back."""
    with np.load(path) as stored:
        return ArraySet(
            StackedChannels(stored["images"], stored["rows"]),
            {PLACE_HEAD: stored["places"], TYPE_HEAD: stored["types"]},
            groups=stored["groups"].tolist(), keys=stored["keys"].tolist(), weights=stored["weights"],
        )  # fmt: skip
