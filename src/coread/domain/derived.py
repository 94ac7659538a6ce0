"""Images that a reader computed from raw data or from other images; written as a derived DICOM series."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import InvalidRecord
from coread.domain.findings import ImageReference
from coread.domain.geometry import Geometry


@dataclass(frozen=True, slots=True, eq=False)
class DerivedImages:
    """One series of magnitude images. ``voxels`` is float32 (slices, rows, columns), finite, not below 0.

    They stand beside the scanner's images and never replace them: Image Type is DERIVED (PS3.3 C.7.6.1.1.2).
    """

    label: str
    """Becomes Series Description; at most 64 characters, says research use and how the images were made."""
    voxels: NDArray[np.float32]
    geometry: Geometry
    sources: tuple[ImageReference, ...]
    """The objects that the images were computed from (raw data objects, images)."""
    derivation: str
    """How they were made and where the method ends, in words; becomes Derivation Description (0008,2111)."""
    attributes: tuple[tuple[str, str], ...] = ()
    """Acquisition attributes by DICOM keyword that the raw data state, e.g. ``("EchoTime", "100")``."""
    synthetic: bool = False

    def __post_init__(self) -> None:
        if self.voxels.shape != self.geometry.shape:
            raise InvalidRecord(f"derived images {self.voxels.shape} on a grid of {self.geometry.shape}")
        if not self.sources:
            raise InvalidRecord(f"derived images {self.label!r} name no source")
        if not np.isfinite(self.voxels).all() or float(self.voxels.min()) < 0:
            raise InvalidRecord(f"derived images {self.label!r} hold values that are no magnitudes")
