"""CT series of any orientation, with the affine that their headers state, for the geometry tests."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from coread.domain.codes import Code
from coread.domain.findings import ImageReference, Region, TrackingId
from coread.domain.geometry import Geometry, affine_of
from coread.domain.identifiers import derived_uid
from tests.evidence.build_sources import CT, identity, with_pixels

SHAPE = (5, 6, 7)
SPACING_MM = (2.5, 0.7, 0.9)
"""Slice, row, column: all different, so that no swap goes unseen."""
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
FRAME = derived_uid("test", "frame of reference")
TISSUE = Code("85756007", "SCT", "Tissue")
NODULE = Code("27925004", "SCT", "Nodule")


MM3 = Code("mm3", "UCUM", "cubic millimeter")


def axis_directions() -> Iterator[NDArray[np.float64]]:
    """All 48 ways to lay slice, row and column axes along the patient axes, as columns of a 3x3 matrix."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            directions = np.zeros((3, 3))
            for column, (axis, sign) in enumerate(zip(order, signs, strict=True)):
                directions[axis, column] = sign
            yield directions


def affine(directions: NDArray[np.float64], tilt_degrees: float = 0.0) -> NDArray[np.float64]:
    """The 4x4 matrix of a grid; a tilted gantry turns the planes and not the table."""
    matrix = np.eye(4)
    matrix[:3, :3] = directions * np.array(SPACING_MM)
    if tilt_degrees:
        turn = np.deg2rad(tilt_degrees)
        down, through = directions[:, 1], directions[:, 0]
        matrix[:3, 1] = (np.cos(turn) * down + np.sin(turn) * through) * SPACING_MM[1]
    matrix[:3, 3] = (-31.25, 12.5, 407.75)
    return matrix


def ct_slices(matrix: NDArray[np.float64], folder: Path) -> list[Path]:
    """Write one CT series whose slice k lies where the matrix puts it."""
    return [_save(_slice(matrix, k), folder / f"slice{k}.dcm") for k in range(SHAPE[0])]


def enhanced_ct(matrix: NDArray[np.float64], path: Path) -> Dataset:
    """Write one enhanced multi-frame CT whose frame k + 1 lies where the matrix puts slice k."""
    dataset = _slice(matrix, 0)
    for keyword in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "SliceThickness"):
        del dataset[keyword]
    dataset.SOPClassUID = ENHANCED_CT
    orientation, measures, rescale, shared = Dataset(), Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [*(matrix[:3, 2] / SPACING_MM[2]), *(matrix[:3, 1] / SPACING_MM[1])]
    measures.PixelSpacing, measures.SliceThickness = list(SPACING_MM[1:]), SPACING_MM[0]
    rescale.RescaleIntercept, rescale.RescaleSlope, rescale.RescaleType = -1024, 1, "HU"
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    shared.PixelValueTransformationSequence = [rescale]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [_frame_groups(matrix, k) for k in range(SHAPE[0])]
    dataset.PixelData = dataset.PixelData * SHAPE[0]
    dataset.NumberOfFrames = SHAPE[0]
    _save(dataset, path)
    return dataset


def _frame_groups(matrix: NDArray[np.float64], k: int) -> Dataset:
    groups, position, content = Dataset(), Dataset(), Dataset()
    position.ImagePositionPatient = [float(value) for value in matrix[:3, 3] + k * matrix[:3, 0]]
    content.DimensionIndexValues = [1, k + 1]
    groups.PlanePositionSequence, groups.FrameContentSequence = [position], [content]
    return groups


def _slice(matrix: NDArray[np.float64], k: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.Modality = CT, "CT"
    dataset.SeriesNumber, dataset.InstanceNumber = 2, k + 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = FRAME, ""
    row, column = matrix[:3, 2] / SPACING_MM[2], matrix[:3, 1] / SPACING_MM[1]
    position = matrix[:3, 3] + k * matrix[:3, 0]
    dataset.ImageOrientationPatient = [f"{value:.10f}"[:16] for value in (*row, *column)]
    dataset.ImagePositionPatient = [f"{value:.8f}"[:16] for value in position]
    dataset.PixelSpacing = [str(SPACING_MM[1]), str(SPACING_MM[2])]
    dataset.SliceThickness = str(SPACING_MM[0])
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.KVP = "-1024", "1", "120"
    dataset.PatientPosition, dataset.Manufacturer = "HFS", "Phantom"
    dataset.AcquisitionNumber, dataset.BodyPartExamined = 1, "CHEST"
    identity(dataset, SOPInstanceUID=derived_uid("test", "slice", str(k)))
    pixels = np.arange(SHAPE[1] * SHAPE[2], dtype=np.uint16).reshape(SHAPE[1:]) * 20 + 500
    return with_pixels(dataset, pixels, bits=12)


def _save(dataset: Dataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def slice_references() -> tuple[ImageReference, ...]:
    series = derived_uid("test", "series")
    return tuple(ImageReference(CT, derived_uid("test", "slice", str(k)), series) for k in range(SHAPE[0]))


def region(matrix: NDArray[np.float64], mask: NDArray[np.bool_], name: str = "nodule") -> Region:
    return Region(
        label=name,
        category=TISSUE,
        type=NODULE,
        mask=mask,
        images=slice_references(),
        tracking=TrackingId(f"{name} 1", derived_uid("test", "region", name)),
        geometry=Geometry(SHAPE, affine_of(matrix), FRAME),
    )


def off_centre_mask() -> NDArray[np.bool_]:
    """A mask without any symmetry: a mirrored or swapped axis moves its centroid."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[1:3, 0:4, 4:6] = True
    mask[3, 5, 6] = True
    return mask


def geometry_of(matrix: NDArray[np.float64], shape: tuple[int, ...], frame_of_reference_uid: str) -> Geometry:
    slices, rows, columns = shape
    return Geometry((slices, rows, columns), affine_of(matrix), frame_of_reference_uid)
