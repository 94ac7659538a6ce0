"""A beating ring from an eighth of its lines: the series together beats frame by frame; the parts do what they say."""

import numpy as np
import pytest

from coread.imaging.errors import BadSamples, ImageTooLarge
from coread.imaging.mr import dynamic
from coread.imaging.mr.dynamic import low_rank_plus_sparse, of_few_ranks, of_few_times, series_encoding
from coread.imaging.mr.fourier import to_samples
from coread.imaging.mr.simulate import Scanner, loop_sensitivities
from coread.imaging.mr.total_variation import tv
from coread.imaging.mr.wavelet import l1_wavelet
from tests.imaging.mr.drawn_slices import Complex, difference

Cine = tuple[Complex, np.ndarray, Complex, Complex]
SIDE, FRAMES = 64, 16


@pytest.fixture(scope="module")
def cine() -> Cine:
    """Samples (frames, coils, a, b), masks, maps and true images of a drawn chest in which a ring beats; simulated."""
    random = np.random.default_rng(5)
    rows, columns = np.meshgrid(*[np.linspace(-1, 1, SIDE)] * 2, indexing="ij")

    def disc(center: tuple[float, float], radius: tuple[float, float]) -> np.ndarray:
        away = np.hypot((rows - center[0]) / radius[0], (columns - center[1]) / radius[1])
        return np.asarray(1 / (1 + np.exp(np.clip((away - 1) * 30, -50, 50))))

    body = 0.5 * disc((0, 0), (0.85, 0.7)) - 0.35 * disc((-0.1, -0.4), (0.35, 0.2)) + 0.3 * disc((0.5, 0), (0.12, 0.15))
    beats = np.cos(2 * np.pi * np.arange(FRAMES) / FRAMES)
    rings = [
        0.25 * disc((0, 0), (0.3 + 0.04 * beat,) * 2) + 0.35 * disc((0, 0), (0.17 + 0.08 * beat,) * 2) for beat in beats
    ]
    images = np.stack([body + ring for ring in rings]) * np.exp(1j * (0.4 * columns + 0.3 * rows))
    maps = loop_sensitivities((SIDE, SIDE), Scanner(coils=5), random)
    masks = np.zeros((FRAMES, SIDE, SIDE), dtype=bool)
    weights = np.exp(-((np.abs(np.arange(SIDE) - SIDE / 2) / (SIDE / 5)) ** 1.5)) + 0.03
    weights[SIDE // 2 - 1 : SIDE // 2 + 1] = 0
    for mask in masks:
        mask[random.choice(SIDE, SIDE // 8 - 2, replace=False, p=weights / weights.sum())] = True
        mask[SIDE // 2 - 1 : SIDE // 2 + 1] = True
    samples = to_samples((images[:, None] * maps).astype(np.complex64))
    noise = random.standard_normal((2, *samples.shape), dtype=np.float32) * np.float32(0.008)
    return (samples + noise[0] + 1j * noise[1]) * masks[:, None], masks, maps, images.astype(np.complex64)


def test_the_series_together_beats_frame_by_frame(cine: Cine) -> None:
    samples, masks, maps, images = cine
    assert masks.mean() == 1 / 8
    together = low_rank_plus_sparse(samples, masks, maps)
    error = difference(together, images)
    alone = [
        difference(np.stack([method(k, m, maps) for k, m in zip(samples, masks, strict=True)]), images)
        for method in (l1_wavelet, tv)
    ]
    assert error < 0.8 * min(alone)
    # also where it moves, which a mere average over time would blur
    moves = np.abs(images).std(axis=0) > 0.05
    average = np.broadcast_to(images.mean(axis=0), images.shape)
    assert difference(together[:, moves], images[:, moves]) < 0.6 * difference(average[:, moves], images[:, moves])


def test_threads_and_the_other_axis_change_nothing(cine: Cine) -> None:
    samples, masks, maps, _ = cine
    one = low_rank_plus_sparse(samples, masks, maps, iterations=4)
    two = low_rank_plus_sparse(samples, masks, maps, iterations=4, workers=2)
    assert np.array_equal(one, two)
    turned = low_rank_plus_sparse(
        samples.swapaxes(2, 3), masks.swapaxes(1, 2), maps.swapaxes(1, 2), iterations=4
    )  # fmt: skip
    assert difference(turned.swapaxes(1, 2), one) < 1e-3


def test_singular_values_shrink() -> None:
    random = np.random.default_rng(0)
    series = (random.normal(size=(5, 6, 7)) + 1j * random.normal(size=(5, 6, 7))).astype(np.complex64)
    left, values, right = np.linalg.svd(series.reshape(5, -1), full_matrices=False)
    expected = (left * np.maximum(values - 3, 0)) @ right
    np.testing.assert_allclose(of_few_ranks(series, 3.0).reshape(5, -1), expected, atol=1e-4)
    assert not of_few_ranks(series, 1e6).any()


def test_a_steady_rhythm_survives_the_threshold_over_time() -> None:
    turn = np.exp(2j * np.pi * 2 * np.arange(8) / 8)
    series = np.broadcast_to(turn[:, None, None], (8, 3, 3)).astype(np.complex64)
    np.testing.assert_allclose(of_few_times(series, 0.1), series * (1 - 0.1 / np.sqrt(8)), atol=1e-5)


def test_what_is_no_series_is_refused(cine: Cine, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, masks, maps, _ = cine
    empty, broken = masks.copy(), samples.copy()
    empty[3] = False
    broken[2][:, masks[2]] = np.nan
    for values, taken, sensitivities, words in (
        (samples[:1], masks[:1], maps, "two frames"),
        (samples, masks[:4], maps, "masks"),
        (samples, empty, maps, "nothing was sampled"),
        (broken, masks, maps, "not finite"),
        (samples, masks, maps[:2], "coil maps"),
    ):
        with pytest.raises(BadSamples, match=words):
            low_rank_plus_sparse(values, taken, sensitivities)
    with pytest.raises(ValueError, match="weight"):
        low_rank_plus_sparse(samples, masks, maps, sparse=-1)
    monkeypatch.setattr(dynamic, "MOST_PIXELS", 1000)
    with pytest.raises(ImageTooLarge, match="one by one"):
        series_encoding(samples, masks, maps)
