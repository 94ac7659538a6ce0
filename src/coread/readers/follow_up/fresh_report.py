"""What is said of places that look new in a CT: candidates for a person to look at, and what was not searched."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.findings import Box, Measurement, Presence, Region, TrackingId
from coread.domain.geometry import Geometry
from coread.domain.identifiers import derived_uid
from coread.domain.images import Volume
from coread.domain.reading import Arrays, ModelSession
from coread.imaging.measuring import mask_volume
from coread.imaging.resampling import resampled_array
from coread.readers.follow_up import words
from coread.readers.follow_up.drawing import box_of, region_of

Mask = NDArray[np.bool_]
_MOST_OUTLINED = 12
_HALF = 0.4
"""Share of a voxel of the scan: small ones must not be lost between thick slices."""
_TISSUES = ("lungs", "solid organs and muscle")
NOT_SEARCHED = "Bowel, stomach, fat, mediastinum, bone and the rims of organs are never searched for new lesions"


@dataclass(frozen=True, slots=True, eq=False)
class FreshSaid:
    """Findings of the search; not assessed where nothing looks new: most of the body is not searched."""

    presence: Presence = Presence.NOT_ASSESSED
    boxes: tuple[Box, ...] = ()
    regions: tuple[Region, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    notes: tuple[str, ...] = ()


def fresh_said(session: ModelSession, source: Volume, grid: Geometry, outputs: Arrays) -> FreshSaid:
    """Return the candidates, largest first; a candidate makes the finding indeterminate, never present."""
    from scipy import ndimage

    searched = [
        (name, float(ml), float(margin))
        for name, ml, margin in zip(_TISSUES, outputs["ct_searched_ml"], outputs["ct_margin_mm"], strict=True)
        if margin >= 0 and ml > 0
    ]
    if not searched:
        return FreshSaid(notes=("New lesions were not looked for: no organ lies where it lay before, or none is seen",))
    new = resampled_array(np.asarray(outputs["ct_new"], dtype=np.float32), grid, source.geometry) > _HALF
    labels, count = ndimage.label(new, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    order = [int(k) + 1 for k in np.argsort(-sizes[1:], kind="stable")]
    boxes, regions = [], []
    for number, k in enumerate(order[:_MOST_OUTLINED], start=1):
        mask = labels == k
        name = f"Candidate for a new lesion {number}"
        tracking = _tracking(session, source, mask)
        regions.append(region_of(name, tracking, mask, source, kind=words.LESION, finding=words.NEW_CT))
        boxes.append(box_of(mask, source))
    presence = Presence.INDETERMINATE if count else Presence.NOT_ASSESSED
    number_of = Measurement(words.NEW_COUNT, float(count), words.COUNT)
    return FreshSaid(presence, tuple(boxes), tuple(regions), (number_of,), _notes(searched, regions, source, count))


def _notes(
    searched: Sequence[tuple[str, float, float]], regions: Sequence[Region], source: Volume, count: int
) -> tuple[str, ...]:
    where = "; ".join(f"{name} ({ml:.0f} ml, within {margin:.1f} mm of before)" for name, ml, margin in searched)
    volumes = [mask_volume(region.mask, region.geometry or source.geometry).value for region in regions]
    sizes = ", ".join(f"{ml:.2f} ml" for ml in volumes)
    said = f"{count} places look new, to be looked at by a person: {sizes}" if count else "no place looks new"
    return (
        f"New lesions searched in {where}: {said}; outlines show what stands out, not the whole lesion",
        *((f"The {_MOST_OUTLINED} largest of them are outlined",) if count > _MOST_OUTLINED else ()),
        NOT_SEARCHED,
    )


def _tracking(session: ModelSession, source: Volume, mask: Mask) -> TrackingId:
    middle = source.geometry.to_patient(np.argwhere(mask).mean(axis=0, keepdims=True))[0]
    place = "/".join(f"{round(value)}" for value in middle.tolist())
    series = source.headers[0].series_instance_uid if source.headers else "0"
    return TrackingId(f"{words.CANDIDATE} {place}", derived_uid(series, session.digest, "follow_up new", place))
