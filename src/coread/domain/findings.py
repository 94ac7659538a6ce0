"""What an AI reader says: findings, measurements and where in the images they stand."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from coread.domain.codes import Code
from coread.domain.errors import InvalidRecord
from coread.domain.geometry import Geometry


class Presence(StrEnum):
    """A negative is a finding that is absent; "not assessed" is said, never left out."""

    PRESENT = "present"
    ABSENT = "absent"
    INDETERMINATE = "indeterminate"
    NOT_ASSESSED = "not_assessed"


@dataclass(frozen=True, slots=True)
class ImageReference:
    """One frame of one stored instance."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    frame: int = 1


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on one frame, in SCOORD pixel coordinates (PS3.3 C.18.6): the top left *corner* of the
    top left pixel is (0, 0), its centre (0.5, 0.5); ``column_max`` and ``row_max`` are exclusive edges."""

    image: ImageReference
    column_min: float
    row_min: float
    column_max: float
    row_max: float

    def __post_init__(self) -> None:
        if not (0 <= self.column_min < self.column_max and 0 <= self.row_min < self.row_max):
            raise InvalidRecord("a box needs 0 <= min < max on both axes")


@dataclass(frozen=True, slots=True)
class Point:
    """A point on one frame, in SCOORD pixel coordinates (PS3.3 C.18.6)."""

    image: ImageReference
    column: float
    row: float


Location = Box | Point


@dataclass(frozen=True, slots=True)
class TrackingId:
    """The same lesion over time (TID 1411: Tracking Identifier and Tracking Unique Identifier)."""

    identifier: str
    uid: str


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A binary mask on the grid of its source images.

    ``mask`` is bool: (rows, columns) for one frame, (slices, rows, columns) for a volume, with
    ``images[k]`` the source of slice k. ``geometry`` is ``None`` for projection images without one.
    """

    label: str
    category: Code
    type: Code
    mask: NDArray[np.bool_]
    images: tuple[ImageReference, ...]
    tracking: TrackingId
    geometry: Geometry | None = None
    probability: NDArray[np.float32] | None = None
    """Where the reader knows it: how likely each pixel belongs to the region, [0, 1], in the shape of the mask."""
    finding_key: str = ""
    """Of the finding that it shows, where neither tracking nor type says so: a person who rejects that rejects it."""

    def __post_init__(self) -> None:
        slices = 1 if self.mask.ndim == 2 else self.mask.shape[0]
        if self.mask.ndim not in (2, 3) or slices != len(self.images):
            raise InvalidRecord(f"mask of shape {self.mask.shape} with {len(self.images)} source images")
        chances = self.probability
        if chances is not None and (chances.shape != self.mask.shape or not ((chances >= 0) & (chances <= 1)).all()):
            raise InvalidRecord(f"{self.label}: probabilities are in [0, 1], in the shape of the mask")


@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """Where the network looked: ``values`` float32 (rows, columns) in [0, 1] on a coarse grid that spans the
    whole frame of ``image``. An explanation for people, never a measurement."""

    image: ImageReference
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number with its unit (UCUM) and, where known, the half width of its 95 % interval."""

    concept: Code
    value: float
    unit: Code
    uncertainty: float | None = None
    method: Code | None = None
    tracking: TrackingId | None = None
    images: tuple[ImageReference, ...] = ()
    derivation: Code | None = None
    """Which statistic of many values it is: mean, median, standard deviation (PS3.16 CID 7464)."""
    site: Code | None = None
    """Where it was measured, when that is not the place of its region, e.g. one vertebra."""

    def name(self) -> str:
        """Return what was measured in words, e.g. ``Attenuation Coefficient, mean, L1 vertebra``."""
        more = [code.meaning for code in (self.derivation, self.site) if code is not None]
        return ", ".join([self.concept.meaning, *more])

    def unit_text(self) -> str:
        """Return the unit as people write it: the UCUM code, but HU for Hounsfield units, nothing for bare numbers.

        An annotation in braces, which is what is counted (UCUM section 2.4), stands without them.
        """
        if self.unit.value in ("1", "[hnsf'U]"):
            return "" if self.unit.value == "1" else "HU"
        return self.unit.value.strip("{}") if self.unit.value.startswith("{") else self.unit.value

    def spread(self) -> str:
        """Return the half width of the 95 % interval as it is written behind the value; empty where unknown."""
        return "" if self.uncertainty is None else f" \u00b1 {self.uncertainty:.3g}"


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """One thing that the reader looked for, and whether it is there.

    ``probability`` is calibrated (never a raw score) and shown only next to ``operating_point``, the name of
    the threshold on the reader's card that made the call.
    """

    key: str
    """The output's key on the reader's card, e.g. ``pneumothorax``."""
    concept: Code
    presence: Presence
    probability: float | None = None
    threshold: float | None = None
    operating_point: str = ""
    site: Code | None = None
    laterality: Code | None = None
    tracking: TrackingId | None = None
    images: tuple[ImageReference, ...] = ()
    locations: tuple[Location, ...] = ()
    heat_maps: tuple[HeatMap, ...] = ()
    urgent: bool = False
    """Present and listed on the card as needing attention before its turn."""

    def __post_init__(self) -> None:
        if self.probability is not None and not 0.0 <= self.probability <= 1.0:
            raise InvalidRecord(f"{self.key}: probability {self.probability} is outside [0, 1]")
        called = self.presence in (Presence.PRESENT, Presence.ABSENT) and self.probability is not None
        if called and (self.threshold is None or not self.operating_point):
            raise InvalidRecord(f"{self.key}: a probability needs its threshold and operating point")
