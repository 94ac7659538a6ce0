"""A run and its calibration become a release without code; what does not belong together is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from coread.domain.cards import Estimate
from coread.domain.codes import Code
from coread.imaging.plan import plan_from_json
from coread.models.calibration import calibration_from_json
from coread.models.errors import BadImport, BrokenLineage
from coread.models.importing import Described
from coread.models.lineage import read_record, write_record
from coread.models.locking import Locked
from coread.models.packing import MeasuredNumbers, PointNumbers, Wanted, key_of, pack_run
from coread.readers.card_file import read_card

LABELS = ("Pleural Effusion", "Mass")
POINTS = """
[["outputs"."{label}"."operating_points"]]
name = "balanced"
threshold = {threshold}
rule = "largest sum of sensitivity and specificity (Youden)"
sensitivity = {{ value = 0.9, low = 0.8, high = 0.95, n = 50 }}
specificity = {{ value = 0.8, low = 0.7, high = 0.9, n = 50 }}
measured_on = "calibration cases"
"""
WANTED = Wanted(
    Described("my_reader", "Mine", "0.1.0", "DX", "CHEST", training_data="drawn"),
    codes={"mass": Code("4147007", "SCT", "Mass")}, urgent=frozenset({"mass"}),
)  # fmt: skip


def brightness_graph(outputs: int) -> bytes:
    """The mean of the image, once for each output."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Concat", ["mean"] * outputs, ["finding"], axis=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 8, 8])
    finding = helper.make_tensor_value_info("finding", TensorProto.FLOAT, ["n", outputs])
    graph = helper.make_graph(nodes, "mean", [image], [finding])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return bytes(model.SerializeToString())


def make_run(folder: Path, **changes: Any) -> Path:
    folder.mkdir()
    head = {"name": "finding", "classes": list(LABELS)}
    plan = {
        "heads": [{"task": "MultiLabel", "head": head}],
        "images": {"side": [8, 8], "colour": False, "window": None}, "covariates": [],
    }  # fmt: skip
    (folder / "plan.json").write_text(json.dumps(plan | changes), encoding="utf-8")
    (folder / "network.onnx").write_bytes(brightness_graph(len(LABELS)))
    write_record(folder, "train", inputs={}, outputs=["network.onnx", "plan.json"])
    return folder


def calibrate(run: Path, folder: Path) -> Path:
    folder.mkdir()
    labels = [
        name for entry in json.loads((run / "plan.json").read_text())["heads"] for name in entry["head"]["classes"]
    ]
    curves = {label: {"a": 1.5, "b": -0.5} for label in labels}
    body = {"schema": 1, "method": "platt", "outputs": curves}
    (folder / "calibration.json").write_text(json.dumps(body), encoding="utf-8")
    text = "".join(POINTS.format(label=label, threshold=0.25) for label in labels)
    (folder / "operating_points.toml").write_text(text, encoding="utf-8")
    outputs = ["calibration.json", "operating_points.toml"]
    write_record(folder, "calibrate", inputs={}, outputs=outputs, parents=[read_record(run)])
    return folder


def numbers(threshold: float) -> MeasuredNumbers:
    estimate = Estimate(0.7, 0.6, 0.8, 40)
    points = {key_of(label): {"balanced": PointNumbers(threshold, estimate, None)} for label in LABELS}
    return MeasuredNumbers("drawn, test, n = 40", "one sentence", {key_of(label): estimate for label in LABELS}, points)


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path]:
    run = make_run(tmp_path / "run")
    return run, calibrate(run, tmp_path / "calibrated")


def pack(made: tuple[Path, Path], out: Path, **more: Any) -> Locked:
    return pack_run(*made, out, WANTED, **more)


