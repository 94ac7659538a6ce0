"""Drawn brains, colons, mammograms and nodule crops are whole DICOM objects with what they show where they say."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from coread.domain.errors import InvalidRecord
from coread.domain.images import PlanarImage
from coread.imaging.header import scan_header
from coread.imaging.planar import load_planar
from coread.phantoms.brain_mr import KINDS, BrainRecipe, brain_slice
from coread.phantoms.colon import ColonRecipe, colon_film, colon_frame
from coread.phantoms.mammogram import DENSITIES, MammogramRecipe, mammogram
from coread.phantoms.nodule_slice import NoduleSliceRecipe, nodule_slice


def loaded(dataset: Dataset, folder: Path) -> PlanarImage:
    path = folder / "drawn.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return load_planar(path, scan_header(path))


@pytest.mark.parametrize("kind", KINDS)
def test_a_tumour_is_brighter_than_the_brain_around_it(kind: str, tmp_path: Path) -> None:
    phantom = brain_slice(BrainRecipe(seed=4, tumour=kind))
    image = loaded(phantom.dataset, tmp_path)
    rows, columns = np.nonzero(phantom.tumour)
    edge = image.pixels[phantom.tumour].max()
    assert edge > 0.6
    assert (image.header.modality, image.header.body_part_examined) == ("MR", "BRAIN")
    assert 20 < len(rows) < 0.2 * image.pixels.size
    assert columns.max() < image.pixels.shape[1]


def test_a_tumour_of_the_right_side_lies_on_the_left_of_the_picture() -> None:
    right, left = (brain_slice(BrainRecipe(tumour="glioma", side=side)).tumour for side in "RL")
    middle = right.shape[1] / 2
    assert np.nonzero(right)[1].mean() < middle < np.nonzero(left)[1].mean()


def test_a_head_without_a_tumour_has_an_empty_outline() -> None:
    assert not brain_slice(BrainRecipe(tumour="")).tumour.any()


def test_the_same_recipe_gives_the_same_bytes() -> None:
    assert brain_slice(BrainRecipe(7)).dataset == brain_slice(BrainRecipe(7)).dataset
    assert (colon_frame(ColonRecipe(7)).pixels == colon_frame(ColonRecipe(7)).pixels).all()
    assert mammogram(MammogramRecipe(7)).dataset == mammogram(MammogramRecipe(7)).dataset
    assert nodule_slice(NoduleSliceRecipe(7)).dataset == nodule_slice(NoduleSliceRecipe(7)).dataset


def test_a_polyp_is_redder_than_the_wall_and_the_frame_keeps_its_colours(tmp_path: Path) -> None:
    frame = colon_frame(ColonRecipe(seed=2))
    image = loaded(frame.dataset(), tmp_path)
    assert image.colour is not None
    assert np.allclose(image.colour * 255, frame.pixels, atol=0.01)
    share = image.colour[..., 0] / (image.colour.sum(axis=2) + 1e-6)
    lit = image.pixels > 0.2
    assert share[frame.polyp].mean() > share[lit & ~frame.polyp].mean() + 0.02


def test_a_film_moves_the_polyp_and_nothing_else_starts_afresh() -> None:
    centres = [np.array(np.nonzero(frame.polyp)).mean(axis=1) for frame in colon_film(4)]
    assert len({tuple(np.round(centre)) for centre in centres}) == 4


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 50), st.sampled_from(DENSITIES))
def test_a_mass_is_bright_and_a_left_breast_lies_on_the_left(seed: int, density: str) -> None:
    left, right = (mammogram(MammogramRecipe(seed, density, laterality=side, rows=512)) for side in "LR")
    pixels = left.dataset.pixel_array
    assert pixels[left.mass].mean() > np.median(pixels[pixels > 300])
    assert pixels[:, :100].mean() > pixels[:, -100:].mean()
    assert (left.mass == right.mass[:, ::-1]).all()


def test_a_mammogram_is_denser_the_denser_it_is_called() -> None:
    pictures = [mammogram(MammogramRecipe(3, name, mass=False, rows=512)).dataset.pixel_array for name in DENSITIES]
    means = [float(picture[picture > 300].mean()) for picture in pictures]
    assert means == sorted(means)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 99), st.floats(4, 15))
def test_the_area_of_a_nodule_is_that_of_its_radius(seed: int, radius: float) -> None:
    drawn = nodule_slice(NoduleSliceRecipe(seed, radius=radius)).nodule
    assert drawn.sum() == pytest.approx(np.pi * radius**2, rel=0.25)


@pytest.mark.parametrize(
    "draw", [lambda: brain_slice(BrainRecipe(tumour="cyst")), lambda: mammogram(MammogramRecipe(density="thick"))]
)
def test_what_cannot_be_drawn_is_named(draw: object) -> None:
    assert callable(draw)
    with pytest.raises(InvalidRecord, match="there are"):
        draw()
