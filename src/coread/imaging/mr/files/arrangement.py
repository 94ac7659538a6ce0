"""Where every acquisition of an ISMRMRD file belongs: decided from the fixed headers alone, before samples are read."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry
from coread.imaging.errors import (
    BadHeader,
    BadSamples,
    MixedEncodings,
    MixedGeometry,
    SeveralVolumes,
    WrongTrajectory,
)
from coread.imaging.mr.files.flexible_header import FlexibleHeader, RawEncoding
from coread.imaging.mr.files.layout import MOST_CHANNELS, NOT_IMAGE, Flag
from coread.imaging.mr.files.placing import (
    ASSUMED,
    directions_of,
    oversampled_partitions,
    placed,
    recon_grid,
    slice_order,
)

Counters = NDArray[np.int64]
FRAME_COUNTERS = ("contrast", "set", "repetition", "phase")
_APART = frozenset({"separate", "external"})
_SHIFT_MM = 0.5
"""Positions inside one slice may differ by so much (rounding); more is a slice that moved."""
_NOT_CARTESIAN = frozenset({"radial", "goldenangle", "spiral", "other"})


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Acquisitions of one purpose and where they go; arrays of one value for each, in the order of the file."""

    numbers: Counters
    """Index of the acquisition in the file."""
    frame: Counters
    slice_number: Counters
    partition: Counters
    line: Counters
    start: Counters
    """First sample of the readout that it fills."""
    kinds: Counters
    """(n, 3): samples, discarded before, discarded after."""

    def __len__(self) -> int:
        return len(self.numbers)

    def of(self, chosen: NDArray[Any]) -> "Lines":
        """Return some of them."""
        return Lines(
            self.numbers[chosen], self.frame[chosen], self.slice_number[chosen], self.partition[chosen],
            self.line[chosen], self.start[chosen], self.kinds[chosen],
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Arrangement:
    """Everything that is known before the samples are read."""

    encoding: RawEncoding
    shape: tuple[int, int, int, int, int, int]
    """Of the samples: frames, slices, coils, partitions, lines, readout."""
    image: Lines
    calibration: Lines | None
    noise: Counters
    geometry: Geometry
    frame_meaning: str
    notes: tuple[str, ...]

    @property
    def cartesian(self) -> bool:
        """Say whether lines lie on the encoded grid."""
        return self.encoding.trajectory == "cartesian"


def arranged(heads: NDArray[Any], header: FlexibleHeader, frame_of_reference_uid: str) -> Arrangement:
    """Decide where every acquisition goes; raises a refusal of imaging when they do not form one acquisition."""
    flags = heads["flags"]
    noise = _has(flags, Flag.IS_NOISE_MEASUREMENT)
    notes = []
    left_out = np.zeros(len(heads), np.bool_)
    for flag in NOT_IMAGE:
        marked = _has(flags, flag) & ~noise
        left_out |= marked
        if marked.any():
            notes.append(f"{int(marked.sum())} acquisitions left out: {flag.name.lower().replace('_', ' ')}")
    wanted = ~noise & ~left_out
    if not wanted.any():
        raise BadSamples("the file holds no line of an image")
    reference = wanted & _has(flags, Flag.IS_PARALLEL_CALIBRATION)
    reference &= ~_has(flags, Flag.IS_PARALLEL_CALIBRATION_AND_IMAGING)
    encoding = _encoding_of(heads[wanted & ~reference] if (wanted & ~reference).any() else heads[wanted], header)
    apart = reference & _are_apart(heads, encoding, header)
    image = np.flatnonzero(wanted & ~apart)
    if not len(image):
        raise BadSamples("the file holds reference lines only")
    _check_lines(heads[image], encoding)
    lines, shape, order, meaning = _image_lines(heads, image, encoding)
    calibration, told = _calibration_lines(heads, np.flatnonzero(apart), encoding, header, shape)
    geometry, assumed = _geometry(heads[image], encoding, order, frame_of_reference_uid)
    return Arrangement(
        encoding, shape, lines, calibration, np.flatnonzero(noise), geometry, meaning, (*notes, *told, *assumed)
    )


def _has(flags: NDArray[Any], flag: Flag) -> NDArray[np.bool_]:
    return np.asarray((flags & flag.bit) != 0)


def _encoding_of(heads: NDArray[Any], header: FlexibleHeader) -> RawEncoding:
    spaces = np.unique(heads["encoding_space_ref"])
    if len(spaces) > 1:
        raise MixedEncodings(f"lines of the image belong to {len(spaces)} encoding spaces")
    if int(spaces[0]) >= len(header.encodings):
        raise BadHeader(f"lines name encoding space {int(spaces[0])}, the header has {len(header.encodings)}")
    return header.encodings[int(spaces[0])]


def _are_apart(heads: NDArray[Any], encoding: RawEncoding, header: FlexibleHeader) -> NDArray[np.bool_]:
    """Say which reference lines were taken in a scan of their own."""
    if encoding.calibration_mode in _APART:
        return np.ones(len(heads), np.bool_)
    own = header.encodings.index(encoding)
    return np.asarray(heads["encoding_space_ref"] != own)


def _check_lines(heads: NDArray[Any], encoding: RawEncoding) -> None:
    """Refuse what one k-space cannot hold together."""
    channels = np.unique(heads["active_channels"])
    if len(channels) > 1:
        raise MixedEncodings("lines of the image have different numbers of coils")
    if not 1 <= int(channels[0]) <= MOST_CHANNELS:
        raise BadHeader(f"{int(channels[0])} coils; 1 to {MOST_CHANNELS} are possible")
    for name in ("position", "read_dir", "phase_dir", "slice_dir"):
        if not np.isfinite(heads[name]).all():
            raise BadHeader(f"{name} of a line is not finite")
    if encoding.trajectory == "epi":
        raise WrongTrajectory("echo-planar lines need a correction of their phase first; it is not done here")
    if encoding.trajectory != "cartesian" and encoding.trajectory not in _NOT_CARTESIAN:
        raise WrongTrajectory(f"trajectory {encoding.trajectory[:20]!r} is not one of ISMRMRD's")
    if _has(heads["flags"], Flag.IS_REVERSE).any():
        raise WrongTrajectory("lines were read in both directions and not corrected for it")


def _image_lines(
    heads: NDArray[Any], chosen: Counters, encoding: RawEncoding
) -> tuple[Lines, tuple[int, int, int, int, int, int], Counters, str]:
    """Return the lines, the shape of the samples, one head of each slice in order, and what the frames are."""
    mine = heads[chosen]
    counters = np.column_stack([mine["idx"][name].astype(np.int64) for name in FRAME_COUNTERS])
    several, frame = np.unique(counters, axis=0, return_inverse=True)
    meaning = " x ".join(n for n, column in zip(FRAME_COUNTERS, several.T, strict=True) if len(np.unique(column)) > 1)
    values, first, slice_number = np.unique(mine["idx"]["slice"], return_index=True, return_inverse=True)
    order = slice_order(mine["position"][first], directions_of(mine))
    place = np.empty(len(values), np.int64)
    place[order] = np.arange(len(values))
    slice_number = place[slice_number.reshape(-1)]
    frame = frame.reshape(-1).astype(np.int64)
    kinds = _kinds(mine)
    if encoding.trajectory == "cartesian":
        partition, line = _grid_places(mine, encoding)
        start = _starts(mine, kinds, encoding.encoded.matrix[0])
        x, y, z = encoding.encoded.matrix
        room = (z, y, x)
    else:
        partition, line, room = _in_order(mine, frame, slice_number, kinds, encoding)
        start = np.zeros(len(mine), np.int64)
    shape = (len(several), len(values), int(mine["active_channels"][0]), *room)
    return Lines(chosen, frame, slice_number, partition, line, start, kinds), shape, first[order], meaning


def _kinds(heads: NDArray[Any]) -> Counters:
    kinds = np.column_stack([heads[n].astype(np.int64) for n in ("number_of_samples", "discard_pre", "discard_post")])
    if int((kinds[:, 0] - kinds[:, 1] - kinds[:, 2]).min()) < 1:
        raise BadHeader("a line has no samples left after those to be discarded")
    return kinds


def _grid_places(heads: NDArray[Any], encoding: RawEncoding) -> tuple[Counters, Counters]:
    """Return partition and line in the encoded matrix; its centre is ``N // 2`` (MRD header, encodingLimits)."""
    found = []
    for axis, name, counter in (
        (2, "kspace_encoding_step_2", "kspace_encode_step_2"),
        (1, "kspace_encoding_step_1", "kspace_encode_step_1"),
    ):
        size = encoding.encoded.matrix[axis]
        limit = encoding.limits.get(name)
        index = heads["idx"][counter].astype(np.int64) + size // 2 - (limit.center if limit else size // 2)
        if int(index.min()) < 0 or int(index.max()) >= size:
            raise BadHeader(
                f"{counter} puts lines at {int(index.min())} to {int(index.max())} of an encoded matrix of {size}"
            )
        found.append(index)
    return found[0], found[1]


def _starts(heads: NDArray[Any], kinds: Counters, readout: int) -> Counters:
    """Return where each line begins in the encoded readout: whole lines at 0, others by their centre sample."""
    length = kinds[:, 0] - kinds[:, 1] - kinds[:, 2]
    start = readout // 2 - (heads["center_sample"].astype(np.int64) - kinds[:, 1])
    start[length == readout] = 0
    if int(start.min()) < 0 or int((start + length).max()) > readout:
        raise BadHeader(f"lines of {int(length.max())} samples do not fit an encoded readout of {readout}")
    return start


def _in_order(
    heads: NDArray[Any], frame: Counters, slice_number: Counters, kinds: Counters, encoding: RawEncoding
) -> tuple[Counters, Counters, tuple[int, int, int]]:
    """Return (partition, line) of readouts that lie on no grid: as they came, for each frame and slice."""
    if encoding.encoded.matrix[2] > 1 or heads["idx"]["kspace_encode_step_2"].any():
        raise WrongTrajectory("a trajectory in three dimensions is not read")
    if len(np.unique(kinds, axis=0)) > 1:
        raise MixedEncodings("readouts have different numbers of samples")
    if int(heads["trajectory_dimensions"].min()) < 2:
        raise WrongTrajectory(f"{encoding.trajectory} readouts come without their coordinates")
    line = times_before(frame * (int(slice_number.max()) + 1) + slice_number)
    samples = int(kinds[0, 0] - kinds[0, 1] - kinds[0, 2])
    return np.zeros(len(line), np.int64), line, (1, int(line.max()) + 1, samples)


def times_before(keys: Counters) -> Counters:
    """Return for each element how often its value came before it."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    first = np.r_[True, ordered[1:] != ordered[:-1]]
    begin = np.maximum.accumulate(np.where(first, np.arange(len(keys)), 0))
    counts = np.empty(len(keys), np.int64)
    counts[order] = np.arange(len(keys)) - begin
    return counts


def _calibration_lines(
    heads: NDArray[Any], chosen: Counters, encoding: RawEncoding, header: FlexibleHeader, shape: tuple[int, ...]
) -> tuple[Lines | None, tuple[str, ...]]:
    """Return reference lines of a scan of their own, laid onto the image's k-space by its centre."""
    if not len(chosen):
        return None, ()
    mine = heads[chosen]
    told = f"{len(chosen)} reference lines of a scan of their own"
    try:
        own = _encoding_of(mine, header)
        _check_lines(mine, own)
        if encoding.trajectory != "cartesian" or own.trajectory != "cartesian":
            raise MixedEncodings("not Cartesian")
        if int(mine["active_channels"][0]) != shape[2] or len(np.unique(mine["idx"]["slice"])) != shape[1]:
            raise MixedEncodings("coils or slices differ")
        for one, other in zip(own.encoded.field_of_view_mm, encoding.encoded.field_of_view_mm, strict=True):
            if abs(one - other) > 0.01 * other:
                raise MixedEncodings("the fields of view differ")
        partition, line = _grid_places(mine, own)
        kinds = _kinds(mine)
        start = _starts(mine, kinds, own.encoded.matrix[0])
    except (MixedEncodings, BadHeader, WrongTrajectory) as problem:
        return None, (f"{told} left out: {problem.reason.detail}",)
    x, y, z = (big // 2 - n // 2 for big, n in zip(encoding.encoded.matrix, own.encoded.matrix, strict=True))
    if min(x, y, z) < 0:
        return None, (f"{told} left out: their matrix is larger than the image's",)
    values, first, number = np.unique(mine["idx"]["slice"], return_index=True, return_inverse=True)
    order = slice_order(mine["position"][first], directions_of(mine))
    place = np.empty(len(values), np.int64)
    place[order] = np.arange(len(values))
    none = np.zeros(len(mine), np.int64)
    lines = Lines(chosen, none, place[number.reshape(-1)], partition + z, line + y, start + x, kinds)
    return lines, (f"{told}: for coil sensitivities only",)


def _geometry(
    heads: NDArray[Any], encoding: RawEncoding, order: Counters, frame_of_reference_uid: str
) -> tuple[Geometry, tuple[str, ...]]:
    slices, partitions = len(order), encoding.encoded.matrix[2]
    if slices > 1 and partitions > 1:
        raise SeveralVolumes(f"{slices} slabs of {partitions} partitions; one slab is read at a time")
    directions = directions_of(heads)
    grid = recon_grid(encoding.encoded, encoding.recon, slices)
    centres = heads["position"][order].astype(np.float64)
    if directions is not None:
        where = dict(zip(heads["idx"]["slice"][order].tolist(), centres, strict=True))
        own = np.asarray([where[number] for number in heads["idx"]["slice"].tolist()])
        if float(np.abs(heads["position"] - own).max()) > _SHIFT_MM:
            raise MixedGeometry("lines of one slice were taken at different positions")
    geometry = placed(grid, directions, centres, partitions, frame_of_reference_uid)
    outside = oversampled_partitions(encoding.encoded, encoding.recon)
    told = (f"{outside} partitions outside of the field of view (slice oversampling) are shown",) if outside else ()
    return geometry, told if directions is not None else (*told, ASSUMED)
