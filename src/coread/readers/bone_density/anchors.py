"""Which vertebra is which: counted between the last pair of ribs (T12) and the wings of the sacrum (S1).

Both anchors must be there and exactly five vertebrae must lie between them: four or six, as in about one person in ten
(transitional vertebrae), or a field that shows one anchor only, give no number that can be trusted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from coread.readers.bone_density.column import ACROSS_MM, ALONG_MM, Column
from coread.readers.bone_density.levels import Segment

LEVELS = ("T12", "L1", "L2", "L3", "L4", "L5")
_BONE_HU = 150.0
_FROM_MM, _BAND_MM, _RIB_REACH_MM = 30.0, 40.0, 62.0
"""Beside the column: where parts of bone are cut off, where they are met near it, how far a rib reaches at least.
Transverse processes reach to about 50 mm."""
_BAND_BACK_MM = (0.0, 50.0)
_RIB_HALF_THICKNESS, _LEAST_RIB_ML, _LEAST_WING_ML = 6, 0.7, 1.5
"""Half thickness in voxels of the straightened column: kidneys full of contrast agent are thicker than ribs."""
_WING_BACK_MM = (-15.0, 50.0)
_MOST_RIB_CONTACT_MM = 40.0
_WING_TOP_MM = 8.0
"""The wings of the sacrum rise so far beside the disc above it."""


class Numbering(IntEnum):
    """What came of counting."""

    COUNTED = 0
    NO_COLUMN = 1
    NO_RIBS = 2
    NO_SACRUM = 3
    CONTRADICTION = 4


@dataclass(frozen=True, slots=True)
class Counted:
    """The segments of T12 to L5 from above (empty unless counted), or why not, and how many lay between."""

    outcome: Numbering
    segments: tuple[Segment, ...] = ()
    between: int = 0


@dataclass(frozen=True, slots=True)
class _Part:
    """A connected piece of bone beside the column: extent along it, and where it is met near the column."""

    low: int
    contact_low: int
    contact_high: int
    is_rib: bool
    is_wing: bool


def counted(column: Column, segments: Sequence[Segment]) -> Counted:
    """Count the vertebrae between the anchors."""
    sides = [_parts(column, side) for side in (-1, 1)]
    ribs = [_lowest_rib(parts, segments) for parts in sides]
    if ribs[0] is None or ribs[1] is None:
        return Counted(Numbering.NO_RIBS)
    wings = [_sacrum(parts, segments) for parts in sides]
    if wings[0] is None or wings[1] is None:
        return Counted(Numbering.NO_SACRUM)
    if ribs[0] != ribs[1] or wings[0] != wings[1]:
        return Counted(Numbering.CONTRADICTION, between=max(0, min(ribs[0], ribs[1]) - max(wings[0], wings[1]) - 1))
    between = ribs[0] - wings[0] - 1
    if between != len(LEVELS) - 1:
        return Counted(Numbering.CONTRADICTION, between=max(0, between))
    return Counted(Numbering.COUNTED, tuple(reversed(segments[wings[0] + 1 : ribs[0] + 1])), between)


def _parts(column: Column, side: int) -> list[_Part]:
    from scipy.ndimage import distance_transform_cdt, find_objects, label

    back, aside = column.back_mm(), column.left_mm() * side
    bone = (column.hu > _BONE_HU) & (aside >= _FROM_MM)
    named, _ = label(bone)
    depth = distance_transform_cdt(np.pad(bone, 1), metric="chessboard")[1:-1, 1:-1, 1:-1]
    found = []
    for number, place in enumerate(find_objects(named), start=1):
        own = named[place] == number
        if own.sum() * ALONG_MM * ACROSS_MM**2 / 1000 < _LEAST_RIB_ML:
            continue
        part = _part(own, depth[place], place[0].start, back[place[1]], aside[place[2]])
        if part is not None:
            found.append(part)
    return found


def _part(
    own: NDArray[np.bool_], depth: NDArray[np.int32], start: int, back: NDArray[np.float64],
    aside: NDArray[np.float64],
) -> _Part | None:  # fmt: skip
    places = np.argwhere(own)
    near = aside[places[:, 2]] <= _BAND_MM
    behind = back[places[:, 1]]
    rib_contact = near & (behind >= _BAND_BACK_MM[0]) & (behind <= _BAND_BACK_MM[1])
    wing_contact = near & (behind >= _WING_BACK_MM[0]) & (behind <= _WING_BACK_MM[1])
    reach = float(aside[places[:, 2]].max())
    thin = int(depth[own].max()) <= _RIB_HALF_THICKNESS
    met = places[rib_contact, 0]
    # The pelvis is thin as well, but it is met over more than one vertebra.
    short = bool(met.size) and int(np.ptp(met)) * ALONG_MM <= _MOST_RIB_CONTACT_MM
    is_rib = short and reach >= _RIB_REACH_MM and thin
    is_wing = bool(wing_contact.any()) and len(places) * ALONG_MM * ACROSS_MM**2 / 1000 >= _LEAST_WING_ML
    if not (is_rib or is_wing):
        return None
    contact = places[rib_contact if is_rib else wing_contact, 0] + start
    return _Part(int(places[:, 0].min()) + start, int(contact.min()), int(contact.max()), is_rib, is_wing)


def _lowest_rib(parts: Sequence[_Part], segments: Sequence[Segment]) -> int | None:
    """Return the number of the lowest segment at whose side a rib begins."""
    begins = [_segment_at(segments, part.contact_high) for part in parts if part.is_rib]
    return min((number for number in begins if number is not None), default=None)


def _sacrum(parts: Sequence[_Part], segments: Sequence[Segment]) -> int | None:
    """Return the number of the highest segment whose side parts go on below it: transverse processes do not."""
    found = []
    for part in parts:
        top = part.contact_high - round(_WING_TOP_MM / ALONG_MM)
        number = _segment_at(segments, max(top, part.contact_low))
        if part.is_wing and not part.is_rib and number is not None and _goes_on(part, segments[number]):
            found.append(number)
    return max(found, default=None)


def _goes_on(part: _Part, segment: Segment) -> bool:
    return part.low < segment.low - 5 or (segment.open_below and part.low <= segment.low + 5)


def _segment_at(segments: Sequence[Segment], place: int) -> int | None:
    return next((n for n, segment in enumerate(segments) if segment.low <= place <= segment.high), None)
