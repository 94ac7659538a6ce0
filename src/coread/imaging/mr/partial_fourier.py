"""Images from k-space that was sampled to a little beyond its centre on one side: homodyne detection and POCS.

An image without phase has conjugate symmetric k-space; a slowly varying phase is known from the symmetric middle. Both
methods take that phase as true: where it varies faster than the middle resolves, as at air and metal, signal is lost.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coread.imaging.errors import BadSamples
from coread.imaging.mr.fourier import Complex, to_image, to_samples

_ONE_SIDED = 0.9
"""One side reaches less far from the centre than this part of the other: lines at the edge may be missing for other
reasons (every second line is sampled), which is no partial Fourier acquisition."""
_GAPS = 2
"""The missing edge is wider than so many of the widest gap between lines: random sampling leaves edges out as well."""
_FAR_APART = 0.7
"""One side reaches less far than this part of the other, whatever the gaps."""
_LEAST_BEYOND = 4
"""Lines beyond the centre below which no phase can be told."""


class Reach(NamedTuple):
    """Which indices of an axis were sampled: ``first`` to ``stop`` - 1, perhaps with gaps between."""

    first: int
    stop: int


def one_sided(lines: NDArray[np.bool_]) -> Reach | None:
    """Return how far sampling reaches on either side of index N // 2 of ``lines`` (N,); None where both sides agree.

    An edge that is no wider than twice the widest gap between lines may be such a gap: seven eighths of k-space are not
    told from random sampling, three quarters are.
    """
    taken = np.flatnonzero(lines)
    if not taken.size:
        return None
    reach, center = Reach(int(taken[0]), int(taken[-1]) + 1), len(lines) // 2
    before, after = center - reach.first, reach.stop - 1 - center
    gap, less, more = int(np.diff(taken).max(initial=1)) - 1, min(before, after), max(before, after)
    cut_off = more - less > _GAPS * gap or less < _FAR_APART * more
    return reach if less < _ONE_SIDED * more - 1 and cut_off else None


def one_sided_axes(mask: NDArray[np.bool_]) -> tuple[tuple[int, Reach], ...]:
    """Return each axis (-2, -1) of mask (a, b) along which one side was left out, with how far sampling reaches.

    Axes where less than 4 lines beyond the centre are known, too few to tell the phase, are not among them.
    """
    found = ((axis, one_sided(np.asarray(mask.any(axis=-3 - axis)))) for axis in (-2, -1))
    return tuple(
        (axis, reach)
        for axis, reach in found
        if reach is not None and _beyond(mask.shape[axis], reach) >= _LEAST_BEYOND
    )


def completed(images: Complex, reaches: tuple[tuple[int, Reach], ...]) -> Complex:
    """Return images (…, a, b) whose k-space was made whole along the axes of ``one_sided_axes``, one after another.

    By projection: what was known within reach stays, the other side follows from it and the smooth phase.
    """
    for axis, reach in reaches:
        images = projected(to_samples(images), reach, axis)
    return images


def homodyne(samples: Complex, reach: Reach, axis: int = -2) -> Complex:
    """Return images of samples (…, a, b) that are known within ``reach`` of ``axis`` (-2 or -1) (Noll 1991).

    What was sampled on one side only counts twice, with a linear ramp through the symmetric middle; the phase of the
    middle is removed and the part that is then real is the image. It is given back its phase, so images of coils can
    be combined. Raises BadSamples where less than 4 lines beyond the centre are known.
    """
    ramp, window = _weights(samples.shape[axis], reach)
    phase = _unit(to_image(samples * _along(window, axis)))
    images = to_image(samples * _along(ramp, axis)) * phase.conj()
    return np.asarray(images.real * phase, dtype=np.complex64)


def projected(
    samples: Complex, reach: Reach, axis: int = -2, *, iterations: int = 20, tolerance: float = 1e-4
) -> Complex:
    """Return images of samples (…, a, b) known within ``reach`` of ``axis``, by projection onto convex sets.

    In turn the image gets the phase of the symmetric middle and k-space gets what was measured (Haacke 1991, J Magn
    Reson 92:126), at most ``iterations`` times or until an image changes by less than ``tolerance`` of its norm. What
    was measured stays as it is. Raises BadSamples as ``homodyne`` does.
    """
    _, window = _weights(samples.shape[axis], reach)
    known = np.zeros(samples.shape[axis], dtype=np.float32)
    known[reach.first : reach.stop] = 1
    measured, free = samples * _along(known, axis), _along(1 - known, axis)
    phase = _unit(to_image(samples * _along(window, axis)))
    images = to_image(measured)
    for _ in range(iterations):
        before = images
        images = to_image(measured + to_samples(np.abs(images) * phase) * free)
        if np.linalg.norm(images - before) <= tolerance * np.linalg.norm(images):
            break
    return images


def _weights(count: int, reach: Reach) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the ramp of homodyne detection and the window of the symmetric middle, both (count,)."""
    center = count // 2
    if not 0 <= reach.first < reach.stop <= count:
        raise BadSamples(f"lines {reach.first} to {reach.stop} of {count} are no part of k-space")
    beyond = _beyond(count, reach)
    if beyond < _LEAST_BEYOND:
        raise BadSamples(f"{max(beyond, 0)} lines beyond the centre of k-space are too few to tell the phase")
    distance = np.arange(count) - center
    away = -distance if center - reach.first > reach.stop - 1 - center else distance  # points to the longer side
    ramp = np.clip(1 + away / (beyond + 1), 0, 2)
    ramp[: reach.first], ramp[reach.stop :] = 0, 0
    window = np.where(np.abs(distance) <= beyond, 0.5 + 0.5 * np.cos(np.pi * distance / (beyond + 1)), 0)
    return ramp.astype(np.float32), window.astype(np.float32)


def _beyond(count: int, reach: Reach) -> int:
    return min(count // 2 - reach.first, reach.stop - 1 - count // 2)


def _along(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    return values[:, np.newaxis] if axis == -2 else values


def _unit(images: Complex) -> Complex:
    size = np.abs(images)
    return np.asarray(np.where(size > 0, images / np.where(size > 0, size, 1), 1), dtype=np.complex64)
