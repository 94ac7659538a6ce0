"""Training samples as tensors that fit in memory, and the batches that are drawn from them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from coread.train.radiographs import LabelledBox

GATE_CHEST, GATE_OTHER, GATE_INVERTED, GATE_CHILD, GATE_TURNED = range(5)
"""Classes of the input gate: an upright adult frontal chest, anything else, a negative, a child, a turned image."""
GATE_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Samples:
    """N images with everything that is known of them; NaN and -1 mean "not known" and are never learned from."""

    images: Tensor
    """(N, side, side) uint8."""
    targets: Tensor
    """(N, findings) float in [0, 1] or NaN."""
    weights: Tensor
    """(N, findings) float: how much each target counts."""
    masks: Tensor
    """(N, findings, grid, grid) uint8: 255 inside a radiologist's box."""
    masks_known: Tensor
    """(N, findings) bool."""
    view: Tensor
    """(N,) float: 1 AP, 0 PA, NaN."""
    gate: Tensor
    """(N,) int."""
    auxiliary: Tensor
    """(N, auxiliary) float or NaN."""

    def take(self, index: Tensor) -> "Samples":
        """Return the samples at these positions."""
        return Samples(*(getattr(self, name)[index] for name in self.__slots__))

    def __len__(self) -> int:
        return len(self.images)


def samples_of(
    *,
    images: NDArray[np.uint8],
    targets: NDArray[np.float32],
    weights: NDArray[np.float32],
    masks: NDArray[np.uint8],
    masks_known: NDArray[np.bool_],
    view: NDArray[np.float32],
    gate: NDArray[np.int64],
    auxiliary: NDArray[np.float32],
) -> Samples:
    """Wrap numpy arrays of the same length as samples."""
    return Samples(
        images=torch.from_numpy(images),
        targets=torch.from_numpy(targets),
        weights=torch.from_numpy(weights),
        masks=torch.from_numpy(masks),
        masks_known=torch.from_numpy(masks_known),
        view=torch.from_numpy(view),
        gate=torch.from_numpy(gate),
        auxiliary=torch.from_numpy(auxiliary),
    )


def joined(parts: Sequence[Samples]) -> Samples:
    """Put several sets one after the other."""
    return Samples(*(torch.cat([getattr(part, name) for part in parts]) for name in Samples.__slots__))


def only_for_gate(images: NDArray[np.uint8], gate: NDArray[np.int64], *, like: Samples) -> Samples:
    """Wrap images of which nothing but the class of the input gate (N,) is known."""
    n = len(images)

    def unknown(old: Tensor) -> Tensor:
        return torch.full((n, *old.shape[1:]), float("nan"))

    return replace(
        like,
        images=torch.from_numpy(images),
        targets=unknown(like.targets),
        weights=torch.zeros((n, *like.weights.shape[1:])),
        masks=torch.zeros((n, *like.masks.shape[1:]), dtype=torch.uint8),
        masks_known=torch.zeros((n, *like.masks_known.shape[1:]), dtype=torch.bool),
        view=unknown(like.view),
        gate=torch.from_numpy(gate),
        auxiliary=unknown(like.auxiliary),
    )


def box_masks(
    boxes: Sequence[Sequence[LabelledBox]], output_of: dict[str, int], outputs: int, grid: int
) -> NDArray[np.uint8]:
    """Draw boxes as masks, (N, outputs, grid, grid) uint8; a box of a finding that is no output is left out."""
    masks = np.zeros((len(boxes), outputs, grid, grid), dtype=np.uint8)
    for number, listed in enumerate(boxes):
        for box in listed:
            if box.finding in output_of:
                columns = _span(box.column_min, box.column_max, grid)
                rows = _span(box.row_min, box.row_max, grid)
                masks[number, output_of[box.finding], rows, columns] = 255
    return masks


def _span(low: float, high: float, grid: int) -> slice:
    start = min(grid - 1, round(low * grid))
    return slice(start, max(start + 1, round(high * grid)))


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How many images of the main set and how many only for the gate make one batch."""

    main: int = 26
    gate: int = 6


class BatchIndices(IterableDataset[tuple[Tensor, Tensor]]):
    """One epoch of (main indices, gate indices): the main set once in random order, the gate set drawn at will."""

    def __init__(self, main: NDArray[np.int64], gate: NDArray[np.int64], plan: BatchPlan, seed: int) -> None:
        self._main, self._gate, self._plan = main, gate, plan
        self._random = np.random.default_rng(seed)

    def __len__(self) -> int:
        return max(1, len(self._main) // self._plan.main)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = self._random.permutation(self._main)
        for start in range(len(self)):
            main = order[start * self._plan.main : (start + 1) * self._plan.main]
            gate = self._random.choice(self._gate, self._plan.gate) if len(self._gate) else self._gate[:0]
            yield torch.from_numpy(main), torch.from_numpy(gate)
