"""Previews: grey and colour frames as PNG and JPEG."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coread.domain.images import PlanarImage, Quantity
from coread.imaging.errors import PixelMeaning
from coread.imaging.intensity import Window
from coread.imaging.planar import load_planar
from coread.imaging.render import planar_pixels, render_jpeg, render_png
from tests.imaging.pixels import image_dataset, written


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_a_grey_frame_is_rendered_at_most_as_large_as_asked(tmp_path: Path) -> None:
    values = np.add.outer(np.arange(60), np.arange(40)).astype(np.uint16) * 40
    path, header = written(tmp_path, image_dataset(values, stored=12))
    assert opened(render_png(path, header)).size == (40, 60)
    small = opened(render_jpeg(path, header, max_size=30))
    assert (small.format, small.size, small.mode) == ("JPEG", (20, 30), "L")
    full = np.asarray(opened(render_png(path, header)))
    assert (full.min(), full.max()) == (0, 255)
    narrow = np.asarray(opened(render_png(path, header, window=Window(1000, 2))))
    assert set(np.unique(narrow)) <= {0, 255}


def test_colour_stays_colour_and_padding_is_black(tmp_path: Path) -> None:
    values = np.zeros((8, 8, 3), np.uint8)
    values[..., 1] = 200
    path, header = written(tmp_path, image_dataset(values, stored=8))
    assert np.array_equal(np.asarray(opened(render_png(path, header))), values)
    grey = np.arange(64, dtype=np.uint16).reshape(8, 8) + 100
    dataset = image_dataset(grey, stored=12, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=100)
    path, header = written(tmp_path, dataset)
    assert planar_pixels(load_planar(path, header))[0, 0] == 0


def test_modality_values_are_not_shown_without_a_window(tmp_path: Path) -> None:
    path, header = written(tmp_path, image_dataset(np.eye(4, dtype=np.uint16), stored=12))
    image = PlanarImage(load_planar(path, header).pixels, Quantity.HOUNSFIELD, header)
    with pytest.raises(PixelMeaning):
        planar_pixels(image)
