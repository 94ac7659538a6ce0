"""Logistic regression by Newton's method: behind Platt scaling, calibration slopes and interaction tests."""

from dataclasses import dataclass

import numpy as np

from coread.statistics.arrays import Floats
from coread.statistics.errors import NotEstimable

_LARGEST = 35.0
"""Linear predictors are cut here: sigmoid(35) differs from 1 by less than 1e-15."""


@dataclass(frozen=True, slots=True, eq=False)
class Logistic:
    """Coefficients, their covariance (inverse information) and the log-likelihood reached."""

    coefficients: Floats
    covariance: Floats
    log_likelihood: float


def sigmoid(values: Floats) -> Floats:
    """Return 1 / (1 + exp(-values)) without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -np.asarray(values, dtype=np.float64))))


def fit_logistic(
    design: Floats, target: Floats, *, offset: Floats | None = None, iterations: int = 100, what: str = "the fit"
) -> Logistic:
    """Maximise the likelihood of ``target`` (shares in [0, 1]) given ``design`` (N, P); separable data are refused."""
    base = np.zeros(len(target)) if offset is None else offset
    weights = np.zeros(design.shape[1])
    likelihood = _log_likelihood(design @ weights + base, target)
    for _ in range(iterations):
        chance = sigmoid(np.clip(design @ weights + base, -_LARGEST, _LARGEST))
        information = design.T @ (design * (chance * (1 - chance))[:, None])
        try:
            step = np.linalg.solve(information, design.T @ (target - chance))
        except np.linalg.LinAlgError as problem:
            raise NotEstimable(f"{what}: the data do not determine all coefficients.") from problem
        scale = 1.0
        while scale > 1e-6:
            reached = _log_likelihood(design @ (weights + scale * step) + base, target)
            if reached >= likelihood - 1e-12 * abs(likelihood):
                break
            scale /= 2
        weights = weights + scale * step
        gained, likelihood = reached - likelihood, reached
        if np.abs(step).max() * scale < 1e-9 * (1 + np.abs(weights).max()) or (gained == 0 and scale < 1):
            break
    else:
        raise NotEstimable(f"{what} did not settle: one score separates the classes completely.")
    chance = sigmoid(np.clip(design @ weights + base, -_LARGEST, _LARGEST))
    information = design.T @ (design * (chance * (1 - chance))[:, None])
    if np.linalg.cond(information) > 1e14:
        raise NotEstimable(f"{what}: the classes are separated, or two predictors say the same.")
    return Logistic(weights, np.asarray(np.linalg.inv(information), dtype=np.float64), likelihood)


def _log_likelihood(predictor: Floats, target: Floats) -> float:
    return float(-(target * np.logaddexp(0, -predictor) + (1 - target) * np.logaddexp(0, predictor)).sum())
