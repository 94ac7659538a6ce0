"""``sbom.json``: the versions that made a package, as a CycloneDX 1.5 document.

It holds no times, so that locking twice gives the same bytes.
"""

import hashlib
import importlib.metadata
import json
import platform
from pathlib import Path

import coread
from coread.models.writing import write_json

SBOM = "sbom.json"
COMPONENTS = (
    "numpy", "onnx", "onnxruntime", "torch", "monai", "lightning", "scipy", "scikit-learn", "pydicom", "pillow",
)  # fmt: skip
"""What can change the numbers of a package; only what is installed is listed."""


def write_sbom(model_folder: Path, reader_id: str, version: str) -> Path:
    """List the program, the interpreter and the libraries that are installed now, and the graphs by their hash."""
    graphs = [
        {"type": "machine-learning-model", "name": path.name, "hashes": [{"alg": "SHA-256", "content": _sha256(path)}]}
        for path in sorted(model_folder.glob("*.onnx"))
    ]
    libraries = [_library(name) for name in COMPONENTS if _installed(name)]
    python = {"type": "platform", "name": platform.python_implementation(), "version": platform.python_version()}
    made_by = [_component("coread", coread.__version__), python]
    body = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": reader_id, "version": version}},
        "components": [*made_by, *libraries, *graphs],
    }
    return write_json(model_folder / SBOM, body)


def read_sbom(model_folder: Path) -> tuple[tuple[str, str], ...]:
    """Return (name, version or hash) of everything listed; nothing where there is no list."""
    path = model_folder / SBOM
    if not path.exists():
        return ()
    listed = json.loads(path.read_text(encoding="utf-8"))["components"]
    return tuple((str(item["name"]), str(item.get("version") or item["hashes"][0]["content"])) for item in listed)


def _library(name: str) -> dict[str, str]:
    return _component(name, importlib.metadata.version(name))


def _component(name: str, version: str) -> dict[str, str]:
    return {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{version}"}


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
