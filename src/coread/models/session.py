"""Open a locked package for inference: verify every byte, then load exactly the bytes that were verified."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import Misconfigured
from coread.domain.reading import Arrays
from coread.models.calibration import Calibration, calibration_from_json
from coread.models.engines import ENGINES, EngineChoice, choose_engine
from coread.models.errors import DamagedPackage, InferenceFailed, UnloadableGraph
from coread.models.graphs import Graph, load_graph, runtime_name
from coread.models.package import PARAMETERS, PROCESS, ModelPackage, verify_package
from coread.models.process import GRAPH, ProcessGraph, process_from_json

CALIBRATION = "calibration.json"
_NUMPY = f"numpy {np.__version__}"


class PackageSession:
    """A loaded, verified package; the ModelSession that readers are given."""

    def __init__(
        self, package: ModelPackage, graphs: dict[str, Graph], choice: EngineChoice, runtime: str = ""
    ) -> None:
        self.package = package
        self.choice = choice
        self._graphs = graphs
        self._runtime = runtime or runtime_name(choice.engine)
        has_calibration = CALIBRATION in package.names()
        self._calibration = calibration_from_json(package.read(CALIBRATION)) if has_calibration else Calibration()
        self._parameters = _parameters_of(package)

    @property
    def digest(self) -> str:
        """SHA-256 over the whole package."""
        return self.package.digest

    @property
    def runtime(self) -> str:
        """Inference engine and version."""
        return self._runtime

    def run(self, graph: str, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run one graph of the package by its file name without ``.onnx``."""
        if graph not in self._graphs:
            raise InferenceFailed(f"the package has no graph {graph!r}; it has {', '.join(sorted(self._graphs))}")
        return self._graphs[graph].run(inputs)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The numbers of ``parameters.json`` in the package; empty where it has none."""
        return self._parameters

    def calibrate(self, key: str, logit: float) -> float:
        """Turn a raw logit of the output ``key`` into a calibrated probability in [0, 1]."""
        return self._calibration.probability(key, float(logit))


def open_session(
    package_folder: Path,
    card_path: Path,
    threads: int = 1,
    engine: str = "auto",
    *,
    cache: Path | None = None,
    programs: Sequence[Path] = (),
) -> PackageSession:
    """Verify the package and load all its graphs.

    ``engine``: ``onnxruntime``, ``openvino``, or ``auto``: measured once per package and machine when ``cache`` names
    a JSON file to remember the answer in, and ONNX Runtime without one. ``programs`` are the outside programs that this
    site allows packages to call. Raises DamagedPackage before anything runs.
    """
    package = verify_package(package_folder, card_path)
    if PROCESS in package.names():
        return _outside(package, programs)
    if not package.names(".onnx"):
        return PackageSession(package, {}, EngineChoice("numpy", "the package holds numbers and no graph"), _NUMPY)
    if engine == "auto":
        return _automatic(package, threads, cache)
    if engine not in ENGINES:
        raise Misconfigured(f"engine {engine!r} is unknown; use auto, {' or '.join(ENGINES)}.")
    return _session(package, threads, EngineChoice(engine, "set by configuration"))


def _automatic(package: ModelPackage, threads: int, cache: Path | None) -> PackageSession:
    choice = choose_engine(package, threads, cache)
    if choice.engine == "onnxruntime":
        return _session(package, threads, choice)
    try:
        return _session(package, threads, choice)
    except UnloadableGraph as problem:
        return _session(package, threads, EngineChoice("onnxruntime", f"the faster engine broke: {problem}"))


def _outside(package: ModelPackage, programs: Sequence[Path]) -> PackageSession:
    graph = ProcessGraph(process_from_json(package.read(PROCESS)), programs)
    return PackageSession(package, {GRAPH: graph}, EngineChoice(graph.name, "an outside program"), graph.name)


def _session(package: ModelPackage, threads: int, choice: EngineChoice) -> PackageSession:
    graphs = {
        PurePosixPath(name).stem: load_graph(choice.engine, package.read(name), threads)
        for name in package.names(".onnx")
    }
    return PackageSession(package, graphs, choice)


def _parameters_of(package: ModelPackage) -> Mapping[str, Any]:
    if PARAMETERS not in package.names():
        return MappingProxyType({})
    try:
        body = json.loads(package.read(PARAMETERS))
    except ValueError as problem:
        raise DamagedPackage(f"{package.folder / PARAMETERS} is no JSON: {problem}.") from problem
    if not isinstance(body, dict):
        raise DamagedPackage(f"{package.folder / PARAMETERS} must hold one object of named numbers.")
    return MappingProxyType(body)
