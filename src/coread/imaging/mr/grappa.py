"""GRAPPA: missing samples as weighted sums of their neighbours in all coils (Griswold 2002), CAIPIRINHA included.

The weights are learnt where all is sampled and hold wherever the same neighbours surround a missing sample. Here every
missing sample is asked which samples stand around it; samples with the same neighbours share one kernel. Regular
acceleration along one axis, along both with a shift (Breuer 2006), the gap beside a dense middle and the border of
k-space are then the same case. A random mask has as many kernels as samples: that is refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from coread.imaging.errors import BadSamples, NoCalibration
from coread.imaging.mr.blas import one_blas_thread
from coread.imaging.mr.calibration import calibration_region, centered_block
from coread.imaging.mr.encoding import Mask, check_samples
from coread.imaging.mr.fourier import Complex

Places = tuple[NDArray[np.intp], NDArray[np.intp]]
DEFAULT_WEIGHT = 1e-3
MOST_KERNELS = 1000
"""More different neighbourhoods than this are no regular pattern."""
_SIDES = 2
"""Sampled lines taken on each side of a missing line."""
_ACROSS = 2
"""Samples taken on each side along an axis that has no gaps (the readout)."""
_SOURCES = 6
"""Sampled neighbours wanted where both axes have gaps."""
_WIDEST = 128
"""Side of the middle that is learnt from: beyond it is more noise than signal."""
_AT_ONCE = 16384


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Offsets (along a, along b) of the samples that a missing sample is computed from."""

    offsets: tuple[tuple[int, int], ...]

    def reach(self) -> tuple[int, int, int, int]:
        """Return how far the offsets go up, down, left and right of the sample."""
        rows, columns = zip(*self.offsets, (0, 0), strict=True)
        return -min(rows), max(rows), -min(columns), max(columns)


def grappa(samples: Complex, mask: Mask, *, weight: float = DEFAULT_WEIGHT) -> Complex:
    """Return samples (coils, a, b) with those that mask (a, b) lacks filled in; measured samples stay as they are.

    ``weight`` of Tikhonov's penalty, relative to the mean energy of the neighbours. Samples without a measured one near
    them stay 0. Raises BadSamples for samples and masks that cannot be used and for patterns without regularity,
    NoCalibration where the fully sampled middle is too small for the neighbourhoods.
    """
    if not np.isfinite(weight) or weight < 0:
        raise ValueError(f"weight {weight} must be 0 or more")
    check_samples(samples, mask)
    if (mask == mask[:1]).all() and not mask.all():  # gaps along b alone: work on the transpose
        return np.swapaxes(grappa(np.swapaxes(samples, -1, -2), mask.T, weight=weight), -1, -2).copy()
    found = np.where(mask, samples, np.complex64(0)).astype(np.complex64, copy=False)
    filled = found.copy()
    if mask.all():
        return filled
    calibration = _calibration(found, mask)
    with one_blas_thread():
        for neighbours, places in neighbourhoods(mask, calibration.shape):
            kernel = learnt(calibration, neighbours, weight)
            fill(filled, found, kernel, neighbours, places)
    return filled


def neighbourhoods(mask: Mask, calibration: tuple[int, ...]) -> Iterator[tuple[Neighbours, Places]]:
    """Give each kind of neighbourhood of missing samples with the places (rows, columns) that it surrounds.

    ``calibration`` is the shape (coils, height, width) of what kernels are learnt from: a neighbourhood must fit in.
    """
    if (mask == mask[:, :1]).all():
        yield from _of_lines(mask[:, 0], mask.shape[1], calibration)
    else:
        yield from _of_points(mask)


def learnt(calibration: Complex, neighbours: Neighbours, weight: float) -> Complex:
    """Return the kernel (coils, neighbours x coils) that gives a sample from its neighbours, over all of calibration.

    Solves ``min |K S - T|^2 + weight mean|S|^2 |K|^2`` by the normal equations in double precision.
    """
    coils, height, width = calibration.shape
    up, down, left, right = neighbours.reach()
    rows, columns = height - up - down, width - left - right
    if rows < 1 or columns < 1:
        raise NoCalibration(
            f"a fully sampled middle of {height} x {width} is too small for gaps that need {up + down + 1} x "
            f"{left + right + 1}; acquire more middle lines or use wavelets"
        )
    wide = calibration.astype(np.complex128)
    sources = np.concatenate(
        [
            wide[:, up + r : up + r + rows, left + c : left + c + columns].reshape(coils, -1)
            for r, c in neighbours.offsets
        ]
    )
    targets = wide[:, up : up + rows, left : left + columns].reshape(coils, -1)
    energy = sources @ sources.conj().T
    energy[np.diag_indices_from(energy)] += max(weight, 1e-12) * energy.trace().real / len(energy)
    return np.linalg.solve(energy, sources @ targets.conj().T).conj().T.astype(np.complex64)


