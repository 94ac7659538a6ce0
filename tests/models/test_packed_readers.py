"""Runs become readers without code: what the clinic reads from DICOM is what the network said when it learnt."""

import io
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from PIL import Image

from coread.app.settings import Settings
from coread.domain.findings import Box, Presence
from coread.domain.images import PlanarImage
from coread.domain.reading import ReaderInputs
from coread.domain.results import ReadResult
from coread.domain.study import InstanceHeader
from coread.engine.conformance import CheckStatus, check_reader
from coread.engine.samples import inputs_of
from coread.engine.sessions import SessionSettings, open_reader
from coread.imaging.header import scan_header
from coread.imaging.planar import load_planar
from coread.models.calibrating import CalibratePlan
from coread.models.calibration_folder import calibrate_run
from coread.models.errors import BadImport
from coread.models.importing import Described
from coread.models.locking import packed_records
from coread.models.package import verify_package
from coread.models.packing import Wanted, pack_run
from coread.models.predictions import read_predictions
from coread.models.sbom import read_sbom
from coread.models.trust import SignatureRule
from coread.phantoms.dx import Identity
from coread.phantoms.wrap import radiograph_from_image
from coread.readers.planned.reader import covariate
from coread.readers.registry import planned_reader
from coread.statistics.thresholds import Rule
from coread.train.datasets import ImageIndex, ImageRow, read_index, write_index
from coread.train.heading import make_head, pretrain
from coread.train.networks import NetworkPlan
from coread.train.running import run_recipe
from coread.train.selfsupervised import SelfPlan
from tests.acceptance.conftest import coread, save
from tests.app.installed_tiny import command
from tests.models.releases import validation
from tests.train.made_up import made_up_dataset, write_recipe
from tests.train.test_without_labels import bars

pytestmark = pytest.mark.filterwarnings("ignore")
CALIBRATE = CalibratePlan((("balanced", Rule.youden()),), methods=("platt",), repeats=20)
LOGIT = 0.03
"""The weights are stored as float16, which the stored predictions are not."""


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Made:
    """A data set, the run over it, and the release that it became."""

    dataset: Path
    run: Path
    release: Path


def packed(run: Path, out: Path, *parts: str, reader_id: str = "shapes") -> Path:
    calibrated = run.with_name(f"{run.name}-calibrated")
    calibrate_run(run, calibrated, CALIBRATE, parts=parts, progress=lambda *_: None)
    about = Described(reader_id, "Shapes", "0.1.0", "DX", "CHEST", training_data="drawn", licence="CC0-1.0")
    pack_run(run, calibrated, out, Wanted(about))
    return out


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Class, box and outline of one bright shape, with age, sex and view beside the image."""
    folder = tmp_path_factory.mktemp("packed")
    dataset = made_up_dataset(folder / "shapes")
    run_recipe(write_recipe(folder, 'covariates = ["age", "sex", "view:AP"]'), folder / "run")
    return Made(dataset, folder / "run", packed(folder / "run", folder / "release", "tune"))


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A line over a frozen encoder, from 60 drawn bars that are not square."""
    folder = tmp_path_factory.mktemp("head")
    (folder / "images").mkdir()
    images, upright = bars(60)
    rows = []
    for number, (image, truth) in enumerate(zip(images, upright, strict=True)):
        wide = np.pad(image[0], ((0, 0), (0, 13)))
        Image.fromarray(np.kron(wide, np.ones((3, 3), dtype=np.uint8))).save(folder / "images" / f"{number}.png")
        labels = {"Upright bar": float(truth)}
        rows.append(ImageRow(f"bar-{number}", f"{number}.png", patient_id=f"p{number // 2}", labels=labels))
    write_index(ImageIndex("bars", folder / "images", tuple(rows), folder / "set"), step="dataset build")
    plan = SelfPlan(network=NetworkPlan(widths=(4, 8), depths=(1, 1), stem_stride=2), epochs=1, batch=16, width=16)
    pretrain([folder / "images"], folder / "encoder", plan, side=32)
    make_head(folder / "set", "Upright bar", folder / "run", folder / "encoder")
    release = packed(folder / "run", folder / "release", "out of fold", reader_id="bars")
    return Made(folder / "set", folder / "run", release)


def dicom(row: ImageRow, root: Path, folder: Path) -> PlanarImage:
    """The stored picture as a radiograph with the row's age, sex and view in its header, read back from its file."""
    identity = Identity(
        patient_sex=row.sex, patient_age=f"{row.age:03.0f}Y" if row.age is not None else "", patient_birth_date="",
        uid_seed=row.image_id, accession_number=row.image_id[:16],
    )  # fmt: skip
    with Image.open(root / row.path) as opened:
        stream = io.BytesIO()
        opened.save(stream, "png")
    path = save(
        radiograph_from_image(stream.getvalue(), identity, view=row.view or "PA"), folder / f"{row.image_id}.dcm"
    )
    return load_planar(path, scan_header(path))


