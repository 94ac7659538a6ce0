"""Labels from reports: joined to the right images, never over a person's label, everything else counted."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from coread.app.cli.main import app
from coread.models.lineage import read_record
from coread.train.datasets import ImageIndex, ImageRow, read_index, write_index
from coread.train.errors import BadPlan, DataMissing, DatasetExists
from coread.train.report_labels import SUMMARY, ReportPlan, SignedReport, label_from_reports

EFFUSION = "FINDINGS: Small left pleural effusion. Possible pneumonia. IMPRESSION: Effusion. No pneumothorax."


def row(number: int, **known: object) -> ImageRow:
    told = {"image_id": f"i{number}", "path": f"{number}.png", "patient_id": f"p{number // 2}"} | known
    return ImageRow(**told)  # type: ignore[arg-type]


ROWS = (
    row(
        0, study_id="s0", date="2024-03-01", labels={"pleural_effusion": 0.0, "edema": 1.0}, label_source="radiologists"
    ),
    row(1, study_id="s0", date="2024-03-01"),
    row(2, study_id="s2", date="2024-03-02"),
    row(3, study_id="s3", date="2024-03-02"),
    row(4, study_id="s4", date="2024-05-01", covariates={"accession_number": "A4"}),
    row(5, study_id="s5"),
)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    folder.mkdir()
    for one in ROWS:
        Image.fromarray(np.full((8, 8), 3, np.uint8)).save(folder / one.path)
    write_index(ImageIndex("own", folder, ROWS, folder), step="dataset build")
    return folder


def labelled(dataset: Path, *reports: SignedReport, **plan: object) -> dict[str, ImageRow]:
    out = dataset.with_name("out")
    label_from_reports(dataset, reports, out, ReportPlan(**plan))  # type: ignore[arg-type]
    return {one.image_id: one for one in read_index(out).rows}


def test_a_report_labels_every_image_of_its_study_with_the_words_behind_it(dataset: Path) -> None:
    found = labelled(dataset, SignedReport("r", EFFUSION, study_id="s0"), keep_text=True)
    one = found["i1"]
    assert (one.labels["pleural_effusion"], one.labels["pneumothorax"], one.labels["pneumonia"]) == (1.0, 0.0, None)
    assert one.label_uncertainty == {"pneumonia": 0.5}
    assert one.label_source == "report"
    told = one.covariates["report_labels"]["pleural_effusion"]
    assert told["source"] == "report"
    assert told["words"] == one.text[told["start"] : told["end"]] == "Effusion"
    assert told["uncertainty"] == 0.0
    assert one.covariates["report_labels"]["pneumonia"]["status"] == "uncertain"
    assert found["i2"] == ROWS[2]


def test_a_label_of_a_person_stays_and_the_contradiction_is_listed(dataset: Path) -> None:
    out = dataset.with_name("out")
    join = label_from_reports(dataset, [SignedReport("r", EFFUSION, study_id="s0")], out, ReportPlan())
    kept = join.index.rows[0]
    assert kept.labels["pleural_effusion"] == 0.0
    assert kept.labels["edema"] == 1.0
    assert kept.labels["pneumothorax"] == 0.0
    assert kept.label_source == "radiologists; report"
    assert "pleural_effusion" not in kept.covariates["report_labels"]
    assert [(c.image_id, c.label, c.there, c.report) for c in join.conflicts] == [("i0", "pleural_effusion", 0.0, 1.0)]
    assert json.loads((out / SUMMARY).read_text())["conflicts"][0]["evidence"] == "Effusion"
    assert read_record(out).parents


def test_an_accession_number_of_two_patients_joins_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    numbers = ("A1", "A1", "A2")
    rows = tuple(row(n * 2, study_id=f"s{n}", covariates={"accession_number": a}) for n, a in enumerate(numbers))
    for one in rows:
        Image.fromarray(np.full((8, 8), 3, np.uint8)).save(folder / one.path)
    write_index(ImageIndex("own", folder, rows, folder), step="dataset build")
    reports = [
        SignedReport("two hospitals", EFFUSION, accession_number="A1", patient_id="p0"),
        SignedReport("A1.txt", EFFUSION),
        SignedReport("of a stranger", EFFUSION, accession_number="A2", patient_id="p9"),
        SignedReport("whose it is", EFFUSION, accession_number="A2", patient_id="p2"),
    ]
    join = label_from_reports(folder, reports, tmp_path / "out", ReportPlan())
    assert join.matched == {"accession number": 1}
    assert join.ambiguous == ("two hospitals", "A1.txt", "of a stranger")
    assert [bool(one.labels) for one in join.index.rows] == [False, False, True]


def test_it_is_replaced_only_when_asked_for_and_never_by_a_hedge(dataset: Path) -> None:
    text = EFFUSION + " Possible pulmonary edema."
    found = labelled(dataset, SignedReport("r", text, study_id="s0"), overwrite=True)
    assert found["i0"].labels["pleural_effusion"] == 1.0
    assert found["i0"].labels["edema"] == 1.0


def test_ways_of_matching_and_what_matches_nothing(dataset: Path) -> None:
    reports = [
        SignedReport("by image", EFFUSION, image_id="i5"),
        SignedReport("by accession", EFFUSION, accession_number="A4"),
        SignedReport("by day", EFFUSION, patient_id="p0", date="2024-03-01"),
        SignedReport("two studies that day", EFFUSION, patient_id="p1", date="2024-03-02"),
        SignedReport("patient alone", EFFUSION, patient_id="p0"),
        SignedReport("another study of that day", EFFUSION, study_id="s9", patient_id="p0", date="2024-03-01"),
        SignedReport("folder/ss3.txt", EFFUSION),
        SignedReport("notes.txt", EFFUSION),
        SignedReport("german", "Kein Erguss, kein Pneumothorax. Das Herz ist nicht vergrößert.", study_id="s2"),
    ]
    join = label_from_reports(dataset, reports, dataset.with_name("out"), ReportPlan())
    assert join.matched == {"image": 1, "accession number": 1, "patient and day": 1, "study": 2}
    assert join.unmatched == ("patient alone", "another study of that day", "notes.txt")
    assert join.ambiguous == ("two studies that day",)
    assert join.not_assessed == (("german", "not English"),)
    assert join.without_report == 0
    assert join.added["pleural_effusion"] == 4
    assert join.index.rows[2].labels == {}


def test_two_reports_of_one_study_are_read_as_one(dataset: Path) -> None:
    addendum = SignedReport("b", "ADDENDUM: No pleural effusion after review.", study_id="s2")
    found = labelled(dataset, SignedReport("a", EFFUSION, study_id="s2"), addendum)
    assert found["i2"].labels["pleural_effusion"] == 0.0
    assert found["i2"].covariates["report_labels"]["pleural_effusion"]["report"] == "a, b"


def test_names_of_the_set_and_hedges_as_present(dataset: Path) -> None:
    report = SignedReport("r", EFFUSION, study_id="s3")
    found = labelled(dataset, report, names={"pneumonia": "Pneumonia"}, only=("pneumonia",), uncertain_as=1.0)
    assert found["i3"].labels == {"Pneumonia": 1.0}
    assert found["i3"].label_uncertainty == {"Pneumonia": 0.5}


def test_what_cannot_be_done_says_why_and_leaves_nothing(dataset: Path) -> None:
    out = dataset.with_name("out")
    with pytest.raises(DataMissing, match="none of 1 reports"):
        label_from_reports(dataset, [SignedReport("x", EFFUSION, study_id="s77")], out, ReportPlan())
    assert not out.exists()
    with pytest.raises(BadPlan, match="not read for effusion"):
        ReportPlan(only=("effusion",))
    label_from_reports(dataset, [SignedReport("x", EFFUSION, study_id="s0")], out, ReportPlan())
    with pytest.raises(DatasetExists):
        label_from_reports(dataset, [SignedReport("x", EFFUSION, study_id="s0")], out, ReportPlan())


def test_texts_are_never_put_beside_deidentified_images(tmp_path: Path) -> None:
    folder = tmp_path / "clean"
    rows = tuple(replace(one, path=f"{one.image_id}.png") for one in ROWS)
    write_index(ImageIndex("own", folder, rows, folder), step="dataset build", settings={"deidentify": {"profile": []}})
    with pytest.raises(BadPlan, match="de-identified"):
        label_from_reports(
            folder, [SignedReport("x", EFFUSION, study_id="s0")], tmp_path / "out", ReportPlan(keep_text=True)
        )


def test_the_command_joins_a_table_and_says_what_it_could_not(dataset: Path, tmp_path: Path) -> None:
    table = tmp_path / "reports.csv"
    with table.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["StudyInstanceUID", "PatientID", "StudyDate", "narrative"])
        writer.writerow(["s0", "p0", "20240301", EFFUSION])
        writer.writerow(["", "p2", "20240501", EFFUSION])
        writer.writerow(["s99", "", "", EFFUSION])
    out = dataset.with_name("out")
    words = ["dataset", "label", str(dataset), "--reports", str(table), "--out", str(out), "--set", "column=narrative"]
    answer = CliRunner().invoke(app, words)
    assert answer.exit_code == 0, answer.output
    assert "2 of 3 reports belong to images (1 by study, 1 by patient and day)" in " ".join(answer.output.split())
    assert "1 reports belong to no image here" in answer.output
    assert "1 labels that were there contradict the report" in answer.output
    assert {one.image_id for one in read_index(out).rows if "report_labels" in one.covariates} == {"i0", "i1", "i4"}
    again = CliRunner().invoke(app, [*words[:-2], "--set", "uncertain=maybe"])
    assert again.exit_code == 2
