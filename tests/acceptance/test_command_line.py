"""The command line as a user meets it: start-up time aside (see make bench), every command, every exit code."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from coread.app.cli.exit_codes import ExitCode
from coread.app.settings import settings_table
from tests.acceptance.conftest import Answer, radiograph, save

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("demo", "serve", "read", "send", "why", "readers", "doctor", "settings", "users", "export", "viewer")
HEAVY = ("numpy", "pydicom", "sqlalchemy", "fastapi", "onnxruntime", "highdicom", "rich", "PIL")


def test_help_names_every_command_and_says_research_use(command: Callable[..., Answer]) -> None:
    answer = command("--help")
    assert answer.code == ExitCode.OK
    assert "not a medical" in answer.out
    for name in COMMANDS:
        assert name in answer.out


def test_help_loads_nothing_heavy() -> None:
    import subprocess
    import sys

    code = "import sys, coread.app.cli.main; print([m for m in sys.argv[1].split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code, " ".join(HEAVY)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(command: Callable[..., Answer], name: str) -> None:
    answer = command(name, "--help")
    assert answer.code == ExitCode.OK
    assert "Usage" in answer.out


def test_an_unknown_command_is_a_usage_error(command: Callable[..., Answer]) -> None:
    assert command("diagnose").code == ExitCode.USAGE


def test_version(command: Callable[..., Answer]) -> None:
    assert command("--version").out.startswith("coread ")


def test_a_study_that_is_not_here_is_not_found(command: Callable[..., Answer], tmp_path: Path) -> None:
    answer = command("--folder", tmp_path / "nothing", "why", "A1")
    assert answer.code == ExitCode.NOT_FOUND
    assert "coread serve" in answer.err


def test_a_misspelt_setting_is_named(command: Callable[..., Answer], tmp_path: Path) -> None:
    file = tmp_path / "coread.toml"
    file.write_text("dicom_prot = 104\n")
    answer = command("--settings", file, "settings")
    assert answer.code == ExitCode.MISCONFIGURED
    assert "dicom_prot" in answer.err


def test_a_broken_settings_file_is_named(command: Callable[..., Answer], tmp_path: Path) -> None:
    file = tmp_path / "coread.toml"
    file.write_text("this is not = = toml")
    answer = command("--settings", file, "settings")
    assert answer.code == ExitCode.MISCONFIGURED
    assert str(file) in answer.err


def test_settings_come_from_file_and_environment(
    command: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "coread.toml"
    file.write_text("dicom_port = 104\nae_title = 'FROMFILE'\n")
    monkeypatch.setenv("COREAD_AE_TITLE", "FROMENV")
    listed = {row["name"]: row["value"] for row in command("--settings", file, "settings", "--json").json()}
    assert listed["dicom_port"] == 104
    assert listed["ae_title"] == "FROMENV"
    assert set(listed) == {name for name, _, _ in settings_table()}


def test_sending_to_nobody_is_unreachable(command: Callable[..., Answer], tmp_path: Path) -> None:
    path = save(radiograph(1, rows=128), tmp_path / "a.dcm")
    answer = command("send", path, "--to", "127.0.0.1:1", "--json")
    assert answer.code == ExitCode.UNREACHABLE
    assert answer.json()["failed"] == 1


def test_sending_nothing_is_not_found(command: Callable[..., Answer], tmp_path: Path) -> None:
    assert command("send", tmp_path / "none").code == ExitCode.NOT_FOUND


def test_readers_lists_cards_with_measured_numbers(command: Callable[..., Answer]) -> None:
    answer = command("readers", "--json")
    assert answer.code == ExitCode.OK
    cards = {card["reader_id"]: card for card in answer.json()["readers"]}
    chest = cards["chest_xray"]
    assert chest["research_use"] is True
    assert len(chest["package_digest"]) == 64
    for output in chest["outputs"]:
        for point in output["operating_points"]:
            assert point["sensitivity"]["n"] > 0
            assert point["sensitivity"]["low"] <= point["sensitivity"]["value"] <= point["sensitivity"]["high"]


def test_one_card_in_full(command: Callable[..., Answer]) -> None:
    answer = command("readers", "chest_xray")
    assert answer.code == ExitCode.OK
    assert "Not for:" in answer.out
    assert command("readers", "nobody").code == ExitCode.NOT_FOUND


def test_doctor_says_how_to_mend(command: Callable[..., Answer], tmp_path: Path) -> None:
    file = tmp_path / "coread.toml"
    file.write_text(
        f'folder = "{tmp_path / "data"}"\n[[destinations]]\nname = "nobody"\naddress = "127.0.0.1:1"\nae_title = "X"\n'
    )
    answer = command("--settings", file, "doctor", "--json")
    assert answer.code == ExitCode.FAILED
    checks = {check["name"]: check for check in answer.json()["checks"]}
    assert checks["destination nobody"]["level"] == "problem"
    assert checks["destination nobody"]["mend"]
    assert checks["reader chest_xray"]["level"] == "ok"


def test_doctor_finds_a_certificate_that_expires_soon(command: Callable[..., Answer], tmp_path: Path) -> None:
    from coread.receive.tls import write_self_signed

    certificate, key = write_self_signed(tmp_path, days=3)
    file = tmp_path / "coread.toml"
    file.write_text(f'folder = "{tmp_path / "data"}"\nhttps_certificate = "{certificate}"\nhttps_key = "{key}"\n')
    checks = {c["name"]: c for c in command("--settings", file, "doctor", "--json").json()["checks"]}
    assert checks["web certificate"]["level"] == "warning"
    assert "renew" in checks["web certificate"]["mend"]


def test_doctor_finds_a_certificate_that_is_not_one(command: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "broken.pem").write_text("not a certificate")
    file = tmp_path / "coread.toml"
    broken = tmp_path / "broken.pem"
    file.write_text(f'folder = "{tmp_path}"\ndicom_tls_certificate = "{broken}"\ndicom_tls_key = "{broken}"\n')
    checks = {c["name"]: c for c in command("--settings", file, "doctor", "--json").json()["checks"]}
    assert checks["DICOM certificate"]["level"] == "problem"


def test_the_generated_reference_pages_are_up_to_date() -> None:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "build_docs.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"run `make docs`: {done.stdout}"


def test_every_command_and_exit_code_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text()
    for name in COMMANDS:
        assert f"coread {name}" in page
    for code in ExitCode:
        assert f"| {code.value} | {code.name} |" in page


def test_reading_a_folder_needs_no_server(command: Callable[..., Answer], tmp_path: Path) -> None:
    save(radiograph(1, "pneumothorax"), tmp_path / "in" / "one.dcm")
    save(radiograph(2), tmp_path / "in" / "deep" / "two.dcm")
    (tmp_path / "in" / "notes.txt").write_text("not an image")
    answer = command("read", tmp_path / "in", "--out", tmp_path / "out", "--json")
    document = answer.json()
    assert {row["accession_number"] for row in document["readings"]} == {"TEST-001", "TEST-002"}
    assert [Path(item["file"]).name for item in document["refused"]] == ["notes.txt"]
    assert answer.code == ExitCode.INCOMPLETE
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == document
    written = sorted((tmp_path / "out").rglob("*.dcm"))
    assert len(written) == document["objects"]
    assert any("_SR_" in path.name for path in written)
    assert any("_SC_" in path.name for path in written)


def test_reading_twice_gives_the_same_objects(command: Callable[..., Answer], tmp_path: Path) -> None:
    path = save(radiograph(3, "effusion"), tmp_path / "in.dcm")
    command("read", path, "--out", tmp_path / "a")
    command("read", path, "--out", tmp_path / "b")
    names = [
        sorted(p.relative_to(tmp_path / side).as_posix() for p in (tmp_path / side).rglob("*.dcm")) for side in "ab"
    ]
    assert names[0] == names[1]
    assert names[0]


def test_nothing_that_fits_is_not_analysed(command: Callable[..., Answer], tmp_path: Path) -> None:
    from coread.phantoms.ct import CtRecipe, ct_series

    for number, dataset in enumerate(ct_series(CtRecipe(slices=3))):
        save(dataset, tmp_path / "ct" / f"{number}.dcm")
    answer = command("read", tmp_path / "ct", "--out", tmp_path / "out", "--json")
    assert answer.code == ExitCode.NOT_ANALYSED
    assert any("odality" in row["text"] for row in answer.json()["readings"])


def test_an_empty_folder_is_not_found(command: Callable[..., Answer], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert command("read", tmp_path / "empty", "--out", tmp_path / "out").code == ExitCode.NOT_FOUND


def test_a_path_that_is_not_there_is_named(command: Callable[..., Answer], tmp_path: Path) -> None:
    answer = command("read", tmp_path / "gone", "--out", tmp_path / "out")
    assert answer.code == ExitCode.NOT_FOUND
    assert str(tmp_path / "gone") in answer.err
    assert not (tmp_path / "out").exists()


def test_an_unknown_reader_is_not_found(command: Callable[..., Answer], tmp_path: Path) -> None:
    assert command("read", tmp_path, "--reader", "nobody", "--out", tmp_path / "out").code == ExitCode.NOT_FOUND
