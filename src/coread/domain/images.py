"""Pixels with their meaning: a planar image or a volume is never a bare array."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import InvalidRecord
from coread.domain.findings import ImageReference
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
    ACTIVITY = "activity_concentration"
    COUNTS = "counts"
    SUV_BODY_WEIGHT = "suv_body_weight"
    SUV_OTHER = "suv_other"
    """Standardised uptake by lean body mass, body surface area or ideal weight: the unit says which."""
    ADC = "apparent_diffusion_coefficient"
    FRACTIONAL_ANISOTROPY = "fractional_anisotropy"
    T1 = "t1_relaxation_time"
    T2 = "t2_relaxation_time"
    VELOCITY = "velocity"
    BLOOD_FLOW = "blood_flow"
    BLOOD_VOLUME = "blood_volume"
    MEAN_TRANSIT_TIME = "mean_transit_time"
    TIME_TO_PEAK = "time_to_peak"


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


@dataclass(frozen=True, slots=True)
class Sector:
    """The part of an ultrasound picture that shows tissue in two dimensions, and its scale (PS3.3 C.8.5.5)."""

    column_min: int
    row_min: int
    column_max: int
    """Exclusive, as ``row_max``."""
    row_max: int
    spacing_mm: tuple[float, float]
    """(row, column)."""

    def __post_init__(self) -> None:
        if not (0 <= self.column_min < self.column_max and 0 <= self.row_min < self.row_max):
            raise InvalidRecord("a sector needs 0 <= min < max on both axes")
        if min(self.spacing_mm) <= 0:
            raise InvalidRecord("a sector needs spacings above 0")


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """The frames of one multi-frame object in the order of time: ``pixels`` (frames, rows, columns) float32.

    Display values in [0, 1]; colour has become its luminance.
    """

    pixels: FloatPixels
    quantity: Quantity
    header: InstanceHeader
    times_ms: tuple[float, ...] = ()
    """Of each frame from the first; empty where the object does not state them."""
    view: str = ""
    """Such as ``A4C``; empty where the object does not state one that is known."""
    sector: Sector | None = None
    """``None``: the object has no calibrated region of tissue."""

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or 0 in self.pixels.shape:
            raise InvalidRecord(f"a loop is (frames, rows, columns), got shape {self.pixels.shape}")
        if self.times_ms and len(self.times_ms) != len(self.pixels):
            raise InvalidRecord(f"{len(self.times_ms)} times for {len(self.pixels)} frames")


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """A stack on one grid: ``voxels`` (slices, rows, columns) float32 with geometry and source instances."""

    voxels: FloatPixels
    quantity: Quantity
    geometry: Geometry
    headers: tuple[InstanceHeader, ...]
    """In slice order: ``headers[k]`` made ``voxels[k]`` (one header in all for an enhanced multi-frame object)."""
    frames: tuple[int, ...] = ()
    """In slice order: the frame (from 1) of its header that made ``voxels[k]``; empty: 1, 2, 3 of a multi-frame
    object, the only frame of others."""
    unit: str = ""
    """UCUM code of the values; empty where the object does not state one."""
    key: tuple[tuple[str, str], ...] = ()
    """What distinguishes this volume from the others of its series, e.g. ``(("b_value", "1000"),)``."""
    changes: tuple[str, ...] = ()
    """What was done beyond putting slices in order (resampling, slices left out), in words; usually empty."""

    def __post_init__(self) -> None:
        if self.voxels.shape != self.geometry.shape:
            raise InvalidRecord(f"voxels {self.voxels.shape} and geometry {self.geometry.shape} differ")
        if self.frames and len(self.frames) != len(self.voxels):
            raise InvalidRecord(f"{len(self.frames)} frame numbers for {len(self.voxels)} slices")

    def references(self) -> tuple[ImageReference, ...]:
        """Return the source image of each slice, in slice order; empty where the volume has no source instances."""
        if not self.headers:
            return ()
        slices = len(self.voxels)
        one = len(self.headers) == 1
        headers = self.headers * slices if one else self.headers
        frames = self.frames or (tuple(range(1, slices + 1)) if one else (1,) * slices)
        return tuple(
            ImageReference(header.sop_class_uid, header.sop_instance_uid, header.series_instance_uid, frame)
            for header, frame in zip(headers, frames, strict=True)
        )
