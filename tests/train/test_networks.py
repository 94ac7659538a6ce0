"""One suite over every kind of network: every head, forward and backward, in two and three dimensions, and as ONNX."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from coread.models.graphs import load_graph
from coread.train.errors import BadPlan
from coread.train.exporting import export
from coread.train.fit import Fitted
from coread.train.networks import KINDS, NetworkPlan, build_encoder, build_network, encoder_weights
from coread.train.tasks import Boxes, Head, MultiClass, MultiLabel, Ordinal, Regression, Segmentation

HEADS_2D: tuple[Head, ...] = (
    MultiLabel("finding", ("a", "b", "c")),
    MultiClass("type", ("a", "b")),
    Ordinal("grade", ("a", "b", "c")),
    Regression("size", ("area",), centre=(5.0,), scale=(2.0,)),
    Segmentation("region", ("organ", "lesion")),
    Boxes("where", ("thing",)),
)
HEADS_3D = HEADS_2D[:5]
LARGE = (
    "densenet121",
    "resnet34",
    "resnet50",
    "efficientnet-b3",
    "efficientnet-b4",
    "efficientnet-b5",
    "efficientnet-b6",
)
SMALL_KINDS = [kind for kind in KINDS if kind not in (*LARGE, "efficientnet-b1", "efficientnet-b2", "efficientnet-b7")]
TWO = NetworkPlan(channels=1, shape=(32, 32), widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), map_width=8, dropout=0.0)
THREE = replace(TWO, shape=(32, 32, 32), channels=2)


def plan_for(kind: str, plan: NetworkPlan) -> NetworkPlan:
    if kind == "vit":
        return replace(plan, kind=kind, widths=(64,), depths=(2,), patch=8)
    if kind == "swinunetr":
        return replace(plan, kind=kind, shape=tuple(64 for _ in plan.shape), widths=(12, 24, 48, 96))
    return replace(plan, kind=kind)


def check(plan: NetworkPlan, heads: tuple[Head, ...]) -> None:
    torch.manual_seed(0)
    network = build_network(plan, heads)
    image = torch.rand(2, plan.channels, *plan.shape)
    values = torch.tensor([[1.0, float("nan")], [2.0, 3.0]]) if plan.covariates else None
    output = network(image, values)
    assert set(output) == {head.name for head in heads}
    for head in heads:
        found = output[head.name]
        assert found.shape[:2] == (2, head.channels())
        assert found.shape[2:] == {"vector": (), "mask": plan.shape, "boxes": found.shape[2:]}[head.place]
        assert torch.isfinite(found).all()
    sum(value.square().mean() for value in output.values()).backward()
    idle = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not idle, f"never learn: {idle[:3]}"


@pytest.mark.parametrize("kind", SMALL_KINDS)
def test_every_network_carries_every_head_in_two_dimensions(kind: str) -> None:
    check(plan_for(kind, TWO), HEADS_2D)


@pytest.mark.parametrize("kind", ["residual", "resnet10", "vit", "unet", "dynunet", "segresnet"])
def test_networks_carry_every_head_in_three_dimensions(kind: str) -> None:
    check(plan_for(kind, THREE), HEADS_3D)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in SMALL_KINDS])
def test_large_networks_carry_every_head(kind: str) -> None:
    check(plan_for(kind, TWO), HEADS_2D)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if not kind.startswith("efficientnet") or kind == "efficientnet-b0"]
)
def test_networks_carry_every_head_in_volumes(kind: str) -> None:
    check(plan_for(kind, THREE), HEADS_3D)


@pytest.mark.parametrize("stem_stride", [1, 2, 4])
@pytest.mark.parametrize("norm", ["batch", "group", "instance"])
def test_the_small_network_takes_colour_covariates_and_odd_sides(stem_stride: int, norm: str) -> None:
    check(replace(TWO, channels=3, shape=(28, 45), covariates=2, stem_stride=stem_stride, norm=norm), HEADS_2D)


QUICK_GRAPHS = [("residual", 2), ("residual", 3), ("vit", 2), ("unet", 2)]
GRAPHS = [
    (kind, dims) for kind in ("residual", "resnet10", "efficientnet-b0", "vit", "unet", "segresnet") for dims in (2, 3)
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "dims"),
    [pytest.param(*graph, marks=() if graph in QUICK_GRAPHS else pytest.mark.slow) for graph in GRAPHS],
)
def test_networks_become_graphs_that_say_the_same(kind: str, dims: int, tmp_path: Path) -> None:
    plan, heads = (TWO, HEADS_2D) if dims == 2 else (THREE, HEADS_3D)
    plan = replace(plan_for(kind, plan), covariates=2)
    torch.manual_seed(0)
    fitted = Fitted(build_network(plan, heads).eval(), heads, plan)
    report = export(fitted, tmp_path / "network.onnx", flips=True, storage="float16")
    assert report.difference < 1e-3
    assert report.inputs == ("image", "covariates")
    images = np.random.default_rng(1).random((3, plan.channels, *plan.shape), dtype=np.float32)
    values = np.array([[np.nan, 1], [2, 3], [4, np.nan]], dtype=np.float32)
    graph = load_graph("onnxruntime", (tmp_path / "network.onnx").read_bytes(), 1)
    found = graph.run({"image": images, "covariates": values})
    wanted = fitted.predict(images, values, flips=True)
    for name, value in wanted.items():
        assert np.allclose(found[name], value, atol=0.05 * max(1.0, float(np.abs(value).max()))), name


def test_an_encoder_is_the_same_inside_and_outside_a_network() -> None:
    network = build_network(TWO, HEADS_2D)
    alone = build_encoder(TWO)
    alone.load_state_dict(encoder_weights(network.state_dict()))
    image = torch.rand(1, 1, 32, 32)
    for own, other in zip(alone.eval()(image), network.encoder.eval()(image), strict=True):
        assert torch.allclose(own, other, atol=1e-5)


def test_a_missing_value_is_told_apart_from_the_mean() -> None:
    plan = replace(TWO, covariates=1)
    network = build_network(plan, HEADS_2D[:1]).eval()
    image = torch.rand(1, 1, 32, 32)
    missing, mean = (network(image, torch.tensor([[value]]))["finding"] for value in (float("nan"), 0.0))
    assert not torch.allclose(missing, mean)
    with pytest.raises(BadPlan, match="covariates"):
        network(image)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "guess"}, "one of"),
        ({"norm": "layer"}, "batch, group"),
        ({"stem_stride": 3}, "1, 2 or 4"),
        ({"depths": (1,)}, "equally many"),
    ],
)
def test_a_plan_that_cannot_be_built_says_why(changes: dict[str, object], words: str) -> None:
    with pytest.raises(BadPlan, match=words):
        replace(TWO, **changes)  # type: ignore[arg-type]


def test_a_plan_that_does_not_fit_the_data_says_why() -> None:
    with pytest.raises(BadPlan, match="data have 3 channels"):
        TWO.for_data(3, (32, 32), 0)
    with pytest.raises(BadPlan, match="multiples of"):
        NetworkPlan(kind="unet").for_data(1, (30, 30), 0)
    with pytest.raises(BadPlan, match="patch"):
        NetworkPlan(kind="vit", patch=16).for_data(1, (40, 40), 0)
    with pytest.raises(BadPlan, match="two spatial axes"):
        build_network(THREE, HEADS_2D)
    with pytest.raises(BadPlan, match="different names"):
        build_network(TWO, (HEADS_2D[0], HEADS_2D[0]))
