"""Every reader gets exactly one decision for every study, and a declined one carries the reason that explains best."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coread.domain.cards import InputContract
from coread.domain.kspace import RAW_DATA_STORAGE
from coread.domain.reasons import ReasonCode
from coread.domain.study import InstanceHeader
from coread.route.decide import RouteSettings, decide, why_not
from tests.route.studies import CHEST_CONTRACT, NOW, card, header, study

CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"


def reason_for(*headers: InstanceHeader, contract: InputContract = CHEST_CONTRACT) -> ReasonCode | None:
    (decision,) = decide(study(headers), [card(contract=contract)], at=NOW)
    assert decision.accepted == (decision.reason is None) == bool(decision.sop_instance_uids)
    return decision.reason.code if decision.reason else None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"view_position": ""}, None),
        ({"view_position": "ap"}, None),
        ({"body_part_examined": ""}, None),
        ({"patient_birth_date": "", "patient_age": ""}, None),
        ({"modality": "CT"}, ReasonCode.WRONG_MODALITY),
        ({"modality": ""}, ReasonCode.WRONG_MODALITY),
        ({"body_part_examined": "HAND"}, ReasonCode.WRONG_BODY_PART),
        ({"view_position": "LL"}, ReasonCode.WRONG_VIEW),
        ({"patient_birth_date": "20200101"}, ReasonCode.WRONG_AGE),
        ({"patient_age": "006M"}, ReasonCode.WRONG_AGE),
        ({"patient_age": "004Y", "patient_birth_date": ""}, ReasonCode.WRONG_AGE),
        ({"rows": 64}, ReasonCode.IMAGE_TOO_SMALL),
        ({"rows": 60000, "columns": 60000}, ReasonCode.IMAGE_TOO_LARGE),
        ({"rows": None}, ReasonCode.NO_PIXELS),
        ({"columns": 0}, ReasonCode.NO_PIXELS),
        ({"modality": "SR"}, ReasonCode.NO_ELIGIBLE),
        ({"modality": "KO"}, ReasonCode.NO_ELIGIBLE),
        ({"manufacturer": "Coread", "sop_class_uid": "1.2.840.10008.5.1.4.1.1.7"}, ReasonCode.NO_ELIGIBLE),
        ({"manufacturer": "Coread"}, None),
    ],
)
def test_one_image_is_accepted_or_declined_with_its_reason(changes: dict[str, object], code: ReasonCode | None) -> None:
    assert reason_for(header(1, **changes)) is code


def test_a_wrong_sop_class_is_named() -> None:
    contract = replace(CHEST_CONTRACT, sop_class_uids=(CT_CLASS,))
    assert reason_for(header(), contract=contract) is ReasonCode.WRONG_SOP_CLASS


def test_the_closest_image_explains() -> None:
    hand, lateral = header(1, body_part_examined="HAND"), header(2, view_position="LATERAL")
    assert reason_for(hand, hand, lateral) is ReasonCode.WRONG_VIEW


def test_a_fitting_image_among_others_is_the_only_one_given() -> None:
    (decision,) = decide(study([header(1, view_position="LL"), header(2)]), [card()])
    assert decision.sop_instance_uids == ("1.2.3.1.2",)


def test_our_own_evidence_is_never_read() -> None:
    (decision,) = decide(study([header()], door="own"), [card()])
    assert decision.reason is not None
    assert decision.reason.code is ReasonCode.NO_ELIGIBLE


def test_a_study_without_instances_is_declined() -> None:
    assert reason_for() is ReasonCode.NO_ELIGIBLE


def test_a_reader_that_is_switched_off_says_so() -> None:
    (decision,) = decide(study([header()]), [card()], RouteSettings(frozenset({"chest"})))
    assert decision.reason is not None
    assert decision.reason.code is ReasonCode.READER_DISABLED


def test_two_patients_in_one_study_stop_every_reader() -> None:
    decisions = decide(study([header()]), [card("one"), card("two")], flags=("two_patients",))
    assert [item.reason.code for item in decisions if item.reason] == [ReasonCode.TWO_PATIENTS] * 2


def test_dates_in_the_future_are_not_believed() -> None:
    future = header(patient_birth_date="20300101", study_date="20310101")
    assert reason_for(future) is None
    assert reason_for(header(patient_birth_date="20270101")) is None


def test_an_age_that_one_source_excludes_is_declined() -> None:
    assert reason_for(header(patient_age="030Y", patient_birth_date="20200101")) is ReasonCode.WRONG_AGE


@pytest.mark.parametrize(("born", "accepted"), [("20080504", True), ("20080505", False), ("20080229", True)])
def test_the_eighteenth_birthday_is_the_border(born: str, accepted: bool) -> None:
    assert (reason_for(header(patient_birth_date=born)) is None) == accepted


def test_a_child_reader_takes_children_until_their_birthday() -> None:
    contract = replace(CHEST_CONTRACT, min_age_years=None, max_age_years=17.0)
    assert reason_for(header(patient_birth_date="20080505"), contract=contract) is None
    assert reason_for(header(patient_birth_date="20080504"), contract=contract) is ReasonCode.WRONG_AGE


def test_a_reader_that_needs_two_views_declines_one() -> None:
    contract = replace(CHEST_CONTRACT, min_images=2)
    assert reason_for(header(), contract=contract) is ReasonCode.TOO_FEW_IMAGES
    assert reason_for(header(1), header(2), contract=contract) is None
    assert reason_for(header(number_of_frames=2), contract=contract) is None


VOLUME = replace(CHEST_CONTRACT, modalities=("CT",), views=(), min_images=3, max_images=10, presentation="volume")


def slices(series: str, count: int) -> list[InstanceHeader]:
    return [
        header(n, modality="CT", series_instance_uid=series, sop_instance_uid=f"{series}.{n}")
        for n in range(1, count + 1)
    ]


def test_a_volume_is_the_longest_series_that_fits() -> None:
    both = [*slices("1.2.3.1", 3), *slices("1.2.3.2", 5), *slices("1.2.3.3", 12)]
    (decision,) = decide(study(both), [card(contract=VOLUME)])
    assert decision.sop_instance_uids == tuple(f"1.2.3.2.{n}" for n in range(1, 6))


COMPANIED = replace(VOLUME, series_words=("T1",), companion_series_words=("flair",))


def named(series: str, count: int, description: str) -> list[InstanceHeader]:
    return [replace(item, series_description=description) for item in slices(series, count)]


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("Sag T1", "Ax FLAIR", "Ax T2"), ("1.2.3.1", "1.2.3.2")),
        (("Ax FLAIR", "Sag T1"), ("1.2.3.2", "1.2.3.1")),
        (("T1 FLAIR", "T2 FLAIR"), ("1.2.3.1", "1.2.3.2")),
        (("T2 FLAIR", "FLAIR fs"), ("1.2.3.2",)),
        (("Ax FLAIR",), ("1.2.3.1",)),
        (("T1 a", "T1 b"), ("1.2.3.2",)),
        (("Ax T2",), ("1.2.3.1",)),
        (("Sag T1", "FLAIR a", "FLAIR b"), ("1.2.3.1", "1.2.3.3")),
    ],
)
def test_a_companion_is_given_after_the_series_that_is_read(names: tuple[str, ...], chosen: tuple[str, ...]) -> None:
    headers = [item for n, name in enumerate(names, 1) for item in named(f"1.2.3.{n}", 3 + n, name)]
    (decision,) = decide(study(headers), [card(contract=COMPANIED)])
    assert tuple(dict.fromkeys(uid.rpartition(".")[0] for uid in decision.sop_instance_uids)) == chosen
    (alone,) = decide(study(headers), [card(contract=replace(COMPANIED, companion_series_words=()))])
    assert alone.sop_instance_uids == tuple(uid for uid in decision.sop_instance_uids if uid.startswith(chosen[0]))


def test_a_companion_that_does_not_fit_the_contract_is_left_out() -> None:
    both = [*named("1.2.3.1", 4, "T1"), *named("1.2.3.2", 2, "FLAIR")]
    (decision,) = decide(study(both), [card(contract=COMPANIED)])
    assert {uid.rpartition(".")[0] for uid in decision.sop_instance_uids} == {"1.2.3.1"}


def test_volumes_with_too_few_or_too_many_slices_are_declined() -> None:
    assert reason_for(*slices("1.2.3.1", 2), contract=VOLUME) is ReasonCode.TOO_FEW_IMAGES
    assert reason_for(*slices("1.2.3.1", 12), contract=VOLUME) is ReasonCode.IMAGE_TOO_LARGE


HEADERS = st.builds(
    lambda number, changes: header(number, **changes),
    st.integers(1, 6),
    st.fixed_dictionaries(
        {
            "modality": st.sampled_from(["DX", "CR", "CT", "SR", ""]),
            "view_position": st.sampled_from(["PA", "AP", "LL", ""]),
            "body_part_examined": st.sampled_from(["CHEST", "HAND", ""]),
            "patient_age": st.sampled_from(["", "004Y", "040Y", "999Y", "000Y", "nonsense"]),
            "patient_birth_date": st.sampled_from(["", "19700101", "20250101", "20990101", "1970"]),
            "rows": st.sampled_from([None, 0, 64, 512, 60000]),
            "series_instance_uid": st.sampled_from(["1.2.3.1", "1.2.3.2"]),
            "number_of_frames": st.sampled_from([None, 0, 1, 7]),
        }
    ),
)
CONTRACTS = st.builds(
    lambda few, many, low, planar, views: replace(
        CHEST_CONTRACT,
        min_images=few,
        max_images=few + many,
        min_age_years=low,
        presentation="planar" if planar else "volume",
        views=views,
    ),
    st.integers(1, 3),
    st.integers(0, 5),
    st.sampled_from([None, 18.0]),
    st.booleans(),
    st.sampled_from([(), ("PA",), ("PA", "AP")]),
)


@given(st.lists(HEADERS, max_size=6), st.lists(CONTRACTS, max_size=3), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_decisions_are_total_order_free_and_never_accept_what_is_excluded(
    headers: list[InstanceHeader], contracts: list[InputContract], shuffle: random.Random
) -> None:
    headers = [replace(item, sop_instance_uid=f"1.2.3.9.{index}") for index, item in enumerate(headers)]
    cards = [card(f"reader_{index}", contract) for index, contract in enumerate(contracts)]
    decisions = decide(study(headers), cards, at=NOW)
    assert [item.reader_id for item in decisions] == [item.reader_id for item in cards]
    mixed_headers, mixed_cards = list(headers), list(cards)
    shuffle.shuffle(mixed_headers)
    shuffle.shuffle(mixed_cards)
    assert decide(study(mixed_headers), mixed_cards, at=NOW) == decisions
    by_uid = {item.sop_instance_uid: item for item in headers}
    for decision, contract in zip(decisions, contracts, strict=True):
        given_headers = [by_uid[uid] for uid in decision.sop_instance_uids]
        assert decision.accepted == bool(given_headers) == (decision.reason is None)
        assert all(why_not(contract, item, NOW.date()) is None for item in given_headers)
        if decision.accepted and contract.presentation == "volume":
            assert len({item.series_instance_uid for item in given_headers}) == 1


def test_deciding_again_later_gives_the_same_but_for_the_time() -> None:
    first = decide(study([header()]), [card()], at=NOW)
    later = decide(study([header()]), [card()], at=NOW + timedelta(days=1))
    assert [replace(item, decided_at=None) for item in first] == [replace(item, decided_at=None) for item in later]


RAW = {"modality": "MR", "sop_class_uid": RAW_DATA_STORAGE, "rows": None, "columns": None, "view_position": ""}
KSPACE_CONTRACT = replace(
    CHEST_CONTRACT,
    modalities=("MR",),
    sop_class_uids=(RAW_DATA_STORAGE,),
    body_parts=(),
    views=(),
    min_images=3,
    presentation="kspace",
)


def test_raw_data_go_to_readers_of_raw_data_and_to_no_other() -> None:
    raw, image = header(1, **RAW), header(2, modality="MR", sop_class_uid="1.2.840.10008.5.1.4.1.1.4")
    (decision,) = decide(study([raw, image]), [card(contract=KSPACE_CONTRACT)])
    assert decision.sop_instance_uids == (raw.sop_instance_uid,), "the number of images is not in the header"
    anything = replace(CHEST_CONTRACT, modalities=("MR",), body_parts=(), views=())
    (decision,) = decide(study([raw, image]), [card(contract=anything)])
    assert decision.sop_instance_uids == (image.sop_instance_uid,)


@pytest.mark.parametrize("presentation", ["planar", "volume", "loop"])
def test_a_study_of_raw_data_alone_is_no_study_of_images(presentation: str) -> None:
    anything = replace(CHEST_CONTRACT, modalities=(), body_parts=(), views=(), presentation=presentation)
    assert reason_for(header(1, **RAW), contract=anything) is ReasonCode.NO_PIXELS
    stated = header(1, **(RAW | {"rows": 512, "columns": 512}))
    assert reason_for(stated, contract=anything) is ReasonCode.NO_PIXELS, "also where the object states a matrix"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"modality": "CT"}, ReasonCode.WRONG_MODALITY),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.4", "rows": 512, "columns": 512}, ReasonCode.WRONG_SOP_CLASS),
    ],
)
@pytest.mark.parametrize("classes", [(), (RAW_DATA_STORAGE,)])
def test_a_reader_of_raw_data_is_given_nothing_else(
    changes: dict[str, object], code: ReasonCode | None, classes: tuple[str, ...]
) -> None:
    contract = replace(KSPACE_CONTRACT, sop_class_uids=classes)
    assert reason_for(header(1, **(RAW | changes)), contract=contract) is code