def read(release: Path, *images: PlanarImage) -> ReadResult:
    opened = open_reader(planned_reader(release), SessionSettings().open)
    prepared = opened.reader.prepare(inputs_of(images))
    assert not hasattr(prepared, "reason"), prepared
    result = opened.reader.interpret(opened.session, prepared, opened.reader.infer(opened.session, prepared))
    assert isinstance(result, ReadResult)
    return result


def test_a_reader_says_of_dicom_files_what_the_network_said_of_the_stored_images(shapes: Made, tmp_path: Path) -> None:
    index = read_index(shapes.dataset)
    said = {table.output: table for table in read_predictions(shapes.run / "predictions.parquet", ["tune"])}
    curves = json.loads((shapes.release / "model/calibration.json").read_text())["outputs"]
    assert set(curves) == {"round", "square", "where_round", "where_square"}
    for row in [row for row in index.rows if row.part == "tune"][:4]:
        result = read(shapes.release, dicom(row, index.root, tmp_path))
        found = {key: max(item.probability or 0.0 for item in result.findings if item.key == key) for key in curves}
        for key, name in (("round", "round"), ("where_square", "where.square")):
            logit = said[name].logits[said[name].cases.index(row.image_id)]
            wanted = 1 / (1 + np.exp(-(curves[key]["a"] * logit + curves[key]["b"])))
            assert found[key] == pytest.approx(wanted, abs=LOGIT)


def test_boxes_and_outlines_lie_on_the_image_whatever_its_size(shapes: Made, tmp_path: Path) -> None:
    index = read_index(shapes.dataset)
    row = index.rows[0]
    small = dicom(row, index.root, tmp_path)
    large = replace(small, pixels=np.kron(small.pixels, np.ones((4, 6), dtype=np.float32)), valid=None)
    one, other = read(shapes.release, small), read(shapes.release, large)
    (region,) = other.regions
    assert region.mask.shape == large.pixels.shape
    assert region.images == one.regions[0].images
    boxes = [place for item in one.findings for place in item.locations]
    wide = [place for item in other.findings for place in item.locations]
    assert len(boxes) == len(wide)
    for first, second in zip(boxes, wide, strict=True):
        assert isinstance(first, Box)
        assert isinstance(second, Box)
        assert (second.column_min, second.row_max) == pytest.approx((first.column_min * 6, first.row_max * 4), abs=0.5)


def test_values_that_the_header_does_not_tell_are_missing_and_not_zero(shapes: Made, tmp_path: Path) -> None:
    index = read_index(shapes.dataset)
    image = dicom(index.rows[1], index.root, tmp_path)
    reader = open_reader(planned_reader(shapes.release), SessionSettings().open).reader

    def beside(header: InstanceHeader) -> list[float]:
        prepared: Any = reader.prepare(ReaderInputs(inputs_of([image]).study, (replace(image, header=header),)))
        return [float(value) for value in prepared.arrays["covariates"][0]]

    assert beside(image.header) == [41.0, 0.0, 1.0]
    bare = replace(image.header, patient_age="", patient_birth_date="", patient_sex="O", view_position="")
    assert np.isnan(beside(bare)).all()
    assert covariate("sex:F", replace(image.header, patient_sex="f")) == 1.0
    assert covariate("view:PA", image.header) == 0.0
    assert np.isnan([covariate("sex:F", replace(image.header, patient_sex=sex)) for sex in ("U", "N", "")]).all()
    assert np.isnan(covariate("age", replace(image.header, patient_age="999Y")))
    assert read(shapes.release, replace(image, header=bare)).findings


def test_what_every_case_shows_is_outlined_without_a_probability(shapes: Made, tmp_path: Path) -> None:
    card = tomllib.loads((shapes.release / "card.toml").read_text())
    assert any("no probability" in limit for limit in card["limits"])
    index = read_index(shapes.dataset)
    (shape,) = [item for item in read(shapes.release, dicom(index.rows[2], index.root, tmp_path)).findings
                if item.key == "shape"]  # fmt: skip
    assert (shape.probability, shape.operating_point) == (None, "")
    assert shape.presence in (Presence.PRESENT, Presence.ABSENT)


def test_a_packed_reader_keeps_the_contract_of_readers(shapes: Made, head: Made) -> None:
    for made in (shapes, head):
        installed = planned_reader(made.release)
        failed = [item for item in check_reader(installed) if item.status is CheckStatus.FAILED]
        assert not failed


def test_a_packed_release_says_what_it_was_made_with_and_from(shapes: Made, head: Made) -> None:
    for made in (shapes, head):
        package = verify_package(made.release / "model", made.release / "card.toml")
        assert {"LICENCE.txt", "data_statement.md", "sbom.json", "preprocessing.json"} <= set(package.names())
        assert [record.step for record in packed_records(made.release / "model")] == ["train", "calibrate"]
        listed = json.loads((made.release / "model/sbom.json").read_text())["components"]
        stages = {said["value"] for item in listed if item["name"] == "torch" for said in item["properties"]}
        assert stages == {"fit", "pack"}
        assert "onnxruntime" in dict(read_sbom(made.release / "model"))
        assert not [name for name in package.names() if not name.endswith((".onnx", ".json", ".npz", ".md", ".txt"))]


