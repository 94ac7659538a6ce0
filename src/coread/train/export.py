"""Writes a trained network as an ONNX graph and proves that ONNX Runtime computes the same numbers."""

import copy
from collections.abc import Mapping, Sequence
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
"""Weights with at least this many numbers are stored smaller than float32."""
_FINE = 20_000
"""Convolutions with fewer numbers than this are rounded finely: the first layers matter most and take little room."""
_CONVOLUTION = 4
"""Axes of a convolution's weights: outputs, inputs, rows, columns."""
_STEPS = 127
"""Steps of an int8 on each side of zero."""


def fold_and_round(network: Network) -> Network:
    """Return a copy with every batch norm folded into the convolution before it and large weights rounded.

    Large convolutions are rounded to 255 steps per output channel; small ones, those of one channel each (depthwise)
    and other large weights to float16. What is compared, measured and exported is this copy, so storing its weights
    that small changes nothing.
    """
    copied = copy.deepcopy(network).eval()
    for block in [module for module in copied.modules() if isinstance(module, nn.Sequential)]:
        for number in range(len(block) - 1):
            first, second = block[number], block[number + 1]
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                block[number], block[number + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    with torch.no_grad():
        for parameter in copied.parameters():
            if parameter.dim() == _CONVOLUTION and parameter.numel() >= _FINE and parameter.shape[1] > 1:
                step = parameter.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12) / _STEPS
                parameter.copy_(torch.round(parameter / step) * step)
            elif parameter.numel() >= _LARGE:
                parameter.copy_(parameter.half().float())
    return copied


Inputs = Mapping[str, NDArray[np.float32]]
"""Arrays by the name of their input, in the order that the network takes them."""


def export_onnx(network: nn.Module, example: Inputs, path: Path, *, output_names: Sequence[str]) -> None:
    """Write the graph with a free batch axis; large weights are stored small and widened when it is loaded."""
    from onnx import load_from_string, save

    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(".float32")
    names = [*example, *output_names]
    try:
        torch.onnx.export(
            network.eval(),
            tuple(torch.from_numpy(values) for values in example.values()),
            str(whole),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(example),
            output_names=list(output_names),
            dynamic_axes={name: {0: "images"} for name in names},
        )
        graph = load_from_string(whole.read_bytes())
    finally:
        whole.unlink(missing_ok=True)
    store_small(graph)
    graph.producer_name, graph.producer_version, graph.doc_string = "coread", "", "research use only"
    save(graph, str(path))


def worst_difference(network: nn.Module, path: Path, inputs: Inputs, *, limit: float = 1e-4) -> float:
    """Return the largest difference between torch and ONNX Runtime, as a share of values above 1.

    Raises ExportDiffers above ``limit``.
    """
    from coread.models.graphs import load_graph

    found = list(load_graph("onnxruntime", path.read_bytes(), 1).run(inputs).values())
    with torch.inference_mode():
        wanted = [np.asarray(value) for value in network.eval()(*map(torch.from_numpy, inputs.values()))]
    worst = max(
        float((np.abs(one - other) / np.maximum(1.0, np.abs(other))).max())
        for one, other in zip(found, wanted, strict=True)
    )
    if not worst < limit:
        raise ExportDiffers(f"{path} differs from the trained network by {worst:.2e}, more than {limit:.0e}")
    return worst


def store_small(graph: Any) -> None:
    """Replace float32 weights by int8 (convolutions) or float16, where widening them gives the same numbers again."""
    from onnx import TensorProto, numpy_helper

    nodes: list[Any] = []
    added: list[Any] = []
    for initializer in graph.graph.initializer:
        values = numpy_helper.to_array(initializer)
        if initializer.data_type != TensorProto.FLOAT or values.size < _LARGE:
            continue
        if values.ndim == _CONVOLUTION:
            _as_steps(initializer, values, nodes, added)
        else:
            _as_half(initializer, values, nodes)
    graph.graph.initializer.extend(added)
    for node in reversed(nodes):
        graph.graph.node.insert(0, node)


def _as_half(initializer: Any, values: NDArray[np.float32], nodes: list[Any]) -> None:
    from onnx import TensorProto, helper, numpy_helper

    half = values.astype(np.float16)
    if np.array_equal(half.astype(np.float32), values):
        name = initializer.name
        initializer.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
        nodes.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))


def _as_steps(initializer: Any, values: NDArray[np.float32], nodes: list[Any], added: list[Any]) -> None:
    """Cast and multiply, not DequantizeLinear: every runtime folds these two into constants when it loads the graph."""
    from onnx import TensorProto, helper, numpy_helper

    step = np.maximum(np.abs(values).max(axis=(1, 2, 3), keepdims=True), 1e-12).astype(np.float32) / np.float32(_STEPS)
    counts = np.rint(values / step)
    if not np.allclose(counts * step, values, rtol=1e-6, atol=1e-9):
        _as_half(initializer, values, nodes)
        return
    name = initializer.name
    initializer.CopyFrom(numpy_helper.from_array(counts.astype(np.int8), f"{name}_counts"))
    added.append(numpy_helper.from_array(step, f"{name}_step"))
    nodes.append(helper.make_node("Cast", [f"{name}_counts"], [f"{name}_wide"], to=TensorProto.FLOAT))
    nodes.append(helper.make_node("Mul", [f"{name}_wide", f"{name}_step"], [name]))
