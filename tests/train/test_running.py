"""``coread train``: from a data set folder and a recipe to a run folder, and every way in which that can fail."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from coread.domain.errors import CoreadError
from coread.models.errors import BrokenLineage
from coread.models.graphs import load_graph
from coread.models.lineage import read_record
from coread.models.predictions import read_predictions
from coread.train.augmenting import AugmentPlan
from coread.train.errors import BadPlan, BadTarget, CorruptImage, DataMissing, Leak, OneClass
from coread.train.fit import read_fitted
from coread.train.module import FitPlan
from coread.train.recipes import ExportPlan, ImagePlan, Recipe, read_recipe
from coread.train.running import run_recipe
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
    from coread.train.gathering import gather

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
    import shutil

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
