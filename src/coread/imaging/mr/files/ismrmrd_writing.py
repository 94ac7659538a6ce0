"""Write an acquisition as an ISMRMRD file that every reader of the format understands."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.kspace import KSpace, Samples, Trajectory
from coread.imaging.mr.files.flexible_header import Space
from coread.imaging.mr.files.header_writing import header_xml
from coread.imaging.mr.files.layout import ACQUISITION_HEADER, VERSION, Flag, acquisition_in_hdf5

_ROWS = 256
"""Acquisitions that are handed to HDF5 at a time."""
_LONGEST = 65535
"""Samples of one acquisition: the header counts them with 16 bits."""
_COUNTERS = {"phase": "phase", "contrast": "contrast", "echo": "contrast"}


@dataclass(frozen=True, slots=True, eq=False)
class Acquisition:
    """One readout as the file holds it."""

    head: NDArray[Any]
    trajectory: NDArray[np.float32]
    samples: Samples
    """(coils, samples)"""


def write(path: Path, kspace: KSpace, group: str = "dataset") -> None:
    """Write an acquisition as HDF5; the file appears whole or not at all. The same acquisition gives the same bytes.

    Left out: which of several frame meanings a frame has (they become repetitions), notes, disagreement of repeats.
    """
    import h5py

    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    encoded, recon = spaces_of(kspace)
    counter = _COUNTERS.get(kspace.frame_meaning, "repetition")
    counts = {"slice": kspace.samples.shape[1], counter: kspace.frames}
    try:
        with h5py.File(partial, "w") as file:
            inside = file.create_group(group)
            # Called ASCII as the C++ library does, though it is UTF-8: HDF5 does not convert one into the other.
            text = inside.create_dataset("xml", shape=(1,), dtype=h5py.string_dtype("ascii"))
            text[0] = header_xml(kspace, encoded, recon, counts)
            write_table(inside, acquisitions(kspace, counter))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def spaces_of(kspace: KSpace) -> tuple[Space, Space]:
    """Return the encoded space and that of the images."""
    _, slices, _, partitions, lines, readout = kspace.samples.shape
    (depth, rows, columns), (z, y, x) = kspace.geometry.shape, kspace.geometry.spacing_mm()
    recon = Space((columns, rows, max(1, depth // slices)), (columns * x, rows * y, max(1, depth // slices) * z))
    if kspace.trajectory is not Trajectory.CARTESIAN:
        return recon, recon
    return Space((readout, lines, partitions), (readout * x, lines * y, partitions * z)), recon


def write_table(group: Any, rows: Iterator[Acquisition]) -> int:
    """Write acquisitions as ``data`` into a group of HDF5, a few at a time; return how many there were."""
    kind = acquisition_in_hdf5()
    table = group.create_dataset("data", shape=(0,), maxshape=(None,), dtype=kind, chunks=(_ROWS,))
    count = 0
    while batch := list(itertools.islice(rows, _ROWS)):
        block = np.empty(len(batch), kind)
        for place, one in zip(block, batch, strict=True):
            place["head"] = one.head
            place["traj"] = one.trajectory.reshape(-1)
            place["data"] = np.ascontiguousarray(one.samples).reshape(-1).view(np.float32)
        table.resize((count + len(batch),))
        table[count:] = block
        count += len(batch)
    return count


def acquisitions(kspace: KSpace, counter: str) -> Iterator[Acquisition]:
    """Yield the noise scan, reference lines of a scan of their own, then the sampled lines frame by frame."""
    base = _base_head(kspace)
    yield from _noise(kspace, base)
    number = 0
    if kspace.calibration is not None:
        held = (kspace.calibration != 0).any(axis=(1, 4))
        for one in _lines(kspace.calibration, held, kspace, base):
            one.head["flags"] |= Flag.IS_PARALLEL_CALIBRATION.bit
            one.head["scan_counter"] = number
            number += 1
            yield one
    sampled = np.asarray(kspace.mask if kspace.mask.ndim == 4 else kspace.mask.any(axis=-1))
    last = tuple(np.argwhere(sampled)[-1]) if sampled.any() else ()
    for frame in range(kspace.frames):
        for one in _lines(kspace.samples[frame], sampled[frame], kspace, base, frame):
            one.head["idx"][counter] = frame
            one.head["scan_counter"] = number
            number += 1
            if (frame, *_place_of(one)) == last:
                one.head["flags"] |= Flag.LAST_IN_MEASUREMENT.bit
            yield one


def _place_of(one: Acquisition) -> tuple[int, int, int]:
    idx = one.head["idx"]
    return int(idx["slice"]), int(idx["kspace_encode_step_2"]), int(idx["kspace_encode_step_1"])


def _base_head(kspace: KSpace) -> NDArray[Any]:
    head = np.zeros((), ACQUISITION_HEADER)
    coils = kspace.coils
    matrix = kspace.geometry.matrix()[:3, :3]
    slices, phase, read = (matrix[:, axis] / np.linalg.norm(matrix[:, axis]) for axis in range(3))
    normal = np.cross(read, phase)
    head["version"] = VERSION
    head["active_channels"] = head["available_channels"] = coils
    for channel in range(coils):
        head["channel_mask"][channel // 64] |= np.uint64(1 << (channel % 64))
    head["read_dir"], head["phase_dir"] = read, phase
    head["slice_dir"] = normal if normal @ slices >= 0 else -normal
    return head


def _noise(kspace: KSpace, base: NDArray[Any]) -> Iterator[Acquisition]:
    if kspace.noise is None:
        return
    for begin in range(0, kspace.noise.shape[1], _LONGEST):
        block = kspace.noise[:, begin : begin + _LONGEST]
        head = base.copy()
        head["flags"] = Flag.IS_NOISE_MEASUREMENT.bit
        head["number_of_samples"] = block.shape[1]
        yield Acquisition(head, np.zeros((0, 0), np.float32), block)


def _lines(
    samples: Samples, sampled: NDArray[np.bool_], kspace: KSpace, base: NDArray[Any], frame: int = 0
) -> Iterator[Acquisition]:
    """Yield the lines of one frame: samples (slices, coils, partitions, lines, readout)."""
    readout = samples.shape[4]
    for slice_number, partition, line in np.argwhere(sampled).tolist():
        head = base.copy()
        head["number_of_samples"] = readout
        head["center_sample"] = readout // 2
        head["position"] = _centre(kspace, slice_number)
        head["idx"]["slice"] = slice_number
        head["idx"]["kspace_encode_step_1"] = line
        head["idx"]["kspace_encode_step_2"] = partition
        way = np.zeros((0, 0), np.float32)
        if kspace.coordinates is not None:
            places = kspace.coordinates[frame, min(slice_number, kspace.coordinates.shape[1] - 1), line]
            way = np.ascontiguousarray(places[:, ::-1])
            head["trajectory_dimensions"] = 2
        yield Acquisition(head, way, np.ascontiguousarray(samples[slice_number, :, partition, line], np.complex64))


def _centre(kspace: KSpace, slice_number: int) -> NDArray[np.float64]:
    """Return the position of the voxel in which the centred transform puts the centre of the field of view, mm."""
    depth, rows, columns = kspace.geometry.shape
    number = slice_number if kspace.samples.shape[3] == 1 else depth // 2
    return np.asarray(kspace.geometry.to_patient(np.array([[number, rows // 2, columns // 2]]))[0])
