"""``coread segment`` as it is typed: a lesion measured, its objects written, and clear errors."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest
from typer.testing import CliRunner

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.main import app, exit_code_of
from coread.domain.errors import CoreadError
from coread.phantoms.ct import Ball, CtRecipe
from tests.imaging.made_series import named, saved, slices

CENTER, RADIUS = (12.0, -19.0, 36.0), 7.0
RECIPE = CtRecipe(rows=36, columns=36, slices=14, balls=(Ball(CENTER, RADIUS),))
BOX = ",".join(str(value) for value in (*(c - 8.5 for c in CENTER), *(c + 8.5 for c in CENTER)))
LINE = f"{CENTER[0] - RADIUS},{CENTER[1]},{CENTER[2]},{CENTER[0] + RADIUS},{CENTER[1]},{CENTER[2]}"
EXACT_ML = 4 / 3 * math.pi * RADIUS**3 / 1000


def run(*words: object) -> tuple[ExitCode, str, str]:
    done = CliRunner().invoke(app, ["segment", *map(str, words)])
    if isinstance(done.exception, CoreadError):
        return exit_code_of(done.exception), "", str(done.exception)
    return ExitCode(done.exit_code), done.stdout, done.stderr


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series")
    saved(folder, slices(RECIPE))
    return folder


def answer(*words: object) -> dict[str, Any]:
    code, out, err = run(*words, "--json")
    assert code is ExitCode.OK, err
    document: dict[str, Any] = json.loads(out)
    return document


@pytest.mark.parametrize(("option", "numbers"), [("--box", BOX), ("--line", LINE), ("--point", "12,-19,36")])
def test_a_lesion_is_measured_from_each_kind_of_prompt(series: Path, option: str, numbers: str) -> None:
    document = answer(series, f"{option}={numbers}")
    assert document["volume_ml"] == pytest.approx(EXACT_ML, rel=0.1)
    assert document["long_axis_mm"] == pytest.approx(2 * RADIUS, abs=2.0)
    assert document["hounsfield"]["maximum"] >= document["hounsfield"]["mean"]
    assert document["objects"] == []


def test_the_method_is_chosen_and_told(series: Path) -> None:
    document = answer(series, f"--box={BOX}", "--method", "classical")
    assert (document["method"], document["made_by"], document["certainty"]) == ("classical", "", None)
    told = answer(series, f"--box={BOX}")
    assert told["method"] == "classical"
    assert any("the network was not asked" in note for note in told["notes"])


def test_a_network_that_does_not_take_the_box_does_not_fall_back(series: Path) -> None:
    code, _, err = run(series, f"--box={BOX}", "--method", "network")
    assert code is not ExitCode.OK
    assert "tumor_volume" in err
    code, _, err = run(series, f"--box={BOX}", "--method", "best")
    assert code is ExitCode.USAGE
    assert "auto, classical, network" in err


def test_objects_are_written_and_say_research_use(series: Path, tmp_path: Path) -> None:
    document = answer(series, f"--box={BOX}", "--out", tmp_path / "out")
    modalities = {pydicom.dcmread(path).Modality for path in document["objects"]}
    assert {"SEG", "SR"} <= modalities
    code, out, _ = run(series, f"--box={BOX}")
    assert code is ExitCode.OK
    assert "Research use only" in out


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ((), ExitCode.USAGE, "give one of --point, --line and --box"),
        (("--point=1,2",), ExitCode.USAGE, "--point needs 3 numbers"),
        (("--box=1,2,3,4,5,six",), ExitCode.USAGE, "--box needs 6 numbers"),
        (("--point=900,0,0",), ExitCode.NOT_ANALYSED, "the point lies outside the volume"),
        (("--point=nan,0,0",), ExitCode.NOT_ANALYSED, "not finite"),
        (("--box=0,0,30,0,9,40",), ExitCode.NOT_ANALYSED, "a side of the box is 0.0 mm long"),
    ],
)
def test_a_bad_prompt_is_a_line_that_says_what_is_wrong(
    series: Path, words: tuple[str, ...], code: ExitCode, text: str
) -> None:
    found, _, err = run(series, *words)
    assert (found, text in err) == (code, True), err


def test_several_series_must_be_chosen_from(tmp_path: Path) -> None:
    saved(tmp_path / "a", slices(RECIPE))
    saved(tmp_path / "b", slices(named(RECIPE, "other")))
    code, _, err = run(tmp_path, f"--box={BOX}")
    assert (code, "choose with --series" in err) == (ExitCode.USAGE, True)
    uid = err.split("--series ")[1].split()[0]
    assert run(tmp_path, f"--box={BOX}", "--series", uid)[0] is ExitCode.OK
    assert run(tmp_path, f"--box={BOX}", "--series", "1.2.3")[0] is ExitCode.NOT_FOUND


def test_a_series_that_is_no_volume_is_refused_with_its_reason(tmp_path: Path) -> None:
    saved(tmp_path, slices(replace(RECIPE, missing=(5,))))
    code, _, err = run(tmp_path, f"--box={BOX}")
    assert (code, "missing" in err.casefold()) == (ExitCode.NOT_ANALYSED, True), err
