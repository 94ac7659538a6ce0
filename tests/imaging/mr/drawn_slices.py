"""Slices whose k-space is drawn with known truth: ellipses, a smooth phase, loops around, white noise. Simulated."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.imaging.mr.simulate import Scanner, simulated

Complex = NDArray[np.complex64]
_ELLIPSES = (
    (0.0, 0.0, 0.85, 0.7, 1.0), (0.0, 0.0, 0.78, 0.63, -0.6), (0.2, 0.2, 0.2, 0.12, 0.3),
    (-0.3, -0.1, 0.15, 0.2, 0.25), (0.4, -0.3, 0.1, 0.1, 0.4), (-0.5, 0.3, 0.05, 0.05, 0.5),
)  # fmt: skip
"""Centre and half axes (rows, columns) in halves of the field of view, and what is added inside."""


@dataclass(frozen=True)
class DrawnSlice:
    samples: Complex
    """(coils, a, b), 0 where not sampled."""
    mask: NDArray[np.bool_]
    """(a, b)."""
    image: Complex
    """(a, b), the truth."""
    maps: Complex
    """(coils, a, b), true sensitivities."""
    inside: NDArray[np.bool_]
    """(a, b): where the object is."""


def ellipses(shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return a magnitude image of ellipses."""
    rows, columns = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    image = np.zeros(shape, dtype=np.float32)
    for row, column, height, width, value in _ELLIPSES:
        image += np.float32(value) * (((rows - row) / height) ** 2 + ((columns - column) / width) ** 2 < 1)
    return np.maximum(image, 0)


def drawn_slice(
    coils: int = 8, shape: tuple[int, int] = (112, 96), every: int = 3, middle: int = 20, noise_ratio: float = 100.0
) -> DrawnSlice:
    """Return a slice of which every ``every``-th line and ``middle`` lines around the centre are sampled."""
    made = simulated(ellipses(shape), Scanner(coils=coils, signal_to_noise=noise_ratio, phase_radians=0.6), 7)
    mask = np.zeros(shape, dtype=bool)
    mask[::every] = True
    top = shape[0] // 2 - middle // 2
    mask[top : top + middle] = True
    return DrawnSlice(made.samples * mask, mask, made.image, made.maps, ellipses(shape) > 0)


def difference(found: NDArray[np.number], expected: NDArray[np.number]) -> float:
    """Return the root mean square difference as a part of the root mean square of what is expected."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
