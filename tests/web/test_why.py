from dataclasses import replace

import pytest
from pydicom.uid import UID

from coread.app.errors import NothingFound
from coread.app.why import because, ending_text, study_story, study_uids
from coread.domain import codes
from coread.domain.cards import ReaderKind
from coread.domain.findings import Finding, Presence
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import Outcome, Reading, ReadResult
from coread.store.results import headline_of
from tests.store.examples import provenance
from tests.web import world
from tests.web.conftest import Site


def test_the_stages_run_from_the_first_image_to_the_pacs(hospital: Site) -> None:
    story = study_story(hospital.store, hospital.sent["positive"].study_uid)
    keys = [stage.key for stage in story.stages]
    assert keys == ["last", "settled", "routed", "reading", "read", "evidence", "delivered"]
    assert story.stages[0].seconds is None
    assert all(stage.seconds is not None and stage.seconds >= 0 for stage in story.stages[1:])
    assert "PACS acknowledged" in story.stages[-1].name


def test_what_did_not_arrive_is_named_with_its_reason(hospital: Site) -> None:
    missing = study_story(hospital.store, hospital.sent["positive"].study_uid).missing
    assert any("have not reached Research archive" in line for line in missing)
    receiving = study_story(hospital.store, hospital.sent["receiving"].study_uid)
    assert receiving.missing == ("The study is not complete yet; readers start once it has settled.",)
    waiting = study_story(hospital.store, hospital.sent["waiting"].study_uid)
    assert waiting.missing == ("chest_test: Waiting to be read.",)
    assert waiting.readers[0].outcome is None


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("positive", Outcome.POSITIVE),
        ("negative", Outcome.NEGATIVE),
        ("not_analysed", Outcome.NOT_ANALYSED),
        ("declined", Outcome.NOT_ANALYSED),
        ("failed", Outcome.FAILED),
    ],
)
def test_every_answered_study_has_one_outcome_and_a_sentence(hospital: Site, kind: str, outcome: Outcome) -> None:
    (reader,) = study_story(hospital.store, hospital.sent[kind].study_uid).readers
    assert reader.outcome is outcome
    assert reader.explanation


@pytest.mark.parametrize(
    ("kind", "presence", "said", "listed"),
    [
        (ReaderKind.DETECTION, Presence.PRESENT, "Suspected: Chest", "Chest (suspected)"),
        (None, Presence.PRESENT, "Suspected: Chest", "Chest (suspected)"),
        (ReaderKind.RECONSTRUCTION, Presence.PRESENT, "Note: Chest", "Chest"),
        (ReaderKind.RECONSTRUCTION, Presence.ABSENT, "Nothing to note", "Nothing to note"),
        (ReaderKind.QUALITY, Presence.PRESENT, "Note: Chest", "Chest"),
    ],
)
def test_what_is_said_of_images_is_noted_and_never_suspected(
    kind: ReaderKind | None, presence: Presence, said: str, listed: str
) -> None:
    reading = Reading(ReadResult((Finding("a", codes.CHEST, presence),)), replace(provenance(), reader_kind=kind))
    assert (ending_text(reading), headline_of(reading)) == (said, listed)


def test_an_unclear_result_is_explained_by_what_is_unclear() -> None:
    unclear, absent = (
        Finding("a", codes.INDETERMINATE, Presence.INDETERMINATE), Finding("b", codes.CHEST, Presence.ABSENT),
    )  # fmt: skip
    said = ending_text(Reading(ReadResult((unclear, absent)), provenance()))
    assert said == (
        "Not analysed, because: reader was not sure enough: "
        f"{codes.INDETERMINATE.meaning}; not detected: {codes.CHEST.meaning}"
    )


def test_a_study_answers_to_its_accession_number_but_not_to_wild_cards(hospital: Site) -> None:
    sent = hospital.sent["negative"]
    assert study_uids(hospital.store, f" {sent.accession_number} ") == (sent.study_uid,)
    for nothing in ("", "*", "ACC*", "ACC0000?"):
        assert study_uids(hospital.store, nothing) == ()
    with pytest.raises(NothingFound):
        study_story(hospital.store, "NOSUCH")


def test_a_late_image_starts_a_second_generation_and_the_first_is_still_told(ward: Site) -> None:
    store, uid = ward.store, ward.sent["positive"].study_uid
    late = world.chest(1, ("effusion",), rows=128)
    late.SOPInstanceUID = UID("1.2.3.4.5")
    late.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.4.5")
    assert world.send(store, late) == uid
    reopened = study_story(store, uid)
    assert any("late images re-opened it" in line for line in reopened.missing)
    world.settle(store, uid)
    story = study_story(store, uid)
    assert story.study.generation == 2
    assert [reader.explanation for reader in story.readers] == ["Waiting to be read"]
    assert [reader.outcome for reader in story.earlier] == [Outcome.POSITIVE]


def test_not_analysed_always_says_because() -> None:
    assert because(Reason(ReasonCode.WRONG_AGE, "4 years")).startswith("Not analysed, because: age of the patient")
    assert "no reason was recorded" in because(None)
