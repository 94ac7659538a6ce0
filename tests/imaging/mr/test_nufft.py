"""The transform to arbitrary places against the sum that defines it, its adjoint, its convolution and BART's."""

import numpy as np
import pytest
from numpy.typing import NDArray

from coread.imaging.errors import BadSamples, ImageTooLarge
from coread.imaging.mr import nufft
from coread.imaging.mr.fourier import to_samples
from coread.imaging.mr.nufft import convolved, planned, toeplitz_spectrum
from tests.imaging.mr.bart import Bart
from tests.imaging.mr.drawn_slices import Complex, difference

SHAPES = [(32, 48), (33, 47), (24, 24)]


def _noise(*shape: int, seed: int = 0) -> Complex:
    parts = np.random.default_rng(seed).standard_normal((2, *shape), dtype=np.float32)
    return np.asarray(parts[0] + 1j * parts[1], dtype=np.complex64)


def _places(count: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    return np.asarray((np.random.default_rng(1).random((count, 2)) - 0.5) * np.array(shape), dtype=np.float64)


def _summed(image: Complex, places: NDArray[np.float64]) -> NDArray[np.complex128]:
    """The definition, term by term."""
    waves = [
        np.exp(-2j * np.pi * np.outer(places[:, axis], np.arange(side) - side // 2) / side)
        for axis, side in enumerate(image.shape)
    ]
    return np.asarray(np.einsum("pa,ab,pb->p", waves[0], image, waves[1]) / np.sqrt(image.size))


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_sum_that_defines_it(shape: tuple[int, int]) -> None:
    image, places = _noise(*shape), _places(300, shape)
    expected = _summed(image, places)
    found = planned(places, shape).forward(image)
    assert found.dtype == np.complex64
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    finer = planned(places, shape, oversampling=2.0).forward(image)
    assert np.abs(finer - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("shape", SHAPES)
def test_at_whole_places_it_is_the_plain_transform(shape: tuple[int, int]) -> None:
    image = _noise(2, *shape)
    places = np.moveaxis(np.indices(shape), 0, -1) - np.array(shape) // 2
    found = planned(places.astype(float), shape).forward(image)
    assert difference(found.reshape(image.shape), to_samples(image)) < 1e-4


@pytest.mark.parametrize("shape", SHAPES)
def test_the_adjoint_is_the_adjoint(shape: tuple[int, int]) -> None:
    images, samples, plan = _noise(3, *shape), _noise(3, 200, seed=2), planned(_places(200, shape), shape, workers=2)
    assert np.vdot(samples, plan.forward(images)) == pytest.approx(np.vdot(plan.adjoint(samples), images), rel=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_forth_and_back_is_a_convolution(shape: tuple[int, int]) -> None:
    places, density = _places(400, shape), np.random.default_rng(3).random(400)
    image = _noise(*shape)
    exact = planned(places, shape, oversampling=2.0)
    expected = exact.adjoint_moved((density * exact.forward_moved(image)).astype(np.complex64))
    found = convolved(image, toeplitz_spectrum(places, density, shape))
    assert difference(found, expected) < 1e-4


def test_it_agrees_with_bart(bart: Bart) -> None:
    places = 0.85 * _places(500, (40, 32))  # BART's grid does not go round: samples at its border lose a part
    image, samples = _noise(40, 32), _noise(500, seed=5)
    trajectory = np.zeros((500, 1, 3), dtype=np.float32)  # dimensions (3, 1, samples): x runs along columns
    trajectory[:, 0, 0], trajectory[:, 0, 1] = places[:, 1], places[:, 0]
    theirs = bart("nufft", inputs=[trajectory, image])[0]
    plan = planned(places, (40, 32))
    scale = np.vdot(theirs, plan.forward(image)) / np.vdot(theirs, theirs)  # BART's kernel has a gain of its own
    assert abs(scale - 1) < 0.005
    assert difference(plan.forward(image), scale * theirs) < 1e-3
    back = bart("nufft", "-a", "-d", "32:40:1", inputs=[trajectory, samples[:, None, None]])[0]
    scale = np.vdot(back, plan.adjoint(samples)) / np.vdot(back, back)
    assert abs(scale - 1) < 0.005
    assert difference(plan.adjoint(samples), scale * back) < 1e-3


def test_wrong_coordinates_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    good = _places(10, (32, 32))
    for places, words in (
        (good[:, :1], "row, column"),
        (good[:0], "row, column"),
        (np.where(good > 0, np.nan, good), "not finite"),
        (good * 3, "units"),
    ):
        with pytest.raises(BadSamples, match=words):
            planned(places, (32, 32))
    monkeypatch.setattr(nufft, "MOST_WEIGHTS", 100)
    with pytest.raises(ImageTooLarge, match="one by one"):
        planned(good, (32, 32))
