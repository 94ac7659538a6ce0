"""Connected regions of a mask, without SciPy: what a reader needs at run time."""

import numpy as np
from numpy.typing import NDArray


def regions_of(inside: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Return the regions whose pixels touch over edges, in the order in which they are met from the top."""
    labels = labelled(inside)
    return [labels == number for number in range(1, int(labels.max(initial=0)) + 1)]


def labelled(inside: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number the regions from 1 by joining the runs of each row with those above that they touch; 0 is outside."""
    parents: list[int] = [0]
    labels = np.zeros(inside.shape, dtype=np.int32)
    for row in range(inside.shape[0]):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], inside[row], [False]])))
        for start, end in edges.reshape(-1, 2):
            above = {int(number) for number in np.unique(labels[row - 1, start:end]) if number} if row else set()
            labels[row, start:end] = _joined(parents, above)
    roots = np.array([_root(parents, number) for number in range(len(parents))])
    return np.searchsorted(np.unique(roots), roots)[labels].astype(np.int32)


def _joined(parents: list[int], above: set[int]) -> int:
    """Return the number of a run: the smallest of the regions above it, which become one, or a new one."""
    roots = {_root(parents, number) for number in above}
    if not roots:
        parents.append(len(parents))
        return len(parents) - 1
    smallest = min(roots)
    for number in roots:
        parents[number] = smallest
    return smallest


def _root(parents: list[int], number: int) -> int:
    while parents[number] != number:
        number = parents[number]
    return number
