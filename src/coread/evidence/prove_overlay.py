"""The proof of images with outlines: each frame is its source but for the outlines and the notice, in its place.

Colour away from the edges of the masks would be a mark that the result does not make; a region without any colour at
its edges would be a mark that is lost.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain.errors import Refused
from coread.domain.findings import ImageReference, Region
from coread.evidence.overlay_frames import plane_of
from coread.evidence.sr import shows_marks
from coread.evidence.writing import Writing
from coread.imaging.planar import load_planar

_REACH = 4
"""Pixels from the edge of a mask within which its outline lies."""
_NOTICE = 0.12
"""Of the height, at the lower edge, where the notice stands."""


def prove_overlay(dataset: Dataset, writing: Writing) -> list[str]:
    """Return every disagreement between images with outlines, the result's regions and the source images."""
    if not shows_marks(writing):
        return ["a triage reader's result must not be burnt into copies of images"]
    frames = np.frombuffer(
        dataset.PixelData, np.uint8, count=int(dataset.NumberOfFrames) * dataset.Rows * dataset.Columns * 3
    )
    frames = frames.reshape(int(dataset.NumberOfFrames), dataset.Rows, dataset.Columns, 3)
    problems: list[str] = []
    for index, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        problems += [f"frame {index + 1} {line}" for line in _frame_problems(frames[index], groups, writing)]
    return problems


def _frame_problems(pixels: NDArray[np.uint8], groups: Dataset, writing: Writing) -> list[str]:
    source = groups.DerivationImageSequence[0].SourceImageSequence[0]
    frame: Any = source.get("ReferencedFrameNumber", 1)
    number = int(frame if isinstance(frame, int | str) else frame[0])
    uid = str(source.ReferencedSOPInstanceUID)
    image = next((one for one in writing.images if one.header.sop_instance_uid == uid), None)
    if image is None:
        return ["refers to no source image"]
    reference = ImageReference(image.header.sop_class_uid, uid, image.header.series_instance_uid, number)
    problems = [] if _same_plane(groups, plane_of(image, number)) else ["lies elsewhere than its source"]
    try:
        planar = load_planar(image.path, image.header, frame=number)
    except Refused as problem:
        return [*problems, f"cannot be compared with its source: {problem}"]
    shown = (np.clip(np.nan_to_num(planar.pixels), 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    changed = (pixels != shown[..., np.newaxis]).any(axis=-1)
    changed[-max(12, round(len(changed) * _NOTICE)) :] = False
    allowed = np.zeros_like(changed)
    for region, mask in _masks(writing, reference):
        edge = _near_edge(mask)
        allowed |= edge
        if not changed[edge].any() and edge[: -max(12, round(len(changed) * _NOTICE))].any():
            problems.append(f"has no outline of {region.label!r}")
    if (changed & ~allowed).any():
        problems.append("differs from its source away from every region")
    return problems


def _masks(writing: Writing, reference: ImageReference) -> list[tuple[Region, NDArray[np.bool_]]]:
    return [
        (region, plane)
        for region in writing.result.regions
        for image, plane in zip(
            region.images, region.mask.reshape(len(region.images), *region.mask.shape[-2:]), strict=True
        )
        if image == reference and plane.any()
    ]


def _near_edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy.ndimage import binary_dilation, binary_erosion

    grown = binary_dilation(mask, iterations=_REACH)
    inner = binary_erosion(mask, iterations=_REACH, border_value=0)
    near: NDArray[np.bool_] = grown & ~inner
    return near


def _same_plane(groups: Dataset, plane: Dataset | None) -> bool:
    if plane is None or "PlanePositionSequence" not in groups:
        return "PlanePositionSequence" not in groups
    position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
    wanted = np.array(plane.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
    return bool(np.abs(position - wanted).max() <= 0.01)
