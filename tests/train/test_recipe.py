"""The whole recipe runs on a made-up set: every step, in seconds, to a reader that is locked and proves itself."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from coread.models.golden import check_golden
from coread.models.session import open_session
from coread.readers.card_file import read_card
from coread.readers.chest_xray.recipe import Settings, fast, run
from coread.train.augment import AugmentPlan, expose, warp
from coread.train.errors import DataMissing, ExportDiffers
from coread.train.export import export_onnx, fold_and_round, worst_difference
from coread.train.network import FindingNetwork, MirrorEnsemble, NetworkPlan, soft_maximum
from coread.train.radiographs import read_cxr_nih, read_images
from coread.train.samples import box_masks

SMALL = NetworkPlan(findings=2, gate_classes=3, auxiliary=1, widths=(4, 4, 4, 4), depths=(1, 1, 1, 1), map_width=4)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.filterwarnings("ignore")
def test_the_recipe_makes_a_locked_reader_that_reproduces_its_golden_cases(made_up_set: Path, tmp_path: Path) -> None:
    settings = fast(Settings(made_up_set, tmp_path))
    reader = run(settings)
    card = read_card(reader / "card.toml")
    assert card.outputs[0].key == "pneumothorax"
    assert all(output.auc is not None and output.auc.n == 84 for output in card.outputs)
    session = open_session(reader / "model", reader / "card.toml", engine="onnxruntime")
    check_golden(session, reader / "model").require()
    measured = json.loads((reader / "measurements.json").read_text())
    assert measured["patients"] == 42
    assert "research use" in (reader / "README.md").read_text().lower()
    before = (reader / "model" / "network.onnx").read_bytes()
    assert (run(settings) / "model" / "network.onnx").read_bytes() == before, "finished folds are read back"


@pytest.mark.filterwarnings("ignore")
def test_one_fold_alone_can_be_fitted_first(made_up_set: Path, tmp_path: Path) -> None:
    run(replace(fast(Settings(made_up_set, tmp_path)), only_fold=1))
    assert (tmp_path / "fold1" / "network.pt").is_file()
    assert not (tmp_path / "fold0").exists()


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
