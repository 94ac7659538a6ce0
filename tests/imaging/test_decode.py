"""Stored values: equal to the reference decoders, masked as the standard says, refused before allocating."""

import contextlib
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from coread.domain.reasons import ReasonCode
from coread.imaging.codestream import StreamSize, stream_size
from coread.imaging.decode import decode_frames, iterate_frames
from coread.imaging.errors import ImageTooLarge, ImagingRefused, NoPixels, PixelMeaning, PixelsUnread, UnknownSyntax
from tests.imaging.objects import SYNTAXES, as_bytes
from tests.imaging.pixels import image_dataset, written

ENCODERS: dict[str, Any] = {
    HTJ2KLossless: lambda a: imagecodecs.htj2k_encode(a, reversible=True),
    JPEG2000Lossless: lambda a: imagecodecs.jpeg2k_encode(a, level=0, reversible=True, codecformat="j2k"),
    JPEGLSLossless: imagecodecs.jpegls_encode,
    JPEGLosslessSV1: lambda a: imagecodecs.ljpeg_encode(a, bitspersample=16),
}


def ramp(shape: tuple[int, ...], dtype: str, top: int) -> NDArray[Any]:
    return (np.arange(np.prod(shape)).reshape(shape) * 7919 % (top + 1)).astype(dtype)


def reference(path: Path) -> NDArray[Any] | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
        try:
            pixels = dataset.pixel_array
        except (NotImplementedError, RuntimeError):
            return None
    return pixels if int(dataset.get("NumberOfFrames", 1) or 1) > 1 else pixels[np.newaxis]


@pytest.mark.shared
def test_all_nineteen_syntaxes_of_one_ct_decode_as_pydicom_does_or_better(real_folder: Path) -> None:
    files = sorted((real_folder / "dcm_one_ct_16_transfer_syntaxes").iterdir())
    assert len(files) == 19
    compared = 0
    for path in files:
        ours, theirs = decode_frames(path), reference(path)
        if theirs is not None:
            assert ours.dtype == theirs.dtype.newbyteorder("=")
            assert np.array_equal(ours, theirs), path.name
            compared += 1
    assert compared == 15


@pytest.mark.shared
def test_the_12_bit_jpegs_that_pydicom_cannot_read_agree_with_each_other(real_folder: Path) -> None:
    folder = real_folder / "dcm_one_ct_16_transfer_syntaxes"
    sequential = decode_frames(next(folder.glob("*Process2_4*")))[0].astype(int)
    for other in ("*Process6_8*", "*Process10_12*"):
        assert np.abs(decode_frames(next(folder.glob(other)))[0].astype(int) - sequential).max() <= 1
    uncompressed = decode_frames(next(folder.glob("*LittleEndianExplicit*")))[0].astype(int)
    assert np.corrcoef(sequential.ravel(), uncompressed.ravel())[0, 1] > 0.999


@pytest.mark.shared
def test_every_real_object_decodes_as_pydicom_does_or_says_that_it_has_no_pixels(real_objects: list[Path]) -> None:
    without = set()
    for path in real_objects:
        try:
            ours = decode_frames(path)
        except NoPixels:
            without.add(path.name)
            continue
        theirs = reference(path)
        assert theirs is None or np.array_equal(ours, theirs), path.name
    assert without == {
        "rwvm.dcm", "sr.dcm", "sm_annotations.dcm", "sr_document.dcm", "sr_document_with_multiple_groups.dcm",
    }  # fmt: skip


