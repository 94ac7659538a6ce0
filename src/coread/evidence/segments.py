"""Where a region of the result stands in our segmentation objects, for documents that refer to it."""

from dataclasses import dataclass

from coread.domain.findings import Region


@dataclass(frozen=True, slots=True, eq=False)
class SegmentPlace:
    """One region as one segment of one segmentation instance."""

    region: Region
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    segment_number: int
    frame_numbers: tuple[int, ...]
    """Frames of the segmentation that show this region, counted from 1."""
