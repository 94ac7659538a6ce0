"""Golden cases: stored inputs with the outputs they gave when the package was locked, replayed before use.

``golden/<case>.npz`` is for the graph ``network``, ``golden/<graph>/<case>.npz`` for another one. Arrays are named
``in_<input>`` and ``out_<output>``; ``golden/tolerance.json`` holds ``absolute`` and ``relative``. What a reader
calculates with its own code is proved by cases in ``golden/reader/``: prepared arrays and what ``infer`` makes of them.
"""

import io
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from coread.domain.reading import Arrays, ModelSession
from coread.models.errors import GoldenMismatch

FOLDER = "golden"
READER = "reader"
"""Instead of a graph: the case is replayed by the reader's own ``infer``."""
DEFAULT_ABSOLUTE = 1e-4
DEFAULT_RELATIVE = 1e-3
MOST_RELATIVE = 0.05
"""A package may not let its own proof be looser than this."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """|here - golden| <= absolute + relative * |golden|, as in numpy.isclose, for all but a share of the numbers."""

    absolute: float = DEFAULT_ABSOLUTE
    relative: float = DEFAULT_RELATIVE
    differing_share: float = 0.0
    """Share of the numbers of an output that may lie outside: for label maps, where a border voxel may turn."""


@dataclass(frozen=True, slots=True, eq=False)
class GoldenCase:
    """One stored case of one graph."""

    graph: str
    name: str
    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class GoldenReport:
    """How this machine did on the golden cases of one package."""

    cases: int
    failures: tuple[str, ...]
    worst_difference: float
    seconds: float
    left_to_reader: int = 0
    """Cases that only the reader's code can replay, which was not at hand."""

    @property
    def passed(self) -> bool:
        """At least one case was replayed, or is left to the reader's code, and every one agreed."""
        return self.cases + self.left_to_reader > 0 and not self.failures

    def require(self) -> None:
        """Raise GoldenMismatch unless the report passed."""
        if self.cases + self.left_to_reader == 0:
            raise GoldenMismatch("the package has no golden cases, so nothing proves it on this machine. Lock it anew.")
        if self.failures:
            raise GoldenMismatch(
                f"{len(self.failures)} of {self.cases} golden cases differ on this machine: {self.failures[0]}. "
                "The package is not used here; try engine = onnxruntime, or report the processor and versions."
            )


def save_golden_case(
    package_folder: Path, name: str, inputs: Arrays, outputs: Arrays, *, graph: str = "network"
) -> Path:
    """Write one golden case into an unlocked package folder and return its path."""
    folder = package_folder / FOLDER if graph == "network" else package_folder / FOLDER / graph
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.npz"
    arrays = {f"in_{key}": np.asarray(value) for key, value in inputs.items()}
    arrays |= {f"out_{key}": np.asarray(value) for key, value in outputs.items()}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]  # stubs mistake the arrays for allow_pickle
    return path


def golden_cases(package_folder: Path) -> Iterator[GoldenCase]:
    """Yield the stored cases in the order of their paths; never unpickles."""
    root = package_folder / FOLDER
    for path in sorted(root.rglob("*.npz")):
        graph = "network" if path.parent == root else path.parent.name
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
                arrays = {key: stored[key] for key in stored.files}
        except (OSError, ValueError, TypeError, EOFError, BadZipFile) as problem:
            raise GoldenMismatch(f"{path} cannot be read: {problem}") from problem
        # A member that is no array comes back as its bytes.
        if wrong := [key for key, value in arrays.items() if not isinstance(value, np.ndarray)]:
            raise GoldenMismatch(f"{path} holds {wrong[0]!r}, which is no array of numbers")
        inputs = {key.removeprefix("in_"): value for key, value in arrays.items() if key.startswith("in_")}
        outputs = {key.removeprefix("out_"): value for key, value in arrays.items() if key.startswith("out_")}
        yield GoldenCase(graph, path.stem, inputs, outputs)


def golden_tolerance(package_folder: Path) -> Tolerance:
    """Read golden/tolerance.json, or return the default where there is none."""
    path = package_folder / FOLDER / "tolerance.json"
    if not path.exists():
        return Tolerance()
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        found = Tolerance(float(body["absolute"]), float(body["relative"]), float(body.get("differing_share", 0.0)))
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise GoldenMismatch(f"{path} cannot be read: {problem}") from problem
    numbers = (found.absolute, found.relative, found.differing_share)
    if not all(math.isfinite(number) and number >= 0 for number in numbers) or max(numbers[1:]) > MOST_RELATIVE:
        raise GoldenMismatch(
            f"{path} lets golden cases differ by {numbers}, so they would prove nothing. Numbers must be finite, the "
            f"relative one and the share at most {MOST_RELATIVE:g}."
        )
    return found


def check_golden(
    session: ModelSession, package_folder: Path, infer: Callable[[Arrays], Arrays] | None = None
) -> GoldenReport:
    """Replay every golden case in this session and report how far its numbers are from the stored ones.

    ``infer`` replays the cases of the reader itself; without it they are counted as left to the reader.
    """
    began = time.perf_counter()
    tolerance = golden_tolerance(package_folder)
    failures: list[str] = []
    worst = 0.0
    count = left = 0
    for case in golden_cases(package_folder):
        if case.graph == READER and infer is None:
            left += 1
            continue
        count += 1
        found = infer(case.inputs) if case.graph == READER and infer else session.run(case.graph, case.inputs)
        difference, problem = compare(case, found, tolerance)
        worst = max(worst, difference)
        if problem:
            failures.append(problem)
    return GoldenReport(count, tuple(failures), worst, time.perf_counter() - began, left)


def compare(case: GoldenCase, found: Arrays, tolerance: Tolerance) -> tuple[float, str]:
    """Return the largest absolute difference and, when it is not within tolerance, one sentence that says so."""
    worst = 0.0
    if not case.outputs:
        return worst, f"{case.name}: the golden case stores no outputs"
    for name, golden in case.outputs.items():
        here = found.get(name)
        if here is None or here.shape != golden.shape:
            return worst, f"{case.name}: output {name!r} has shape {None if here is None else here.shape}"
        if not np.isfinite(here).all():
            return worst, f"{case.name}: output {name!r} is not finite"
        worst = max(worst, float(np.max(np.abs(here.astype(np.float64) - golden.astype(np.float64)), initial=0.0)))
        close = np.isclose(here, golden, rtol=tolerance.relative, atol=tolerance.absolute)
        if close.size and 1.0 - float(close.mean()) > tolerance.differing_share:
            return worst, f"{case.name}: output {name!r} differs by up to {worst:.3g}"
    return worst, ""
