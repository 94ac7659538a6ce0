"""What every head offers, whatever it learns: the contract between data, network and fit."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from coread.train.errors import BadTarget

Place = Literal["vector", "mask", "boxes"]
"""Where a head sits: on the pooled features, on the decoder at full size, on the decoder's own grid."""
Row = tuple[Any, Any]
"""One image's (said, truth), as small as its score needs it."""


class Head(Protocol):
    """One thing to learn."""

    place: ClassVar[Place]

    @property
    def name(self) -> str:
        """Name of the head and of its target."""
        ...

    @property
    def weight(self) -> float:
        """How much its loss counts in the sum."""
        ...

    def channels(self) -> int:
        """Number of output channels."""
        ...

    def check(self, values: Any, keys: Sequence[str], /) -> None:
        """Raise BadTarget where a target is outside the list."""
        ...

    def prepared(self, values: Any, /) -> "Head":
        """Return the head with what it takes from the training targets: class weights, units."""
        ...

    def gather(self, values: Any, index: NDArray[np.int64], /) -> Tensor:
        """Return the targets at these rows as one tensor."""
        ...

    def loss(self, output: Tensor, target: Tensor, shape: tuple[int, ...], /) -> Tensor:
        """Return the mean loss over what is known; ``shape`` is the image's."""
        ...

    def rows(self, output: Tensor, target: Tensor, shape: tuple[int, ...], /) -> list[Row]:
        """Return what the score needs of each image of a batch."""
        ...

    def score(self, rows: Sequence[Row], /) -> dict[str, float]:
        """Return scores by name; the first decides when to stop."""
        ...


def pairs(output: Tensor, target: Tensor) -> list[Row]:
    """Return each image's output and target as numpy arrays."""
    return list(zip(output.detach().float().cpu().numpy(), target.cpu().numpy(), strict=True))


def stacked(rows: Sequence[Row]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return all outputs and all targets."""
    return np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])


def check_levels(name: str, values: Any, levels: int, keys: Sequence[str]) -> None:
    """Raise BadTarget where a class (N,) is no whole number of the list; -1 is unknown."""
    array = np.asarray(values)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise BadTarget(f"{name}: targets must be whole numbers (N,), got {array.dtype} {array.shape}")
    wrong = np.flatnonzero((array < -1) | (array >= levels))
    if len(wrong):
        raise BadTarget(f"{name}: {keys[wrong[0]]} has class {array[wrong[0]]}, the list ends at {levels - 1}")
