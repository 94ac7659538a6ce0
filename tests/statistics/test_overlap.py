"""Masks are measured as SimpleITK, MONAI and scikit-image measure them; empty masks follow the stated rules."""

from typing import Any

import numpy as np
import pytest
import SimpleITK
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_dice import compute_surface_dice
from monai.metrics.surface_distance import compute_average_surface_distance
from skimage.metrics import hausdorff_distance

from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.overlap import (
    dice,
    iou,
    mask_precision,
    mask_sensitivity,
    measure_masks,
    surface_dice,
    surface_distances,
    volume_bias,
)

_SITK: Any = SimpleITK
_HAUSDORFF: Any = hausdorff_distance
SPACING = (3.0, 0.8, 1.1)


def blobs(seed: int, shape: tuple[int, ...] = (10, 24, 20)) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping ellipsoids of random place and size. Simulated."""
    random = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(s) for s in shape], indexing="ij"), axis=-1)
    answers = []
    for _ in range(2):
        centre = np.array(shape) / 2 + random.uniform(-1.5, 1.5, len(shape))
        radius = np.array(shape) / random.uniform(3, 5, len(shape))
        answers.append((((grid - centre) / radius) ** 2).sum(axis=-1) <= 1)
    return answers[0], answers[1]


def batch(mask: np.ndarray) -> torch.Tensor:
    return torch.tensor(mask[None, None].astype(np.float32))


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_overlap_is_that_of_simpleitk(seed: int) -> None:
    one, other = blobs(seed)
    measure = _SITK.LabelOverlapMeasuresImageFilter()
    measure.Execute(
        SimpleITK.GetImageFromArray(one.astype(np.uint8)), SimpleITK.GetImageFromArray(other.astype(np.uint8))
    )
    assert dice(one, other) == pytest.approx(measure.GetDiceCoefficient())
    assert iou(one, other) == pytest.approx(measure.GetJaccardCoefficient())
    bias = volume_bias(one, other, SPACING)
    assert bias.relative == pytest.approx((other.sum() - one.sum()) / one.sum())
    assert bias.truth_ml == pytest.approx(one.sum() * 3.0 * 0.8 * 1.1 / 1000)


@pytest.mark.filterwarnings("ignore:monai.metrics.utils get_mask_edges:FutureWarning")
@settings(max_examples=15)
@given(st.integers(0, 1000))
def test_distances_are_those_of_monai(seed: int) -> None:
    one, other = blobs(seed)
    found = surface_distances(one, other, SPACING)
    hausdorff = compute_hausdorff_distance(batch(other), batch(one), include_background=True, spacing=SPACING)
    assert found.hausdorff_mm == pytest.approx(float(hausdorff), rel=1e-5)
    far = compute_hausdorff_distance(batch(other), batch(one), include_background=True, percentile=95, spacing=SPACING)
    assert found.hausdorff95_mm == pytest.approx(float(far), rel=1e-5)
    mean = compute_average_surface_distance(
        batch(other), batch(one), include_background=True, symmetric=True, spacing=SPACING
    )
    assert found.mean_mm == pytest.approx(float(mean), rel=1e-5)
    near = compute_surface_dice(batch(other), batch(one), [1.0], include_background=True, spacing=SPACING)
    assert surface_dice(one, other, SPACING, tolerance_mm=1.0) == pytest.approx(float(near), rel=1e-5)


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_the_hausdorff_distance_of_pictures_is_that_of_scikit_image(seed: int) -> None:
    one, other = blobs(seed, (40, 36))

    def border(mask: np.ndarray) -> np.ndarray:
        inside = np.pad(mask, 1)
        core = inside[2:, 1:-1] & inside[:-2, 1:-1] & inside[1:-1, 2:] & inside[1:-1, :-2]
        return np.asarray(mask & ~core)

    found = surface_distances(one, other, (1.0, 1.0))
    assert found.hausdorff_mm == pytest.approx(_HAUSDORFF(border(one), border(other)))


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_measures_are_symmetric_where_they_should_be_and_scale_with_the_spacing(seed: int) -> None:
    one, other = blobs(seed)
    there, back = surface_distances(one, other, SPACING), surface_distances(other, one, SPACING)
    assert (there.hausdorff_mm, there.hausdorff95_mm) == (back.hausdorff_mm, back.hausdorff95_mm)
    assert there.mean_mm == pytest.approx(back.mean_mm)
    doubled = surface_distances(one, other, tuple(2 * s for s in SPACING))
    assert doubled.hausdorff_mm == pytest.approx(2 * there.hausdorff_mm)
    assert mask_sensitivity(one, other) == mask_precision(other, one)
    assert dice(one, other) == pytest.approx(2 * iou(one, other) / (1 + iou(one, other)))
    assert dice(one, one) == surface_dice(one, one, SPACING, tolerance_mm=0) == 1.0


def test_a_mask_at_the_edge_of_the_picture_has_a_border_there() -> None:
    full = np.ones((4, 5), dtype=np.bool_)
    inner = np.zeros((4, 5), dtype=np.bool_)
    inner[1:3, 1:4] = True
    assert surface_distances(full, inner, (1.0, 1.0)).hausdorff_mm == pytest.approx(np.sqrt(2))


def test_empty_masks_follow_the_rules() -> None:
    nothing, something = np.zeros((4, 4)), np.eye(4)
    assert dice(nothing, nothing) == iou(nothing, nothing) == 1.0
    assert mask_sensitivity(nothing, nothing) == mask_precision(nothing, nothing) == 1.0
    assert dice(nothing, something) == iou(something, nothing) == 0.0
    assert mask_sensitivity(something, nothing) == mask_sensitivity(nothing, something) == 0.0
    assert mask_precision(something, nothing) == 0.0
    for one, other in ((nothing, something), (something, nothing), (nothing, nothing)):
        with pytest.raises(NotEstimable, match="empty mask"):
            surface_distances(one, other, (1.0, 1.0))
        measured = measure_masks(one, other, (1.0, 1.0))
        assert measured.distances is None
        assert measured.surface_dice is None
    assert volume_bias(nothing, something, (1.0, 1.0)).relative is None
    assert measure_masks(something, something, (1.0, 1.0)).distances is not None


def test_shapes_and_spacings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UnsuitableData, match="same shape"):
        dice(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(UnsuitableData, match="2 positive lengths"):
        surface_distances(np.ones((2, 2)), np.ones((2, 2)), (1.0, 1.0, 1.0))
    with pytest.raises(UnsuitableData, match="tolerance"):
        surface_dice(np.ones((2, 2)), np.ones((2, 2)), (1.0, 1.0), tolerance_mm=-1)
