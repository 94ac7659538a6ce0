"""Volume, diameters and values of masks, against shapes whose measures are known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from coread.domain.errors import InvalidRecord
from coread.domain.geometry import Geometry, affine_of
from coread.imaging.measuring import convex_hull, mask_diameters, mask_values, mask_volume, surface
from coread.phantoms.ct import Axis, all_orientations


def grid(shape: tuple[int, int, int], spacing: tuple[float, float, float], axes: tuple[Axis, Axis, Axis]) -> Geometry:
    """Return a geometry whose (row, column, slice) axes point along ``axes``; spacing is (slice, row, column)."""
    matrix = np.zeros((3, 4))
    matrix[:, 0] = np.array(axes[2]) * spacing[0]
    matrix[:, 1] = np.array(axes[0]) * spacing[1]
    matrix[:, 2] = np.array(axes[1]) * spacing[2]
    matrix[:, 3] = (-10.0, 20.0, 30.0)
    return Geometry(shape, affine_of(matrix), "1.2.3")


def ellipsoid(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    centre: NDArray[np.float64],
    radii: tuple[float, ...],
) -> NDArray[np.bool_]:
    """Return the voxels whose centre lies inside, in the grid's own axes (mm)."""
    places = [np.arange(n) * step for n, step in zip(shape, spacing, strict=True)]
    parts = np.meshgrid(*places, indexing="ij")
    squares = sum(((part - c) / r) ** 2 for part, c, r in zip(parts, centre, radii, strict=True))
    return np.asarray(squares <= 1.0)


AXIAL = all_orientations()[0]
offsets = st.tuples(*[st.floats(0, 1)] * 3)


@given(offset=offsets, radius=st.floats(8, 14))
def test_the_volume_of_a_ball_is_near_the_true_one_wherever_it_lies_between_the_voxels(
    offset: tuple[float, float, float], radius: float
) -> None:
    shape, spacing = (40, 48, 48), (1.0, 0.8, 0.8)
    mask = ellipsoid(shape, spacing, np.array([19.0, 18.0, 18.0]) + offset, (radius,) * 3)
    found = mask_volume(mask, grid(shape, spacing, AXIAL))
    true_ml = 4 / 3 * math.pi * radius**3 / 1000
    # A ball in the middle of a voxel errs alike in eight octants: the root of eight times the independent error.
    assert abs(found.value - true_ml) <= math.sqrt(8) * found.half_width
    assert found.half_width < 0.02 * true_ml


def test_the_stated_uncertainty_of_volumes_covers_nineteen_of_twenty_balls() -> None:
    shape, spacing = (24, 30, 30), (1.25, 0.9, 0.9)
    random = np.random.default_rng(4)
    inside = 0
    for _ in range(300):
        radius = random.uniform(5, 9)
        mask = ellipsoid(shape, spacing, np.array([14.0, 13.0, 13.0]) + random.uniform(0, 1, 3), (radius,) * 3)
        found = mask_volume(mask, grid(shape, spacing, AXIAL))
        inside += abs(found.value - 4 / 3 * math.pi * radius**3 / 1000) <= found.half_width
    # Two standard errors of a share of .95 among 300.
    assert inside >= 300 * (0.95 - 2 * math.sqrt(0.95 * 0.05 / 300))


@pytest.mark.parametrize("axes", all_orientations()[::5])
def test_diameters_are_those_of_the_ellipse_in_the_plane_however_the_series_is_laid(
    axes: tuple[Axis, Axis, Axis],
) -> None:
    shape, spacing = (20, 60, 50), (2.0, 0.7, 1.1)
    mask = ellipsoid(shape, spacing, np.array([19.0, 20.0, 26.0]), (12.0, 14.0, 20.0))
    geometry = grid(shape, spacing, axes)
    found = mask_diameters(mask, geometry)
    assert found.long_axis.value == pytest.approx(40, abs=1.2)
    assert found.short_axis.value == pytest.approx(28, abs=1.2)
    assert found.slice_index in (9, 10)
    ends = np.array(found.ends_mm)
    assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(found.long_axis.value)
    middle = geometry.to_index(ends.mean(axis=0, keepdims=True))[0]
    assert middle[1:] == pytest.approx([20.0 / 0.7, 26.0 / 1.1], abs=1.5)


def test_one_voxel_measures_its_own_width() -> None:
    mask = np.zeros((3, 5, 5), dtype=bool)
    mask[1, 2, 2] = True
    found = mask_diameters(mask, grid(mask.shape, (1.0, 2.0, 2.0), AXIAL))
    assert found.long_axis.value == pytest.approx(2.0)
    assert found.short_axis.value == pytest.approx(2.0)
    assert mask_volume(mask, grid(mask.shape, (1.0, 2.0, 2.0), AXIAL)).value == pytest.approx(0.004)


def test_the_short_axis_is_the_longest_chord_across_and_not_the_whole_extent() -> None:
    # A slanted bar: its extent across the long axis, which runs from corner to corner, is wider than any chord.
    mask = np.zeros((1, 40, 80), dtype=bool)
    for row in range(40):
        mask[0, row, row : row + 30] = True
    found = mask_diameters(mask, grid(mask.shape, (1.0, 1.0, 1.0), AXIAL))
    assert found.long_axis.value == pytest.approx(math.hypot(39, 69), abs=1.1)
    extent = 2 * 40 * 30 / found.long_axis.value
    assert 0.5 * extent < found.short_axis.value < 0.8 * extent


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=4, max_size=40))
def test_the_hull_is_the_one_of_an_independent_implementation(points: list[tuple[int, int]]) -> None:
    hulls = pytest.importorskip("scipy.spatial")
    given_points = np.array(points, dtype=np.float64)
    if np.linalg.matrix_rank(given_points - given_points[0]) < 2:
        return
    theirs = given_points[hulls.ConvexHull(given_points).vertices]
    ours = convex_hull(given_points)
    assert {tuple(p) for p in ours} == {tuple(p) for p in theirs}


def test_values_are_those_of_the_voxels_inside() -> None:
    voxels = np.arange(27, dtype=np.float32).reshape(3, 3, 3)
    mask = voxels > 20
    found = mask_values(voxels, mask)
    assert (found.minimum, found.maximum, found.median, found.mean) == (21, 26, 23.5, 23.5)
    assert found.standard_deviation == pytest.approx(np.std(np.arange(21, 27), ddof=1))


def test_the_surface_of_a_block_is_all_but_its_inside() -> None:
    mask = np.zeros((7, 7, 7), dtype=bool)
    mask[1:6, 1:6, 1:6] = True
    assert surface(mask).sum() == 125 - 27
    assert surface(np.ones((3, 3, 3), dtype=bool)).sum() == 26


def test_what_cannot_be_measured_is_said() -> None:
    empty = np.zeros((2, 3, 3), dtype=bool)
    geometry = grid(empty.shape, (1.0, 1.0, 1.0), AXIAL)
    assert mask_volume(empty, geometry).value == 0
    with pytest.raises(InvalidRecord, match="empty mask"):
        mask_diameters(empty, geometry)
    with pytest.raises(InvalidRecord, match="no voxel"):
        mask_values(np.zeros(empty.shape, dtype=np.float32), empty)
    with pytest.raises(InvalidRecord, match="differ"):
        mask_volume(np.zeros((1, 3, 3), dtype=bool), geometry)
