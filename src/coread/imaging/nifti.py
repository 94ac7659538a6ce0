"""NIfTI files (.nii, .nii.gz) in and out by nibabel: research data, outside programs, and label maps that come back.

Arrays are (slices, rows, columns) and affines take (slice, row, column, 1) to LPS mm, as everywhere in Coread; NIfTI
itself counts columns first and uses RAS (https://nifti.nimh.nih.gov/nifti-1).
"""

import importlib
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import Failed
from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.imaging.quantities import HOUNSFIELD_UNIT

_MOST_BYTES = 4 << 30
_KINDS = frozenset({"u1", "i2", "i4", "f4", "f8", "i1", "u2", "u4", "i8", "u8"})
_RAS_OF_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_TURNED = [2, 1, 0, 3]
_SCANNER = 1
"""Code of an s-form in scanner coordinates (nifti1.h, NIFTI_XFORM_SCANNER_ANAT)."""


class UnreadableNifti(Failed):
    """A file that should be NIfTI-1 is not, or says what cannot be."""


def write_nifti(path: Path, values: NDArray[Any], affine: NDArray[np.float64]) -> Path:
    """Write a volume (slices, rows, columns) with its affine as s-form; compressed when the name ends in .gz.

    A series of volumes is (volumes, slices, rows, columns). The affine may be sheared: an s-form holds it exactly, a
    q-form could not and is left out.
    """
    data = np.ascontiguousarray(values)
    if data.ndim not in (3, 4) or 0 in data.shape or data.dtype.str[1:] not in _KINDS:
        raise UnreadableNifti(f"cannot write shape {data.shape} of {data.dtype} as NIfTI")
    nibabel: Any = importlib.import_module("nibabel")
    ras = (_RAS_OF_LPS @ np.asarray(affine, dtype=np.float64))[:, _TURNED]
    image = nibabel.Nifti1Image(data.T, ras, dtype=data.dtype)
    image.set_sform(ras, _SCANNER)
    image.set_qform(None, 0)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def write_volume(path: Path, volume: Volume) -> Path:
    """Write a volume; its values are float32 and nothing is rescaled."""
    return write_nifti(path, volume.voxels, volume.geometry.matrix())


def read_nifti(path: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return (values, affine) of a 3D file; raises UnreadableNifti naming the file and what is wrong."""
    values, affine = read_nifti_series(path)
    if len(values) != 1:
        raise UnreadableNifti(f"{path.name} cannot be read as NIfTI: it holds {len(values)} volumes, one is needed")
    return values[0], affine


def read_nifti_series(path: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return (values, affine); values are (volumes, slices, rows, columns) of the stored type, or rescaled float64."""
    nibabel: Any = importlib.import_module("nibabel")
    try:
        image = nibabel.Nifti1Image.from_filename(path)
        _check(image)
        shape = (*image.shape, 1, 1)[:4] if len(image.shape) < 4 else image.shape[:4]
        raw = np.asarray(image.dataobj)
        values = raw.reshape(shape, order="F").T
    except (OSError, ValueError, EOFError, zlib.error, MemoryError, _library_error()) as problem:
        raise UnreadableNifti(f"{path.name} cannot be read as NIfTI: {problem}") from problem
    affine = _RAS_OF_LPS @ np.asarray(image.affine, dtype=np.float64)[:, _TURNED]
    native = values.dtype.newbyteorder("=")
    return np.ascontiguousarray(values.astype(native, copy=False)), affine


def nifti_volume(path: Path, *, quantity: Quantity = Quantity.ARBITRARY) -> Volume:
    """Return a NIfTI file as a volume without source instances; NIfTI does not say what its values mean, so the caller
    does. Raises UnreadableNifti."""
    values, affine = read_nifti(path)
    shape = (values.shape[0], values.shape[1], values.shape[2])
    unit = HOUNSFIELD_UNIT if quantity is Quantity.HOUNSFIELD else ""
    geometry = Geometry(shape, affine_of(affine), "")
    return Volume(np.asarray(values, dtype=np.float32), quantity, geometry, (), unit=unit)


def _library_error() -> type[Exception]:
    errors: Any = importlib.import_module("nibabel.filebasedimages")
    found: type[Exception] = errors.ImageFileError
    return found


def _check(image: Any) -> None:
    """Refuse before anything is unpacked: too large, another number of axes or type, no stated place."""
    header = image.header
    extra = [extent for extent in image.shape[4:] if extent > 1]
    if len(image.shape) < 3 or extra:
        raise ValueError(f"{len(image.shape)} axes of {image.shape}: volumes are needed")
    kind = header.get_data_dtype()
    if kind.str[1:] not in _KINDS:
        raise ValueError(f"datatype {kind} is not supported")
    if min(image.shape) < 1 or int(np.prod(image.shape, dtype=np.int64)) * kind.itemsize > _MOST_BYTES:
        raise ValueError(f"its shape {image.shape} is empty or larger than the limit")
    if int(header["sform_code"]) <= 0 and int(header["qform_code"]) <= 0:
        raise ValueError("it does not say where it lies (neither s-form nor q-form)")
    if abs(float(np.linalg.det(image.affine[:3, :3]))) < 1e-9 or not np.isfinite(image.affine).all():
        raise ValueError("its axes are no grid")


def on_grid(values: NDArray[Any], affine: NDArray[np.float64], grid: NDArray[np.float64]) -> NDArray[Any]:
    """Turn a volume to another grid of the same voxels: axes exchanged or reversed, nothing resampled.

    Raises UnreadableNifti when the two grids are not the same voxels.
    """
    step = np.linalg.inv(grid[:3, :3]) @ affine[:3, :3]
    axes = np.abs(step).argmax(axis=0)
    turned = np.zeros((3, 3))
    turned[axes, range(3)] = np.sign(step[axes, range(3)])
    if sorted(axes) != [0, 1, 2] or not np.allclose(step, turned, atol=1e-3):
        raise UnreadableNifti("the volume came back on another grid (spacing or direction differ)")
    back = [int(np.flatnonzero(axes == axis)[0]) for axis in range(3)]
    result = np.transpose(values, back)
    origin = affine[:3, 3].copy()
    for axis in range(3):
        source = back[axis]
        if turned[axis, source] < 0:
            result = np.flip(result, axis=axis)
            origin = origin + affine[:3, source] * (values.shape[source] - 1)
    if not np.allclose(origin, grid[:3, 3], atol=0.05):
        raise UnreadableNifti("the volume came back at another place")
    return np.ascontiguousarray(result)
