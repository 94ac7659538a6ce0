"""What readers of single images share: the card's gate, one reason for all, the worst image counts."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coread.domain.cards import ReaderCard
from coread.domain.findings import Presence
from coread.domain.images import FloatPixels, PlanarImage
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import Refusal
from coread.engine.samples import inputs_of
from coread.readers.card_file import read_card
from coread.readers.planar import age_years, called, gather, one_against_rest, reference_to, refusal_of
from tests.models.tiny_reader import CARD
from tests.readers.reading import grey, header


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> ReaderCard:
    path = tmp_path_factory.mktemp("card") / "card.toml"
    path.write_text(CARD, encoding="utf-8")
    stored = read_card(path)
    return replace(stored, input=replace(stored.input, sop_class_uids=()))


def picture(number: int = 1, **more: str) -> PlanarImage:
    pixels = np.random.default_rng(number).random((256, 256), dtype=np.float32)
    return grey(pixels, number, **({"modality": "DX", "patient_age": "050Y"} | more))


def plain(image: PlanarImage) -> FloatPixels:
    return image.pixels[np.newaxis]


def test_images_that_do_not_fit_are_named_beside_those_that_do(card: ReaderCard) -> None:
    found = gather(card, inputs_of([picture(1), picture(2, modality="CT")]), plain)
    assert not isinstance(found, Refusal)
    assert found.batch.shape == (1, 1, 256, 256)
    assert [(reference.sop_instance_uid[-1], reason.code) for reference, reason in found.skipped] == [
        ("2", ReasonCode.WRONG_MODALITY)
    ]


def test_a_reason_of_the_readers_own_counts_like_one_of_the_card(card: ReaderCard) -> None:
    refused = gather(card, inputs_of([picture()]), lambda _: Reason(ReasonCode.LOW_QUALITY, "why"))
    assert isinstance(refused, Refusal)
    assert refused.reason == Reason(ReasonCode.LOW_QUALITY, "why")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"modality": "US"}, ReasonCode.WRONG_MODALITY),
        ({"body_part_examined": "FOOT"}, ReasonCode.WRONG_BODY_PART),
        ({"view_position": "LL"}, ReasonCode.WRONG_VIEW),
        ({"patient_age": "011M"}, ReasonCode.WRONG_AGE),
    ],
)
def test_each_line_of_the_contract_has_its_reason(card: ReaderCard, more: dict[str, str], code: ReasonCode) -> None:
    refused = gather(card, inputs_of([picture(1, **more)]), plain)
    assert isinstance(refused, Refusal)
    assert refused.reason.code is code


def test_different_reasons_become_none_fits() -> None:
    image = picture()
    reference = reference_to(image)
    one, other = Reason(ReasonCode.WRONG_AGE, "a"), Reason(ReasonCode.WRONG_AGE, "b")
    assert refusal_of([(reference, one), (reference, other)], "x").reason == Reason(ReasonCode.WRONG_AGE)
    mixed = refusal_of([(reference, one), (reference, Reason(ReasonCode.NO_PIXELS))], "none left")
    assert mixed.reason == Reason(ReasonCode.NO_ELIGIBLE, "none left")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_a_study_is_present_when_its_worst_image_is(card: ReaderCard, probabilities: list[float]) -> None:
    found = gather(card, inputs_of([picture(number) for number in range(1, len(probabilities) + 1)]), plain)
    if isinstance(found, Refusal):
        assert len(probabilities) > card.input.max_images
        return
    spec = card.outputs[0]
    finding = called(spec, dict(enumerate(probabilities)), found.seen)
    threshold = spec.operating_point().threshold
    assert (finding.presence is Presence.PRESENT) == (max(probabilities) >= threshold)
    assert finding.probability == max(probabilities)
    assert len(finding.images) == (sum(p >= threshold for p in probabilities) or len(probabilities))


@given(st.lists(st.floats(-20, 20), min_size=3, max_size=3))
def test_log_odds_of_a_softmax(logits: list[float]) -> None:
    wide = np.array([logits])
    shares = np.exp(wide - wide.max()) / np.exp(wide - wide.max()).sum()
    assert np.allclose(1 / (1 + np.exp(-one_against_rest(wide))), shares, atol=1e-9)


@pytest.mark.parametrize(
    ("more", "years"),
    [
        ({"patient_age": "018M"}, 1.5),
        ({"patient_age": "xx", "patient_birth_date": "19800101", "study_date": "20200101"}, 40.0),
        ({"patient_birth_date": "20300101", "study_date": "20200101"}, None),
        ({"patient_birth_date": "1980", "study_date": "20200101"}, None),
    ],
)
def test_ages_come_from_the_header_where_it_makes_sense(more: dict[str, str], years: float | None) -> None:
    found = age_years(header(1, 10, 10, **more))
    assert found == (None if years is None else pytest.approx(years, abs=0.01))
