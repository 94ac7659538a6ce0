"""Room for samples: in memory when small, in a file without a name when large; never more than the limit allows."""

import hashlib
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from coread.imaging.errors import RawTooLarge

IN_MEMORY_BYTES = 512 << 20
"""Larger arrays lie on disk and are paged in as they are used."""
MOST_BYTES = 64 << 30
CHUNK_BYTES = 64 << 20
"""So much of a file is held at a time while it is read."""


@dataclass(frozen=True, slots=True)
class RoomLimits:
    """How many bytes of samples may be taken, and from where on they lie on disk."""

    most_bytes: int = MOST_BYTES
    in_memory_bytes: int = IN_MEMORY_BYTES
    folder: Path | None = None
    """Where the nameless files lie; ``None``: the system's folder for temporary files."""

    def check(self, shape: Sequence[int], dtype: DTypeLike = np.complex64) -> int:
        """Return the bytes of an array; raises RawTooLarge above the limit, before anything is allocated."""
        needed = math.prod(int(n) for n in shape) * np.dtype(dtype).itemsize
        if needed > self.most_bytes:
            raise RawTooLarge(f"{needed / 2**30:.1f} GiB of samples, the limit is {self.most_bytes / 2**30:.1f} GiB")
        return needed

    def zeros(self, shape: Sequence[int], dtype: DTypeLike = np.complex64) -> NDArray[Any]:
        """Return an array of zeros in memory or on disk. Its file has no name: it is gone with the array."""
        sizes = tuple(int(n) for n in shape)
        needed = self.check(sizes, dtype)
        if needed <= self.in_memory_bytes:
            return np.zeros(sizes, dtype)
        with tempfile.TemporaryFile(dir=self.folder) as stream:
            try:
                # Not truncate: writing to a mapped page for which the disk has no room kills the process (SIGBUS).
                os.posix_fallocate(stream.fileno(), 0, needed)
            except OSError as problem:
                raise RawTooLarge(f"{needed / 2**30:.1f} GiB of samples find no room on the disk") from problem
            return np.memmap(stream, dtype=dtype, mode="r+", shape=sizes)


def sampled(samples: NDArray[np.complex64], most: RoomLimits | None = None) -> NDArray[np.bool_]:
    """Return where any coil holds a value that is not 0: (frames, slices, partitions, lines[, readout]).

    The last axis is left out where whole lines were sampled or not.
    """
    return without_constant_readout(sampled_points(samples, most))


def sampled_points(samples: NDArray[np.complex64], most: RoomLimits | None = None) -> NDArray[np.bool_]:
    """Return the same with the axis readout in any case; one (frame, slice) is looked at a time."""
    frames, slices, _, partitions, lines, readout = samples.shape
    points = (most or RoomLimits()).zeros((frames, slices, partitions, lines, readout), np.bool_)
    for frame in range(frames):
        for number in range(slices):
            for coil in samples[frame, number]:
                points[frame, number] |= coil != 0
    return points


def without_constant_readout(points: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Drop the last axis of a mask when every line is sampled wholly or not at all."""
    any_point = np.asarray(points.any(axis=-1))
    return any_point if bool(np.all(points == any_point[..., None])) else np.asarray(points)


def file_digest(source: Path | IO[bytes]) -> str:
    """Return the SHA-256 of a file, whole."""
    if not isinstance(source, Path):
        source.seek(0)
        return hashlib.file_digest(source, "sha256").hexdigest()  # type: ignore[arg-type]
    with source.open("rb", buffering=0) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
