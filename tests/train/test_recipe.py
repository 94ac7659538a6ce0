"""The chest recipe runs on a made-up set: every step, to a reader that is locked and proves itself; and its parts."""

import io
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from coread.models.golden import check_golden
from coread.models.session import open_session
from coread.readers.card_file import read_card
from coread.readers.chest_xray import packaging
from coread.readers.chest_xray.cohort import GateImages, cohort_rows, parts_of, read_cohort, truth_of
from coread.readers.chest_xray.outputs import FINDINGS
from coread.readers.chest_xray.recipe import Settings, fast, refused_of, run
from coread.readers.chest_xray.words import page_with
from coread.readers.classifying.words import page_of
from coread.readers.registry import inspect_reader
from coread.train.augment import AugmentPlan, expose, warp
from coread.train.errors import BadPlan, DataMissing, ExportDiffers
from coread.train.export import export_onnx, fold_and_round, worst_difference
from coread.train.fitting import FindingModule, FitPlan, fit
from coread.train.network import FindingNetwork, MirrorEnsemble, NetworkPlan, soft_maximum
from coread.train.radiographs import read_cxr_nih, read_images
from coread.train.samples import BatchPlan, Samples, box_masks, samples_of
from coread.validate.card_numbers import check_record

SMALL = NetworkPlan(findings=2, gate_classes=5, auxiliary=1, map_width=4, head_width=4)
SHORT = FitPlan(sides=((64, 1), (64, 2)), batch=BatchPlan(main=4, gate=2), seed=3)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def at_full_size(folder: Path, copied: Path) -> Path:
    """Copy a set with its images as large as those of the real one: the reader refuses small ones."""
    copied.mkdir(parents=True)
    shutil.copyfile(folder / "index.csv", copied / "index.csv")
    with zipfile.ZipFile(copied / "images.zip", "w") as archive:
        for name, image in read_images(folder):
            stored = io.BytesIO()
            Image.fromarray(image).resize((448, 448), Image.Resampling.NEAREST).save(stored, format="PNG")
            archive.writestr(name, stored.getvalue())
    return copied


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_recipe_makes_a_locked_reader_that_reproduces_its_golden_cases(made_up_set: Path, tmp_path: Path) -> None:
    made_up_set = at_full_size(made_up_set, tmp_path / "data" / "cxr_nih")
    settings = fast(Settings(made_up_set.parent, tmp_path))
    made = run(settings)
    card = read_card(made / "card.toml")
    assert [output.key for output in card.outputs] == list(FINDINGS)
    held_out = sum(row["expect"] == "read" for row in cohort_rows(read_cohort(made_up_set), ()))
    assert all(output.auc is not None and output.auc.n == held_out for output in card.outputs)
    session = open_session(made / "model", made / "card.toml", engine="onnxruntime")
    check_golden(session, made / "model").require()
    assert check_record(inspect_reader("chest_xray", made)) == []
    training = json.loads((made / "training.json").read_text())
    assert training["cross_fitted"]["effusion"]["images"] == 84 - held_out
    assert training["view_auc"]["n"] == 84 - held_out
    page = (made / "README.md").read_text()
    assert "research use" in page.lower()
    assert "### Inside the source set" in page
    before = [(tmp_path / f"member{k}" / "network.pt").stat().st_mtime_ns for k in range(3)]
    run(settings, only_fit=True)
    after = [(tmp_path / f"member{k}" / "network.pt").stat().st_mtime_ns for k in range(3)]
    assert before == after, "finished members are read back"


def test_the_page_says_what_card_validation_and_training_say() -> None:
    folder = Path(packaging.__file__).parent
    report = json.loads((folder / "validation.json").read_text())
    training = json.loads((folder / "training.json").read_text())
    page = page_of(read_card(folder / "card.toml"), report, page_with(training))
    assert page == (folder / "README.md").read_text()
    rows = report["outputs"]["pneumothorax"]["subgroups"]["rows"]
    inside = next(row for row in rows if (row["grouping"], row["level"]) == ("source", "boxes"))
    assert f"| Pneumothorax | {inside['n']}, {inside['positives']} | {inside['auc']['value']:.3f} (" in page


def random_samples(count: int) -> Samples:
    """Return noise with alternating targets; every fourth image is no chest."""
    random = np.random.default_rng(1)
    flags = (np.arange(count) % 2).astype(np.float32)
    return samples_of(
        images=random.integers(0, 256, (count, 72, 72), dtype=np.uint8),
        targets=np.stack([flags, 1 - flags], axis=1),
        weights=np.ones((count, 2), dtype=np.float32),
        masks=np.zeros((count, 2, 16, 16), dtype=np.uint8),
        masks_known=np.stack([flags < 1, flags > 0], axis=1),
        view=flags,
        gate=(np.arange(count) % 4 == 3).astype(np.int64),
        auxiliary=flags[:, None],
    )


