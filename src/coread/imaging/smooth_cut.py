"""The globally best smooth two-way cut of a volume: a score per voxel against the length of the border.

Minimises sum(weight * |gradient u|) + sum(u * (-score)) over 0 <= u <= 1, the convex relaxation of a graph cut (Chan,
Esedoglu and Nikolova 2006, SIAM J Appl Math 66:1632); {u > 1/2} is a minimiser of the cut itself and, unlike that of a
graph cut on six neighbours, does not prefer borders along the axes. Solved by the primal-dual steps of Chambolle and
Pock 2011 (J Math Imaging Vis 40:120, algorithm 1).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_STEP = 1 / np.sqrt(12.0)
"""Primal and dual step: their product times the norm of the gradient squared (12 in three dimensions) is at most 1."""
_LOOK_EVERY = 10


def smooth_cut(score: Floats, weight: Floats, *, steps: int = 150, settled: float = 1e-3) -> Floats:
    """Return u (z, y, x) in [0, 1] for scores per voxel (above 0 speaks for inside) and the cost of a border there.

    Voxels are taken as cubes. Stops when u moves by less than ``settled`` on average within ten steps.
    """
    u = (score > 0).astype(np.float32)
    ahead, before = u.copy(), u.copy()
    dual = np.zeros((3, *score.shape), dtype=np.float32)
    step = np.float32(_STEP)
    pull = step * score
    for number in range(1, steps + 1):
        _rise(dual, ahead, step)
        length = np.sqrt(np.einsum("azyx,azyx->zyx", dual, dual))
        dual /= np.maximum(1.0, length / weight)
        last = u
        u = np.clip(u + step * _divergence(dual) + pull, 0.0, 1.0)
        ahead = 2 * u - last
        if number % _LOOK_EVERY == 0:
            if float(np.abs(u - before).mean()) < settled:
                break
            before = u
    return u


def _rise(dual: Floats, u: Floats, step: np.float32) -> None:
    """Add the forward differences of u to the dual variable in place; there is no difference across the last face."""
    dual[0, :-1] += step * (u[1:] - u[:-1])
    dual[1, :, :-1] += step * (u[:, 1:] - u[:, :-1])
    dual[2, :, :, :-1] += step * (u[:, :, 1:] - u[:, :, :-1])


def _divergence(dual: Floats) -> Floats:
    """Return the negative adjoint of the forward differences."""
    total = np.zeros(dual.shape[1:], dtype=np.float32)
    total[:-1] += dual[0, :-1]
    total[1:] -= dual[0, :-1]
    total[:, :-1] += dual[1, :, :-1]
    total[:, 1:] -= dual[1, :, :-1]
    total[:, :, :-1] += dual[2, :, :, :-1]
    total[:, :, 1:] -= dual[2, :, :, :-1]
    return total
