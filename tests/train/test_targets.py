"""From the rows of an index to targets and network images: every rule with a row that shows it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coread.train.datasets import Box, ImageIndex, ImageRow
from coread.train.decoded import decode_index, display_values, to_side
from coread.train.errors import BadPlan, BadTarget
from coread.train.pictures import PictureStore
from coread.train.recipes import HeadSource, ImagePlan
from coread.train.saying import one_against_the_rest, prediction_rows
from coread.train.targets import box_target, check_labels, covariate_table, mask_labels, vector_target
from coread.train.tasks import Boxes, Head, MultiClass, MultiLabel, Ordinal, Regression, Segmentation
from tests.train.shapes import CLASSES, shapes

ROW = ImageRow(
    "one", "one.png", labels={"a": 1.0, "b": 0.0, "c": None, "grade": 2.0, "area": 7.5}, age=61.0, sex="M", view="AP",
    covariates={"lactate": 2.5, "site": "north"},
)  # fmt: skip


def test_labels_become_targets_and_what_is_not_told_stays_unknown() -> None:
    many = vector_target(HeadSource(MultiLabel("x", ("a", "b", "c", "d"))), [ROW])
    assert np.array_equal(many, [[1, 0, np.nan, np.nan]], equal_nan=True)
    assert vector_target(HeadSource(Regression("x", ("area",))), [ROW]).tolist() == [[7.5]]
    assert vector_target(HeadSource(Ordinal("x", ("0", "1", "2")), label="grade"), [ROW]).tolist() == [2]
    assert vector_target(HeadSource(MultiClass("x", ("b", "a"))), [ROW]).tolist() == [1]
    unknown = replace(ROW, labels={"a": None, "b": None, "other": 1.0})
    assert vector_target(HeadSource(MultiClass("x", ("b", "a"))), [unknown]).tolist() == [-1]
    outside = replace(ROW, labels={"other": 1.0})
    assert vector_target(HeadSource(MultiClass("x", ("b", "a")), others="leave_out"), [outside]).tolist() == [-1]
    with pytest.raises(BadTarget, match="ends at 1"):
        vector_target(HeadSource(Ordinal("x", ("0", "1")), label="grade"), [ROW])
    with pytest.raises(BadPlan, match="'z'; there are a, b"):
        check_labels([HeadSource(MultiLabel("x", ("a", "z")))], ["a", "b"], [])
    with pytest.raises(BadPlan, match="normal"):
        check_labels([HeadSource(Segmentation("x", ("a",)), empty_when=("normal",))], ["a", "b"], [])


def test_clinical_values_are_numbers_or_missing() -> None:
    table = covariate_table(["age", "sex", "view:AP", "view:PA", "lactate", "site:north", "troponin"], [ROW])
    assert table is not None
    assert np.array_equal(table[0], [61, 1, 1, 0, 2.5, 1, np.nan], equal_nan=True)
    blank = covariate_table(["age", "sex", "view:AP"], [ImageRow("x", "x.png")])
    assert blank is not None
    assert np.isnan(blank).all()
    assert covariate_table([], [ROW]) is None


def test_boxes_scale_with_the_image_and_none_means_nobody_looked() -> None:
    head = Boxes("where", CLASSES)
    boxed = replace(ROW, boxes=(Box("square", 10, 20, 30, 60), Box("other", 0, 0, 5, 5)))
    found = box_target(HeadSource(head), boxed, (200, 100), (50, 50))
    assert found is not None
    assert found.tolist() == [[1, 5, 5, 15, 15]]
    assert box_target(HeadSource(head), ROW, (200, 100), (50, 50)) is None
    for source in (HeadSource(head, complete=True), HeadSource(head, empty_when=("a",))):
        empty = box_target(source, ROW, (200, 100), (50, 50))
        assert empty is not None
        assert len(empty) == 0
    assert box_target(HeadSource(head, empty_when=("b",)), ROW, (200, 100), (50, 50)) is None


def test_masks_become_labels() -> None:
    one, two = (HeadSource(Segmentation("m", classes)) for classes in (("a",), ("a", "b")))
    assert mask_labels(one, np.array([[0, 255], [7, 0]])).tolist() == [[0, 1], [1, 0]]
    assert mask_labels(two, np.array([[0, 2], [1, 0]])).tolist() == [[0, 2], [1, 0]]
    with pytest.raises(BadTarget, match="value 3"):
        mask_labels(two, np.array([[3]]))


def test_images_of_every_kind_become_display_values(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    grey16 = random.integers(0, 4000, (30, 20)).astype(np.uint16)
    colour = random.integers(0, 256, (30, 20, 3)).astype(np.uint8)
    volume = random.normal(size=(6, 30, 20)).astype(np.float32)
    Image.fromarray(grey16).save(tmp_path / "grey.png")
    Image.fromarray(colour).save(tmp_path / "colour.png")
    np.save(tmp_path / "volume.npy", volume)
    store = PictureStore(tmp_path)

    def shown(name: str, plan: ImagePlan) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return display_values(store, ImageRow("x", name), plan)

    square = ImagePlan(side=(16, 16))
    assert shown("grey.png", replace(square, window=(0, 4000))) == pytest.approx(grey16 / 4000, abs=1e-6)
    assert 0 <= shown("grey.png", square).min() <= shown("grey.png", square).max() <= 1
    tinted = shown("colour.png", replace(square, colour=True))
    assert tinted == pytest.approx(colour / 255, abs=1e-6)
    assert shown("colour.png", square).shape == (30, 20)
    assert shown("grey.png", replace(square, colour=True)).shape == (30, 20, 3)
    assert to_side(tinted, replace(square, colour=True)).shape == (3, 16, 16)
    cube = ImagePlan(side=(8, 16, 16), window=(-3, 3))
    assert to_side(shown("volume.npy", cube), cube).shape == (1, 8, 16, 16)
    constant = to_side(np.full((31, 47), 0.5, np.float32), ImagePlan(side=(12, 20)))
    assert constant.shape == (1, 12, 20)
    assert set(constant.flat) == {128}


def test_a_mask_stays_on_what_it_marks_when_the_image_is_stretched(tmp_path: Path) -> None:
    image = np.zeros((90, 60), np.uint8)
    image[30:60, 20:40] = 255
    Image.fromarray(image).save(tmp_path / "image.png")
    Image.fromarray(image).save(tmp_path / "mask.png")
    rows = (ImageRow("a", "image.png", mask="mask.png"), ImageRow("b", "image.png"))
    index = ImageIndex("x", tmp_path, rows, tmp_path)
    source = HeadSource(Segmentation("region", ("thing",)))
    told: list[int] = []
    for _ in range(2):
        decoded = decode_index(
            index, ImagePlan(side=(30, 30)), [source], tmp_path / "cache", lambda done, _: told.append(done)
        )
    assert told == [1, 2], "the second time nothing is decoded"
    assert np.array_equal(decoded.masks["region"][0] == 1, decoded.images[0, 0] > 127)
    assert (decoded.masks["region"][1] == 255).all()
    assert decoded.shapes.tolist() == [[90, 60], [90, 60]]


def test_predictions_name_outputs_and_keep_what_is_unknown() -> None:
    data = shapes(6)
    heads: list[Head] = [MultiClass("type", CLASSES), Boxes("where", CLASSES), Ordinal("grade", ("s", "m", "l"))]
    random = np.random.default_rng(0)
    said = {
        "type": random.normal(size=(6, 2)).astype(np.float32),
        "where": random.normal(size=(6, 6, 8, 8)).astype(np.float32),
        "grade": random.normal(size=(6, 2)).astype(np.float32),
    }
    rows = list(prediction_rows(heads, said, data, ["test"] * 6))
    outputs = {row[3] for row in rows}
    assert outputs == {"round", "square", "where.round", "where.square", "grade at least m", "grade at least l"}
    square = [row for row in rows if row[3] == "square"]
    assert [row[5] for row in square] == pytest.approx((said["type"][:, 1] - said["type"][:, 0]).tolist(), abs=1e-5)
    assert [row[4] for row in square] == np.asarray(data.targets["type"]).astype(float).tolist()
    three = np.array([[2.0, 0.0, -1.0]])
    probability = np.exp(three[0]) / np.exp(three[0]).sum()
    for k in range(3):
        assert 1 / (1 + np.exp(-one_against_the_rest(three, k)[0])) == pytest.approx(probability[k])
