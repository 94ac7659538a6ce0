"""Masks of which only part is known: what is somewhere pulls its highest pixels up, what is unknown teaches nothing."""

import numpy as np
import pytest
import torch

from coread.train.arrays import ArraySet
from coread.train.errors import BadTarget
from coread.train.saying import prediction_rows
from coread.train.tasks import WeakSegmentation, head_from_json, head_to_json
from coread.train.weak_places import SOMEWHERE, UNKNOWN

HEAD = WeakSegmentation("blood", ("blood",), highest=4)


def gradient(target: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> torch.Tensor:
    """Return the gradient of the loss by logits (1, 1, 8, 8) of which one pixel, (2, 2), is the highest."""
    logits = torch.zeros(1, 1, 8, 8)
    logits[0, 0, 2, 2] = 1.0
    logits.requires_grad_(True)
    HEAD.loss(logits, torch.from_numpy(target[np.newaxis]), (8, 8)).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    return logits.grad[0, 0]


def test_somewhere_lifts_the_highest_pixels_inside_and_no_others() -> None:
    target = np.full((8, 8), UNKNOWN, dtype=np.uint8)
    target[:4] = SOMEWHERE
    pulled = gradient(target)
    assert pulled[2, 2] < 0
    assert int((pulled < 0).sum()) == HEAD.highest
    assert not pulled[4:].any()


def test_what_is_unknown_teaches_nothing() -> None:
    assert not gradient(np.full((8, 8), UNKNOWN, dtype=np.uint8)).any()


def test_a_quiet_image_is_pushed_down_most_where_it_is_highest() -> None:
    pushed = gradient(np.zeros((8, 8), dtype=np.uint8))
    assert (pushed > 0).all()
    assert pushed.argmax() == 2 * 8 + 2


def test_drawn_places_are_lifted_and_what_is_beside_them_is_pushed_down() -> None:
    target = np.zeros((8, 8), dtype=np.uint8)
    target[5:7, 5:7] = 1
    learnt = gradient(target)
    assert (learnt[5:7, 5:7] < 0).all()
    assert (learnt[:4] > 0).all()


def test_somewhere_counts_as_unknown_when_masks_are_scored() -> None:
    target = torch.full((1, 8, 8), SOMEWHERE, dtype=torch.uint8)
    assert not HEAD.rows(torch.zeros(1, 1, 8, 8), target, (8, 8))[0][1]


def test_other_values_and_other_classes_are_refused() -> None:
    with pytest.raises(BadTarget, match="holds 7"):
        HEAD.check(np.full((1, 2, 2), 7, dtype=np.uint8), ["one"])
    with pytest.raises(BadTarget, match="learns one"):
        WeakSegmentation("two", ("a", "b")).check(np.zeros((1, 2, 2), dtype=np.uint8), ["one"])


def test_the_head_is_plain_data() -> None:
    assert head_from_json(head_to_json(HEAD)) == HEAD


def test_an_image_that_shows_it_somewhere_counts_as_showing_it_in_the_predictions() -> None:
    masks = np.zeros((3, 8, 8), dtype=np.uint8)
    masks[0, :4], masks[1] = SOMEWHERE, UNKNOWN
    data = ArraySet(np.zeros((3, 1, 8, 8), dtype=np.uint8), {"blood": masks}, ["a", "b", "c"], ["1", "2", "3"])
    said = {"blood": np.zeros((3, 1, 8, 8), dtype=np.float32)}
    truth = [row[4] for row in prediction_rows([HEAD], said, data, ["test"] * 3)]
    assert truth[::2] == [1.0, 0.0]
    assert np.isnan(truth[1])
