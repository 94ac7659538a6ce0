"""What fitted networks say of cases, as rows of ``predictions.parquet``: one logit per case and output."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.train.arrays import ArraySet
from coread.train.tasks import Boxes, Head, MultiClass, MultiLabel, Ordinal, Segmentation, WeakSegmentation
from coread.train.weak_places import SOMEWHERE

PredictionRow = tuple[str, str, str, str, float, float]
"""case_id, patient_id, part, output, truth (NaN: unknown), logit."""
Floats = NDArray[np.floating[Any]]
_FLOOR = 1e-12


def one_sided(heads: Sequence[Head], data: ArraySet) -> frozenset[str]:
    """Return the outputs whose truth is the same wherever it is known: there is nothing to tell apart."""
    found = []
    for head in heads:
        shape = (len(data), head.channels(), *(1 for _ in range(0 if head.place == "vector" else 2)))
        for name, truth, _ in _outputs(head, np.zeros(shape, dtype=np.float32), data.targets[head.name]):
            if len(np.unique(truth[np.isfinite(truth)])) < 2:
                found.append(name)
    return frozenset(found)


def prediction_rows(
    heads: Sequence[Head], said: Mapping[str, NDArray[np.float32]], data: ArraySet, parts: Sequence[str],
    without: frozenset[str] = frozenset(),
) -> Iterator[PredictionRow]:  # fmt: skip
    """Yield the rows of every head that answers yes or no; quantities are measured by validation, not here."""
    taken: set[str] = set()
    for head in heads:
        for name, truth, logits in _outputs(head, said[head.name], data.targets[head.name]):
            if name in without:
                continue
            output = name if name not in taken else f"{head.name}.{name}"
            taken.add(output)
            for case, patient, part, known, logit in zip(data.keys, data.groups, parts, truth, logits, strict=True):
                yield case, patient, part, output, float(known), float(logit)


def _outputs(head: Head, said: NDArray[np.float32], target: Any) -> Iterator[tuple[str, Floats, Floats]]:
    if isinstance(head, MultiLabel):
        for k, name in enumerate(head.classes):
            yield name, np.asarray(target, dtype=np.float64)[:, k], said[:, k]
    elif isinstance(head, MultiClass):
        truth = np.asarray(target)
        for k, name in enumerate(head.classes):
            yield name, np.where(truth < 0, np.nan, truth == k), one_against_the_rest(said, k)
    elif isinstance(head, Ordinal):
        truth = np.asarray(target)
        for k, name in enumerate(head.levels[1:]):
            yield f"{head.name} at least {name}", np.where(truth < 0, np.nan, truth > k), said[:, k]
    elif isinstance(head, Boxes):
        for k, name in enumerate(head.classes):
            has = [np.nan if boxes is None else float((boxes[:, 0] == k).any()) for boxes in target]
            yield f"{head.name}.{name}", np.array(has), said[:, k].reshape(len(said), -1).max(axis=1)
    elif isinstance(head, Segmentation):
        masks = np.asarray(target).reshape(len(said), -1)
        unknown = (masks == 255).all(axis=1)
        for k, name in enumerate(head.classes):
            own = said[:, 0 if len(head.classes) == 1 else k + 1].reshape(len(said), -1).max(axis=1)
            there = (masks == k + 1).any(axis=1)
            if isinstance(head, WeakSegmentation):  # somewhere in the image, nobody knows where
                there |= (masks == SOMEWHERE).any(axis=1)
            yield f"{head.name}.{name}", np.where(unknown, np.nan, there), own


def one_against_the_rest(logits: Floats, k: int) -> Floats:
    """Return the logit of class k's probability (softmax) out of logits (N, K)."""
    top = logits.max(axis=1, keepdims=True)
    spread = np.exp(logits.astype(np.float64) - top)
    own = spread[:, k] / spread.sum(axis=1)
    logit: Floats = np.log(np.maximum(own, _FLOOR)) - np.log(np.maximum(1 - own, _FLOOR))
    return logit
