"""Images from undersampled samples of several coils with known sensitivities: CG-SENSE (Pruessmann 2001).

``SenseOperator`` is the encoding E = P F S: sensitivities, Fourier transform, sampling pattern. ``cg_sense`` minimises
|E x - y|^2 + weight |x|^2 by conjugate gradients on the normal equations.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.imaging.mr.fourier import Complex, to_image, to_samples


@dataclass(frozen=True, slots=True, eq=False)
class SenseOperator:
    """The encoding of an image (a, b) into samples (coils, a, b)."""

    maps: Complex
    """(coils, a, b)."""
    mask: NDArray[np.bool_]
    """(a, b)."""
    workers: int = 1
    """Threads of the Fourier transforms."""

    def __post_init__(self) -> None:
        if self.maps.ndim != 3 or self.mask.shape != self.maps.shape[1:]:
            raise ValueError(f"maps are (coils, a, b) and the mask is (a, b), got {self.maps.shape}, {self.mask.shape}")

    def forward(self, image: Complex) -> Complex:
        """Return the samples (coils, a, b) that the image (a, b) gives; 0 where nothing is sampled."""
        return to_samples(self.maps * image, workers=self.workers) * self.mask

    def adjoint(self, samples: Complex) -> Complex:
        """Return the image (a, b) of samples (coils, a, b), each coil weighted by its conjugate sensitivity."""
        images = to_image(samples * self.mask, workers=self.workers)
        return np.asarray(np.einsum("cab,cab->ab", self.maps.conj(), images), dtype=np.complex64)

    def normal(self, image: Complex) -> Complex:
        """Return adjoint(forward(image))."""
        return self.adjoint(self.forward(image))


def cg_sense(
    samples: Complex, mask: NDArray[np.bool_], maps: Complex, *, weight: float = 0.0, iterations: int = 30,
    tolerance: float = 1e-6, workers: int = 1,
) -> Complex:  # fmt: skip
    """Return the image (a, b) that explains samples (coils, a, b) taken where mask (a, b) says, with maps (coils, a, b).

    ``weight`` is relative to 1, the largest gain of the encoding with maps of norm 1. It stops after ``iterations`` or
    when the residual of the normal equations fell to ``tolerance`` of where it began. Raises ValueError for shapes
    that do not fit and for a weight below 0.
    """
    if samples.shape != maps.shape:
        raise ValueError(f"samples {samples.shape} and maps {maps.shape} must have one shape")
    if weight < 0 or iterations < 1:
        raise ValueError(f"weight {weight} must not be below 0, iterations {iterations} not below 1")
    operator = SenseOperator(maps, mask, workers)
    residual = operator.adjoint(samples)
    image = np.zeros_like(residual)
    direction = residual.copy()
    size = first = _energy(residual)
    for _ in range(iterations):
        if size <= tolerance * tolerance * first:
            break
        seen = operator.normal(direction) + np.float32(weight) * direction
        step = np.float32(size / float(np.vdot(direction, seen).real))
        image += step * direction
        residual -= step * seen
        before, size = size, _energy(residual)
        direction = residual + np.float32(size / before) * direction
    return image


def _energy(values: Complex) -> float:
    return float(np.vdot(values, values).real)
