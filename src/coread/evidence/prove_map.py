"""The proof of parametric maps and fractional segmentations: the numbers, read back, are those of the result."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain.findings import ImageReference, Region
from coread.domain.maps import ParameterMap
from coread.evidence.concepts import code_of
from coread.evidence.overlay_frames import plane_of
from coread.evidence.seg import source_frame
from coread.evidence.writing import Writing

_NEAR_MM = 0.01


def prove_map(dataset: Dataset, writing: Writing) -> list[str]:
    """Return every disagreement between a parametric map, the map of the result and the source images."""
    number = int(dataset.InstanceNumber)
    wanted = _map_of(dataset, writing)
    if wanted is None:
        return [f"parametric map {number} is no map of the result"]
    values = np.frombuffer(dataset.FloatPixelData, np.float32).reshape(-1, dataset.Rows, dataset.Columns)
    slices = {(image.sop_instance_uid, image.frame): k for k, image in enumerate(wanted.images)}
    seen: set[int] = set()
    for index in range(len(values)):
        k = slices.get(source_frame(dataset, index))
        if k is None or not np.array_equal(values[index], wanted.values[k]):
            return [f"map {wanted.label!r}: frame {index + 1} does not hold the values of its source image"]
        if not _in_place(dataset, index, wanted.images[k], writing):
            return [f"map {wanted.label!r}: frame {index + 1} lies elsewhere than its source image"]
        seen.add(k)
    return [] if len(seen) == len(slices) else [f"map {wanted.label!r}: {len(slices) - len(seen)} slices are missing"]


def prove_fractional(segmentation: Dataset, region: Region) -> list[str]:
    """Return every disagreement between a fractional segmentation and the probabilities of its region."""
    if region.probability is None or str(segmentation.SegmentationFractionalType) != "PROBABILITY":
        return [f"region {region.label!r} has no probabilities to write"]
    top = int(segmentation.MaximumFractionalValue)
    stored = np.frombuffer(segmentation.PixelData, np.uint8)[
        : int(segmentation.NumberOfFrames) * segmentation.Rows * segmentation.Columns
    ].reshape(-1, segmentation.Rows, segmentation.Columns)
    chances = region.probability.reshape(len(region.images), *region.mask.shape[-2:])
    slices = {(image.sop_instance_uid, image.frame): k for k, image in enumerate(region.images)}
    left = {k for k in range(len(chances)) if (chances[k] * top >= 0.51).any()}
    for index in range(len(stored)):
        k = slices.get(source_frame(segmentation, index))
        if k is None and not stored[index].any():
            continue
        if k is None or np.abs(stored[index] / top - chances[k]).max() > 0.51 / top:
            return [f"region {region.label!r}: frame {index + 1} does not hold the probabilities of its source image"]
        left.discard(k)
    return [f"region {region.label!r}: probabilities of {len(left)} slices are missing"] if left else []


def _map_of(dataset: Dataset, writing: Writing) -> ParameterMap | None:
    """Return the map of the result with the label, unit and quantity that the object states.

    Maps of several series may have one name: then the one of the object's first source image is meant.
    """
    groups = dataset.SharedFunctionalGroupsSequence[0]
    mapping = groups.RealWorldValueMappingSequence[0]
    quantity = mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0]
    exact = float(mapping.RealWorldValueSlope) == 1.0 and float(mapping.RealWorldValueIntercept) == 0.0
    said = (str(mapping.LUTExplanation), code_of(mapping.MeasurementUnitsCodeSequence[0]), code_of(quantity))
    named = [item for item in writing.result.maps if exact and said == (item.label[:64], item.unit, item.quantity)]
    first = source_frame(dataset, 0)
    own = (item for item in named if first in {(image.sop_instance_uid, image.frame) for image in item.images})
    return next(own, named[0] if named else None)


def _in_place(dataset: Dataset, index: int, image: ImageReference, writing: Writing) -> bool:
    own = dataset.PerFrameFunctionalGroupsSequence[index]
    holder = own if "PlanePositionSequence" in own else dataset.SharedFunctionalGroupsSequence[0]
    plane = plane_of(writing.image(image), image.frame)
    if plane is None:
        return False
    return bool(np.abs(_position(holder) - _position(plane)).max() <= _NEAR_MM)


def _position(groups: Any) -> NDArray[np.float64]:
    return np.array(groups.PlanePositionSequence[0].ImagePositionPatient, dtype=np.float64)
