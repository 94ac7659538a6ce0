"""The attributes of one frame as a pydicom data set, with the functional groups of multi-frame objects laid flat."""

import warnings

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from coread.imaging.errors import BadHeader
from coread.imaging.objects import PIXELS, RawHeader
from coread.imaging.strict_reader import StrictReader

_GROUPS = (
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
    "FrameAnatomySequence",
)
"""Functional groups that say how a frame's pixels are placed and shown (PS3.3 C.7.6.16.2)."""


def dataset_of(raw: RawHeader) -> Dataset:
    """Return everything before the pixels; values are converted by pydicom when they are asked for."""

    def stop(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        return int(tag) >= PIXELS

    reader = StrictReader(raw.data, raw.started_at)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read_dataset(reader, not raw.explicit, raw.little_endian, stop_when=stop)  # type: ignore[arg-type]
    except Exception as problem:
        raise BadHeader(f"{type(problem).__name__}: {problem}") from problem


def frame_attributes(dataset: Dataset, frame: int) -> Dataset:
    """Return the data set with the shared and per-frame functional groups of ``frame`` (from 1) laid over it."""
    shared = dataset.get("SharedFunctionalGroupsSequence")
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    if not shared and not per_frame:
        return dataset
    flat = Dataset()
    flat.update(dataset)
    own = [per_frame[frame - 1]] if per_frame and len(per_frame) >= frame else []
    for groups in [*(shared or [])[:1], *own]:
        for keyword in _GROUPS:
            for item in groups.get(keyword, [])[:1]:
                flat.update(item)
    return flat
