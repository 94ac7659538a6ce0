"""Images with their targets as arrays, in memory or memory-mapped: what every fit learns from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.train.errors import BadTarget


class PickedRows:
    """Some rows of a large array, read when they are asked for; behaves like an array along its first axis."""

    def __init__(self, source: "NDArray[Any] | StackedChannels", rows: NDArray[np.int64]) -> None:
        self.source, self.rows = source, rows

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape with the number of picked rows first."""
        return (len(self.rows), *self.source.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers."""
        return self.source.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        taken: NDArray[Any] = self.source[self.rows[index]]
        return taken

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.source[self.rows], dtype=dtype)


class StackedChannels:
    """Cases out of an array of single channels, each case its channels in order; read when they are asked for.

    ``source`` is (M, 1, *side), ``rows`` (N, C) tells where each channel of each case stands.
    """

    def __init__(self, source: NDArray[Any], rows: NDArray[np.int64]) -> None:
        self.source, self.rows = source, rows

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, *side)."""
        return (*self.rows.shape, *self.source.shape[2:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers."""
        return self.source.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        chosen = self.rows[index]
        taken: NDArray[Any] = self.source[chosen]
        return taken.squeeze(axis=chosen.ndim)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)


ImageRows = NDArray[Any] | PickedRows | StackedChannels
"""(N, C, rows, columns) or (N, C, slices, rows, columns); uint8 (255 = 1.0) or float32 in [0, 1]."""
Boxes = NDArray[np.float32]
"""(M, 5): class number, x0, y0, x1, y1 in pixels of the image; x runs along columns."""
Targets = NDArray[Any] | PickedRows | StackedChannels | Sequence[Boxes | None]
"""One row per image. Boxes are a sequence of (M, 5), ``None`` where nobody looked for any."""


@dataclass(frozen=True, slots=True, eq=False)
class ArraySet:
    """N images and what is known of them."""

    images: ImageRows
    targets: Mapping[str, Targets]
    """By name of the head; NaN, -1, 255 and None mean "not known" and are never learned from."""
    groups: Sequence[str]
    """(N,) patient, or whatever must not be torn apart."""
    keys: Sequence[str]
    """(N,) unique name of each image or case."""
    covariates: NDArray[np.float32] | None = None
    """(N, F) structured clinical data, NaN where missing."""
    weights: NDArray[np.float32] | None = None
    """(N,) how often an image is drawn, relative to the others."""

    def __post_init__(self) -> None:
        n = len(self.images)
        if len(self.images.shape) not in (4, 5):
            raise BadTarget(
                f"images need axes (N, C, *spatial) with two or three spatial axes, got {self.images.shape}"
            )
        if self.images.dtype not in (np.dtype(np.uint8), np.dtype(np.float32)):
            raise BadTarget(f"images must be uint8 or float32, not {self.images.dtype}")
        columns: dict[str, Any] = {"groups": self.groups, "keys": self.keys}
        columns |= {f"target {name!r}": values for name, values in self.targets.items()}
        columns |= {"covariates": self.covariates, "weights": self.weights}
        for name, values in columns.items():
            if values is not None and len(values) != n:
                raise BadTarget(f"{name} has {len(values)} rows, there are {n} images")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def channels(self) -> int:
        """Number of image channels."""
        return int(self.images.shape[1])

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape, (rows, columns) or (slices, rows, columns)."""
        return tuple(int(side) for side in self.images.shape[2:])

    def subset(self, indices: Sequence[int] | NDArray[np.int64] | NDArray[np.bool_]) -> "ArraySet":
        """Return the rows at these positions (or under this mask); memory-mapped images stay on disk."""
        chosen = np.asarray(indices)
        rows = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen.astype(np.int64)
        return ArraySet(
            images=_taken(self.images, rows),  # type: ignore[arg-type]
            targets={name: _taken(values, rows) for name, values in self.targets.items()},
            groups=[self.groups[i] for i in rows],
            keys=[self.keys[i] for i in rows],
            covariates=None if self.covariates is None else self.covariates[rows],
            weights=None if self.weights is None else self.weights[rows],
        )


def _taken(values: Targets, rows: NDArray[np.int64]) -> Targets:
    if isinstance(values, PickedRows):
        return PickedRows(values.source, values.rows[rows])
    if isinstance(values, StackedChannels):
        return StackedChannels(values.source, values.rows[rows])
    if isinstance(values, np.ndarray):
        return PickedRows(values, rows) if isinstance(values, np.memmap) else values[rows]
    return tuple(values[int(i)] for i in rows)
