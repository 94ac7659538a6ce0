"""Read ``.npy`` files: (coils, lines, readout), (slices, coils, lines, readout) or all six axes; never pickles."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.domain.kspace import AXES, KSpace
from coread.imaging.errors import BadHeader, NotRawData, Truncated
from coread.imaging.mr.files.room import RoomLimits, file_digest, sampled
from coread.imaging.mr.files.sidecar import geometry_of, sidecar_of

MAGIC = b"\x93NUMPY"


def is_numpy(path: Path) -> bool:
    """Say whether a file begins as NumPy's do."""
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


def read(path: Path, limits: RoomLimits | None = None) -> KSpace:
    """Return the acquisition of a file, mapped from disk where it is complex64; raises ImagingRefused.

    What is 0 in every coil was not sampled. ``NAME.json`` beside it may state the voxels and the header.
    """
    room = limits or RoomLimits()
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError, TypeError) as problem:
        if "mmap length" in str(problem) or "larger than file" in str(problem):
            raise Truncated(f"{path.name} is shorter than its header states") from problem
        raise NotRawData(f"{path.name} is not an array of numbers that NumPy reads") from problem
    samples = _ordered(array, room)
    digest = file_digest(path)
    beside = sidecar_of(path)
    slices, partitions = samples.shape[1], samples.shape[3]
    return KSpace(
        samples=samples,
        mask=sampled(samples, room),
        geometry=geometry_of(beside, (slices * partitions, *samples.shape[4:]), partitions, digest),
        header=beside.header,
        frame_meaning=beside.frame_meaning if samples.shape[0] > 1 else "",
        source_digest=digest,
        notes=beside.notes,
    )


def _ordered(array: NDArray[np.generic], room: RoomLimits) -> NDArray[np.complex64]:
    if array.dtype.kind != "c":
        raise BadHeader(f"an array of {array.dtype} is not k-space: its values are complex")
    if array.ndim not in (3, 4, 6) or 0 in array.shape:
        raise BadHeader(f"an array of shape {array.shape}; (coils, lines, readout) or ({', '.join(AXES)}) is read")
    room.check(array.shape)
    if array.dtype != np.complex64:
        converted = room.zeros(array.shape)
        for number in range(len(array)):
            converted[number] = array[number]
        array = converted
    if array.ndim == 6:
        return np.asanyarray(array)
    coils_first = array if array.ndim == 4 else array[None]
    return np.asanyarray(coils_first[None, :, :, None])
