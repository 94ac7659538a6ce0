"""Which rows make which batch: a function of seed and epoch alone, so an interrupted fit goes on with the same ones."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from coread.train.arrays import ArraySet
from coread.train.tasks import Head, MultiClass, MultiLabel, Ordinal

Draw = Literal["all", "patients", "balanced"]
"""``all``: every image once per epoch; ``patients``: every patient equally often; ``balanced``: every class of the
first classifying head equally often, and within a class every patient."""
Place = tuple[int, NDArray[np.int64]]
"""(number of the batch in its epoch, rows)."""


def drawing_weights(data: ArraySet, heads: Sequence[Head], draw: Draw) -> NDArray[np.float64] | None:
    """Return how likely each row is drawn, summing to 1; ``None`` when every row is taken once per epoch."""
    wide = None if data.weights is None else np.asarray(data.weights, dtype=np.float64)
    own = None if wide is None else wide / wide.sum()  # summed in float32 it would not be 1 for numpy
    if draw == "all":
        return own
    groups = np.unique(np.asarray(data.groups), return_inverse=True)[1]
    columns = [np.ones(len(data), dtype=bool)] if draw == "patients" else _classes(data, heads)
    weights = np.zeros(len(data))
    for column in columns:
        if not column.any():
            continue
        images_of_group = np.bincount(groups[column], minlength=groups.max() + 1)
        share = 1.0 / images_of_group[groups[column]]
        weights[column] += share / share.sum()
    if own is not None:
        weights = weights * own
    weights /= weights.sum()
    return weights


def _classes(data: ArraySet, heads: Sequence[Head]) -> list[NDArray[np.bool_]]:
    for head in heads:
        values: Any = data.targets[head.name]
        if isinstance(head, MultiLabel):
            positive = np.nan_to_num(np.asarray(values)) >= 0.5
            return [*positive.T, ~positive.any(axis=1)]
        if isinstance(head, MultiClass | Ordinal):
            array = np.asarray(values)
            return [array == k for k in np.unique(array)]
    return [np.ones(len(data), dtype=bool)]


class EpochBatches(Sampler[Place]):
    """The batches of one epoch for one process out of ``ranks``; each process takes its share of every batch."""

    def __init__(
        self,
        rows: int,
        weights: NDArray[np.float64] | None,
        *,
        batch: int,
        steps: int,
        seed: int,
        rank: int,
        ranks: int,
    ) -> None:
        self._rows, self._weights, self._batch, self._steps = rows, weights, batch, steps
        self._seed, self._rank, self._ranks = seed, rank, ranks
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each one."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[Place]:
        random = np.random.default_rng((self._seed, self.epoch))
        wanted = self._steps * self._batch
        if self._weights is None:
            turns = -(-wanted // self._rows)
            order = np.concatenate([random.permutation(self._rows) for _ in range(turns)])[:wanted]
        else:
            order = random.choice(self._rows, wanted, p=self._weights)
        for number in range(self._steps):
            rows = order[number * self._batch : (number + 1) * self._batch]
            yield number, rows[self._rank :: self._ranks]


class BatchRows(Dataset[dict[str, Any]]):
    """Reads the rows of one batch out of the arrays; asked by batch, not by image."""

    def __init__(self, data: ArraySet, heads: Sequence[Head]) -> None:
        self._data, self._heads = data, heads

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, place: Place) -> dict[str, Any]:
        number, rows = place
        batch: dict[str, Any] = {"number": number, "rows": torch.from_numpy(np.ascontiguousarray(rows))}
        batch["images"] = torch.from_numpy(np.ascontiguousarray(self._data.images[rows]))
        if self._data.covariates is not None:
            batch["covariates"] = torch.from_numpy(np.asarray(self._data.covariates[rows], dtype=np.float32))
        batch["targets"] = {head.name: head.gather(self._data.targets[head.name], rows) for head in self._heads}
        return batch


def in_unit_range(images: Tensor) -> Tensor:
    """Return images as float32 in [0, 1]."""
    return images.float() / 255.0 if images.dtype == torch.uint8 else images
