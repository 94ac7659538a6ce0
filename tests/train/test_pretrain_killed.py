"""``coread pretrain`` killed with signal 9 in the middle goes on to the same encoder, bit for bit."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coread.models.lineage import read_record
from coread.train.heading import pretrain
from coread.train.networks import NetworkPlan
from coread.train.selfsupervised import ENCODER, SelfPlan

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


SMALL = NetworkPlan(widths=(4, 8), depths=(1, 1), stem_stride=2, map_stride=4, map_width=4)
PLAN = SelfPlan(network=SMALL, epochs=3, batch=8, patch=8, width=16)
KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from coread.train import heading
from tests.train.test_pretrain_killed import PLAN

class Killer(heading._Tell):
    def on_train_batch_end(self, trainer, *rest):
        if trainer.global_step == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

torch.set_num_threads(1)
heading._Tell = Killer
heading.pretrain([Path(sys.argv[1])], Path(sys.argv[2]), PLAN, side=16)
"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    random = np.random.default_rng(1)
    for number in range(24):
        Image.fromarray(random.integers(0, 255, (20, 20), np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("step", ["5", pytest.param("3", marks=pytest.mark.slow)])
def test_a_pretraining_that_was_killed_goes_on_to_the_same_encoder(pictures: Path, tmp_path: Path, step: str) -> None:
    whole = pretrain([pictures], tmp_path / "whole", PLAN, side=16)
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(pictures), str(tmp_path / "killed"), step]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == -9, done.stderr
    assert not (tmp_path / "killed" / ENCODER).exists()
    resumed = pretrain([pictures], tmp_path / "killed", PLAN, side=16)
    assert all(bool((resumed.weights[name] == value).all()) for name, value in whole.weights.items())
    assert [dict(row) for row in resumed.history] == [dict(row) for row in whole.history]
    assert len(resumed.history) == PLAN.epochs
    assert read_record(tmp_path / "killed").outputs[ENCODER] == read_record(tmp_path / "whole").outputs[ENCODER]


def test_the_plan_of_the_test_is_not_too_short_to_tell(pictures: Path, tmp_path: Path) -> None:
    once = pretrain([pictures], tmp_path / "once", PLAN, side=16)
    other = pretrain([pictures], tmp_path / "other", replace(PLAN, seed=3), side=16)
    assert any(bool((other.weights[name] != value).any()) for name, value in once.weights.items())
