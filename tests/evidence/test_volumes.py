"""Segmentations lie where the images lie: for all 48 orientations, a tilted gantry, and random masks."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from coread.domain.codes import Code
from coread.domain.findings import Box, Finding, Measurement, Presence, Region, TrackingId
from coread.domain.geometry import affine_of
from coread.domain.results import ReadResult
from coread.domain.work import EvidenceKind
from coread.evidence import seg
from coread.evidence.build import build_evidence
from coread.evidence.errors import NotProven
from coread.evidence.prove_seg import prove_segmentation
from coread.evidence.sources import copied_header, read_sources
from coread.evidence.sr_outlines import prove_outlines
from coread.evidence.sr_reading import read_sr
from coread.evidence.writing import Writing, part10
from tests.evidence.build_sources import NODULE as NODULE_FINDING
from tests.evidence.build_sources import card, provenance, radiograph, reading, reference, save
from tests.evidence.build_volumes import (
    FRAME,
    NODULE,
    SHAPE,
    TISSUE,
    affine,
    axis_directions,
    ct_slices,
    enhanced_ct,
    geometry_of,
    off_centre_mask,
    region,
    slice_references,
)
from tests.evidence.conftest import of_kind

ORIENTATIONS = list(axis_directions())
MM = Code("mm", "UCUM", "millimeter")


def result_of(*regions: Region, measurements: tuple[Measurement, ...] = ()) -> ReadResult:
    absent = Finding("nodule", NODULE_FINDING, Presence.NOT_ASSESSED)
    length = Measurement(Code("410668003", "SCT", "Length"), 1.5, MM)
    return ReadResult((absent,), (*measurements, length), regions)


def proved(result: ReadResult, paths: list[Path]) -> Dataset:
    """The one segmentation of a result, written, encoded, parsed again and proved; without page and report."""
    images = read_sources(paths)
    writing = Writing(result, provenance(), card(), images, copied_header(images))
    (written,) = seg.build_segmentations(writing).datasets
    parsed = dcmread(BytesIO(part10(written)))
    assert prove_segmentation(parsed, writing) == []
    return parsed


def centroid_mm(segmentation: Dataset) -> NDArray[np.float64]:
    """Independent of the room: highdicom reads the object and gives its volume with an affine."""
    from highdicom.seg import Segmentation

    volume = Segmentation.from_dataset(segmentation).get_volume(combine_segments=True)
    index = np.argwhere(volume.array > 0)
    return np.asarray((index @ volume.affine[:3, :3].T + volume.affine[:3, 3]).mean(axis=0), dtype=np.float64)


@pytest.mark.parametrize("number", range(48))
def test_every_orientation_keeps_its_place(tmp_path: Path, number: int) -> None:
    matrix = affine(ORIENTATIONS[number])
    lesion = region(matrix, off_centre_mask())
    found = centroid_mm(proved(result_of(lesion), ct_slices(matrix, tmp_path)))
    geometry = lesion.geometry
    assert geometry is not None
    assert np.allclose(found, geometry.to_patient(np.argwhere(lesion.mask)).mean(axis=0), atol=0.1)


@pytest.mark.parametrize("tilt", [-30.0, -12.5, 7.0, 24.0])
@pytest.mark.parametrize("number", [0, 11, 30, 47])
def test_a_tilted_gantry_keeps_its_place(tmp_path: Path, number: int, tilt: float) -> None:
    matrix = affine(ORIENTATIONS[number], tilt)
    segmentation = proved(result_of(region(matrix, off_centre_mask())), ct_slices(matrix, tmp_path))
    assert segmentation.NumberOfFrames == SHAPE[0]
    assert segmentation.FrameOfReferenceUID


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mask=hnp.arrays(bool, SHAPE), other=hnp.arrays(bool, SHAPE), number=st.integers(0, 47))
def test_any_two_masks_come_back_bit_by_bit(
    tmp_path: Path, mask: NDArray[np.bool_], other: NDArray[np.bool_], number: int
) -> None:
    matrix = affine(ORIENTATIONS[number])
    regions = (region(matrix, mask), region(matrix, other, "rest"))
    segmentation = proved(result_of(*regions), ct_slices(matrix, tmp_path))
    assert int(segmentation.NumberOfFrames) == 2 * SHAPE[0]
    bits = np.unpackbits(np.frombuffer(segmentation.PixelData, np.uint8), count=2 * mask.size, bitorder="little")
    assert bits.sum() == mask.sum() + other.sum()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_region_whose_geometry_is_mirrored_does_not_leave(tmp_path: Path, axis: int) -> None:
    matrix = affine(ORIENTATIONS[0])
    paths = ct_slices(matrix, tmp_path)
    lesion = region(matrix, off_centre_mask())
    assert lesion.geometry is not None
    mirrored = matrix.copy()
    mirrored[:3, axis] *= -1
    wrong = replace(lesion, geometry=replace(lesion.geometry, affine=affine_of(mirrored)))
    with pytest.raises(NotProven, match="mm apart"):
        build_evidence(reading(result_of(wrong)), card(), paths)


def test_a_measurement_of_a_region_comes_back_with_unit_and_uncertainty(tmp_path: Path) -> None:
    matrix = affine(ORIENTATIONS[5])
    lesion = region(matrix, off_centre_mask())
    volume = Measurement(
        Code("118565006", "SCT", "Volume"),
        1234.5678901234567,
        Code("mm3", "UCUM", "cubic millimeter"),
        uncertainty=12.25,
        method=Code("126030", "DCM", "Sum of segmented voxel volumes"),
        tracking=lesion.tracking,
        images=slice_references()[1:3],
    )
    objects = build_evidence(reading(result_of(lesion, measurements=(volume,))), card(), ct_slices(matrix, tmp_path))
    said = read_sr(of_kind(objects, EvidenceKind.SR)).measurements
    assert said[0] == volume
    assert (said[1].value, said[1].unit) == (1.5, MM)


def test_a_statistic_of_one_place_comes_back_with_derivation_and_site(tmp_path: Path) -> None:
    mean = Measurement(
        Code("112031", "DCM", "Attenuation Coefficient"),
        143.25,
        Code("[hnsf'U]", "UCUM", "Hounsfield unit"),
        uncertainty=4.5,
        derivation=Code("373098007", "SCT", "Mean"),
        site=Code("66794005", "SCT", "First lumbar vertebra"),
    )
    matrix = affine(ORIENTATIONS[5])
    result = result_of(region(matrix, off_centre_mask()), measurements=(mean,))
    objects = build_evidence(reading(result), card(), ct_slices(matrix, tmp_path))
    said = read_sr(of_kind(objects, EvidenceKind.SR)).measurements
    (back,) = [item for item in said if item.concept == mean.concept]
    assert (back.derivation, back.site, back.value, back.uncertainty) == (mean.derivation, mean.site, 143.25, 4.5)
    assert mean.name() == "Attenuation Coefficient, Mean, First lumbar vertebra"
    assert (mean.spread(), mean.unit_text()) == (" ± 4.5", "HU")


def test_empty_frames_are_kept_within_the_frame_budget_and_dropped_beyond(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = affine(ORIENTATIONS[0])
    paths = ct_slices(matrix, tmp_path)
    whole = build_evidence(reading(result_of(region(matrix, off_centre_mask()))), card(), paths)
    assert of_kind(whole, EvidenceKind.SEG).NumberOfFrames == SHAPE[0]
    monkeypatch.setattr(seg, "FRAME_BUDGET", 3)
    spare = build_evidence(reading(result_of(region(matrix, off_centre_mask()))), card(), paths)
    assert of_kind(spare, EvidenceKind.SEG).NumberOfFrames == 3


def test_regions_on_different_slices_of_a_series_share_one_object(tmp_path: Path) -> None:
    matrix = affine(ORIENTATIONS[21], 9.0)
    whole = region(matrix, off_centre_mask())

    def part(name: str, first: int, mask: NDArray[np.bool_]) -> Region:
        begun = matrix.copy()
        begun[:3, 3] += first * matrix[:3, 0]
        slices = 1 if mask.ndim == 2 else len(mask)
        geometry = geometry_of(begun, (slices, *SHAPE[1:]), FRAME)
        images = whole.images[first : first + slices]
        return replace(
            whole, label=name, mask=mask, images=images, tracking=TrackingId(name, f"2.25.{first}"), geometry=geometry
        )

    upper, flat = part("upper", 2, off_centre_mask()[2:]), part("flat", 1, off_centre_mask()[1])
    objects = build_evidence(reading(result_of(upper, flat, whole)), card(), ct_slices(matrix, tmp_path))
    segmentation = of_kind(objects, EvidenceKind.SEG)
    assert [str(segment.SegmentLabel) for segment in segmentation.SegmentSequence] == ["upper", "flat", "nodule"]
    assert segmentation.NumberOfFrames == 3 * SHAPE[0]


def test_the_outline_of_a_region_carries_its_tracking_uid_and_encloses_its_largest_slice(tmp_path: Path) -> None:
    matrix = affine(ORIENTATIONS[0])
    lesion = region(matrix, off_centre_mask())
    report = of_kind(build_evidence(reading(result_of(lesion)), card(), ct_slices(matrix, tmp_path)), EvidenceKind.SR)
    (measured,) = [item for item in report.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "126010"]
    (outline,) = [
        child
        for group in measured.ContentSequence
        if any(str(item.get("UID", "")) == lesion.tracking.uid for item in group.ContentSequence)
        for child in group.ContentSequence
        if child.ValueType == "SCOORD"
    ]
    assert outline.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == (
        lesion.images[1].sop_instance_uid
    )
    points = np.array(outline.GraphicData).reshape(-1, 2)
    assert points.min(axis=0).tolist() == [4.0, 0.0]
    assert points.max(axis=0).tolist() == [6.0, 4.0]
    assert np.array_equal(points[0], points[-1])


def test_an_outline_of_other_pixels_does_not_leave(tmp_path: Path) -> None:
    matrix = affine(ORIENTATIONS[0])
    paths = ct_slices(matrix, tmp_path)
    said = result_of(region(matrix, off_centre_mask()))
    objects = build_evidence(reading(said), card(), paths)
    report = of_kind(objects, EvidenceKind.SR)
    writing = Writing(said, reading(said).provenance, card(), read_sources(paths), copied_header(read_sources(paths)))
    assert prove_outlines(report, writing) == []
    shifted = replace(said, regions=(region(matrix, np.roll(off_centre_mask(), 1, axis=1)),))
    assert prove_outlines(report, replace(writing, result=shifted)) != []


def test_a_region_with_more_frames_than_viewers_open_is_named_and_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seg, "MOST_FRAMES", 2)
    matrix = affine(ORIENTATIONS[0])
    objects = build_evidence(reading(result_of(region(matrix, off_centre_mask()))), card(), ct_slices(matrix, tmp_path))
    assert EvidenceKind.SEG not in {item.kind for item in objects}
    assert b"has 3 frames, more than 2: no segmentation" in objects[0].data


def test_a_region_on_a_radiograph_needs_no_frame_of_reference(tmp_path: Path) -> None:
    dataset = radiograph()
    path = save(dataset, tmp_path / "chest.dcm")
    mask = np.zeros((128, 96), dtype=bool)
    mask[10:30, 5:50] = True
    opacity = Region("Opacity", TISSUE, NODULE, mask, (reference(dataset),), TrackingId("opacity 1", "2.25.77"))
    objects = build_evidence(reading(result_of(opacity)), card(), [path])
    segmentation = of_kind(objects, EvidenceKind.SEG)
    assert "FrameOfReferenceUID" not in segmentation
    assert (segmentation.Rows, segmentation.Columns) == (128, 96)
    assert np.array_equal(segmentation.pixel_array.astype(bool), mask)
    assert list(segmentation.PatientOrientation) == ["L", "F"]


def test_a_region_over_frames_that_share_no_space_is_named_and_not_written(tmp_path: Path) -> None:
    matrix = affine(ORIENTATIONS[0])
    lost = replace(region(matrix, off_centre_mask()), geometry=None)
    objects = build_evidence(reading(result_of(lost)), card(), ct_slices(matrix, tmp_path))
    assert EvidenceKind.SEG not in {item.kind for item in objects}
    assert b"spans frames without a common frame of reference" in objects[0].data


def test_an_enhanced_multi_frame_source_is_referred_to_frame_by_frame(tmp_path: Path) -> None:
    matrix = affine(ORIENTATIONS[13])
    dataset = enhanced_ct(matrix, tmp_path / "enhanced.dcm")
    frames = tuple(reference(dataset, k + 1) for k in range(SHAPE[0]))
    lesion = replace(region(matrix, off_centre_mask()), images=frames)
    found = Finding(
        "nodule", NODULE_FINDING, Presence.PRESENT, 0.77, 0.42, "balanced",
        images=frames[2:3], locations=(Box(frames[2], 1.0, 1.0, 4.0, 5.5),),
    )  # fmt: skip
    objects = build_evidence(reading(ReadResult((found,), regions=(lesion,))), card(), [tmp_path / "enhanced.dcm"])
    assert read_sr(of_kind(objects, EvidenceKind.SR)).findings[0].locations[0].image.frame == 3
    assert np.allclose(
        centroid_mm(of_kind(objects, EvidenceKind.SEG)),
        centroid_mm(proved(ReadResult((found,), regions=(lesion,)), [tmp_path / "enhanced.dcm"])),
    )
