"""Figures of merit equal their definitions in fastMRI, number by number."""

import numpy as np
import pytest

from coread.imaging.mr.metrics import BadComparison, hfen, lesion_contrast, nmse, psnr, quality, ssim


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    truth = np.cumsum(random.standard_normal((3, 40, 52)), axis=2).astype(np.float32)
    return np.abs(truth), np.abs(truth + 0.3 * random.standard_normal(truth.shape).astype(np.float32))


def test_figures_equal_those_of_skimage_with_the_parameters_of_fastmri(pair: tuple[np.ndarray, np.ndarray]) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    truth, found = (one.astype(np.float64) for one in pair)
    assert psnr(truth, found) == pytest.approx(
        metrics.peak_signal_noise_ratio(truth, found, data_range=truth.max()), rel=1e-12
    )
    each = [metrics.structural_similarity(a, b, data_range=truth.max()) for a, b in zip(truth, found, strict=True)]
    assert ssim(truth, found) == pytest.approx(np.mean(each), rel=1e-10)
    assert nmse(truth, found) == pytest.approx(np.linalg.norm(truth - found) ** 2 / np.linalg.norm(truth) ** 2)


def test_the_range_is_that_of_the_whole_volume_and_complex_counts_by_magnitude(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    truth, found = pair
    assert psnr(truth, found) != pytest.approx(np.mean([psnr(a, b) for a, b in zip(truth, found, strict=True)]))
    assert psnr(truth, found * 1j) == pytest.approx(psnr(truth, found))


def test_an_equal_volume_is_perfect(pair: tuple[np.ndarray, np.ndarray]) -> None:
    found = quality(pair[0], pair[0])
    assert (found.nmse, found.psnr, found.hfen) == (0, float("inf"), 0)
    assert found.ssim == pytest.approx(1)


def test_fine_detail_counts_more_than_shading_in_hfen() -> None:
    random = np.random.default_rng(1)
    truth = 10 + random.standard_normal((64, 64))
    shaded = truth + np.linspace(0, 1, 64)
    fine = truth + np.where(np.indices((64, 64)).sum(0) % 4 < 2, 0.58, -0.58)
    assert nmse(truth, fine) == pytest.approx(nmse(truth, shaded), rel=0.1)
    assert hfen(truth, fine) > 5 * hfen(truth, shaded)


def test_contrast_of_a_lesion_is_its_excess_over_the_surroundings() -> None:
    image = np.full((20, 20), 4.0)
    lesion, around = np.zeros((2, 20, 20), dtype=bool)
    lesion[8:12, 8:12], around[4:16, 4:16] = True, True
    around &= ~lesion
    image[lesion] = 5.0
    assert lesion_contrast(image, lesion, around) == pytest.approx(0.25)
    with pytest.raises(BadComparison, match="not overlap"):
        lesion_contrast(image, lesion, lesion)
    with pytest.raises(BadComparison, match="no signal"):
        lesion_contrast(np.where(around, 0, image), lesion, around)


def test_what_cannot_be_compared_is_refused(pair: tuple[np.ndarray, np.ndarray]) -> None:
    truth, found = pair
    for bad in (found[:2], found[0, 0], np.full_like(found, np.nan)):
        with pytest.raises(BadComparison):
            psnr(truth, bad)
    with pytest.raises(BadComparison, match="7 x 7"):
        ssim(truth[:, :5], found[:, :5])
    with pytest.raises(BadComparison, match="some signal"):
        nmse(np.zeros_like(truth), found)
