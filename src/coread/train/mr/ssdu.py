"""Learning from undersampled acquisitions alone: no fully sampled image is needed, so a site can use what it has.

Self-supervision by undersampling (Yaman 2020, SSDU, Magn Reson Med 84:3172): of the samples that were measured a part
is kept from the network, and the loss is how well its image predicts that part, by the sum of the normalised l1 and l2
distances of k-space. Samples of the inner k-space stay with the network.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from coread.imaging.mr.learned_inputs import MOST_LINES
from coread.train.errors import BadPlan
from coread.train.mr.acquisitions import Acquisition, DrawPlan, Source, draw, prepared
from coread.train.mr.operators import Encoding, of_lines, of_points, times

Complex = NDArray[np.complex64]
_INNER = 4
"""Lines or points around the centre that the network always keeps: half of them on each side."""


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """How samples are shared out."""

    held_share: float = 0.4
    """Of the samples outside the inner k-space (0.4 was best in the paper)."""
    seed: int = 20261131

    def __post_init__(self) -> None:
        if not 0 < self.held_share < 1:
            raise BadPlan(f"held_share lies between 0 and 1, not at {self.held_share}")


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Whitened samples (coils, a, b) of one plane as a scanner gave them, and where (a, b) they were taken."""

    samples: Complex
    mask: NDArray[np.bool_]


class MeasuredAcquisitions(Dataset[Acquisition]):
    """Measured planes in a random order, each time split anew; number ``first + k`` is always the same."""

    def __init__(self, planes: Sequence[Measured], plan: SplitPlan, first: int, count: int) -> None:
        if not planes:
            raise BadPlan("there is no plane to learn from")
        self._planes, self._plan, self._first, self._count = planes, plan, first, count

    def __len__(self) -> int:
        """Return how many there are."""
        return self._count

    def __getitem__(self, index: int) -> Acquisition:
        """Return one."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        random = np.random.default_rng([self._plan.seed, self._first + index])
        plane = self._planes[int(random.integers(len(self._planes)))]
        return split(prepared(plane.samples, plane.mask, (MOST_LINES, MOST_LINES)), self._plan, random)


class UntoldAcquisitions(Dataset[Acquisition]):
    """Simulated acquisitions without their truth, to compare with learning from the truth."""

    def __init__(self, sources: Sequence[Source], plan: DrawPlan, first: int, count: int) -> None:
        self._sources, self._plan, self._first, self._count = sources, plan, first, count

    def __len__(self) -> int:
        """Return how many there are."""
        return self._count

    def __getitem__(self, index: int) -> Acquisition:
        """Return one."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        number = self._first + index
        told = draw(self._sources, self._plan, number)
        untold = replace(told, truth=told.truth[:, :, :0, :0])
        return split(untold, SplitPlan(), np.random.default_rng([self._plan.seed, number, 1]))


def split(given: Acquisition, plan: SplitPlan, random: np.random.Generator) -> Acquisition:
    """Return an acquisition that keeps a part of its samples from the network; raises BadPlan where none can be."""
    mask = given.mask.numpy().astype(bool)
    away = np.maximum.reduce(
        [np.abs(axis - size // 2) for axis, size in zip(np.indices(mask.shape), mask.shape, strict=True)]
    )
    held = mask & (random.random(mask.shape) < plan.held_share) & (away >= _INNER // 2)
    if not held.any():
        raise BadPlan("too few samples outside the middle of k-space to keep some back")
    kept = mask & ~held
    if mask.ndim == 1:
        of_kept = torch.from_numpy(kept[mask])
        samples, rest = given.samples[:, :, of_kept], given.samples[:, :, ~of_kept]
    else:
        samples, rest = (given.samples * torch.from_numpy(part) for part in (kept, held))
    return replace(given, samples=samples, mask=torch.from_numpy(kept), held=rest, held_mask=torch.from_numpy(held))


def self_supervised(network: nn.Module, given: Acquisition) -> Tensor:
    """Return how far the network's image is from the samples that it was not given."""
    if given.held is None or given.held_mask is None:
        raise BadPlan("self-supervision needs acquisitions that were split")
    image, maps = network(given.samples, given.block, given.encoding())
    found = _encoding(given.held_mask).forward(times(maps, image))
    apart, size = _moduli(found - given.held), _moduli(given.held)
    return apart.sum() / size.sum() + apart.square().sum().add(1e-12).sqrt() / size.square().sum().sqrt()


def _encoding(mask: Tensor) -> Encoding:
    return of_lines(mask) if mask.dim() == 1 else of_points(mask)


def _moduli(samples: Tensor) -> Tensor:
    return samples.square().sum(dim=1).add(1e-12).sqrt()
