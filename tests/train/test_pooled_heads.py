"""Lines first, then every layer: what is exported was taught here, and says what the network says."""

from pathlib import Path

import numpy as np
import pytest
import torch

from coread.train import pooled_heads
from coread.train.errors import BadPlan
from coread.train.pooled_heads import (
    CrossTaught,
    PooledNetwork,
    TeachingPlan,
    cross_teach,
    export_pooled,
    logits_of,
    settle,
    teach,
)

PLAN = TeachingPlan(epochs=1, batch=4, pretrained=False)


def example(count: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    truth = np.tile([[0.0, 1.0], [1.0, np.nan], [1.0, 0.0]], (count // 3, 1)).astype(np.float32)
    images = random.integers(0, 120, (count, 3, 32, 32), dtype=np.uint8)
    images[truth[:, 0] > 0.5] += 100
    return images, truth, np.arange(count) % 2


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("taught")


@pytest.fixture(scope="module")
def taught(kept: Path) -> CrossTaught:
    return cross_teach(*example(), PLAN, kept)


def test_each_image_is_judged_by_a_network_that_did_not_learn_from_it(taught: CrossTaught, kept: Path) -> None:
    images, truth, folds = example()
    assert sorted(path.name for path in kept.glob("*.pt")) == ["all.pt", "without0.pt", "without1.pt"]
    aside, judge = folds == 1, PooledNetwork(2, pretrained=False)
    judge.load_state_dict(torch.load(kept / "without1.pt", weights_only=True))
    assert np.allclose(taught.crossed[aside], logits_of(judge, images[aside]), atol=1e-5)
    assert np.array_equal(taught.crossed, cross_teach(images, truth, folds, PLAN, kept).crossed)


def test_no_layer_is_left_out_of_the_learning() -> None:
    images, truth, _ = example()
    network = PooledNetwork(2, pretrained=False)
    before = {name: value.clone() for name, value in network.encoder.named_parameters()}
    teach(network, images, truth, PLAN)
    same = [
        name
        for name, value in network.encoder.named_parameters()
        if value.dim() > 1 and torch.equal(value, before[name])
    ]
    assert same == []


def test_the_graph_says_what_the_network_says(taught: CrossTaught, tmp_path: Path) -> None:
    images, _, _ = example()
    network = taught.network
    image = np.divide(images[:3], 255, dtype=np.float32)
    difference = export_pooled(network, tmp_path / "network.onnx", image, output="said")
    assert difference < 1e-3
    from coread.models.graphs import load_graph

    graph = load_graph("onnxruntime", (tmp_path / "network.onnx").read_bytes(), 1)
    found = graph.run({"image": image})["said"]
    mirrored = graph.run({"image": np.ascontiguousarray(image[..., ::-1])})["said"]
    assert np.allclose(found, mirrored, atol=1e-4)
    assert np.allclose(found, logits_of(network, images[:3]), atol=0.2)


def test_weights_of_another_project_are_not_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = PooledNetwork(1, pretrained=False)
    given = {name: value.clone() for name, value in network.encoder.state_dict().items()}
    monkeypatch.setattr(pooled_heads, "given_to_lite", lambda _: given)
    image = np.zeros((1, 3, 32, 32), dtype=np.float32)
    with pytest.raises(BadPlan, match="another project taught"):
        export_pooled(network, tmp_path / "network.onnx", image, output="said")


def test_one_channel_is_read_as_grey(tmp_path: Path) -> None:
    network = PooledNetwork(1, pretrained=False)
    grey = np.random.default_rng(2).integers(0, 255, (2, 1, 32, 32), dtype=np.uint8)
    assert np.allclose(logits_of(network, grey), logits_of(network, np.repeat(grey, 3, axis=1)), atol=1e-5)


def test_work_kept_from_other_images_is_not_taken_for_ones_own(taught: CrossTaught, kept: Path) -> None:
    images, truth, folds = example()
    assert len(taught.crossed) == len(images)
    with pytest.raises(BadPlan, match="choose another folder"):
        cross_teach(images[:9], truth[:9], folds[:9], PLAN, kept)


def test_settled_norms_have_the_means_of_these_images() -> None:
    images, _, _ = example()
    network = PooledNetwork(1, pretrained=False)
    settle(network, images)
    norm = network.encoder.stem[1]
    seen = network.encoder.stem[0](torch.from_numpy(images).float() / 255 * (255 / 128) - 127 / 128)
    assert isinstance(norm, torch.nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert torch.allclose(norm.running_mean, seen.mean(dim=(0, 2, 3)), atol=1e-3)
    assert not norm.training
