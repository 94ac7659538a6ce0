"""What is reconstructed together, by either method: a plane on a grid, a plane along spokes, a plane over time.

All give images (frames, a, b), can be given fewer samples, and can be given more to have seen: the encoding is linear.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from coread.domain.reading import ModelSession
from coread.imaging.mr.combine import combined, root_sum_of_squares
from coread.imaging.mr.covering_maps import covering_maps
from coread.imaging.mr.dynamic import low_rank_plus_sparse
from coread.imaging.mr.fourier import to_image, to_samples
from coread.imaging.mr.nufft import planned
from coread.imaging.mr.partial_fourier import Reach, completed, one_sided_axes
from coread.imaging.mr.radial import cg_radial, gridded, pipe_menon
from coread.imaging.mr.wavelet import l1_wavelet
from coread.readers.mr_reconstruction import learned
from coread.readers.mr_reconstruction.left_out import left_out, left_out_spokes

Complex = NDArray[np.complex64]
Mask = NDArray[np.bool_]
Image = NDArray[np.float32]
WHOLE, CLASSICAL, LEARNED, SERIES, SPOKES = (
    *("fully sampled", "l1-wavelet", "learned", "low-rank and sparse", "radial SENSE"),
)
_CALIBRATION = 24


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """Images with the sensitivities that explain the samples with them."""

    images: Complex
    """(frames, a, b)"""
    maps: Complex
    """(coils, a, b)"""

    def magnitudes(self) -> Image:
        """Return the images (frames, a, b) without their phase."""
        return np.asarray(np.abs(self.images), dtype=np.float32)


class Problem(Protocol):
    """What one reconstruction is given."""

    @property
    def maps(self) -> Complex:
        """Sensitivities (coils, a, b) from the middle of k-space; 0 outside of the object."""
        ...

    @property
    def mask(self) -> Mask:
        """Where samples were taken."""
        ...

    @property
    def samples(self) -> Complex:
        """(frames, coils, …), 0 where nothing was taken."""
        ...

    def made(self, session: ModelSession, method: str) -> Made:
        """Reconstruct; raises ImagingRefused for what a method cannot use."""
        ...

    def zero_filled(self) -> Image:
        """Return magnitude images (frames, a, b) as if what was not sampled were 0."""
        ...

    def fewer(self, share: float, number: int) -> "Problem":
        """Return the problem without a random share of what may be left out; the same for the same ``number``."""
        ...

    def with_added(self, image: Complex) -> "Problem":
        """Return the problem as if ``image`` (a, b) had been in the scanner as well, in every frame."""
        ...

    def predicted(self, made: Made) -> Complex:
        """Return what would be measured of images, in the shape of ``samples``."""
        ...

    def backprojected(self, samples: Complex) -> Complex:
        """Return the image (a, b) of the first frame of samples in the shape of ``samples``, as if others were 0."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """A plane on a grid: samples (frames, coils, a, b), mask (frames, a, b)."""

    samples: Complex
    mask: Mask
    maps: Complex
    reaches: tuple[tuple[int, Reach], ...] = ()
    """Axes of which one side was left out: classical images are completed there."""

    def made(self, session: ModelSession, method: str) -> Made:
        """Reconstruct by ``WHOLE``, ``CLASSICAL``, ``LEARNED`` (one frame), or ``SERIES`` (all frames together)."""
        numbers = session.parameters["classical"]
        if not self.maps.any():  # a slice without signal
            return Made(np.zeros((len(self.samples), *self.mask.shape[1:]), dtype=np.complex64), self.maps)
        if method == SERIES:
            series = low_rank_plus_sparse(self.samples, self.mask, self.maps, **numbers["series"])
            return Made(completed(series, self.reaches), self.maps)
        if method == LEARNED:
            found = learned.reconstruct_with_maps(session, self.samples[0], self.mask[0])
            return Made(found.image[np.newaxis], found.maps)
        if method == WHOLE:
            return Made(np.stack([combined(to_image(frame), self.maps) for frame in self.samples]), self.maps)
        pairs = zip(self.samples, self.mask, strict=True)
        images = np.stack([l1_wavelet(*pair, self.maps, **numbers["wavelet"]) for pair in pairs])
        return Made(completed(images, self.reaches), self.maps)

    def zero_filled(self) -> Image:
        """Return root-sum-of-squares images (frames, a, b)."""
        return np.stack([root_sum_of_squares(to_image(frame)) for frame in self.samples])

    def fewer(self, share: float, number: int) -> "Plane":
        """Leave out lines (or points) outside of the middle, others in each frame."""
        kept = np.stack([left_out(mask, share, number + 100 * frame) for frame, mask in enumerate(self.mask)])
        return replace(self, samples=np.where(kept[:, np.newaxis], self.samples, np.complex64(0)), mask=kept)

    def with_added(self, image: Complex) -> "Plane":
        """Add what the coils would have received of ``image`` where samples were taken."""
        more = to_samples(self.maps * image)
        return replace(self, samples=np.where(self.mask[:, np.newaxis], self.samples + more, np.complex64(0)))

    def predicted(self, made: Made) -> Complex:
        """Return samples (frames, coils, a, b)."""
        return to_samples(made.maps * made.images[:, np.newaxis])

    def backprojected(self, samples: Complex) -> Complex:
        """Return the combined image of the coils where samples were taken."""
        return np.asarray((self.maps.conj() * to_image(np.where(self.mask[0], samples[0], 0))).sum(axis=0))


@dataclass(frozen=True, slots=True, eq=False)
class Spokes:
    """A plane along spokes: samples (1, coils, spokes, readout), mask (1, spokes, readout)."""

    samples: Complex
    mask: Mask
    maps: Complex
    coordinates: NDArray[np.float32]
    """(spokes, readout, 2)"""

    def made(self, session: ModelSession, method: str) -> Made:  # noqa: ARG002 - one method for spokes
        """Reconstruct by conjugate gradients, whatever the method."""
        taken = self.mask[0].any(axis=-1)
        samples, coordinates = self.samples[0][:, taken], self.coordinates[taken]
        image = cg_radial(samples, coordinates, self.maps, **session.parameters["classical"]["spokes"])
        return Made(image[np.newaxis], self.maps)

    def zero_filled(self) -> Image:
        """Return the gridded image, weighted by how densely samples lie."""
        shape = (self.maps.shape[1], self.maps.shape[2])
        return root_sum_of_squares(gridded(self.samples[0], self.coordinates, shape))[np.newaxis]

    def fewer(self, share: float, number: int) -> "Spokes":
        """Leave out whole spokes."""
        kept = left_out_spokes(self.mask[0], share, number)[np.newaxis]
        return replace(self, samples=np.where(kept[:, np.newaxis], self.samples, np.complex64(0)), mask=kept)

    def with_added(self, image: Complex) -> "Spokes":
        """Add what the coils would have received of ``image`` along the spokes."""
        more = self.predicted(Made(image[np.newaxis], self.maps))
        return replace(self, samples=np.where(self.mask[:, np.newaxis], self.samples + more, np.complex64(0)))

    def predicted(self, made: Made) -> Complex:
        """Return samples (1, coils, spokes, readout)."""
        plan = planned(self.coordinates, (made.maps.shape[1], made.maps.shape[2]))
        seen = plan.forward(made.maps * made.images[0])
        return seen.reshape(1, len(made.maps), *self.coordinates.shape[:2])

    def backprojected(self, samples: Complex) -> Complex:
        """Return the combined gridded image of the coils."""
        shape = (self.maps.shape[1], self.maps.shape[2])
        images = gridded(np.where(self.mask[0], samples[0], np.complex64(0)), self.coordinates, shape)
        return np.asarray((self.maps.conj() * images).sum(axis=0))


def plane_of(samples: Complex, mask: Mask, calibration: Complex | None) -> Plane:
    """Return a plane (frames, coils, a, b) with its sensitivities; from separate reference lines where there are some.

    Frames are taken together for the sensitivities, which are 0 where there is no signal at all. Raises NoCalibration
    where the middle does not tell them.
    """
    given = np.where(mask[:, np.newaxis], samples, np.complex64(0))
    reaches = one_sided_axes(np.asarray(mask.any(axis=0)))
    if calibration is not None:
        middle, taken = calibration, np.asarray((calibration != 0).any(axis=0))
    else:
        counts = mask.sum(axis=0)
        middle, taken = given.sum(axis=0) / np.maximum(counts, 1).astype(np.float32), counts > 0
    if not given.any():
        return Plane(given, mask, np.zeros_like(given[0]), reaches)
    return Plane(given, mask, covering_maps(np.asarray(middle, dtype=np.complex64), taken), reaches)


def spokes_of(samples: Complex, mask: Mask, coordinates: NDArray[np.float32], shape: tuple[int, int]) -> Spokes:
    """Return a plane along spokes (coils, spokes, readout); sensitivities come from its gridded middle."""
    given = np.where(mask, samples, np.complex64(0))
    density = pipe_menon(coordinates, shape)
    middle = to_samples(gridded(given, coordinates, shape, density=density))
    size = tuple(min(_CALIBRATION, side) for side in shape)
    block = np.zeros(shape, dtype=np.bool_)
    top, left = shape[0] // 2 - size[0] // 2, shape[1] // 2 - size[1] // 2
    block[top : top + size[0], left : left + size[1]] = True
    maps = covering_maps(np.where(block, middle, np.complex64(0)), block)
    return Spokes(given[np.newaxis], mask[np.newaxis], maps, coordinates)
