"""``coread train``: from a data set folder and a recipe to a run folder, and every way in which that can fail."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from coread.domain.errors import CoreadError
from coread.models.errors import BrokenLineage
from coread.models.graphs import load_graph
from coread.models.lineage import read_record, sha256_of
from coread.models.predictions import read_predictions
from coread.train.augmenting import AugmentPlan
from coread.train.datasets import ImageIndex, read_index
from coread.train.decoded import decode_index
from coread.train.errors import BadPlan, BadTarget, CorruptImage, DataMissing, Leak, OneClass
from coread.train.fit import read_fitted
from coread.train.gathering import gather
from coread.train.module import FitPlan
from coread.train.networks import NetworkPlan
from coread.train.recipes import ExportPlan, ImagePlan, Recipe, read_recipe
from coread.train.running import run_recipe
from coread.train.selfsupervised import SelfPlan, teach_encoder
from tests.train.made_up import made_up_dataset, write_recipe

pytestmark = pytest.mark.filterwarnings("ignore")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data set ``shapes``, its recipe, and the finished run ``run``."""
    folder = tmp_path_factory.mktemp("train")
    made_up_dataset(folder / "shapes")
    run_recipe(write_recipe(folder, 'covariates = ["age", "sex", "view:AP"]'), folder / "run")
    return folder


def test_a_run_folder_holds_all_that_was_made_and_how(finished: Path) -> None:
    run = finished / "run"
    names = {path.name for path in run.iterdir()}
    assert names == {
        "recipe.toml", "plan.json", "environment.json", "data.json", "summary.json", "record.json", "curves.png",
        "predictions.parquet", "network.onnx", "fit", "logs",
    }  # fmt: skip
    record = read_record(run)
    assert record.step == "train"
    assert record.parents == (read_record(finished / "shapes").digest,)
    assert set(record.outputs) >= {"network.onnx", "predictions.parquet", "fit/network.pt"}
    assert "torch" in json.loads((run / "environment.json").read_text())["packages"]
    with Image.open(run / "curves.png") as picture:
        assert picture.size[0] > 600
    assert list((run / "logs" / "fit").glob("events.*"))


def test_the_graph_says_what_the_predictions_say(finished: Path) -> None:
    run = finished / "run"
    tables = {table.output: table for table in read_predictions(run / "predictions.parquet", ["tune", "test"])}
    assert {"round", "square"} <= set(tables)
    recipe = read_recipe(finished / "recipe.toml")
    gathered = gather(recipe, finished / "cache", lambda *_: None)
    rows = gathered.rows(["test"])
    data = gathered.data.subset(rows)
    assert data.covariates is not None
    graph = load_graph("onnxruntime", (run / "network.onnx").read_bytes(), 1)
    found = graph.run({"image": np.asarray(data.images, np.float32) / 255, "covariates": data.covariates})["type"]
    stored = dict(zip(tables["square"].cases, tables["square"].logits, strict=True))
    for key, (no, yes) in zip(data.keys, found, strict=True):
        assert stored[key] == pytest.approx(yes - no, abs=0.02)


def test_a_finished_run_is_read_back_and_never_touched(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "run").rglob("*") if path.is_file()}
    summary = run_recipe(finished / "recipe.toml", finished / "run")
    assert summary is not None
    assert summary.images == {"train": 24, "tune": 16, "test": 8}
    other = finished / "other.toml"
    other.write_text((finished / "recipe.toml").read_text().replace("epochs = 2", "epochs = 3"))
    with pytest.raises(BadPlan, match=r"another recipe \(fit differ\)"):
        run_recipe(other, finished / "run")
    with pytest.raises(BadPlan, match="holds no run"):
        run_recipe(finished / "recipe.toml", finished / "shapes")
    assert before == {path: path.stat().st_mtime_ns for path in (finished / "run").rglob("*") if path.is_file()}


