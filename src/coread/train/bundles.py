"""MONAI bundles as packages: metadata, preprocessing and network definition are read as data, never evaluated.

An expression (``$...``), a network or a step that is not in the lists below ends the import and is named.
"""

import importlib
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from coread.imaging.plan import PlannedRegion, VolumePlan
from coread.models.errors import BadImport
from coread.models.importing import Described, ImportedOutput, proved, whole_folder, write_volume_package
from coread.models.locking import Locked
from coread.train.importing import exported, key_of, read_weights

NETWORKS = {
    "UNet": "unet", "BasicUNet": "basic_unet", "DynUNet": "dynunet", "SegResNet": "segresnet", "VNet": "vnet",
    "AttentionUnet": "attentionunet", "UNETR": "unetr", "SwinUNETR": "swin_unetr",
}  # fmt: skip
"""Class in MONAI: module below ``monai.networks.nets``."""
_SILENT = frozenset({"LoadImaged", "EnsureChannelFirstd", "EnsureTyped", "SaveImaged", "Invertd", "AddChanneld"})
"""Steps that a plan does by itself."""
_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class _Bundle:
    """The two configuration files of a bundle."""

    folder: Path
    metadata: Mapping[str, Any]
    inference: Mapping[str, Any]

    def value(self, found: Any, where: str, depth: int = 0) -> Any:
        """Follow references to other places of the file; raises BadImport for an expression."""
        if isinstance(found, str) and found.startswith("$"):
            raise BadImport(f"{self.folder}: {where} is an expression ({found[:60]!r}) and is not evaluated.")
        if isinstance(found, str) and found.startswith("@"):
            if depth >= _DEEPEST:
                raise BadImport(f"{self.folder}: the references of {where} lead in a circle.")
            name = found[1:].replace("#", "::")
            target: Any = self.inference
            for part in name.split("::"):
                target = self._member(target, part, found)
            return self.value(target, name, depth + 1)
        if isinstance(found, list):
            return [self.value(item, where, depth) for item in found]
        if isinstance(found, dict):
            return {key: self.value(item, f"{where}.{key}", depth) for key, item in found.items()}
        return found

    def _member(self, target: Any, part: str, found: str) -> Any:
        if isinstance(target, dict) and part in target:
            return target[part]
        if isinstance(target, list) and part.isdigit() and int(part) < len(target):
            return target[int(part)]
        raise BadImport(f"{self.folder}: {found} leads nowhere.")


