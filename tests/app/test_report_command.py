"""``coread report label`` as it is typed."""

import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.main import app

REPORT = "FINDINGS: Small left pleural effusion. No\npneumothorax. 8 mm nodule in the right lung."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text(REPORT)
    return tmp_path


def run(*words: str, typed: bytes | None = None) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["report", "label", *words], input=typed)
    return done.exit_code, done.stdout, done.stderr


def test_json(folder: Path) -> None:
    code, out, _ = run(str(folder), "--json")
    assert code == ExitCode.OK
    (report,) = json.loads(out)["reports"]
    labels = {one["finding"]: one for one in report["labels"]}
    assert labels["pleural_effusion"]["side"] == "left"
    assert labels["lung_nodule"]["size_mm"] == 8
    assert labels["pneumothorax"]["status"] == "absent"
    assert REPORT[labels["pneumothorax"]["start"] : labels["pneumothorax"]["end"]] == "pneumothorax"


def test_csv_is_read_back(folder: Path) -> None:
    code, out, _ = run(str(folder / "a.txt"), "--csv")
    rows = {row["finding"]: row for row in csv.DictReader(io.StringIO(out))}
    assert code == ExitCode.OK
    assert rows["pleural_effusion"]["evidence"] == "pleural effusion"
    assert rows["pneumothorax"]["status"] == "absent"


def test_table_and_explanation(folder: Path) -> None:
    assert "pleural effusion" in run(str(folder))[1].replace("\n", " ")
    _, out, _ = run(str(folder), "--explain")
    assert "[pleural effusion]{+pleural_effusion}" in out
    assert "[pneumothorax]{-pneumothorax}" in out


def test_standard_input() -> None:
    code, out, _ = run("-", "--explain", typed=b"No ptx.")
    assert code == ExitCode.OK
    assert "[ptx]{-pneumothorax}" in out


def test_what_was_not_assessed_is_said(folder: Path) -> None:
    (folder / "b.txt").write_text("Kein Erguss. Das Herz ist nicht vergrößert.")
    (folder / "c.txt").write_text("")
    (folder / "d.bin").write_bytes(b"\x00\x00")
    (folder / "e.txt").write_text("No effusion. " * 800_000)
    code, out, err = run(str(folder))
    assert code == ExitCode.INCOMPLETE
    for line in ("b.txt: not assessed: not English", "c.txt: not assessed: empty", "d.bin: not assessed", "too long"):
        assert line in err
    assert "not assessed" in out
    (folder / "a.txt").unlink()
    assert run(str(folder), "--json")[0] == ExitCode.NOT_ANALYSED


def test_two_forms_of_answer_are_one_too_many(folder: Path) -> None:
    assert run(str(folder), "--csv", "--json")[0] == ExitCode.USAGE


def test_an_empty_folder_has_no_reports(tmp_path: Path) -> None:
    assert run(str(tmp_path))[0] == ExitCode.NOT_FOUND