def test_a_release_says_what_the_files_say_and_no_number_that_was_not_measured(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    done = pack(made, tmp_path / "release")
    card = read_card(tmp_path / "release" / "card.toml")
    assert [output.key for output in card.outputs] == ["pleural_effusion", "mass"]
    assert [output.urgent for output in card.outputs] == [False, True]
    assert all(output.auc is None for output in card.outputs)
    point = card.outputs[0].operating_point()
    assert (point.threshold, point.sensitivity, point.specificity) == (0.25, None, None)
    model = tmp_path / "release" / "model"
    plan = plan_from_json((model / "preprocessing.json").read_bytes())
    assert [(item.key, item.index) for item in plan.outputs] == [("pleural_effusion", 0), ("mass", 1)]  # type: ignore[union-attr]
    curves = calibration_from_json((model / "calibration.json").read_bytes())
    assert curves.probability("mass", 1.0) == pytest.approx(0.7310586)
    assert [path.name for path in sorted((model / "records").iterdir())] == ["01-train", "02-calibrate"]
    assert done.package.reader_id == "my_reader"


def test_measured_numbers_come_onto_the_card_when_they_are_of_this_calibration(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    pack(made, tmp_path / "release", numbers=numbers(0.2500004))
    card = read_card(tmp_path / "release" / "card.toml")
    assert card.outputs[1].auc == Estimate(0.7, 0.6, 0.8, 40)
    with pytest.raises(BadImport, match="another network or calibration"):
        pack(made, tmp_path / "other", numbers=numbers(0.3))
    assert not (tmp_path / "other").exists()


def test_a_calibration_of_another_run_is_refused(made: tuple[Path, Path], tmp_path: Path) -> None:
    other = make_run(tmp_path / "another", covariates=[], note="other")
    with pytest.raises(BadImport, match="was not made from"):
        pack_run(other, made[1], tmp_path / "release", WANTED)


def test_a_run_that_does_not_come_from_the_records_named_leaves_nothing_to_install(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "stranger").mkdir()
    write_record(tmp_path / "stranger", "split", inputs={}, outputs=[])
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(BrokenLineage, match="does not come from"):
        pack(made, tmp_path / "release", records=(tmp_path / "stranger",))
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    locked = pack(made, tmp_path / "release")
    assert locked.package.folder == tmp_path / "release/model"
    assert locked.record == read_record(tmp_path / "release")
    assert locked.record.parents == (read_record(made[0]).digest, read_record(made[1]).digest)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"covariates": ["haemoglobin"]}, "haemoglobin beside the image, which the clinic cannot give"),
        ({"covariates": ["vendor:Somebody"]}, "cannot give"),
        ({"heads": [{"task": "Regression", "head": {"name": "a", "classes": ["a"]}}]}, "quantities"),
        ({"heads": [{"task": "Segmentation", "head": {"name": "a", "classes": ["a"]}}]}, "the graph has no 'a'"),
        ({"heads": [{"task": "Segmentation", "head": {"name": "finding", "classes": ["a"]}}]}, "has shape"),
        ({"heads": [{"task": "WeakSegmentation", "head": {"name": "a", "classes": ["a"]}}]}, "the graph has no 'a'"),
        ({"heads": [{"task": "Boxes", "head": {"name": "a", "classes": ["a"]}}]}, "no curve for 'a.a'"),
        ({"images": {"side": [8, 8, 8], "colour": False, "window": None}}, "over volumes"),
        ({"images": {"side": [100000, 8], "colour": False, "window": None}}, "rows and columns"),
        ({"images": {}}, "KeyError"),
        ({"images": {"side": [8, 8], "colour": False, "window": None, "channels": ["t1", "t2"]}}, "several views"),
        ({"images": {"side": [8, 8], "colour": False, "window": [0, 100]}}, "display values"),
        ({"heads": [{"task": "MultiLabel", "head": {"name": "f", "classes": ["A b", "a-B"]}}]}, "same key"),
    ],
)
def test_what_a_plan_cannot_follow_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    run = make_run(tmp_path / "run", **changes)
    with pytest.raises(BadImport, match=words):
        pack_run(run, calibrate(run, tmp_path / "calibrated"), tmp_path / "release", WANTED)