def fill(filled: Complex, found: Complex, kernel: Complex, neighbours: Neighbours, places: Places) -> None:
    """Write the samples at ``places`` of ``filled`` from the measured ones of ``found``, both (coils, a, b)."""
    up, down, left, right = neighbours.reach()
    room = np.pad(found, ((0, 0), (up, down), (left, right)))
    for start in range(0, len(places[0]), _AT_ONCE):
        rows, columns = (axis[start : start + _AT_ONCE] for axis in places)
        near = np.concatenate([room[:, rows + up + r, columns + left + c] for r, c in neighbours.offsets])
        filled[:, rows, columns] = kernel @ near


def _calibration(found: Complex, mask: Mask) -> Complex:
    region = calibration_region(mask)
    if region is None:
        raise NoCalibration("the centre of k-space was not sampled; GRAPPA learns its kernels there")
    height, width = (min(_WIDEST, part.stop - part.start) for part in region)
    rows, columns = centered_block(mask.shape, height, width)
    return found[:, rows, columns]


def _of_lines(sampled: Mask, width: int, calibration: tuple[int, ...]) -> Iterator[tuple[Neighbours, Places]]:
    """Missing lines by the distances of the sampled lines around them; all columns of a line are alike."""
    lines = np.flatnonzero(sampled)
    kinds: dict[tuple[int, ...], list[int]] = {}
    for line in np.flatnonzero(~sampled):
        before, after = lines[lines < line][-_SIDES:], lines[lines > line][:_SIDES]
        near = _fitting(tuple(int(k - line) for k in (*before, *after)), calibration)
        if near:
            kinds.setdefault(near, []).append(int(line))
    for near, members in kinds.items():
        rows, columns = np.meshgrid(np.array(members), np.arange(width), indexing="ij")
        across = range(-_ACROSS, _ACROSS + 1)
        yield Neighbours(tuple((r, c) for r in near for c in across)), (rows.ravel(), columns.ravel())


def _fitting(near: tuple[int, ...], calibration: tuple[int, ...]) -> tuple[int, ...]:
    """Return the nearest of the distances ``near`` of which kernels can be learnt: more equations than unknowns."""
    coils, height, width = calibration
    while len(near) > 1:
        span = max(*near, 0) - min(*near, 0)
        equations = max(height - span, 0) * (width - 2 * _ACROSS)
        if equations >= 2 * coils * len(near) * (2 * _ACROSS + 1):
            break
        near = tuple(k for k in near if k != max(near, key=abs))
    return near


def _of_points(mask: Mask) -> Iterator[tuple[Neighbours, Places]]:
    """Missing samples by the pattern of sampled ones in a window around them."""
    half = _window(mask)
    side = 2 * half + 1
    missing = np.nonzero(~mask)
    windows = sliding_window_view(np.pad(mask, half), (side, side))[missing].reshape(len(missing[0]), -1)
    patterns, kinds = np.unique(np.packbits(windows, axis=1), axis=0, return_inverse=True)
    if len(patterns) > MOST_KERNELS:
        raise BadSamples(
            f"{len(patterns)} different neighbourhoods: GRAPPA needs a regular pattern; use wavelets for random masks"
        )
    order = np.argsort(kinds.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(kinds.ravel(), minlength=len(patterns)))
    for pattern, members in zip(patterns, np.split(order, ends[:-1]), strict=True):
        around = np.unpackbits(pattern, count=side * side).reshape(side, side)
        offsets = tuple((int(r) - half, int(c) - half) for r, c in np.argwhere(around))
        if offsets:
            yield Neighbours(offsets), (missing[0][members], missing[1][members])


def _window(mask: Mask) -> int:
    """Return half the side of the smallest window that holds enough sampled points at the density of the periphery."""
    outside = mask.copy()
    region = calibration_region(mask)
    inside = 0
    if region is not None:
        inside = mask[region].size
        outside[region] = False
    density = max(int(np.count_nonzero(outside)), 1) / max(mask.size - inside, 1)
    half = 1
    while (2 * half + 1) ** 2 * density < _SOURCES:
        half += 1
    return half
