"""Laws of volumes: whatever the direction, tilt and spacing, what lies at a place in the patient stays there."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.domain.study import InstanceHeader
from coread.imaging.nifti import nifti_volume, on_grid, read_nifti, write_volume
from coread.imaging.resampling import (
    Interpolation,
    grid_with_spacing,
    is_sheared,
    rectangular_grid,
    resampled,
    resampled_mask,
    shear_degrees,
    straightened,
)
from coread.imaging.volume import load_volume
from coread.phantoms.ct import CtRecipe, ct_affine, ct_series, ct_voxels, with_orientation
from tests.imaging.made_series import SMALL, saved

ORIENTATIONS = st.integers(0, 47)
TILTS = st.floats(-30, 30)
SPACINGS = st.tuples(st.floats(0.3, 4.0), st.floats(0.3, 4.0))


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Draw a grid in any of the 48 directions, tilted, with any spacing, turned further by small angles."""
    recipe = CtRecipe(rows=draw(st.integers(8, 20)), columns=draw(st.integers(8, 20)), slices=draw(st.integers(8, 14)))
    recipe = replace(
        with_orientation(recipe, draw(ORIENTATIONS)), tilt_degrees=draw(TILTS), spacing_mm=draw(SPACINGS),
        gap_mm=draw(st.floats(0.5, 8.0)),
    )  # fmt: skip
    matrix = ct_affine(recipe)
    a, b = draw(st.floats(-0.5, 0.5)), draw(st.floats(-0.5, 0.5))
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn = turn @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    matrix[:3] = turn @ matrix[:3]
    return Geometry((recipe.slices, recipe.rows, recipe.columns), affine_of(matrix), "1.2")


def positions(geometry: Geometry) -> NDArray[np.float64]:
    """Positions of all voxel centres, (voxels, 3)."""
    return geometry.to_patient(np.argwhere(np.ones(geometry.shape)))


def painted(geometry: Geometry, slope: NDArray[np.float64]) -> Volume:
    """A volume whose value is a linear function of the place in the patient."""
    values = (positions(geometry) @ slope).reshape(geometry.shape)
    return Volume(values.astype(np.float32), Quantity.ARBITRARY, geometry, ())


@given(geometry=geometries())
def test_voxel_to_patient_to_voxel(geometry: Geometry) -> None:
    index = np.argwhere(np.ones(geometry.shape))[::7]
    assert geometry.to_index(geometry.to_patient(index)) == pytest.approx(index, abs=1e-6)


@given(number=ORIENTATIONS, tilt=TILTS, spacing=SPACINGS, seed=st.integers(0, 99))
@settings(max_examples=25)
def test_a_series_in_any_direction_is_the_volume_it_was_made_from(
    number: int, tilt: float, spacing: tuple[float, float], seed: int
) -> None:
    recipe = replace(with_orientation(replace(SMALL, slices=4), number), tilt_degrees=tilt, spacing_mm=spacing)
    made = ct_series(recipe)
    with tempfile.TemporaryDirectory() as folder:
        order = np.random.default_rng(seed).permutation(len(made))
        volume = load_volume(saved(Path(folder), [made[i] for i in order]))
    truth = Geometry(volume.geometry.shape, affine_of(ct_affine(recipe)), "1.2")
    where = truth.to_index(positions(volume.geometry))
    index = np.rint(where).astype(int)
    assert where == pytest.approx(index, abs=1e-4)
    assert np.array_equal(volume.voxels.ravel(), ct_voxels(recipe)[tuple(index.T)].astype(np.float32))


@given(geometry=geometries(), seed=st.integers(0, 99))
@settings(max_examples=40)
def test_nifti_round_trip(geometry: Geometry, seed: int) -> None:
    voxels = np.random.default_rng(seed).normal(size=geometry.shape).astype(np.float32)
    volume = Volume(voxels, Quantity.HOUNSFIELD, geometry, ())
    with tempfile.TemporaryDirectory() as folder:
        path = write_volume(Path(folder) / "a.nii.gz", volume)
        again = nifti_volume(path, quantity=Quantity.HOUNSFIELD)
        values, affine = read_nifti(path)
    assert np.array_equal(again.voxels, voxels)
    assert positions(again.geometry) == pytest.approx(positions(geometry), abs=1e-3)
    assert np.array_equal(on_grid(values, affine, geometry.matrix()), voxels)


@given(geometry=geometries(), spacing=st.tuples(st.floats(0.8, 3), st.floats(0.8, 3), st.floats(0.8, 3)))
@settings(max_examples=40)
def test_resampling_keeps_a_linear_function_of_the_place(
    geometry: Geometry, spacing: tuple[float, float, float]
) -> None:
    slope = np.array([1.0, -2.0, 0.5])
    target = grid_with_spacing(geometry, spacing)
    moved = resampled(painted(geometry, slope), target, outside=-9999.0)
    index = geometry.to_index(positions(target))
    inside = ((index >= 0) & (index <= np.array(geometry.shape) - 1)).all(axis=1)  # between voxel centres
    truth = positions(target) @ slope
    assert inside.any()
    assert moved.voxels.ravel()[inside] == pytest.approx(truth[inside], abs=0.02)
    assert moved.changes


