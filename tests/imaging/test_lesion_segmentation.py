"""A lesion outlined from a point, a box or a line: its volume, any orientation, clear errors for what cannot be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.domain.reasons import ReasonCode
from coread.imaging.errors import BadPrompt, ImagingRefused, NothingSegmented, PixelsNotFinite
from coread.imaging.lesion_segmentation import segment_lesion
from coread.imaging.prompts import BoxPrompt, LinePrompt, PointPrompt, Prompt, in_patient

SPACING = (2.5, 1.0, 1.2)
SHAPE = (22, 44, 40)
CENTER = (24.0, 21.0, 26.0)
RADII = (9.0, 7.0, 8.0)
"""x, y, z in mm."""
BOX = BoxPrompt((14.0, 13.0, 17.0), (34.0, 29.0, 35.0))
LINE = LinePrompt((15.2, 21.0, 26.0), (32.8, 21.0, 26.0))
POINT = PointPrompt((25.5, 20.0, 27.0))


def _matrix() -> NDArray[np.float64]:
    matrix = np.zeros((3, 4))
    matrix[2, 0], matrix[1, 1], matrix[0, 2] = SPACING
    return matrix


def _volume(lesion: float = 60.0, around: float = 0.0, quantity: Quantity = Quantity.HOUNSFIELD) -> Volume:
    geometry = Geometry(SHAPE, affine_of(_matrix()), "1.2.3")
    inside = _truth(geometry)
    noise = np.random.default_rng(3).normal(0, 6, SHAPE)
    values = np.where(inside, lesion, around) + noise
    return Volume(values.astype(np.float32), quantity, geometry, ())


def _truth(geometry: Geometry) -> NDArray[np.bool_]:
    places = geometry.to_patient(np.indices(geometry.shape).reshape(3, -1).T)
    return np.asarray(np.square((places - CENTER) / RADII).sum(axis=1) <= 1).reshape(geometry.shape)


def _ml(mask: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(mask) * np.prod(SPACING) / 1000)


EXACT_ML = 4 / 3 * np.pi * float(np.prod(RADII)) / 1000


def _turned(volume: Volume, order: tuple[int, ...], reverse: tuple[bool, ...]) -> Volume:
    """Return the same patient stored in another order of axes, some of them reversed."""
    matrix, values = volume.geometry.matrix(), volume.voxels
    turned = matrix.copy()
    turned[:3, :3] = matrix[:3, list(order)]
    values = np.transpose(values, order)
    for axis, flip in enumerate(reverse):
        if flip:
            turned[:3, 3] += turned[:3, axis] * (values.shape[axis] - 1)
            turned[:3, axis] *= -1
            values = np.flip(values, axis)
    shape = (values.shape[0], values.shape[1], values.shape[2])
    return Volume(np.ascontiguousarray(values), volume.quantity, Geometry(shape, affine_of(turned), "1.2.3"), ())


@pytest.mark.parametrize("prompt", [BOX, LINE, POINT], ids=["box", "line", "point"])
def test_the_volume_of_a_clear_lesion_is_found_within_a_tenth(prompt: Prompt) -> None:
    found = segment_lesion(_volume(), prompt)
    assert _ml(found.mask) == pytest.approx(EXACT_ML, rel=0.1)
    assert found.clearness > 0.6


@pytest.mark.parametrize("prompt", [BOX, LINE, POINT], ids=["box", "line", "point"])
def test_a_dark_lesion_without_a_unit_is_found_as_well(prompt: Prompt) -> None:
    found = segment_lesion(_volume(300.0, 500.0, Quantity.ARBITRARY), prompt)
    assert _ml(found.mask) == pytest.approx(EXACT_ML, rel=0.1)


@given(
    order=st.permutations((0, 1, 2)),
    reverse=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    prompt=st.sampled_from((BOX, LINE, POINT)),
)
@settings(max_examples=8, deadline=None)
def test_another_order_of_the_axes_gives_the_same_place(
    order: list[int], reverse: tuple[bool, bool, bool], prompt: Prompt
) -> None:
    volume = _volume()
    straight = segment_lesion(volume, prompt).mask
    turned = _turned(volume, tuple(order), reverse)
    back = np.flip(segment_lesion(turned, prompt).mask, tuple(axis for axis, flip in enumerate(reverse) if flip))
    other = np.transpose(back, np.argsort(order))
    assert np.count_nonzero(other != straight) <= 0.01 * np.count_nonzero(straight)


def test_a_box_where_all_looks_alike_follows_its_shape_and_says_so() -> None:
    found = segment_lesion(_volume(lesion=0.0), BOX)
    assert found.clearness < 0.3
    assert 0.3 < _ml(found.mask) / (20 * 16 * 18 / 1000) < 0.7


def test_a_box_in_voxel_indices_holds_whole_voxels() -> None:
    volume = _volume()
    box = in_patient(BoxPrompt((7.0, 13.0, 12.0), (14.0, 29.0, 28.0)), volume.geometry)
    assert isinstance(box, BoxPrompt)
    assert np.allclose(box.corners(), [[11.5 * 1.2, 12.5, 6.5 * 2.5], [28.5 * 1.2, 29.5, 14.5 * 2.5]])
    assert _ml(segment_lesion(volume, box).mask) == pytest.approx(EXACT_ML, rel=0.1)


def test_points_and_lines_in_voxel_indices_are_centres_of_voxels() -> None:
    geometry = _volume().geometry
    assert in_patient(PointPrompt((2.0, 3.0, 4.0)), geometry) == PointPrompt((4 * 1.2, 3.0, 5.0))
    assert in_patient(LinePrompt((0.0, 0.0, 0.0), (0.0, 0.0, 10.0)), geometry) == LinePrompt(
        (0.0, 0.0, 0.0), (12.0, 0.0, 0.0)
    )


@pytest.mark.parametrize(
    "prompt",
    [
        PointPrompt((500.0, 0.0, 0.0)),
        LinePrompt((20.0, 20.0, 20.0), (20.0, 20.0, 90.0)),
        BoxPrompt((-90.0, -90.0, -90.0), (-40.0, -40.0, -40.0)),
    ],
    ids=["point", "line", "box"],
)
def test_what_lies_outside_the_volume_is_refused_with_the_reach_of_the_volume(prompt: Prompt) -> None:
    with pytest.raises(BadPrompt, match="outside the volume, which is x 0 to 47 mm, y 0 to 43 mm") as caught:
        segment_lesion(_volume(), prompt)
    assert caught.value.reason.code is ReasonCode.BAD_PROMPT


def test_a_box_that_reaches_over_the_edge_is_cut() -> None:
    found = segment_lesion(_volume(), BoxPrompt((14.0, 13.0, 17.0), (34.0, 29.0, 300.0)))
    assert found.mask.any()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(bad: float) -> None:
    for make in (
        lambda: PointPrompt((bad, 0.0, 0.0)),
        lambda: LinePrompt((0.0, 0.0, 0.0), (bad, 0.0, 10.0)),
        lambda: BoxPrompt((0.0, 0.0, 0.0), (10.0, bad, 10.0)),
    ):
        with pytest.raises(BadPrompt, match="not finite"):
            make()


def test_a_box_or_line_without_size_is_refused() -> None:
    with pytest.raises(BadPrompt, match=r"a side of the box is 0\.0 mm"):
        BoxPrompt((0.0, 0.0, 0.0), (10.0, 0.0, 10.0))
    with pytest.raises(BadPrompt, match=r"the line is 0\.0 mm long"):
        LinePrompt((3.0, 3.0, 3.0), (3.0, 3.0, 3.0))


@pytest.mark.parametrize("prompt", [BOX, LINE, POINT], ids=["box", "line", "point"])
def test_a_prompt_in_air_is_refused(prompt: Prompt) -> None:
    with pytest.raises(NothingSegmented) as caught:
        segment_lesion(_volume(-1000.0, -1000.0), prompt)
    assert caught.value.reason.code is ReasonCode.INDETERMINATE


def test_a_prompt_in_the_background_of_an_image_without_a_unit_is_refused() -> None:
    volume = _volume(0.0, 0.0, Quantity.ARBITRARY)
    volume.voxels[:] = np.abs(volume.voxels)
    volume.voxels[-1] = 1000.0
    with pytest.raises(NothingSegmented, match="background"):
        segment_lesion(volume, BOX)


def test_voxels_that_are_not_finite_are_refused() -> None:
    volume = _volume()
    volume.voxels[10, 20, 20] = np.nan
    with pytest.raises(PixelsNotFinite):
        segment_lesion(volume, BOX)


def test_equal_values_everywhere_are_refused() -> None:
    volume = _volume()
    volume.voxels[:] = 40.0
    for prompt in (BOX, LINE, POINT):
        with pytest.raises(ImagingRefused):
            segment_lesion(volume, prompt)


def test_nothing_is_written_into_the_volume() -> None:
    volume = _volume()
    before = volume.voxels.copy()
    segment_lesion(volume, BOX)
    assert np.array_equal(before, volume.voxels)
