"""What leaves for a result, and what it says."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from coread.domain.cards import ReaderKind
from coread.domain.codec import encode
from coread.domain.findings import Point, Presence
from coread.domain.identifiers import derived_uid, is_valid_uid
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import Failure, Reading, ReadResult, Refusal
from coread.domain.work import EvidenceKind
from coread.evidence.build import build_evidence
from coread.evidence.errors import NotBuilt, NotProven, SourceUnreadable
from coread.evidence.sr_reading import read_sr
from coread.evidence.summary import headline
from tests.evidence.build_sources import (
    EFFUSION,
    card,
    findings,
    provenance,
    radiograph,
    reading,
    reference,
    save,
)
from tests.evidence.conftest import of_kind, parse

Chest = tuple[Dataset, Path]


def test_a_positive_result_leaves_as_report_page_and_key_images(chest: Chest) -> None:
    objects = build_evidence(reading(ReadResult(findings(reference(chest[0])))), card(), [chest[1]])
    assert [item.kind for item in objects] == [
        EvidenceKind.SR,
        EvidenceKind.SECONDARY_CAPTURE,
        EvidenceKind.PDF,
        EvidenceKind.KEY_OBJECT,
    ]
    assert all("identity" in item.proof for item in objects)
    assert len({item.series_instance_uid for item in objects}) == 4


def test_a_negative_result_leaves_without_key_images_and_says_absent(chest: Chest) -> None:
    absent = findings(reference(chest[0]))[1]
    objects = build_evidence(reading(ReadResult((absent,))), card(), [chest[1]])
    assert [item.kind for item in objects] == [EvidenceKind.SR, EvidenceKind.SECONDARY_CAPTURE, EvidenceKind.PDF]
    (said,) = read_sr(of_kind(objects, EvidenceKind.SR)).findings
    assert said.presence is Presence.ABSENT
    assert said.concept == EFFUSION


def test_a_likely_finding_without_a_place_leaves_as_indeterminate_with_its_probability(chest: Chest) -> None:
    unclear = replace(findings(reference(chest[0]))[1], presence=Presence.INDETERMINATE, probability=0.62)
    objects = build_evidence(reading(ReadResult((unclear,))), card(), [chest[1]])
    assert [item.kind for item in objects] == [EvidenceKind.SR, EvidenceKind.SECONDARY_CAPTURE, EvidenceKind.PDF]
    (said,) = read_sr(of_kind(objects, EvidenceKind.SR)).findings
    assert said.presence is Presence.INDETERMINATE
    assert said.probability == pytest.approx(0.62)


@pytest.mark.parametrize(
    "ending", [Refusal(Reason(ReasonCode.NOT_CHEST)), Failure("ValueError", "broken")], ids=["refusal", "failure"]
)
def test_a_refusal_or_failure_leaves_as_no_object_at_all(chest: Chest, ending: Refusal | Failure) -> None:
    assert build_evidence(Reading(ending, provenance()), card(), [chest[1]]) == ()


def test_the_same_reading_gives_the_same_bytes(chest: Chest) -> None:
    result = ReadResult(findings(reference(chest[0])))
    once = build_evidence(reading(result), card(), [chest[1]])
    again = build_evidence(reading(result), card(), [chest[1]])
    assert [item.data for item in once] == [item.data for item in again]


def test_a_retry_later_gives_the_same_uids_and_other_input_gives_others(chest: Chest) -> None:
    result = ReadResult(findings(reference(chest[0])))
    first = build_evidence(reading(result), card(), [chest[1]])
    origin = provenance()
    later = replace(origin, finished_at=origin.finished_at + timedelta(hours=1))
    retry = build_evidence(Reading(result, later), card(), [chest[1]])
    assert [item.sop_instance_uid for item in retry] == [item.sop_instance_uid for item in first]
    other = build_evidence(Reading(result, provenance("b" * 64)), card(), [chest[1]])
    assert not {item.sop_instance_uid for item in other} & {item.sop_instance_uid for item in first}
    assert all(is_valid_uid(item.sop_instance_uid) for item in first)


def test_the_report_says_exactly_what_the_result_says(chest: Chest) -> None:
    wanted = findings(reference(chest[0]))[0]
    objects = build_evidence(reading(ReadResult((wanted,))), card(), [chest[1]])
    (said,) = read_sr(of_kind(objects, EvidenceKind.SR)).findings
    assert said.probability == pytest.approx(wanted.probability, abs=1e-15)
    same = replace(wanted, heat_maps=(), probability=said.probability, threshold=said.threshold)
    assert encode(said).document == encode(same).document


def test_a_point_is_written_as_a_point(chest: Chest) -> None:
    image = reference(chest[0])
    pointed = replace(findings(image)[0], locations=(Point(image, 33.5, 44.25), Point(image, 1.0, 2.0)))
    objects = build_evidence(reading(ReadResult((pointed,))), card(), [chest[1]])
    assert read_sr(of_kind(objects, EvidenceKind.SR)).findings[0].locations == pointed.locations


def test_a_triage_reader_puts_no_mark_on_the_image(chest: Chest) -> None:
    result = ReadResult(findings(reference(chest[0])))
    objects = build_evidence(reading(result), card(ReaderKind.TRIAGE), [chest[1]])
    report = of_kind(objects, EvidenceKind.SR)
    assert read_sr(report).findings[0].locations == ()
    assert b"SCOORD" not in objects[0].data


def test_a_name_in_another_script_arrives_whole(chest: Chest) -> None:
    objects = build_evidence(reading(ReadResult(findings(reference(chest[0])))), card(), [chest[1]])
    for item in objects:
        assert str(parse(item).PatientName) == "Yamada^Tarou=山田^太郎=やまだ^たろう"


def test_a_name_in_an_old_character_set_arrives_whole(tmp_path: Path) -> None:
    dataset = radiograph(SpecificCharacterSet="ISO_IR 144", PatientName="Люкceмбypг")
    path = save(dataset, tmp_path / "old.dcm")
    objects = build_evidence(reading(ReadResult(findings(reference(dataset)))), card(), [path])
    assert str(parse(objects[0]).PatientName) == "Люкceмбypг"


def test_findings_on_several_images_keep_their_image(tmp_path: Path) -> None:
    images = [radiograph(SOPInstanceUID=derived_uid("test", "several", str(n))) for n in range(3)]
    paths = [save(image, tmp_path / f"{n}.dcm") for n, image in enumerate(images)]
    result = ReadResult(tuple(findings(reference(image))[0] for image in images))
    result = replace(result, findings=tuple(replace(f, tracking=None) for f in result.findings))
    objects = build_evidence(reading(result), card(), paths)
    said = read_sr(of_kind(objects, EvidenceKind.SR)).findings
    assert [f.locations[0].image.sop_instance_uid for f in said] == [image.SOPInstanceUID for image in images]
    chosen = of_kind(objects, EvidenceKind.KEY_OBJECT).CurrentRequestedProcedureEvidenceSequence[0]
    assert sum(len(series.ReferencedSOPSequence) for series in chosen.ReferencedSeriesSequence) == 5


def test_only_images_with_something_on_them_are_key_images(tmp_path: Path) -> None:
    images = [radiograph(SOPInstanceUID=derived_uid("test", "two", str(n))) for n in range(2)]
    paths = [save(image, tmp_path / f"{n}.dcm") for n, image in enumerate(images)]
    result = ReadResult((findings(reference(images[0]))[0], findings(reference(images[1]))[1]))
    objects = build_evidence(reading(result), card(), paths)
    names = objects[-1].data
    assert str(images[0].SOPInstanceUID).encode() in names
    assert str(images[1].SOPInstanceUID).encode() not in names


def test_images_that_were_not_read_are_named_with_their_reason(chest: Chest) -> None:
    image = reference(chest[0])
    skipped = ((image, Reason(ReasonCode.WRONG_VIEW, "lateral")),)
    objects = build_evidence(reading(ReadResult((findings(image)[1],), skipped=skipped)), card(), [chest[1]])
    assert b"View is not one the reader reads: lateral" in objects[0].data


def test_two_hundred_findings_and_long_names_still_make_legal_objects(chest: Chest) -> None:
    base = findings(reference(chest[0]))[1]
    long_card = replace(card(), name="A reader with a name that is very much longer than sixty-four characters")
    objects = build_evidence(reading(ReadResult((base,) * 200)), long_card, [chest[1]])
    report = of_kind(objects, EvidenceKind.SR)
    assert len(read_sr(report).findings) == 200
    assert len(report.SeriesDescription) <= 64
    assert " AI " in report.SeriesDescription


def test_every_object_carries_the_attributes_that_archives_need(chest: Chest) -> None:
    for item in build_evidence(reading(ReadResult(findings(reference(chest[0])))), card(), [chest[1]]):
        dataset = parse(item)
        assert dataset.StudyInstanceUID == chest[0].StudyInstanceUID
        assert dataset.AccessionNumber == "ACC123"
        assert dataset.SeriesDescription.startswith("Chest X-ray 1.2.0 AI ")
        assert dataset.SeriesNumber > 9000
        assert dataset.ContentQualification == "RESEARCH"
        assert dataset.SpecificCharacterSet == "ISO_IR 192"
        assert dataset.ContributingEquipmentSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
        assert dataset.TimezoneOffsetFromUTC


def test_times_are_told_in_the_time_zone_of_the_source(tmp_path: Path) -> None:
    dataset = radiograph(TimezoneOffsetFromUTC="+0530")
    path = save(dataset, tmp_path / "zone.dcm")
    report = parse(build_evidence(reading(ReadResult(findings(reference(dataset)))), card(), [path])[0])
    assert (report.TimezoneOffsetFromUTC, report.ContentTime) == ("+0530", "154503")


def test_a_mark_outside_its_image_stops_everything(chest: Chest) -> None:
    image = reference(chest[0])
    outside = replace(findings(image)[0], locations=(Point(image, 500.0, 2.0),))
    with pytest.raises(NotProven, match="outside its image"):
        build_evidence(reading(ReadResult((outside,))), card(), [chest[1]])


def test_a_finding_on_a_strange_image_stops_everything(chest: Chest) -> None:
    stranger = replace(reference(chest[0]), sop_instance_uid="1.2.3")
    with pytest.raises(NotBuilt, match="not among its sources"):
        build_evidence(reading(ReadResult(findings(stranger))), card(), [chest[1]])


def test_an_operating_point_that_the_card_does_not_have_stops_everything(chest: Chest) -> None:
    odd = replace(findings(reference(chest[0]))[0], operating_point="invented")
    with pytest.raises(NotBuilt, match="invented"):
        build_evidence(reading(ReadResult((odd,))), card(), [chest[1]])


def test_a_source_that_is_gone_is_named(chest: Chest) -> None:
    with pytest.raises(SourceUnreadable, match=r"gone\.dcm"):
        build_evidence(reading(ReadResult(findings(reference(chest[0])))), card(), [chest[1].parent / "gone.dcm"])


def test_source_files_are_left_as_they_were(chest: Chest) -> None:
    before = chest[1].read_bytes()
    build_evidence(reading(ReadResult(findings(reference(chest[0])))), card(), [chest[1]])
    assert chest[1].read_bytes() == before


def test_the_headline_never_says_nothing() -> None:
    assert headline(["Pneumothorax", "Pneumothorax"]) == "Suspected: Pneumothorax"
    assert headline(list("abcdef")) == "Suspected: a, b, c, d and 2 more"
    assert "Nothing detected" in headline([])


def test_the_page_is_a_colour_image_that_says_it_has_text_burned_in(chest: Chest) -> None:
    objects = build_evidence(reading(ReadResult(findings(reference(chest[0])))), card(), [chest[1]])
    page = of_kind(objects, EvidenceKind.SECONDARY_CAPTURE)
    assert page.BurnedInAnnotation == "YES"
    assert page.pixel_array.shape == (page.Rows, page.Columns, 3)
    assert 1024 <= page.Columns <= 1600
    assert dcmread(chest[1]).SOPInstanceUID == page.SourceImageSequence[0].ReferencedSOPInstanceUID
