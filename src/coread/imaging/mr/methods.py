"""The classical methods by name: from the samples of one plane to its image."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from coread.imaging.mr.combine import root_sum_of_squares
from coread.imaging.mr.covering_maps import covering_maps
from coread.imaging.mr.fourier import Complex, to_image
from coread.imaging.mr.grappa import grappa
from coread.imaging.mr.partial_fourier import completed, one_sided_axes
from coread.imaging.mr.sense import cg_sense
from coread.imaging.mr.total_variation import tv
from coread.imaging.mr.wavelet import l1_wavelet

SENSE_WEIGHT = 0.005
"""Of the image's energy beside that of the samples, whose operator has no eigenvalue above 1: maps have norm 1."""


class Method(StrEnum):
    """How a plane of Cartesian samples becomes an image."""

    ZERO_FILLED = "zero-filled"
    """Root sum of squares of coil images, missing samples as 0: the floor of any comparison."""
    SENSE = "sense"
    """CG-SENSE with ESPIRiT maps (Pruessmann 2001)."""
    WAVELET = "l1-wavelet"
    """Compressed sensing with wavelets (Lustig 2007)."""
    VARIATION = "total-variation"
    GRAPPA = "grappa"
    """Missing lines from their neighbours (Griswold 2002); regular masks of lines only."""


def reconstructed_plane(
    samples: Complex, mask: NDArray[np.bool_], method: Method, *, calibration: Complex | None = None, workers: int = 1
) -> NDArray[np.float32]:
    """Return the magnitude image (a, b) of samples (coils, a, b) taken where mask (a, b) says.

    ``calibration`` (coils, a, b), 0 where not sampled: reference lines of a scan of their own, for sensitivities;
    GRAPPA has no use for them. Where one side of k-space was left out, all but the zero-filled image get it from the
    other (``partial_fourier``). All methods have one scale: the root sum of squares over the coils of the fully sampled
    images. Raises ImagingRefused with a coded reason where the samples do not allow it (no calibration block,
    irregular lines).
    """
    if method is Method.ZERO_FILLED:
        return root_sum_of_squares(to_image(samples, workers=workers))
    if method is Method.GRAPPA:
        return root_sum_of_squares(completed(to_image(grappa(samples, mask), workers=workers), one_sided_axes(mask)))
    if calibration is None:
        maps = covering_maps(samples, mask, workers=workers)
    else:
        maps = covering_maps(calibration, np.asarray((calibration != 0).any(axis=0)), workers=workers)
    if method is Method.SENSE:
        image = cg_sense(samples, mask, maps, weight=SENSE_WEIGHT, workers=workers)
    elif method is Method.WAVELET:
        image = l1_wavelet(samples, mask, maps, workers=workers)
    else:
        image = tv(samples, mask, maps, workers=workers)
    return np.asarray(np.abs(completed(image, one_sided_axes(mask))), dtype=np.float32)
