"""NIfTI in and out, against nibabel; a volume that comes back turned is turned back, one on another grid is refused."""

import gzip
import importlib
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coread.imaging.nifti import UnreadableNifti, on_grid, read_nifti, write_nifti

nibabel: Any = importlib.import_module("nibabel")
LPS = np.array([[0.1, 0.2, 1.5, -36.0], [0.0, 1.4, 0.3, -30.0], [3.0, 0.1, 0.0, -24.0], [0.0, 0.0, 0.0, 1.0]])
"""Oblique: (slice, row, column) to LPS mm."""


def volume(kind: str = "f4", shape: tuple[int, int, int] = (4, 5, 6)) -> NDArray[Any]:
    return (np.arange(np.prod(shape)).reshape(shape) % 100).astype(kind)


@pytest.mark.parametrize("kind", ["u1", "i2", "i4", "f4", "f8", "u2"])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nibabel_reads_what_we_write(tmp_path: Path, kind: str, name: str) -> None:
    values = volume(kind)
    image: Any = nibabel.load(write_nifti(tmp_path / name, values, LPS))
    assert np.array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), values)
    corner = image.affine @ np.array([5, 3, 2, 1.0])  # column, row, slice
    ours = LPS @ np.array([2, 3, 5, 1.0])
    assert corner[:3] == pytest.approx([-ours[0], -ours[1], ours[2]], abs=1e-4)


@pytest.mark.parametrize("sform", [True, False])
@pytest.mark.parametrize("kind", ["u1", "i2", "f4", "i8"])
def test_we_read_what_nibabel_writes(tmp_path: Path, sform: bool, kind: str) -> None:
    rotation = np.array([[0, -1.5, 0], [2.0, 0, 0], [0, 0, 3.0]])
    ras = np.eye(4)
    ras[:3, :3], ras[:3, 3] = rotation, (10, -20, 30)
    image: Any = nibabel.Nifti1Image(volume(kind).transpose(2, 1, 0), ras, dtype=kind)
    image.set_sform(ras if sform else None, 1 if sform else 0)
    image.set_qform(ras, 1)
    nibabel.save(image, tmp_path / "a.nii.gz")
    values, affine = read_nifti(tmp_path / "a.nii.gz")
    assert np.array_equal(values, volume(kind))
    expected = np.diag([-1, -1, 1, 1]) @ ras
    assert affine[:, [2, 1, 0, 3]] == pytest.approx(expected, abs=1e-4)


@given(st.sampled_from(list(permutations(range(3)))), st.sampled_from(list(product((1, -1), repeat=3))))
@settings(max_examples=48, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_volume_that_comes_back_turned_is_turned_back(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    values = volume()
    turned, affine = values, LPS.copy()
    for axis, sign in enumerate(signs):
        if sign < 0:
            turned = np.flip(turned, axis)
            affine[:3, 3] += affine[:3, axis] * (values.shape[axis] - 1)
            affine[:3, axis] *= -1
    turned = np.transpose(turned, order)
    affine = affine[:, [*order, 3]]
    assert np.array_equal(on_grid(turned, affine, LPS), values)


def test_another_grid_is_refused() -> None:
    wide, moved = LPS.copy(), LPS.copy()
    wide[:3, 0] *= 2
    moved[0, 3] += 1.0
    for other in (wide, moved):
        with pytest.raises(UnreadableNifti, match="came back"):
            on_grid(volume(), other, LPS)


def test_what_is_no_nifti_is_said(tmp_path: Path) -> None:
    good = write_nifti(tmp_path / "good.nii", volume(), LPS).read_bytes()
    bad = {
        "empty": b"",
        "text": b"hello" * 100,
        "cut": good[:400],
        "gzip": gzip.compress(good)[:200],
        "kind": good[:70] + b"\x20\x00" + good[72:],
        "nowhere": good[:252] + b"\0\0\0\0" + good[256:],
        "fourth": good[:40] + b"\x04\0" + good[42:48] + b"\x03\0" + good[50:],
    }
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UnreadableNifti, match=name):
            read_nifti(tmp_path / name)
    with pytest.raises(UnreadableNifti, match="cannot be read"):
        read_nifti(tmp_path / "absent.nii")
    with pytest.raises(UnreadableNifti, match="cannot write"):
        write_nifti(tmp_path / "flat.nii", np.zeros((3, 3)), LPS)
