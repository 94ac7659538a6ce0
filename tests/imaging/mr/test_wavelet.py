"""Wavelets are orthonormal, the reconstruction agrees with BART's and what cannot be used is refused."""

import numpy as np
import pytest

from coread.domain.reasons import ReasonCode
from coread.imaging.errors import BadSamples
from coread.imaging.mr.combine import zero_filled
from coread.imaging.mr.encoding import brightness
from coread.imaging.mr.masks import MaskKind, MaskPlan, sampling_mask
from coread.imaging.mr.wavelet import Grid, backward, forward, l1_wavelet, shrunk, soften
from tests.imaging.mr.bart import Bart
from tests.imaging.mr.drawn_slices import Complex, DrawnSlice, difference, drawn_slice


def _noise(shape: tuple[int, ...], seed: int = 0) -> Complex:
    parts = np.random.default_rng(seed).standard_normal((2, *shape), dtype=np.float32)
    return np.asarray(parts[0] + 1j * parts[1], dtype=np.complex64)


@pytest.mark.parametrize(("shape", "levels"), [((64, 96), 3), ((32, 32), 5), ((48, 16), 4)])
def test_wavelets_come_back_and_keep_the_norm(shape: tuple[int, int], levels: int) -> None:
    image = _noise(shape)
    bands = forward(image, levels)
    assert len(bands) == 3 * levels + 1
    assert sum(band.size for band in bands) == image.size
    assert sum(np.square(np.abs(band)).sum() for band in bands) == pytest.approx(
        np.square(np.abs(image)).sum(), rel=1e-5
    )
    np.testing.assert_allclose(backward(bands), image, atol=1e-5)


def test_they_are_the_wavelets_of_daubechies_with_four_taps() -> None:
    """A single low coefficient is the filter; ramps have no detail (two vanishing moments)."""
    bands = [np.zeros((8, 8), dtype=np.complex64) for _ in range(4)]
    bands[3][2, 2] = 1
    root = np.sqrt(3)
    taps = np.array([1 + root, 3 + root, 3 - root, 1 - root]) / (4 * np.sqrt(2))
    expected = np.zeros((16, 16))
    expected[4:8, 4:8] = np.outer(taps, taps)
    np.testing.assert_allclose(backward(bands).real, expected, atol=1e-6)
    ramp = np.add.outer(np.arange(16.0), 3 * np.arange(16.0)).astype(np.complex64)
    for band in forward(ramp, 1)[:3]:
        assert np.abs(band[1:-1, 1:-1][:, 1:-1]).max() < 1e-4


def test_soft_threshold_keeps_phases() -> None:
    values = np.array([3 + 4j, 0.3j, 0, -2], dtype=np.complex64)
    soften(values, np.float32(1))
    np.testing.assert_allclose(values, [2.4 + 3.2j, 0, 0, -1], atol=1e-6)


@pytest.mark.parametrize("shape", [(64, 64), (50, 37), (12, 40)])
def test_without_threshold_nothing_changes_for_any_side(shape: tuple[int, int]) -> None:
    image = _noise(shape, 1)
    grid = Grid.of(shape)
    assert all(side % (1 << grid.levels) == 0 for side in grid.padded)
    np.testing.assert_allclose(shrunk(image, grid, np.float32(0), (3, 5)), image, atol=1e-5)


def test_brightness_is_that_of_bart_and_follows_the_unit(undersampled: DrawnSlice) -> None:
    bright = brightness(undersampled.samples)
    assert brightness(undersampled.samples * np.complex64(1e-6)) == pytest.approx(bright * 1e-6, rel=1e-5)
    assert 0.3 < bright / np.abs(undersampled.image).max() < 1.5