def test_a_few_shot_head_reads_dicom_as_it_learnt(head: Made, tmp_path: Path) -> None:
    from coread.models.session import open_session
    from coread.train.heading import thumbnails

    index = read_index(head.dataset)
    thumbs, _ = thumbnails(index, [0, 1, 2], 32, lambda *_: None)
    opened = open_reader(planned_reader(head.release), SessionSettings().open)
    for row, thumb in zip(index.rows[:3], thumbs, strict=True):
        image = dicom(row, index.root, tmp_path)
        prepared: Any = opened.reader.prepare(inputs_of([image]))
        assert prepared.arrays["image"][0] * 255 == pytest.approx(thumb, abs=1e-3)
    session = open_session(head.release / "model", head.release / "card.toml")
    (finding,) = read(head.release, image).findings
    logit = float(session.run("network", {"image": thumb[None].astype(np.float32) / 255})["finding"][0, 0])
    assert finding.probability == pytest.approx(session.calibrate("upright_bar", logit), abs=1e-4)


def test_a_box_run_is_packed_verified_and_validated_by_commands(shapes: Made, tmp_path: Path) -> None:
    from coread.validate.cohort_writing import write_cohort

    index = read_index(shapes.dataset)
    rows = [
        {
            "case_id": row.image_id, "patient_id": row.patient_id, "files": row.path, "age": row.age,
            "view": row.view, "truth:round": row.labels["round"] == 1.0,
            "truth:where_round": row.labels["round"] == 1.0,
            "boxes": [[f"where_{box.label}", box.x0, box.y0, box.x1, box.y1] for box in row.boxes],
            "mask:shape": row.mask,
        }
        for row in index.rows if row.part == "test"
    ]  # fmt: skip
    about = {"name": "shapes, test part", "root": str(index.root), "wrap": {"modality": "DX", "body_part": "CHEST"}}
    write_cohort(tmp_path / "cohort", about, rows)
    out = tmp_path / "release"
    made = coread(
        "models", "pack", shapes.run, shapes.run.with_name("run-calibrated"), "--out", out,
        "--reader-id", "my_shapes", "--body-part", "CHEST", "--json",
    )  # fmt: skip
    assert made.code == 0, made.err
    assert coread("models", "verify", out).code == 0
    measured = coread("validate", out, tmp_path / "cohort", "--out", tmp_path / "run", "--no-images", "--json")
    assert measured.code == 0, measured.err
    report = json.loads((tmp_path / "run/report.json").read_text())
    assert report["package_digest"] == json.loads(made.out)["digest"]
    assert report["cases"]["outcomes"]["failed"] == 0
    assert set(report["masks"]) == {"shape"}
    assert "where_round" in report["boxes"]


@pytest.mark.parametrize(
    ("top", "head_lines", "said"),
    [
        ('covariates = ["age", "indication", "haemoglobin"]', "", "indication, haemoglobin beside the image"),
        ("", '[[heads]]\ntask = "Regression"\nname = "size"\noutputs = ["grade"]\n', "gives quantities"),
    ],
)
def test_what_the_clinic_cannot_give_or_call_is_refused(
    shapes: Made, tmp_path: Path, top: str, head_lines: str, said: str
) -> None:
    """The run is one whose plan says so: nothing is trained for a refusal."""
    from coread.train.recipes import read_recipe, recipe_to_json

    recipe = write_recipe(tmp_path, top)
    recipe.write_text(recipe.read_text() + head_lines)
    run = tmp_path / "run"
    run.mkdir()
    (run / "plan.json").write_text(json.dumps(recipe_to_json(read_recipe(recipe))))
    from coread.models.run_plans import plan_of

    with pytest.raises(BadImport, match=said):
        plan_of(run, {"round", "square", "where.round", "where.square"})


@pytest.mark.slow
def test_a_few_shot_head_reads_a_dicom_file_in_the_clinic(head: Made, tmp_path: Path) -> None:
    """Installed and switched on like any version, from a run and without a line of code."""
    site = Settings.model_validate({"folder": tmp_path / "site", "require_signature": SignatureRule.OFF})
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    assert command(nothing, site, "models", "install", head.release).code == 0
    record = validation(tmp_path / "v", verify_package(head.release / "model", head.release / "card.toml").digest)
    switched = command(nothing, site, "models", "switch", "bars", "0.1.0", "--validation", record)
    assert switched.code == 0, switched.err
    index = read_index(head.dataset)
    dicom(index.rows[0], index.root, tmp_path / "study")
    answer = command(nothing, site, "read", tmp_path / "study", "--reader", "bars", "--out", tmp_path / "out", "--json")
    assert answer.code == 0, answer.err
    (reading,) = json.loads((tmp_path / "out/results.json").read_text())["readings"]
    assert reading["reader_id"] == "bars"
    assert reading["outcome"] in ("positive", "negative")
    kinds = {pydicom.dcmread(path).Modality for path in (tmp_path / "out").rglob("*.dcm")}
    assert "SR" in kinds
