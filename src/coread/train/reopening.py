"""A shipped graph as a network that can go on learning: its folded batch norms are taken apart again.

An exported graph holds each batch norm folded into the convolution before it. What the norm did is measured anew on
images to learn from, so the reopened network says what the graph says and its norms are fit to learn with.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from torch import Tensor, nn

from coread.train.batches import in_unit_range
from coread.train.errors import BadPlan
from coread.train.networks import ReadingNetwork

_BATCH = 16
_LAYERS = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
_UNFOLDED = (nn.Conv2d, nn.Conv3d, nn.GroupNorm)


@dataclass(frozen=True, slots=True, eq=False)
class _Node:
    """One node of the graph that holds weights: its kind and its weights in the order of its inputs."""

    kind: str
    weights: tuple[NDArray[Any], ...]


def reopened(path: Path, network: ReadingNetwork, images: NDArray[np.uint8], *, member: int = 0) -> dict[str, Tensor]:
    """Return weights for ``network`` with which it says what one member of the graph at ``path`` says.

    ``images`` (N, C, rows, columns) are some to learn from. ``network`` is filled as well. Raises BadPlan where the
    graph is of another network or has no such member.

    Segmentation networks with group norms, of pictures or volumes, are filled as they are: nothing is folded in their
    graphs.
    """
    if any(isinstance(layer, nn.GroupNorm) for layer in network.modules()):
        return _with_group_norms(path, network, images, member)
    pixels = in_unit_range(torch.from_numpy(np.ascontiguousarray(images)))
    network.eval()
    layers = _order(network, pixels[:1])
    left = iter(_nodes(path))
    norms: list[nn.BatchNorm2d] = []
    for _ in range(member + 1):
        norms = _filled(layers, left, path.name)
    _measure(network, norms, pixels)
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _with_group_norms(path: Path, network: ReadingNetwork, images: NDArray[np.uint8], member: int) -> dict[str, Tensor]:
    """Fill convolutions and group norms in the order in which they are applied; a norm is a product and a sum."""
    layers = _order(network.eval(), in_unit_range(torch.from_numpy(np.ascontiguousarray(images[:1]))), _UNFOLDED)
    places: list[Tensor] = []
    for layer in layers:
        places.append(layer.weight)  # type: ignore[arg-type]
        places += [layer.bias] if getattr(layer, "bias", None) is not None else []  # type: ignore[list-item]
    values = list(_plain_weights(path, f"/members.{member}/"))
    # A graph that averages over the mirror image applies everything twice.
    if len(values) not in (len(places), 2 * len(places)):
        raise BadPlan(f"member {member} of {path.name} has {len(values)} weights, the network {len(places)}")
    for place, value in zip(places, values, strict=False):
        if value.size != place.numel() or (place.dim() > 1 and value.shape != tuple(place.shape)):
            raise BadPlan(f"{path.name} has weights {list(value.shape)} where the network has {list(place.shape)}")
        with torch.no_grad():
            place.copy_(torch.from_numpy(value.astype(np.float32)).reshape(place.shape))
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _plain_weights(path: Path, prefix: str) -> Iterator[NDArray[Any]]:
    """Yield the weights of the nodes below a prefix in the order of the graph: convolutions, products and sums."""
    from onnx import load, numpy_helper

    graph = load(str(path)).graph
    held = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    for node in graph.node:
        if node.op_type in ("Cast", "Identity") and node.input[0] in held:
            held[node.output[0]] = held[node.input[0]]
        elif node.name.startswith(prefix) and node.op_type == "Conv":
            yield from (held[name] for name in node.input[1:])
        elif node.name.startswith(prefix) and node.op_type in ("Mul", "Add"):
            # A norm's product and sum have one number for each channel; whatever else is added is no weight.
            yield from (held[name] for name in node.input if name in held and held[name].ndim in (3, 4))


class BeginWith(Callback):
    """Begins a fit with given weights of the whole network; one that goes on keeps its own."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._weights = weights

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Fill the network and its moving average."""
        if trainer.global_step == 0:
            pl_module.network.load_state_dict(dict(self._weights))
            pl_module.average.network.load_state_dict(dict(self._weights))


def _filled(layers: list[nn.Module], left: Iterator[_Node], name: str) -> list[nn.BatchNorm2d]:
    """Fill the layers with the next nodes; return the norms that were folded into the convolution before them."""
    norms: list[nn.BatchNorm2d] = []
    for number, layer in enumerate(layers):
        if layer in norms:
            continue
        node = next(left, None)
        if node is None:
            raise BadPlan(f"{name} has fewer layers, or fewer members, than is asked for")
        folded = _fill(layer, node, layers[number + 1 : number + 2])
        norms += [folded] if folded is not None else []
    return norms


def _order(
    network: ReadingNetwork, image: Tensor, kinds: tuple[type[nn.Module], ...] = _LAYERS
) -> list[nn.Module]:  # fmt: skip
    """Return the layers that hold weights in the order in which they are applied."""
    applied: list[nn.Module] = []
    hooks = [
        layer.register_forward_hook(lambda layer, _in, _out: applied.append(layer))
        for layer in network.modules()
        if isinstance(layer, kinds)
    ]
    with torch.inference_mode():
        network(image)
    for hook in hooks:
        hook.remove()
    return applied


def _nodes(path: Path) -> list[_Node]:
    """Return the nodes that hold weights in the order of the graph; those of the mirror image hold the same again."""
    from onnx import load, numpy_helper

    graph = load(str(path)).graph
    held = {one.name: (one.name, numpy_helper.to_array(one)) for one in graph.initializer}
    found: dict[tuple[str, ...], _Node] = {}
    for node in graph.node:
        if node.op_type in ("Cast", "Identity") and node.input[0] in held:
            held[node.output[0]] = held[node.input[0]]
        elif node.op_type in ("Conv", "BatchNormalization", "Gemm"):
            if not all(name in held for name in node.input[1:]):
                raise BadPlan(f"the weights of {node.name} in {path.name} are not stored as float32 or float16")
            weights = [held[name] for name in node.input[1:]]
            names = tuple(name for name, _ in weights)
            found.setdefault(names, _Node(node.op_type, tuple(value for _, value in weights)))
    return list(found.values())


def _fill(layer: nn.Module, node: _Node, following: list[nn.Module]) -> nn.BatchNorm2d | None:
    """Fill one layer; return the norm after it where the node holds both."""
    values = [torch.from_numpy(np.array(value, dtype=np.float32)) for value in node.weights]
    own: list[Tensor] = [layer.weight]  # type: ignore[list-item]
    own += [layer.bias] if getattr(layer, "bias", None) is not None else []  # type: ignore[list-item]
    if isinstance(layer, nn.BatchNorm2d):
        own += [layer.running_mean, layer.running_var]  # type: ignore[list-item]
    norm = following[0] if following and isinstance(following[0], nn.BatchNorm2d) else None
    folded = norm if len(values) == len(own) + 1 and isinstance(layer, nn.Conv2d) else None
    wanted = [*own, folded.bias] if folded is not None else own
    if [tuple(value.shape) for value in values] != [tuple(value.shape) for value in wanted]:
        raise BadPlan(
            f"a {node.kind} of the graph has the shapes {[list(v.shape) for v in values]}, not those of {layer}"
        )
    with torch.no_grad():
        for place, value in zip(wanted, values, strict=True):
            place.copy_(value)
        if folded is not None:
            _neutral(folded)
    return folded


def _neutral(norm: nn.BatchNorm2d) -> None:
    """Let a norm add its bias and nothing else."""
    norm.running_mean.zero_()  # type: ignore[union-attr]
    norm.running_var.fill_(1.0)  # type: ignore[union-attr]
    norm.weight.fill_((1.0 + norm.eps) ** 0.5)


def _measure(network: ReadingNetwork, norms: list[nn.BatchNorm2d], pixels: Tensor) -> None:
    """Give norms the mean and variance of what reaches them, and the scale and bias that undo both."""
    sums: dict[nn.BatchNorm2d, list[Tensor]] = {norm: [] for norm in norms}

    def note(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].double()
        moments = torch.stack([values.mean(dim=(0, 2, 3)), values.square().mean(dim=(0, 2, 3))])
        sums[norm].append(moments * len(values))  # type: ignore[index]

    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    with torch.inference_mode():
        for start in range(0, len(pixels), _BATCH):
            network(pixels[start : start + _BATCH])
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        for norm in norms:
            mean, square = torch.stack(sums[norm]).sum(dim=0) / len(pixels)
            variance = (square - mean**2).clamp(min=0)
            norm.running_mean.copy_(mean)  # type: ignore[union-attr]
            norm.running_var.copy_(variance)  # type: ignore[union-attr]
            norm.weight.copy_((variance + norm.eps).sqrt())
            norm.bias.copy_(norm.bias.double() + mean)
