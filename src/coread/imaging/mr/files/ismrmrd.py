"""Read ISMRMRD files (HDF5): headers first, then samples in pieces, each put where it belongs.

Averages are averaged, and it is kept how much they disagreed. What is left out, assumed or averaged is said in
``KSpace.notes``. Source: MRD documentation, "Raw Acquisition Data", "MRD Header".
"""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.identifiers import derived_uid
from coread.domain.kspace import KSpace, Samples, Trajectory
from coread.imaging.errors import BadHeader, NotRawData, Truncated, WrongTrajectory
from coread.imaging.mr.files.arrangement import Arrangement, Lines, arranged, times_before
from coread.imaging.mr.files.flexible_header import FlexibleHeader, parsed_header
from coread.imaging.mr.files.hdf5 import ismrmrd_group, member, opened, text_of
from coread.imaging.mr.files.ismrmrd_writing import write
from coread.imaging.mr.files.layout import ACQUISITION_HEADER
from coread.imaging.mr.files.repeats import Repeats
from coread.imaging.mr.files.room import (
    CHUNK_BYTES,
    RoomLimits,
    file_digest,
    sampled_points,
    without_constant_readout,
)

__all__ = ["read", "write"]
MOST_ACQUISITIONS = 8_000_000
_UNPACKED_BYTES = 256 << 20
_FEWEST_ROWS = 32
MOST_NOISE_SAMPLES = 1 << 20
"""For each coil; more tells nothing about a covariance of at most 1024 x 1024."""
_TRAJECTORIES = {"radial": Trajectory.RADIAL, "goldenangle": Trajectory.RADIAL, "spiral": Trajectory.SPIRAL}


def read(source: Path | IO[bytes], limits: RoomLimits | None = None) -> KSpace:
    """Return the acquisition of a file; raises ImagingRefused with a coded reason."""
    room = limits or RoomLimits()
    digest = file_digest(source)
    with opened(source) as file:
        group = ismrmrd_group(file)
        if group is None:
            raise NotRawData("the HDF5 file holds no group with an ISMRMRD header and its acquisitions")
        header = parsed_header(text_of(member(group, "xml")))
        table = member(group, "data")
        heads = _heads(table, room)
        frame_of_reference = header.header.frame_of_reference_uid or derived_uid("coread", "raw frame", digest)
        plan = arranged(heads, header, frame_of_reference)
        notes = plan.notes
        if "waveforms" in group:
            notes = (*notes, "waveforms (ECG, breathing) are not read")
        return _filled(table, heads, header, plan, room, (digest, notes))


def _heads(table: Any, room: RoomLimits) -> NDArray[Any]:
    """Return the fixed headers of all acquisitions; what the table claims to be is looked at before it is read."""
    kind = getattr(table, "dtype", np.dtype("V"))
    if kind.names is None or not {"head", "data", "traj"} <= set(kind.names) or table.ndim != 1:
        raise NotRawData("the table of acquisitions is not one of ISMRMRD")
    if not all(_holds_floats(kind[name]) for name in ("data", "traj")):
        raise NotRawData("the samples of acquisitions are not lists of float32")
    if not 0 < len(table) <= MOST_ACQUISITIONS:
        raise BadHeader(f"{len(table)} acquisitions; 1 to {MOST_ACQUISITIONS} are read")
    wrong = _unlike(kind["head"], ACQUISITION_HEADER)
    if wrong:
        raise BadHeader(f"the header of acquisitions has no {wrong} as ISMRMRD has it")
    room.check((len(table),), kind["head"])
    heads = np.empty(len(table), kind["head"])
    step = _rows_at_once(table)
    # Whole rows a few at a time, here and below: asked for one field, HDF5 unpacks the lists of the others as well,
    # and they are never given back.
    for begin in range(0, len(table), step):
        heads[begin : begin + step] = table[begin : begin + step]["head"]
    return heads


def _holds_floats(kind: np.dtype[Any]) -> bool:
    import h5py

    return bool(h5py.check_vlen_dtype(kind) == np.dtype(np.float32))


def _unlike(given: np.dtype[Any], wanted: np.dtype[Any]) -> str:
    """Return the first field of ``wanted`` that is absent, no number, or of another shape; empty where all are right.

    Other fields may stand beside them as long as the whole is not much larger.
    """
    if given.itemsize > 4 * wanted.itemsize:
        return f"{wanted.itemsize} bytes"
    for name in wanted.names or ():
        if name not in (given.names or ()):
            return name
        mine, other = given[name], wanted[name]
        if other.names is not None:
            if inner := _unlike(mine, other):
                return f"{name}.{inner}"
        elif mine.shape != other.shape or mine.base.kind not in "iuf":
            return name
    return ""


