"""Read arrays of BART: ``NAME.hdr`` (text with the dimensions) and ``NAME.cfl`` (complex64, first axis fastest).

Axes: 0 READ, 1 PHS1, 2 PHS2, 3 COIL, 4 MAPS, 5 TE, 6 COEFF, 7 COEFF2, 8 ITER, 9 CSHIFT, 10 TIME, 11 TIME2, 12 LEVEL,
13 SLICE, 14 AVG, 15 BATCH (BART documentation, "Dimensions"). The samples stay on disk and are mapped into memory.
"""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.domain.kspace import KSpace, Trajectory
from coread.imaging.errors import BadHeader, NotRawData, Truncated, WrongTrajectory
from coread.imaging.mr.files.room import RoomLimits, file_digest, sampled
from coread.imaging.mr.files.sidecar import geometry_of, sidecar_of

_READ, _PHS1, _PHS2, _COIL, _TE, _TIME, _TIME2, _SLICE = 0, 1, 2, 3, 5, 10, 11, 13
_DIMENSIONS = 16
_TAKEN = (_READ, _PHS1, _PHS2, _COIL, _TE, _TIME, _TIME2, _SLICE)
_FRAMES = {_TE: "echo", _TIME: "repetition", _TIME2: "phase"}
MOST_HEADER_BYTES = 1 << 20


def is_cfl(path: Path) -> bool:
    """Say whether a path is one of the two files, or the name of both without an ending."""
    header = _files(path)[0]
    if not header.is_file():
        return False
    with header.open("rb") as stream:
        return stream.read(12).startswith(b"# Dimensions")


def read(path: Path, limits: RoomLimits | None = None) -> KSpace:
    """Return the acquisition of a pair of files; ``NAME_traj`` beside it makes it non-Cartesian (BART's ``traj``).

    Raises ImagingRefused with a coded reason.
    """
    room = limits or RoomLimits()
    header, values = _files(path)
    array = _mapped(header, values, room)
    digest = file_digest(values)
    way = _files(values.with_name(f"{values.stem}_traj.cfl"))
    if way[0].is_file():
        return _along(array, _mapped(*way, room), values, digest)
    frames = [axis for axis in _FRAMES if array.shape[axis] > 1]
    samples = _ordered(array, frames)
    slices, partitions = samples.shape[1], samples.shape[3]
    beside = sidecar_of(values)
    meaning = beside.frame_meaning or " x ".join(_FRAMES[axis] for axis in frames)
    return KSpace(
        samples=samples,
        mask=sampled(samples, room),
        geometry=geometry_of(beside, (slices * partitions, *samples.shape[4:]), partitions, digest),
        header=beside.header,
        frame_meaning=meaning,
        source_digest=digest,
        notes=beside.notes,
    )


def _files(path: Path) -> tuple[Path, Path]:
    stem = path.with_suffix("") if path.suffix in (".hdr", ".cfl") else path
    return stem.with_name(stem.name + ".hdr"), stem.with_name(stem.name + ".cfl")


def _mapped(header: Path, values: Path, room: RoomLimits) -> NDArray[np.complex64]:
    if not header.is_file() or header.stat().st_size > MOST_HEADER_BYTES:
        raise NotRawData(f"{header.name} is not the header of a cfl file")
    lines = header.read_text("ascii", "replace").splitlines()
    try:
        sizes = [int(text) for text in lines[lines.index("# Dimensions") + 1].split()]
    except (ValueError, IndexError) as problem:
        raise BadHeader(f"{header.name} states no dimensions") from problem
    if not 1 <= len(sizes) <= _DIMENSIONS or any(not 1 <= n <= 1 << 31 for n in sizes):
        raise BadHeader(f"{header.name}: dimensions {sizes[:20]} are impossible")
    sizes += [1] * (_DIMENSIONS - len(sizes))
    room.check(sizes)
    if not values.is_file() or values.stat().st_size < math.prod(sizes) * 8:
        raise Truncated(f"{values.name} is shorter than its header states")
    if any(n > 1 for axis, n in enumerate(sizes) if axis not in _TAKEN):
        raise BadHeader(
            f"{header.name}: axes {[a for a, n in enumerate(sizes) if n > 1 and a not in _TAKEN]} are taken"
        )
    array: NDArray[np.complex64] = np.memmap(values, np.complex64, "r", shape=tuple(sizes), order="F")
    return array


def _ordered(array: NDArray[np.complex64], frames: list[int]) -> NDArray[np.complex64]:
    """Return a view as (frames, slices, coils, partitions, lines, readout); several frame axes become one."""
    kept = array.transpose((*_FRAMES, _SLICE, _COIL, _PHS2, _PHS1, _READ, *_rest()))
    flat = kept.reshape(kept.shape[: len(_FRAMES) + 5])
    if len(frames) > 1:
        return np.asanyarray(flat.reshape(-1, *flat.shape[len(_FRAMES) :]))
    used = list(_FRAMES).index(frames[0]) if frames else 0
    return np.asanyarray(np.moveaxis(flat, used, 2)[0, 0])


def _rest() -> tuple[int, ...]:
    return tuple(axis for axis in range(_DIMENSIONS) if axis not in _TAKEN)


def _along(array: NDArray[np.complex64], way: NDArray[np.complex64], values: Path, digest: str) -> KSpace:
    """Return samples (1, samples, spokes, coils, …) along coordinates (3, samples, spokes), cycles per field."""
    frames = [axis for axis in _FRAMES if array.shape[axis] > 1]
    if array.shape[_READ] != 1 or way.shape[0] not in (2, 3) or way.shape[1:3] != array.shape[1:3]:
        raise WrongTrajectory(f"coordinates {way.shape[:3]} for samples {array.shape[:4]}")
    if way.shape[0] == 3 and float(np.abs(way[2]).max()) > 0:
        raise WrongTrajectory("a trajectory in three dimensions is not read")
    # Ordered as if Cartesian, spokes stand where partitions do and their samples where lines do.
    samples = _ordered(array, frames)[..., 0][:, :, :, None]
    count, _, _, _, lines, readout = samples.shape
    own = way.shape[_TIME] > 1 and way.shape[_TIME] == count
    flat = way.reshape(*way.shape[:3], -1)
    coordinates = np.empty((count, 1, lines, readout, 2), np.float32)
    for frame in range(count):
        places = flat[:2, :, :, frame if own else 0].real
        coordinates[frame, 0] = places[::-1].transpose(2, 1, 0)
    side = 2 * math.ceil(float(np.abs(coordinates).max()))
    if not 1 < side <= 65535:
        raise WrongTrajectory(f"coordinates reach {side / 2:g} cycles per field of view")
    beside = sidecar_of(values)
    return KSpace(
        samples=samples,
        mask=np.asarray((samples != 0).any(axis=(2, 5))),
        geometry=geometry_of(beside, (samples.shape[1], side, side), 1, digest),
        header=beside.header,
        trajectory=Trajectory.OTHER,
        coordinates=coordinates,
        frame_meaning=beside.frame_meaning or " x ".join(_FRAMES[axis] for axis in frames),
        source_digest=digest,
        notes=beside.notes,
    )
