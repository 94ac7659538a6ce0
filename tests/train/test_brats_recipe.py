"""BraTS as it is distributed, through to a network: four channels of three dimensions, classes by their names."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from coread.models.graphs import load_graph
from coread.models.lineage import read_record
from coread.train.arrays import PickedRows, StackedChannels
from coread.train.cases import stacked_cases
from coread.train.dataset_build import BuildPlan, build_dataset
from coread.train.dataset_split import split_dataset
from coread.train.datasets import read_index
from coread.train.decoded import decode_index
from coread.train.errors import BadPlan, BadTarget, CorruptImage, DataMissing
from coread.train.gathering import gather
from coread.train.recipes import ImagePlan, read_recipe, recipe_to_json
from coread.train.running import run_recipe
from coread.train.splits import SplitBy, SplitPlan
from coread.train.targets import mask_labels

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


CHANNELS = ("flair", "t1", "t1ce", "t2")
SIDE = 16
RECIPE = """
name = "glioma"
datasets = ["split"]

[images]
side = [16, 16, 16]
channels = ["flair", "t1", "t1ce", "t2"]

[[heads]]
task = "Segmentation"
name = "tumor"
classes = ["enhancing tumor", "edema"]

[network]
widths = [8, 16]
depths = [1, 1]
stem_stride = 1
map_stride = 1
map_width = 8

[fit]
epochs = 2
batch = 2
learning_rate = 1e-2
accelerator = "cpu"