def _filled(
    table: Any,
    heads: NDArray[Any],
    header: FlexibleHeader,
    plan: Arrangement,
    room: RoomLimits,
    about: tuple[str, tuple[str, ...]],
) -> KSpace:
    digest, notes = about
    samples = room.zeros(plan.shape)
    points = room.zeros((*plan.shape[:2], *plan.shape[3:]), np.bool_)
    repeats = Repeats(plan.shape)
    _put(table, plan.image, samples, points, (repeats, room))
    if repeats.averaged:
        notes = (*notes, f"{repeats.averaged} lines were sampled more than once and averaged")
    if header.zero_is_not_sampled:
        points = sampled_points(samples, room)
    calibration = None
    if plan.calibration is not None:
        calibration = room.zeros(plan.shape[1:])
        held = np.zeros((1, *points.shape[1:]), np.bool_)
        _put(table, plan.calibration, calibration[None], held, (Repeats(plan.shape), room))
    return KSpace(
        samples=samples,
        mask=without_constant_readout(points),
        geometry=plan.geometry,
        header=header.header,
        trajectory=Trajectory.CARTESIAN if plan.cartesian else _TRAJECTORIES.get(plan.encoding.trajectory, _OTHER),
        coordinates=None if plan.cartesian else _coordinates(table, heads, plan),
        noise=_noise(table, heads, plan),
        frame_meaning=plan.frame_meaning,
        source_digest=digest,
        calibration=calibration,
        repeat_disagreement=repeats.disagreement(),
        notes=notes,
    )


_OTHER = Trajectory.OTHER


