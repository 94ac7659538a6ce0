"""Writes a trained network as an ONNX graph and proves that ONNX Runtime computes the same numbers."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from coread.train.errors import ExportDiffers
from coread.train.network import Network

OPSET = 17
_LARGE = 256
"""Weights with at least this many numbers are stored as float16."""


def fold_and_round(network: Network) -> Network:
    """Return a copy with every batch norm folded into the convolution before it and large weights rounded to float16.

    What is compared, measured and exported is this copy, so storing its weights as float16 changes nothing.
    """
    copied = copy.deepcopy(network).eval()
    for block in [module for module in copied.modules() if isinstance(module, nn.Sequential)]:
        for number in range(len(block) - 1):
            first, second = block[number], block[number + 1]
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                block[number], block[number + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    with torch.no_grad():
        for parameter in copied.parameters():
            if parameter.numel() >= _LARGE:
                parameter.copy_(parameter.half().float())
    return copied


def export_onnx(
    network: nn.Module, example: NDArray[np.float32], path: Path, *, input_name: str, output_names: Sequence[str]
) -> None:
    """Write the graph with a free batch axis; large weights are stored as float16 and cast when the graph is loaded."""
    from onnx import load_from_string, save

    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(".float32")
    names = [input_name, *output_names]
    try:
        torch.onnx.export(
            network.eval(),
            (torch.from_numpy(example),),
            str(whole),
            dynamo=False,
            opset_version=OPSET,
            input_names=[input_name],
            output_names=list(output_names),
            dynamic_axes={name: {0: "images"} for name in names},
        )
        graph = load_from_string(whole.read_bytes())
    finally:
        whole.unlink(missing_ok=True)
    _store_half(graph)
    graph.producer_name, graph.producer_version, graph.doc_string = "coread", "", "research use only"
    save(graph, str(path))


def worst_difference(
    network: nn.Module, path: Path, inputs: NDArray[np.float32], *, input_name: str, limit: float = 1e-4
) -> float:
    """Return the largest difference between torch and ONNX Runtime, as a share of values above 1.

    Raises ExportDiffers above ``limit``.
    """
    from coread.models.graphs import load_graph

    found = list(load_graph("onnxruntime", path.read_bytes(), 1).run({input_name: inputs}).values())
    with torch.inference_mode():
        wanted = [np.asarray(value) for value in network.eval()(torch.from_numpy(inputs))]
    worst = max(
        float((np.abs(one - other) / np.maximum(1.0, np.abs(other))).max())
        for one, other in zip(found, wanted, strict=True)
    )
    if not worst < limit:
        raise ExportDiffers(f"{path} differs from the trained network by {worst:.2e}, more than {limit:.0e}")
    return worst


def _store_half(graph: Any) -> None:
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for initializer in graph.graph.initializer:
        values = numpy_helper.to_array(initializer)
        if initializer.data_type != TensorProto.FLOAT or values.size < _LARGE:
            continue
        half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = initializer.name
        initializer.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.graph.node.insert(0, cast)
