"""Enhanced multi-frame objects and Siemens mosaics: every frame and tile where it lies, or refused by name."""

import importlib
import struct
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from coread.domain.images import Quantity
from coread.domain.reasons import ReasonCode
from coread.imaging.header import scan_header
from coread.imaging.mosaic import csa_fields
from coread.imaging.series import Choices, load, open_series
from coread.imaging.volume import load_volume
from coread.phantoms.ct import CtRecipe, ct_affine, ct_series, ct_voxels, with_orientation
from tests.imaging.made_series import SMALL, mr_slices, pixels_of, saved, slices

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"


def item(**attributes: Any) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def group(**attributes: Any) -> Sequence:
    return Sequence([item(**attributes)])


def enhanced(made: list[Dataset], frames: list[dict[str, Sequence]]) -> Dataset:
    """Put single-frame images into one enhanced MR object; ``frames`` are further functional groups of each."""
    first = made[0]
    dataset = Dataset()
    dataset.update({e.tag: e for e in first if e.keyword not in (
        "PixelData", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
        "RescaleSlope", "RescaleIntercept", "RescaleType")})  # fmt: skip
    dataset.SOPClassUID, dataset.Modality = UID(ENHANCED_MR), "MR"
    dataset.file_meta = first.file_meta
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.NumberOfFrames = len(made)
    dataset.SharedFunctionalGroupsSequence = group(
        PixelMeasuresSequence=group(PixelSpacing=list(first.PixelSpacing), SliceThickness=first.SliceThickness),
        PlaneOrientationSequence=group(ImageOrientationPatient=list(first.ImageOrientationPatient)),
    )
    per_frame = []
    for one, more in zip(made, frames, strict=True):
        position = group(ImagePositionPatient=list(one.ImagePositionPatient))
        per_frame.append(item(PlanePositionSequence=position, **more))
    dataset.PerFrameFunctionalGroupsSequence = Sequence(per_frame)
    dataset.PixelData = b"".join(one.PixelData for one in made)
    dataset["PixelData"].VR = "OW"
    return dataset


def rescaled(slope: float, intercept: float) -> dict[str, Sequence]:
    transformed = group(RescaleSlope=str(slope), RescaleIntercept=str(intercept), RescaleType="US")
    return {"PixelValueTransformationSequence": transformed}


