"""Laws of the transform, and what combining coils must give."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coread.imaging.mr.combine import combined, root_sum_of_squares, zero_filled
from coread.imaging.mr.fourier import to_image, to_samples
from tests.imaging.mr.drawn_slices import DrawnSlice, difference

Complex = NDArray[np.complex64]


def noise(shape: tuple[int, ...], seed: int) -> Complex:
    random = np.random.default_rng(seed)
    return (random.normal(size=shape) + 1j * random.normal(size=shape)).astype(np.complex64)


@given(st.integers(1, 24), st.integers(1, 24), st.sampled_from([(-2, -1), (-1,), (-2,), (0, 2), (0, 1, 2)]))
@settings(max_examples=40)
def test_there_and_back_is_nothing_and_energy_stays(rows: int, columns: int, axes: tuple[int, ...]) -> None:
    image = noise((3, rows, columns), rows * 31 + columns)
    samples = to_samples(image, axes)
    assert samples.dtype == np.complex64
    assert difference(to_image(samples, axes), image) < 1e-5
    assert np.linalg.norm(samples) == pytest.approx(float(np.linalg.norm(image)), rel=1e-5)


@given(st.integers(1, 24), st.integers(1, 24))
@settings(max_examples=40)
def test_the_two_directions_are_adjoint(rows: int, columns: int) -> None:
    image, samples = noise((rows, columns), 1), noise((rows, columns), 2)
    one, other = np.vdot(samples, to_samples(image)), np.vdot(to_image(samples), image)
    assert abs(one - other) < 1e-4 * np.linalg.norm(image) * np.linalg.norm(samples)


@given(st.integers(1, 17), st.integers(1, 18))
@settings(max_examples=40)
def test_it_is_the_centred_transform_of_numpy(rows: int, columns: int) -> None:
    image = noise((rows, columns), 3)
    theirs = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image), norm="ortho"))
    assert difference(to_samples(image), theirs) < 1e-5


@pytest.mark.parametrize("shape", [(8, 6), (7, 5), (8, 5)])
def test_a_constant_image_is_one_sample_at_the_centre(shape: tuple[int, int]) -> None:
    samples = to_samples(np.ones(shape, dtype=np.complex64))
    assert samples[shape[0] // 2, shape[1] // 2] == pytest.approx(np.sqrt(shape[0] * shape[1]), rel=1e-5)
    samples[shape[0] // 2, shape[1] // 2] = 0
    assert np.abs(samples).max() < 1e-5


def test_coil_images_give_the_image_back(undersampled: DrawnSlice) -> None:
    images = undersampled.maps * undersampled.image
    assert difference(combined(images, undersampled.maps), undersampled.image) < 1e-5
    assert difference(root_sum_of_squares(images), np.abs(undersampled.image)) < 1e-5
    assert difference(zero_filled(to_samples(images)), np.abs(undersampled.image)) < 1e-5


def test_where_no_coil_sees_anything_the_combined_image_is_0() -> None:
    maps = np.zeros((2, 4, 4), dtype=np.complex64)
    maps[:, 1, 1] = 0.5
    found = combined(np.ones((2, 4, 4), dtype=np.complex64), maps)
    assert found[1, 1] == pytest.approx(2)
    assert np.count_nonzero(found) == 1
    with pytest.raises(ValueError, match="one shape"):
        combined(np.ones((2, 4, 4), dtype=np.complex64), maps[:, :2])
