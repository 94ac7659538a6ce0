"""Whitening, coil compression and partial Fourier against known truth and BART."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coread.imaging.errors import BadSamples
from coread.imaging.mr.coil_compression import compressed, compression_matrix, geometrically_compressed
from coread.imaging.mr.combine import zero_filled
from coread.imaging.mr.fourier import to_image, to_samples
from coread.imaging.mr.partial_fourier import Reach, homodyne, one_sided, projected
from coread.imaging.mr.whitening import noise_covariance, whitened, whitening_matrix
from tests.imaging.mr.bart import Bart
from tests.imaging.mr.drawn_slices import DrawnSlice, difference, drawn_slice

Complex = NDArray[np.complex64]


def correlated_noise(coils: int, count: int, seed: int = 1) -> Complex:
    random = np.random.default_rng(seed)
    white = random.normal(size=(2, coils, count))
    mixing = np.eye(coils) + 0.3 * (random.normal(size=(coils, coils)) + 1j * random.normal(size=(coils, coils)))
    return np.asarray(mixing @ (white[0] + 1j * white[1]) * 0.02, dtype=np.complex64)


@pytest.fixture(scope="module")
def full() -> DrawnSlice:
    return drawn_slice(coils=8, shape=(80, 64), every=1)


@given(st.integers(1, 12), st.integers(0, 1000))
@settings(max_examples=20)
def test_noise_is_white_afterwards(coils: int, seed: int) -> None:
    noise = correlated_noise(coils, 300, seed)
    np.testing.assert_allclose(noise_covariance(whitened(noise, noise)), np.eye(coils), atol=1e-3)
    assert np.allclose(whitening_matrix(noise), np.tril(whitening_matrix(noise)))


@pytest.mark.peer
def test_whitening_agrees_with_bart(full: DrawnSlice, bart: Bart) -> None:
    noise = correlated_noise(8, 2000)
    theirs = bart("whiten", inputs=[full.samples[:, None], noise[:, None, None]])[0]
    assert difference(whitened(full.samples, noise), theirs) < 1e-3


@pytest.mark.parametrize("defect", ["coil missing", "short", "not finite", "silent coil", "same coil twice"])
def test_noise_that_cannot_be_used_is_refused(full: DrawnSlice, defect: str) -> None:
    noise = correlated_noise(8, 200)
    if defect == "coil missing":
        noise = noise[1:]
    elif defect == "short":
        noise = noise[:, :9]
    elif defect == "not finite":
        noise[3, 5] = np.inf
    else:
        noise[3] = 0 if defect == "silent coil" else noise[2] * 2
    with pytest.raises(BadSamples):
        whitened(full.samples, noise)


def test_all_virtual_coils_together_are_the_coils(full: DrawnSlice) -> None:
    assert difference(zero_filled(compressed(full.samples, 8)), zero_filled(full.samples)) < 1e-5
    assert difference(zero_filled(geometrically_compressed(full.samples, 8)), zero_filled(full.samples)) < 1e-5


def test_fewer_virtual_coils_are_the_best_and_geometric_ones_better(full: DrawnSlice) -> None:
    matrix = compression_matrix(full.samples, 3)
    np.testing.assert_allclose(matrix @ matrix.conj().T, np.eye(3), atol=1e-5)
    strengths = np.linalg.svd(full.samples.reshape(8, -1), compute_uv=False) ** 2
    lost = 1 - np.linalg.norm(compressed(full.samples, 3)) ** 2 / np.linalg.norm(full.samples) ** 2
    assert lost == pytest.approx(strengths[3:].sum() / strengths.sum(), rel=1e-2)
    geometric = 1 - np.linalg.norm(geometrically_compressed(full.samples, 3)) ** 2 / np.linalg.norm(full.samples) ** 2
    assert geometric < lost / 2


def test_geometric_coils_are_as_smooth_along_the_readout_as_the_coils(full: DrawnSlice) -> None:
    """Neighbouring places must not be turned against one another: k-space would spread along the readout."""
    made = geometrically_compressed(full.samples, 8)
    edge = [slice(None), slice(None), slice(0, 8)]
    theirs, ours = (np.linalg.norm(values[tuple(edge)]) / np.linalg.norm(values) for values in (full.samples, made))
    assert ours < 2 * theirs + 1e-3


@pytest.mark.peer
@pytest.mark.parametrize("kind", ["-S", "-G"])
def test_compression_agrees_with_bart(full: DrawnSlice, bart: Bart, kind: str) -> None:
    theirs = bart("cc", "-p4", "-A", kind, inputs=[full.samples[:, None]])[0]
    ours = compressed(full.samples, 4) if kind == "-S" else geometrically_compressed(full.samples, 4)
    assert difference(zero_filled(ours), zero_filled(theirs)) < 0.02


@pytest.mark.parametrize("coils", [0, 9])
def test_no_more_coils_are_made_than_there_are(full: DrawnSlice, coils: int) -> None:
    for compress in (compressed, geometrically_compressed):
        with pytest.raises(ValueError, match="virtual coils"):
            compress(full.samples, coils)


@pytest.mark.parametrize(
    ("sampled", "expected"),
    [
        (range(64), None), (range(0, 64, 2), None), (range(1, 64, 3), None), (range(24, 40), None),
        (range(40), Reach(0, 40)), (range(20, 64), Reach(20, 64)), (range(0, 44, 2), Reach(0, 43)), ([], None),
    ],
)  # fmt: skip
def test_sampling_of_one_side_is_told_from_undersampling(sampled: list[int], expected: Reach | None) -> None:
    lines = np.zeros(64, dtype=bool)
    lines[list(sampled)] = True
    assert one_sided(lines) == expected


def cut(samples: Complex, reach: Reach, axis: int = -2) -> Complex:
    known = np.zeros(samples.shape[axis], dtype=np.float32)
    known[reach.first : reach.stop] = 1
    return (samples * (known[:, None] if axis == -2 else known)).astype(np.complex64)


@pytest.mark.parametrize("size", [80, 81])
@pytest.mark.parametrize("late", [False, True])
def test_a_smooth_phase_is_no_obstacle(size: int, late: bool) -> None:
    truth = drawn_slice(coils=1, shape=(size, 64), every=1, noise_ratio=1e6).image
    stop = int(size * 0.65)
    reach = Reach(size - stop, size) if late else Reach(0, stop)
    samples = cut(to_samples(truth), reach)
    zero = difference(to_image(samples), truth)
    by_homodyne, by_projection = homodyne(samples, reach), projected(samples, reach, iterations=40)
    assert difference(by_homodyne, truth) < zero / 3
    assert difference(by_projection, truth) < zero / 4
    assert difference(cut(to_samples(by_projection), reach), samples) < 0.01


def test_either_axis_and_any_number_of_coils(full: DrawnSlice) -> None:
    reach = Reach(0, 46)
    samples = cut(full.samples, reach, axis=-1)
    for method in (homodyne, projected):
        across = method(samples, reach, -1)
        upright = method(np.ascontiguousarray(samples.swapaxes(1, 2)), reach)
        assert difference(across, upright.swapaxes(1, 2)) < 1e-3
        assert difference(across[2], method(samples[2], reach, -1)) < 1e-2


def test_all_of_k_space_gives_the_image_itself(full: DrawnSlice) -> None:
    samples = to_samples(full.image)
    assert difference(projected(samples, Reach(0, 80)), full.image) < 1e-5
    odd = to_samples(full.image[1:, 1:])
    assert difference(homodyne(odd, Reach(0, 79)), full.image[1:, 1:]) < 0.05


@pytest.mark.peer
@pytest.mark.parametrize("fraction", [0.625, 0.75])
def test_homodyne_agrees_with_bart(bart: Bart, fraction: float) -> None:
    truth = drawn_slice(coils=1, shape=(160, 128), every=1, noise_ratio=1e6).image
    reach = Reach(0, int(160 * fraction))
    samples = cut(to_samples(truth), reach)
    theirs = bart("homodyne", "-C", "1", str(fraction), inputs=[samples])[0]
    ours = homodyne(samples, reach)
    assert difference(np.abs(ours), np.abs(theirs)) < 0.02
    assert difference(np.abs(ours), np.abs(truth)) < difference(np.abs(theirs), np.abs(truth))


@pytest.mark.parametrize("reach", [Reach(0, 42), Reach(39, 80), Reach(-1, 60), Reach(0, 81), Reach(50, 50)])
def test_too_little_beyond_the_centre_is_refused(full: DrawnSlice, reach: Reach) -> None:
    for method in (homodyne, projected):
        with pytest.raises(BadSamples):
            method(full.samples, reach)
