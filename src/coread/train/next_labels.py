"""Which studies to label next: those that the present head is least sure of, no two alike, one per patient.

Uncertainty as the entropy of the calibrated probability; diversity by choosing greedily the candidate that lies
furthest from what is labelled or chosen already (core sets, Sener and Savarese 2018), among the most uncertain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.train.errors import BadPlan

CANDIDATES = 10
"""The most uncertain of this many times the wanted number are looked at for diversity."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One row to label: its position, how unsure the head is (0 to 1) and how far it lies from all others chosen."""

    row: int
    uncertainty: float
    distance: float


def entropy(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy of each probability in bits: 1 at one half, 0 at certainty."""
    p = np.clip(probabilities, 1e-12, 1 - 1e-12)
    return np.asarray(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)))


def suggest(
    features: NDArray[np.float32],
    patients: Sequence[str],
    *,
    count: int,
    probabilities: NDArray[np.float64] | None = None,
    labelled: NDArray[np.int64] | None = None,
) -> tuple[Suggestion, ...]:
    """Choose up to ``count`` rows out of features (N, F); ``labelled`` are rows that have their label already.

    Without ``probabilities`` (nothing is fitted yet) diversity alone decides. Patients who are labelled are left out.
    """
    if count < 1:
        raise BadPlan("count must be at least 1")
    done = np.zeros(0, dtype=np.int64) if labelled is None else labelled
    known = {patients[int(row)] for row in done}
    unsure = np.ones(len(features)) if probabilities is None else entropy(probabilities)
    free = [row for row in range(len(features)) if patients[row] not in known]
    order = sorted(free, key=lambda row: (-unsure[row], row))
    pool = np.array(order if probabilities is None else order[: CANDIDATES * count], dtype=np.int64)
    if not len(pool):
        return ()
    points = features / (np.linalg.norm(features, axis=1, keepdims=True) + 1e-9)
    gap = _gap_to(points[pool], points[done]) if len(done) else _gap_to(points[pool], points[pool].mean(axis=0)[None])
    chosen: list[Suggestion] = []
    taken: set[str] = set()
    for _ in range(min(count, len(pool))):
        value = np.where([patients[int(row)] in taken for row in pool], -1.0, gap * unsure[pool])
        best = int(np.argmax(value))
        if value[best] < 0:
            break
        row = int(pool[best])
        chosen.append(Suggestion(row, float(unsure[row]), float(gap[best])))
        taken.add(patients[row])
        gap = np.minimum(gap, _gap_to(points[pool], points[row][None]))
    return tuple(chosen)


def _gap_to(points: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return each point's distance to the nearest of the others."""
    squares = (points**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)[None] - 2.0 * points @ others.T
    return np.asarray(np.sqrt(np.maximum(squares.min(axis=1), 0.0)), dtype=np.float64)
