"""Writes a reconstruction network as two ONNX graphs, physics included, and proves them equal to torch."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coread.train.errors import ExportDiffers
from coread.train.mr.network import ReconstructionNetwork
from coread.train.mr.operators import along_second, fourier_matrix, of_lines, of_points, places

OPSET = 17
LINES, POINTS = "lines", "points"
OUTPUTS = ("image", "maps")
_AXES = {
    "samples": {0: "coils", 2: "a", 3: "b"},
    "block": {0: "coils", 2: "m", 3: "n"},
    "image": {1: "a", 2: "b"},
    "maps": {0: "coils", 2: "a", 3: "b"},
}
_TRIED = ((3, 40, 36), (1, 33, 28), (5, 46, 51), (8, 64, 30))
"""(coils, a, b) that both are compared on; odd sides and sides that are no multiple of 4 among them."""


class LinesGraph(nn.Module):
    """Samples (coils, 2, a, b), mask (a,), calibration block (coils, 2, m, n) to an image (2, a, b) and maps."""

    def __init__(self, network: ReconstructionNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, samples: Tensor, mask: Tensor, block: Tensor) -> tuple[Tensor, Tensor]:
        """Return image and maps."""
        kept = samples[:, :, torch.nonzero(mask)[:, 0]]
        size = samples.shape[3]
        readout = fourier_matrix(places(size), size, size)
        image, maps = self.network(along_second(readout.transpose(0, 1), kept), block, of_lines(mask))
        return image[0], maps


class PointsGraph(nn.Module):
    """The same for a mask (a, b) of points."""

    def __init__(self, network: ReconstructionNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, samples: Tensor, mask: Tensor, block: Tensor) -> tuple[Tensor, Tensor]:
        """Return image and maps."""
        image, maps = self.network(samples, block, of_points(mask))
        return image[0], maps


GRAPHS: dict[str, Callable[[ReconstructionNetwork], nn.Module]] = {LINES: LinesGraph, POINTS: PointsGraph}


def write_graphs(
    network: ReconstructionNetwork, folder: Path, names: Iterable[str] = tuple(GRAPHS), *, limit: float = 1e-4
) -> float:
    """Write ``lines.onnx`` and ``points.onnx``; return the largest difference to torch as a share of the largest value.

    ``names``: of the graphs to write, where each has weights of its own. Compared on other numbers of coils and other
    matrices than the graphs were traced with. Raises ExportDiffers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    worst = 0.0
    for name in names:
        graph = GRAPHS[name](network.eval())
        _export(graph, folder / f"{name}.onnx", example(name, 4, 48, 44, seed=0))
        for number, shape in enumerate(_TRIED):
            worst = max(worst, difference(graph, folder / f"{name}.onnx", example(name, *shape, seed=number + 1)))
    if not worst < limit:
        raise ExportDiffers(f"the graphs in {folder} differ from the network by {worst:.2e}, more than {limit:.0e}")
    return worst


def difference(graph: nn.Module, path: Path, given: dict[str, NDArray[Any]]) -> float:
    """Return the largest difference between torch and ONNX Runtime as a share of the largest value."""
    from coread.models.graphs import load_graph

    found = load_graph("onnxruntime", path.read_bytes(), 1).run(given)
    with torch.inference_mode():
        wanted = graph(*(torch.from_numpy(values) for values in given.values()))
    return max(
        float(np.abs(found[name] - values.numpy()).max() / values.abs().max())
        for name, values in zip(OUTPUTS, wanted, strict=True)
    )


def example(name: str, coils: int, first: int, second: int, *, seed: int) -> dict[str, NDArray[Any]]:
    """Return random inputs of a graph; the network is as exact on noise as on a head."""
    random = np.random.default_rng(seed)
    mask = random.random(first if name == LINES else (first, second)) < 0.4
    mask[first // 2 - 4 : first // 2 + 4] = True
    samples = random.standard_normal((coils, 2, first, second)).astype(np.float32)
    spread = mask[:, np.newaxis] if name == LINES else mask  # (a, 1) or (a, b)
    block = random.standard_normal((coils, 2, 8, 6 + seed)).astype(np.float32)
    return {"samples": (samples * spread).astype(np.float32), "mask": mask, "block": block}


def _export(graph: nn.Module, path: Path, given: dict[str, NDArray[Any]]) -> None:
    import warnings

    from onnx import load_from_string, save

    mask = {"mask": {0: "a"} if given["mask"].ndim == 1 else {0: "a", 1: "b"}}
    traced = path.with_suffix(".traced")
    try:
        with warnings.catch_warnings():
            # Sizes stay symbols in the graph; that tracing warns of each is proved needless by other sizes above.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                graph, tuple(torch.from_numpy(values) for values in given.values()), str(traced), dynamo=False,
                opset_version=OPSET, input_names=list(given), output_names=list(OUTPUTS), dynamic_axes=_AXES | mask,
            )  # fmt: skip
        model = load_from_string(traced.read_bytes())
    finally:
        traced.unlink(missing_ok=True)
    model.producer_name, model.producer_version, model.doc_string = "coread", "", "research use only"
    save(model, str(path))