[export]
flips = false
"""


def case(folder: Path, number: int) -> None:
    """A glioma: edema bright in FLAIR, an enhancing tumor bright in T1 with contrast, a necrotic core dark in it."""
    random = np.random.default_rng(number)
    name = f"BraTS2021_{number:05d}"
    (folder / name).mkdir(parents=True)
    z, y, x = np.mgrid[0:SIDE, 0:SIDE, 0:SIDE]
    middle = random.uniform(6, 10, 3)
    distance = np.sqrt((z - middle[0]) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2)
    seg = np.select([distance < 1.5, distance < 3, distance < 5], [1, 4, 2], 0)
    shown = {"flair": seg == 2, "t1": np.zeros_like(seg), "t1ce": seg == 4, "t2": seg > 0}
    for channel in CHANNELS:
        values = 100 + 400 * shown[channel] + random.normal(0, 10, seg.shape)
        save(folder / name / f"{name}_{channel}.nii.gz", values.astype(np.int16))
    save(folder / name / f"{name}_seg.nii.gz", seg.astype(np.int16))


def save(path: Path, values: NDArray[np.int16]) -> None:
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("brats")
    for number in range(9):
        case(folder / "source", number)
    build_dataset(BuildPlan("brats", folder / "source", folder / "set"))
    shares = {"train": 60.0, "tune": 20.0, "test": 20.0}
    split_dataset(folder / "set", folder / "split", SplitPlan(SplitBy.PATIENT, shares))
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


def test_a_glioma_set_goes_from_its_official_files_to_a_network_of_four_channels(built: Path, tmp_path: Path) -> None:
    index = read_index(built / "split")
    assert len(index.rows) == 36
    assert all(len({row.part for row in index.rows if row.study_id == one.study_id}) == 1 for one in index.rows)
    summary = run_recipe(built / "recipe.toml", tmp_path / "run")
    assert summary is not None
    assert sum(summary.images.values()) == 9
    assert any("tumor" in name for name in summary.scores["fit"])
    graph = load_graph("onnxruntime", (tmp_path / "run" / "network.onnx").read_bytes(), 1)
    document = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert document["graph"]["inputs"]
    read_record(tmp_path / "run")
    pixels = np.random.default_rng(1).random((1, 4, SIDE, SIDE, SIDE), dtype=np.float32)
    before = graph.run({"image": pixels})
    for channel in range(4):
        changed = pixels.copy()
        changed[:, channel] = 1 - changed[:, channel]
        after = graph.run({"image": changed})
        assert any(not np.allclose(before[key], after[key]) for key in before)


def test_every_channel_and_class_is_where_it_belongs(built: Path, tmp_path: Path) -> None:
    recipe = read_recipe(built / "recipe.toml")
    gathered = gather(recipe, tmp_path / "cache", lambda *_: None)
    images = np.asarray(gathered.data.images)
    mask = np.asarray(gathered.data.targets["tumor"])
    assert images.shape == (9, 4, SIDE, SIDE, SIDE)
    assert sorted(gathered.data.keys) == [f"BraTS2021_{number:05d}" for number in range(9)]
    assert set(np.unique(mask)) == {0, 1, 2}
    enhancing, edema = mask == 1, mask == 2
    flair, t1, t1ce, t2 = (images[:, k].astype(float) for k in range(4))
    assert t1ce[enhancing].mean() > 2 * t1ce[edema].mean()
    assert flair[edema].mean() > 2 * flair[enhancing].mean()
    assert t2[enhancing].mean() > 2 * t1[enhancing].mean() or t1.std() > 0
    picked = gathered.data.subset(np.array([2, 0]))
    assert np.array_equal(np.asarray(picked.images), images[[2, 0]])
    assert np.array_equal(picked.images[0], images[2])


def test_a_study_without_a_channel_stops_the_run_or_is_left_out(built: Path, tmp_path: Path) -> None:
    recipe = read_recipe(built / "recipe.toml")
    index = read_index(built / "split")
    decoded = decode_index(index, recipe.images, recipe.heads, tmp_path / "cache", lambda *_: None)
    gone = replace(index, rows=tuple(row for row in index.rows if row.image_id != "BraTS2021_00004_t2"))
    short = replace(decoded, images=np.asarray(decoded.images)[:-1], shapes=decoded.shapes[:-1])
    cases, stacked = stacked_cases(gone, short, CHANNELS)
    names = [row.image_id for row in cases.rows]
    assert stacked.damaged == {names.index("BraTS2021_00004"): "the study has no t2"}
    with pytest.raises(DataMissing, match="views are flair, t1, t1ce, t2"):
        stacked_cases(index, decoded, ("t2f", "t1c"))
    twice = replace(index, rows=(*index.rows, replace(index.rows[0], image_id="again")))
    with pytest.raises(DataMissing, match="two images of view"):
        stacked_cases(twice, decoded, CHANNELS)
    recipe = replace(recipe, images=replace(recipe.images, channels=("flair", "dwi")))
    with pytest.raises(CorruptImage, match="has no dwi"):
        gather(recipe, tmp_path / "cache", lambda *_: None)


def test_classes_are_found_by_name_and_unknown_values_are_refused(built: Path) -> None:
    head = read_recipe(built / "recipe.toml").heads[0]
    named = {"1": "necrotic core", "2": "edema", "4": "enhancing tumor"}
    assert mask_labels(head, np.array([[0, 1], [2, 4]]), named).tolist() == [[0, 0], [2, 1]]
    with pytest.raises(BadTarget, match="the value 3"):
        mask_labels(head, np.array([[3]]), named)
    with pytest.raises(BadTarget, match="holds the value 4"):
        mask_labels(head, np.array([[4]]), {"1": "something else"})


def test_channels_are_views_of_grey_images_and_change_no_other_recipe(built: Path) -> None:
    with pytest.raises(BadPlan, match="different views"):
        ImagePlan(channels=("t1", "t1"))
    with pytest.raises(BadPlan, match="different views"):
        ImagePlan(colour=True, channels=("t1", "t2"))
    recipe = read_recipe(built / "recipe.toml")
    assert recipe_to_json(recipe)["images"]["channels"] == CHANNELS
    assert "channels" not in recipe_to_json(replace(recipe, images=ImagePlan()))["images"]


def test_stacked_channels_behave_like_an_array() -> None:
    source = np.arange(12 * 4, dtype=np.uint8).reshape(12, 1, 2, 2)
    stacked = StackedChannels(source, np.array([[0, 3], [5, 1], [7, 7]]))
    whole = np.asarray(stacked)
    assert stacked.shape == whole.shape == (3, 2, 2, 2)
    assert np.array_equal(whole[1, 0], source[5, 0])
    assert np.array_equal(stacked[1], whole[1])
    assert np.array_equal(stacked[np.array([2, 0])], whole[[2, 0]])
    assert np.array_equal(np.asarray(PickedRows(stacked, np.array([1]))), whole[[1]])
