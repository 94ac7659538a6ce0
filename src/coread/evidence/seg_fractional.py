"""Probabilities of regions as fractional Segmentation objects (PS3.3 C.8.20.2.3), beside the binary ones.

Eight bits for each pixel instead of one: frames where nothing is likely are always left out, and a region with too many
others keeps its binary segmentation only, which is said.
"""

import numpy as np
from pydicom.dataset import Dataset

from coread.domain.findings import Region
from coread.evidence.seg import description, finish, object_attributes, source_datasets
from coread.evidence.seg_grid import Sheet, sheets_of
from coread.evidence.writing import Writing

MOST_FRAMES = 1000
MAXIMUM = 255
"""Maximum Fractional Value: the stored value of a probability of 1."""


def build_fractional(writing: Writing, *, first_index: int) -> tuple[tuple[Dataset, ...], tuple[str, ...]]:
    """Write one object for each region with probabilities; return the objects and what was left out."""
    datasets: list[Dataset] = []
    notes: list[str] = []
    for region in writing.result.regions:
        if region.probability is None or (region.geometry is None and len(region.images) > 1):
            continue
        frames = _frames_with(region)
        if frames > MOST_FRAMES:
            notes.append(
                f"Region {region.label!r} has probabilities on {frames} frames, more than {MOST_FRAMES}: "
                "its outline is written, its probabilities are not"
            )
        elif frames:
            sheet = sheets_of(writing, [region])[0]
            datasets.append(_fractional(writing, sheet, first_index + len(datasets)))
    return tuple(datasets), tuple(notes)


def _frames_with(region: Region) -> int:
    chances = region.probability if region.probability is not None else np.zeros(region.mask.shape, np.float32)
    return int((chances.reshape(len(region.images), -1).max(axis=1) * MAXIMUM >= 0.5).sum())


def _fractional(writing: Writing, sheet: Sheet, index: int) -> Dataset:
    from highdicom.seg import Segmentation, SegmentationFractionalTypeValues, SegmentationTypeValues

    from coread.domain.work import EvidenceKind

    (region,) = sheet.regions
    chances = sheet.planes(region, region.probability)
    segmentation: Dataset = Segmentation(
        source_images=source_datasets(writing, sheet),
        pixel_array=chances[..., np.newaxis].astype(np.float32),
        segmentation_type=SegmentationTypeValues.FRACTIONAL,
        fractional_type=SegmentationFractionalTypeValues.PROBABILITY,
        max_fractional_value=MAXIMUM,
        segment_descriptions=[description(writing, region, 1)],
        series_instance_uid=writing.series_uid(EvidenceKind.SEG, index),
        content_label="AI_PROBABILITY",
        omit_empty_frames=len(sheet.images) > 1,
        **object_attributes(writing, index),
    )
    finish(segmentation, writing, index, "probability")
    return segmentation
