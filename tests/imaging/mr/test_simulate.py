"""Simulated k-space gives the image back, with noise and coils as stated."""

import numpy as np
import pytest

from coread.imaging.mr.fourier import to_image
from coread.imaging.mr.simulate import BadSimulation, Scanner, fat_phase, loop_sensitivities, simulated


def _disc(rows: int, columns: int) -> np.ndarray:
    y, x = np.ogrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    return np.where(np.hypot(y, x) < 0.7, 100.0, 0.0).astype(np.float32)


@pytest.mark.parametrize(("coils", "shape"), [(1, (64, 64)), (8, (60, 45)), (24, (33, 50))])
def test_the_combined_image_of_a_full_acquisition_is_the_image(coils: int, shape: tuple[int, int]) -> None:
    magnitude = _disc(*shape)
    made = simulated(magnitude, Scanner(coils=coils, signal_to_noise=1e6), 3)
    assert made.samples.shape == (coils, *shape)
    images = to_image(made.samples)
    np.testing.assert_allclose(np.sqrt(np.sum(np.abs(images) ** 2, axis=0)), magnitude, atol=0.05)
    np.testing.assert_allclose(np.sum(made.maps.conj() * images, axis=0), made.image, atol=0.05)
    np.testing.assert_allclose(np.abs(made.image), magnitude, rtol=1e-5)


def test_noise_has_the_stated_ratio_and_is_white() -> None:
    made = simulated(_disc(96, 96), Scanner(coils=6, signal_to_noise=20), 3)
    clean = simulated(_disc(96, 96), Scanner(coils=6, signal_to_noise=1e9), 3)
    noise = made.samples - clean.samples
    assert abs(noise.real.std() / (100 / 20) - 1) < 0.02
    assert made.noise_deviation == pytest.approx(5.0)
    covariance = np.cov(noise.reshape(6, -1))
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 0.05 * covariance.real.max()
    combined = np.sum(made.maps.conj() * to_image(noise), axis=0)
    assert abs(combined.real.std() / 5 - 1) < 0.03


def test_sensitivities_are_smooth_differ_and_have_unit_sum_of_squares() -> None:
    maps = loop_sensitivities((80, 64), Scanner(coils=8), np.random.default_rng(1))
    np.testing.assert_allclose(np.sum(np.abs(maps) ** 2, axis=0), 1, rtol=1e-5)
    assert np.abs(np.diff(maps, axis=1)).max() < 0.25
    flat = maps.reshape(8, -1)
    likeness = np.abs(flat.conj() @ flat.T) / np.outer(*[np.linalg.norm(flat, axis=1)] * 2)
    assert (likeness - np.eye(8)).max() < 0.9
    # Each coil is strongest near its own side.
    places = {tuple(np.array(np.unravel_index(np.abs(one).argmax(), one.shape)) // 20) for one in maps}
    assert len(places) >= 5


def test_the_same_seed_gives_the_same_samples() -> None:
    one, two, other = (simulated(_disc(32, 32), Scanner(coils=2), seed).samples for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_fat_has_another_phase_than_water_and_cancels_it_only_at_its_border() -> None:
    disc = _disc(64, 64)
    for seed in range(6):
        factor = fat_phase(disc, np.random.default_rng(seed))
        again = fat_phase(disc, np.random.default_rng(seed))
        assert np.array_equal(factor, again)
        assert factor.shape == disc.shape
        assert np.abs(factor).max() <= 1 + 1e-5
        np.testing.assert_allclose(factor[0, 0], 1, atol=1e-6)  # air
        assert (np.abs(np.angle(factor)) > 0.01).any()
        np.testing.assert_allclose(factor[32, 32], 1, atol=1e-6)  # water, deep inside
    nothing = fat_phase(np.zeros((16, 16), dtype=np.float32), np.random.default_rng(1))
    assert np.array_equal(nothing, np.ones((16, 16), dtype=np.complex64))


def test_what_cannot_be_simulated_is_refused() -> None:
    for bad in (np.full((32, 32), np.nan), -_disc(32, 32), _disc(32, 32)[:4], np.zeros((32, 32))):
        with pytest.raises(BadSimulation):
            simulated(bad.astype(np.float32), Scanner(), 1)
    with pytest.raises(BadSimulation, match="coils"):
        Scanner(coils=0)
    with pytest.raises(BadSimulation, match="above 0"):
        Scanner(signal_to_noise=0)
