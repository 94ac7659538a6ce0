"""Whether raw samples can be trusted: what is broken is left out and said, or refused with a coded reason.

Nothing is mended: a coil or a line that is broken is dropped, never replaced by a guess. Rules and their numbers:

- a coil without signal: no energy at all, or as much in the middle of k-space as outside while others have far more;
- a line that is not finite in one coil is dropped in all; a coil that is not finite in most lines is dropped instead;
- a spike: one sample far above all of its neighbours along and across the lines (a true signal never stands alone,
  because the object is smaller than the field of view); a line far above, or far below, its neighbours;
- lines that were sampled twice and disagree near the centre, where noise is small against the signal.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from coread.domain.kspace import KSpace, Samples, Trajectory
from coread.imaging.errors import BadSamples, CorruptLines, MotionSuspected, NoCalibration, RawTooLarge, TooFewCoils
from coread.imaging.mr.calibration import calibration_region
from coread.imaging.mr.files.room import RoomLimits

Line = tuple[int, int, int, int]
"""(frame, slice, partition, line)"""
_DEAD_BELOW = 1e-4
"""Energy in the middle against that of the median coil: 40 dB less."""
_FLAT = 3.0
_PEAKED = 30.0
"""A coil whose middle holds less than 3 times the energy of the outside, while the median coil's holds 30 times."""
_SPIKE = 8.0
"""Magnitude of a sample against the largest of its neighbours."""
_LOUD, _QUIET = 30.0, 1e-3
"""Energy of a line against its loudest, and its quietest, neighbour."""
_NEAR = 8
"""Within so many samples and lines of the centre nothing is called a spike: the signal itself is one there."""
_AT_ONCE = 1 << 22
"""Samples of one coil that are looked at together."""


@dataclass(frozen=True, slots=True)
class CheckLimits:
    """What a reconstruction can do without."""

    min_coils: int = 1
    min_calibration: int = 8
    """Samples without a gap around the centre, along each axis that is undersampled; counts for several coils only."""
    most_bad_lines: float = 0.05
    """Share of the lines of one image that may be dropped."""
    most_disagreement: float = 0.2
    """Of repeated lines near the centre (``KSpace.repeat_disagreement``): about what a shift by two voxels makes."""
    room: RoomLimits = field(default_factory=RoomLimits)


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """Samples that may be reconstructed, and what was left out of them."""

    kspace: KSpace
    notes: tuple[str, ...]
    dropped_coils: tuple[int, ...] = ()
    dropped_lines: tuple[Line, ...] = ()


def checked(kspace: KSpace, limits: CheckLimits | None = None) -> Checked:
    """Check an acquisition; raises a refusal of imaging (``reason`` is coded) when it cannot be reconstructed."""
    bounds = limits or CheckLimits()
    if kspace.samples.nbytes > bounds.room.most_bytes:
        raise RawTooLarge(f"{kspace.samples.nbytes / 2**30:.1f} GiB of samples")
    if not kspace.mask.any():
        raise BadSamples("nothing was sampled")
    disagreement = kspace.repeat_disagreement
    if disagreement is not None and disagreement > bounds.most_disagreement:
        raise MotionSuspected(f"they differ by {100 * disagreement:.0f} % of the signal")
    dead = dead_coils(kspace)
    if kspace.coils - len(dead) < max(1, bounds.min_coils):
        alive, needed = kspace.coils - len(dead), max(1, bounds.min_coils)
        raise TooFewCoils(f"{alive} of {kspace.coils} coils received a signal, {needed} are needed")
    bad = _bad_lines(kspace, dead, bounds)
    cleaned = _without(kspace, dead, bad, bounds.room)
    _check_calibration(cleaned, bounds)
    return Checked(cleaned, _notes(kspace, dead, bad), dead, bad)


def dead_coils(kspace: KSpace) -> tuple[int, ...]:
    """Return the coils that received no signal, or values that are not numbers in most of their lines."""
    middle, outside, finite = _coil_energies(kspace)
    broken = finite < 0.5
    healthy = ~broken & (middle > 0)
    if not healthy.any():
        return tuple(range(kspace.coils))
    typical = float(np.median(middle[healthy]))
    peaked = middle / np.maximum(outside, np.finfo(np.float64).tiny)
    flat = (peaked < _FLAT) & (float(np.median(peaked[healthy])) > _PEAKED)
    dead = broken | (middle <= 0) | (middle < _DEAD_BELOW * typical) | flat
    return tuple(int(coil) for coil in np.flatnonzero(dead))