@given(
    stored=st.integers(1, 16),
    signed=st.booleans(),
    syntax=st.sampled_from(SYNTAXES),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_values_survive_any_native_syntax_and_bit_depth(
    tmp_path_factory: pytest.TempPathFactory, stored: int, signed: bool, syntax: str, seed: int
) -> None:
    low, high = (-(2 ** (stored - 1)), 2 ** (stored - 1)) if signed else (0, 2**stored)
    dtype = f"{'i' if signed else 'u'}{1 if stored <= 8 else 2}"
    values = np.random.default_rng(seed).integers(low, high, (5, 6)).astype(dtype)
    dataset = image_dataset(values, stored=stored, signed=signed)
    if syntax.endswith(".2.2") and values.dtype.itemsize == 2:
        dataset.PixelData = values.astype(values.dtype.newbyteorder(">")).tobytes()
    path = tmp_path_factory.mktemp("native") / "image.dcm"
    path.write_bytes(as_bytes(dataset, syntax))
    decoded = decode_frames(path)
    assert decoded.dtype == values.dtype
    assert np.array_equal(decoded[0], values)


def test_unused_bits_are_cleared_or_take_the_sign(tmp_path: Path) -> None:
    values = np.array([[0x0123, 0xF123], [0x0FFF, 0xF800]], dtype=np.uint16)
    path, _ = written(tmp_path, image_dataset(values, stored=12))
    assert decode_frames(path)[0].tolist() == [[0x123, 0x123], [0xFFF, 0x800]]
    path, _ = written(tmp_path, image_dataset(values, stored=12, signed=True))
    assert decode_frames(path)[0].tolist() == [[0x123, 0x123], [-1, -2048]]
    path, _ = written(tmp_path, image_dataset(values, stored=12, HighBit=15))
    assert decode_frames(path)[0].tolist() == [[0x012, 0xF12], [0x0FF, 0xF80]]


@pytest.mark.parametrize("syntax", sorted(ENCODERS))
@pytest.mark.parametrize("stored", [12, 16])
def test_lossless_frames_come_back_exactly(tmp_path: Path, syntax: str, stored: int) -> None:
    frames = ramp((3, 40, 33), "u2", 2**stored - 1)
    dataset = image_dataset(frames, stored=stored)
    dataset.PixelData = encapsulate([bytes(ENCODERS[syntax](frame)) for frame in frames])
    dataset["PixelData"].is_undefined_length = True
    path, _ = _compressed(tmp_path, dataset, syntax)
    assert np.array_equal(decode_frames(path), frames)
    assert np.array_equal(decode_frames(path, (2,))[0], frames[1])
    assert np.array_equal(np.stack(list(iterate_frames(path))), frames)


def _compressed(folder: Path, dataset: pydicom.Dataset, syntax: str) -> tuple[Path, pydicom.Dataset]:
    dataset["PixelData"].VR = "OB"
    path = folder / "compressed.dcm"
    path.write_bytes(as_bytes(dataset, syntax))
    return path, dataset


@pytest.mark.parametrize("shape", [(20, 17), (20, 18, 3)])
def test_rle_grey_and_colour_come_back_exactly(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = ramp(shape, "u1", 255)
    path, _ = written(tmp_path, image_dataset(values, stored=8))
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path, enforce_file_format=True)
    assert np.array_equal(decode_frames(path)[0], values)
    assert np.array_equal(decode_frames(path)[0], pydicom.dcmread(path).pixel_array)


def test_colour_by_plane_comes_out_by_pixel(tmp_path: Path) -> None:
    values = ramp((2, 4, 5, 3), "u1", 255)
    dataset = image_dataset(values, stored=8, PlanarConfiguration=1)
    dataset.PixelData = np.moveaxis(values, -1, 1).tobytes()
    path, _ = written(tmp_path, dataset)
    assert np.array_equal(decode_frames(path), values)


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
def test_ybr_becomes_the_rgb_that_pydicom_computes(tmp_path: Path, photometric: str) -> None:
    values = ramp((6, 8, 3), "u1", 255)
    dataset = image_dataset(values, stored=8, PhotometricInterpretation=photometric)
    if photometric == "YBR_FULL_422":
        dataset.PixelData = values.tobytes()[: 6 * 8 * 2]
    path, _ = written(tmp_path, dataset)
    theirs = pydicom.dcmread(path).pixel_array.astype(int)
    assert np.abs(decode_frames(path)[0].astype(int) - theirs).max() <= 1


def test_colour_jpeg_comes_out_as_rgb(tmp_path: Path) -> None:
    values = np.zeros((32, 32, 3), np.uint8)
    values[..., 0] = 200
    data = bytes(imagecodecs.jpeg8_encode(values, level=95, colorspace="RGB", outcolorspace="YCBCR"))
    dataset = image_dataset(values, stored=8, PhotometricInterpretation="YBR_FULL_422")
    dataset.PixelData = encapsulate([data])
    path, _ = _compressed(tmp_path, dataset, "1.2.840.10008.1.2.4.50")
    assert np.abs(decode_frames(path)[0].astype(int) - values).max() <= 3


def test_single_bits_run_over_frame_borders(tmp_path: Path) -> None:
    values = ramp((3, 3, 3), "u1", 1)
    dataset = image_dataset(values, stored=8, BitsAllocated=1, BitsStored=1, HighBit=0)
    dataset.PixelData = np.packbits(values.ravel(), bitorder="little").tobytes()
    path, _ = written(tmp_path, dataset)
    assert np.array_equal(decode_frames(path), values)
    assert np.array_equal(decode_frames(path, (3,))[0], values[2])


def test_a_huge_matrix_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    dataset = image_dataset(ramp((8, 8), "u2", 4095), stored=12, Rows=60000, Columns=60000)
    path = tmp_path / "huge.dcm"
    path.write_bytes(as_bytes(dataset))
    tracemalloc.start()
    with pytest.raises(ImageTooLarge):
        decode_frames(path)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_pixels_shorter_than_the_header_says_are_refused_as_truncated(tmp_path: Path) -> None:
    path, _ = written(tmp_path, image_dataset(ramp((8, 8), "u2", 4095), stored=12, Rows=9))
    with pytest.raises(ImagingRefused) as refusal:
        decode_frames(path)
    assert refusal.value.reason.code is ReasonCode.TRUNCATED


@pytest.mark.parametrize(
    ("attributes", "error"),
    [
        ({"Rows": 0}, NoPixels),
        ({"NumberOfFrames": 0}, NoPixels),
        ({"BitsAllocated": 24}, PixelMeaning),
        ({"BitsStored": 17}, PixelMeaning),
        ({"HighBit": 3}, PixelMeaning),
        ({"SamplesPerPixel": 2}, PixelMeaning),
    ],
)
def test_contradictions_in_the_header_are_refused(
    tmp_path: Path, attributes: dict[str, int], error: type[ImagingRefused]
) -> None:
    dataset = image_dataset(ramp((8, 8), "u2", 4095), stored=12)
    dataset.update(pydicom.Dataset())
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    path = tmp_path / "odd.dcm"
    path.write_bytes(as_bytes(dataset))
    with pytest.raises(error):
        decode_frames(path)


def test_a_frame_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path, _ = written(tmp_path, image_dataset(ramp((8, 8), "u2", 4095), stored=12))
    for frames in ((2,), (0,), ()):
        with pytest.raises(NoPixels):
            decode_frames(path, frames)


@pytest.mark.parametrize("syntax", sorted(ENCODERS))
def test_a_damaged_or_lying_codestream_is_refused(tmp_path: Path, syntax: str) -> None:
    frame = ramp((40, 33), "u2", 65535)
    data = bytes(ENCODERS[syntax](frame))
    for damaged in (data[:30], b"\0" * 64, data[: len(data) // 3]):
        dataset = image_dataset(frame, stored=16)
        dataset.PixelData = encapsulate([damaged])
        path, _ = _compressed(tmp_path, dataset, syntax)
        with contextlib.suppress(PixelsUnread):
            assert decode_frames(path).shape == (1, 40, 33)  # some codecs fill what is missing
    dataset = image_dataset(ramp((20, 20), "u2", 65535), stored=16)
    dataset.PixelData = encapsulate([data])
    path, _ = _compressed(tmp_path, dataset, syntax)
    with pytest.raises(PixelsUnread):
        decode_frames(path)


def test_an_unknown_syntax_is_refused_by_name(tmp_path: Path) -> None:
    path, _ = written(tmp_path, image_dataset(ramp((8, 8), "u2", 4095), stored=12))
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.9.999.99999.9.9.9\0"))
    with pytest.raises(UnknownSyntax):
        decode_frames(path)


def test_the_stated_size_of_a_codestream_is_read_from_its_header() -> None:
    frame = ramp((40, 33), "u2", 4095)
    for encode in ENCODERS.values():
        size = stream_size(bytes(encode(frame)))
        assert size is not None
        assert (size.rows, size.columns, size.components) == (40, 33, 1)
    colour = imagecodecs.jpeg8_encode(np.zeros((16, 24, 3), np.uint8))
    assert stream_size(bytes(colour)) == StreamSize(16, 24, 3, 8)
    assert stream_size(b"nothing") is None
