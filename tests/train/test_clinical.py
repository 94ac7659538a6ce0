"""Clinical data beside the image: only what was known before it, what is missing stays missing, and what each adds."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from coread.app.cli.main import app
from coread.imaging.deidentification.rules import METHODS, Option
from coread.models.lineage import read_record, sha256_of
from coread.reports.indication import flags_of, indication_flags, indication_of
from coread.train.ablation import run_ablation, variants
from coread.train.clinical import ClinicalPlan, add_clinical, read_labs
from coread.train.datasets import ImageIndex, ImageRow, read_index, write_index
from coread.train.errors import BadPlan, BadTable, DataMissing
from coread.train.recipes import read_recipe

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


REPORT = "INDICATION: Fever and cough, no trauma. Rule out pneumonia.\n\nFINDINGS: Chest pain protocol. Clear lungs."


def written(folder: Path, rows: list[ImageRow]) -> Path:
    write_index(ImageIndex("own", folder.with_name("images"), tuple(rows), folder), step="dataset build")
    return folder


def table(
    path: Path, *lines: tuple[object, ...], head: tuple[str, ...] = ("patient_id", "date", "name", "value")
) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([head, *lines])
    return path


def row(number: int, **known: object) -> ImageRow:
    return ImageRow(**({"image_id": f"i{number}", "path": f"{number}.png"} | known))  # type: ignore[arg-type]


def test_values_are_not_put_beside_images_whose_dates_were_moved_when_the_set_was_built(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    rows = (row(0, patient_id="p", date="2024-03-05"),)
    write_index(
        ImageIndex("own", tmp_path / "images", rows, folder),
        step="dataset build", settings={"deidentify": {"profile": [f"{METHODS[Option.DATES][0]} (moved)"]}},
    )  # fmt: skip
    labs = table(tmp_path / "labs.csv", ("p", "2024-03-04", "crp", 7))
    with pytest.raises(BadPlan, match="were moved"):
        add_clinical(folder, tmp_path / "out", ClinicalPlan(labs=labs))
    assert add_clinical(folder, tmp_path / "out", ClinicalPlan(priors=True)).known == {"prior_count": 1}


def test_flags_come_from_the_indication_alone_and_denied_words_do_not_count() -> None:
    told = indication_of(REPORT)
    assert told == "Fever and cough, no trauma. Rule out pneumonia."
    flags = flags_of(told)
    assert tuple(flags) == indication_flags()
    assert {flag for flag, said in flags.items() if said} == {"fever", "cough"}
    assert flags_of("") == flags_of(" - ") == {}
    assert flags_of("Denies chest pain but short-of-breath after a fall")["dyspnea"]
    assert not flags_of("Denies chest pain but short-of-breath after a fall")["chest_pain"]
    assert not flags_of("scapula, falling apart")["trauma"]


@given(st.text(max_size=120))
def test_any_indication_is_answered(text: str) -> None:
    assert set(flags_of(text)) in (set(), set(indication_flags()))


def test_a_laboratory_value_counts_only_from_before_the_image_and_within_the_window(tmp_path: Path) -> None:
    rows = [
        row(0, patient_id="a", date="2024-03-10"),
        row(1, patient_id="b", date="2024-03-10"),
        row(2, patient_id="c", date="2024-03-10"),
        row(3, patient_id="d", date="2024-03-10"),
        row(4, patient_id="a", date="2024"),
        row(5),
    ]
    labs = table(
        tmp_path / "labs.csv",
        ("a", "2024-03-08", "crp", "12"), ("a", "2024-03-09 07:30:00", "crp", "80.5"),
        ("a", "2024-03-10", "crp", "999"),
        ("b", "2024-03-10", "crp", "5"), ("b", "2024-03-11", "crp", "6"), ("b", "2025-01-01", "crp", "6"),
        ("c", "2024-02-01", "crp", "7"), ("d", "2024-03-09", "crp", "hemolyzed"), ("x", "2024-03-09", "crp", "1"),
    )  # fmt: skip
    folder = written(tmp_path / "set", rows)
    added = add_clinical(folder, tmp_path / "out", ClinicalPlan(labs=labs))
    found = [one.covariates for one in read_index(tmp_path / "out").rows]
    assert found == [{"lab_crp": 80.5, "lab_crp_days": 1.0}, {}, {}, {}, {}, {}]
    assert (added.later, added.stale, added.strangers) == (3, 1, 1)
    same = add_clinical(folder, tmp_path / "same", ClinicalPlan(labs=labs, same_day=True))
    assert [one.covariates.get("lab_crp") for one in same.index.rows[:2]] == [999.0, 5.0]
    assert read_record(tmp_path / "out").inputs["labs"] == sha256_of(labs)


@given(st.lists(st.tuples(st.integers(-40, 40), st.floats(-5, 5)), max_size=12), st.integers(0, 30), st.booleans())
def test_no_value_from_after_an_image_is_ever_used(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[int, float]], window: int, same_day: bool
) -> None:
    day = np.datetime64("2024-06-15")
    folder = tmp_path_factory.mktemp("lab")
    lines = [("p", str(day + offset), "x", repr(value)) for offset, value in drawn]
    labs = table(folder / "labs.csv", *lines, ("p", "2024-06-14", "other", "1"))
    written(folder / "set", [row(0, patient_id="p", date=str(day))])
    plan = ClinicalPlan(labs=labs, window_days=max(window, 1), same_day=same_day)
    covariates = add_clinical(folder / "set", folder / "out", plan).index.rows[0].covariates
    usable = [(o, v) for o, v in drawn if o < (1 if same_day else 0) and -o <= plan.window_days]
    if not usable:
        assert "lab_x" not in covariates
    else:
        latest = max(o for o, _ in usable)
        assert covariates["lab_x_days"] == -latest
        assert covariates["lab_x"] in [v for o, v in usable if o == latest]


def test_priors_count_earlier_studies_of_the_same_patient_once_each(tmp_path: Path) -> None:
    rows = [
        row(0, patient_id="a", study_id="1", date="2024-01-01"),
        row(1, patient_id="a", study_id="1", date="2024-01-01"),
        row(2, patient_id="a", study_id="2", date="2024-01-11"),
        row(3, patient_id="a", study_id="3", date="2024-01-11"),
        row(4, patient_id="a", study_id="4", date="2024-02-01"),
        row(5, patient_id="b", study_id="5", date="2024-03-01", text=REPORT),
        row(6, patient_id="b", study_id="6"),
    ]
    folder = written(tmp_path / "set", rows)
    index = add_clinical(folder, tmp_path / "out", ClinicalPlan(priors=True, indication=True)).index
    told = [(one.covariates.get("prior_count"), one.covariates.get("prior_days_since")) for one in index.rows]
    assert told == [(0, None), (0, None), (1, 10), (1, 10), (3, 21), (0, None), (None, None)]
    assert index.rows[5].covariates["indication_fever"] == 1.0
    assert "indication_fever" not in index.rows[0].covariates


def test_what_cannot_be_joined_says_why(tmp_path: Path) -> None:
    folder = written(tmp_path / "set", [row(0, patient_id="a", date="2024-03-10")])
    out = tmp_path / "out"
    with pytest.raises(BadPlan, match="say what"):
        ClinicalPlan()
    with pytest.raises(BadTable, match="no column for value"):
        read_labs(table(tmp_path / "1.csv", ("a", "2024-01-01"), head=("patient_id", "date", "name")))
    with pytest.raises(BadTable, match=r"2.csv:2: 'yesterday' is no date"):
        read_labs(table(tmp_path / "2.csv", ("a", "yesterday", "crp", 1)))
    with pytest.raises(BadTable, match="no number of crp"):
        read_labs(table(tmp_path / "3.csv", ("a", "2024-01-01", "wbc", 1)), ["crp"])
    with pytest.raises(DataMissing, match="no line"):
        add_clinical(folder, out, ClinicalPlan(labs=table(tmp_path / "4.csv", ("z", "2024-03-09", "crp", 1))))
    with pytest.raises(DataMissing, match="nothing of what"):
        add_clinical(folder, out, ClinicalPlan(indication=True))
    undated = written(tmp_path / "undated", [row(0, patient_id="a")])
    with pytest.raises(BadPlan, match="a patient and a day"):
        add_clinical(undated, out, ClinicalPlan(priors=True))
    assert not out.exists()


RECIPE = """
name = "labs"
datasets = ["with_labs"]
covariates = ["lab_crp", "lab_crp_days", "age"]

