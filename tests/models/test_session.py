"""Sessions run exactly what was verified, in an engine that gives the golden numbers on this machine."""

import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coread.domain.errors import Misconfigured
from coread.domain.reading import Arrays
from coread.models import engines
from coread.models.engines import EngineChoice, choose_engine
from coread.models.errors import DamagedPackage, GoldenMismatch, InferenceFailed, UnloadableGraph
from coread.models.golden import check_golden, save_golden_case
from coread.models.graphs import load_graph
from coread.models.package import lock_package, verify_package
from coread.models.session import open_session
from tests.models.tiny_reader import golden_input, write_tiny_reader

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed (extra: scale)"
)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_reader(tmp_path / "tiny_square")


def relock(folder: Path) -> None:
    lock_package(folder / "model", folder / "card.toml")


def test_a_session_gives_the_golden_numbers_and_names_its_engine(tiny: Path) -> None:
    session = open_session(tiny / "model", tiny / "card.toml")
    report = check_golden(session, tiny / "model")
    report.require()
    assert report.cases == 1
    assert report.passed
    assert session.runtime.startswith("onnxruntime ")
    assert session.digest == verify_package(tiny / "model", tiny / "card.toml").digest


def test_a_damaged_package_never_opens(tiny: Path) -> None:
    (tiny / "model/network.onnx").write_bytes(b"other bytes")
    with pytest.raises(DamagedPackage):
        open_session(tiny / "model", tiny / "card.toml")


def test_a_locked_graph_that_is_no_graph_says_so(tiny: Path) -> None:
    (tiny / "model/network.onnx").write_bytes(b"not a graph")
    relock(tiny)
    with pytest.raises(UnloadableGraph, match="ONNX Runtime cannot load"):
        open_session(tiny / "model", tiny / "card.toml")


def test_running_is_deterministic_and_leaves_the_input_alone(tiny: Path) -> None:
    session = open_session(tiny / "model", tiny / "card.toml", threads=2)
    image = golden_input(3)
    before = image.copy()
    one, other = (session.run("network", {"image": image}) for _ in range(2))
    assert np.array_equal(one["logit"], other["logit"])
    assert np.array_equal(image, before)


def test_unknown_graphs_and_wrong_arrays_are_translated(tiny: Path) -> None:
    session = open_session(tiny / "model", tiny / "card.toml")
    with pytest.raises(InferenceFailed, match="no graph 'other'; it has network"):
        session.run("other", {})
    with pytest.raises(InferenceFailed, match="ONNX Runtime"):
        session.run("network", {"image": np.zeros((1, 2, 3), dtype=np.float32)})


def test_an_unknown_engine_is_misconfigured(tiny: Path) -> None:
    with pytest.raises(Misconfigured, match="abacus"):
        open_session(tiny / "model", tiny / "card.toml", engine="abacus")


def test_golden_cases_that_differ_are_reported_and_refused(tiny: Path) -> None:
    image = golden_input()
    save_golden_case(tiny / "model", "wrong", {"image": image}, {"logit": np.array([[99.0]], dtype=np.float32)})
    relock(tiny)
    report = check_golden(open_session(tiny / "model", tiny / "card.toml"), tiny / "model")
    assert not report.passed
    assert report.cases == 2
    with pytest.raises(GoldenMismatch, match="wrong: output 'logit' differs"):
        report.require()


def test_a_package_without_golden_cases_is_refused(tiny: Path) -> None:
    (tiny / "model/golden/noise.npz").unlink()
    relock(tiny)
    report = check_golden(open_session(tiny / "model", tiny / "card.toml"), tiny / "model")
    with pytest.raises(GoldenMismatch, match="no golden cases"):
        report.require()


def test_without_a_cache_nothing_is_measured(tiny: Path) -> None:
    choice = choose_engine(verify_package(tiny / "model", tiny / "card.toml"), 1, None)
    assert choice == EngineChoice("onnxruntime", "not measured: no cache file was given")


