"""A file in iMRMC's format gives the printed numbers of the Van Dyke data; a study of one reader is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coread.app.cli.main import app
from coread.statistics.errors import NotEstimable, UnreadableStudy
from coread.statistics.imrmc import write_imrmc
from coread.validate.errors import BadReaderStudy
from coread.validate.reader_studies import analyse_file, study_document
from coread.validate.report_html import page
from tests.acceptance.conftest import coread
from tests.statistics.van_dyke import study


@pytest.fixture
def van_dyke(tmp_path: Path) -> Path:
    path = tmp_path / "van_dyke.imrmc"
    path.write_text(write_imrmc(study(), title="Van Dyke"), encoding="utf-8")
    return path


def test_the_printed_numbers_come_out_of_the_file(van_dyke: Path) -> None:
    body = analyse_file(van_dyke)
    both = body["tests"]["random_both"]
    assert both["statistic"] == pytest.approx(4.46, abs=0.005)
    assert both["p_value"] == pytest.approx(0.0517, abs=5e-5)
    assert both["differences"][0]["difference"]["value"] == pytest.approx(-0.0438, abs=5e-5)
    assert body["tests"]["fixed_cases"]["p_value"] == pytest.approx(0.0420, abs=5e-5)
    assert (body["cases"], body["positives"], len(body["readers"])) == (114, 45, 5)
    assert body["pseudovalues"]["tests"]["random_both"]["f"] == pytest.approx(4.46, abs=0.005)


def test_the_document_shows_every_reader_and_the_next_study(van_dyke: Path) -> None:
    html = page(study_document(analyse_file(van_dyke)))
    assert "F(1, 15.3) = 4.46" in html or "F(1, 15.2) = 4.46" in html
    assert "To show a difference of 0.044" in html
    assert html.count("<svg") == 1


def test_a_single_reader_is_no_reader_study(tmp_path: Path) -> None:
    whole = study()
    path = tmp_path / "one.imrmc"
    path.write_text(write_imrmc(replace(whole, readers=("1",), scores=whole.scores[:, :1])), encoding="utf-8")
    with pytest.raises(NotEstimable, match="at least two readers"):
        analyse_file(path)


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadReaderStudy, match="is missing"):
        analyse_file(tmp_path / "none.imrmc")
    (tmp_path / "text.imrmc").write_text("hello")
    with pytest.raises(UnreadableStudy, match="BEGIN DATA"):
        analyse_file(tmp_path / "text.imrmc")


def test_the_command_writes_the_report_and_ends_with_a_code(van_dyke: Path, tmp_path: Path) -> None:
    answer = coread("mrmc", van_dyke, "--out", tmp_path / "out", "--json")
    assert answer.code == 0, answer.err
    assert answer.json()["tests"]["random_both"]["p_value"] == pytest.approx(0.0517, abs=5e-5)
    assert json.loads((tmp_path / "out" / "reader_study.json").read_text())["file"] == "van_dyke.imrmc"
    assert analyse_file(tmp_path / "out" / "reader_study.imrmc")["aucs"] == answer.json()["aucs"]
    assert (tmp_path / "out" / "reader_study.pdf").read_bytes().startswith(b"%PDF")
    single = tmp_path / "single.imrmc"
    lines = van_dyke.read_text().splitlines()
    single.write_text("\n".join(line for line in lines if not line.startswith(("2,", "3,", "4,", "5,"))))
    answer = coread("mrmc", single)
    assert answer.code == 4
    assert "at least two readers" in answer.err


def test_power_commands_answer_published_sizes() -> None:
    run = CliRunner().invoke
    # Sensitivity 0.90 shown to exceed 0.80, one-sided 2.5 %, power 80 %: about 100 by the exact binomial test.
    answer = run(app, ["power", "share", "--expected", "0.9", "--null", "0.8", "--json"])
    assert answer.exit_code == 0, answer.output
    assert 90 <= json.loads(answer.stdout)["cases"] <= 120
    answer = run(app, ["power", "auc", "--expected", "0.85", "--null", "0.75", "--ratio", "2", "--json"])
    found = json.loads(answer.stdout)
    assert found["negatives"] == 2 * found["positives"]
    assert "cases" in run(app, ["power", "paired", "--only-first", "0.2", "--only-second", "0.1"]).stdout
    assert run(app, ["power", "auc", "--expected", "0.85"]).exit_code == 2
