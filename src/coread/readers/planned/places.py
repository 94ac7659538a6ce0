"""From the maps of a planned network to findings with places on the image: boxes and outlined regions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.calling import absent_finding, called_finding
from coread.domain.cards import OutputSpec
from coread.domain.codes import Code
from coread.domain.findings import Box, Finding, ImageReference, Presence, Region, TrackingId
from coread.domain.identifiers import derived_uid
from coread.domain.reading import ModelSession
from coread.imaging.dense_detections import boxes_from_dense_maps
from coread.imaging.detections import boxes_from_maps
from coread.imaging.plan import DENSE_BOXES, MASK, OUTLINE, PlanarPlan, PlannedOutput
from coread.imaging.stretch import Part

ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_FLOOR = 0.01
"""Heat below which a box is not even looked at."""
_SURE = 1e-6
_FAR = 30.0
"""Logits beyond this one say the same as it."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """One frame: where it came from, its shape (rows, columns), and the network's maps of it (channels, R, C)."""

    reference: ImageReference
    shape: tuple[int, int]
    maps: NDArray[Any]


def image_logit(item: PlannedOutput, maps: NDArray[Any]) -> float:
    """Return the logit that stands for the whole image, as calibration has it: the highest of the output's own map."""
    return float(np.clip(_own(item, maps).max(), -_FAR, _FAR))


def boxed(
    session: ModelSession, plan: PlanarPlan, item: PlannedOutput, spec: OutputSpec, places: Sequence[Place]
) -> tuple[Finding, ...]:
    """Return a finding for every box at or above the threshold, the surest first; without one, one that is absent.

    An image that is called present without a box that is gets a finding without a place.
    """
    threshold = spec.operating_point().threshold
    found: list[tuple[float, Place, Box | None]] = []
    whole = [session.calibrate(spec.key, image_logit(item, place.maps)) for place in places]
    for place, sure in zip(places, whole, strict=True):
        shown = [pair for pair in _boxes(session, plan, item, spec, place) if pair[0] >= threshold]
        found += [(probability, place, box) for probability, box in shown]
        if sure >= threshold and not shown:
            found.append((sure, place, None))
    if not found:
        return (absent_finding(spec, highest=max(whole), images=[place.reference for place in places]),)
    ordered = sorted(found, key=lambda entry: -entry[0])
    return tuple(_marked(session, spec, entry, number) for number, entry in enumerate(ordered, start=1))


def outlined(
    session: ModelSession, item: PlannedOutput, spec: OutputSpec, places: Sequence[Place]
) -> tuple[Finding, tuple[Region, ...]]:
    """Return one finding over all images, and the region of each image that is called present."""
    point = spec.operating_point()
    masks = {place.reference: mask_of(item, place) for place in places}
    sure: dict[ImageReference, float] = {}
    if item.form == MASK:
        sure = {place.reference: session.calibrate(spec.key, image_logit(item, place.maps)) for place in places}
        present = [place for place in places if sure[place.reference] >= point.threshold]
    else:
        present = [place for place in places if masks[place.reference].any()]
    regions = [
        Region(spec.name, ABNORMAL, spec.concept, mask, (place.reference,), _tracking(session, spec, place, "outline"))
        for place in present
        if (mask := masks[place.reference]).any()
    ]
    finding = Finding(
        key=spec.key,
        concept=spec.concept,
        presence=Presence.PRESENT if present else Presence.ABSENT,
        probability=max(sure.values()) if sure else None,
        threshold=point.threshold if sure else None,
        operating_point=point.name if sure else "",
        site=spec.site,
        tracking=_tracking(session, spec, present[0], "1") if present else None,
        images=tuple(place.reference for place in present or places),
        urgent=bool(present) and spec.urgent,
    )
    return finding, tuple(regions)


def mask_of(item: PlannedOutput, place: Place) -> NDArray[np.bool_]:
    """Return the region (rows, columns) on the grid of the image: logits are spread over it, then decided."""
    part = Part(0, place.shape[0], 0, place.shape[1], place.shape)
    spread = [part.field(np.clip(plane, -_FAR, _FAR)) for plane in place.maps]
    if len(spread) == 1:
        return np.asarray(spread[0] > 0)
    return np.asarray(np.argmax(np.stack(spread), axis=0) == item.index + 1)


def _own(item: PlannedOutput, maps: NDArray[Any]) -> NDArray[Any]:
    """Return the map that belongs to the output: with a background before the classes, its number is one higher."""
    if item.form in (MASK, OUTLINE):
        return np.asarray(maps[0 if len(maps) == 1 else item.index + 1])
    return np.asarray(maps[item.index])


def _boxes(
    session: ModelSession, plan: PlanarPlan, item: PlannedOutput, spec: OutputSpec, place: Place
) -> list[tuple[float, Box]]:
    """Return (probability, box) on the grid of the image."""
    read = boxes_from_dense_maps if item.form == DENSE_BOXES else boxes_from_maps
    maps = np.concatenate([place.maps[item.index : item.index + 1], place.maps[-4:]])
    made = []
    for _, x0, y0, x1, y1, score in read(maps, (plan.rows, plan.columns), floor=_FLOOR).tolist():
        across, down = place.shape[1] / plan.columns, place.shape[0] / plan.rows
        corners = (max(x0 * across, 0.0), max(y0 * down, 0.0), x1 * across, y1 * down)
        if corners[2] > corners[0] and corners[3] > corners[1]:
            made.append((session.calibrate(spec.key, _logit(score)), Box(place.reference, *corners)))
    return made


def _logit(score: float) -> float:
    sure = min(max(score, _SURE), 1.0 - _SURE)
    return math.log(sure / (1.0 - sure))


def _marked(session: ModelSession, spec: OutputSpec, entry: tuple[float, Place, Box | None], number: int) -> Finding:
    probability, place, box = entry
    return called_finding(
        spec,
        present=True,
        probability=probability,
        images=(place.reference,),
        tracking=_tracking(session, spec, place, str(number)),
        locations=(box,) if box is not None else (),
    )


def _tracking(session: ModelSession, spec: OutputSpec, place: Place, what: str) -> TrackingId:
    reference = place.reference
    uid = derived_uid(reference.sop_instance_uid, str(reference.frame), session.digest, spec.key, what)
    return TrackingId(f"{spec.key} {what}", uid)
