"""One or several fitted networks as one ONNX graph, proved equal in ONNX Runtime, weights stored small if wished."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coread.train.efficientnet_lite import LiteEncoder
from coread.train.errors import BadPlan
from coread.train.export import export_onnx, store_small, worst_difference
from coread.train.fit import Fitted, said
from coread.train.networks import ReadingNetwork
from coread.train.own_weights import given_to_lite, require_trained

Storage = Literal["float32", "float16", "int8"]
"""How large weights are stored; they are widened to float32 when the graph is loaded. int8 has one step per channel."""
_LARGE = 256
_STEPS = 127


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What the graph is and how far it is from the networks it was made of."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    difference: float
    """Largest difference to torch before the weights were rounded, as a share of values above 1."""
    rounding: float
    """Largest difference that storing the weights small made to the outputs."""
    size: int
    """Bytes."""


class MeanNetwork(nn.Module):
    """The mean over several networks, and over an image and its mirror image if wished; outputs in the heads' order."""

    def __init__(self, members: Sequence[Fitted], *, flips: bool) -> None:
        super().__init__()
        self.members = nn.ModuleList([member.network for member in members])
        self.heads, self.flips = members[0].heads, flips

    def forward(self, image: Tensor, covariates: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return one raw output per head."""
        each = [
            said(cast(ReadingNetwork, member), self.heads, image, covariates, flips=self.flips)
            for member in self.members
        ]
        return tuple(torch.stack([output[head.name] for output in each]).mean(dim=0) for head in self.heads)


def export(
    fitted: Fitted | Sequence[Fitted],
    path: Path,
    *,
    flips: bool = False,
    storage: Storage = "float32",
    limit: float = 1e-3,
) -> ExportReport:
    """Write the graph: input ``image`` float32 (N, C, *spatial) in [0, 1] (and ``covariates``), one output per head.

    Raises ExportDiffers when ONNX Runtime gives other numbers than torch. What rounding the weights changes is
    measured and returned; the graph as written is what is to be validated.
    """
    members = [fitted] if isinstance(fitted, Fitted) else list(fitted)
    if any((member.plan, member.heads) != (members[0].plan, members[0].heads) for member in members[1:]):
        members = _same_or_refuse(members)
    for member in members:
        if isinstance(member.network.encoder, LiteEncoder):
            encoder = member.network.encoder
            require_trained(encoder.state_dict(), given_to_lite(len(encoder.taps)))
    network = MeanNetwork(members, flips=flips).eval()
    plan = members[0].plan
    random = np.random.default_rng(0)
    inputs = {"image": random.random((3, plan.channels, *plan.shape), dtype=np.float32)}
    if plan.covariates:
        inputs["covariates"] = random.normal(size=(3, plan.covariates)).astype(np.float32)
        inputs["covariates"][0, 0] = np.nan
    names = tuple(head.name for head in members[0].heads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of every constant it makes; the proof below is what counts
        # Traced with two images and proved with three: the batch axis is free.
        export_onnx(network, {name: values[:2] for name, values in inputs.items()}, path, output_names=names)
    difference = worst_difference(network, path, inputs, limit=limit)
    rounding = 0.0 if storage == "float32" else _round(path, inputs, storage)
    return ExportReport(tuple(inputs), names, difference, rounding, path.stat().st_size)


def _same_or_refuse(members: list[Fitted]) -> list[Fitted]:
    """Members fitted on different parts differ in class weights; shape, names and order of the heads must agree."""
    first = [(head.name, head.place, head.channels()) for head in members[0].heads]
    for member in members[1:]:
        if [(head.name, head.place, head.channels()) for head in member.heads] != first:
            raise BadPlan("the networks to average have different heads")
        if (member.plan.channels, member.plan.shape) != (members[0].plan.channels, members[0].plan.shape):
            raise BadPlan("the networks to average read images of different shapes")
    return members


def _round(path: Path, inputs: dict[str, NDArray[np.float32]], storage: Storage) -> float:
    from onnx import load, save

    from coread.models.graphs import load_graph

    before = load_graph("onnxruntime", path.read_bytes(), 1).run(inputs)
    graph = load(str(path))
    round_weights(graph, storage)
    store_small(graph)
    beside = path.with_name(f".{path.name}.part")
    save(graph, str(beside))
    beside.replace(path)
    after = load_graph("onnxruntime", path.read_bytes(), 1).run(inputs)
    return max(
        float((np.abs(after[name] - value) / np.maximum(1.0, np.abs(value))).max()) for name, value in before.items()
    )


def round_weights(graph: Any, storage: Storage) -> None:
    """Round large weights in place so that they can be stored as float16 or (convolutions in 2D) as int8 counts."""
    from onnx import TensorProto, numpy_helper

    for initializer in graph.graph.initializer:
        values = numpy_helper.to_array(initializer)
        if initializer.data_type != TensorProto.FLOAT or values.size < _LARGE:
            continue
        if storage == "int8" and values.ndim == 4:
            step = np.maximum(np.abs(values).max(axis=(1, 2, 3), keepdims=True), 1e-12).astype(np.float32)
            step = step / np.float32(_STEPS)
            rounded = (np.rint(values / step) * step).astype(np.float32)
        else:
            rounded = values.astype(np.float16).astype(np.float32)
        initializer.CopyFrom(numpy_helper.from_array(rounded, initializer.name))
