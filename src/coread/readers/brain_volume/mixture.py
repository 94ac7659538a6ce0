"""Three tissues and their mixtures in one histogram: how much of each a voxel of a given brightness holds.

Pure tissues are normal distributions; voxels of two tissues are spread evenly between them (Santago and Gage 1993,
IEEE Trans Med Imaging 12:566). Only brightness counts; places do not.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
_BINS = 256
_STEPS = np.linspace(0.05, 0.95, 10)
_MIXED = ((0, 1), (1, 2))
"""Fluid with grey, grey with white matter."""
_ROUNDS = 60
_SLACK = np.array([0.2, 0.22, 0.05])
"""How far each mean may move from where the fit begins, in units of the distance from fluid to white matter."""
_LEAST_SPREAD = 0.015
"""Of the distance between white matter and fluid."""


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """A fitted histogram."""

    means: Values
    """(3,): fluid, grey, white matter."""
    spreads: Values
    brightness: Values
    """(bins,)."""
    shares: Values
    """(3, bins): expected share of each tissue in a voxel of that brightness."""
    pure: Values
    """(3, bins): probability that it is pure."""

    def separation(self) -> float:
        """Return how far grey and white matter are apart, in units of their spread."""
        return float((self.means[2] - self.means[1]) / np.hypot(self.spreads[1], self.spreads[2]) * 2**0.5)

    def share(self, tissue: int, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the share of a tissue in each voxel."""
        return np.asarray(np.interp(values, self.brightness, self.shares[tissue]), dtype=np.float32)


def fitted(values: NDArray[np.float32], start: Values) -> Mixture:
    """Fit by expectation maximisation from means (fluid, grey, white) in rising order."""
    reach = start[2] - start[0]
    edges = np.linspace(start[0] - 0.6 * reach, start[2] + 0.6 * reach, _BINS + 1)
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0].astype(np.float64)
    x = (edges[:-1] + edges[1:]) / 2
    means, spreads = start.astype(np.float64).copy(), np.full(3, 0.1 * reach)
    weights = np.full(3 + len(_MIXED) * len(_STEPS), 1.0)
    weights[3:] = 0.3 / len(_STEPS)
    for _ in range(_ROUNDS):
        posterior = _posterior(x, means, spreads, weights)
        taken = posterior * counts
        weights = np.maximum(taken.sum(axis=1), 1e-9)
        for pair in range(len(_MIXED)):
            part = slice(3 + pair * len(_STEPS), 3 + (pair + 1) * len(_STEPS))
            weights[part] = weights[part].mean()
        total = taken[:3].sum(axis=1) + 1e-9
        moved = (taken[:3] @ x) / total
        means = np.clip(moved, start - _SLACK * reach, start + _SLACK * reach)
        square = np.array([(one @ (x - m) ** 2) for one, m in zip(taken[:3], means, strict=True)]) / total
        spreads = np.clip(np.sqrt(square), _LEAST_SPREAD * reach, 0.25 * reach)
    posterior = _posterior(x, means, spreads, weights)
    return Mixture(means, spreads, x, _expected(posterior), posterior[:3])


def _posterior(x: Values, means: Values, spreads: Values, weights: Values) -> Values:
    middles, widths = list(means), list(spreads)
    for one, other in _MIXED:
        middles += list((1 - _STEPS) * means[one] + _STEPS * means[other])
        widths += list(np.hypot((1 - _STEPS) * spreads[one], _STEPS * spreads[other]))
    middle, width = np.array(middles)[:, None], np.array(widths)[:, None]
    density = weights[:, None] * np.exp(-((x - middle) ** 2) / (2 * width**2)) / width
    total = density.sum(axis=0)
    # Far out in the tails every density underflows: the brightest and darkest voxels are the outer tissues.
    density[0, (total < 1e-30) & (x < means[1])] = 1.0
    density[2, (total < 1e-30) & (x >= means[1])] = 1.0
    return np.asarray(density / density.sum(axis=0))


def _expected(posterior: Values) -> Values:
    shares = posterior[:3].copy()
    for pair, (one, other) in enumerate(_MIXED):
        part = posterior[3 + pair * len(_STEPS) : 3 + (pair + 1) * len(_STEPS)]
        shares[one] += (1 - _STEPS) @ part
        shares[other] += _STEPS @ part
    # Brighter than white matter, or darker than fluid, is still that; tails of the broader one do not count.
    return np.asarray(shares / shares.sum(axis=0))