def test_slices_of_another_grid_name_the_frames_they_came_from() -> None:
    geometry = Geometry((6, 8, 8), affine_of(np.diag([2.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]]), "1.2")
    header = InstanceHeader("1.1", "1.2", "1.3", "1.4", "1.5", number_of_frames=6)
    volume = Volume(np.zeros((6, 8, 8), np.float32), Quantity.ARBITRARY, geometry, (header,))
    assert [one.frame for one in volume.references()] == [1, 2, 3, 4, 5, 6]
    coarser = resampled(volume, grid_with_spacing(geometry, (6.0, 1.0, 1.0)))
    assert [one.frame for one in coarser.references()] == [2, 5]


@given(geometry=geometries())
@settings(max_examples=40)
def test_there_and_back_is_where_it_was(geometry: Geometry) -> None:
    finer = grid_with_spacing(geometry, tuple(step / 2 for step in geometry.spacing_mm()))  # type: ignore[arg-type]
    volume = painted(geometry, np.array([1.0, 1.0, -1.0]))
    back = resampled(resampled(volume, finer), geometry)
    inner = (slice(1, -1),) * 3
    assert back.voxels[inner] == pytest.approx(volume.voxels[inner], abs=0.02)


@given(geometry=geometries(), seed=st.integers(0, 99))
@settings(max_examples=30)
def test_nearest_resampling_onto_the_same_grid_turned_is_the_same_array_turned(geometry: Geometry, seed: int) -> None:
    voxels = np.random.default_rng(seed).normal(size=geometry.shape).astype(np.float32)
    matrix = geometry.matrix()[:, [2, 0, 1, 3]]
    matrix[:3, 3] += matrix[:3, 0] * (geometry.shape[2] - 1)
    matrix[:3, 0] *= -1
    turned = Geometry((geometry.shape[2], geometry.shape[0], geometry.shape[1]), affine_of(matrix), "1.2")
    moved = resampled(
        Volume(voxels, Quantity.ARBITRARY, geometry, ()), turned, interpolation=Interpolation.NEAREST, outside=-99.0
    )
    assert np.array_equal(moved.voxels, voxels.transpose(2, 0, 1)[::-1])


@given(geometry=geometries())
@settings(max_examples=40)
def test_a_straightened_stack_is_rectangular_covers_all_and_keeps_places(geometry: Geometry) -> None:
    slope = np.array([0.7, -1.1, 0.9])
    volume = painted(geometry, slope)
    straight = straightened(volume, outside=-9999.0)
    assert not is_sheared(straight.geometry)
    assert straight.geometry.shape[0] == geometry.shape[0]
    if not is_sheared(geometry):
        assert straight is volume
        return
    corners = np.array([[k, r, c] for k in (0, geometry.shape[0] - 1) for r in (0, geometry.shape[1] - 1)
                        for c in (0, geometry.shape[2] - 1)])  # fmt: skip
    reached = straight.geometry.to_index(geometry.to_patient(corners))
    assert (reached > -1e-6).all()
    assert (reached < np.array(straight.geometry.shape) - 1 + 1e-6).all()
    inside = straight.voxels.ravel() > -9000
    assert inside.sum() >= 0.5 * np.prod([n - 1 for n in geometry.shape])
    truth = positions(straight.geometry) @ slope
    assert straight.voxels.ravel()[inside] == pytest.approx(truth[inside], abs=0.02)


@given(tilt=st.floats(2, 30), number=ORIENTATIONS)
@settings(max_examples=40)
def test_the_shear_is_the_gantry_tilt(tilt: float, number: int) -> None:
    recipe = replace(with_orientation(SMALL, number), tilt_degrees=tilt)
    geometry = Geometry((7, 12, 10), affine_of(ct_affine(recipe)), "1.2")
    assert shear_degrees(geometry) == pytest.approx(tilt, abs=1e-6)
    assert not is_sheared(rectangular_grid(geometry))


@given(geometry=geometries(), where=st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7), st.floats(0.3, 0.7)))
@settings(max_examples=30)
def test_a_mask_on_another_grid_and_back_has_its_centre_where_it_was(
    geometry: Geometry, where: tuple[float, float, float]
) -> None:
    centre = geometry.to_patient(np.array([where]) * (np.array(geometry.shape) - 1))[0]
    radius = 0.25 * min(extent * step for extent, step in zip(geometry.shape, geometry.spacing_mm(), strict=True))
    mask = (np.linalg.norm(positions(geometry) - centre, axis=1) < radius).reshape(geometry.shape)
    if mask.sum() < 8:
        return
    finer = grid_with_spacing(geometry, tuple(step / 2 for step in geometry.spacing_mm()))  # type: ignore[arg-type]
    back = resampled_mask(resampled_mask(mask, geometry, finer), finer, geometry)
    step = max(geometry.spacing_mm())
    assert centroid(back, geometry) == pytest.approx(centroid(mask, geometry), abs=0.25 * step)


def centroid(mask: NDArray[np.bool_], geometry: Geometry) -> NDArray[Any]:
    return np.asarray(geometry.to_patient(np.argwhere(mask)).mean(axis=0))
