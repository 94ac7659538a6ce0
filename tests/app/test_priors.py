"""Earlier studies of a patient reach a reader that asks for them, and nobody else's images ever do."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coread.app.offline import take_in
from coread.app.priors import find_priors, prior_finder, same_person
from coread.domain.cards import ReaderCard
from coread.domain.codes import Code
from coread.domain.findings import Finding, ImageReference, Presence, Region, TrackingId
from coread.domain.results import Provenance, Reading, ReadResult
from coread.domain.study import SettledReason
from coread.domain.work import RoutingDecision, VerdictKind
from coread.engine.priors import load_priors, region_digests
from coread.engine.run import run_reader
from coread.engine.sessions import SessionSettings
from coread.engine.worker_loop import WorkLoop, WorkSettings
from coread.models.session import open_session
from coread.readers.registry import InstalledReader, load_reader
from coread.store import Store, StoreSettings
from tests.engine.inputs import NOW, radiograph, square_at, tiny_installed
from tests.models.tiny_reader import CARD, READER
from tests.route.studies import header
from tests.route.studies import study as indexed

ROOT = "1.2.826.0.1.3680043.8.498"
COMPARING = READER.replace("return Prepared({", "self.priors = inputs.priors\n        return Prepared({").replace(
    "return ReadResult((finding,))",
    'dates = " ".join(item.study.study_date for item in self.priors)\n'
    '        return ReadResult((finding,), notes=(f"compared with: {dates}",))',
)
TWO_PRIORS = CARD.replace("max_images = 4", "max_images = 4\nmax_priors = 2\nprior_years = 3.0")


@pytest.fixture
def comparing(tmp_path: Path) -> Iterator[InstalledReader]:
    sys.path.insert(0, str(tmp_path))
    yield tiny_installed(tmp_path / "tiny_comparing", card=TWO_PRIORS, code=COMPARING)
    sys.path.remove(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("tiny_comparing")]:
        del sys.modules[name]


def study(folder: Path, number: int, date: str, /, **attributes: object) -> Path:
    plain = {"StudyInstanceUID": f"{ROOT}.{number}", "SOPInstanceUID": f"{ROOT}.{number}.1"}
    attributes = plain | {"SeriesInstanceUID": f"{ROOT}.{number}.0", "StudyDate": date} | attributes
    return radiograph(folder / f"{number}.dcm", square_at(64, 160), 1, **attributes)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    settings = StoreSettings(folder=tmp_path / "store", durable=False, warn_free_fraction=0.0, refuse_free_fraction=0.0)
    with Store.open(settings, migrate=True) as opened:
        yield opened


def settled(store: Store, *paths: Path) -> list[str]:
    refused, uids = take_in(store, paths, lambda *_: None)
    assert refused == []
    for uid in uids:
        store.settle(uid, SettledReason.MANUAL)
    return list(uids)


def dates_found(store: Store, uid: str, card: ReaderCard) -> list[str]:
    current = store.study(uid, with_series=True, with_instances=True)
    assert current is not None
    return [item.study.study_date for item in find_priors(store, current, card).priors]


def test_the_newest_earlier_studies_come_first_and_no_later_or_older_one(
    store: Store, tmp_path: Path, comparing: InstalledReader
) -> None:
    paths = [
        study(tmp_path, number, date)
        for number, date in enumerate(("20260504", "20260101", "20250601", "20240101", "20270101", "20190101"), start=1)
    ]
    current = settled(store, *paths)[0]
    assert dates_found(store, current, comparing.card) == ["20260101", "20250601"]
    more = replace(comparing.card, input=replace(comparing.card.input, max_priors=9))
    assert dates_found(store, current, more) == ["20260101", "20250601", "20240101"]
    none = replace(comparing.card, input=replace(comparing.card.input, max_priors=0))
    assert dates_found(store, current, none) == []


@pytest.mark.parametrize(
    "other",
    [
        {"PatientID": "SECRET-78"},
        {"PatientID": "SECRET*"},
        {"PatientBirthDate": "19800101"},
        {"IssuerOfPatientID": "OTHER HOSPITAL"},
        {"Modality": "US"},
        {"StudyDate": ""},
        {"StudyDate": "20260504"},
        {"StudyDate": "20260504", "StudyTime": ""},
        {"PatientBirthDate": "", "PatientName": "Another^Person"},
    ],
)
def test_what_is_another_persons_or_does_not_fit_is_no_prior(
    store: Store, tmp_path: Path, comparing: InstalledReader, other: dict[str, object]
) -> None:
    first, second = study(tmp_path, 1, "20260504"), study(tmp_path, 2, "20260101", **other)
    current = settled(store, first, second)[0]
    assert dates_found(store, current, comparing.card) == []


def test_a_patient_id_with_the_signs_of_a_pattern_is_taken_as_it_is(
    store: Store, tmp_path: Path, comparing: InstalledReader
) -> None:
    mine = {"PatientID": "A*"}
    paths = [study(tmp_path, 1, "20260504", **mine), study(tmp_path, 2, "20260101", **mine)]
    current = settled(store, *paths, study(tmp_path, 3, "20260102", PatientID="AB"))[0]
    assert dates_found(store, current, comparing.card) == ["20260101"]


def test_a_reader_is_given_the_priors_and_their_bytes_are_part_of_the_input_digest(
    store: Store, tmp_path: Path, comparing: InstalledReader
) -> None:
    current = settled(store, study(tmp_path, 1, "20260504"), study(tmp_path, 2, "20260101"))[0]
    known = store.study(current, with_series=True, with_instances=True)
    assert known is not None
    sources = [(store.path_of(one.path), one.header) for one in known.series[0].instances]
    session, reader = open_session(comparing.model_folder, comparing.card_path), load_reader(comparing)
    priors = find_priors(store, known, comparing.card)
    with_prior = run_reader(comparing, session, reader, known, sources, NOW, priors)
    alone = run_reader(comparing, session, reader, known, sources, NOW)
    assert isinstance(with_prior.ending, ReadResult)
    given = f"Given for comparison: study of 20260101, {ROOT}.2"
    assert with_prior.ending.notes == ("compared with: 20260101", given)
    assert with_prior.provenance.input_digest != alone.provenance.input_digest


def test_a_prior_that_cannot_be_read_is_named_and_the_current_study_is_read(
    tmp_path: Path, store: Store, comparing: InstalledReader
) -> None:
    flat = square_at(0, 0, side=0) * 0
    broken = radiograph(
        tmp_path / "2.dcm",
        flat,
        StudyInstanceUID=f"{ROOT}.2",
        SOPInstanceUID=f"{ROOT}.2.1",
        SeriesInstanceUID=f"{ROOT}.2.0",
        StudyDate="20260101",
    )
    current = settled(store, study(tmp_path, 1, "20260504"), broken)[0]
    known = store.study(current, with_series=True, with_instances=True)
    assert known is not None
    sources = [(store.path_of(one.path), one.header) for one in known.series[0].instances]
    session, reader = open_session(comparing.model_folder, comparing.card_path), load_reader(comparing)
    reading = run_reader(comparing, session, reader, known, sources, NOW, find_priors(store, known, comparing.card))
    assert isinstance(reading.ending, ReadResult)
    assert reading.ending.notes[0] == "compared with: "
    assert reading.ending.notes[1].startswith("Earlier study of 20260101 not used: ")


def test_the_worker_finds_them_by_itself(tmp_path: Path, store: Store, comparing: InstalledReader) -> None:
    from coread.app.pipeline import pipeline_of, route_settled
    from coread.app.settings import Settings

    uids = settled(store, study(tmp_path, 1, "20260504"), study(tmp_path, 2, "20260101"))
    settings = Settings.model_validate({"folder": tmp_path / "site"})
    pipeline = replace(pipeline_of(store, settings), readers=(comparing,), broken=(), find_readers=None)
    for uid in uids:
        route_settled(pipeline, uid)
    loop = WorkLoop(
        store,
        (comparing,),
        lambda *_: (),
        settings=WorkSettings(cap_memory=False),
        open_session=SessionSettings().open,
        find_priors=prior_finder(store),
    )
    notes = {}
    while loop.run_once():
        pass
    for uid in uids:
        (item,) = store.work_items(uid)
        reading = store.reading(item.work_id)
        assert reading is not None
        assert isinstance(reading.ending, ReadResult)
        notes[uid] = reading.ending.notes
    assert {uid: words[0] for uid, words in notes.items()} == {
        uids[0]: "compared with: 20260101",
        uids[1]: "compared with: ",
    }


_NUMBERS = st.text("23A*^ ", min_size=1, max_size=8).filter(lambda text: bool(text.strip()))


@given(_NUMBERS, _NUMBERS, st.sampled_from(["", "F", "M"]), st.sampled_from(["", "F", "M"]))
def test_who_is_the_same_person_does_not_depend_on_the_order(one: str, two: str, sex: str, other: str) -> None:
    plain = replace(indexed([header()]), patient_birth_date="19600102")
    first, second = replace(plain, patient_id=one, patient_sex=sex), replace(plain, patient_id=two, patient_sex=other)
    assert same_person(first, second) == same_person(second, first)
    assert same_person(first, second) == (one == two and (not sex or not other or sex == other))


@pytest.mark.parametrize(
    ("issuer", "birth", "name", "same"),
    [
        ("", "", "", False),
        ("", "19600102", "", True),
        ("", "", "Doe^Jane", True),
        ("HOSPITAL", "", "", True),
        ("", "", "Anonymous", False),
        ("", "", "Patient^Unknown", False),
        ("", "19600102", "Anonymous", True),
    ],
)
def test_a_bare_number_joins_nobody(issuer: str, birth: str, name: str, same: bool) -> None:
    plain = replace(indexed([header()]), patient_id="77", patient_sex="")
    said = replace(plain, issuer_of_patient_id=issuer, patient_birth_date=birth, patient_name=name)
    assert same_person(said, replace(said, patient_name=name.upper().replace("^", "^ "))) is same
    bare = replace(said, patient_birth_date="", patient_name="")
    assert same_person(said, bare) is bool(issuer)


@pytest.mark.parametrize(("earlier", "now", "found"), [("0800", "0930", 1), ("0930", "0800", 0), ("", "0930", 0)])
def test_a_study_of_the_same_day_is_earlier_only_where_both_times_say_so(
    store: Store, tmp_path: Path, comparing: InstalledReader, earlier: str, now: str, found: int
) -> None:
    paths = [study(tmp_path, 1, "20260504", StudyTime=now), study(tmp_path, 2, "20260504", StudyTime=earlier)]
    current = settled(store, *paths)[0]
    assert dates_found(store, current, comparing.card) == ["20260504"] * found


@pytest.mark.parametrize("number", ["ANONYMOUS", "0", "Unknown", "", "00000", " anon "])
def test_a_number_that_stands_for_nobody_joins_nothing(number: str) -> None:
    nobody = replace(indexed([header()]), patient_id=number, patient_name="ANONYMOUS", patient_birth_date="19000101")
    assert not same_person(nobody, nobody)


def test_what_was_outlined_on_the_earlier_date_is_given_with_its_author_and_is_part_of_the_digest(
    store: Store, tmp_path: Path, comparing: InstalledReader
) -> None:
    current, earlier = settled(store, study(tmp_path, 1, "20260504"), study(tmp_path, 2, "20260101"))
    known = store.study(current, with_series=True, with_instances=True)
    assert known is not None
    bare = find_priors(store, known, comparing.card)
    outline(store, earlier)
    found = find_priors(store, known, comparing.card)
    (prior,) = found.priors
    assert [region.label for region in prior.regions] == ["Lesion"]
    assert prior.said_by == ("somebody 1.0",)
    loaded = load_priors(comparing.card, found)
    assert loaded.priors[0].regions == prior.regions
    assert "1 outlines of that date are by somebody 1.0" in loaded.notes
    assert region_digests(prior.regions) != region_digests(())
    assert bare.priors[0].regions == ()


@pytest.mark.parametrize(
    ("kind", "corrected", "given"),
    [
        (VerdictKind.REJECT, "", 0),
        (VerdictKind.EDIT, "absent", 0),
        (VerdictKind.EDIT, "present", 1),
        (VerdictKind.ACCEPT, "", 1),
    ],
)
def test_a_rejected_lesion_is_given_to_nobody_until_the_verdict_is_taken_back(
    store: Store, tmp_path: Path, comparing: InstalledReader, kind: VerdictKind, corrected: str, given: int
) -> None:
    current, earlier = settled(store, study(tmp_path, 1, "20260504"), study(tmp_path, 2, "20260101"))
    known = store.study(current, with_series=True, with_instances=True)
    assert known is not None
    outline(store, earlier)
    (item,) = store.work_items(earlier)

    def regions() -> int:
        (prior,) = find_priors(store, known, comparing.card).priors
        assert len(prior.said_by) == len(prior.regions)
        return len(prior.regions)

    store.add_verdict(item.work_id, "lesion", kind, "dr", corrected_presence=corrected)
    assert regions() == given
    store.add_verdict(item.work_id, "lesion", VerdictKind.WITHDRAW, "dr")
    assert regions() == 1


def outline(store: Store, uid: str) -> None:
    """Let somebody outline a lesion on the only image of a study."""
    study_now = store.study(uid, with_series=True, with_instances=True)
    assert study_now is not None
    head = study_now.series[0].instances[0].header
    decision = RoutingDecision(uid, study_now.generation, "somebody", "1.0", True, (head.sop_instance_uid,), None, NOW)
    store.record_decisions([decision])
    item = store.claim_work("test", 60, ["somebody"])
    assert item is not None
    image = ImageReference(head.sop_class_uid, head.sop_instance_uid, head.series_instance_uid)
    code = Code("52988006", "SCT", "Lesion")
    mask = np.zeros((int(head.rows or 1), int(head.columns or 1)), dtype=np.bool_)
    mask[2:5, 2:5] = True
    region = Region("Lesion", Code("49755003", "SCT", "Abnormal"), code, mask, (image,), TrackingId("1", "1.2.3"))
    finding = Finding("lesion", code, Presence.PRESENT)
    provenance = Provenance("somebody", "1.0", "0" * 64, "1" * 64, "0", "hand", NOW, NOW)
    store.finish_work(item.work_id, "test", Reading(ReadResult((finding,), regions=(region,)), provenance), (), ())
