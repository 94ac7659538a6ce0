"""Regions against SciPy; a picture squeezed to a square, and boxes and maps that come back to where they were."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from coread.imaging.dense_detections import agreement, boxes_from_dense_maps
from coread.imaging.regions import labelled, regions_of
from coread.imaging.stretch import Part, content_part, stretched


@settings(deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_regions_are_those_of_scipy(mask: np.ndarray) -> None:
    own, (theirs, count) = labelled(mask), ndimage.label(mask)
    assert len(regions_of(mask)) == count
    assert ((own > 0) == mask).all()
    pairs = set(zip(own[mask].tolist(), theirs[mask].tolist(), strict=True))
    assert len(pairs) == count


def test_an_empty_mask_has_no_regions() -> None:
    assert regions_of(np.zeros((4, 5), dtype=bool)) == []


@settings(deadline=None)
@given(st.integers(3, 60), st.integers(3, 60), st.integers(4, 40))
def test_the_mean_survives_the_squeeze(rows: int, columns: int, side: int) -> None:
    pixels = np.random.default_rng(rows * 100 + columns).random((rows, columns), dtype=np.float32)
    square = stretched(pixels, side)
    assert square.shape == (1, side, side)
    assert 0 <= square.min() <= square.max() <= 1
    if side <= min(rows, columns):
        assert float(square.mean()) == pytest.approx(float(pixels.mean()), abs=0.03)


def test_colours_stay_in_their_channels() -> None:
    picture = np.zeros((10, 20, 3), dtype=np.float32)
    picture[..., 1] = 1
    square = stretched(picture, 8)
    assert square[1].min() == 1
    assert square[0].max() == square[2].max() == 0


def test_padding_at_the_border_is_cut_and_boxes_come_back_behind_it() -> None:
    valid = np.zeros((40, 60), dtype=bool)
    valid[10:30, 20:60] = True
    part = content_part((40, 60), valid)
    assert (part.row_min, part.row_max, part.column_min, part.column_max) == (10, 30, 20, 60)
    assert part.box((0, 0, 8, 8), 8) == (20, 10, 60, 30)
    assert part.box((4, 4, 8, 8), 8) == (40, 20, 60, 30)
    assert part.box((8, 0, 9, 8), 8) is None
    field = part.field(np.ones((8, 8)), outside=-1.0)
    assert (field[valid] == 1).all()
    assert (field[~valid] == -1).all()


@settings(deadline=None)
@given(st.integers(2, 50), st.integers(2, 50))
def test_a_flat_map_stays_flat_on_any_picture(rows: int, columns: int) -> None:
    field = Part(0, rows, 0, columns, (rows, columns)).field(np.full((6, 6), 0.25))
    assert field.shape == (rows, columns)
    assert np.allclose(field, 0.25)


def maps_of(boxes: list[tuple[float, float, float, float]], cells: int = 20) -> np.ndarray:
    """Draw the maps that a perfect network would give; boxes in cells."""
    maps = np.full((5, cells, cells), -8.0)
    maps[1:] = 0
    for x0, y0, x1, y1 in boxes:
        rows, columns = np.mgrid[0:cells, 0:cells] + 0.5
        inside = ((columns - (x0 + x1) / 2) / (x1 - x0) * 2) ** 2 + ((rows - (y0 + y1) / 2) / (y1 - y0) * 2) ** 2 < 1
        maps[0][inside] = 6
        maps[1][inside], maps[2][inside] = np.log(x1 - x0), np.log(y1 - y0)
        maps[3][inside] = ((x0 + x1) / 2 - np.arange(cells))[None].repeat(cells, 0)[inside]
        maps[4][inside] = ((y0 + y1) / 2 - np.arange(cells))[:, None].repeat(cells, 1)[inside]
    return maps


@settings(deadline=None)
@given(st.floats(0, 8), st.floats(0, 8), st.floats(3, 11), st.floats(3, 11))
def test_a_densely_learned_box_is_read_as_it_was_drawn(x: float, y: float, width: float, height: float) -> None:
    found = boxes_from_dense_maps(maps_of([(x, y, x + width, y + height)]), (80, 80))
    assert len(found) == 1
    assert np.allclose(found[0, 1:5], np.array([x, y, x + width, y + height]) * 4, atol=0.01)
    assert found[0, 5] > 0.99


def test_two_objects_give_two_boxes_and_an_empty_map_none() -> None:
    boxes = [(1.0, 1.0, 6.0, 7.0), (10.0, 11.0, 18.0, 16.0)]
    found = boxes_from_dense_maps(maps_of(boxes), (20, 20))
    assert sorted(map(tuple, np.round(found[:, 1:5].astype(float), 3))) == boxes
    assert len(boxes_from_dense_maps(maps_of([]), (20, 20))) == 0


@settings(deadline=None)
@given(st.floats(0, 8), st.floats(0, 8), st.floats(3, 11), st.floats(3, 11))
def test_maps_agree_with_the_box_they_show_more_than_with_any_moved_one(
    x: float, y: float, width: float, height: float
) -> None:
    maps = maps_of([(x, y, x + width, y + height)])
    box = np.array([x, y, x + width, y + height]) * 4
    own = agreement(maps, box, (80, 80))
    moved = agreement(maps, box + np.array([1, 1, 1, 1]) * 2 * width, (80, 80))
    assert 0 <= moved < own <= 1


def test_no_heat_agrees_with_no_box() -> None:
    assert agreement(maps_of([]), np.array([0.0, 0, 20, 20]), (20, 20)) < 0.05
    assert agreement(maps_of([]), np.array([5.0, 5, 5, 5]), (20, 20)) == 0
