"""The sampler of reference objects: what the voxels hold is what the formulas say, in every orientation."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coread.domain.geometry import Geometry, affine_of
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.scan import Setup, grid_over
from coread.phantoms.reference.scene import Part, Scene, measured, render
from coread.phantoms.reference.shapes import (
    Blob,
    Bounds,
    Cylinder,
    Formula,
    HalfSpace,
    Overlap,
    Shape,
    Superellipsoid,
    Tube,
    Union,
    Without,
    ball,
    mirrored,
    pieces,
    rotation_matrix,
    scaled,
    turned,
)

FIELD: Bounds = ((-40.0, -40.0, -40.0), (40.0, 40.0, 40.0))
SOLIDS: dict[str, Shape] = {
    "sphere": ball((3.1, -2.2, 1.7), 14.3),
    "ellipsoid": Superellipsoid((0.4, 0.3, -0.2), (20.0, 9.0, 13.0)),
    "vertebra": Superellipsoid((0.4, 0.3, -0.2), (20.0, 15.0, 11.0), 2.4, 7.0),
    "lump": Blob((1.0, 2.0, -3.0), (13.0, 10.0, 15.0), 0.25, 3),
    "capsule": Tube(((-11.0, 4.0, -9.0), (9.0, -6.0, 12.0)), (6.5,)),
    "bar": Cylinder((1.3, -2.1, 0.4), 9.7, 17.3),
    "turned": turned(Superellipsoid((2.0, 1.0, 3.0), (18.0, 8.0, 10.0)), (20.0, -35.0, 50.0), (1.0, 1.0, 1.0)),
    "scaled": scaled(Blob((1.0, 2.0, -3.0), (13.0, 10.0, 15.0), 0.2, 4), 1.3, (4.0, 0.0, 0.0)),
    "mirrored": mirrored(Blob((9.0, 2.0, -3.0), (11.0, 10.0, 12.0), 0.2, 4)),
}


def grid(step: float, setup: Setup | None = None) -> Geometry:
    return grid_over(FIELD, setup or Setup(), (step, step, step), "1.2.3").geometry


@pytest.mark.parametrize("name", SOLIDS)
def test_voxels_hold_the_volume_of_the_closed_form(name: str) -> None:
    shape = SOLIDS[name]
    exact = shape.volume_mm3()
    assert exact is not None
    fine = render(Scene(0.0, (Part("it", shape, 1.0),)), grid(1.0), measure=["it"]).extents["it"].volume_mm3
    coarse = render(Scene(0.0, (Part("it", shape, 1.0),)), grid(3.7), measure=["it"]).extents["it"].volume_mm3
    assert fine == pytest.approx(exact, rel=2e-3)
    assert coarse == pytest.approx(exact, rel=1e-2)


@pytest.mark.parametrize("name", SOLIDS)
def test_no_surface_is_nearer_than_the_bound_says(name: str) -> None:
    """The sampler skips voxels by this bound: between any two points on either side it must leave room for both."""
    shape = SOLIDS[name]
    random = np.random.default_rng(2)
    points = random.uniform(-38, 38, (3, 6000)).astype(np.float32)
    bound = shape.distance(points)
    inside, outside = points[:, bound < 0][:, :800], points[:, bound >= 0][:, :800]
    room = -bound[bound < 0][:800, np.newaxis] + bound[bound >= 0][np.newaxis, :800]
    apart = np.linalg.norm(inside[:, :, np.newaxis] - outside[:, np.newaxis, :], axis=0)
    assert (room <= apart + 1e-3).all()


@pytest.mark.parametrize("name", SOLIDS)
def test_the_box_holds_the_whole_solid(name: str) -> None:
    low, high = SOLIDS[name].bounds()
    axis = np.linspace(-38, 38, 60, dtype=np.float32)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"))
    inside = points[:, SOLIDS[name].distance(points) < 0]
    for k in range(3):
        assert low[k] <= inside[k].min()
        assert inside[k].max() <= high[k]


def test_sampling_measures_what_has_no_closed_form() -> None:
    lens = Overlap((ball((0.0, 0.0, 0.0), 15.0), ball((12.0, 0.0, 0.0), 15.0)))
    cap = 15.0 - 6.0
    exact = 2 * np.pi * cap**2 * (3 * 15.0 - cap) / 3
    found = measured(Scene(0.0, (Part("lens", lens, 1.0),)), ["lens"], 0.8)["lens"]
    assert found.volume_mm3 == pytest.approx(exact, rel=1e-3)
    assert 0 <= found.uncertainty_mm3 < 2e-3 * exact


def test_what_is_painted_over_does_not_count() -> None:
    scene = Scene(0.0, (Part("shell", ball((0, 0, 0), 20.0), 1.0), Part("core", ball((0, 0, 0), 15.0), 5.0)))
    drawn = render(scene, grid(1.3), measure=["shell", "core"])
    assert drawn.extents["shell"].volume_mm3 == pytest.approx(4 / 3 * np.pi * (20**3 - 15**3), rel=5e-3)
    assert drawn.extents["core"].volume_mm3 == pytest.approx(4 / 3 * np.pi * 15**3, rel=5e-3)


def test_a_voxel_is_the_mean_over_its_own_volume() -> None:
    """Half-filled voxels are half bright, and all voxels together hold the integral of the scene."""
    scene = Scene(-1000.0, (Part("half", Overlap((Cylinder((0, 0, 0), 30, 30), HalfSpace((1, 0, 0), 0.25))), 200.0),))
    drawn = render(scene, Geometry((1, 1, 2), affine_of(np.eye(4)), "1.2"), samples=5)
    assert drawn.values[0, 0, 0] == pytest.approx(-1000 + 1200 * 0.75, abs=15)
    solid = Scene(2.0, (Part("it", SOLIDS["lump"], 7.0),))
    values = render(solid, grid(2.0)).values
    exact = SOLIDS["lump"].volume_mm3()
    assert exact is not None
    assert float((values.astype(np.float64) - 2.0).sum()) * 8 == pytest.approx(5.0 * exact, rel=5e-3)


def test_pieces_of_a_union_are_the_union() -> None:
    bend = Tube(((-20.0, 0.0, 0.0), (0.0, 10.0, 5.0), (20.0, 0.0, -8.0)), (6.0, 4.0, 5.0))
    shape = Union((bend, mirrored(Union((bend, ball((5.0, 5.0, 5.0), 9.0))))))
    points = np.random.default_rng(1).uniform(-35, 35, (3, 5000)).astype(np.float32)
    together = np.minimum.reduce([piece.distance(points) for piece in pieces(shape)])
    assert ((together < 0) == (shape.distance(points) < 0)).all()
    assert len(pieces(shape)) == 5


def test_difference_and_formula_have_no_closed_form() -> None:
    hollow = Without(ball((0, 0, 0), 12.0), ball((0, 0, 0), 8.0))
    assert hollow.volume_mm3() is None
    drawn = render(Scene(0.0, (Part("it", hollow, 1.0),)), grid(1.5), measure=["it"])
    assert drawn.extents["it"].volume_mm3 == pytest.approx(4 / 3 * np.pi * (12**3 - 8**3), rel=5e-3)
    assert Formula(lambda points: points[0], FIELD).volume_mm3() is None


@pytest.mark.parametrize("number", range(48))
def test_all_orientations_put_the_lesion_in_the_same_place_of_the_patient(number: int) -> None:
    scene = Scene(0.0, (Part("it", Blob((9.0, -6.0, 12.0), (9.0, 7.0, 8.0), 0.2, 1), 1.0),))
    drawn = render(scene, grid(3.0, Setup(orientation=str(number))), measure=["it"]).extents["it"]
    reference = render(scene, grid(1.0), measure=["it"]).extents["it"]
    assert drawn.center_mm == pytest.approx(reference.center_mm, abs=0.08)
    assert drawn.volume_mm3 == pytest.approx(reference.volume_mm3, rel=0.02)


@given(
    tilt=st.floats(-28, 28),
    gap=st.floats(1.5, 4.0),
    degrees=st.tuples(st.floats(-40, 40), st.floats(-40, 40), st.floats(-40, 40)),
)
@settings(max_examples=12)
def test_a_tilt_and_a_moved_patient_change_neither_volume_nor_place(
    tilt: float, gap: float, degrees: tuple[float, float, float]
) -> None:
    rotation, shift = rotation_matrix(degrees), np.asarray([3.0, -2.0, 4.0])
    a, b, c = (tuple(float(v) for v in row) for row in np.hstack([rotation, shift[:, np.newaxis]]))
    shape = Superellipsoid((5.0, -6.0, 8.0), (9.0, 7.0, 11.0))
    scene = Scene(0.0, (Part("it", shape, 1.0),), (a, b, c))  # type: ignore[arg-type]
    there = grid_over(FIELD, Setup(tilt_degrees=tilt), (gap, 2.0, 2.0), "1.2").geometry
    drawn = render(scene, there, measure=["it"]).extents["it"]
    assert drawn.volume_mm3 == pytest.approx(shape.volume_mm3(), rel=0.02)
    assert drawn.center_mm == pytest.approx(rotation @ np.asarray(shape.center_mm) + shift, abs=0.12)


def test_the_grid_covers_the_field_with_any_tilt_and_orientation() -> None:
    corners = np.asarray([[x, y, z] for x in (-40, 40) for y in (-40, 40) for z in (-40, 40)], dtype=np.float64)
    for setup in (Setup(), Setup(tilt_degrees=25), Setup(orientation="17", tilt_degrees=-20), Setup(orientation="5")):
        found = grid_over(FIELD, setup, (3.0, 1.7, 2.1), "1.2").geometry
        index = found.to_index(corners)
        assert (index > -1.0).all()
        assert (index < np.asarray(found.shape)).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"spacing_mm": (0.0, 1.0, 1.0)}, {"orientation": "48"}, {"orientation": "oblique"}, {"tilt_degrees": 45.0},
        {"noise": -1.0}, {"kernel_mm": float("nan")}, {"dates": ("20260301", "20260201")}, {"dates": ("2026-03-01",)},
        {"seed": -1}, {"dates": ("20260231",)},
    ],
)  # fmt: skip
def test_a_scanner_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadTruth):
        replace(Setup(), **wrong)  # type: ignore[arg-type]


def test_too_many_voxels_are_refused_before_memory_is_asked_for() -> None:
    with pytest.raises(BadTruth, match="wider spacing"):
        grid_over(FIELD, Setup(spacing_mm=(0.1, 0.1, 0.1)), (1, 1, 1), "1.2")


def test_solids_of_no_size_are_refused() -> None:
    for build in (
        lambda: Superellipsoid((0, 0, 0), (1, 0, 1)), lambda: Blob((0, 0, 0), (1, 1, -1)),
        lambda: Tube(((0, 0, 0),), (1,)), lambda: Cylinder((0, 0, 0), 0, 1), lambda: ball((0, 0, 0), 3).__class__(
            (0, 0, 0), (3, 3, 3), 1.0),
    ):  # fmt: skip
        with pytest.raises(BadTruth):
            build()
    with pytest.raises(BadTruth, match="above 0"):
        Blob((0, 0, 0), (1, 1, 1)).with_volume(-2.0)


def test_names_in_a_scene_are_unique_and_known() -> None:
    part = Part("it", ball((0, 0, 0), 3), 1.0)
    with pytest.raises(BadTruth, match="different names"):
        Scene(0.0, (part, part))
    with pytest.raises(BadTruth, match="no part"):
        render(Scene(0.0, (part,)), grid(8.0), measure=["other"])
