"""3D acquisitions in bounded memory: the transform along the readout block by block, then plane by plane.

Every place of the fully sampled readout is a 2D problem of two phase encodings. Samples of several gigabytes come as a
memory map, what lies between goes to a file without a name, and each plane is read when it is reconstructed. Pages of
the memory map are given back after each block: they would count as memory of this process.
"""

import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from coread.imaging.errors import BadSamples, RawTooLarge
from coread.imaging.mr.blas import one_blas_thread
from coread.imaging.mr.fourier import Complex, to_image

PlaneMethod = Callable[[Complex, NDArray[np.bool_]], Complex]
"""From samples (coils, partitions, lines) and mask (partitions, lines) of a plane to its image (partitions, lines)."""
_BLOCK_BYTES = 64 * 2**20
"""Samples that are transformed at once; about four times as much memory is held meanwhile."""
_ITEM = np.dtype(np.complex64).itemsize


def reconstructed_planes(
    samples: Complex, mask: NDArray[np.bool_], method: PlaneMethod, *, scratch: Path | None = None,
    places: range | None = None, workers: int = 1, block_bytes: int = _BLOCK_BYTES,
) -> Complex:  # fmt: skip
    """Return the volume (partitions, lines, places) of samples (coils, partitions, lines, readout), Cartesian.

    ``mask`` (partitions, lines) says what was sampled, for the whole readout. ``places`` are the image columns along
    the readout that are wanted (all by default; fewer remove oversampling). ``scratch`` is a folder with room for the
    samples of those places (default: the system's). ``workers`` planes are reconstructed at the same time; memory is
    bounded by some of ``block_bytes``, ``workers`` planes and the volume. Raises BadSamples for shapes that do not
    fit, RawTooLarge where the folder has too little room, and what ``method`` raises.
    """
    if samples.ndim != 4 or mask.shape != samples.shape[1:3]:
        raise BadSamples(
            f"samples {samples.shape} with a mask {mask.shape}: (coils, partitions, lines, readout) is meant"
        )
    coils, partitions, lines, readout = samples.shape
    wanted = places if places is not None else range(readout)
    if not len(wanted) or min(wanted) < 0 or max(wanted) >= readout:
        raise BadSamples(f"places {wanted} are not within a readout of {readout}")
    _need_room(scratch, len(wanted) * coils * partitions * lines * _ITEM)
    volume = np.zeros((partitions, lines, len(wanted)), dtype=np.complex64)
    with tempfile.TemporaryFile(dir=scratch, buffering=0) as file:
        for first, block in _transformed_blocks(samples, wanted, block_bytes):
            _write(file, block, first, partitions)

        def reconstruct(number: int) -> None:
            plane = _read(file, number, (coils, partitions, lines))
            volume[:, :, number] = method(plane, mask)

        with one_blas_thread(), ThreadPoolExecutor(max(workers, 1), thread_name_prefix="planes") as pool:
            list(pool.map(reconstruct, range(len(wanted))))
    return volume


def _need_room(scratch: Path | None, needed: int) -> None:
    folder = scratch or Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RawTooLarge(f"{needed / 2**30:.1f} GiB are needed in {folder}, {free / 2**30:.1f} are free")


def _transformed_blocks(samples: Complex, wanted: range, block_bytes: int) -> Iterator[tuple[int, Complex]]:
    """Yield (first partition, block (places, coils, partitions of the block, lines)) in image space of the readout."""
    coils, partitions, lines, readout = samples.shape
    step = max(1, block_bytes // (coils * lines * readout * _ITEM))
    for first in range(0, partitions, step):
        block = to_image(np.asarray(samples[:, first : first + step], dtype=np.complex64), axes=(-1,))
        _give_back(samples)
        yield first, np.ascontiguousarray(block[..., wanted.start : wanted.stop : wanted.step].transpose(3, 0, 1, 2))


def _give_back(samples: Complex) -> None:
    """Release the pages of a memory map of a file; what was read is read from the file again when it is wanted."""
    base: object = samples
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap) and base.mode == "c":
            return  # changes that were made to such a map exist nowhere else
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def _write(file: BinaryIO, block: Complex, first: int, partitions: int) -> None:
    """Write a block to its places in an array (places, coils, partitions, lines)."""
    places, coils, count, lines = block.shape
    for place in range(places):
        for coil in range(coils):
            at = ((place * coils + coil) * partitions + first) * lines * _ITEM
            run = block[place, coil].reshape(-1).view(np.uint8).data
            if os.pwrite(file.fileno(), run, at) != count * lines * _ITEM:
                raise OSError(f"the file for {places} planes was not written in full")


def _read(file: BinaryIO, number: int, shape: tuple[int, int, int]) -> Complex:
    plane = np.empty(shape, dtype=np.complex64)
    view = plane.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(view):
        got = os.preadv(file.fileno(), [view[done:]], number * len(view) + done)
        if got == 0:
            raise OSError(f"the file between the transforms ends before plane {number}")
        done += got
    return plane
