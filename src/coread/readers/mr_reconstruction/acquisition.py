"""From an acquisition to planes that are reconstructed one by one, and from their images back to the image grid.

A plane is a slice of a 2D acquisition (lines x readout), or one place of the readout of a 3D one (partitions x lines).
Oversampling of the readout is removed first: half the work for the same image.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.kspace import KSpace
from coread.imaging.errors import BadSamples, WrongTrajectory
from coread.imaging.mr.coil_compression import compressed, compression_matrix
from coread.imaging.mr.files.room import RoomLimits
from coread.imaging.mr.fourier import to_image, to_samples
from coread.imaging.mr.image_grid import on_image_grid
from coread.imaging.mr.whitening import equalising_matrix

Complex = NDArray[np.complex64]
_OUTER = 0.85
"""Of the way from the centre to the furthest sample: beyond it noise outweighs the signal of most objects."""
_LOG_2 = float(np.log(2))


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """What is reconstructed. Samples keep the units of the raw data; their noise has equal strength in all coils."""

    samples: Complex
    """(planes, coils, a, b); the planes of frame 1, then those of frame 2."""
    mask: NDArray[np.bool_]
    """(planes, a, b)."""
    calibration: Complex | None
    """(planes, coils, a, b) of separate reference lines, 0 where not sampled."""
    noise: float
    """Standard deviation of the complex noise of a sample (root of the mean squared magnitude)."""
    noise_was_measured: bool
    """By a scan without excitation; otherwise taken from the outermost samples, where some signal is left, or from the
    quarter of samples that are smallest where none of those were taken."""
    kept_energy: float
    """Share of the energy of all coils that the combined ones hold; 1 where none were combined."""
    notes: tuple[str, ...] = ()
    coordinates: NDArray[np.float32] | None = None
    """(planes, a, b, 2) of samples along spokes; then a is spokes and b readout."""


def spokes_of(kspace: KSpace, most_coils: int, room: RoomLimits | None = None) -> Planes:
    """Return the planes of an acquisition along spokes, whitened, of at most so many virtual coils.

    Raises WrongTrajectory for stacks of them, and what ``planes_of`` raises.
    """
    if kspace.coordinates is None or kspace.samples.shape[3] > 1:
        raise WrongTrajectory("spokes of one plane are read, no stacks of them")
    matrix, notes = _whitening(kspace)
    frames, slices, _, _, spokes, readout = kspace.samples.shape
    coils = min(kspace.coils, most_coils)
    made = (room or RoomLimits()).zeros((frames * slices, coils, spokes, readout))
    masks = np.zeros((len(made), spokes, readout), dtype=np.bool_)
    way = np.zeros((*masks.shape, 2), dtype=np.float32)
    kept, total = 0.0, 0.0
    for number in range(frames * slices):
        frame, part = divmod(number, slices)
        block = np.tensordot(matrix, kspace.samples[frame, part, :, 0], axes=1).astype(np.complex64)
        made[number] = block if len(block) <= coils else compressed(block, coils)
        kept, total = kept + _energy(made[number]), total + _energy(block)
        given = kspace.mask[frame, part, 0]
        masks[number] = given[:, np.newaxis] if given.ndim == 1 else given
        way[number] = kspace.coordinates[frame, min(part, kspace.coordinates.shape[1] - 1)]
    radius = np.hypot(way[..., 0], way[..., 1])
    deviation, measured = _noise(kspace, matrix, made, masks, radius > _OUTER * radius.max())
    share = kept / total if total > 0 and kspace.coils > coils else 1.0
    return Planes(made, masks, None, deviation, measured, share, notes, way)


def planes_of(kspace: KSpace, most_coils: int, room: RoomLimits | None = None) -> Planes:
    """Return the planes of a Cartesian acquisition, whitened, without oversampling, of at most so many virtual coils.

    The frames of a slice share their virtual coils, those of its first frame: their samples are taken together later.
    Where points of the readout were left out (an asymmetric echo) its oversampling stays until the images are cut.
    Raises BadSamples for values that cannot be used, RawTooLarge where ``room`` does not hold the planes.
    """
    matrix, notes = _whitening(kspace)
    frames, slices, _, partitions, lines, readout = kspace.samples.shape
    columns = kspace.geometry.shape[2]
    places = columns if partitions > 1 else 1
    whole = kspace.mask.ndim == 4
    shape = (partitions, lines) if partitions > 1 else (lines, columns if whole else readout)
    coils = min(kspace.coils, most_coils)
    take = room or RoomLimits()
    made = take.zeros((frames * slices * places, coils, *shape))
    masks = np.zeros((len(made), *shape), dtype=np.bool_)
    reference = None if kspace.calibration is None else take.zeros(made.shape)
    kept, total = 0.0, 0.0
    combining: list[Complex] = []
    for number in range(frames * slices):
        frame, part = divmod(number, slices)
        block = np.tensordot(matrix, kspace.samples[frame, part], axes=1).astype(np.complex64)
        calibration = None if kspace.calibration is None else np.asarray(kspace.calibration[part])
        beside = None if calibration is None else np.tensordot(matrix, calibration, axes=1).astype(np.complex64)
        planes, pattern, extra = _cut(block, kspace.mask[frame, part], beside, columns if whole else None)
        for place in range(places):
            at = number * places + place
            if frame == 0:
                combining.append(_combining(planes[place], coils, None if extra is None else extra[place]))
            combine = combining[part * places + place]
            made[at] = np.tensordot(combine, planes[place], axes=1)
            kept, total = kept + _energy(made[at]), total + _energy(planes[place])
            masks[at] = pattern
            if reference is not None and extra is not None:
                reference[at] = np.tensordot(combine, extra[place], axes=1)
    deviation, measured = _noise(kspace, matrix, made, masks, _outermost(masks.shape))
    share = kept / total if total > 0 and kspace.coils > coils else 1.0
    return Planes(made, masks, reference, deviation, measured, share, notes)


def _cut(
    block: Complex, given: NDArray[np.bool_], beside: Complex | None, columns: int | None
) -> tuple[Complex, NDArray[np.bool_], Complex | None]:
    """Return the planes (places, coils, a, b) of samples (coils, partitions, lines, readout), and their one mask."""
    if block.shape[1] == 1:
        cut = block[:, 0] if columns is None else _without_oversampling(block[:, 0], columns)
        more = None
        if beside is not None:
            more = beside[:, 0] if columns is None else _without_oversampling(beside[:, 0], columns)
        pattern = given[0] if columns is None else np.broadcast_to(given[0][:, np.newaxis], cut.shape[1:])
        return cut[np.newaxis], pattern, None if more is None else more[np.newaxis]
    if columns is None:
        raise BadSamples("points of the readout were left out of a 3D acquisition: that is not read")
    hybrid = on_image_grid(to_image(block, axes=(-1,)), block.shape[-2], columns).transpose(3, 0, 1, 2)
    more = None
    if beside is not None:
        more = on_image_grid(to_image(beside, axes=(-1,)), beside.shape[-2], columns).transpose(3, 0, 1, 2)
    return hybrid, given, more


def _without_oversampling(samples: Complex, columns: int) -> Complex:
    """Return samples (coils, lines, columns) of the part of the readout that is shown; noise keeps its strength."""
    if samples.shape[-1] == columns:
        return samples
    hybrid = on_image_grid(to_image(samples, axes=(-1,)), samples.shape[-2], columns)
    return to_samples(np.ascontiguousarray(hybrid), axes=(-1,))


def _combining(samples: Complex, coils: int, beside: Complex | None) -> Complex:
    """Return the matrix (virtual coils, coils) that keeps most of samples (coils, a, b) and of reference lines."""
    if len(samples) <= coils:
        return np.eye(len(samples), dtype=np.complex64)
    return compression_matrix(samples if beside is None else np.concatenate([samples, beside], axis=2), coils)


def _energy(samples: Complex) -> float:
    return float(np.vdot(samples, samples).real)


def _whitening(kspace: KSpace) -> tuple[Complex, tuple[str, ...]]:
    """Return the matrix (coils, coils) that makes noise equal and uncorrelated and keeps its mean strength."""
    none = np.eye(kspace.coils, dtype=np.complex64)
    if kspace.noise is None:
        return none, ("no noise scan: coils were taken as equally noisy",)
    try:
        return equalising_matrix(kspace.noise), ()
    except BadSamples as problem:
        return none, (f"the noise scan was not used: {problem.reason.detail}",)


def _noise(
    kspace: KSpace, matrix: Complex, samples: Complex, masks: NDArray[np.bool_], outer: NDArray[np.bool_]
) -> tuple[float, bool]:
    if kspace.noise is not None and (matrix != np.eye(len(matrix))).any():
        white = matrix @ kspace.noise
        return float(np.sqrt(np.mean(np.square(np.abs(white))))), True
    pairs = list(zip(samples, masks, outer, strict=True))
    found = np.concatenate([np.abs(plane[:, mask & where]).ravel() for plane, mask, where in pairs])
    if not found.size:
        every = np.concatenate([np.abs(plane[:, mask]).ravel() for plane, mask, _ in pairs])
        found = np.sort(every)[: max(1, every.size // 4)]
    return float(np.sqrt(np.median(np.square(found)) / _LOG_2)), False


def _outermost(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return where samples (planes, a, b) lie near the edge of k-space."""
    rows, columns = (np.abs(np.arange(n) - n // 2) / max(n / 2, 1) for n in shape[1:])
    return np.broadcast_to(np.maximum(rows[:, np.newaxis], columns) > _OUTER, shape)


def assembled(planes: NDArray[np.float32], kspace: KSpace) -> NDArray[np.float32]:
    """Return images (frames, slices, rows, columns) on the grid of the acquisition from images (planes, a, b)."""
    slices, rows, columns = kspace.geometry.shape
    frames, stacks = kspace.samples.shape[:2]
    if kspace.samples.shape[3] > 1:
        blocks = planes.reshape(frames, stacks, columns, *planes.shape[1:]).transpose(0, 1, 3, 4, 2)
        volume = blocks.reshape(frames, slices, *blocks.shape[3:])
    else:
        volume = planes.reshape(frames, slices, *planes.shape[1:])
    return np.ascontiguousarray(on_image_grid(volume, rows, columns))
