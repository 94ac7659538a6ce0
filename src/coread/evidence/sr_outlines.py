"""The outline of each region on the image where it is largest, so that viewers can show its numbers at its place.

One planar group (TID 1410) with the region's own Tracking UID: viewers that join groups by it (OHIF does) show the
measurements of the region (TID 1411, which refers to a segment) beside this outline. It holds no numbers itself.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain.findings import ImageReference, Region
from coread.evidence.concepts import code_of
from coread.evidence.segments import SegmentPlace
from coread.evidence.writing import Writing
from coread.imaging.outlines import Polygon, filled, largest_outline

MOST_POINTS = 4000
"""Graphic Data of an Explicit VR file ends at 64 KiB (PS3.5 7.1.2); a longer outline is left out."""
_IMAGE_REGION = "111030"
_TRACKING_UID = "112040"
_MEASUREMENTS = "126010"


def shown_slice(region: Region) -> tuple[ImageReference, NDArray[np.bool_]] | None:
    """Return the image where the region is largest and its mask there, ``None`` for an empty region."""
    planes = region.mask.reshape(len(region.images), *region.mask.shape[-2:])
    at = int(planes.sum(axis=(1, 2)).argmax())
    return (region.images[at], planes[at]) if planes[at].any() else None


def outline_of(region: Region) -> tuple[ImageReference, Polygon] | None:
    """Return where the outline of a region is drawn, and its closed line; ``None`` when it has none to draw."""
    shown = shown_slice(region)
    polygon = largest_outline(shown[1]) if shown is not None else None
    if shown is None or polygon is None or len(polygon) >= MOST_POINTS:
        return None
    return shown[0], np.vstack([polygon, polygon[:1]])


def outlined(places: Sequence[SegmentPlace]) -> Iterator[tuple[Region, ImageReference, Polygon]]:
    """Yield the regions that get an outline in the report, with image and line."""
    for place in places:
        outline = outline_of(place.region)
        if outline is not None:
            yield place.region, *outline


def prove_outlines(report: Dataset, writing: Writing) -> list[str]:
    """Return a line for every outline in a report that is not the largest part of its region on that image."""
    regions = {region.tracking.uid: region for region in writing.result.regions}
    problems: list[str] = []
    for uid, image, polygon in _read(report):
        region = regions.get(uid)
        if region is None:
            continue  # a mark of a finding: proved with the findings
        shown = shown_slice(region)
        largest = largest_outline(shown[1]) if shown is not None else None
        if shown is None or largest is None or image != (shown[0].sop_instance_uid, shown[0].frame):
            problems.append(f"the outline of {region.label!r} is on another image than the region is largest on")
        elif not np.array_equal(filled([polygon], shown[1].shape), filled([largest], shown[1].shape)):
            problems.append(f"the outline of {region.label!r} does not enclose its pixels")
    return problems


def _read(report: Dataset) -> Iterator[tuple[str, tuple[str, int], NDArray[np.float64]]]:
    for container in report.ContentSequence:
        if _name(container) != _MEASUREMENTS:
            continue
        for group in container.ContentSequence:
            uid = next((str(item.UID) for item in group.ContentSequence if _name(item) == _TRACKING_UID), "")
            for item in group.ContentSequence:
                if _name(item) == _IMAGE_REGION and item.GraphicType == "POLYLINE":
                    source = item.ContentSequence[0].ReferencedSOPSequence[0]
                    frame: Any = source.get("ReferencedFrameNumber", 1)
                    number = int(frame if isinstance(frame, int | str) else frame[0])
                    points = np.array(item.GraphicData, dtype=np.float64).reshape(-1, 2)
                    yield uid, (str(source.ReferencedSOPInstanceUID), number), points


def _name(item: Dataset) -> str:
    sequence = item.get("ConceptNameCodeSequence", [])
    return code_of(sequence[0]).value if sequence else ""