def _pieces(table: Any, lines: Lines, coils: int) -> Iterator[tuple[Lines, Samples]]:
    """Yield lines of one kind with their samples (n, coils, samples), a bounded part of the file at a time."""
    longest = int(lines.kinds[:, 0].max()) * coils * 8
    step = min(max(1, CHUNK_BYTES // max(longest, 1)), _rows_at_once(table))
    # Neighbours in the file are read together; what lies between them and is not wanted is read and dropped.
    for begin in range(0, len(lines), step):
        part = lines.of(np.arange(begin, min(begin + step, len(lines))))
        for kind in np.unique(part.kinds, axis=0):
            same = part.of((part.kinds == kind).all(axis=1))
            total, before, after = (int(n) for n in kind)
            block = _values(table, "data", same.numbers, coils * total * 2).view(np.complex64)
            yield same, block.reshape(len(same), coils, total)[:, :, before : total - after]


def _rows_at_once(table: Any) -> int:
    """Return how many acquisitions may be read together.

    Their lengths are known only once they are read, and many may share one long list: none is longer than the file.
    """
    return max(_FEWEST_ROWS, _UNPACKED_BYTES // max(int(table.file.id.get_filesize()), 1))


def _values(table: Any, name: str, numbers: NDArray[np.int64], length: int) -> NDArray[np.float32]:
    """Return one of the varying-length fields of acquisitions as (n, length) float32."""
    first, last = int(numbers[0]), int(numbers[-1]) + 1
    rows = (table[first:last] if last - first <= 4 * len(numbers) else table[numbers])[name]
    if len(rows) != len(numbers):
        rows = rows[numbers - first]
    if any(len(row) != length for row in rows):
        raise Truncated(f"an acquisition does not hold the {length // 2} values that its header states")
    return np.ascontiguousarray(np.concatenate(list(rows)), dtype=np.float32).reshape(len(numbers), length)


def _put(
    table: Any, lines: Lines, samples: Samples, points: NDArray[np.bool_], with_: tuple[Repeats, RoomLimits]
) -> None:
    """Add lines into ``samples`` (frames, slices, coils, partitions, lines, readout) and divide by their number."""
    repeats, room = with_
    places = (*samples.shape[:2], *samples.shape[3:5])
    keys = np.ravel_multi_index((lines.frame, lines.slice_number, lines.partition, lines.line), places)
    # Counted by line; by sample only where a line came in pieces or was repeated in part.
    counts = room.zeros((*places, samples.shape[5] if _in_pieces(keys, lines) else 1), np.uint16)
    rank = times_before(keys.astype(np.int64))
    if int(rank.max()) >= np.iinfo(np.uint16).max:
        raise BadHeader("a line was sampled more than 65535 times")
    where = dict(zip(lines.numbers.tolist(), rank.tolist(), strict=True))
    for part, block in _pieces(table, lines, samples.shape[2]):
        turns = np.asarray([where[number] for number in part.numbers.tolist()])
        for turn in np.unique(turns):
            chosen = turns == turn
            for start in np.unique(part.start[chosen]):
                same = chosen & (part.start == start)
                _add(part.of(same), block[same], samples, points, (counts, repeats))
    several = np.argwhere((counts > 1).any(axis=-1))
    repeats.averaged = len(several)
    for batch in _batches(several):
        f, s, p, n = batch.T
        samples[f, s, :, p, n, :] /= np.maximum(counts[f, s, p, n], 1)[:, None, :].astype(np.float32)


def _in_pieces(keys: NDArray[np.int64], lines: Lines) -> bool:
    """Say whether acquisitions of one place fill different parts of its readout."""
    order = np.argsort(keys, kind="stable")
    part = np.column_stack([lines.start, lines.kinds[:, 0] - lines.kinds[:, 1] - lines.kinds[:, 2]])[order]
    again = keys[order][1:] == keys[order][:-1]
    return bool((again & (part[1:] != part[:-1]).any(axis=1)).any())


def _add(
    lines: Lines,
    block: Samples,
    samples: Samples,
    points: NDArray[np.bool_],
    seen: tuple[NDArray[np.uint16], Repeats],
) -> None:
    """Add lines of which no two have one place."""
    counts, repeats = seen
    f, s, p, n = lines.frame, lines.slice_number, lines.partition, lines.line
    span = slice(int(lines.start[0]), int(lines.start[0]) + block.shape[2])
    counted = span if counts.shape[-1] > 1 else slice(0, 1)
    before = counts[f, s, p, n, counted]
    # Only a whole repeat is compared: of others, parts have no mean or that of another number.
    whole = np.where(before.min(axis=1) == before.max(axis=1), before[:, 0], 0)
    repeats.compare(samples, lines, span, block, whole)
    if before.any():
        samples[f, s, :, p, n, span] += block
    else:  # the usual case: no need to read back what is 0
        samples[f, s, :, p, n, span] = block
    points[f, s, p, n, span] = True
    counts[f, s, p, n, counted] += 1


def _batches(places: NDArray[np.int64], size: int = 256) -> Iterator[NDArray[np.int64]]:
    for begin in range(0, len(places), size):
        yield places[begin : begin + size]


def _noise(table: Any, heads: NDArray[Any], plan: Arrangement) -> Samples | None:
    """Return the noise scan (coils, samples), scaled to the dwell time of the image's lines."""
    coils = plan.shape[2]
    found, held = [], 0
    image_dwell = float(heads["sample_time_us"][plan.image.numbers[0]])
    for number in plan.noise.tolist():
        head = heads[number]
        if int(head["active_channels"]) != coils or held >= MOST_NOISE_SAMPLES or not int(head["number_of_samples"]):
            continue
        total = int(head["number_of_samples"])
        block = _values(table, "data", np.array([number]), coils * total * 2).view(np.complex64).reshape(coils, total)
        dwell = float(head["sample_time_us"])
        # Noise power goes with the bandwidth, which is 1 / dwell time.
        scale = np.sqrt(dwell / image_dwell) if dwell > 0 and image_dwell > 0 else 1.0
        found.append(block * np.float32(scale))
        held += total
    return np.concatenate(found, axis=1) if found else None


def _coordinates(table: Any, heads: NDArray[Any], plan: Arrangement) -> NDArray[np.float32]:
    """Return (frames, slices or 1, lines, readout, 2) as (row, column) in cycles per field of view of the images.

    ISMRMRD fixes no unit: values within half a cycle per encoded voxel, or within half the encoded matrix, are
    understood; others are refused.
    """
    frames, slices, _, _, lines, readout = plan.shape
    out = np.zeros((frames, slices, lines, readout, 2), np.float32)
    total, before, after = (int(n) for n in plan.image.kinds[0])
    dimensions = heads["trajectory_dimensions"][plan.image.numbers].astype(np.int64)
    if len(np.unique(dimensions)) > 1:
        raise WrongTrajectory("readouts have coordinates of different dimension")
    depth = int(dimensions[0])
    try:
        numbers, step = plan.image.numbers, _rows_at_once(table)
        parts = [numbers[begin : begin + step] for begin in range(0, len(numbers), step)]
        values = np.concatenate([_values(table, "traj", part, total * depth) for part in parts])
    except Truncated as problem:
        raise WrongTrajectory(f"coordinates do not match the {total} samples of a readout") from problem
    points = values.reshape(len(values), total, depth)[:, before : total - after]
    if not np.isfinite(points).all():
        raise WrongTrajectory("coordinates are not finite")
    if depth > 2 and float(np.abs(points[..., 2:]).max()) > 0:
        raise WrongTrajectory("a trajectory in three dimensions is not read")
    out[plan.image.frame, plan.image.slice_number, plan.image.line] = _scaled(points, plan)
    same = bool((out == out[:, :1]).all())
    return out[:, :1] if same else out


def _scaled(points: NDArray[np.float32], plan: Arrangement) -> NDArray[np.float32]:
    x, y, _ = plan.encoding.encoded.matrix
    reach = float(np.abs(points[..., :2]).max())
    if reach <= 0.51:
        scale = np.array([y, x], np.float32)
    elif reach <= max(x, y) / 2 * 1.02 + 0.5:
        scale = np.ones(2, np.float32)
    else:
        raise WrongTrajectory(f"coordinates reach {reach:g}, outside an encoded matrix of {x} x {y}")
    wide, high, _ = plan.encoding.encoded.field_of_view_mm
    shown = (
        plan.geometry.spacing_mm()[1] * plan.geometry.shape[1],
        plan.geometry.spacing_mm()[2] * plan.geometry.shape[2],
    )
    return np.asarray(points[..., 1::-1] * scale * np.array([shown[0] / high, shown[1] / wide], np.float32))
