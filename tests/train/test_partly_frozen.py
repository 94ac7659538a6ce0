"""The frozen beginning of an encoder stays as it was, batch statistics included; the rest learns."""

from pathlib import Path

import numpy as np
import pytest
import torch

from coread.train.arrays import ArraySet
from coread.train.augmenting import NO_AUGMENTATION
from coread.train.errors import BadPlan
from coread.train.fit import FitPlan, fit
from coread.train.networks import NetworkPlan, build_network
from coread.train.partly_frozen import FrozenBeginning
from coread.train.tasks import MultiLabel

HEADS = [MultiLabel("finding", ("a",))]
PLAN = FitPlan(
    epochs=1, batch=4, augment=NO_AUGMENTATION, network=NetworkPlan(kind="efficientnet-lite0-s32"), average_decay=0
)


def data() -> ArraySet:
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (8, 1, 32, 32), dtype=np.uint8)
    names = [str(number) for number in range(8)]
    return ArraySet(images, {"finding": np.tile([[0.0], [1.0]], (4, 1)).astype(np.float32)}, names, names)


def test_the_beginning_stays_and_the_rest_learns(tmp_path: Path) -> None:
    start = build_network(PLAN.network.for_data(1, (32, 32), 0), HEADS).encoder.state_dict()
    fitted = fit(data(), HEADS, PLAN, tmp_path, encoder=start, watchers=[FrozenBeginning(3)])
    after = fitted.network.encoder.state_dict()
    frozen = [name for name in start if name.startswith(("stem.", "stages.0.", "stages.1.", "stages.2."))]
    assert all(torch.equal(start[name], after[name]) for name in frozen)
    assert any(not torch.equal(start[name], after[name]) for name in start if name not in frozen)


def test_more_stages_than_there_are_cannot_be_frozen(tmp_path: Path) -> None:
    with pytest.raises(BadPlan, match="has 7 stages"):
        fit(data(), HEADS, PLAN, tmp_path, watchers=[FrozenBeginning(8)])
