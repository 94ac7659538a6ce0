"""One plane by either method: the classical one, which everything is held against, and the learned one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.reading import ModelSession
from coread.imaging.mr.combine import combined
from coread.imaging.mr.espirit import espirit_maps
from coread.imaging.mr.fourier import to_image, to_samples
from coread.imaging.mr.wavelet import l1_wavelet
from coread.readers.mr_reconstruction import learned

Complex = NDArray[np.complex64]
Mask = NDArray[np.bool_]
CLASSICAL, LEARNED, WHOLE = "l1-wavelet", "learned", "fully sampled"


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """Samples (coils, a, b), where they were taken (a, b), and the sensitivities (coils, a, b) learnt from them."""

    samples: Complex
    mask: Mask
    maps: Complex

    def with_mask(self, mask: Mask) -> "Plane":
        """Return the plane with fewer samples; sensitivities stay, the middle is never left out."""
        return Plane(np.where(mask, self.samples, np.complex64(0)), mask, self.maps)

    def with_added(self, image: Complex) -> "Plane":
        """Return the plane as if ``image`` (a, b) had been in the scanner as well: the encoding is linear."""
        more = to_samples(self.maps * image)
        return Plane(np.where(self.mask, self.samples + more, np.complex64(0)), self.mask, self.maps)

    def predicted(self, image: Complex) -> Complex:
        """Return what would be measured of an image (a, b): all samples (coils, a, b)."""
        return to_samples(self.maps * image)


def plane_of(samples: Complex, mask: Mask, calibration: Complex | None) -> Plane:
    """Return a plane with its sensitivities; from separate reference lines where there are some.

    Raises NoCalibration where the middle of k-space does not tell them.
    """
    given = np.where(mask, samples, np.complex64(0))
    if calibration is None:
        return Plane(given, mask, espirit_maps(given, mask))
    taken = np.asarray((calibration != 0).any(axis=0))
    return Plane(given, mask, espirit_maps(calibration, taken))


def image_of(session: ModelSession, plane: Plane, method: str) -> Complex:
    """Return the complex image (a, b) of a plane; raises ImagingRefused for what a method cannot use."""
    if method == LEARNED:
        return learned.reconstruct(session, plane.samples, plane.mask)
    if method == WHOLE:
        return combined(to_image(plane.samples), plane.maps)
    return l1_wavelet(plane.samples, plane.mask, plane.maps)
