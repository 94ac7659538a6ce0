"""A segmentation written on the grid of a loaded volume lies in the patient where the mask lay."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain.findings import Region
from coread.domain.images import Volume
from coread.imaging.header import scan_header
from coread.imaging.volume import load_volume
from tests.evidence.build_volumes import affine, axis_directions, ct_slices, enhanced_ct, off_centre_mask, region
from tests.evidence.test_volumes import proved, result_of

ORIENTATIONS = list(axis_directions())


def on_volume(volume: Volume, mask: NDArray[np.bool_]) -> Region:
    lesion = region(volume.geometry.matrix(), mask)
    return replace(lesion, images=volume.references(), geometry=volume.geometry)


def centroid_of_frames(segmentation: Dataset) -> NDArray[np.float64]:
    """Frame by frame from its own plane, so that a leaning stack is no trouble; independent of the room."""
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    found = []
    for groups, frame in zip(segmentation.PerFrameFunctionalGroupsSequence, segmentation.pixel_array, strict=True):
        plane = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        holder = groups if "PlaneOrientationSequence" in groups else shared
        turn = np.array(holder.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
        rows, columns = (float(step) for step in shared.PixelMeasuresSequence[0].PixelSpacing)
        for row, column in np.argwhere(frame > 0):
            found.append(plane + turn[:3] * columns * column + turn[3:] * rows * row)
    return np.asarray(np.mean(found, axis=0), dtype=np.float64)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(("number", "tilt"), [(0, 0.0), (5, 17.0), (13, -20.0), (26, 0.0), (39, 8.0), (47, -3.0)])
def test_the_centroid_in_the_patient_is_that_of_the_mask(tmp_path: Path, number: int, tilt: float, whole: bool) -> None:
    matrix = affine(ORIENTATIONS[number], tilt)
    if whole:
        paths = [tmp_path / "whole.dcm"]
        enhanced_ct(matrix, paths[0])
    else:
        paths = ct_slices(matrix, tmp_path)
    order = np.random.default_rng(number).permutation(len(paths))
    volume = load_volume([(paths[i], scan_header(paths[i])) for i in order])
    mask = off_centre_mask()
    found = centroid_of_frames(proved(result_of(on_volume(volume, mask)), paths))
    truth = volume.geometry.to_patient(np.argwhere(mask)).mean(axis=0)
    assert found == pytest.approx(truth, abs=0.02)
