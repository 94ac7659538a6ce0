"""CG-SENSE against the exact solution, against BART, and what it makes of bad input."""

import numpy as np
import pytest
from numpy.typing import NDArray

from coread.imaging.errors import BadSamples
from coread.imaging.mr import sense
from coread.imaging.mr.combine import zero_filled
from coread.imaging.mr.espirit import espirit_maps
from coread.imaging.mr.fourier import to_image, to_samples
from coread.imaging.mr.sense import cg_sense
from tests.imaging.mr.bart import Bart
from tests.imaging.mr.drawn_slices import DrawnSlice, difference

WEIGHT = 0.003


def exact(slice_: DrawnSlice, weight: float) -> NDArray[np.complex128]:
    """Solve the normal equations of each column with a dense matrix built from the transform itself."""
    coils, rows, columns = slice_.samples.shape
    transform = to_samples(np.eye(rows, dtype=np.complex64)[None], axes=(-2,))[0].astype(np.complex128)
    kept = transform[slice_.mask[:, 0]]
    hybrid = to_image(slice_.samples, axes=(-1,))[:, slice_.mask[:, 0]]
    image = np.zeros((rows, columns), dtype=np.complex128)
    for column in range(columns):
        encoding = np.concatenate([kept * slice_.maps[coil, :, column] for coil in range(coils)])
        right = encoding.conj().T @ np.concatenate([hybrid[coil, :, column] for coil in range(coils)])
        image[:, column] = np.linalg.solve(encoding.conj().T @ encoding + weight * np.eye(rows), right)
    return image


def two_dimensional(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a pattern that leaves out points of lines, and keeps the middle."""
    found = mask.copy()
    found[:, ::4] = False
    middle = tuple(slice(size // 2 - 10, size // 2 + 10) for size in mask.shape)
    found[middle] = True
    return found


def test_columns_are_solved_to_the_exact_least_squares_solution(undersampled: DrawnSlice) -> None:
    found = cg_sense(undersampled.samples, undersampled.mask, undersampled.maps, weight=WEIGHT, iterations=200)
    assert difference(found, exact(undersampled, WEIGHT)) < 1e-3


def test_transforms_and_matrices_of_columns_agree(undersampled: DrawnSlice, monkeypatch: pytest.MonkeyPatch) -> None:
    given = (undersampled.samples, undersampled.mask, undersampled.maps)
    by_columns = cg_sense(*given, weight=WEIGHT, iterations=200)
    monkeypatch.setattr(sense, "_LONGEST", 0)
    assert difference(cg_sense(*given, weight=WEIGHT, iterations=200), by_columns) < 1e-3


def test_columns_converge_sooner_than_the_whole_image(
    undersampled: DrawnSlice, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = (undersampled.samples, undersampled.mask, undersampled.maps)
    converged = cg_sense(*given, weight=WEIGHT, iterations=200)
    by_columns = cg_sense(*given, weight=WEIGHT, iterations=12)
    monkeypatch.setattr(sense, "_LONGEST", 0)
    whole = cg_sense(*given, weight=WEIGHT, iterations=12)
    assert difference(by_columns, converged) < 0.8 * difference(whole, converged)


def test_lines_along_either_axis_give_the_same(undersampled: DrawnSlice) -> None:
    upright = cg_sense(undersampled.samples, undersampled.mask, undersampled.maps, weight=WEIGHT)
    samples, maps = (np.ascontiguousarray(a.swapaxes(1, 2)) for a in (undersampled.samples, undersampled.maps))
    lying = cg_sense(samples, undersampled.mask.T, maps, weight=WEIGHT)
    assert difference(lying.T, upright) < 1e-4


def test_it_is_far_better_than_zero_filling(undersampled: DrawnSlice) -> None:
    truth = np.abs(undersampled.image)
    maps = espirit_maps(undersampled.samples, undersampled.mask)
    found = cg_sense(undersampled.samples, undersampled.mask, maps, weight=WEIGHT)
    assert difference(np.abs(found), truth) < 0.05
    assert difference(zero_filled(undersampled.samples), truth) > 0.15


@pytest.mark.peer
@pytest.mark.parametrize("pattern", ["lines", "points"])
def test_images_agree_with_bart(undersampled: DrawnSlice, bart: Bart, pattern: str) -> None:
    mask = undersampled.mask if pattern == "lines" else two_dimensional(undersampled.mask)
    samples = undersampled.samples * mask
    inputs = [samples[:, None], undersampled.maps[:, None]]
    theirs = bart("pics", "-S", "-l2", "-r", str(WEIGHT), "-i", "100", inputs=inputs)[0]
    ours = cg_sense(samples, mask, undersampled.maps, weight=WEIGHT, iterations=100)
    assert difference(ours, theirs) < 0.02


@pytest.mark.peer
def test_maps_and_images_together_agree_with_bart(undersampled: DrawnSlice, bart: Bart) -> None:
    theirs_maps = bart("ecalib", "-m1", "-r24", inputs=[undersampled.samples[:, None]])[0]
    inputs = [undersampled.samples[:, None], theirs_maps[:, None]]
    theirs = bart("pics", "-S", "-l2", "-r", str(WEIGHT), "-i", "100", inputs=inputs)[0]
    maps = espirit_maps(undersampled.samples, undersampled.mask)
    ours = cg_sense(undersampled.samples, undersampled.mask, maps, weight=WEIGHT, iterations=100)
    assert difference(np.abs(ours), np.abs(theirs)) < 0.02


def test_threads_do_not_change_the_image(undersampled: DrawnSlice) -> None:
    given = (undersampled.samples, undersampled.mask, undersampled.maps)
    np.testing.assert_array_equal(cg_sense(*given, workers=2), cg_sense(*given))


def test_samples_outside_the_mask_do_not_count(undersampled: DrawnSlice) -> None:
    given = (undersampled.mask, undersampled.maps)
    other = np.where(undersampled.mask, undersampled.samples, np.complex64(5))
    assert difference(cg_sense(other, *given), cg_sense(undersampled.samples, *given)) < 1e-6
    points = two_dimensional(undersampled.mask)
    other = np.where(points, undersampled.samples, np.complex64(5))
    assert difference(cg_sense(other, points, given[1]), cg_sense(undersampled.samples, points, given[1])) < 1e-6


def test_where_no_coil_sees_anything_the_image_is_0(undersampled: DrawnSlice) -> None:
    maps = undersampled.maps * undersampled.inside
    found = cg_sense(undersampled.samples, undersampled.mask, maps)
    assert not found[~undersampled.inside].any()
    assert found[undersampled.inside].all()


def test_what_does_not_fit_is_refused(undersampled: DrawnSlice) -> None:
    samples, mask, maps = undersampled.samples, undersampled.mask, undersampled.maps
    broken = samples.copy()
    broken[0, 0, 0] = np.nan
    for bad in ((samples, mask[:-1], maps), (samples, mask, maps[:-1]), (broken, mask, maps)):
        with pytest.raises(BadSamples):
            cg_sense(*bad)
    with pytest.raises(BadSamples, match="nothing"):
        cg_sense(samples, np.zeros_like(mask), maps)
    with pytest.raises(ValueError, match="weight"):
        cg_sense(samples, mask, maps, weight=-1)
    with pytest.raises(ValueError, match="iterations"):
        cg_sense(samples, mask, maps, iterations=0)
