"""The learned reconstruction of one slice from undersampled samples, over the package's ONNX graphs.

Two graphs hold the same network: ``lines`` for masks that take or leave whole lines, ``points`` for all others. Fourier
transforms are inside the graphs; this file finds the calibration block and brings values to the network's scale.
"""

from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from coread.domain.reading import ModelSession
from coread.imaging.errors import BadSamples, NoCalibration
from coread.imaging.mr.learned_inputs import MOST_LINES, scale_of, tapered_block

Complex = NDArray[np.complex64]
Mask = NDArray[np.bool_]
Kind = TypeVar("Kind", Complex, Mask)
LINES, POINTS = "lines", "points"
SAMPLES, MASK, BLOCK = "samples", "mask", "block"
IMAGE, MAPS = "image", "maps"
_LEAST = 2
"""Lines of the calibration block along each axis, at least."""
MIRRORS: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (0, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Reconstructed:
    """An image (a, b) and the sensitivities (coils, a, b), of which the sum of squares is 1."""

    image: Complex
    maps: Complex


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """The mean over mirrored acquisitions, and how far they are apart."""

    image: Complex
    """(a, b)."""
    spread: NDArray[np.float32]
    """(a, b), the standard deviation of the magnitudes: what the network, not the data, decided."""


def reconstruct(session: ModelSession, samples: Complex, mask: Mask) -> Complex:
    """Return the image (a, b) of whitened samples (coils, a, b), zero where mask (a, b) is False.

    Values have the scale of the orthonormal transform of the samples; the phase is that of the combined coils. Raises
    BadSamples for samples that are not finite or do not fit the mask, NoCalibration when the middle of k-space was not
    sampled fully or holds no signal.
    """
    return reconstruct_with_maps(session, samples, mask).image


def reconstruct_with_maps(session: ModelSession, samples: Complex, mask: Mask) -> Reconstructed:
    """Return the same with the sensitivities that the network found; image times maps are the images of the coils."""
    _check(samples, mask)
    lines = bool((mask == mask[:, :1]).all())
    if not lines and (mask == mask[:1]).all():  # whole lines along the other axis
        turned = np.ascontiguousarray(samples.swapaxes(1, 2))
        found = reconstruct_with_maps(session, turned, np.ascontiguousarray(mask.T))
        return Reconstructed(np.ascontiguousarray(found.image.T), np.ascontiguousarray(found.maps.swapaxes(1, 2)))
    block = tapered_block(samples, mask, (MOST_LINES, MOST_LINES))
    if block is None or min(block.shape[1:]) < _LEAST:
        raise NoCalibration(
            "The middle of k-space was not sampled fully, so coil sensitivities cannot be found. Use a method that is "
            "given sensitivities, or acquire calibration lines."
        )
    scale = scale_of(block, (mask.shape[0], mask.shape[1]))
    if not scale > 0:
        raise NoCalibration("The middle of k-space holds no signal at all. Check that the coils were connected.")
    taken = np.ascontiguousarray(mask[:, 0] if lines else mask)
    given = {SAMPLES: _pairs(samples * mask / scale), MASK: taken, BLOCK: _pairs(block / scale)}
    made = session.run(LINES if lines else POINTS, given)
    image, maps = made[IMAGE], made[MAPS]
    return Reconstructed(
        np.asarray((image[0] + 1j * image[1]) * scale, dtype=np.complex64),
        np.asarray(maps[:, 0] + 1j * maps[:, 1], dtype=np.complex64),
    )


def estimate(session: ModelSession, samples: Complex, mask: Mask, mirrors: int = len(MIRRORS)) -> Estimate:
    """Return mean and spread over so many mirror images of the acquisition (at least 2, at most 4).

    The physics is the same in a mirror and the network was taught on mirrored heads, so what differs was not measured.
    """
    if not 2 <= mirrors <= len(MIRRORS):
        raise ValueError(f"between 2 and {len(MIRRORS)} mirrors, not {mirrors}")
    images = [
        mirrored(reconstruct(session, mirrored(samples, axes), mirrored(mask, axes)), axes)
        for axes in MIRRORS[:mirrors]
    ]
    stacked = np.stack(images)
    return Estimate(
        np.asarray(stacked.mean(axis=0), dtype=np.complex64), np.asarray(np.abs(stacked).std(axis=0), dtype=np.float32)
    )


def mirrored(values: Kind, axes: tuple[int, ...]) -> Kind:
    """Mirror the last two axes (numbered 0 and 1) around the centre ``N // 2``, in k-space as in the image."""
    turned: NDArray[Any] = values
    for axis in axes:
        at = axis - 2
        turned = np.roll(np.flip(turned, at), 1 - turned.shape[at] % 2, at)
    return cast(Kind, np.ascontiguousarray(turned))


def _check(samples: Complex, mask: Mask) -> None:
    if samples.ndim != 3 or samples.shape[1:] != mask.shape or 0 in samples.shape:
        raise BadSamples(f"Samples {samples.shape} are not (coils, a, b) of a mask {mask.shape}.")
    if not np.isfinite(samples).all():
        raise BadSamples("Samples hold values that are no numbers. Leave the corrupt lines out of the mask.")


def _pairs(values: Complex) -> NDArray[np.float32]:
    return np.stack((values.real, values.imag), axis=1).astype(np.float32)
