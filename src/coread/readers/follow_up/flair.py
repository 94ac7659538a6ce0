"""What is said of the subtraction of two FLAIR scans."""

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
from coread.readers.follow_up import words
from coread.readers.follow_up.drawing import box_of, region_of

Mask = NDArray[np.bool_]
_MOST_OUTLINED = 12
_LEAST_UNSEEN = 0.01
"""Share of the brain outside the earlier scan from which nothing new is not said to be absent."""


@dataclass(frozen=True, slots=True, eq=False)
class FlairSaid:
    """Findings of the subtraction; not assessed where the scan is no FLAIR."""

    presence: Presence = Presence.NOT_ASSESSED
    boxes: tuple[Box, ...] = ()
    regions: tuple[Region, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    notes: tuple[str, ...] = ()


def flair_said(
    session: ModelSession, source: Volume, facing: Geometry, outputs: Arrays, known: Sequence[Region]
) -> FlairSaid:  # fmt: skip
    """Return the lesions that are new or larger, largest first, and how much became darker.

    What overlaps a lesion that is followed by its outline is that lesion's growth and not a new one.
    """
    from scipy import ndimage

    brighter, darker = (_turned_back(outputs[name], facing, source.geometry) for name in ("brighter", "darker"))
    labels, count = ndimage.label(brighter, np.ones((3, 3, 3)))
    followed = _union(known, source)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    order = [k for k in np.argsort(-sizes[1:], kind="stable") + 1 if not (labels[followed] == k).any()]
    boxes, regions = [], []
    for number, k in enumerate(order[:_MOST_OUTLINED], start=1):
        mask = labels == k
        tracking = _tracking(session, source, mask)
        name = f"New or enlarged FLAIR lesion {number}"
        regions.append(region_of(name, tracking, mask, source, kind=words.LESION, finding=words.NEW_FLAIR))
        boxes.append(box_of(mask, source))
    new = np.isin(labels, order) if order else np.zeros_like(brighter)
    appeared, left = mask_volume(new, source.geometry), mask_volume(darker, source.geometry)
    measurements = (
        Measurement(words.NEW_VOLUME, round(appeared.value, 3), words.ML),
        Measurement(words.GONE_VOLUME, round(left.value, 3), words.ML),
    )
    notes = [
        f"FLAIR subtraction: {len(order)} new or enlarged places, {appeared.value:.2f} ml; {left.value:.2f} ml darker"
    ]
    if len(order) > _MOST_OUTLINED:
        notes.append(f"The {_MOST_OUTLINED} largest of them are outlined")
    brain, unseen = (int(count) for count in outputs["brain_voxels"])
    presence = Presence.PRESENT if order else Presence.ABSENT
    if unseen > _LEAST_UNSEEN * brain:
        notes.append(f"{unseen / brain:.0%} of the brain lies outside the earlier scan: not compared there")
        presence = Presence.PRESENT if order else Presence.INDETERMINATE
    return FlairSaid(presence, tuple(boxes), tuple(regions), measurements, tuple(notes))


def _turned_back(values: NDArray[np.generic], facing: Geometry, source: Geometry) -> Mask:
    """Return a mask on the axes of the source, which may run the other way."""
    here, there = facing.matrix()[:3, :3], source.matrix()[:3, :3]
    flips = [axis for axis in range(3) if float(here[:, axis] @ there[:, axis]) < 0]
    mask = np.asarray(values, dtype=np.bool_)
    return np.ascontiguousarray(np.flip(mask, tuple(flips))) if flips else mask


def _union(regions: Sequence[Region], source: Volume) -> Mask:
    whole = np.zeros(source.voxels.shape, dtype=np.bool_)
    places = {(ref.sop_instance_uid, ref.frame): k for k, ref in enumerate(source.references())}
    for region in regions:
        for ref, plane in zip(region.images, region.mask, strict=True):
            whole[places[ref.sop_instance_uid, ref.frame]] |= plane
    return whole


def _tracking(session: ModelSession, source: Volume, mask: Mask) -> TrackingId:
    middle = source.geometry.to_patient(np.argwhere(mask).mean(axis=0, keepdims=True))[0]
    place = "/".join(f"{round(value)}" for value in middle.tolist())
    series = source.headers[0].series_instance_uid if source.headers else "0"
    return TrackingId(f"FLAIR lesion {place}", derived_uid(series, session.digest, "follow_up", place))
