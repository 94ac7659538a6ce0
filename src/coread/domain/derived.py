"""Images that a reader computed from raw data or from other images; written as a derived DICOM series.

Their UIDs are decided here and not when they are written: findings, measurements, maps and regions of the same result
point at them (``references``), and work done twice, or a corrected version of the result, names the same objects.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import InvalidRecord
from coread.domain.findings import ImageReference
from coread.domain.geometry import Geometry
from coread.domain.identifiers import derived_uid, is_valid_uid

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"


def derived_series_uid(package_digest: str, *what: str) -> str:
    """Return the Series Instance UID for a series that this package computes from ``what`` (digests of its sources)."""
    return derived_uid("coread-derived-series", package_digest, *what)


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
    series_instance_uid: str
    """From ``derived_series_uid``; never that of the scanner's series."""
    attributes: tuple[tuple[str, str], ...] = ()
    """Acquisition attributes by DICOM keyword that the raw data state, e.g. ``("EchoTime", "100")``."""
    synthetic: bool = False
    position: int = 1
    """Of images over time: which frame these are, from 1. Frames of one series share its UID and ``positions``."""
    positions: int = 1

    def __post_init__(self) -> None:
        if self.voxels.shape != self.geometry.shape:
            raise InvalidRecord(f"derived images {self.voxels.shape} on a grid of {self.geometry.shape}")
        if not self.sources:
            raise InvalidRecord(f"derived images {self.label!r} name no source")
        if not np.isfinite(self.voxels).all() or float(self.voxels.min()) < 0:
            raise InvalidRecord(f"derived images {self.label!r} hold values that are no magnitudes")
        if not is_valid_uid(self.series_instance_uid):
            raise InvalidRecord(f"derived images {self.label!r} name no series: take derived_series_uid")
        if not 1 <= self.position <= self.positions:
            raise InvalidRecord(f"derived images {self.label!r}: position {self.position} of {self.positions}")

    def references(self) -> tuple[ImageReference, ...]:
        """Return the object that each slice is written as: what maps and findings of the same result point at."""
        return tuple(
            ImageReference(MR_IMAGE_STORAGE, self._sop_instance_uid(k), self.series_instance_uid)
            for k in range(len(self.voxels))
        )

    def instance_number(self, k: int) -> int:
        """Return Instance Number of slice k: all slices of the first frame, then those of the next."""
        return (self.position - 1) * len(self.voxels) + k + 1

    def _sop_instance_uid(self, k: int) -> str:
        return derived_uid("coread-derived-image", self.series_instance_uid, str(self.instance_number(k)))


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A grey picture for people, drawn beside others of the same result on its summary page; never a measurement."""

    caption: str
    pixels: NDArray[np.float32]
    """(rows, columns), 0 black to 1 white."""
    row_spacing_mm: float = 1.0
    column_spacing_mm: float = 1.0

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or not ((self.pixels >= 0) & (self.pixels <= 1)).all():
            raise InvalidRecord(f"picture {self.caption!r} is (rows, columns) in [0, 1]")
        if min(self.row_spacing_mm, self.column_spacing_mm) <= 0:
            raise InvalidRecord(f"picture {self.caption!r} has no size")
