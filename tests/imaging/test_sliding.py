"""The sliding window against MONAI's, and its memory; labels from streamed scores against skimage's resize."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.inferers.utils import sliding_window_inference
from numpy.typing import NDArray
from skimage.transform import resize as untyped_resize

from coread.imaging.class_export import half_pixel_places, labels_from
from coread.imaging.sliding import EQUAL, GAUSSIAN, Sliding, score_slabs

Floats = NDArray[np.float32]
resize: Any = untyped_resize


def noise(shape: tuple[int, ...], seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


@pytest.mark.parametrize("weights", [EQUAL, GAUSSIAN])
@pytest.mark.parametrize(
    ("shape", "size", "overlap"),
    [
        ((20, 18, 22), (8, 8, 8), 0.5),
        ((9, 24, 20), (16, 16, 4), 0.25),
        ((7, 9, 5), (16, 16, 16), 0.25),
        ((13, 8, 9), (4, 8, 9), 0.0),
    ],
)
def test_scores_are_those_of_monai(
    shape: tuple[int, int, int], size: tuple[int, int, int], overlap: float, weights: str
) -> None:
    torch.manual_seed(0)
    network = torch.nn.Conv3d(1, 3, 3, padding=1).eval()
    values = noise(shape)

    def scores_of(window: Floats) -> Floats:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(window)[None, None])[0])

    ours = np.concatenate(list(score_slabs(values, Sliding(size, overlap, weights), scores_of)), axis=1)
    mode = {EQUAL: "constant", GAUSSIAN: "gaussian"}[weights]
    with torch.inference_mode():
        theirs = sliding_window_inference(torch.from_numpy(values)[None, None], size, 1, network, overlap, mode)
    assert ours.shape == (3, *shape)
    assert np.asarray(theirs)[0] == pytest.approx(ours, abs=1e-5)


def test_memory_is_bounded_by_the_window_and_not_by_the_volume() -> None:
    sliding = Sliding((8, 32, 32), 0.25)

    def peak(depth: int) -> int:
        values = np.zeros((depth, 64, 64), dtype=np.float32)
        tracemalloc.start()
        for slab in score_slabs(values, sliding, lambda window: np.stack([window] * 20)):
            assert slab.shape[1] <= 8
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(200) < 1.1 * peak(40)


def test_windows_of_air_are_not_read_and_get_their_scores() -> None:
    values = np.full((4, 8, 16), -1000.0, dtype=np.float32)
    values[:, :, 9:] = 40.0
    read: list[Floats] = []

    def scores_of(window: Floats) -> Floats:
        read.append(window)
        return np.stack([window, window])

    sliding = Sliding((4, 8, 8), 0.0, empty_below=-900.0, empty_scores=(5.0, -5.0))
    scores = np.concatenate(list(score_slabs(values, sliding, scores_of)), axis=1)
    assert len(read) == 1
    assert (scores[0, :, :, :8] == 5.0).all()
    assert (scores[1, :, :, :8] == -5.0).all()
    assert (scores[:, :, :, 8:] == values[:, :, 8:]).all()


def test_what_cannot_slide_is_an_error() -> None:
    for wrong in (((0, 4, 4), 0.2), ((4, 4, 4), 1.0)):
        with pytest.raises(ValueError, match="a window of"):
            Sliding(*wrong)
    with pytest.raises(ValueError, match="not read"):
        Sliding((4, 4, 4), empty_below=0.0)
    with pytest.raises(ValueError, match="without voxels"):
        next(score_slabs(np.zeros((0, 4, 4), np.float32), Sliding((4, 4, 4)), lambda window: window[None]))
    with pytest.raises(ValueError, match="scores of shape"):
        next(score_slabs(np.zeros((4, 4, 4), np.float32), Sliding((4, 4, 4)), lambda window: window))
    with pytest.raises(ValueError, match="not finite"):
        next(score_slabs(np.zeros((4, 4, 4), np.float32), Sliding((4, 4, 4)), lambda window: window[None] + np.nan))


def in_slabs(scores: Floats, depth: int) -> Iterator[Floats]:
    for start in range(0, scores.shape[1], depth):
        yield scores[:, start : start + depth]


@given(st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(1, 14)] * 3), st.integers(2, 6), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_labels_are_those_of_interpolating_every_class(
    source: tuple[int, int, int], size: tuple[int, int, int], classes: int, depth: int
) -> None:
    scores = noise((classes, *source), seed=classes)
    scores[0] += 1.0
    whole = np.stack([resize(one, size, order=1, mode="edge", anti_aliasing=False) for one in scores])
    at = [half_pixel_places(*pair) for pair in zip(size, source, strict=True)]
    labels = labels_from(in_slabs(scores, depth), (at[0], at[1], at[2]))
    best = np.sort(whole, axis=0)[-1]
    chosen = np.take_along_axis(whole, labels[None].astype(np.int64), axis=0)[0]
    assert chosen == pytest.approx(best, abs=1e-5)  # where two classes tie, either is the largest


def test_scores_that_end_early_and_places_that_descend_are_errors() -> None:
    scores = noise((2, 4, 3, 3))
    inside = np.arange(3.0)
    with pytest.raises(ValueError, match="end before"):
        labels_from(in_slabs(scores, 2), (np.array([0.0, 3.5]), inside, inside))
    with pytest.raises(ValueError, match="ascend"):
        labels_from(in_slabs(scores, 2), (np.array([1.0, 0.5]), inside, inside))
    with pytest.raises(ValueError, match="end before"):
        labels_from(iter(()), (np.array([0.0]), inside, inside))
