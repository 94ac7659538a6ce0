"""Volumes: exact affines in all 48 orientations, with tilt, in any file order; refused where they are no grid."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.domain.study import InstanceHeader
from coread.imaging.completeness import series_is_complete
from coread.imaging.errors import ImageTooLarge, MissingSlice, MixedGeometry, SamePosition, TooFewImages
from coread.imaging.geometry import (
    index_of_scoord,
    scoord3d_of_scoord,
    scoord_of_index,
    scoord_of_scoord3d,
)
from coread.imaging.header import scan_header
from coread.imaging.volume import load_volume
from coread.phantoms.ct import Ball, CtRecipe, all_orientations, ct_affine, ct_series, ct_voxels, with_orientation

SMALL = CtRecipe(rows=12, columns=10, slices=7, balls=(Ball((12.0, -19.0, 36.0), 4.0),))


def saved(folder: Path, recipe: CtRecipe) -> list[tuple[Path, InstanceHeader]]:
    instances = []
    for number, dataset in enumerate(ct_series(recipe)):
        path = folder / f"{number:03d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        instances.append((path, scan_header(path)))
    return instances


def ball_center(volume: Volume) -> NDArray[np.float64]:
    center: NDArray[np.float64] = volume.geometry.to_patient(np.argwhere(volume.voxels > 120)).mean(axis=0)
    return center


@pytest.mark.parametrize("number", range(48))
def test_each_of_the_48_orientations_keeps_the_place_of_what_is_inside(tmp_path: Path, number: int) -> None:
    recipe = with_orientation(SMALL, number)
    instances = saved(tmp_path, recipe)
    volume = load_volume(list(reversed(instances)))
    truth = np.argwhere(ct_voxels(recipe) > 120) @ ct_affine(recipe)[:3, :3].T + ct_affine(recipe)[:3, 3]
    assert np.allclose(ball_center(volume), truth.mean(axis=0), atol=1e-6)
    assert volume.quantity is Quantity.HOUNSFIELD
    backwards = volume.headers[0].sop_instance_uid != instances[0][1].sop_instance_uid
    voxels = volume.voxels[::-1] if backwards else volume.voxels
    assert np.array_equal(voxels, ct_voxels(recipe))
    if not backwards:
        assert np.allclose(volume.geometry.matrix(), ct_affine(recipe), atol=1e-6)


def test_there_are_48_different_orientations_half_of_them_mirrored() -> None:
    determinants = [round(float(np.linalg.det(np.array(axes)))) for axes in all_orientations()]
    assert len(set(all_orientations())) == 48
    assert sorted(determinants) == [-1] * 24 + [1] * 24


@pytest.mark.parametrize("tilt", [-22.5, 10.0, 25.0])
def test_a_tilted_gantry_gives_a_sheared_and_exact_grid(tmp_path: Path, tilt: float) -> None:
    recipe = replace(SMALL, tilt_degrees=tilt)
    volume = load_volume(saved(tmp_path, recipe))
    assert np.allclose(volume.geometry.matrix(), ct_affine(recipe), atol=1e-6)
    assert np.array_equal(volume.voxels, ct_voxels(recipe))


def test_file_order_does_not_matter(tmp_path: Path) -> None:
    instances = saved(tmp_path, SMALL)
    shuffled = [instances[i] for i in np.random.default_rng(3).permutation(len(instances))]
    first, second = load_volume(instances), load_volume(shuffled)
    assert np.array_equal(first.voxels, second.voxels)
    assert first.geometry == second.geometry
    assert [h.instance_number for h in second.headers] == [1, 2, 3, 4, 5, 6, 7]


def test_a_missing_slice_two_at_one_place_and_mixed_planes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingSlice):
        load_volume(saved(tmp_path, replace(SMALL, missing=(3,))))
    with pytest.raises(SamePosition):
        load_volume(saved(tmp_path, replace(SMALL, doubled=(3,))))
    instances = saved(tmp_path, SMALL)
    path, header = instances[2]
    turned = replace(header, image_orientation_patient=(0.0, 1.0, 0.0, 1.0, 0.0, 0.0))
    for spoiled in (turned, replace(header, rows=13), replace(header, frame_of_reference_uid="1.2.9")):
        with pytest.raises(MixedGeometry):
            load_volume([*instances[:2], (path, spoiled), *instances[3:]])
    with pytest.raises(TooFewImages):
        load_volume(instances[:1])
    with pytest.raises(TooFewImages):
        load_volume([])
    with pytest.raises(ImageTooLarge):
        load_volume(instances, max_pixels=100)


def test_a_complete_series_is_complete_and_a_growing_one_is_not(tmp_path: Path) -> None:
    headers = [header for _, header in saved(tmp_path, SMALL)]
    assert series_is_complete(headers).complete
    assert "uniform gap 2.50 mm" in series_is_complete(headers).detail
    later = [replace(header, instance_number=100 + (header.instance_number or 0)) for header in headers]
    assert series_is_complete(later).complete
    assert not series_is_complete(headers[:3] + headers[4:]).complete
    assert not series_is_complete(headers[:1]).complete
    assert not series_is_complete([]).complete


def test_projection_images_are_complete_one_by_one() -> None:
    header = InstanceHeader("1.2", "1.3", "1.4", "1.5", "1.2.840.10008.1.2.1", modality="DX", rows=10, columns=10)
    assert series_is_complete([header]).complete
    assert series_is_complete([header, replace(header, sop_instance_uid="1.6")]).complete


@pytest.mark.shared
def test_the_real_tilted_head_with_uneven_gaps_is_refused_and_its_even_part_is_read(real_folder: Path) -> None:
    files = sorted((real_folder / "dcm_ge_head_tilt_gaps" / "GE").iterdir())
    instances = [(path, scan_header(path)) for path in files]
    with pytest.raises((MissingSlice, MixedGeometry)):
        load_volume(instances)
    ordered = sorted(instances, key=lambda item: item[1].image_position_patient[2])
    volume = load_volume(even_run(ordered))
    matrix = volume.geometry.matrix()[:3, :3]
    normal = np.cross(matrix[:, 2], matrix[:, 1])
    tilt = np.degrees(np.arccos(abs(normal @ matrix[:, 0]) / np.linalg.norm(normal) / np.linalg.norm(matrix[:, 0])))
    assert tilt > 5
    assert volume.voxels.min() < -900


def even_run(ordered: Sequence[tuple[Path, InstanceHeader]]) -> list[tuple[Path, InstanceHeader]]:
    heights = np.array([header.image_position_patient for _, header in ordered])
    gaps = np.linalg.norm(np.diff(heights, axis=0), axis=1)
    same = np.flatnonzero(np.abs(gaps - gaps[0]) > 0.05)
    return list(ordered[: (int(same[0]) + 1 if same.size else len(ordered))])


@pytest.mark.shared
def test_a_real_mr_series_is_one_grid(real_folder: Path) -> None:
    folder = real_folder / "mr_brain_siemens_2_series" / "11-T1post-18670"
    instances = [(path, scan_header(path)) for path in sorted(folder.iterdir())]
    volume = load_volume(instances)
    assert volume.voxels.shape == (22, 320, 280)
    assert volume.quantity is Quantity.ARBITRARY


@pytest.mark.shared
def test_a_multi_frame_object_is_a_volume_where_its_frames_have_planes(real_folder: Path) -> None:
    single = sorted((real_folder / "dcm_seg_sr_objects/dcmqi/segmentations/24x38x3/image").iterdir())
    volume = load_volume([(path, scan_header(path)) for path in single])
    assert volume.voxels.shape == (3, 38, 24)


@given(
    points=st.lists(st.tuples(st.floats(0, 500), st.floats(0, 500)), min_size=1, max_size=5),
    slice_index=st.integers(0, 9),
    number=st.integers(0, 47),
    tilt=st.floats(-30, 30),
)
@settings(max_examples=60, deadline=None)
def test_image_coordinates_go_to_the_patient_and_back(
    points: list[tuple[float, float]], slice_index: int, number: int, tilt: float
) -> None:
    recipe = replace(with_orientation(CtRecipe(rows=512, columns=512, slices=10), number), tilt_degrees=tilt)
    geometry = Geometry((10, 512, 512), affine_of(ct_affine(recipe)), "1.2")
    scoord = np.array(points)
    slices, back = scoord_of_scoord3d(scoord3d_of_scoord(scoord, geometry, slice_index), geometry)
    assert np.allclose(back, scoord, atol=1e-6)
    assert np.allclose(slices, slice_index, atol=1e-6)
    assert np.allclose(scoord_of_index(index_of_scoord(scoord)), scoord)


def test_the_centre_of_the_first_pixel_is_half_a_pixel_from_the_corner() -> None:
    geometry = Geometry((1, 4, 4), affine_of(np.eye(4)[:, [2, 1, 0, 3]]), "1.2")
    assert scoord3d_of_scoord(np.array([[0.5, 0.5]]), geometry).tolist() == [[0.0, 0.0, 0.0]]
    assert index_of_scoord(np.array([[2.5, 1.5]])).tolist() == [[1.0, 2.0]]
