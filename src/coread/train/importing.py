"""Weights from elsewhere as ONNX packages. Only plain tensors are ever read: safetensors, or a checked state dict.

A file that needs unpickling of other objects (a whole saved model) is refused: unpickling runs its author's code.
"""

import json
import math
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError  # the error alone; nothing is unpickled but tensors

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coread.domain.codes import Code
from coread.imaging.plan import PlanarPlan, PlannedOutput
from coread.models.errors import BadImport
from coread.models.importing import Described, ImportedOutput, proved, whole_folder, write_graph_package
from coread.models.locking import Locked
from coread.train.export import export_onnx, worst_difference

XRV_LABELS = (
    "Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema", "Fibrosis", "Effusion",
    "Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule", "Mass", "Hernia", "Lung Lesion", "Fracture",
    "Lung Opacity", "Enlarged Cardiomediastinum",
)  # fmt: skip
"""Order of the outputs of the 18-output classifiers of torchxrayvision (its documentation: default_pathologies)."""
XRV_CONCEPTS = {
    "Pneumothorax": Code("36118008", "SCT", "Pneumothorax"),
    "Effusion": Code("60046008", "SCT", "Pleural effusion"),
    "Cardiomegaly": Code("8186001", "SCT", "Cardiomegaly"),
    "Atelectasis": Code("46621007", "SCT", "Atelectasis"),
    "Pneumonia": Code("233604007", "SCT", "Pneumonia"),
    "Nodule": Code("27925004", "SCT", "Nodule"),
}
"""Labels with one plain SNOMED CT concept; the others keep a code of their own."""
_SIDE = 224
_SCALE = 1024.0
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}
_MOST_BYTES = 4 << 30


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read named tensors from .safetensors or a state dict; raises BadImport for anything else."""
    try:
        if path.suffix == ".safetensors":
            return _safetensors(path.read_bytes())
        if not zipfile.is_zipfile(path):
            with path.open("rb"):
                raise BadImport(f"{path} is no archive of torch.save (a bare pickle?) and is not opened.")
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as problem:
        raise BadImport(f"{path} cannot be read: {problem.strerror}.") from problem
    except UnpicklingError as problem:
        raise BadImport(
            f"{path} holds more than tensors (a whole saved model?) and is not opened: that would run its author's "
            "code. Where it is trusted, save model.state_dict() instead and import that."
        ) from problem
    except (RuntimeError, ValueError, EOFError, KeyError, TypeError) as problem:
        raise BadImport(f"{path} holds no weights that can be read: {problem}.") from problem
    return _tensors(path, found)


def import_torchxrayvision(weights: Path, out: Path, about: Described, labels: Sequence[str] = XRV_LABELS) -> Locked:
    """Make a package of a torchxrayvision DenseNet-121 classifier at 224 pixels; empty labels are left out."""
    state = read_weights(weights)
    thresholds = state.pop("op_threshs", torch.full((len(labels),), math.nan)).flatten().tolist()
    network = densenet(state, len(labels))
    named = [(index, label) for index, label in enumerate(labels) if label]
    outputs = tuple(_xrv_output(label, thresholds[index]) for index, label in named)
    plan = PlanarPlan(
        outputs=tuple(PlannedOutput(key_of(label), "logits", index) for index, label in named),
        rows=_SIDE,
        columns=_SIDE,
        fit="centre crop",
        low=-_SCALE,
        high=_SCALE,
    )
    example = {plan.input: np.random.default_rng(0).uniform(-_SCALE, _SCALE, (2, 1, _SIDE, _SIDE)).astype(np.float32)}
    with whole_folder(out) as folder:
        write_graph_package(folder, exported(network, example, folder, ("logits",)), plan, about, outputs)
    return proved(out)


class OneOutput(nn.Module):
    """A network whose only output comes as a tuple, as the exporter's proof compares them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """Return the one output."""
        return (self.network(image),)


def exported(
    network: nn.Module, example: Mapping[str, NDArray[np.float32]], folder: Path, output_names: Sequence[str]
) -> bytes:
    """Return the network as an ONNX graph that was proved to give the same numbers."""
    graph = folder / "graph.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of itself and of every constant; the proof is what counts
        # A scripted network cannot be called from a traced one; it is exported as it is.
        traced = network if isinstance(network, torch.jit.ScriptModule) else OneOutput(network)
        export_onnx(traced, example, graph, output_names=output_names)
    worst_difference(OneOutput(network), graph, example, limit=1e-3)
    data = graph.read_bytes()
    graph.unlink()
    return data


def key_of(label: str) -> str:
    """Return the output key of a label: lower case letters, digits and underscores."""
    key = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in label.lower()).strip("_")
    return (key if key[:1].isalpha() else f"output_{key}")[:40]


def _xrv_output(label: str, threshold: float) -> ImportedOutput:
    name, concept = label.replace("_", " "), XRV_CONCEPTS.get(label)
    if math.isfinite(threshold) and 0.0 < threshold < 1.0:
        return ImportedOutput(key_of(label), name, concept, threshold, "published with the weights (op_threshs)")
    return ImportedOutput(key_of(label), name, concept)


def densenet(state: Mapping[str, Tensor], classes: int) -> nn.Module:
    """Build MONAI's DenseNet-121 and fill it with weights in the layout of torchvision and torchxrayvision."""
    from monai.networks.nets.densenet import DenseNet121

    network = DenseNet121(spatial_dims=2, in_channels=1, out_channels=classes)
    renamed = {_monai_name(name): value for name, value in state.items()}
    try:
        network.load_state_dict(renamed)
    except RuntimeError as problem:
        told = " ".join(str(problem).split())[:300]
        raise BadImport(f"these are not the weights of a DenseNet-121 with {classes} outputs: {told}") from problem
    return network.eval()


def _monai_name(name: str) -> str:
    if name.startswith("classifier."):
        return name.replace("classifier.", "class_layers.out.", 1)
    parts = name.split(".")
    if len(parts) > 3 and parts[2].startswith("denselayer") and parts[3] != "layers":
        parts.insert(3, "layers")
    return ".".join(parts)


def _tensors(path: Path, found: object) -> dict[str, Tensor]:
    if isinstance(found, Mapping):
        for key in ("state_dict", "model", "model_state_dict"):
            inner = found.get(key)
            if isinstance(inner, Mapping):
                found = inner
                break
    if not isinstance(found, Mapping) or not found or not all(isinstance(item, Tensor) for item in found.values()):
        raise BadImport(f"{path} is no state dict: it must map names to tensors.")
    return {str(name).removeprefix("module."): value for name, value in found.items()}


def _safetensors(data: bytes) -> dict[str, Tensor]:
    """Parse the format: 8 bytes of length, a JSON table, then the numbers (https://huggingface.co/docs/safetensors)."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 0 < length <= len(data) - 8 or len(data) > _MOST_BYTES:
        raise ValueError("no safetensors file")
    table = json.loads(data[8 : 8 + length])
    table.pop("__metadata__", None)
    body = data[8 + length :]
    found = {}
    for name, item in table.items():
        start, end = item["data_offsets"]
        kind = np.dtype(_FLOATS[item["dtype"]])
        if not 0 <= start <= end <= len(body) or (end - start) != kind.itemsize * math.prod(item["shape"]):
            raise ValueError(f"tensor {name!r} does not lie in the file")
        found[str(name)] = torch.from_numpy(np.frombuffer(body[start:end], kind).reshape(item["shape"]).copy())
    return found
