"""Scores for early stopping and curves, from numpy arrays; higher is better, NaN = not defined."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.imaging.detections import intersection_over_union
from coread.statistics.roc import auc

Floats = NDArray[np.floating[Any]]


def mean_auc(targets: Floats, logits: Floats) -> tuple[float, list[float]]:
    """Return the mean and each column's area under the ROC curve for targets (N, K), NaN unknown."""
    each = []
    for k in range(targets.shape[1]):
        known = np.isfinite(targets[:, k])
        truth = targets[known, k] >= 0.5
        said = logits[known, k]
        defined_here = 0 < truth.sum() < len(truth) and not np.isnan(said).any()
        each.append(auc(truth, said) if defined_here else float("nan"))
    defined = [value for value in each if np.isfinite(value)]
    return (float(np.mean(defined)) if defined else float("nan")), each


def balanced_accuracy(truth: NDArray[np.int64], called: NDArray[np.int64]) -> float:
    """Return the mean recall over the classes that are there."""
    return float(np.mean([(called[truth == k] == k).mean() for k in np.unique(truth)])) if len(truth) else float("nan")


def quadratic_kappa(truth: NDArray[np.int64], called: NDArray[np.int64], levels: int) -> float:
    """Return Cohen's kappa with quadratic weights (Cohen 1968)."""
    if not len(truth):
        return float("nan")
    seen = np.zeros((levels, levels))
    np.add.at(seen, (truth, called), 1)
    distance = np.subtract.outer(np.arange(levels), np.arange(levels)) ** 2
    expected = np.outer(seen.sum(axis=1), seen.sum(axis=0)) / seen.sum()
    return float(1 - (distance * seen).sum() / (distance * expected).sum()) if (distance * expected).sum() else 1.0


def explained_variance(truth: Floats, said: Floats) -> float:
    """Return the mean coefficient of determination over the columns (N, K), NaN unknown."""
    each = []
    for k in range(truth.shape[1]):
        known = np.isfinite(truth[:, k])
        spread = float(((truth[known, k] - truth[known, k].mean()) ** 2).sum()) if known.any() else 0.0
        if spread > 0:
            each.append(1 - float(((truth[known, k] - said[known, k]) ** 2).sum()) / spread)
    return float(np.mean(each)) if each else float("nan")


def average_precision(found: Sequence[Floats], truth: Sequence[Floats], kind: int, overlap: float = 0.5) -> float:
    """Return the area under precision over recall of one class: boxes (M, 6) per image against (M, 5) per image.

    All points, precision made monotone, as in PASCAL VOC 2010.
    """
    hits: list[tuple[float, bool]] = []
    total = 0
    for said, drawn in zip(found, truth, strict=True):
        wanted, offered = drawn[drawn[:, 0] == kind], said[said[:, 0] == kind]
        total += len(wanted)
        shared = intersection_over_union(offered[:, 1:5], wanted[:, 1:5])
        free = np.ones(len(wanted), dtype=bool)
        for i in np.argsort(-offered[:, 5], kind="stable"):
            best = int(np.argmax(shared[i])) if len(wanted) else -1
            hit = best >= 0 and bool(shared[i, best] >= overlap) and bool(free[best])
            if hit:
                free[best] = False
            hits.append((float(offered[i, 5]), hit))
    if not total:
        return float("nan")
    right = np.array([hit for _, hit in sorted(hits, key=lambda pair: -pair[0])], dtype=float)
    if not len(right):
        return 0.0
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    monotone = np.maximum.accumulate(precision[::-1])[::-1]
    return float((monotone * right).sum() / total)
