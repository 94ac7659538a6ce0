"""Nothing that says something else than the result gets past the proof."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from coread.domain.codes import LEFT, RIGHT, Code
from coread.domain.findings import Box
from coread.domain.results import Failure, Reading, ReadResult
from coread.domain.work import EncodedObject, EvidenceKind
from coread.evidence.build import build_evidence
from coread.evidence.errors import NotProven
from coread.evidence.prove import prove
from coread.evidence.writing import part10
from tests.evidence.build_sources import card, findings, provenance, radiograph, reading, reference, save
from tests.evidence.build_volumes import affine, axis_directions, ct_slices, off_centre_mask, region
from tests.evidence.conftest import parse
from tests.evidence.test_volumes import result_of

Change = Callable[[Dataset], object]


def tampered(objects: tuple[EncodedObject, ...], kind: EvidenceKind, change: Change) -> tuple[EncodedObject, ...]:
    changed = []
    for item in objects:
        if item.kind is kind:
            dataset = parse(item)
            change(dataset)
            changed.append(replace(item, data=part10(dataset)))
        else:
            changed.append(item)
    return tuple(changed)


def measurement_groups(report: Dataset) -> list[Dataset]:
    (container,) = [i for i in report.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "126010"]
    return list(container.ContentSequence)


def item_of(group: Dataset, code: str) -> Dataset:
    found: Dataset = next(i for i in group.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == code)
    return found


def swap_laterality(report: Dataset) -> None:
    site = item_of(measurement_groups(report)[0], "363698007")
    site.ContentSequence[0].ConceptCodeSequence[0].CodeValue = "7771000"


def turn_absent_into_present(report: Dataset) -> None:
    item_of(measurement_groups(report)[2], "705057003").ConceptCodeSequence[0].CodeValue = "52101004"


def change_probability(report: Dataset) -> None:
    item_of(measurement_groups(report)[0], "111012").MeasuredValueSequence[0].FloatingPointValue = 12.0


def move_corner(report: Dataset) -> None:
    item_of(measurement_groups(report)[1], "111030").GraphicData[0] += 1.0


def move_box(report: Dataset) -> None:
    corners = item_of(measurement_groups(report)[1], "111030")
    corners.GraphicData = [float(value) + 1.0 for value in corners.GraphicData]


def drop_last_group(report: Dataset) -> None:
    (container,) = [i for i in report.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "126010"]
    del container.ContentSequence[-1]


def drop_evidence(report: Dataset) -> None:
    del report.CurrentRequestedProcedureEvidenceSequence


def point_elsewhere(report: Dataset) -> None:
    study = report.CurrentRequestedProcedureEvidenceSequence[0]
    study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3.4"


def set_to(keyword: str, value: str) -> Change:
    return lambda dataset: setattr(dataset, keyword, value)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (EvidenceKind.SR, swap_laterality, "finding 1 of the report differs"),
        (EvidenceKind.SR, turn_absent_into_present, "finding 2 of the report differs"),
        (EvidenceKind.SR, change_probability, "finding 1 of the report differs"),
        (EvidenceKind.SR, move_corner, "no closed rectangle"),
        (EvidenceKind.SR, move_box, "finding 1 of the report differs"),
        (EvidenceKind.SR, drop_last_group, "the report says 2 findings, the result 3"),
        (EvidenceKind.SR, point_elsewhere, "neither source nor sibling"),
        (EvidenceKind.SR, set_to("PatientID", "SOMEBODY"), "PatientID"),
        (EvidenceKind.SR, set_to("VerificationFlag", "VERIFIED"), "VerificationFlag"),
        (EvidenceKind.SECONDARY_CAPTURE, set_to("AccessionNumber", "OTHER"), "AccessionNumber"),
        (EvidenceKind.SECONDARY_CAPTURE, set_to("BurnedInAnnotation", "NO"), "BurnedInAnnotation"),
        (EvidenceKind.SECONDARY_CAPTURE, set_to("StudyInstanceUID", "1.2.3"), "StudyInstanceUID"),
        (EvidenceKind.KEY_OBJECT, set_to("PatientName", "Some^Body"), "PatientName"),
        (EvidenceKind.KEY_OBJECT, drop_evidence, "missing in its evidence sequence"),
    ],
)
def test_a_changed_object_is_stopped(
    chest: tuple[Dataset, Path], kind: EvidenceKind, change: Change, message: str
) -> None:
    made = reading(ReadResult(findings(reference(chest[0]))))
    objects = build_evidence(made, card(), [chest[1]])
    assert "identity" in prove(objects, made, card(), [chest[1]])
    with pytest.raises(NotProven, match=message):
        prove(tampered(objects, kind, change), made, card(), [chest[1]])


def shift(segmentation: Dataset) -> None:
    for groups in segmentation.PerFrameFunctionalGroupsSequence:
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        position[0] = float(position[0]) + 0.2


def mirror(segmentation: Dataset) -> None:
    orientation = segmentation.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    cosines = orientation.ImageOrientationPatient
    orientation.ImageOrientationPatient = [-float(value) for value in cosines[:3]] + list(cosines[3:])


def flip_a_bit(segmentation: Dataset) -> None:
    data = bytearray(segmentation.PixelData)
    data[2] ^= 1
    segmentation.PixelData = bytes(data)


@pytest.mark.parametrize(
    ("change", "message"), [(shift, "mm apart"), (mirror, "mm apart"), (flip_a_bit, "is not the mask")]
)
def test_a_segmentation_that_moved_is_stopped(tmp_path: Path, change: Change, message: str) -> None:
    matrix = affine(next(axis_directions()))
    paths = ct_slices(matrix, tmp_path)
    made = reading(result_of(region(matrix, off_centre_mask())))
    objects = build_evidence(made, card(), paths)
    with pytest.raises(NotProven, match=message):
        prove(tampered(objects, EvidenceKind.SEG, change), made, card(), paths)


def test_a_failure_must_not_leave_as_an_object(chest: tuple[Dataset, Path]) -> None:
    made = reading(ReadResult(findings(reference(chest[0]))))
    objects = build_evidence(made, card(), [chest[1]])
    failed = Reading(Failure("ValueError", "broken"), provenance())
    with pytest.raises(NotProven, match="must not leave"):
        prove(objects, failed, card(), [chest[1]])
    assert prove((), failed, card(), [chest[1]]) == "no result, no object"


@pytest.mark.parametrize(
    ("side", "columns", "orientation", "stopped"),
    [
        (RIGHT, (5.0, 30.0), ["L", "F"], False),
        (LEFT, (5.0, 30.0), ["L", "F"], True),
        (LEFT, (70.0, 90.0), ["L", "F"], False),
        (RIGHT, (70.0, 90.0), ["L", "F"], True),
        (LEFT, (5.0, 30.0), ["R", "F"], False),
        (RIGHT, (5.0, 30.0), ["R", "F"], True),
        (LEFT, (30.0, 50.0), ["L", "F"], False),
        (LEFT, (5.0, 30.0), None, False),
    ],
)
def test_a_mark_on_the_other_side_is_stopped(
    tmp_path: Path, side: Code, columns: tuple[float, float], orientation: list[str] | None, stopped: bool
) -> None:
    dataset = radiograph()
    dataset.PatientOrientation = orientation
    path = save(dataset, tmp_path / "side.dcm")
    image = reference(dataset)
    marked = replace(findings(image)[0], laterality=side, locations=(Box(image, columns[0], 20.0, columns[1], 60.0),))
    made = reading(ReadResult((marked,)))
    if stopped:
        with pytest.raises(NotProven, match="its marks are on the"):
            build_evidence(made, card(), [path])
    else:
        assert build_evidence(made, card(), [path])