def _coil_energies(kspace: KSpace) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return for each coil: mean energy of the samples in the middle, outside, and the share of finite lines."""
    totals = np.zeros((2, kspace.coils))
    counts = np.zeros(2)
    finite = np.zeros(kspace.coils)
    lines = 0
    for where, samples, points in _images(kspace):
        inner = _inner(kspace, where)
        regions = (points & inner, points & ~inner)
        counts += [int(region.sum()) for region in regions]
        sampled = points.any(axis=-1)
        lines += int(sampled.sum())
        for coil, values in enumerate(samples):  # one coil at a time: a volume of all coils may not fit into memory
            good = np.isfinite(values)
            energy = np.where(good, np.abs(np.where(good, values, 0)) ** 2, 0)
            finite[coil] += int((good.all(axis=-1) & sampled).sum())
            totals[:, coil] += [float(energy[region].sum(dtype=np.float64)) for region in regions]
    return totals[0] / max(counts[0], 1), totals[1] / max(counts[1], 1), finite / max(lines, 1)


def _images(kspace: KSpace) -> Iterator[tuple[tuple[int, int], Samples, NDArray[np.bool_]]]:
    """Yield each (frame, slice) with its samples (coils, partitions, lines, readout) and where they were taken."""
    frames, slices = kspace.samples.shape[:2]
    for frame in range(frames):
        for number in range(slices):
            yield (frame, number), np.asarray(kspace.samples[frame, number]), _points(kspace, frame, number)


def _points(kspace: KSpace, frame: int, number: int) -> NDArray[np.bool_]:
    given = kspace.mask[frame, number]
    shape = kspace.samples.shape[3:]
    return np.broadcast_to(given if given.ndim == 3 else given[..., None], shape)


def _inner(kspace: KSpace, where: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the middle sixth to either side of k-space, (partitions, lines, readout)."""
    _, _, _, partitions, lines, readout = kspace.samples.shape
    if kspace.coordinates is not None:
        way = kspace.coordinates[where[0], min(where[1], kspace.coordinates.shape[1] - 1)]
        radius = np.hypot(way[..., 0], way[..., 1])
        return np.asarray(radius <= float(radius.max()) / 6)[None]
    axes = [np.abs(np.arange(n) - n // 2) <= max(1, n // 6) for n in (partitions, lines, readout)]
    return np.asarray(axes[0][:, None, None] & axes[1][:, None] & axes[2])


def _bad_lines(kspace: KSpace, dead: tuple[int, ...], bounds: CheckLimits) -> tuple[Line, ...]:
    alive = [coil for coil in range(kspace.coils) if coil not in dead]
    found: list[Line] = []
    step = max(1, _AT_ONCE // (kspace.samples.shape[4] * kspace.samples.shape[5]))
    for (frame, number), samples, points in _images(kspace):
        parts = [slice(start, start + step) for start in range(0, samples.shape[1], step)]
        sampled = np.asarray(points.any(axis=-1))
        broken = np.concatenate([_broken(samples[:, part], points[part], alive, kspace.trajectory) for part in parts])
        share = int(broken.sum()) / max(int(sampled.sum()), 1)
        if share > bounds.most_bad_lines:
            raise CorruptLines(f"{int(broken.sum())} of {int(sampled.sum())} lines of slice {number + 1}")
        found += [(frame, number, int(p), int(n)) for p, n in np.argwhere(broken)]
    return tuple(found)


def _broken(samples: Samples, points: NDArray[np.bool_], alive: list[int], trajectory: Trajectory) -> NDArray[np.bool_]:
    """Return the lines (partitions, lines) of some partitions that cannot be used."""
    power = np.zeros(points.shape)
    for coil in alive:
        power += np.abs(samples[coil].astype(np.complex128)) ** 2
    sampled = np.asarray(points.any(axis=-1))
    broken = np.asarray(sampled & ~np.isfinite(np.where(points, power, 0)).all(axis=-1))
    if trajectory is Trajectory.CARTESIAN:
        whole = np.where(points & ~broken[..., None], power, 0)
        broken |= sampled & ~broken & (_spiky(whole) | _out_of_line(whole, sampled & ~broken))
    return broken


def _spiky(power: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the lines (partitions, lines) that hold a sample far above all of its neighbours.

    Neighbours are the samples 2 to 5 away along the line, and within 2 on the two lines to either side; where those
    were not sampled, the line alone decides.
    """
    _, lines, readout = power.shape
    if readout < 16:
        return np.zeros(power.shape[:2], np.bool_)
    around = np.zeros_like(power)
    for step in (2, 3, 4, 5):
        for sign in (-step, step):
            np.maximum(around, np.roll(power, sign, axis=2), out=around)
    wide = power
    for sign in (-2, -1, 1, 2):
        wide = np.maximum(wide, np.roll(power, sign, axis=2))
    for step in (1, 2):
        if lines > 2 * step:
            np.maximum(around, np.roll(wide, step, axis=1), out=around)
            np.maximum(around, np.roll(wide, -step, axis=1), out=around)
    level = np.median(power[power > 0]) if (power > 0).any() else 0.0
    spikes = power > _SPIKE**2 * np.maximum(around, level)
    near_line = np.abs(np.arange(lines) - lines // 2) <= _NEAR
    near_sample = np.abs(np.arange(readout) - readout // 2) <= _NEAR
    return np.asarray((spikes & ~(near_line[:, None] & near_sample)).any(axis=-1))


def _out_of_line(power: NDArray[np.float64], sampled: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the lines whose energy is far above, or far below, that of the two sampled lines to either side.

    Below counts in the middle quarter only, where there is always a signal; above outside the very centre.
    """
    energy = power.sum(axis=-1)
    found = np.zeros(sampled.shape, np.bool_)
    lines = sampled.shape[1]
    for partition in range(sampled.shape[0]):
        places = np.flatnonzero(sampled[partition])
        if len(places) < 8:
            continue
        values = energy[partition, places]
        padded = np.pad(values, 2, mode="edge")
        beside = np.stack([padded[2 + step : 2 + step + len(values)] for step in (-2, -1, 1, 2)])
        away = np.abs(places - lines // 2)
        loud = (values > _LOUD * beside.max(axis=0)) & (away > _NEAR)
        quiet = (values < _QUIET * beside.min(axis=0)) & (away <= lines // 8)
        edge = (np.arange(len(values)) < 2) | (np.arange(len(values)) >= len(values) - 2)
        found[partition, places] = (loud | quiet) & ~edge
    return found


def _without(kspace: KSpace, dead: tuple[int, ...], bad: tuple[Line, ...], room: RoomLimits) -> KSpace:
    """Return the acquisition without some coils and lines; the given one stays as it is."""
    if not dead and not bad:
        return kspace
    alive = np.array([coil for coil in range(kspace.coils) if coil not in dead])
    shape = kspace.samples.shape
    samples = room.zeros((*shape[:2], len(alive), *shape[3:]))
    for frame in range(shape[0]):
        for number in range(shape[1]):
            for place, coil in enumerate(alive):
                samples[frame, number, place] = kspace.samples[frame, number, coil]
    mask = kspace.mask.copy()
    for frame, number, partition, line in bad:
        samples[frame, number, :, partition, line] = 0
        mask[frame, number, partition, line] = False
    names = kspace.header.coil_names
    kept = tuple(names[coil] for coil in alive) if len(names) == kspace.coils else names
    return replace(
        kspace,
        samples=samples,
        mask=mask,
        header=replace(kspace.header, coil_names=kept),
        noise=None if kspace.noise is None else kspace.noise[alive],
        calibration=None if kspace.calibration is None else kspace.calibration[:, alive],
    )


def _check_calibration(kspace: KSpace, bounds: CheckLimits) -> None:
    """Several coils with gaps between their lines need a middle without gaps, or reference lines."""
    if kspace.coils == 1 or kspace.calibration is not None or kspace.trajectory is not Trajectory.CARTESIAN:
        return
    for number in range(kspace.samples.shape[1]):
        points = np.zeros(kspace.samples.shape[3:], np.bool_)
        for frame in range(kspace.frames):
            points |= _points(kspace, frame, number)
        plane = np.asarray(points.any(axis=-1) if kspace.samples.shape[3] > 1 else points[0])
        if plane.all():
            continue
        region = calibration_region(plane)
        size: list[int] = [0, 0] if region is None else [part.stop - part.start for part in region]
        needed: list[int] = [min(bounds.min_calibration, n) for n in plane.shape]
        if any(have < need for have, need in zip(size, needed, strict=True)):
            raise NoCalibration(
                f"{size[0]} x {size[1]} samples around the centre, {needed[0]} x {needed[1]} are needed"
            )


def _notes(kspace: KSpace, dead: tuple[int, ...], bad: tuple[Line, ...]) -> tuple[str, ...]:
    notes = list(kspace.notes)
    if dead:
        notes.append(f"coils without signal left out: {', '.join(str(coil + 1) for coil in dead)} of {kspace.coils}")
    if bad:
        notes.append(f"{len(bad)} corrupt lines left out")
    if kspace.repeat_disagreement is not None:
        notes.append(f"repeated lines differ by {100 * kspace.repeat_disagreement:.1f} % of the signal near the centre")
    return tuple(notes)
