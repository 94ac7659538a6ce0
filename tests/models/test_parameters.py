"""Packages of readers that calculate: locked numbers instead of a graph, proved by replaying the arithmetic."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coread.domain.reading import Arrays
from coread.models.errors import DamagedPackage, GoldenMismatch, InferenceFailed
from coread.models.golden import READER, check_golden, save_golden_case
from coread.models.package import PARAMETERS, lock_package
from coread.models.session import open_session
from tests.models.tiny_reader import write_tiny_reader


def doubled(arrays: Arrays) -> dict[str, NDArray[Any]]:
    return {"twice": arrays["values"] * 2}


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    """A reader without a graph, whose arithmetic doubles."""
    folder = write_tiny_reader(tmp_path / "tiny_square")
    model = folder / "model"
    for path in (*model.glob("*.onnx"), *model.glob("golden/*.npz"), *model.glob("calibration.json")):
        path.unlink()
    (model / PARAMETERS).write_text(json.dumps({"slope_mg_cm3_per_hu": 0.8, "levels": ["L1", "L2"]}))
    values = {"values": np.array([1.0, 2.0])}
    save_golden_case(model, "two", values, doubled(values), graph=READER)
    lock_package(model, folder / "card.toml")
    return folder


def test_a_package_of_numbers_opens_and_gives_them(reader: Path) -> None:
    session = open_session(reader / "model", reader / "card.toml")
    assert session.parameters["slope_mg_cm3_per_hu"] == 0.8
    assert session.runtime.startswith("numpy ")
    with pytest.raises(TypeError):
        session.parameters["slope_mg_cm3_per_hu"] = 1.0  # type: ignore[index]
    with pytest.raises(InferenceFailed):
        session.run("network", {})


def test_the_arithmetic_of_the_reader_is_replayed(reader: Path) -> None:
    session = open_session(reader / "model", reader / "card.toml")
    report = check_golden(session, reader / "model", doubled)
    report.require()
    assert (report.cases, report.left_to_reader) == (1, 0)
    wrong = check_golden(session, reader / "model", lambda arrays: {"twice": arrays["values"] * 2.1})
    with pytest.raises(GoldenMismatch, match="differ"):
        wrong.require()


def test_without_the_readers_code_its_cases_are_named_as_left_over(reader: Path) -> None:
    report = check_golden(open_session(reader / "model", reader / "card.toml"), reader / "model")
    report.require()
    assert (report.cases, report.left_to_reader) == (0, 1)


def test_changed_numbers_are_refused(reader: Path) -> None:
    (reader / "model" / PARAMETERS).write_text("{}")
    with pytest.raises(DamagedPackage, match=PARAMETERS):
        open_session(reader / "model", reader / "card.toml")


@pytest.mark.parametrize("text", ["[1, 2]", "{", "7"])
def test_locked_numbers_that_are_no_numbers_are_refused(reader: Path, text: str) -> None:
    (reader / "model" / PARAMETERS).write_text(text)
    lock_package(reader / "model", reader / "card.toml")
    with pytest.raises(DamagedPackage):
        open_session(reader / "model", reader / "card.toml")


def test_a_folder_with_neither_graph_nor_numbers_is_not_locked(reader: Path) -> None:
    (reader / "model" / PARAMETERS).unlink()
    with pytest.raises(DamagedPackage, match=r"no \.onnx graph"):
        lock_package(reader / "model", reader / "card.toml")
