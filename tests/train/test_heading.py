"""Few labels through the installed command: teach an encoder, fit a head, ask what to label next."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coread.models.lineage import read_record
from coread.train.datasets import ImageIndex, ImageRow, read_index, write_index
from coread.train.errors import BadPlan, DataMissing, DatasetExists
from coread.train.frozen_heads import embed
from coread.train.heading import OWN_ENCODER, make_head, pretrain, suggest_next
from coread.train.networks import NetworkPlan
from coread.train.selfsupervised import SelfPlan, read_encoder
from tests.acceptance.conftest import coread
from tests.train.test_without_labels import bars

PLAN = SelfPlan(network=NetworkPlan(widths=(4, 8), depths=(1, 1), stem_stride=2), epochs=2, batch=16, width=16)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of drawn bars: 60 labelled, 20 not, one file broken."""
    root = tmp_path_factory.mktemp("bars")
    (root / "images").mkdir()
    images, upright = bars(80)
    rows = []
    for number, (image, is_upright) in enumerate(zip(images, upright, strict=True)):
        Image.fromarray(image[0]).save(root / "images" / f"{number}.png")
        labels = {"upright": float(is_upright) if number < 60 else None}
        rows.append(ImageRow(f"bar-{number}", f"{number}.png", patient_id=f"p{number // 2}", labels=labels))
    (root / "images" / "5.png").write_bytes(b"broken")
    write_index(ImageIndex("bars", root / "images", tuple(rows), root / "set"), step="dataset build")
    return root


@pytest.fixture(scope="module")
def encoder(labelled: Path) -> Path:
    folder = labelled / "encoder"
    pretrain([labelled / "images"], folder, PLAN, side=32)
    return folder


def test_a_head_run_leads_back_to_its_data_and_its_encoder(labelled: Path, encoder: Path, tmp_path: Path) -> None:
    out = tmp_path / "head"
    answer = coread(
        "train", str(labelled / "set"), "--head", "upright", "--encoder", str(encoder), "--out", str(out), "--json"
    )
    assert answer.code == 0, answer.err
    document = json.loads(answer.out)
    assert document["auc"]["value"] > 0.8
    assert document["auc"]["n"] == 59
    assert list(document["left_out"]) == ["bar-5"]
    record = read_record(out)
    assert record.parents == (read_record(labelled / "set").digest, read_record(encoder).digest)
    made = {"network.onnx", "predictions.parquet", "calibration.json", "head.json", "environment.json"}
    assert set(record.outputs) == made
    with pytest.raises(DatasetExists):
        make_head(labelled / "set", "upright", out, encoder)
    with pytest.raises(DataMissing, match="no label 'lying'"):
        make_head(labelled / "set", "lying", tmp_path / "other", encoder)
    assert not (tmp_path / "other").exists()


def test_nothing_is_learned_from_the_part_that_is_kept_for_measuring(
    labelled: Path, encoder: Path, tmp_path: Path
) -> None:
    index = read_index(labelled / "set")
    parts = ["test" if number < 20 else "train" for number in range(len(index.rows))]
    rows = tuple(replace(row, part=part) for row, part in zip(index.rows, parts, strict=True))
    write_index(replace(index, rows=rows, folder=tmp_path / "split"), step="split")
    run = make_head(tmp_path / "split", "upright", tmp_path / "head", encoder)
    assert run.head.auc.n == 40
    assert run.record.settings["parts"] == ["train"]
    _, chosen = suggest_next(tmp_path / "split", "upright", count=100, encoder=encoder)
    assert all(one.row >= 60 for one in chosen)
    everything = tuple(replace(row, part="test") for row in index.rows)
    write_index(replace(index, rows=everything, folder=tmp_path / "tests"), step="split")
    with pytest.raises(DataMissing, match="none is in part train or tune"):
        make_head(tmp_path / "tests", "upright", tmp_path / "none", encoder)


def test_only_images_without_a_label_are_suggested_one_per_patient(
    labelled: Path, encoder: Path, tmp_path: Path
) -> None:
    table = tmp_path / "next.csv"
    options = ("--label", "upright", "--count", "6", "--encoder", str(encoder), "--out", str(table))
    answer = coread("dataset", "suggest", str(labelled / "set"), *options)
    assert answer.code == 0, answer.err
    with table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 6
    assert all(int(row["image_id"].removeprefix("bar-")) >= 60 for row in rows)
    assert len({row["patient_id"] for row in rows}) == 6
    _, everything = suggest_next(labelled / "set", "another finding", count=100, encoder=encoder)
    assert len(everything) == 40, "no label yet: every patient once"


def test_pretraining_goes_on_where_it_was_and_is_read_back(labelled: Path, encoder: Path) -> None:
    again = pretrain([labelled / "images"], encoder, PLAN, side=32)
    assert len(again.history) == 2
    with pytest.raises(BadPlan, match="most differ"):
        pretrain([labelled / "images"], encoder, PLAN, side=32, most=10)
    assert np.isfinite([row["loss"] for row in again.history]).all()
    bad = coread("pretrain", str(labelled / "nowhere"), "--out", str(labelled / "none"))
    assert bad.code == 5
    assert "does not exist" in bad.err


def test_the_encoder_that_comes_with_coread_can_be_read() -> None:
    taught = read_encoder(OWN_ENCODER)
    assert taught.network.shape == (64, 64)
    assert embed(taught, np.zeros((1, 1, 64, 64), np.uint8)).shape == (1, 2 * 160 + 96)
    assert "Research use" in (OWN_ENCODER / "README.md").read_text(encoding="utf-8")
