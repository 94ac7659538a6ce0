"""How the hippocampus network is set on crops that it did not learn from."""

from dataclasses import replace

import numpy as np
import pytest

from coread.readers.brain_volume.outputs import PARTS
from coread.readers.brain_volume.recipe import (
    HIPPOCAMPUS_HEADS,
    HIPPOCAMPUS_PLAN,
    OFFSETS,
    add_to_elsewhere,
    best_offset,
    mean_dice,
)
from coread.train.fit import Fitted
from coread.train.networks import build_network


def test_the_offset_takes_back_what_is_outlined_too_much() -> None:
    truth = np.zeros((2, 8, 8, 8), dtype=np.uint8)
    truth[:, 2:4, 2:6, 2:6], truth[:, 4:6, 2:6, 2:6] = 1, 2
    logits = np.zeros((2, 3, 8, 8, 8), dtype=np.float32)
    for part in (1, 2):
        logits[:, part][truth == part] = 4
    logits[:, 1][:, 1, 2:6, 2:6] = 1.1  # a rim that the network is less sure of
    offset = best_offset(logits, truth)
    assert offset in OFFSETS
    assert 1.1 < offset < 4
    assert best_offset(np.where(logits == 1.1, 0, logits).astype(np.float32), truth) <= 0


def test_the_mean_dice_counts_an_empty_mask_that_should_be_empty_as_right() -> None:
    truth = np.zeros((2, 2, 2, 2), dtype=np.bool_)
    truth[1, 0] = True
    said = truth.copy()
    said[1, 0, 0] = False
    assert mean_dice(said, truth) == pytest.approx((1 + 2 * 2 / 6) / 2)


def test_the_offset_becomes_part_of_the_network() -> None:
    plan = replace(HIPPOCAMPUS_PLAN.network, widths=(4, 4, 4, 4), map_width=4).for_data(1, (16, 16, 16), 0)
    fitted = Fitted(build_network(plan, HIPPOCAMPUS_HEADS).eval(), HIPPOCAMPUS_HEADS, plan)
    image = np.random.default_rng(0).random((1, 1, 16, 16, 16), dtype=np.float32)
    before = fitted.predict(image)[PARTS]
    add_to_elsewhere(fitted, 0.75)
    moved = fitted.predict(image)[PARTS] - before
    assert np.allclose(moved[:, 0], 0.75, atol=1e-5)
    assert np.allclose(moved[:, 1:], 0, atol=1e-5)