@pytest.mark.filterwarnings("ignore")
def test_an_interrupted_fit_goes_on_and_a_finished_one_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, rows = random_samples(16), np.arange(16)
    epochs: list[int] = []

    def stop(module: Any) -> None:
        epochs.append(module.current_epoch)
        if len(epochs) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("coread.train.fitting.FindingModule.on_train_epoch_start", stop)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(samples, rows, rows, shape=SMALL, plan=SHORT, folder=tmp_path)
    assert not (tmp_path / "network.pt").exists()
    fitted = fit(samples, rows, rows, shape=SMALL, plan=SHORT, folder=tmp_path)
    assert epochs == [0, 1, 1, 2], "the second epoch is done again, the first is not"
    again = fit(samples, rows, rows, shape=SMALL, plan=SHORT, folder=tmp_path)
    assert epochs == [0, 1, 1, 2]
    for one, other in zip(fitted.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("steps", range(1, 13))
@pytest.mark.filterwarnings("ignore")
def test_a_fit_of_any_few_steps_has_a_schedule(steps: int) -> None:
    module = FindingModule(FindingNetwork(SMALL), random_samples(4), SHORT, steps)
    found: Any = module.configure_optimizers()
    optimizer, schedule = found["optimizer"], found["lr_scheduler"]["scheduler"]
    for _ in range(steps):
        optimizer.step()
        schedule.step()
    assert all(0 <= group["lr"] <= SHORT.learning_rate for group in optimizer.param_groups)


@pytest.mark.filterwarnings("ignore")
def test_the_beginning_learns_at_the_first_size_and_rests_at_the_next(tmp_path: Path) -> None:
    samples, rows = random_samples(16), np.arange(16)
    start = FindingNetwork(SMALL).backbone.encoder.state_dict()
    fitted = fit(samples, rows, rows, shape=SMALL, plan=SHORT, folder=tmp_path, start=start)
    moved = {name: not torch.equal(value, start[name]) for name, value in fitted.backbone.encoder.named_parameters()}
    assert all(moved.values()), "what is shipped was trained here, every layer"


def test_what_rests_neither_learns_nor_counts_statistics() -> None:
    backbone = FindingNetwork(SMALL).train().backbone
    backbone.rest(2)
    before = {name: value.clone() for name, value in backbone.encoder.stem.state_dict().items()}
    middle, deep = backbone(torch.rand(4, 1, 64, 64))
    (middle.mean() + deep.mean()).backward()
    assert all(parameter.grad is None for parameter in backbone.encoder.stem.parameters())
    assert all(parameter.grad is None for parameter in backbone.encoder.stages[1].parameters())
    assert all(parameter.grad is not None for parameter in backbone.encoder.stages[2].parameters())
    after = backbone.encoder.stem.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    backbone.rest(0)
    assert all(module.training for module in backbone.modules())
    assert all(parameter.requires_grad for parameter in backbone.parameters())


def test_brightness_and_contrast_of_an_image_do_not_matter() -> None:
    network = FindingNetwork(SMALL).eval()
    image = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(network(image).view, network(0.3 + 0.4 * image).view, atol=0.02)


def test_no_patient_and_no_picture_stands_in_two_parts(made_up_set: Path) -> None:
    rows = read_cxr_nih(made_up_set)
    truth = truth_of(rows)
    digests = [row.image for row in rows]
    digests[0] = digests[-1]  # the first and the last patient share a picture
    parts = parts_of(rows, truth, digests)
    assert np.array_equal(parts, parts_of(rows, truth, digests))
    assert parts[0] == parts[-1]
    of_patient: dict[str, set[int]] = {}
    for row, part in zip(rows, parts, strict=True):
        of_patient.setdefault(row.patient_id, set()).add(int(part))
    assert all(len(found) == 1 for found in of_patient.values())
    assert sorted(set(parts.tolist())) == [-1, 0, 1, 2]
    assert 0.1 < float((parts == -1).mean()) < 0.3
    assert all(truth[parts == part].any(axis=0).all() for part in range(-1, 3)), "every part has every finding"


def test_held_out_rows_state_truth_boxes_and_source_and_a_child_is_to_be_refused(made_up_set: Path) -> None:
    cohort = read_cohort(made_up_set)
    young = replace(cohort, rows=tuple(replace(row, age_years=9.0) for row in cohort.rows))
    rows, children = cohort_rows(cohort, [("g", "set/images.zip!a.png")]), cohort_rows(young, ())
    assert len(rows) == int((cohort.parts == -1).sum()) + 1
    assert rows[-1] == {"case_id": "unfit000", "patient_id": "g", "files": "set/images.zip!a.png", "expect": "refuse"}
    assert {row["expect"] for row in rows[:-1]} == {"read"}
    assert {row["expect"] for row in children} == {"refuse"}
    boxed = next(row for row in rows[:-1] if row["boxes"])
    assert boxed["boxes"][0][1:] == [100.0, 120.0, 190.0, 200.0]
    assert boxed["boxes"][0][0] in FINDINGS
    assert {row["group:source"] for row in rows[:-1]} <= {"boxes", "curated1000"}


def test_only_held_out_images_of_other_kinds_are_measured() -> None:
    groups = tuple(f"set{k % 2}/{k // 4}" for k in range(80))
    images = np.zeros((80, 4, 4), dtype=np.uint8)
    gate = GateImages(images, np.ones(80, dtype=np.int64), groups, tuple(f"{g}!{k}" for k, g in enumerate(groups)))
    chosen = refused_of(gate, 3)
    assert {group.split("/")[0] for group, _ in chosen} == {"set0", "set1"}
    assert 4 <= len(chosen) <= 12
    assert chosen == refused_of(gate, 3)


@pytest.mark.filterwarnings("ignore")
def test_a_member_that_still_holds_given_weights_is_not_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = FindingNetwork(replace(SMALL, findings=len(FINDINGS))).eval()
    monkeypatch.setattr(packaging, "given_to_lite", lambda _taps: member.backbone.encoder.state_dict())
    with pytest.raises(BadPlan, match="still hold the weights"):
        packaging.write_graph([member], tmp_path / "network.onnx")
    assert not (tmp_path / "network.onnx").exists()


def test_a_missing_image_is_named(made_up_set: Path) -> None:
    with pytest.raises(DataMissing, match=r"nowhere\.png"):
        list(read_images(made_up_set, ["nowhere.png"]))
    with pytest.raises(DataMissing, match=r"index\.csv"):
        read_cxr_nih(made_up_set / "no")


def test_a_mirrored_image_gives_the_same_logits_and_mirrored_maps() -> None:
    network = MirrorEnsemble([FindingNetwork(SMALL).eval()]).eval()
    image = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        one, other = network(image), network(torch.flip(image, dims=[3]))
    assert torch.allclose(one[0], other[0], atol=1e-5)
    assert torch.allclose(one[1], torch.flip(other[1], dims=[3]), atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_the_exported_graph_computes_what_torch_computes(tmp_path: Path) -> None:
    network = MirrorEnsemble([fold_and_round(FindingNetwork(SMALL).eval())])
    images = np.random.default_rng(0).random((3, 1, 64, 64), dtype=np.float32)
    path = tmp_path / "network.onnx"
    export_onnx(network, {"image": images[:1]}, path, output_names=("logits", "maps", "gate", "view"))
    assert worst_difference(network, path, {"image": images}) < 1e-4
    other = MirrorEnsemble([FindingNetwork(SMALL).eval()])
    with pytest.raises(ExportDiffers):
        worst_difference(other, path, {"image": images}, limit=1e-9)


def test_folding_batch_norm_changes_no_more_than_rounding_does() -> None:
    network = FindingNetwork(SMALL)
    network(torch.rand(8, 1, 64, 64))
    network.eval()
    image = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(network(image).logits, fold_and_round(network)(image).logits, atol=0.02)


def test_boxes_move_with_the_image() -> None:
    torch.manual_seed(0)
    images = torch.zeros(16, 64, 64, dtype=torch.uint8)
    images[:, 16:32, 8:24] = 255
    masks = torch.zeros(16, 1, 64, 64, dtype=torch.uint8)
    masks[:, 0, 16:32, 8:24] = 255
    moved, drawn = warp(images, masks, 64, AugmentPlan(), 16)
    small = torch.nn.functional.avg_pool2d(moved, 4)
    assert torch.allclose(small, drawn, atol=0.15)


def test_exposure_stays_in_display_range() -> None:
    exposed = expose(torch.rand(8, 1, 64, 64), AugmentPlan(erase=1.0))
    assert float(exposed.min()) >= 0.0
    assert float(exposed.max()) <= 1.0


def test_the_soft_maximum_lies_between_mean_and_maximum() -> None:
    maps = torch.randn(2, 3, 5, 5)
    pooled = soft_maximum(maps, 4.0)
    assert (pooled >= maps.mean(dim=(2, 3)) - 1e-5).all()
    assert (pooled <= maps.amax(dim=(2, 3)) + 1e-5).all()


def test_a_box_that_is_smaller_than_a_cell_is_still_drawn(made_up_set: Path) -> None:
    boxes = read_cxr_nih(made_up_set)[0].boxes
    assert box_masks([boxes], {"Pneumothorax": 0}, 1, 4)[0, 0].max() == 255
    assert box_masks([boxes], {}, 1, 4).max() == 0
