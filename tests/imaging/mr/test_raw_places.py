"""A bright point at a known place of the patient is found there, whatever the directions, sizes and oversampling."""

from pathlib import Path

import numpy as np
import pytest

from coread.imaging.mr.files.opened import open_raw
from coread.imaging.mr.files.raw_object import write_wrapped
from coread.imaging.mr.fully_sampled import reference_images
from tests.imaging.mr.made_raw import header, official

pytest.importorskip("ismrmrd", reason="the official library is in the extra dev")
OBLIQUE = np.linalg.qr(np.array([[0.9, 0.3, -0.2], [-0.2, 0.8, 0.5], [0.3, -0.4, 0.9]]))[0].T
SAGITTAL = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
CENTRE = np.array([12.0, -7.0, 31.0])


def encoded(matrix: tuple[int, int, int], where: np.ndarray) -> np.ndarray:
    """Return the samples (partitions, lines, readout) of a point at voxels (x, y, z) from the centre: the integral
    of the signal equation itself, no Fourier transform of ours."""
    waves = [np.exp(-2j * np.pi * (np.arange(n) - n // 2) * place / n) for n, place in zip(matrix, where, strict=True)]
    return np.asarray(np.einsum("z,y,x->zyx", waves[2], waves[1], waves[0]), np.complex64)


@pytest.mark.parametrize("axes", [np.eye(3), SAGITTAL, OBLIQUE, np.diag([1.0, 1.0, -1.0])])
@pytest.mark.parametrize(("size", "recon"), [((32, 20, 1), (16, 20)), ((33, 21, 1), (15, 21)), ((32, 20, 6), (16, 20)),
                                             ((30, 19, 7), (30, 17))])  # fmt: skip
def test_a_point_is_found_where_it_lies(
    tmp_path: Path, axes: np.ndarray, size: tuple[int, int, int], recon: tuple[int, int]
) -> None:
    x, y, z = size
    where = np.array([4, -6, 0 if z == 1 else 2])
    voxel = np.array([2.0, 2.0, 4.0])
    text = header(
        ex=x, ey=y, ez=z, fx=2 * x, fy=2 * y, fz=4 * z, rx=recon[0], ry=recon[1], gx=2 * recon[0], gy=2 * recon[1],
        last=y - 1, center=y // 2, lastz=z - 1, centerz=z // 2,
    )  # fmt: skip
    slices = 1 if z > 1 else 3
    rows = []
    for number in range(slices):
        strength = 1.0 if number == slices // 2 else 0.01
        samples = encoded(size, where) * np.float32(strength)
        position = CENTRE + axes[2] * 5.0 * (number - slices // 2)
        rows += [
            (samples[p, n][None].copy(), {
                "idx_kspace_encode_step_1": n, "idx_kspace_encode_step_2": p, "center_sample": x // 2,
                "idx_slice": (number * 2) % 3, "position": tuple(position),
                "read_dir": tuple(axes[0]), "phase_dir": tuple(axes[1]), "slice_dir": tuple(axes[2]),
            })
            for p in range(z) for n in range(y)
        ]  # fmt: skip
    official(tmp_path / "a.h5", text, rows)
    write_wrapped(tmp_path / "a.h5", tmp_path / "a.dcm")
    read = open_raw(tmp_path / "a.dcm")
    images = reference_images(read)
    assert images.shape == read.geometry.shape
    peak = np.array(np.unravel_index(np.argmax(images), images.shape))[None]
    true = CENTRE + (where * voxel) @ axes
    assert read.geometry.to_patient(peak.astype(np.float64))[0] == pytest.approx(true, abs=1e-3)
