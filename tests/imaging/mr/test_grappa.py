"""GRAPPA fills regular gaps of every kind, keeps what was measured and refuses what has no rule."""

import numpy as np
import pytest
from numpy.typing import NDArray

from coread.domain.reasons import ReasonCode
from coread.imaging.errors import BadSamples, NoCalibration
from coread.imaging.mr.combine import root_sum_of_squares
from coread.imaging.mr.fourier import to_image, to_samples
from coread.imaging.mr.grappa import Neighbours, grappa, learnt, neighbourhoods
from coread.imaging.mr.masks import MaskKind, MaskPlan, sampling_mask
from coread.imaging.mr.sense import cg_sense
from tests.imaging.mr.drawn_slices import Complex, difference, drawn_slice


def _lines(shape: tuple[int, int], every: int, middle: int) -> NDArray[np.bool_]:
    mask = np.zeros(shape, dtype=bool)
    mask[::every] = True
    mask[shape[0] // 2 - middle // 2 : shape[0] // 2 + middle // 2] = True
    return mask


def _shifted(shape: tuple[int, int], middle: int) -> NDArray[np.bool_]:
    """Every second line and every second partition, the latter moved on from line to line (CAIPIRINHA 2 x 2)."""
    rows, columns = np.indices(shape)
    mask = np.asarray((rows % 2 == 0) & ((columns + rows // 2) % 2 == 0), dtype=bool)
    top, left = shape[0] // 2 - middle // 2, shape[1] // 2 - middle // 2
    mask[top : top + middle, left : left + middle] = True
    return mask


@pytest.mark.parametrize(("every", "worst", "gain"), [(2, 0.03, 6), (3, 0.05, 6), (4, 0.1, 3)])
def test_missing_lines_come_back(every: int, worst: float, gain: float) -> None:
    drawn = drawn_slice(shape=(112, 96), every=1, noise_ratio=200)
    mask = _lines((112, 96), every, 24)
    undersampled = drawn.samples * mask
    found = grappa(undersampled, mask)
    assert np.array_equal(found[:, mask], undersampled[:, mask])
    image, truth = root_sum_of_squares(to_image(found)), np.abs(drawn.image)
    error = difference(image, truth)
    assert error < worst
    assert difference(root_sum_of_squares(to_image(undersampled)), truth) > gain * error


def test_gaps_along_the_other_axis_and_along_both() -> None:
    drawn = drawn_slice(shape=(96, 112), every=1, noise_ratio=200)
    turned = _lines((112, 96), 2, 24).T
    columns = grappa(drawn.samples * turned, turned)
    rows = grappa(drawn.samples.swapaxes(1, 2) * turned.T, turned.T)
    assert np.array_equal(columns, rows.swapaxes(1, 2))
    both = _shifted((96, 112), 24)
    found = grappa(drawn.samples * both, both)
    truth = np.abs(drawn.image)
    error = difference(root_sum_of_squares(to_image(found)), truth)
    assert error < 0.1
    assert difference(root_sum_of_squares(to_image(drawn.samples * both)), truth) > 3 * error


def test_samples_that_obey_a_kernel_are_filled_exactly() -> None:
    """Coils that are shifts of one another in k-space make every missing sample a sum of neighbours."""
    random = np.random.default_rng(4)
    image = (random.normal(size=(48, 40)) + 1j * random.normal(size=(48, 40))).astype(np.complex64)
    turn = np.exp(2j * np.pi * (np.arange(48) - 24) / 48)[:, None]
    full = to_samples(np.stack([image, image * turn, image / turn]).astype(np.complex64))
    mask = _lines((48, 40), 3, 16)
    found = grappa(full * mask, mask, weight=0)
    inner = slice(3, 44)  # the border of k-space lacks neighbours on one side
    assert difference(found[:, inner], full[:, inner]) < 2e-3


def test_kernels_are_those_of_plain_least_squares() -> None:
    random = np.random.default_rng(5)
    calibration = (random.normal(size=(2, 10, 12)) + 1j * random.normal(size=(2, 10, 12))).astype(np.complex64)
    neighbours = Neighbours(((-1, 0), (-1, 1), (2, 0)))
    rows, targets = [], []
    for a in range(1, 8):
        for b in range(11):
            rows.append([calibration[c, a + r, b + d] for r, d in neighbours.offsets for c in range(2)])
            targets.append(calibration[:, a, b])
    expected = np.linalg.lstsq(np.array(rows), np.array(targets), rcond=None)[0]
    np.testing.assert_allclose(learnt(calibration, neighbours, 0.0), expected.T, atol=1e-5)


def test_equal_neighbourhoods_share_a_kernel() -> None:
    mask = _lines((192, 32), 4, 20)
    kinds = list(neighbourhoods(mask, (4, 20, 32)))
    filled = np.zeros(mask.shape, dtype=int)
    for _, places in kinds:
        np.add.at(filled, places, 1)
    assert np.array_equal(filled, (~mask).astype(int)), "every missing sample is filled once"
    sizes = sorted((len(places[0]) // 32 for _, places in kinds), reverse=True)
    assert len(sizes) <= 24, "three within the pattern, the rest at the border and beside the middle"
    assert sum(sizes[:3]) > 0.75 * sum(sizes)


def test_it_agrees_with_sense_where_both_are_exact() -> None:
    drawn = drawn_slice(shape=(96, 80), every=1, noise_ratio=2000)
    mask = _lines((96, 80), 2, 24)
    samples: Complex = drawn.samples * mask
    by_kernels = (drawn.maps.conj() * to_image(grappa(samples, mask))).sum(axis=0)
    by_maps = cg_sense(samples, mask, drawn.maps, iterations=40)
    assert difference(by_kernels, by_maps) < 0.03


def test_the_penalty_keeps_noise_down() -> None:
    drawn = drawn_slice(shape=(96, 80), every=1, noise_ratio=15)
    mask = _lines((96, 80), 4, 24)

    def error(weight: float) -> float:
        filled = grappa(drawn.samples * mask, mask, weight=weight)
        return difference(root_sum_of_squares(to_image(filled)), np.abs(drawn.image))

    assert error(1e-3) < error(0.0)


def test_what_cannot_be_filled_is_refused() -> None:
    drawn = drawn_slice(shape=(64, 64), every=1)
    bare = np.zeros((64, 64), dtype=bool)
    bare[1::2] = True
    with pytest.raises(NoCalibration, match="centre") as caught:
        grappa(drawn.samples * bare, bare)
    assert caught.value.reason.code is ReasonCode.NO_CALIBRATION
    thin = _lines((64, 64), 4, 2)
    with pytest.raises(NoCalibration, match="too small"):
        grappa(drawn.samples * thin, thin)
    random = sampling_mask(MaskPlan(MaskKind.POISSON, 4), (64, 64), 1)
    with pytest.raises(BadSamples, match="regular"):
        grappa(drawn.samples * random, random)
    with pytest.raises(BadSamples, match="nothing"):
        grappa(drawn.samples, np.zeros((64, 64), dtype=bool))
    broken = drawn.samples.copy()
    broken[0, 0, 0] = np.inf
    with pytest.raises(BadSamples, match="not finite"):
        grappa(broken, np.ones((64, 64), dtype=bool))
    with pytest.raises(ValueError, match="weight"):
        grappa(drawn.samples, bare, weight=-1)
    full = np.ones((64, 64), dtype=bool)
    assert np.array_equal(grappa(drawn.samples, full), drawn.samples)
