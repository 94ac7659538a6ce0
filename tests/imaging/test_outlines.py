"""Outlines of masks: filled again they are the mask; polygons that cross themselves are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from coread.imaging.outlines import (
    crosses_itself,
    drawable_outlines,
    filled,
    largest_outline,
    outlines_of,
    polygons_cross,
    signed_area,
    simplified,
)


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_a_mask_filled_from_its_outlines_is_the_mask(mask: NDArray[np.bool_]) -> None:
    rows, columns = mask.shape
    polygons = outlines_of(mask)
    assert np.array_equal(filled(polygons, (rows, columns)), mask)
    assert sum(signed_area(polygon) for polygon in polygons) == mask.sum()


def test_the_largest_part_is_outlined_from_corner_to_corner_of_its_pixels() -> None:
    mask = np.zeros((6, 8), dtype=bool)
    mask[1:4, 2:5] = True
    mask[5, 7] = True
    outline = largest_outline(mask)
    assert outline is not None
    assert sorted(map(tuple, outline.tolist())) == [(2, 1), (2, 4), (5, 1), (5, 4)]
    assert largest_outline(np.zeros((3, 3), dtype=bool)) is None


def test_a_simplified_outline_stays_within_its_tolerance() -> None:
    rows, columns = np.mgrid[:200, :200]
    disc = np.hypot(rows - 90, columns - 110) < 60
    outline = largest_outline(disc)
    assert outline is not None
    fewer = simplified(outline, 1.0)
    assert len(fewer) < len(outline) / 3
    assert (filled([fewer], (200, 200)) ^ disc).sum() < 0.02 * disc.sum()


@pytest.mark.parametrize(
    ("points", "crosses"),
    [
        ([[0, 0], [4, 0], [4, 4], [0, 4]], False),
        ([[0, 0], [4, 4], [4, 0], [0, 4]], True),
        ([[0, 0], [4, 0], [4, 4], [2, 0], [0, 4]], False),
        ([[0, 0], [4, 0], [4, 4], [2, -1], [0, 4]], True),
        ([[0, 0], [8, 0], [8, 8], [4, 3], [0, 8]], False),
    ],
)
def test_a_polygon_that_crosses_itself_is_known(points: list[list[float]], crosses: bool) -> None:
    assert crosses_itself(np.array(points, dtype=float)) is crosses


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_outlines_of_a_mask_never_cross_so_that_a_correction_can_begin_with_them(mask: NDArray[np.bool_]) -> None:
    polygons = drawable_outlines(mask, 0.8)
    assert not any(crosses_itself(polygon) for polygon in polygons)
    assert not polygons_cross(polygons)


def test_hundreds_of_small_outlines_are_compared_at_once() -> None:
    small = np.array([[0.0, 0.0], [0.6, 0.0], [0.0, 0.6]])
    many = [small + np.array([x, y]) for x in range(26) for y in range(25)]
    assert not polygons_cross(many)
    assert polygons_cross([*many, small[:, ::-1] + np.array([3.1, -0.2])])
