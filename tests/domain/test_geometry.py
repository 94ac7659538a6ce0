"""Positions and indices map into each other in every orientation, with any tilt and spacing."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coread.domain.errors import InvalidRecord
from coread.domain.geometry import Geometry, affine_of

ORIENTATIONS = [
    np.array(
        [[sign if axis == column else 0.0 for column, sign in zip(order, signs, strict=True)] for axis in range(3)]
    )
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]
SPACING = st.floats(0.1, 10.0)
ORIGIN = st.floats(-500.0, 500.0)
INDEX = st.tuples(*[st.floats(-600, 600)] * 3)


def geometry_of(axes: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]", spacing: object, origin: object) -> Geometry:
    matrix = np.eye(4)
    matrix[:3, :3] = axes * np.asarray(spacing, dtype=np.float64)
    matrix[:3, 3] = np.asarray(origin, dtype=np.float64)
    return Geometry((5, 6, 7), affine_of(matrix), "1.2.3")


def test_there_are_48_orientations() -> None:
    assert len({axes.tobytes() for axes in ORIENTATIONS}) == 48


@pytest.mark.parametrize("number", range(48))
@given(spacing=st.tuples(SPACING, SPACING, SPACING), origin=st.tuples(ORIGIN, ORIGIN, ORIGIN), index=INDEX)
@settings(max_examples=10)
def test_a_voxel_finds_its_way_back(
    number: int,
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
    index: tuple[float, float, float],
) -> None:
    geometry = geometry_of(ORIENTATIONS[number], spacing, origin)
    there = geometry.to_patient(np.array([index]))
    assert np.allclose(geometry.to_index(there), [index], atol=1e-6)
    assert np.allclose(geometry.spacing_mm(), spacing)


@given(st.floats(-60, 60), st.tuples(SPACING, SPACING, SPACING), INDEX)
def test_a_tilted_gantry_is_invertible_too(
    degrees: float, spacing: tuple[float, float, float], index: tuple[float, float, float]
) -> None:
    tilt = np.radians(degrees)
    axes = np.array([[0.0, 0.0, 1.0], [0.0, np.cos(tilt), 0.0], [1.0, np.sin(tilt), 0.0]])
    geometry = geometry_of(axes, spacing, (0.0, 0.0, 0.0))
    assert np.allclose(geometry.to_index(geometry.to_patient(np.array([index]))), [index], atol=1e-6)


def test_an_axial_slice_lies_where_the_standard_says() -> None:
    # PS3.3 C.7.6.2.1.1: columns run along +x, rows along +y; the first voxel centre is Image Position (Patient).
    axes = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    geometry = geometry_of(axes, (3.0, 2.0, 1.0), (-10.0, -20.0, 30.0))
    assert geometry.to_patient(np.array([[0, 0, 0]])).tolist() == [[-10.0, -20.0, 30.0]]
    assert geometry.to_patient(np.array([[1, 2, 3]])).tolist() == [[-7.0, -16.0, 33.0]]


@pytest.mark.parametrize(
    ("shape", "scale"), [((0, 1, 1), 1.0), ((1, 1, 1), 0.0), ((1, 1, 1), float("nan")), ((1, 1, 1), float("inf"))]
)
def test_a_grid_that_cannot_be_is_refused(shape: tuple[int, int, int], scale: float) -> None:
    affine = ((scale, 0.0, 0.0, 0.0), (0.0, scale, 0.0, 0.0), (0.0, 0.0, scale, 0.0))
    with pytest.raises(InvalidRecord):
        Geometry(shape, affine, "1.2")


@pytest.mark.parametrize("shape", [(2, 4), (3, 3), (4, 5)])
def test_an_affine_of_another_shape_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(InvalidRecord):
        affine_of(np.ones(shape))
