"""A shipped graph is taken apart into a network that says the same and can go on learning."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from coread.train.arrays import ArraySet
from coread.train.augmenting import NO_AUGMENTATION
from coread.train.errors import BadPlan
from coread.train.exporting import export
from coread.train.fit import FitPlan, Fitted, fit
from coread.train.networks import NetworkPlan, ReadingNetwork, build_network
from coread.train.reopening import BeginWith, reopened
from coread.train.tasks import DenseBoxes, MultiClass, Segmentation

PLAN = NetworkPlan(
    kind="residual",
    channels=1,
    shape=(32, 32),
    widths=(8, 16),
    depths=(1, 1),
    map_width=8,
    standardise=False,
    dropout=0.0,
)
HEADS = (DenseBoxes("box", ("lesion",)), MultiClass("type", ("a", "b")))


def network(seed: int) -> ReadingNetwork:
    """Return a network whose norms do something, as those of a fitted one."""
    torch.manual_seed(seed)
    made = build_network(PLAN, HEADS)
    for layer in made.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
            nn.init.uniform_(layer.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(layer.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    return made.eval()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (24, 1, 32, 32), dtype=np.uint8)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "network.onnx"
    export([Fitted(network(seed), HEADS, PLAN) for seed in (1, 2)], path, flips=True)
    return path


@pytest.mark.parametrize("member", [0, 1])
def test_a_reopened_network_says_what_the_member_of_the_graph_says(
    graph: Path, images: np.ndarray, member: int
) -> None:
    wanted = Fitted(network(member + 1), HEADS, PLAN).predict(images)
    weights = reopened(graph, build_network(PLAN, HEADS), images, member=member)
    other = build_network(PLAN, HEADS)
    other.load_state_dict(weights)
    found = Fitted(other, HEADS, PLAN).predict(images)
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=2e-3, atol=2e-3)


def test_the_norms_of_a_reopened_network_fit_the_images_that_it_goes_on_with(graph: Path, images: np.ndarray) -> None:
    made = build_network(PLAN, HEADS)
    reopened(graph, made, images)
    pixels = torch.from_numpy(images).float() / 255
    with torch.inference_mode():
        said = made.eval().encoder(pixels)[0]
        learning = made.train().encoder(pixels)[0]
    assert float((said - learning).abs().mean()) < 0.02 * float(said.abs().mean())


def test_a_fit_begins_with_the_weights_it_is_given(graph: Path, images: np.ndarray, tmp_path: Path) -> None:
    weights = reopened(graph, build_network(PLAN, HEADS), images)
    box = np.array([[0, 4, 4, 20, 20]], dtype=np.float32)
    targets: dict[str, Any] = {"box": [box] * len(images), "type": np.arange(len(images)) % 2}
    data = ArraySet(images, targets, groups=list("abcdefghijklmnopqrstuvwx"), keys=list("abcdefghijklmnopqrstuvwx"))
    plan = FitPlan(
        epochs=1, batch=8, epoch_steps=1, learning_rate=1e-9, average_decay=0.0, augment=NO_AUGMENTATION, network=PLAN
    )
    fitted = fit(data, HEADS, replace(plan, weight_decay=0.0), tmp_path / "fit", watchers=[BeginWith(weights)])
    stored = fitted.network.state_dict()
    learned = [name for name, value in weights.items() if value.is_floating_point() and "running" not in name]
    assert all(torch.allclose(stored[name], weights[name], atol=1e-6) for name in learned)


def test_a_graph_of_another_network_or_without_such_a_member_is_refused(graph: Path, images: np.ndarray) -> None:
    with pytest.raises(BadPlan, match="shapes"):
        reopened(graph, build_network(replace(PLAN, map_width=12), HEADS), images)
    with pytest.raises(BadPlan, match="fewer members"):
        reopened(graph, build_network(PLAN, HEADS), images, member=2)


VOLUME_PLAN = replace(PLAN, channels=2, shape=(8, 8, 8), norm="group", stem_stride=2, map_stride=2)
AREA = (Segmentation("area", ("lesion",)),)


def volume_network(seed: int, plan: NetworkPlan = VOLUME_PLAN) -> Fitted:
    """Return a network of volumes whose group norms do something."""
    torch.manual_seed(seed)
    made = build_network(plan, AREA)
    for layer in made.modules():
        if isinstance(layer, nn.GroupNorm):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
    return Fitted(made.eval(), AREA, plan)


@pytest.mark.parametrize("flips", [False, True])
def test_networks_of_volumes_with_group_norms_are_reopened_member_by_member(tmp_path: Path, *, flips: bool) -> None:
    members = [volume_network(seed) for seed in (1, 2)]
    path = tmp_path / "network.onnx"
    export(members, path, flips=flips)
    shown = np.random.default_rng(5).integers(0, 256, (2, 2, 8, 8, 8), dtype=np.uint8)
    for number, member in enumerate(members):
        empty = build_network(VOLUME_PLAN, AREA)
        reopened(path, empty, shown, member=number)
        assert np.allclose(
            Fitted(empty, AREA, VOLUME_PLAN).predict(shown)["area"], member.predict(shown)["area"], atol=1e-4
        )


def test_a_network_of_volumes_of_another_shape_or_a_member_too_many_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    export([volume_network(1)], path)
    shown = np.zeros((1, 2, 8, 8, 8), dtype=np.uint8)
    with pytest.raises(BadPlan, match="weights"):
        reopened(path, build_network(VOLUME_PLAN, AREA), shown, member=1)
    wider = replace(VOLUME_PLAN, widths=(8, 24))
    with pytest.raises(BadPlan, match="where the network has"):
        reopened(path, build_network(wider, AREA), shown)
