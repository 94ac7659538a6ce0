"""The smooth cut: a clear score stays, single voxels go, and turning the input turns the answer."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from coread.imaging.smooth_cut import smooth_cut


def _ball(side: int = 20, radius: float = 6.0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    z, y, x = np.indices((side, side, side)) - (side - 1) / 2
    return np.where(z**2 + y**2 + x**2 <= radius**2, 1.0, -1.0).astype(np.float32)


def test_a_clear_score_is_kept() -> None:
    score = _ball()
    found = smooth_cut(score, np.full(score.shape, 0.3, np.float32))
    assert np.count_nonzero((found > 0.5) != (score > 0)) < 0.02 * np.count_nonzero(score > 0)


def test_voxels_that_contradict_all_their_neighbours_are_overruled() -> None:
    score = _ball()
    noisy = score.copy()
    random = np.random.default_rng(1)
    for place in random.integers(0, 20, (60, 3)):
        noisy[tuple(place)] *= -1
    found = smooth_cut(noisy, np.full(score.shape, 0.6, np.float32))
    assert np.count_nonzero((found > 0.5) != (score > 0)) < 0.05 * np.count_nonzero(score > 0)


@given(axes=st.permutations((0, 1, 2)), seed=st.integers(0, 100))
@settings(max_examples=8, deadline=None)
def test_exchanged_axes_give_the_exchanged_cut(axes: list[int], seed: int) -> None:
    score = np.random.default_rng(seed).normal(0, 1, (7, 8, 9)).astype(np.float32)
    weight = np.full(score.shape, 0.4, np.float32)
    straight = smooth_cut(score, weight, steps=30, settled=0.0)
    turned = smooth_cut(np.ascontiguousarray(score.transpose(axes)), weight.transpose(axes), steps=30, settled=0.0)
    assert np.allclose(turned, straight.transpose(axes), atol=1e-4)