@given(number=st.integers(0, 47), tilt=st.floats(-25, 25), seed=st.integers(0, 99))
@settings(max_examples=15)
def test_frames_in_any_order_and_direction_are_the_same_volume_as_single_images(
    tmp_path_factory: pytest.TempPathFactory, number: int, tilt: float, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("frames")
    recipe = replace(with_orientation(SMALL, number), tilt_degrees=tilt)
    made = ct_series(recipe)
    singles = load_volume(saved(folder / "singles", made))
    order = np.random.default_rng(seed).permutation(len(made)).tolist()
    whole = enhanced([made[i] for i in order], [rescaled(1, -1024)] * len(made))
    volume = load_volume(saved(folder / "whole", [whole]))
    assert np.array_equal(volume.voxels, singles.voxels)
    assert volume.geometry.matrix() == pytest.approx(singles.geometry.matrix(), abs=1e-6)
    assert len(volume.headers) == 1
    by_single = [header.sop_instance_uid for header in singles.headers]
    assert [str(made[order[frame - 1]].SOPInstanceUID) for frame in volume.frames] == by_single
    assert [reference.frame for reference in volume.references()] == list(volume.frames)


def test_frames_split_by_echo_time_b_value_and_phase(tmp_path: Path) -> None:
    made, groups = [], []
    for phase in (1, 2):
        for b in (0.0, 500.0):
            made += mr_slices()
            content = group(TemporalPositionIndex=phase)
            groups += [{"FrameContentSequence": content, "MRDiffusionSequence": group(DiffusionBValue=b)}] * 7
    opened = open_series(saved(tmp_path, [enhanced(made, groups)]))
    found = [dict(stack.key) for stack in opened.volumes()]
    assert found == [{"b_value": b, "temporal_position": t} for b in ("0", "500") for t in ("1", "2")]


def test_every_frame_has_its_own_slope(tmp_path: Path) -> None:
    made = mr_slices()
    slopes = [1.0, 0.25, 2.0, 0.1, 3.3, 0.7, 1.5]
    whole = enhanced(made, [rescaled(slope, 5) for slope in slopes])
    volume = load_volume(saved(tmp_path, [whole]))
    truth = np.stack([pixels_of(one) * slope + 5.0 for one, slope in zip(made, slopes, strict=True)])
    assert np.array_equal(volume.voxels, truth.astype(np.float32))
    assert volume.quantity is Quantity.ARBITRARY


def test_frames_without_a_place_are_refused(tmp_path: Path) -> None:
    whole = enhanced(mr_slices(), [{}] * 7)
    del whole.PerFrameFunctionalGroupsSequence
    opened = open_series(saved(tmp_path, [whole]))
    assert not opened.stacks
    assert opened.set_apart[0].reason.code is ReasonCode.MIXED_GEOMETRY
    assert "7 frames, but only 0 of them say where they lie" in opened.set_apart[0].reason.text()


def csa_header(normal: NDArray[np.float64], count: int) -> bytes:
    """A Siemens CSA image header of the form SV10 with the two fields that a mosaic needs."""
    fields = {
        "EchoLinePosition": (b"IS", ["32"]),
        "AcquisitionMatrixText": (b"SH", ["12*12"]),
        "NumberOfImagesInMosaic": (b"US", [str(count)]),
        "SliceNormalVector": (b"FD", [f"{part:.8f}" for part in normal]),
    }
    body = b"SV10\4\3\2\1" + struct.pack("<II", len(fields), 77)
    for name, (vr, values) in fields.items():
        body += struct.pack("<64si4siii", name.encode(), len(values), vr, 0, 6, 77)
        for k in range(6):
            text = values[k].encode() + b"\0" if k < len(values) else b""
            body += struct.pack("<4i", len(text), len(text), 77, len(text)) + text.ljust(-(-len(text) // 4) * 4, b"\0")
    return body


MOSAIC_RECIPE = CtRecipe(rows=12, columns=12, slices=7, spacing_mm=(1.5, 1.5), balls=SMALL.balls)


def mosaic(recipe: CtRecipe, per_side: int = 3) -> Dataset:
    """Lay the slices of a recipe out as Siemens does, with the position of the mosaic as one large slice."""
    made = ct_series(recipe)
    dataset = made[0]
    rows, columns = recipe.rows, recipe.columns
    sheet = np.zeros((rows * per_side, columns * per_side), "<u2")
    for k, one in enumerate(made):
        top, left = k // per_side * rows, k % per_side * columns
        sheet[top : top + rows, left : left + columns] = pixels_of(one)
    matrix = ct_affine(recipe)
    shift = np.array([rows * (per_side - 1) / 2, columns * (per_side - 1) / 2])
    corner = matrix[:3, 3] - matrix[:3, 1:3] @ shift
    dataset.Modality, dataset.Manufacturer = "MR", "SIEMENS"
    dataset.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.4")
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    dataset.Rows, dataset.Columns, dataset.PixelData = *sheet.shape, sheet.tobytes()
    dataset.ImagePositionPatient = [f"{value:.6f}" for value in corner]
    dataset.SpacingBetweenSlices = f"{recipe.gap_mm}"
    normal = matrix[:3, 0] / np.linalg.norm(matrix[:3, 0])
    block = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x10, "OB", csa_header(normal, recipe.slices))
    return dataset


@given(number=st.integers(0, 47))
@settings(max_examples=15)
def test_a_mosaic_is_the_volume_it_was_laid_out_from_and_nibabel_agrees(
    tmp_path_factory: pytest.TempPathFactory, number: int
) -> None:
    recipe = with_orientation(MOSAIC_RECIPE, number)
    located = saved(tmp_path_factory.mktemp("mosaic"), [mosaic(recipe)])
    volume = load_volume(located)
    truth, matrix = ct_voxels(recipe), ct_affine(recipe)
    turned = volume.geometry.matrix()[:3, 0] @ matrix[:3, 0] < 0
    assert np.array_equal(volume.voxels[::-1] if turned else volume.voxels, truth)
    corner = volume.geometry.to_patient(np.array([[recipe.slices - 1 if turned else 0, 0, 0]]))[0]
    assert corner == pytest.approx(matrix[:3, 3], abs=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it works for Siemens mosaics only: that is what is asked of it
        wrappers: Any = importlib.import_module("nibabel.nicom.dicomwrappers")
    theirs = wrappers.wrapper_from_file(located[0][0])
    assert theirs.image_shape == (12, 12, 7)
    assert theirs.affine[:3, [2, 0, 1, 3]] == pytest.approx(matrix[:3], abs=1e-3)


def test_mosaics_of_several_times_are_several_volumes(tmp_path: Path) -> None:
    made = []
    for number in (1, 2, 3):
        one = mosaic(MOSAIC_RECIPE)
        one.AcquisitionNumber, one.InstanceNumber = number, number
        one.SOPInstanceUID = UID(f"1.2.3.{number}")
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
        one.PixelData = (np.frombuffer(one.PixelData, "<u2") + np.uint16(number)).tobytes()
        made.append(one)
    opened = open_series(saved(tmp_path, made))
    assert [dict(stack.key) for stack in opened.volumes()] == [{"acquisition_number": str(n)} for n in (1, 2, 3)]
    first, second, _ = (load(stack).voxels for stack in opened.volumes())
    assert np.array_equal(second, first + 1)


@pytest.mark.parametrize("lacking", ["csa", "spacing", "count", "tiles"])
def test_a_mosaic_that_cannot_be_placed_is_refused_by_name(tmp_path: Path, lacking: str) -> None:
    dataset = mosaic(MOSAIC_RECIPE)
    block = dataset.private_block(0x0029, "SIEMENS CSA HEADER")
    if lacking == "csa":
        del block[0x10]
        dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 7)
    elif lacking == "spacing":
        del dataset.SpacingBetweenSlices
    elif lacking == "count":
        del block[0x10]
    else:
        block[0x10].value = csa_header(np.array([0.0, 0.0, 1.0]), 50)
    (apart,) = open_series(saved(tmp_path, [dataset])).set_apart
    expected = {"csa": "SliceNormalVector", "spacing": "Spacing Between Slices", "count": "how many", "tiles": "divide"}
    assert expected[lacking] in apart.reason.text()


@given(data=st.binary(max_size=400), cut=st.integers(0, 400))
def test_a_damaged_private_header_is_no_header_and_never_an_error(data: bytes, cut: int) -> None:
    assert isinstance(csa_fields(b"SV10" + data), dict)
    assert isinstance(csa_fields(csa_header(np.array([0, 0, 1.0]), 7)[:cut]), dict)


def test_the_older_form_of_the_private_header_is_read() -> None:
    body = struct.pack("<II", 2, 77)
    for name, values in (("EchoLinePosition", ["32"]), ("NumberOfImagesInMosaic", ["36"])):
        body += struct.pack("<64si4siii", name.encode(), 1, b"US", 6, len(values), 77)
        for text in values:
            length = len(text) + 1
            body += struct.pack("<4i", length + 1, length, 77, length)
            body += (text.encode() + b"\0").ljust(-(-length // 4) * 4, b"\0")
    assert csa_fields(body)["NumberOfImagesInMosaic"] == ["36"]


def test_an_enhanced_object_of_one_frame_is_one_slice(tmp_path: Path) -> None:
    located = saved(tmp_path, [enhanced(slices()[:1], [rescaled(1, -1024)])])
    assert scan_header(located[0][0]).number_of_frames == 1
    volume = load(open_series(located, Choices(min_slices=1)).stacks[0])
    assert volume.voxels.shape == (1, 12, 10)
