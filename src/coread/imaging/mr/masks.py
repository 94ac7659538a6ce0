"""Which samples of k-space an accelerated acquisition takes: whole lines, or points of two phase encodings.

The masks of lines are those of fastMRI (Zbontar 2018, arXiv:1811.08839; Defazio 2019, arXiv:1912.01101 for ``magic``),
draw for draw, so that figures can be compared. The mask of points is a variable-density Poisson disc (Lustig 2007;
Vasanawala 2011). The same plan, shape and seed give the same mask everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import InvalidRecord

Mask = NDArray[np.bool_]
Seed = int | Sequence[int]
_TRIALS = 14
_NEAR = 0.02
_STEP = 0.25
"""Radii of discs are rounded to this many grid points."""


class BadSampling(InvalidRecord):
    """A sampling that cannot be drawn; the message says which number is out of range."""


class MaskKind(StrEnum):
    """How samples are chosen."""

    RANDOM = "random"
    EQUISPACED = "equispaced"
    MAGIC = "magic"
    POISSON = "poisson"


@dataclass(frozen=True, slots=True)
class MaskPlan:
    """A kind of sampling, how many times fewer samples, and how much of the middle is kept whole."""

    kind: MaskKind
    acceleration: float
    centre_fraction: float | None = None
    """Of the lines (lines), of each axis (points); ``None``: 0.32 / acceleration as in fastMRI's challenge (0.08 at 4,
    0.04 at 8) for lines, 0.1 for points."""
    corners: bool = False
    """Points: whether the corners of k-space, outside the ellipse, are sampled too."""

    def __post_init__(self) -> None:
        if not 1 <= self.acceleration <= 64:
            raise BadSampling(f"an acceleration lies between 1 and 64, not at {self.acceleration}")
        if self.centre_fraction is not None and not 0 <= self.centre_fraction < 1:
            raise BadSampling(f"the fraction kept in the middle lies in [0, 1), not at {self.centre_fraction}")

    @property
    def fraction(self) -> float:
        """The fraction kept in the middle."""
        if self.centre_fraction is not None:
            return self.centre_fraction
        return 0.1 if self.kind is MaskKind.POISSON else 0.32 / self.acceleration


def sampling_mask(plan: MaskPlan, shape: tuple[int, int], seed: Seed) -> Mask:
    """Return the mask (a, b), True where sampled; masks of lines choose along ``a`` and are constant along ``b``."""
    if min(shape) < 8:
        raise BadSampling(f"a mask needs at least 8 x 8 samples, not {shape[0]} x {shape[1]}")
    if plan.kind is MaskKind.POISSON:
        return poisson_disc(plan, shape, seed)
    draw = {MaskKind.RANDOM: random_lines, MaskKind.EQUISPACED: equispaced_lines, MaskKind.MAGIC: magic_lines}
    lines = draw[plan.kind](shape[0], plan.acceleration, plan.fraction, seed)
    return np.repeat(lines[:, np.newaxis], shape[1], axis=1)


def random_lines(count: int, acceleration: float, fraction: float, seed: Seed) -> Mask:
    """Keep the middle, and each other line with the chance that makes ``count / acceleration`` lines on average."""
    middle = _middle(count, fraction)
    kept = int(middle.sum())
    chance = (count / acceleration - kept) / max(count - kept, 1)
    return np.asarray((np.random.RandomState(_seeded(seed)).uniform(size=count) < chance) | middle)


def equispaced_lines(count: int, acceleration: float, fraction: float, seed: Seed) -> Mask:
    """Keep the middle, and lines at equal distances from a random first one, wider apart to make up for the middle.

    As in fastMRI the distance is no whole number, so the rounded lines are not exactly equidistant.
    """
    middle = _middle(count, fraction)
    kept = int(middle.sum())
    if kept * acceleration >= count:
        return middle
    distance = acceleration * (kept - count) / (kept * acceleration - count)
    first = np.random.RandomState(_seeded(seed)).randint(0, max(round(distance), 1))
    lines = middle.copy()
    lines[np.around(np.arange(first, count - 1, distance)).astype(np.intp)] = True
    return lines


def magic_lines(count: int, acceleration: float, fraction: float, seed: Seed) -> Mask:
    """Keep the middle, and lines shifted between the halves of k-space so that conjugate symmetry fills the gaps."""
    target = int(count / acceleration)
    kept = max(min(round(count * fraction), target), 1)
    middle = _middle(count, kept / count)
    if target <= kept:
        return middle
    distance = int(count // (target - kept))
    offset = int(np.random.RandomState(_seeded(seed)).randint(0, high=distance))
    above, below = (offset + 1, offset + 2) if offset % 2 == 0 else (offset + 2, offset - 1)
    half = (count + 1) // 2
    positive, negative = np.zeros(half, dtype=bool), np.zeros(count - half, dtype=bool)
    positive[above::distance] = True
    negative[below::distance] = True
    return np.asarray(np.fft.fftshift(np.concatenate((positive, negative[::-1]))) | middle)


def poisson_disc(plan: MaskPlan, shape: tuple[int, int], seed: Seed) -> Mask:
    """Keep the middle whole, and points of which none lies nearer to another than a distance that grows outwards.

    The growth is found by bisection; at last single points are left out, or put in at random, for the exact number.
    """
    random = np.random.default_rng(seed)
    radius, allowed = _radius(shape), np.ones(shape, dtype=bool)
    if not plan.corners:
        allowed = radius <= 1
    middle = np.outer(*(_middle(size, plan.fraction) for size in shape)) & allowed
    wanted = round(shape[0] * shape[1] / plan.acceleration)
    if wanted >= np.count_nonzero(allowed):
        raise BadSampling(
            f"an acceleration of {plan.acceleration} cannot be had without the corners; use more or take corners"
        )
    order = random.permutation(np.flatnonzero(allowed & ~middle))
    low, high, mask = 0.0, 4.0 * plan.acceleration, middle
    for _ in range(_TRIALS):
        growth = (low + high) / 2
        mask = middle | _darts(order, 0.5 + growth * radius, shape)
        count = int(mask.sum())
        if abs(count - wanted) <= _NEAR * wanted:
            break
        low, high = (growth, high) if count > wanted else (low, growth)
    return _exactly(mask, wanted, allowed, middle, random)


def _darts(order: NDArray[np.intp], distances: NDArray[np.float64], shape: tuple[int, int]) -> Mask:
    """Take points in this order, each only when no point taken before forbids it."""
    steps = np.round(distances / _STEP).astype(np.intp)
    reach = int(np.ceil(float(steps.max()) * _STEP))
    discs = {int(step): _disc(float(step) * _STEP) for step in np.unique(steps)}
    forbidden = np.zeros((shape[0] + 2 * reach, shape[1] + 2 * reach), dtype=bool)
    taken = np.zeros(shape, dtype=bool)
    rows, columns = np.unravel_index(order, shape)
    each = zip(rows.tolist(), columns.tolist(), steps[rows, columns].tolist(), strict=True)
    for row, column, step in each:
        if forbidden[row + reach, column + reach]:
            continue
        taken[row, column] = True
        disc = discs[step]
        half = len(disc) // 2
        top, left = row + reach - half, column + reach - half
        forbidden[top : top + len(disc), left : left + len(disc)] |= disc
    return taken


def _disc(radius: float) -> Mask:
    half = int(radius)
    away = np.arange(-half, half + 1)
    return np.asarray(away[:, np.newaxis] ** 2 + away**2 < max(radius, 0.5) ** 2)


def _exactly(mask: Mask, wanted: int, allowed: Mask, middle: Mask, random: np.random.Generator) -> Mask:
    """Leave out or put in points at random, outside of the middle."""
    exact, excess = mask.copy(), int(mask.sum()) - wanted
    choices = np.flatnonzero(mask & ~middle) if excess > 0 else np.flatnonzero(allowed & ~mask)
    changed = random.permutation(choices)[: abs(excess)]
    exact.flat[changed] = excess < 0
    return exact


def _radius(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Distance from the centre of k-space, 1 on the ellipse that touches its edges."""
    rows, columns = ((np.arange(size) - size // 2) / (size / 2) for size in shape)
    return np.asarray(np.hypot(rows[:, np.newaxis], columns))


def _middle(count: int, fraction: float) -> Mask:
    """Return the kept lines of the middle, placed as fastMRI does."""
    kept = round(count * fraction)
    first = (count - kept + 1) // 2
    lines = np.zeros(count, dtype=bool)
    lines[first : first + kept] = True
    return lines


def _seeded(seed: Seed) -> int | list[int]:
    return seed if isinstance(seed, int) else list(seed)
