"""Pixels with their meaning: a planar image or a volume is never a bare array."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import InvalidRecord
from coread.domain.geometry import Geometry
from coread.domain.study import InstanceHeader

FloatPixels = NDArray[np.float32]


class Quantity(StrEnum):
    """What the numbers of an image mean."""

    HOUNSFIELD = "hounsfield_unit"
    DISPLAY = "display"
    """Presentation values in [0, 1]; 0 is drawn black, 1 white (after VOI and photometric interpretation)."""
    ARBITRARY = "arbitrary"
    """Modality values without a unit (MR signal, ultrasound, unknown)."""


@dataclass(frozen=True, slots=True, eq=False)
class PlanarImage:
    """One frame for a reader: ``pixels`` (rows, columns) float32 with a stated quantity.

    ``valid`` (rows, columns) bool is False on padding (PS3.3 C.7.5.1.1.2). ``spacing_mm`` is (row, column)
    Pixel Spacing or, for projection radiographs, Imager Pixel Spacing; ``None`` when the header has neither.
    """

    pixels: FloatPixels
    quantity: Quantity
    header: InstanceHeader
    frame: int = 1
    valid: NDArray[np.bool_] | None = None
    spacing_mm: tuple[float, float] | None = None
    geometry: Geometry | None = None
    colour: FloatPixels | None = None
    """(rows, columns, 3) red, green, blue in [0, 1] where the object has colour; ``pixels`` is then its luminance."""

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or 0 in self.pixels.shape:
            raise InvalidRecord(f"a planar image is (rows, columns), got shape {self.pixels.shape}")
        if self.valid is not None and self.valid.shape != self.pixels.shape:
            raise InvalidRecord("the padding mask has another shape than the pixels")
        if self.colour is not None and self.colour.shape != (*self.pixels.shape, 3):
            raise InvalidRecord("the colours have another shape than the pixels")


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """A stack on one grid: ``voxels`` (slices, rows, columns) float32 with geometry and source instances."""

    voxels: FloatPixels
    quantity: Quantity
    geometry: Geometry
    headers: tuple[InstanceHeader, ...]
    """In slice order: ``headers[k]`` made ``voxels[k]`` (one header in all for an enhanced multi-frame object)."""

    def __post_init__(self) -> None:
        if self.voxels.shape != self.geometry.shape:
            raise InvalidRecord(f"voxels {self.voxels.shape} and geometry {self.geometry.shape} differ")
