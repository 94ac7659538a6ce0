"""What an adapter is: a description of a public set, and one function that reads it as it is distributed."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.train.datasets import ImageRow

DrawMask = Callable[[], NDArray[np.uint8]]
"""Draws a mask (rows, columns), 0 is background; called while the set is built."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A row before its image was opened: no digest yet, and the mask may still have to be drawn."""

    row: ImageRow
    draw: DrawMask | None = None


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a user tells an adapter that cannot know it: only adapters for unnamed tables ask for these."""

    table: Path | None = None
    """CSV file of labels."""
    labels: tuple[str, ...] = ()
    """Columns of the table that are labels; all that hold numbers when empty."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Field of an image row -> column of the table."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """One public set: how it is called, who owns it, what to cite, and how to read it."""

    title: str
    licence: str
    citation: str
    read: Callable[[Path, ReadOptions], Iterable[Draft]]
    layout: str
    """Files that the source folder must hold, by their official names."""
