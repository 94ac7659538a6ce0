"""The shipped chest reader through the installed command: on generated chests, and on real ones where they are here."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from coread.phantoms.chest import ChestRecipe, chest_radiograph
from coread.phantoms.others import hand_radiograph
from coread.validate.cohort_writing import write_cohort
from tests.acceptance.conftest import coread


def chest_rows(folder: Path, count: int) -> list[dict[str, Any]]:
    """Every second chest has a large heart; every fifth is a child's, which the reader must turn away."""
    folder.mkdir()
    rows: list[dict[str, Any]] = []
    for number in range(count):
        child = number % 5 == 4
        findings = ("cardiomegaly",) if number % 2 == 0 and not child else ()
        recipe = ChestRecipe(seed=500 + number, findings=findings, size=0.9, rows=384, child=child)
        phantom = chest_radiograph(recipe)
        phantom.dataset.save_as(folder / f"{number}.dcm", enforce_file_format=True)
        boxes = [[t.key, t.box.column_min, t.box.row_min, t.box.column_max, t.box.row_max] for t in phantom.truth]
        rows.append({
            "case_id": f"chest{number}", "patient_id": f"p{number}", "files": f"{number}.dcm", "boxes": boxes,
            "truth:cardiomegaly": bool(findings), "expect": "refuse" if child else "read", "age": 4 if child else 54,
        })  # fmt: skip
    hand_radiograph(rows=384).save_as(folder / "hand.dcm", enforce_file_format=True)
    rows.append({"case_id": "hand", "patient_id": "hand", "files": "hand.dcm", "expect": "refuse"})
    return rows


def test_generated_chests_are_measured_and_children_and_hands_turned_away(tmp_path: Path) -> None:
    folder = tmp_path / "cohort"
    write_cohort(folder, {"name": "Generated chests", "simulated": True}, chest_rows(folder, 10))
    answer = coread("validate", "chest_xray", folder, "--out", tmp_path / "run", "--json")
    assert answer.code == 0, answer.err
    report = answer.json()
    assert report["cases"]["refused_share_of_unfit"]["value"] == 1.0
    assert {row["reason"] for row in report["refusals"]} == {"WRONG_AGE", "WRONG_BODY_PART"}
    heart = report["outputs"]["cardiomegaly"]
    assert heart["positives"] == 4
    assert heart["discrimination"]["auc"]["value"] > 0.9
    assert report["boxes"]["cardiomegaly"]["found_centre"]["value"] > 0.5
    assert report["cohorts"][0]["modalities"] == {"DX": 11}
    assert set(report["not_measured"]) == {"pneumothorax", "effusion", "opacity", "nodule_mass", "atelectasis"}


@pytest.mark.slow
@pytest.mark.shared
def test_real_chests_come_out_of_their_archive(shared_data: Path, tmp_path: Path) -> None:
    with (shared_data / "cxr_nih" / "index.csv").open(newline="") as stream:
        index = [row for _, row in zip(range(30), csv.DictReader(stream), strict=False)]
    rows = []
    for row in index:
        labels = row["labels"].split("|")
        rows.append({
            "case_id": row["image"], "patient_id": row["patient_id"], "files": f"images.zip!{row['image']}",
            "view": row["view"], "age": row["age"], "sex": row["sex"],
            "truth:effusion": "Effusion" in labels, "truth:cardiomegaly": "Cardiomegaly" in labels,
        })  # fmt: skip
    wrap = {"modality": "DX", "body_part": "CHEST"}
    description = {"name": "Real chests", "root": str(shared_data / "cxr_nih"), "wrap": wrap}
    write_cohort(tmp_path / "cohort", description, rows)
    answer = coread("validate", "chest_xray", tmp_path / "cohort", "--out", tmp_path / "run", "--no-images", "--json")
    assert answer.code == 0, answer.err
    report = answer.json()
    assert report["cases"]["read_share"]["value"] > 0.8
    assert report["outputs"]["cardiomegaly"]["discrimination"]["auc"]["value"] > 0.7
    frozen = json.loads((tmp_path / "cohort" / "frozen.json").read_text())
    assert len(frozen["files"]) == 30
    assert str(shared_data) not in json.dumps(report)
