"""Chest phantoms: the same recipe gives the same object, the truth is where the pixels changed, the object is valid."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from coread.domain.errors import InvalidRecord
from coread.imaging.header import scan_header
from coread.imaging.planar import check_varied, load_planar
from coread.phantoms.chest import FINDINGS, ChestRecipe, chest_pixels, chest_radiograph
from coread.phantoms.ct import CtRecipe, ct_series
from coread.phantoms.dx import Identity
from coread.phantoms.others import KINDS, calibration_wedge, hand_radiograph, lateral_radiograph, other_radiograph
from coread.phantoms.wrap import radiograph_from_image


def saved(folder: Path, dataset: Dataset, name: str = "phantom.dcm") -> Path:
    path = folder / name
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_the_same_recipe_gives_the_same_object() -> None:
    first, second = (chest_radiograph(ChestRecipe(seed=3, findings=("nodule",), rows=256)) for _ in range(2))
    assert first.dataset == second.dataset
    assert first.truth[0].box == second.truth[0].box
    other = chest_radiograph(ChestRecipe(seed=4, rows=256)).dataset
    assert other.SOPInstanceUID != first.dataset.SOPInstanceUID
    assert other.PixelData != first.dataset.PixelData


def test_every_phantom_says_that_it_is_synthetic() -> None:
    made = [chest_radiograph(ChestRecipe(rows=128)).dataset, ct_series(CtRecipe(slices=2))[0]]
    for dataset in [*made, *(other_radiograph(kind, rows=128) for kind in KINDS)]:
        assert "SYNTHETIC" in dataset.SeriesDescription
        assert str(dataset.PatientName).startswith("SYNTHETIC^")
        assert "SYNTHETIC" in dataset.PatientComments


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_changes_the_image_where_the_truth_says(finding: str) -> None:
    plain, _ = chest_pixels(ChestRecipe(seed=5, rows=320))
    changed, masks = chest_pixels(ChestRecipe(seed=5, rows=320, findings=(finding,), side="R", size=0.8))
    key, side, mask = masks[0]
    assert (key, side) == (finding, "" if finding == "cardiomegaly" else "R")
    difference = np.abs(changed - plain)
    assert difference[mask].mean() > 2 * difference[~mask].mean()
    if side:
        assert mask[:, :160].sum() > 0.95 * mask.sum()


def test_the_box_encloses_the_mask_exactly() -> None:
    truth = chest_radiograph(ChestRecipe(seed=6, rows=320, findings=("effusion", "nodule"))).truth
    for finding in truth:
        rows, columns = np.nonzero(finding.mask)
        box = finding.box
        assert (box.row_min, box.row_max) == (rows.min(), rows.max() + 1)
        assert (box.column_min, box.column_max) == (columns.min(), columns.max() + 1)
        assert box.image.frame == 1


def test_lungs_are_darker_than_heart_and_belly_and_the_air_around_is_darkest() -> None:
    level, _ = chest_pixels(ChestRecipe(seed=7, rows=256))
    lung = level[100:130, 60:80].mean()
    heart, belly, air = level[150:165, 130:145].mean(), level[215:235, 90:110].mean(), level[0:20, 0:20].mean()
    assert air < lung < 0.8 * heart
    assert lung < 0.8 * belly


@pytest.mark.parametrize(("bits", "photometric"), [(8, "MONOCHROME2"), (12, "MONOCHROME1"), (16, "MONOCHROME2")])
def test_any_depth_and_polarity_show_the_same_picture(tmp_path: Path, bits: int, photometric: str) -> None:
    recipe = ChestRecipe(seed=8, rows=200, bits=bits, photometric=photometric)
    path = saved(tmp_path, chest_radiograph(recipe).dataset)
    image = load_planar(path, scan_header(path))
    check_varied(image)
    assert np.abs(image.pixels - chest_pixels(recipe)[0]).max() < 2 / 2**bits + 1e-5


def test_a_child_is_four_years_old_and_small() -> None:
    dataset = chest_radiograph(ChestRecipe(seed=9, child=True, rows=200)).dataset
    assert dataset.PatientAge == "004Y"


@pytest.mark.parametrize(
    "wrong", [{"findings": ("fracture",)}, {"side": "X"}, {"rows": 10}, {"bits": 11}, {"size": 2.0}, {"view": "LL"}]
)
def test_a_recipe_that_cannot_be_made_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidRecord):
        ChestRecipe(**wrong)  # type: ignore[arg-type]


def test_the_other_radiographs_are_no_chest_and_an_unknown_kind_is_refused() -> None:
    assert hand_radiograph(rows=128).BodyPartExamined == "HAND"
    assert lateral_radiograph(rows=128).ViewPosition == "LL"
    assert calibration_wedge(rows=128).BodyPartExamined == ""
    with pytest.raises(InvalidRecord):
        other_radiograph("foot")


def wrapped(folder: Path) -> Dataset:
    from PIL import Image

    picture = folder / "picture.png"
    Image.fromarray((chest_pixels(ChestRecipe(rows=160))[0] * 255).astype(np.uint8)).save(picture)
    identity = Identity(patient_age="061Y", patient_sex="F", uid_seed="wrapped")
    return radiograph_from_image(picture, identity, view="AP")


def test_a_wrapped_picture_keeps_its_pixels_and_says_that_it_was_lossy(tmp_path: Path) -> None:
    dataset = wrapped(tmp_path)
    path = saved(tmp_path, dataset)
    header = scan_header(path)
    assert (header.view_position, header.patient_age, header.bits_allocated) == ("AP", "061Y", 8)
    assert dataset.LossyImageCompression == "01"
    expected = chest_pixels(ChestRecipe(rows=160))[0]
    assert np.abs(load_planar(path, header).pixels - expected).max() < 0.01


@pytest.mark.peer
def test_dciodvfy_finds_no_error_in_any_phantom(tmp_path: Path, need_program: Callable[[str], str]) -> None:
    program = need_program("dciodvfy")
    made = {
        "dx": chest_radiograph(ChestRecipe(rows=128, findings=("opacity",))).dataset,
        "dx1": chest_radiograph(ChestRecipe(rows=128, photometric="MONOCHROME1", bits=14, view="AP")).dataset,
        "dx8": chest_radiograph(ChestRecipe(rows=129, bits=8, child=True)).dataset,
        "cr": chest_radiograph(ChestRecipe(rows=128, modality="CR", photometric="MONOCHROME1")).dataset,
        "ct": ct_series(CtRecipe(slices=2, tilt_degrees=12))[1],
        "wrapped": wrapped(tmp_path),
    } | {kind: other_radiograph(kind, rows=128) for kind in KINDS}
    for name, dataset in made.items():
        path = saved(tmp_path, dataset, f"{name}.dcm")
        report = subprocess.run([program, str(path)], capture_output=True, text=True, check=False).stderr
        errors = [line for line in report.splitlines() if line.startswith("Error")]
        assert not errors, (name, errors)
