"""Choosing the inference engine: measured once per package and machine, in a process of its own.

OpenVINO was seen to crash (segmentation fault) while compiling some networks, so it is tried where a crash costs
nothing. Whatever goes wrong, ONNX Runtime is used and the reason is kept.
"""

import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from coread.domain.reading import Arrays
from coread.models.golden import GoldenCase, compare, golden_cases, golden_tolerance
from coread.models.graphs import Graph, load_graph
from coread.models.package import ModelPackage

ENGINES = ("onnxruntime", "openvino")
FASTER_BY = 1.25
"""OpenVINO must be this many times faster before a second engine is worth having."""
MEASUREMENT_SECONDS = 120.0
_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """Which engine runs a package on this machine, why, and what was measured (0 where nothing was)."""

    engine: str
    reason: str
    onnxruntime_ms: float = 0.0
    openvino_ms: float = 0.0


def choose_engine(package: ModelPackage, threads: int, cache: Path | None) -> EngineChoice:
    """Return the engine for this package on this machine; measures at most once and never raises."""
    if cache is None:
        return EngineChoice("onnxruntime", "not measured: no cache file was given")
    if importlib.util.find_spec("openvino") is None:
        return EngineChoice("onnxruntime", "OpenVINO is not installed")
    key = _key(package, threads)
    remembered = _remembered(cache).get(key)
    if remembered is not None:
        return remembered
    choice = _measure_apart(package, threads)
    _remember(cache, key, choice)
    return choice


def measure(package_folder: Path, names: tuple[str, ...], threads: int) -> EngineChoice:
    """Compare both engines over the golden inputs in this process (called in a child process only)."""
    cases = [case for case in golden_cases(package_folder) if case.graph in names]
    if not cases:
        return EngineChoice("onnxruntime", "not measured: the package has no golden inputs")
    graphs = {name: (package_folder / f"{name}.onnx").read_bytes() for name in names}
    onnx = {name: load_graph("onnxruntime", data, threads) for name, data in graphs.items()}
    vino = {name: load_graph("openvino", data, threads) for name, data in graphs.items()}
    tolerance = golden_tolerance(package_folder)
    for case in cases:
        _, problem = compare(case, vino[case.graph].run(case.inputs), tolerance)
        if problem:
            return EngineChoice("onnxruntime", f"OpenVINO gives other numbers: {problem}")
    onnx_ms, vino_ms = _fastest_ms(onnx, cases), _fastest_ms(vino, cases)
    chosen = "openvino" if onnx_ms >= FASTER_BY * vino_ms else "onnxruntime"
    ratio = onnx_ms / vino_ms if vino_ms > 0 else 0.0
    return EngineChoice(chosen, f"ONNX Runtime takes {ratio:.2f} times as long as OpenVINO", onnx_ms, vino_ms)


def _fastest_ms(graphs: dict[str, Graph], cases: list[GoldenCase]) -> float:
    def once(name: str, inputs: Arrays) -> float:
        began = time.perf_counter()
        graphs[name].run(inputs)
        return (time.perf_counter() - began) * 1000.0

    # The first run of each graph builds its kernels; the smallest of the rest is the least disturbed one.
    return sum(min(once(case.graph, case.inputs) for _ in range(_ROUNDS + 1)) for case in cases)


def _measure_apart(package: ModelPackage, threads: int) -> EngineChoice:
    names = ",".join(name.removesuffix(".onnx") for name in package.names(".onnx"))
    command = [sys.executable, "-m", "coread.models.engines", str(package.folder), names, str(threads)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MEASUREMENT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return EngineChoice("onnxruntime", f"the measurement did not end: {type(problem).__name__}")
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return EngineChoice("onnxruntime", f"OpenVINO broke (exit {done.returncode}): {last[:200]}")
    try:
        return EngineChoice(**json.loads(done.stdout.strip().splitlines()[-1]))
    except (ValueError, TypeError, IndexError) as problem:
        return EngineChoice("onnxruntime", f"the measurement cannot be read: {type(problem).__name__}")


def _key(package: ModelPackage, threads: int) -> str:
    versions = " ".join(f"{name}={importlib.metadata.version(name)}" for name in ENGINES)
    return f"{package.digest} {versions} threads={threads} cpus={os.cpu_count()} {platform.machine()} {_processor()}"


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8", errors="replace").splitlines() if listing.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _remembered(cache: Path) -> dict[str, EngineChoice]:
    try:
        body = json.loads(cache.read_text(encoding="utf-8"))
        return {str(key): EngineChoice(**item) for key, item in body.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # an absent or damaged cache only costs a new measurement


def _remember(cache: Path, key: str, choice: EngineChoice) -> None:
    body = {name: asdict(item) for name, item in (_remembered(cache) | {key: choice}).items()}
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        beside = cache.with_name(f".{cache.name}.{os.getpid()}")
        beside.write_text(json.dumps(body, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        beside.replace(cache)
    except OSError:
        return  # a folder that cannot be written only costs a new measurement next time


def _main(arguments: list[str]) -> None:
    folder, names, threads = arguments
    choice = measure(Path(folder), tuple(names.split(",")), int(threads))
    sys.stdout.write(json.dumps(asdict(choice)) + "\n")


if __name__ == "__main__":
    _main(sys.argv[1:])