def test_a_run_whose_files_were_changed_is_not_trusted(finished: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(finished / "run", tmp_path / "run")
    (copied / "predictions.parquet").write_bytes(b"x")
    with pytest.raises(BrokenLineage, match=r"predictions\.parquet"):
        run_recipe(finished / "recipe.toml", copied)


def test_an_interrupted_run_goes_on_to_the_same_result(finished: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(words: str, done: int, _: int) -> None:
        if "loss" in words and done == 4:
            raise Stopped

    with pytest.raises(Stopped):
        run_recipe(finished / "recipe.toml", finished / "again", stop)
    run_recipe(finished / "recipe.toml", finished / "again")
    one, other = (read_record(finished / name).outputs for name in ("run", "again"))
    for name in ("network.onnx", "predictions.parquet", "fit/network.pt", "summary.json"):
        assert one[name] == other[name], name


def test_folds_predict_every_patient_by_a_network_that_did_not_see_them(tmp_path: Path) -> None:
    made_up_dataset(tmp_path / "shapes")
    summary = run_recipe(write_recipe(tmp_path, "folds = 2", epochs="epochs = 1"), tmp_path / "run")
    assert summary is not None
    assert set(summary.scores) == {"fold0", "fold1"}
    tables = {table.output: table for table in read_predictions(tmp_path / "run" / "predictions.parquet", ["tune"])}
    assert len(tables["round"].cases) == 40
    members = [read_fitted(tmp_path / "run" / f"fold{k}") for k in range(2)]
    assert len(members[0].history) == 1


def test_decoded_images_are_kept_and_used_again(finished: Path) -> None:
    told: list[str] = []
    run_recipe(finished / "recipe.toml", finished / "third", lambda words, *_: told.append(words))
    assert not [words for words in told if "decoding" in words]
    assert [words for words in told if "fit loss" in words]


Change = Callable[[Path], dict[int, dict[str, Any]]]


@pytest.mark.parametrize(
    ("changes", "top", "error", "words"),
    [
        ({3: {"path": "images/nowhere.png"}}, "", CorruptImage, r"1 of 48 images.*image3.*nowhere\.png is not there"),
        ({3: {"path": "images/broken.png"}}, "", CorruptImage, r"image3.*broken\.png cannot be decoded.*skip_damaged"),
        ({3: {"labels": {"oval": 1.0}}}, "", BadTarget, "image3 has oval, which is none of round, square"),
        ({3: {"labels": {"round": 1.0, "square": 1.0}}}, "", BadTarget, "round, square at once"),
        ({0: {"part": "tune"}}, "", Leak, "patient0 stands in parts"),
        ({i: {"labels": {"round": 1.0, "square": 0.0}} for i in range(48)}, "", OneClass, "only 0 for type"),
        ({i: {"part": ""} for i in range(48)}, "", DataMissing, "no image"),
        ({}, 'tune = ["no"]', DataMissing, r"'no'.*parts here are.*dataset split"),
        ({}, "folds = 40", OneClass, "fold"),
        ({}, 'covariates = "age"', BadPlan, "covariates must be a list"),
        ({}, 'train = ["train", "test"]', BadPlan, "'test' stands twice"),
        ({}, "folds = 1", BadPlan, "at least 2"),
        ({}, "colour = true", BadPlan, r"colour is no setting; there are"),
    ],
)
def test_what_is_wrong_with_data_or_recipe_is_said_and_nothing_is_made(
    changes: dict[int, dict[str, Any]], top: str, error: type[CoreadError], words: str, tmp_path: Path
) -> None:
    made_up_dataset(tmp_path / "shapes", changes=changes)
    (tmp_path / "shapes" / "images" / "broken.png").write_bytes(b"\x89PNG no")
    with pytest.raises(error, match=words):
        run_recipe(write_recipe(tmp_path, top), tmp_path / "run")
    assert not (tmp_path / "run" / "record.json").exists()
    assert not (tmp_path / "run" / "network.onnx").exists()


@pytest.mark.parametrize(
    ("key", "line", "words"),
    [
        ("epochs", 'epochs = "many"', "fit.epochs must be a whole number"),
        ("epochs", "epochs = 0", "at least 1"),
        ("task", 'task = "Guess"', "task 'Guess' is unknown"),
        ("side", "side = [32]", "two or three numbers"),
        ("widths", "widths = [8]", "equally many"),
        ("storage", 'storage = "int4"', "int4"),
        ("classes", 'classes = ["round", "oval"]', "no image has the label 'oval'"),
        ("name", "name = 3 4", "cannot be read as a recipe"),
    ],
)
def test_a_wrong_key_of_a_recipe_is_named(key: str, line: str, words: str, tmp_path: Path) -> None:
    made_up_dataset(tmp_path / "shapes", count=12)
    with pytest.raises(BadPlan, match=words):
        run_recipe(write_recipe(tmp_path, **{key: line}), tmp_path / "run")


def test_damaged_images_can_be_skipped_and_are_listed(tmp_path: Path) -> None:
    made_up_dataset(tmp_path / "shapes", changes={3: {"path": "images/broken.png"}})
    (tmp_path / "shapes" / "images" / "broken.png").write_bytes(b"no picture")
    recipe = write_recipe(tmp_path, 'skip_damaged = true\nskip = ["image5"]', epochs="epochs = 1")
    summary = run_recipe(recipe, tmp_path / "run")
    assert summary is not None
    assert summary.left_out == 2
    left_out = json.loads((tmp_path / "run" / "data.json").read_text())["left_out"]
    assert set(left_out) == {"image3", "image5"}


TWO = 'datasets = ["shapes", "others"]'


def test_sets_with_one_name_are_refused(tmp_path: Path) -> None:
    made_up_dataset(tmp_path / "shapes")
    made_up_dataset(tmp_path / "others", seed=5)
    with pytest.raises(BadPlan, match=r"two data sets are called shapes: .*others"):
        run_recipe(write_recipe(tmp_path, datasets=TWO), tmp_path / "run")


def test_a_picture_in_the_train_part_of_one_set_and_the_test_part_of_another_is_a_leak(tmp_path: Path) -> None:
    made_up_dataset(tmp_path / "shapes")
    copied = tmp_path / "shapes" / "images" / "0.png"
    digest = sha256_of(copied)
    made_up_dataset(tmp_path / "others", seed=5, name="others", changes={11: {"sha256": digest}})
    shutil.copyfile(copied, tmp_path / "others" / "images" / "11.png")
    with pytest.raises(Leak, match=f"picture {digest} stands in parts 0 and 2"):
        gather(read_recipe(write_recipe(tmp_path, datasets=TWO)), tmp_path / "cache", lambda *_: None)


def test_a_patient_of_two_sets_that_one_adapter_read_is_one_patient(tmp_path: Path) -> None:
    made_up_dataset(tmp_path / "shapes")
    made_up_dataset(tmp_path / "others", seed=5, name="others")
    recipe = read_recipe(write_recipe(tmp_path, datasets=TWO))
    assert len(set(gather(recipe, tmp_path / "cache", lambda *_: None).data.groups)) == 48, "of two adapters: 24 each"
    rebuilt(tmp_path / "shapes", adapter="dicom_table")
    rebuilt(tmp_path / "others", seed=5, name="others", adapter="dicom_table")
    assert len(set(gather(recipe, tmp_path / "cache", lambda *_: None).data.groups)) == 24
    rebuilt(
        tmp_path / "others",
        seed=5,
        name="others",
        adapter="dicom_table",
        changes={0: {"part": "test"}, 1: {"part": "test"}},
    )
    with pytest.raises(Leak, match="patient dicom_table/patient0 stands in parts 0 and 2"):
        gather(recipe, tmp_path / "cache", lambda *_: None)


def rebuilt(folder: Path, **changed: Any) -> None:
    """Make a data set in place of another, as somebody does who builds it again under the same path."""
    shutil.rmtree(folder)
    made_up_dataset(folder, **changed)


def test_a_finished_run_over_a_set_that_was_built_again_is_not_read_back(tmp_path: Path) -> None:
    made_up_dataset(tmp_path / "shapes", count=24)
    recipe = write_recipe(tmp_path, epochs="epochs = 1")
    first = run_recipe(recipe, tmp_path / "run")
    assert run_recipe(recipe, tmp_path / "run") == first
    rebuilt(tmp_path / "shapes", count=24, changes={3: {"age": 70.0}})
    with pytest.raises(BadPlan, match=r"holds a run over other data \(shapes changed since\)"):
        run_recipe(recipe, tmp_path / "run")
    shutil.rmtree(tmp_path / "shapes")
    assert run_recipe(recipe, tmp_path / "run") == first, "without its data a run still is what it was"


def test_a_run_begins_with_a_taught_encoder_and_learns_from_images_without_labels(tmp_path: Path) -> None:
    network = NetworkPlan(widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), stem_stride=2)
    plan = SelfPlan(network=network, epochs=1, batch=8, patch=8, width=16)
    teach_encoder(np.random.default_rng(0).integers(0, 255, (24, 1, 32, 32), np.uint8), plan, tmp_path / "encoder")
    loose = {i: {"part": "loose", "labels": {}, "boxes": (), "mask": ""} for i in range(8)}
    made_up_dataset(tmp_path / "shapes", changes=loose)
    top = 'encoder = "encoder"\nunlabelled = ["loose"]\nunlabelled_plan = {method = "mean_teacher", batch = 4}'
    recipe = write_recipe(tmp_path, top, epochs="epochs = 1")
    text = recipe.read_text()
    without_boxes = text[: text.index('[[heads]]\ntask = "Boxes"')] + text[text.index("[fit]") :]
    recipe.write_text(without_boxes)
    assert run_recipe(recipe, tmp_path / "run") is not None
    data = json.loads((tmp_path / "run" / "data.json").read_text())
    assert data["unlabelled"] == 8
    assert data["encoder"] == read_record(tmp_path / "run").inputs["encoder"]
    facts = json.loads((tmp_path / "run" / "fit" / "fitted.json").read_text())
    assert facts["network"]["widths"] == [8, 8, 8, 8]
    assert facts["unlabelled"]["images"] == 8
    recipe.write_text(without_boxes + "\n[network]\nwidths = [4, 4]\ndepths = [1, 1]\n")
    with pytest.raises(BadPlan, match="the encoder does not fit this network"):
        run_recipe(recipe, tmp_path / "other")
    recipe.write_text(without_boxes.replace('"encoder"', '"nowhere"'))
    with pytest.raises(BadPlan, match="no taught encoder"):
        run_recipe(recipe, tmp_path / "third")


@pytest.mark.parametrize(
    ("top", "error", "words"),
    [
        ('unlabelled = ["train"]', BadPlan, "stands under unlabelled and among"),
        ('unlabelled = ["no"]', DataMissing, "'no', named under unlabelled"),
        ("unlabelled_plan = {sure = 0.8}", BadPlan, "no part says what"),
        ('unlabelled = ["loose"]', Leak, "patient0 stands in parts"),
    ],
)
def test_images_without_labels_are_other_parts_and_other_patients_than_the_tests(
    top: str, error: type[CoreadError], words: str, tmp_path: Path
) -> None:
    made_up_dataset(tmp_path / "shapes", count=24, changes={0: {"part": "loose"}, 1: {"part": "test"}})
    with pytest.raises(error, match=words):
        gather(read_recipe(write_recipe(tmp_path, top)), tmp_path / "cache", lambda *_: None)


def test_an_image_or_mask_that_is_another_than_the_set_knows_is_damaged(tmp_path: Path) -> None:
    made_up_dataset(tmp_path / "shapes", count=24)
    index = read_index(tmp_path / "shapes")
    recipe = read_recipe(write_recipe(tmp_path))
    images = tmp_path / "shapes" / "images"
    known = {row.mask: sha256_of(images.parent / row.mask) for row in index.rows}
    proved = replace(index, mask_digests=known)

    def damaged(of: ImageIndex) -> set[int]:
        return set(decode_index(of, recipe.images, recipe.heads, tmp_path / "cache", lambda *_: None).damaged)

    assert damaged(proved) == set()
    for name in ("2.png", "5_mask.png"):
        with Image.open(images / name) as picture:
            changed = Image.fromarray(255 - np.asarray(picture))
        changed.save(images / name)
    assert damaged(proved) == set(), "what was decoded before is what the record proves"
    shutil.rmtree(tmp_path / "cache")
    assert damaged(proved) == {2, 5}
    assert damaged(index) == {2}, "sets of before know no digest of a mask"
    again = replace(index, mask_digests=known | {"images/5_mask.png": sha256_of(images / "5_mask.png")})
    assert damaged(again) == {2}


def test_the_recipe_in_the_page_is_one(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "train-a-reader.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "shapes.toml").write_text(text, encoding="utf-8")
    recipe = read_recipe(tmp_path / "shapes.toml")
    assert [type(source.head).__name__ for source in recipe.heads] == ["Boxes", "Segmentation"]
    for kind in (Recipe, ImagePlan, FitPlan, AugmentPlan, ExportPlan):
        missing = [field.name for field in fields(kind) if f"`{field.name}`" not in page.replace("[`", "`")]
        assert not set(missing) - {"fit", "heads", "images", "export", "network", "augment", "share"}, kind


def test_the_command_answers_as_json_and_with_exit_codes(tmp_path: Path) -> None:
    made_up_dataset(tmp_path / "shapes", count=24)
    recipe = write_recipe(tmp_path, epochs="epochs = 1")
    command = [sys.executable, "-m", "coread", "train", str(recipe), "--out", str(tmp_path / "run"), "--threads", "1"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == {"train": 12, "tune": 8, "test": 4}
    missing = subprocess.run(
        [*command[:4], str(tmp_path / "no.toml"), *command[5:]], capture_output=True, text=True, timeout=60, check=False
    )
    assert missing.returncode == 5
    assert "there is no recipe" in missing.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_fit_together_and_write_once(tmp_path: Path) -> None:
    made_up_dataset(tmp_path / "shapes")
    recipe = write_recipe(tmp_path, epochs="epochs = 3")
    alone = run_recipe(recipe, tmp_path / "alone")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [
        *launch,
        "-m",
        "coread",
        "train",
        str(recipe),
        "--out",
        str(tmp_path / "both"),
        "--threads",
        "1",
        "--json",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads(done.stdout)
    assert alone is not None
    assert summary["images"] == dict(alone.images)
    assert summary["epochs"] == {"fit": 3}
    one, two = read_fitted(tmp_path / "alone" / "fit"), read_fitted(tmp_path / "both" / "fit")
    # Each process draws its own random changes and its own batch statistics: close, not equal.
    assert two.history[-1]["loss"] == pytest.approx(one.history[-1]["loss"], rel=0.35)
    assert len(list((tmp_path / "both" / "logs" / "fit").glob("events.*"))) == 1
    tables = read_predictions(tmp_path / "both" / "predictions.parquet", ["tune", "test"])
    assert all(len(set(table.cases)) == len(table.cases) for table in tables)
