"""One ONNX graph in one inference engine. The only file that imports ONNX Runtime or OpenVINO."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from coread.domain.reading import Arrays
from coread.models.errors import InferenceFailed, UnloadableGraph

_NO_MEMORY = ("bad_alloc", "failed to allocate memory", "out of memory")


class Graph(Protocol):
    """A loaded graph that takes and gives arrays by name."""

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run the graph once."""
        ...


class OnnxGraph:
    """A graph in ONNX Runtime on the CPU."""

    def __init__(self, data: bytes, threads: int) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        # Memory must be flat over days, and readers see images of many sizes: the arena would keep the largest.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        # Idle threads must not spin: the receiver and the web pages share these cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as problem:
            raise UnloadableGraph(f"ONNX Runtime cannot load the graph: {problem}") from problem
        self._outputs = [item.name for item in self._session.get_outputs()]

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run the graph once; raises InferenceFailed with the engine's message."""
        try:
            values = self._session.run(self._outputs, dict(inputs))
        except Exception as problem:
            raise _translated("ONNX Runtime", problem) from problem
        return {name: np.asarray(value) for name, value in zip(self._outputs, values, strict=True)}


class OpenVinoGraph:
    """A graph in OpenVINO on the CPU, in full float32 precision."""

    def __init__(self, data: bytes, threads: int) -> None:
        import openvino as ov

        core = ov.Core()
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            model = core.read_model(data)
            # Compilation merges nodes and their names; the names before it are those of the ONNX graph.
            self._outputs = [port.get_any_name() for port in model.outputs]
            self._compiled = core.compile_model(model, "CPU", settings)
        except Exception as problem:
            raise UnloadableGraph(f"OpenVINO cannot load the graph: {problem}") from problem
        self._request = self._compiled.create_infer_request()

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run the graph once; raises InferenceFailed with the engine's message."""
        try:
            results = self._request.infer(dict(inputs))
        except Exception as problem:
            raise _translated("OpenVINO", problem) from problem
        return {name: np.array(results[position]) for position, name in enumerate(self._outputs)}


def _translated(engine: str, problem: Exception) -> Exception:
    # Both engines allocate in C++ and report an exhausted memory limit as a plain runtime error.
    if isinstance(problem, MemoryError) or any(word in str(problem).lower() for word in _NO_MEMORY):
        return MemoryError(f"{engine}: {problem}")
    return InferenceFailed(f"{engine}: {problem}")


def load_graph(engine: str, data: bytes, threads: int) -> Graph:
    """Load a graph in the engine of that name: ``onnxruntime`` or ``openvino``."""
    if engine == "openvino":
        return OpenVinoGraph(data, threads)
    return OnnxGraph(data, threads)


def runtime_name(engine: str) -> str:
    """Return engine and version as it goes into the provenance of a result."""
    if engine == "openvino":
        import openvino as ov

        return f"openvino {ov.get_version()} CPU"
    import onnxruntime as ort

    return f"onnxruntime {ort.__version__} CPUExecutionProvider"