[images]
side = 32

[[heads]]
task = "MultiLabel"
name = "finding"
classes = ["ill"]

[network]
widths = [4, 4]
depths = [1, 1]
stem_stride = 4
covariate_width = 16

[fit]
epochs = 6
batch = 16
learning_rate = 2e-2
accelerator = "cpu"
"""


@pytest.mark.slow
def test_where_the_truth_depends_on_a_laboratory_value_the_ablation_shows_what_it_adds(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    (tmp_path / "images").mkdir()
    rows, lines = [], []
    for number in range(160):
        Image.fromarray(random.integers(0, 255, (32, 32), np.uint8)).save(tmp_path / "images" / f"{number}.png")
        ill = number % 2 == 0
        if number % 8:  # some patients have no value
            lines.append((f"p{number}", "2024-03-09", "crp", f"{random.normal(90 if ill else 20, 15):.1f}"))
        part = "train" if number < 100 else "tune" if number < 120 else "test"
        rows.append(
            row(
                number, patient_id=f"p{number}", date="2024-03-10", age=float(random.integers(20, 90)),
                labels={"ill": float(ill)}, part=part, sha256=sha256_of(tmp_path / "images" / f"{number}.png"),
            )
        )  # fmt: skip
    written(tmp_path / "set", rows)
    add_clinical(tmp_path / "set", tmp_path / "with_labs", ClinicalPlan(labs=table(tmp_path / "labs.csv", *lines)))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    found = run_ablation(recipe, tmp_path / "run")
    assert found is not None
    assert found.part == "test"
    gain = {one.variant: one for one in found.gains}
    assert set(gain) == {"image and lab_crp", "image and age", "image and all"}
    assert gain["image and lab_crp"].auc > 0.8
    assert gain["image and lab_crp"].low > 0.0
    assert gain["image and all"].low > 0.0
    assert gain["image and age"].low < 0.0
    assert gain["image and age"].cases == 40
    again = run_ablation(recipe, tmp_path / "run")
    assert again is not None
    assert again.gains == found.gains
    assert len(read_record(tmp_path / "run").parents) == 4


def test_kinds_of_covariates_are_left_out_together(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    read = read_recipe(recipe)
    many = replace(read, covariates=("view:AP", "view:PA", "indication_fever", "indication_cough", "prior_count"))
    assert list(variants(many)) == [
        "image",
        "image and view",
        "image and indication",
        "image and prior",
        "image and all",
    ]
    assert list(variants(replace(read, covariates=("age",)))) == ["image", "image and all"]
    recipe.write_text(RECIPE.replace("covariates", "skip", 1))
    with pytest.raises(BadPlan, match="no covariates"):
        run_ablation(recipe, tmp_path / "run")


def test_the_commands_say_what_was_added(tmp_path: Path) -> None:
    folder = written(tmp_path / "set", [row(0, patient_id="a", date="2024-03-10", text=REPORT)])
    labs = table(tmp_path / "labs.csv", ("a", "2024-03-09", "crp", 4), ("a", "2024-03-12", "crp", 5))
    words = ["dataset", "clinical", str(folder), "--out", str(tmp_path / "out"), "--indication", "--labs", str(labs)]
    answer = CliRunner().invoke(app, [*words, "--set", "window=3"])
    assert answer.exit_code == 0, answer.output
    assert "1 values were taken too late" in " ".join(answer.output.split())
    assert read_index(tmp_path / "out").rows[0].covariates["lab_crp"] == 4.0
    assert CliRunner().invoke(app, [*words, "--set", "window=soon"]).exit_code == 2
