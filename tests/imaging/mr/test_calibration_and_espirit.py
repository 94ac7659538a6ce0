"""The calibration block is found whatever the pattern; sensitivities agree with the truth and with BART."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coread.imaging.errors import BadSamples, NoCalibration
from coread.imaging.mr import espirit
from coread.imaging.mr.calibration import calibration_region, centered_block
from coread.imaging.mr.eigenvectors import leading_eigenvectors
from coread.imaging.mr.espirit import EspiritOptions, espirit_maps
from tests.imaging.mr.bart import Bart
from tests.imaging.mr.drawn_slices import DrawnSlice, difference


def largest_by_trying(mask: NDArray[np.bool_]) -> int:
    """Return the number of samples of the largest full centred block, by trying every size."""
    best = 0
    for height in range(1, mask.shape[0] + 1):
        for width in range(1, mask.shape[1] + 1):
            block = centered_block(mask.shape, height, width)
            best = max(best, height * width if mask[block].all() else 0)
    return best


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 10_000), st.floats(0.5, 1))
@settings(max_examples=60)
def test_the_largest_full_block_is_found(rows: int, columns: int, seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((rows, columns)) < share
    region = calibration_region(mask)
    if region is None:
        assert not mask[rows // 2, columns // 2]
    else:
        assert mask[region].all()
        assert mask[region].size == largest_by_trying(mask)


def test_whole_readouts_give_a_block_as_wide_as_the_readout(undersampled: DrawnSlice) -> None:
    region = calibration_region(undersampled.mask)
    assert region is not None
    height, width = (part.stop - part.start for part in region)
    assert 20 <= height <= 22
    assert width == undersampled.mask.shape[1]


@given(st.integers(1, 9), st.integers(0, 10_000))
@settings(max_examples=30)
def test_leading_eigenvectors_are_those_of_lapack(size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    factors = random.normal(size=(20, size, 3)) + 1j * random.normal(size=(20, size, 3))
    matrices = factors @ factors.conj().swapaxes(1, 2)
    matrices[0] = np.eye(size)  # every vector is an eigenvector
    matrices[1] = 0
    planar = np.stack([matrices.real, matrices.imag]).astype(np.float32).transpose(0, 2, 3, 1)
    found = leading_eigenvectors(np.ascontiguousarray(planar))
    vectors = (found.vectors[0] + 1j * found.vectors[1]).T
    np.testing.assert_allclose(found.values, np.linalg.eigvalsh(matrices)[:, -1], rtol=1e-3, atol=1e-6)
    residual = np.einsum("nij,nj->ni", matrices, vectors) - found.values[:, None] * vectors
    assert (np.linalg.norm(residual, axis=1) <= 5e-3 * np.maximum(found.values, 1e-6)).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, *[1] * 18], atol=1e-5)


def test_maps_are_the_true_sensitivities_but_for_phase(undersampled: DrawnSlice) -> None:
    maps = espirit_maps(undersampled.samples, undersampled.mask)
    inside = undersampled.inside
    assert (np.abs(maps).sum(axis=0) > 0)[inside].mean() > 0.999
    alike = np.abs(np.einsum("cab,cab->ab", maps.conj(), undersampled.maps))
    assert np.sqrt(np.mean(1 - np.minimum(alike[inside], 1) ** 2)) < 0.02


def test_rows_at_once_and_threads_do_not_change_the_maps(
    undersampled: DrawnSlice, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = espirit_maps(undersampled.samples, undersampled.mask)
    np.testing.assert_array_equal(espirit_maps(undersampled.samples, undersampled.mask, workers=2), maps)
    monkeypatch.setattr(espirit, "_CACHED", 1)
    assert difference(espirit_maps(undersampled.samples, undersampled.mask), maps) < 1e-3


@pytest.mark.peer
@pytest.mark.parametrize("soft", [False, True])
def test_maps_agree_with_bart(undersampled: DrawnSlice, bart: Bart, soft: bool) -> None:
    words = ("ecalib", "-m1", "-r20", "-k6", *(["-S"] if soft else []))
    theirs = bart(*words, inputs=[undersampled.samples[:, None]])[0]
    ours = espirit_maps(undersampled.samples, undersampled.mask, EspiritOptions(calibration=20, soft=soft))
    assert np.mean((np.abs(theirs).sum(axis=0) > 0) == (np.abs(ours).sum(axis=0) > 0)) > 0.999
    # Outside the object two eigenvalues can be nearly equal, and BART's fixed number of steps does not tell them apart.
    inside = undersampled.inside & (np.abs(theirs).sum(axis=0) > 0)
    turn = np.vdot(ours[:, inside], theirs[:, inside])  # one phase for all: that of a virtual coil is arbitrary
    assert difference(ours[:, inside] * (turn / abs(turn)), theirs[:, inside]) < 0.002


def test_maps_do_not_depend_on_the_units(undersampled: DrawnSlice) -> None:
    maps = espirit_maps(undersampled.samples, undersampled.mask)
    assert difference(espirit_maps(undersampled.samples * np.float32(1e-9), undersampled.mask), maps) < 1e-2


@pytest.mark.parametrize("defect", ["no middle", "narrow", "zero", "not finite"])
def test_without_a_calibration_block_there_are_no_maps(undersampled: DrawnSlice, defect: str) -> None:
    samples, mask = undersampled.samples.copy(), undersampled.mask.copy()
    if defect in ("no middle", "narrow"):
        mask[mask.shape[0] // 2 + (0 if defect == "no middle" else 2)] = False
    samples = samples * (0 if defect == "zero" else np.nan if defect == "not finite" else 1)
    with pytest.raises(NoCalibration):
        espirit_maps(samples.astype(np.complex64), mask)


def test_samples_of_another_shape_than_the_mask_are_refused(undersampled: DrawnSlice) -> None:
    with pytest.raises(BadSamples):
        espirit_maps(undersampled.samples[:, 1:], undersampled.mask)
    with pytest.raises(BadSamples):
        espirit_maps(undersampled.samples[0], undersampled.mask)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kernel": 0}, "kernel"),
        ({"calibration": 4}, "kernel"),
        ({"crop": 1.0}, "between"),
        ({"threshold": -1}, "between"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        EspiritOptions(**options)  # type: ignore[arg-type]
