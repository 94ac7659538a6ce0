"""The proof of computed images: the pixels, read back, are the result's within half a step, and lie where it says."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.domain.derived import DerivedImages
from coread.domain.work import EncodedObject, EvidenceKind
from coread.evidence.writing import RESEARCH_USE, Writing

_NEAR_MM = 0.01
_HALF_STEP = 0.500001
"""Of the scale, with room for its own rounding."""


def prove_derived(dataset: Dataset, writing: Writing) -> list[str]:
    """Return every disagreement between one slice of a computed series and the result."""
    found = _slice_of(dataset, writing)
    if found is None:
        return [f"{dataset.SOPInstanceUID} is no slice of the result"]
    images, k = found
    name = f"slice {k + 1} of {images.label!r}"
    problems = [f"{name}: {line}" for line in _meaning(dataset, images)]
    mapping = dataset.RealWorldValueMappingSequence[0]
    step, offset = float(mapping.RealWorldValueSlope), float(mapping.RealWorldValueIntercept)
    stored = np.frombuffer(dataset.PixelData, "<u2").astype(np.float64).reshape(dataset.Rows, dataset.Columns)
    apart = np.abs(stored * step + offset - images.voxels[k]) if stored.shape == images.voxels[k].shape else None
    if apart is None or step <= 0 or float(apart.max()) > _HALF_STEP * step:
        problems.append(f"{name}: the stored pixels are not those of the result")
    if not _in_place(dataset, images, k):
        problems.append(f"{name}: it lies elsewhere than the result says")
    return problems


def prove_whole_series(parsed: Sequence[tuple[EncodedObject, Dataset]], writing: Writing) -> list[str]:
    """Return a line where slices of a computed series are missing or scaled apart, or a series is the scanner's."""
    written = [dataset for item, dataset in parsed if item.kind is EvidenceKind.DERIVED_IMAGES]
    wanted = [reference.sop_instance_uid for images in writing.result.images for reference in images.references()]
    problems: list[str] = []
    if sorted(str(dataset.SOPInstanceUID) for dataset in written) != sorted(wanted):
        problems.append(f"{len(written)} computed slices were written, the result holds {len(wanted)}")
    steps: dict[str, set[float]] = {}
    for dataset in written:
        slope = float(dataset.RealWorldValueMappingSequence[0].RealWorldValueSlope)
        steps.setdefault(str(dataset.SeriesInstanceUID), set()).add(slope)
    if any(len(found) > 1 for found in steps.values()):
        problems.append("slices of one computed series have different scales")
    if steps.keys() & {image.header.series_instance_uid for image in writing.images}:
        problems.append("a computed series has the UID of a source series")
    return problems


def _slice_of(dataset: Dataset, writing: Writing) -> tuple[DerivedImages, int] | None:
    for images in writing.result.images:
        for k, reference in enumerate(images.references()):
            if reference.sop_instance_uid == dataset.SOPInstanceUID:
                return images, k
    return None


def _meaning(dataset: Dataset, images: DerivedImages) -> list[str]:
    """Return what is wrong with what the object says of itself: what it is, from what, by whom."""
    problems: list[str] = []
    if list(dataset.ImageType)[:2] != ["DERIVED", "PRIMARY"]:
        problems.append(f"Image Type is {list(dataset.ImageType)}")
    if RESEARCH_USE not in dataset.ImageComments or "research" not in dataset.SeriesDescription.lower():
        problems.append("it does not say that it is for research")
    if images.synthetic and not dataset.SeriesDescription.startswith("SYNTHETIC"):
        problems.append("it does not say that the data are synthetic")
    holders = ("SourceImageSequence", "SourceInstanceSequence")
    named = [str(item.ReferencedSOPInstanceUID) for holder in holders for item in dataset.get(holder, [])]
    if sorted(named) != sorted(source.sop_instance_uid for source in images.sources):
        problems.append("it names other sources than the result")
    if str(dataset.SeriesInstanceUID) != images.series_instance_uid:
        problems.append("it is in another series than the result says")
    purposes = [str(item.PurposeOfReferenceCodeSequence[0].CodeValue) for item in dataset.ContributingEquipmentSequence]
    if not {"109101", "109102"} <= set(purposes):
        problems.append("it does not name the scanner and the software")
    return problems


def _in_place(dataset: Dataset, images: DerivedImages, k: int) -> bool:
    """Compare three corners of the slice, from the object's plane (PS3.3 C.7.6.2.1.1) and from the result's grid."""
    if str(dataset.FrameOfReferenceUID) != images.geometry.frame_of_reference_uid:
        return False
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    corners = np.array([[k, 0, 0], [k, rows - 1, 0], [k, 0, columns - 1]], dtype=np.float64)
    position, cosines = _floats(dataset.ImagePositionPatient), _floats(dataset.ImageOrientationPatient)
    between_rows, between_columns = _floats(dataset.PixelSpacing)
    said = np.array(
        [
            position,
            position + cosines[3:] * between_rows * (rows - 1),
            position + cosines[:3] * between_columns * (columns - 1),
        ]
    )
    return bool(np.abs(said - images.geometry.to_patient(corners)).max() <= _NEAR_MM)


def _floats(values: object) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)
