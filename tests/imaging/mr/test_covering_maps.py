from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coread.imaging.errors import NoCalibration
from coread.imaging.mr.covering_maps import covering_maps
from coread.imaging.mr.espirit import espirit_maps
from coread.imaging.mr.fourier import Complex
from coread.imaging.mr.methods import Method, reconstructed_plane
from coread.imaging.mr.wavelet import l1_wavelet
from coread.imaging.mr.whitening import whitened
from coread.phantoms.mr_raw import RawTruth, make
from coread.phantoms.reference.objects import ReferenceSeries
from coread.phantoms.reference.scan import Setup

FEW_LINES = RawTruth(matrix=128, slices=4, coils=6, dicom=False)
"""Ten calibration lines: in the third slice ESPIRiT cuts a hole into the brain."""


def plane(truth: RawTruth, number: int) -> tuple[Complex, NDArray[np.bool_], NDArray[np.float64]]:
    """Whitened samples, mask and noise-free image of one slice, on the grid of the samples."""
    made = make(truth, Setup(seed=1))
    kspace = made.kspace
    assert kspace is not None
    assert kspace.noise is not None
    mask = np.repeat(kspace.mask[0, number, 0][:, None], kspace.samples.shape[-1], axis=1)
    (series,) = made.visits[0].series
    assert isinstance(series, ReferenceSeries)
    clean = series.voxels[number].astype(np.float64)
    beside = (mask.shape[1] - clean.shape[1]) // 2
    return whitened(kspace.samples[0, number, :, 0], kspace.noise), mask, np.pad(clean, ((0, 0), (beside, beside)))


def error(image: NDArray[Any], truth: NDArray[np.float64]) -> float:
    """Root mean square of the difference over that of the truth, at the best scale."""
    found = np.abs(image)
    scale = (found * truth).sum() / (found * found).sum()
    return float(np.linalg.norm(scale * found - truth) / np.linalg.norm(truth))


def test_few_calibration_lines_leave_no_hole_in_the_images() -> None:
    samples, mask, truth = plane(FEW_LINES, 2)
    inside = truth > 0.3 * truth.max()
    cut, whole = espirit_maps(samples, mask), covering_maps(samples, mask)
    assert (~cut.any(axis=0) & inside).mean() > 0.01, "this slice shows the hole"
    assert not (~whole.any(axis=0) & inside).any()
    with_hole, without = (error(l1_wavelet(samples, mask, maps), truth) for maps in (cut, whole))
    assert with_hole > 0.3
    assert without < 0.2
    assert error(reconstructed_plane(samples, mask, Method.WAVELET), truth) == pytest.approx(without, abs=0.01)


def test_maps_without_a_hole_stay_as_they_are() -> None:
    samples, mask, _ = plane(RawTruth(matrix=96, slices=1, coils=6, centre_percent=30, oversampling=1, dicom=False), 0)
    assert np.array_equal(covering_maps(samples, mask), espirit_maps(samples, mask))


def test_without_a_calibration_block_they_are_refused_like_others() -> None:
    samples = np.ones((4, 32, 32), dtype=np.complex64)
    mask = np.zeros((32, 32), dtype=bool)
    mask[::2] = True
    with pytest.raises(NoCalibration):
        covering_maps(samples, mask)