@needs_openvino
def test_both_engines_agree_and_the_choice_is_remembered(tiny: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache/engines.json"
    session = open_session(tiny / "model", tiny / "card.toml", cache=cache)
    assert session.choice.onnxruntime_ms > 0
    assert session.choice.openvino_ms > 0
    before = cache.read_bytes()
    again = open_session(tiny / "model", tiny / "card.toml", cache=cache)
    assert again.choice == session.choice
    assert cache.read_bytes() == before


@needs_openvino
def test_openvino_gives_the_golden_numbers(tiny: Path) -> None:
    session = open_session(tiny / "model", tiny / "card.toml", engine="openvino")
    check_golden(session, tiny / "model").require()
    assert session.runtime.startswith("openvino ")


@needs_openvino
def test_an_engine_that_crashes_while_measured_costs_nothing(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = tmp_path / "python"
    crashing.write_text("#!/bin/sh\necho compiling >&2\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crashing))
    session = open_session(tiny / "model", tiny / "card.toml", cache=tmp_path / "engines.json")
    assert session.runtime.startswith("onnxruntime ")
    assert session.choice.reason.startswith("OpenVINO broke (exit -11)")


@needs_openvino
def test_an_engine_that_loads_in_the_child_and_not_here_falls_back(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(*_: object) -> EngineChoice:
        return EngineChoice("openvino", "measured elsewhere")

    def broken(engine: str, data: bytes, threads: int) -> object:
        if engine == "openvino":
            raise UnloadableGraph("no kernels")
        return load_graph(engine, data, threads)

    monkeypatch.setattr("coread.models.session.choose_engine", chosen)
    monkeypatch.setattr("coread.models.session.load_graph", broken)
    opened = open_session(tiny / "model", tiny / "card.toml", cache=tmp_path / "engines.json")
    assert opened.choice.engine == "onnxruntime"
    assert "no kernels" in opened.choice.reason


def test_a_damaged_cache_only_costs_a_measurement(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "engines.json"
    cache.write_text("{broken")
    answer = EngineChoice("onnxruntime", "measured again")
    monkeypatch.setattr(engines, "_measure_apart", lambda *_: answer)
    package = verify_package(tiny / "model", tiny / "card.toml")
    expected = answer if importlib.util.find_spec("openvino") else choose_engine(package, 1, cache)
    assert choose_engine(package, 1, cache) == expected


class FakeGraph:
    """Takes a while and gives the image back, a little wrong if told so."""

    def __init__(self, seconds: float, off_by: float = 0.0) -> None:
        self.seconds = seconds
        self.off_by = off_by

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        time.sleep(self.seconds)
        image = inputs["image"]
        return {"logit": (image.max(axis=(2, 3)) - np.float32(0.8)) * np.float32(20) + self.off_by, "map": image}


@pytest.mark.parametrize(
    ("onnx_seconds", "vino_seconds", "off_by", "engine", "said"),
    [
        (0.02, 0.004, 0.0, "openvino", "times as long as OpenVINO"),
        (0.004, 0.02, 0.0, "onnxruntime", "times as long as OpenVINO"),
        (0.02, 0.02, 0.0, "onnxruntime", "times as long as OpenVINO"),
        (0.02, 0.001, 3.7, "onnxruntime", "OpenVINO gives other numbers"),
    ],
)
def test_the_second_engine_is_taken_only_when_it_is_right_and_clearly_faster(
    tiny: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    onnx_seconds: float,
    vino_seconds: float,
    off_by: float,
    engine: str,
    said: str,
) -> None:
    graphs = {"onnxruntime": FakeGraph(onnx_seconds), "openvino": FakeGraph(vino_seconds, off_by)}
    monkeypatch.setattr(engines, "load_graph", lambda name, *_: graphs[name])
    choice = engines.measure(tiny / "model", ("network",), 1)
    assert choice.engine == engine
    assert said in choice.reason


def test_a_package_without_golden_inputs_is_not_measured(tiny: Path) -> None:
    (tiny / "model/golden/noise.npz").unlink()
    assert engines.measure(tiny / "model", ("network",), 1).reason.startswith("not measured")
