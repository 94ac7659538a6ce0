"""What the brain tumour reader sees of a slice, and how the boxes of its views become one."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coread.imaging.stretch import Part
from coread.phantoms.brain_mr import BrainRecipe, brain_slice
from coread.readers.brain_mr_tumor.outputs import SIDE
from coread.readers.brain_mr_tumor.places import mark_of
from coread.readers.brain_mr_tumor.preprocess import head_part, picture_views

CELLS = SIDE // 4


def drawn(seed: int = 1) -> np.ndarray:
    pixels: np.ndarray = (brain_slice(BrainRecipe(seed)).dataset.pixel_array // 16).astype(np.uint8)
    return pixels


def test_a_mirrored_slice_gives_mirrored_views() -> None:
    for view, other in zip(picture_views(drawn()), picture_views(drawn()[:, ::-1]), strict=True):
        columns = view.part.shape[1]
        assert (other.part.column_min, other.part.column_max) == (
            columns - view.part.column_max,
            columns - view.part.column_min,
        )
        assert np.abs(view.pixels - other.pixels[..., ::-1]).max() < 0.02


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_air_around_a_head_does_not_change_how_the_head_is_seen(top: int, bottom: int, left: int, right: int) -> None:
    head, _ = picture_views(drawn())
    padded, whole = picture_views(np.pad(drawn(), ((top, bottom), (left, right))))
    assert abs(padded.part.row_min - top - head.part.row_min) <= 6
    assert abs(padded.part.column_max - left - head.part.column_max) <= 6
    assert np.abs(padded.pixels - head.pixels).mean() < 0.05
    assert whole.part.shape == (256 + top + bottom, 256 + left + right)


def test_the_head_fills_its_view_and_the_whole_keeps_the_air() -> None:
    head, whole = picture_views(np.pad(drawn(), 64))
    assert head.part.rows < 0.8 * whole.part.rows
    assert (whole.part.row_min, whole.part.rows) == (0, 256 + 128)


def test_what_is_too_little_for_a_head_is_seen_whole() -> None:
    pixels = np.zeros((200, 200), dtype=np.float32)
    pixels[90:110, 90:110] = 1
    whole = Part(0, 200, 0, 200, (200, 200))
    assert head_part(pixels, whole) == whole
    assert head_part(np.zeros((200, 200), dtype=np.float32), whole) == whole


def maps_of(x0: float, y0: float, x1: float, y1: float, heat: float = 6.0) -> np.ndarray:
    """Draw the maps that a perfect network would give of one box in pixels of the square."""
    columns, rows = np.meshgrid(np.arange(CELLS), np.arange(CELLS))
    across, down = (x0 + x1) / 8, (y0 + y1) / 8
    far = ((columns + 0.5 - across) / (x1 - x0) * 8) ** 2 + ((rows + 0.5 - down) / (y1 - y0) * 8) ** 2
    shape = [np.full(columns.shape, math.log((high - low) / 4)) for low, high in ((x0, x1), (y0, y1))]
    return np.stack([np.where(far < 1, heat, -9.0), *shape, across - columns, down - rows])


WHOLE = Part(0, 256, 0, 256, (256, 256))
HEAD = Part(32, 224, 32, 224, (256, 256))


def seen_in(part: Part, box: tuple[float, float, float, float], heat: float = 6.0) -> tuple[np.ndarray, Part]:
    """Return what the network would say of a box in pixels of the slice when it is shown a part."""
    scale = SIDE / part.rows
    x0, y0, x1, y1 = ((edge - low) * scale for edge, low in zip(box, (part.column_min, part.row_min) * 2, strict=True))
    return maps_of(x0, y0, x1, y1, heat), part


def test_views_that_agree_give_the_box_between_theirs_and_are_sure() -> None:
    one, other = (80.0, 90.0, 140.0, 150.0), (84.0, 94.0, 144.0, 154.0)
    mark = mark_of([seen_in(HEAD, one), seen_in(WHOLE, other)])
    assert mark.box is not None
    assert np.allclose(mark.box, [82, 92, 142, 152], atol=1)
    assert mark.logit > 1


def test_views_that_disagree_give_the_box_that_is_borne_out_better_and_are_unsure() -> None:
    mark = mark_of([seen_in(HEAD, (60, 60, 100, 100)), seen_in(WHOLE, (150, 150, 190, 190), heat=0.0)])
    assert mark.box is not None
    assert np.allclose(mark.box, [60, 60, 100, 100], atol=2)
    assert mark.logit < mark_of([seen_in(HEAD, (60, 60, 100, 100))]).logit


def test_a_view_whose_box_is_empty_on_the_slice_marks_nothing() -> None:
    outside = maps_of(-60, -60, -20, -20)
    mark = mark_of([(outside, WHOLE)])
    assert mark.box is None or mark.logit == pytest.approx(math.log(1e-4 / (1 - 1e-4)), abs=3)
    assert mark_of([]).box is None
