"""Drawn ultrasound and fundus pictures are whole DICOM objects, the same every time, with lesions where they say."""

from pathlib import Path

import numpy as np
import pytest

from coread.domain.errors import InvalidRecord
from coread.imaging.header import scan_header
from coread.imaging.planar import load_planar
from coread.phantoms.breast_us import BreastUsRecipe, breast_ultrasound
from coread.phantoms.fundus import FundusRecipe, fundus_photograph


def test_the_same_recipe_gives_the_same_picture() -> None:
    one, other = (breast_ultrasound(BreastUsRecipe(seed=5)).dataset for _ in range(2))
    assert one.PixelData == other.PixelData
    assert one.SOPInstanceUID == other.SOPInstanceUID
    assert fundus_photograph(FundusRecipe(3)).dataset == fundus_photograph(FundusRecipe(3)).dataset


def test_a_cyst_is_dark_and_what_lies_behind_it_is_bright() -> None:
    phantom = breast_ultrasound(BreastUsRecipe(seed=2, lesion="round"))
    pixels = phantom.dataset.pixel_array.astype(float)
    rows, columns = np.nonzero(phantom.lesion)
    behind = pixels[rows.max() + 5 : rows.max() + 30, int(columns.mean()) - 8 : int(columns.mean()) + 8]
    assert pixels[phantom.lesion].mean() < 0.5 * behind.mean()


def test_a_breast_without_a_lesion_has_no_outline() -> None:
    assert not breast_ultrasound(BreastUsRecipe(lesion="none")).lesion.any()


def test_a_fundus_is_a_colour_photograph_of_an_eye(tmp_path: Path) -> None:
    path = tmp_path / "eye.dcm"
    phantom = fundus_photograph(FundusRecipe(2, haemorrhages=6, exudates=4))
    phantom.dataset.save_as(path, enforce_file_format=True)
    image = load_planar(path, scan_header(path))
    assert image.colour is not None
    assert (image.header.modality, image.header.body_part_examined) == ("OP", "EYE")
    red, green, blue = np.moveaxis(image.colour[image.pixels > 0.2], -1, 0).mean(axis=1)
    assert red > green > blue
    assert phantom.lesions.any()


def test_a_left_eye_is_a_right_eye_in_the_mirror() -> None:
    right, left = (fundus_photograph(FundusRecipe(4, laterality=side)).dataset.pixel_array for side in "RL")
    difference = np.abs(right.astype(float) - left[:, ::-1].astype(float)).mean()
    assert difference < 12


@pytest.mark.parametrize("recipe", [lambda: BreastUsRecipe(lesion="square"), lambda: FundusRecipe(rows=8)])
def test_a_recipe_that_cannot_be_drawn_is_refused(recipe: object) -> None:
    assert callable(recipe)
    with pytest.raises(InvalidRecord):
        recipe()
