"""Platt scaling of logits on predictions for patients that the network did not learn from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FLATTEST = 1e-3
"""Smallest slope: calibration never turns the order of two images round."""


@dataclass(frozen=True, slots=True)
class Platt:
    """probability = sigmoid(a * logit + b) (Platt 1999)."""

    a: float
    b: float

    def __call__(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Turn logits into probabilities."""
        return 1.0 / (1.0 + np.exp(-(self.a * np.asarray(logits, dtype=np.float64) + self.b)))


def fit_platt(logits: NDArray[np.floating[Any]], truth: NDArray[np.bool_], *, iterations: int = 100) -> Platt:
    """Fit by Newton's method with Platt's smoothed targets, which keep a separable fit finite."""
    positives, negatives = int(truth.sum()), int((~truth).sum())
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = np.column_stack([np.asarray(logits, dtype=np.float64), np.ones(len(truth))])
    weights = np.array([1.0, 0.0])
    for _ in range(iterations):
        probability = 1.0 / (1.0 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (probability - target)
        curvature = design.T @ (design * (probability * (1 - probability))[:, None]) + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step
        if np.abs(step).max() < 1e-10:
            break
    if weights[0] < _FLATTEST:
        # A network that learned nothing: everybody gets the base rate, and the order of the logits is kept.
        rate = (positives + 1) / (len(truth) + 2)
        return Platt(_FLATTEST, float(np.log(rate / (1 - rate)) - _FLATTEST * np.mean(logits)))
    return Platt(float(weights[0]), float(weights[1]))
