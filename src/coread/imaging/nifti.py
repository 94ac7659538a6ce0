"""NIfTI-1 single files (.nii, .nii.gz): how a volume is handed to an outside program and its labels come back.

Arrays are (slices, rows, columns) and affines take (slice, row, column, 1) to LPS mm, as everywhere in Coread; NIfTI
itself counts columns first and uses RAS (https://nifti.nimh.nih.gov/nifti-1).
"""

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import Failed

_HEADER = 348
_OFFSET = 352
_MOST_BYTES = 4 << 30
_CODES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
"""Datatype field of the header: numpy type."""
_RAS_OF_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_TURNED = [2, 1, 0, 3]


class UnreadableNifti(Failed):
    """A file that should be NIfTI-1 is not, or says what cannot be."""


def write_nifti(path: Path, values: NDArray[Any], affine: NDArray[np.float64]) -> Path:
    """Write a volume with its affine as both s-form and voxel size; compressed when the name ends in .gz."""
    kinds = {np.dtype(kind): code for code, kind in _CODES.items()}
    data = np.ascontiguousarray(values)
    if data.ndim != 3 or data.dtype not in kinds:
        raise UnreadableNifti(f"cannot write shape {data.shape} of {data.dtype} as NIfTI")
    slices, rows, columns = data.shape
    ras = (_RAS_OF_LPS @ np.asarray(affine, dtype=np.float64))[:, _TURNED]
    spacing = np.linalg.norm(ras[:3, :3], axis=0)
    header = bytearray(_OFFSET)
    struct.pack_into("<i", header, 0, _HEADER)
    struct.pack_into("<8h", header, 40, 3, columns, rows, slices, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, kinds[data.dtype], data.dtype.itemsize * 8)
    struct.pack_into("<8f", header, 76, 1.0, *spacing, 1.0, 1.0, 1.0, 1.0)
    struct.pack_into("<3f", header, 108, _OFFSET, 1.0, 0.0)
    struct.pack_into("<B", header, 123, 2)  # millimetres
    struct.pack_into("<2h", header, 252, 0, 1)  # no q-form; the s-form is scanner anatomical
    struct.pack_into("<12f", header, 280, *ras[:3].ravel())
    header[344:348] = b"n+1\0"
    raw = bytes(header) + data.astype(data.dtype.newbyteorder("<"), copy=False).tobytes()
    path.write_bytes(gzip.compress(raw, compresslevel=1, mtime=0) if path.name.endswith(".gz") else raw)
    return path


def read_nifti(path: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return (values, affine) of a 3D file; raises UnreadableNifti naming the file and what is wrong."""
    try:
        raw = _bytes_of(path)
        if len(raw) < _OFFSET or raw[344:347] != b"n+1":
            raise ValueError("no NIfTI-1 single file")
        order: Literal["<", ">"] = "<" if struct.unpack_from("<i", raw)[0] == _HEADER else ">"
        size = struct.unpack_from(f"{order}8h", raw, 40)
        if size[0] < 3 or any(extent > 1 for extent in size[4 : size[0] + 1]):
            raise ValueError(f"{size[0]} axes of {size[1:]}: one volume is needed")
        columns, rows, slices = size[1:4]
        kind = np.dtype(_CODES[struct.unpack_from(f"{order}h", raw, 70)[0]]).newbyteorder(order)
        start, slope, offset = struct.unpack_from(f"{order}3f", raw, 108)
        values = np.frombuffer(raw, kind, slices * rows * columns, int(start)).reshape(slices, rows, columns)
        values = values.astype(kind.newbyteorder("="))
        if slope not in (0.0, 1.0) or offset != 0.0:
            values = values * np.float32(slope or 1.0) + np.float32(offset)
        affine = _RAS_OF_LPS @ _ras(raw, order)[:, _TURNED]
    except KeyError as problem:
        raise UnreadableNifti(f"{path.name}: datatype {problem} is not supported") from problem
    except (OSError, ValueError, struct.error, zlib.error, EOFError) as problem:
        raise UnreadableNifti(f"{path.name} cannot be read as NIfTI: {problem}") from problem
    return values, affine


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


def _bytes_of(path: Path) -> bytes:
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    if not packed:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("larger than the limit")
        return path.read_bytes()
    with gzip.open(path) as stream:
        raw = stream.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise ValueError("larger than the limit")
    return raw


def _ras(raw: bytes, order: str) -> NDArray[np.float64]:
    q_code, s_code = struct.unpack_from(f"{order}2h", raw, 252)
    matrix = np.eye(4)
    if s_code > 0:
        matrix[:3] = np.array(struct.unpack_from(f"{order}12f", raw, 280)).reshape(3, 4)
        return matrix
    if q_code <= 0:
        raise ValueError("it does not say where it lies (neither s-form nor q-form)")
    b, c, d, x, y, z = struct.unpack_from(f"{order}6f", raw, 256)
    a = float(np.sqrt(max(0.0, 1.0 - b * b - c * c - d * d)))
    pixdim = struct.unpack_from(f"{order}4f", raw, 76)
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    sign = -1.0 if pixdim[0] < 0 else 1.0
    matrix[:3, :3] = rotation * np.array([pixdim[1], pixdim[2], pixdim[3] * sign])
    matrix[:3, 3] = (x, y, z)
    return matrix
