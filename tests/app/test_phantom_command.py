"""``coread phantom``: what it lists, what it writes, and what it answers when the truth cannot be."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.main import app
from coread.imaging.header import scan_header
from coread.imaging.volume import load_volume
from coread.phantoms.reference.registry import PHANTOMS
from coread.phantoms.reference.truth import described

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "phantoms.md"
ONE_LESION = ["ct-lesions", "--truth", "volumes_ml=9", "--truth", "places=liver-7", "--truth", "doubling_days=90"]


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["phantom", *words])
    return done.exit_code, done.stdout, done.stderr


def test_all_phantoms_and_all_values_are_listed() -> None:
    code, out, _ = run("--json")
    assert code == 0
    assert [entry["name"] for entry in json.loads(out)] == list(PHANTOMS)
    for name, kind in PHANTOMS.items():
        code, out, _ = run(name, "--json")
        assert code == 0
        assert [row["name"] for row in json.loads(out)["truth"]] == [row["name"] for row in described(kind.truth)]


def test_the_reference_page_names_every_phantom_and_every_value() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, kind in PHANTOMS.items():
        section = page.split(f"## {name}\n", maxsplit=1)[1].split("\n## ", maxsplit=1)[0]
        for row in described(kind.truth):
            assert f"| `{row['name']}` |" in section, f"{name}: {row['name']}"


def test_a_tilted_coronal_series_is_written_with_its_truth(tmp_path: Path) -> None:
    out = tmp_path / "phantom"
    words = [
        *ONE_LESION,
        "--spacing",
        "8,5,5",
        "--orientation",
        "coronal",
        "--tilt",
        "12",
        "--noise",
        "5",
        "--kernel",
        "2",
    ]
    code, text, err = run(*words, "--dates", "20250101,20250401", "--seed", "4", "--json", "--out", str(out))
    assert code == 0, err
    truth = json.loads(text)
    assert truth == json.loads((out / "truth.json").read_text(encoding="utf-8"))
    assert truth["setup"]["tilt_degrees"] == 12.0
    assert [visit["date"] for visit in truth["examinations"]] == ["20250101", "20250401"]
    files = sorted((out / truth["examinations"][0]["series"][0]["folder"]).glob("*.dcm"))
    volume = load_volume([(path, scan_header(path)) for path in files])
    assert volume.geometry.spacing_mm()[1:] == pytest.approx((5.0, 5.0))
    assert truth["changes"]["lesions"][0]["volume_after_ml"] == pytest.approx(18.0)


def test_people_get_a_table(tmp_path: Path) -> None:
    code, text, _ = run(*ONE_LESION, "--spacing", "12", "--out", str(tmp_path / "one"))
    assert code == 0
    assert "SYNTHETIC" in text
    assert "lesion 1" in text
    code, text, _ = run("ct-lesions")
    assert code == 0
    assert "doubling_days" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ct-foot"], "no phantom"),
        (["ct-lesions", "--truth", "volumes_ml=-5"], "volumes_ml"),
        (["ct-lesions", "--truth", "size=5"], "KEY=VALUE"),
        (["ct-lesions", "--spacing", "1,2"], "spacing"),
        (["ct-lesions", "--spacing", "wide"], "spacing"),
        (["ct-lesions", "--orientation", "49"], "orientation"),
        (["ct-lesions", "--tilt", "80"], "tilt"),
        (["ct-lesions", "--dates", "20250101"], "examination"),
        (["ct-head", "--truth", "side=left"], "one of"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(words: list[str], message: str, tmp_path: Path) -> None:
    code, _, err = run(*words, "--out", str(tmp_path / "out"))
    assert code == ExitCode.USAGE
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