@pytest.mark.parametrize("kind", [MaskKind.RANDOM, MaskKind.POISSON])
def test_it_agrees_with_bart(kind: MaskKind, bart: Bart) -> None:
    """Without cycle spinning both solve one problem: BART extends edges, we go round, which differs where air is."""
    drawn = drawn_slice(shape=(128, 128), every=1)
    mask = sampling_mask(MaskPlan(kind, 4, 0.12), (128, 128), 3)
    samples = drawn.samples * mask
    theirs = bart(
        "pics", "-S", "-n", "-i", "60", "-R", "W:3:0:0.01", inputs=[samples[:, None], drawn.maps[:, None]]
    )[0]  # fmt: skip
    ours = l1_wavelet(samples, mask, drawn.maps, 0.01, 60, spin=False, tolerance=0)
    assert difference(ours, theirs) < 0.02
    assert difference(ours, drawn.image) < 1.1 * difference(theirs, drawn.image)


def test_with_spinning_it_is_as_good_as_bart(bart: Bart) -> None:
    """Each draws its own moves, so images differ by what the moves change; the distance to the truth is alike."""
    drawn = drawn_slice(shape=(128, 128), every=1)
    mask = sampling_mask(MaskPlan(MaskKind.RANDOM, 4, 0.12), (128, 128), 3)
    samples = drawn.samples * mask
    theirs = bart("pics", "-S", "-i", "50", "-R", "W:3:0:0.01", inputs=[samples[:, None], drawn.maps[:, None]])[0]
    ours = l1_wavelet(samples, mask, drawn.maps, 0.01, 50)
    assert difference(ours, theirs) < 0.06
    assert difference(ours, drawn.image) < 1.1 * difference(theirs, drawn.image)


def test_it_removes_what_undersampling_and_noise_leave() -> None:
    drawn = drawn_slice(shape=(96, 80), every=1, noise_ratio=30)
    mask = sampling_mask(MaskPlan(MaskKind.POISSON, 5), (96, 80), 2)
    found = l1_wavelet(drawn.samples * mask, mask, drawn.maps)
    assert difference(found, drawn.image) < 0.5 * difference(zero_filled(drawn.samples * mask), np.abs(drawn.image))
    again = l1_wavelet(drawn.samples * mask, mask, drawn.maps, workers=2)
    assert np.array_equal(again, found), "threads change nothing"


def test_the_axis_without_gaps_does_not_matter(undersampled: DrawnSlice) -> None:
    """A mask of lines is reconstructed by transforms along the lines alone; a full transform says the same."""
    drawn = undersampled
    found = l1_wavelet(drawn.samples, drawn.mask, drawn.maps, 0.01, 8, spin=False)
    turned = l1_wavelet(
        drawn.samples.swapaxes(1, 2), drawn.mask.T, drawn.maps.swapaxes(1, 2), 0.01, 8, spin=False
    )  # fmt: skip
    np.testing.assert_allclose(turned.T, found, atol=1e-3 * float(np.abs(found).max()))
    almost = drawn.mask.copy()
    almost[0, 0] = not almost[0, 0]  # no mask of lines any more, at a sample that hardly counts
    full = l1_wavelet(drawn.samples, almost, drawn.maps, 0.01, 8, spin=False)
    assert difference(full, found) < 0.01


def test_what_cannot_be_used_is_refused(undersampled: DrawnSlice) -> None:
    drawn = undersampled
    broken = drawn.samples.copy()
    broken[0, 0, 0] = np.nan
    empty = np.zeros_like(drawn.mask)
    for samples, mask, maps, words in (
        (broken, drawn.mask, drawn.maps, "1 of .* not finite"),
        (drawn.samples, empty, drawn.maps, "nothing was sampled"),
        (np.zeros_like(drawn.samples), drawn.mask, drawn.maps, "every sample is 0"),
        (drawn.samples, drawn.mask.T, drawn.maps, "mask"),
        (drawn.samples, drawn.mask, drawn.maps[:3], "coil maps"),
        (drawn.samples, drawn.mask, np.zeros_like(drawn.maps), "all zero"),
    ):
        with pytest.raises(BadSamples, match=words) as caught:
            l1_wavelet(samples, mask, maps)
        assert caught.value.reason.code is ReasonCode.BAD_SAMPLES
    for weight, iterations in ((-1.0, 5), (float("nan"), 5), (0.1, 0)):
        with pytest.raises(ValueError, match="weight"):
            l1_wavelet(drawn.samples, drawn.mask, drawn.maps, weight, iterations)
