"""A data set of de-identified copies: nothing in its folder knows the originals; the risk that remains is reported."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom import dcmread
from typer.testing import CliRunner

from coread.app.cli.main import app
from coread.imaging.deidentification.rules import Option
from coread.train.adapters.contract import ReadOptions
from coread.train.dataset_build import BuildPlan, build_dataset
from coread.train.datasets import ImageRow, read_index
from coread.train.deidentified import REPORT, REPORT_PAGE, Deidentifier, DeidentifyPlan, HeldBack, read_rules
from coread.train.errors import BadPlan, DataMissing
from coread.train.pictures import PictureStore
from tests.train.adapters.made import ROOT, dicom, table

NAMES = ("Mustermann^Erika", "MRN-774411", "19640812", "Weiss^Anna", "ACC-9981", f"{ROOT}.3.", f"{ROOT}.4.")


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    """Three patients with two images each; one image has a name burned in."""
    source = tmp_path / "hospital"
    random = np.random.default_rng(0)
    for number in range(6):
        pixels = np.clip(random.normal(90, 20, (96, 256)), 0, 200).astype(np.uint8)
        if number == 3:
            picture = Image.fromarray(pixels)
            ImageDraw.Draw(picture).text((5, 10), "MUSTERMANN ERIKA 12.08.64", 255, ImageFont.load_default(16))
            pixels = np.asarray(picture)
        dicom(
            source / f"Mustermann-{number}.dcm", rows=96, columns=256, PixelData=pixels.tobytes(),
            SOPInstanceUID=f"{ROOT}.3.{number}", StudyInstanceUID=f"{ROOT}.4.{number // 2}",
            PatientID=f"MRN-774411{number // 2}", PatientName="Mustermann^Erika", PatientBirthDate="19640812",
            ReferringPhysicianName="Weiss^Anna", AccessionNumber=f"ACC-9981{number}", PatientSex="F",
            StudyDate=f"2023010{1 + number}", SeriesDescription="Chest Mustermann", BodyPartExamined="HEAD",
        )  # fmt: skip
    table(tmp_path / "labels.csv", "AccessionNumber,effusion", *[f"ACC-9981{n},{n % 2}" for n in range(6)])
    return source


def plan(hospital: Path, out: Path, **rules: object) -> BuildPlan:
    return BuildPlan(
        "dicom_table", hospital, out, options=ReadOptions(hospital.parent / "labels.csv"),
        deidentify=DeidentifyPlan(**rules),  # type: ignore[arg-type]
    )  # fmt: skip


def test_nothing_in_the_folder_of_the_set_names_the_patient(hospital: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    built = build_dataset(plan(hospital, out, options=frozenset(Option)))
    found = read_index(out)
    assert found.rows == built.rows
    assert len(found.rows) == 5, "one image was held back"
    for path in out.rglob("*"):
        assert "ustermann" not in path.name
        if path.is_file() and path.suffix != ".parquet":
            data = path.read_bytes()
            assert not [name for name in NAMES if name.encode() in data], path
    assert not [name for name in NAMES if name in repr(found.rows)]
    assert not (out / ".key").exists()
    assert len({row.patient_id for row in found.rows}) == 3
    assert sorted(row.labels["effusion"] or 0 for row in found.rows) == [0, 0, 0, 1, 1]
    assert {row.sex for row in found.rows} == {"F"}
    held = json.loads((tmp_path / "set.held_back.json").read_text())
    assert [(item["sop_instance_uid"], item["reasons"]) for item in held] == [
        (f"{ROOT}.3.3", ["strokes in the pixels look like text"])
    ]
    with PictureStore.of(found) as store:
        assert store.pixels(found.rows[0].path).shape == (96, 256)


def test_the_report_says_what_was_kept_and_how_few_share_an_age(hospital: Path, tmp_path: Path) -> None:
    build_dataset(plan(hospital, tmp_path / "set", options=frozenset({Option.PATIENT, Option.DESCRIPTORS})))
    report = json.loads((tmp_path / "set" / REPORT).read_text())
    assert report["objects"] == 5
    assert report["held_back"]["objects"] == 1
    assert report["k_anonymity"]["smallest_group"] == 3
    assert report["k_anonymity"]["patients_in_groups_below_5"] == 3
    assert report["free_text"]["SeriesDescription"]["values"] == ["Chest"]
    assert report["head_volumes"] == 5
    assert [item["code"] for item in report["profile"]] == ["113100", "113105", "113108"]
    page = (tmp_path / "set" / REPORT_PAGE).read_text()
    assert "k anonymity" in page
    assert "<script" not in page


def test_a_key_gives_the_same_pseudonyms_again_and_no_key_others(hospital: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"0123456789abcdef0123456789abcdef")
    one, again = (build_dataset(plan(hospital, tmp_path / name, key_file=key)) for name in ("a", "b"))
    assert [row.patient_id for row in one.rows] == [row.patient_id for row in again.rows]
    assert one.digest == again.digest
    other = build_dataset(plan(hospital, tmp_path / "c"))
    assert {row.patient_id for row in one.rows}.isdisjoint(row.patient_id for row in other.rows)
    record = json.loads((tmp_path / "a" / "record.json").read_text())
    assert record["settings"]["deidentify"]["key"] == "file"
    assert str(hospital) not in json.dumps(record)
    key.write_bytes(b"short")
    with pytest.raises(BadPlan, match="holds 5 bytes"):
        build_dataset(plan(hospital, tmp_path / "d", key_file=key))


def test_an_image_that_somebody_has_looked_at_is_let_through(hospital: Path, tmp_path: Path) -> None:
    built = build_dataset(plan(hospital, tmp_path / "set", accept=frozenset({f"{ROOT}.3.3"})))
    assert len(built.rows) == 6


def test_a_set_of_which_everything_is_held_back_is_not_written(tmp_path: Path) -> None:
    source = tmp_path / "us"
    dicom(source / "1.dcm", Modality="US")
    with pytest.raises(HeldBack, match="all 1 images were held back"):
        build_dataset(BuildPlan("dicom_folder", source, tmp_path / "set", deidentify=DeidentifyPlan()))
    assert not (tmp_path / "set").exists()


def test_an_identifier_that_is_a_path_names_no_file_outside_the_set(hospital: Path, tmp_path: Path) -> None:
    crafted = "1.2.840.10008.9/../../../../escaped"
    with pytest.warns(UserWarning, match="Invalid value for VR UI"):
        dicom(hospital / "crafted.dcm", SOPInstanceUID=crafted, AccessionNumber="ACC-99810", BodyPartExamined="HEAD",
              PatientID="MRN-7744119")  # fmt: skip
    (tmp_path / "set").mkdir()
    row = Deidentifier.of(DeidentifyPlan(), hospital, tmp_path / "set").row(ImageRow("crafted", "crafted.dcm"))
    assert row.path.startswith("dataset:images/P")
    assert (tmp_path / "set" / row.path.removeprefix("dataset:")).is_file()
    assert "2.25." in row.image_id
    assert not list(tmp_path.rglob("*escaped*"))


def test_pictures_cannot_be_deidentified(made_up_set: Path, tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="no DICOM file; only those"):
        build_dataset(BuildPlan("cxr_nih", made_up_set, tmp_path / "set", deidentify=DeidentifyPlan()))


@pytest.mark.parametrize("text", ["retain = ['names']", "keep = 1", "retain = 'dates'", "= 1"])
def test_rules_that_are_wrong_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "rules.toml").write_text(text)
    with pytest.raises(BadPlan):
        read_rules(tmp_path / "rules.toml")
    with pytest.raises(BadPlan, match="cannot be read"):
        read_rules(tmp_path / "none.toml")


def test_the_command_reads_rules_and_writes_the_set(hospital: Path, tmp_path: Path) -> None:
    (tmp_path / "seen.txt").write_text(f"{ROOT}.3.3\n")
    (tmp_path / "rules.toml").write_text('retain = ["dates", "patient"]\naccept_file = "seen.txt"\n')
    words = ["dataset", "build", "dicom_table", str(hospital), "--out", str(tmp_path / "set"), "--json",
             "--set", f"table={tmp_path / 'labels.csv'}", "--deidentify", str(tmp_path / "rules.toml")]  # fmt: skip
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["images"] == 6
    first = dcmread(next((tmp_path / "set" / "images").rglob("*.dcm")))
    assert first.LongitudinalTemporalInformationModified == "MODIFIED"
