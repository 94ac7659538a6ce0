"""The pixel path from stored to display values, against pydicom's and by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence

from coread.domain.images import Quantity
from coread.imaging.errors import PixelMeaning, PixelsConstant, PixelsNotFinite
from coread.imaging.header import scan_header
from coread.imaging.intensity import Window
from coread.imaging.planar import check_varied, load_planar, modality_values
from tests.imaging.pixels import image_dataset, written


def sixteen(low: int = 0, high: int = 4096, dtype: str = "u2") -> Any:
    return np.linspace(low, high - 1, 15 * 16).round().astype(dtype).reshape(15, 16)


def table(first: int, entries: list[int], bits: int) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US" if first >= 0 else "SS", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return item


def close_to_pydicom(path: Path, output_top: float, output_low: float = 0.0) -> None:
    dataset = pydicom.dcmread(path)
    with np.errstate(over="ignore"):
        theirs = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset).astype(float)
    ours = load_planar(path, scan_header(path))
    assert ours.quantity is Quantity.DISPLAY
    assert ours.pixels.dtype == np.float32
    expected = (theirs - output_low) / (output_top - output_low)
    assert np.abs(ours.pixels - expected).max() < 2e-4


@given(
    center=st.floats(-500, 3000),
    width=st.floats(2, 4000),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    slope=st.sampled_from([1.0, 0.5, 2.0]),
    intercept=st.sampled_from([0.0, -1024.0, 12.5]),
)
@settings(max_examples=50, deadline=None)
def test_windows_are_applied_as_pydicom_applies_them(
    tmp_path_factory: pytest.TempPathFactory, center: float, width: float, function: str, slope: float, intercept: float
) -> None:
    dataset = image_dataset(
        sixteen(), stored=12, WindowCenter=round(center, 3), WindowWidth=round(width, 3), VOILUTFunction=function,
        RescaleSlope=slope, RescaleIntercept=intercept,
    )  # fmt: skip
    path, _ = written(tmp_path_factory.mktemp("window"), dataset)
    low, high = 0 * slope + intercept, 4095 * slope + intercept
    close_to_pydicom(path, high, low)


def test_a_voi_table_is_used_before_a_window(tmp_path: Path) -> None:
    entries = list(range(0, 4096, 2))
    dataset = image_dataset(sixteen(), stored=12, VOILUTSequence=Sequence([table(1000, entries, 12)]))
    dataset.WindowCenter, dataset.WindowWidth = 100, 10
    path, _ = written(tmp_path, dataset)
    close_to_pydicom(path, 4095)


def test_a_modality_table_makes_the_values_that_the_window_sees(tmp_path: Path) -> None:
    entries = [min(65535, value * value // 256) for value in range(4096)]
    dataset = image_dataset(sixteen(), stored=12, ModalityLUTSequence=Sequence([table(0, entries, 16)]))
    path, header = written(tmp_path, dataset)
    expected = apply_modality_lut(pydicom.dcmread(path).pixel_array, dataset)
    assert np.array_equal(modality_values(path, header).pixels, expected.astype(np.float32))


def test_a_table_whose_first_value_is_negative_is_looked_up_from_there(tmp_path: Path) -> None:
    values = np.arange(-8, 8, dtype=np.int16).reshape(4, 4)
    dataset = image_dataset(values, stored=16, signed=True)
    dataset.VOILUTSequence = Sequence([table(-8, list(range(16)), 4)])
    path, header = written(tmp_path, dataset)
    assert np.allclose(load_planar(path, header).pixels.ravel() * 15, np.arange(16))


def test_the_first_of_several_windows_is_used_and_a_given_one_replaces_it(tmp_path: Path) -> None:
    dataset = image_dataset(sixteen(), stored=12, WindowCenter=[1000, 3000], WindowWidth=[200, 50])
    path, header = written(tmp_path, dataset)
    first = load_planar(path, header).pixels
    single = written(tmp_path, image_dataset(sixteen(), stored=12, WindowCenter=1000, WindowWidth=200), "single.dcm")
    assert np.array_equal(first, load_planar(*single).pixels)
    assert not np.array_equal(first, load_planar(path, header, window=Window(3000, 50)).pixels)


def test_without_a_voi_the_full_range_of_the_image_is_shown(tmp_path: Path) -> None:
    path, header = written(tmp_path, image_dataset(sixteen(1000, 2000), stored=12))
    pixels = load_planar(path, header).pixels
    assert (pixels.min(), pixels.max()) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME1", "", True),
        ("MONOCHROME2", "INVERSE", True),
    ],
)
def test_inversion_happens_once(tmp_path: Path, photometric: str, shape: str, inverted: bool) -> None:
    dataset = image_dataset(sixteen(), stored=12, PhotometricInterpretation=photometric)
    if shape:
        dataset.PresentationLUTShape = shape
    path, header = written(tmp_path, dataset)
    pixels = load_planar(path, header).pixels
    assert bool(pixels[0, 0] > pixels[-1, -1]) is inverted


def test_padding_is_masked_and_does_not_stretch_the_range(tmp_path: Path) -> None:
    values = sixteen(1000, 2000)
    values[:3] = 0
    values[3, :4] = 2
    dataset = image_dataset(values, stored=12, PixelPaddingValue=0, PixelPaddingRangeLimit=2)
    path, header = written(tmp_path, dataset)
    image = load_planar(path, header)
    assert image.valid is not None
    assert int((~image.valid).sum()) == 3 * 16 + 4
    assert image.pixels[image.valid].min() == pytest.approx(0.0)
    assert image.pixels[image.valid].max() == pytest.approx(1.0)


def test_signed_padding_is_found_even_when_it_is_written_as_unsigned(tmp_path: Path) -> None:
    values = sixteen(-1000, 1000, "i2")
    values[0] = -2000
    dataset = image_dataset(values, stored=16, signed=True)
    dataset.add_new("PixelPaddingValue", "US", 65536 - 2000)
    path, header = written(tmp_path, dataset)
    image = load_planar(path, header)
    assert image.valid is not None
    assert not image.valid[0].any()
    assert image.valid[1:].all()


def test_colour_becomes_its_luminance_and_is_kept(tmp_path: Path) -> None:
    values = np.zeros((4, 4, 3), np.uint8)
    values[0] = [255, 0, 0]
    values[1] = [0, 255, 0]
    values[2] = [255, 255, 255]
    path, header = written(tmp_path, image_dataset(values, stored=8))
    image = load_planar(path, header)
    assert image.pixels[:, 0] == pytest.approx([0.299, 0.587, 1.0, 0.0], abs=1e-6)
    assert image.colour is not None
    assert np.array_equal(image.colour, values.astype(np.float32) / 255)
    with pytest.raises(PixelMeaning):
        modality_values(path, header)


def test_palette_colours_are_looked_up(tmp_path: Path) -> None:
    values = np.array([[0, 1], [2, 3]], dtype=np.uint8)
    dataset = image_dataset(values, stored=8, PhotometricInterpretation="PALETTE COLOR")
    for name, entries in (("Red", [0, 255, 0, 255]), ("Green", [0, 0, 255, 255]), ("Blue", [0, 0, 0, 255])):
        dataset.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [4, 0, 8])
        dataset.add_new(f"{name}PaletteColorLookupTableData", "OW", bytes(entries))
    path, header = written(tmp_path, dataset)
    assert load_planar(path, header).pixels.ravel() == pytest.approx([0, 0.299, 0.587, 1.0], abs=1e-6)


def test_spacing_comes_from_the_detector_unless_it_is_calibrated(tmp_path: Path) -> None:
    dataset = image_dataset(sixteen(), stored=12, ImagerPixelSpacing=[0.2, 0.3])
    path, header = written(tmp_path, dataset)
    assert load_planar(path, header).spacing_mm == (0.2, 0.3)
    dataset.PixelSpacing = [0.15, 0.16]
    path, header = written(tmp_path, dataset)
    assert load_planar(path, header).spacing_mm == (0.15, 0.16)
    path, header = written(tmp_path, image_dataset(sixteen(), stored=12))
    assert load_planar(path, header).spacing_mm is None


def test_constant_and_not_finite_pixels_are_refused_when_they_are_checked(tmp_path: Path) -> None:
    path, header = written(tmp_path, image_dataset(np.full((8, 8), 7, np.uint16), stored=12))
    with pytest.raises(PixelsConstant):
        check_varied(load_planar(path, header))
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    values[3, 3] = np.nan
    dataset = image_dataset(np.zeros((8, 8), np.uint16), stored=16, BitsAllocated=32)
    del dataset.PixelData, dataset.BitsStored, dataset.HighBit
    dataset.FloatPixelData = values.tobytes()
    path, header = written(tmp_path, dataset)
    with pytest.raises(PixelsNotFinite):
        load_planar(path, header)


@pytest.mark.parametrize(
    "attributes",
    [
        {"RescaleSlope": 0, "RescaleIntercept": 0},
        {"WindowCenter": 10, "WindowWidth": 0},
        {"WindowCenter": 10, "WindowWidth": 10, "VOILUTFunction": "CUBIC"},
        {"PhotometricInterpretation": "HSV"},
    ],
)
def test_values_without_a_meaning_are_refused(tmp_path: Path, attributes: dict[str, Any]) -> None:
    path, header = written(tmp_path, image_dataset(sixteen(), stored=12, **attributes))
    with pytest.raises(PixelMeaning):
        load_planar(path, header)


@pytest.mark.shared
def test_modality_values_of_every_real_grey_image_equal_those_of_pydicom(real_objects: list[Path]) -> None:
    compared = 0
    for path in real_objects[::3]:
        header = scan_header(path)
        if header.photometric_interpretation != "MONOCHROME2" or header.modality not in ("CT", "MR", "DX"):
            continue
        dataset = pydicom.dcmread(path)
        if "NumberOfFrames" in dataset or "4.5" in header.transfer_syntax_uid[-4:]:
            continue
        expected = apply_modality_lut(dataset.pixel_array, dataset)
        assert np.array_equal(modality_values(path, header).pixels, expected.astype(np.float32)), path.name
        compared += 1
    assert compared > 15