def import_bundle(folder: Path, out: Path, about: Described) -> Locked:
    """Make a package of a segmentation bundle; raises BadImport with what cannot be followed."""
    bundle = _Bundle(folder, _json(folder / "configs/metadata.json"), _json(folder / "configs/inference.json"))
    labels = _labels(bundle)
    plan = _plan(bundle, labels)
    network = _network(bundle)
    channels = _input_channels(bundle)
    blocks = np.random.default_rng(0).random((1, channels, *(-(-side // 8) for side in plan.roi)), dtype=np.float32)
    image = blocks.repeat(8, 2).repeat(8, 3).repeat(8, 4)[:, :, : plan.roi[0], : plan.roi[1], : plan.roi[2]]
    outputs = tuple(
        ImportedOutput(key_of(name), name, rule="present where its label stands") for name in labels.values()
    )
    with whole_folder(out) as whole:
        graph = exported(network, {plan.input: np.ascontiguousarray(image)}, whole, (plan.output,))
        write_volume_package(whole, graph, plan, _described(bundle, about), outputs, image)
    return proved(out)


def _plan(bundle: _Bundle, labels: Mapping[int, str]) -> VolumePlan:
    regions = tuple(PlannedRegion(key_of(name), label) for label, name in labels.items())
    plan = VolumePlan(regions, graph="network", input="image")
    for step in _steps(bundle, "preprocessing"):
        plan = _followed(bundle, plan, step)
    for step in _steps(bundle, "postprocessing"):
        name = _target(step)
        argmax = name == "AsDiscreted" and step.get("argmax") is True
        if name not in _SILENT and not argmax and not (name == "Activationsd" and step.get("softmax") is True):
            raise BadImport(f"{bundle.folder}: the step {name} after the network cannot be followed by a plan.")
    inferer = bundle.value(bundle.inference.get("inferer", {}), "inferer")
    if _target(inferer) != "SlidingWindowInferer" or inferer.get("mode", "constant") != "constant":
        raise BadImport(f"{bundle.folder}: only SlidingWindowInferer with equal weights can be followed by a plan.")
    roi = inferer.get("roi_size")
    if not isinstance(roi, list) or len(roi) != 3:
        raise BadImport(f"{bundle.folder}: inferer.roi_size must be three numbers.")
    return replace(plan, roi=tuple(int(side) for side in roi), overlap=float(inferer.get("overlap", 0.25)))


def _followed(bundle: _Bundle, plan: VolumePlan, step: Mapping[str, Any]) -> VolumePlan:
    """Add one step of the preprocessing to the plan."""
    name = _target(step)
    if name in _SILENT:
        return plan
    if name == "Orientationd":
        return replace(plan, orientation=str(step["axcodes"]))
    modes = step.get("mode", "bilinear")
    if name == "Spacingd" and (modes if isinstance(modes, str) else modes[0]) == "bilinear":
        return replace(plan, spacing_mm=tuple(float(value) for value in step["pixdim"]))
    if name == "ScaleIntensityRanged" and step.get("clip") is True:
        return replace(plan, window=tuple(float(step[key]) for key in ("a_min", "a_max", "b_min", "b_max")))
    raise BadImport(
        f"{bundle.folder}: the step {name} of the preprocessing cannot be followed by a plan. Write a reader."
    )


def _steps(bundle: _Bundle, name: str) -> list[dict[str, Any]]:
    found = bundle.inference.get(name, {})
    steps = found.get("transforms", []) if isinstance(found, dict) else None
    if not isinstance(steps, list) or (name == "preprocessing" and not steps):
        raise BadImport(f"{bundle.folder}: inference.json has no list {name}.transforms.")
    kept = []
    for number, step in enumerate(steps):
        # Where a result is saved and what the inverse is made of are expressions that a plan does not need.
        plain = step if _target(step) in _SILENT else bundle.value(step, f"{name}.{number}")
        if plain.get("_disabled_") is not True:
            kept.append(plain)
    return kept


def _network(bundle: _Bundle) -> nn.Module:
    script = bundle.folder / "models/model.ts"
    weights = bundle.folder / "models/model.pt"
    if not weights.is_file():
        return _scripted(script)
    definition = bundle.value(bundle.inference.get("network_def", {}), "network_def")
    name = _target(definition)
    if name not in NETWORKS:
        raise BadImport(f"{bundle.folder}: network {name!r} is not one of {', '.join(NETWORKS)}.")
    kind = getattr(importlib.import_module(f"monai.networks.nets.{NETWORKS[name]}"), name)
    arguments = {key: value for key, value in definition.items() if not key.startswith("_")}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old bundles use old names of arguments
            network: nn.Module = kind(**arguments)
        network.load_state_dict(read_weights(weights))
    except (TypeError, ValueError, RuntimeError) as problem:
        told = " ".join(str(problem).split())[:300]
        raise BadImport(
            f"{bundle.folder}: {name} with these arguments and weights cannot be built: {told}"
        ) from problem
    return network.eval()


def _scripted(path: Path) -> nn.Module:
    """Load a TorchScript archive: its operators are PyTorch's own, and it holds no Python objects."""
    if not path.is_file():
        raise BadImport(f"{path.parent} holds neither model.pt nor model.ts.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is being retired; bundles still come with it
            load: Callable[..., nn.Module] = torch.jit.load
            network = load(path, map_location="cpu")
    except (RuntimeError, ValueError) as problem:
        raise BadImport(f"{path} is no TorchScript archive: {' '.join(str(problem).split())[:200]}") from problem
    return network.eval()


def _labels(bundle: _Bundle) -> dict[int, str]:
    try:
        named = bundle.metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
        found = {int(number): str(name) for number, name in named.items() if int(number) > 0}
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise BadImport(f"{bundle.folder}: metadata.json names no output channels ({problem}).") from problem
    if not found or len({key_of(name) for name in found.values()}) != len(found):
        raise BadImport(f"{bundle.folder}: metadata.json must name each output channel differently.")
    return dict(sorted(found.items()))


def _input_channels(bundle: _Bundle) -> int:
    try:
        channels = int(bundle.metadata["network_data_format"]["inputs"]["image"]["num_channels"])
    except (KeyError, TypeError, ValueError) as problem:
        raise BadImport(f"{bundle.folder}: metadata.json does not say how many channels go in.") from problem
    if channels != 1:
        raise BadImport(f"{bundle.folder}: the network reads {channels} series at once; a plan gives one.")
    return channels


def _described(bundle: _Bundle, about: Described) -> Described:
    said = bundle.metadata
    limits = [
        f"Bundle version {said.get('version', 'not stated')}; its makers say: {said.get('description', 'nothing')}"
    ]
    if use := said.get("intended_use"):
        limits.append(f"Intended use in the words of its makers: {use}")
    data = str(said.get("data_source") or said.get("data_type") or about.training_data)
    name = about.name if about.name != about.reader_id else str(said.get("name") or said.get("task") or about.name)
    return replace(about, name=name[:64], training_data=data, limits=tuple(limits))


def _target(step: Any) -> str:
    return str(step.get("_target_", "")).rpartition(".")[2] if isinstance(step, dict) else ""


def _json(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise BadImport(f"{path} cannot be read as JSON: {problem}. Other forms of bundles are not read.") from problem
    if not isinstance(body, dict):
        raise BadImport(f"{path} is no JSON object.")
    return body
