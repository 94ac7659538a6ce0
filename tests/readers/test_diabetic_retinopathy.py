"""The retinopathy reader says "absent" only when every photograph is gradable and surely clear."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coread.domain.cards import ReaderCard
from coread.domain.findings import Presence
from coread.domain.images import FloatPixels, PlanarImage
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.phantoms.fundus import FundusRecipe, fundus_photograph
from coread.readers.card_file import read_card
from coread.readers.diabetic_retinopathy import reader as module
from coread.readers.diabetic_retinopathy.outputs import COLUMNS, HEAD, REFERABLE, ROWS, RULE_IN, RULE_OUT
from coread.readers.diabetic_retinopathy.preprocess import field_of_view, network_image, network_picture
from tests.readers.reading import SaidSession, coloured, display, grey, read

FOLDER = Path(module.__file__).parent
SURE, CLEAR, BETWEEN = 8.0, -8.0, 0.0
GOOD, BAD = -8.0, 8.0


@pytest.fixture(scope="module")
def card() -> ReaderCard:
    stored = read_card(FOLDER / "card.toml")
    spec = stored.output(REFERABLE)
    limits = {RULE_OUT: 0.2, RULE_IN: 0.8}
    points = tuple(replace(point, threshold=limits[point.name]) for point in spec.operating_points)
    return replace(stored, outputs=(replace(spec, operating_points=points),))


def photograph(number: int = 1, recipe: FundusRecipe | None = None) -> PlanarImage:
    return coloured(colour_of(recipe or FundusRecipe(1)), number, modality="OP", body_part_examined="EYE")


def colour_of(recipe: FundusRecipe) -> FloatPixels:
    return display(fundus_photograph(recipe).dataset.pixel_array)


def answer(card: ReaderCard, *said: tuple[float, float]) -> ReadResult | Refusal:
    session = SaidSession({HEAD: np.array(said, dtype=np.float32)})
    return read(module.reader(card), session, *(photograph(number) for number in range(1, len(said) + 1)))


def test_a_sure_photograph_makes_the_study_positive(card: ReaderCard) -> None:
    for said in ([(SURE, GOOD)], [(CLEAR, GOOD), (SURE, GOOD)], [(SURE, GOOD), (CLEAR, BAD)]):
        ending = answer(card, *said)
        assert isinstance(ending, ReadResult)
        assert ending.findings[0].presence is Presence.PRESENT
        assert len(ending.findings[0].images) == 1


def test_a_study_is_negative_only_when_every_photograph_is_clear(card: ReaderCard) -> None:
    ending = answer(card, (CLEAR, GOOD), (CLEAR, GOOD))
    assert isinstance(ending, ReadResult)
    assert ending.findings[0].presence is Presence.ABSENT


def test_doubt_is_a_refusal_that_says_so(card: ReaderCard) -> None:
    ending = answer(card, (CLEAR, GOOD), (BETWEEN, GOOD))
    assert isinstance(ending, Refusal)
    assert ending.reason.code is ReasonCode.INDETERMINATE
    assert "0.50" in ending.reason.detail


@pytest.mark.parametrize("said", [[(CLEAR, BAD)], [(SURE, BAD)], [(CLEAR, GOOD), (CLEAR, BAD)]])
def test_an_ungradable_photograph_never_ends_as_negative(card: ReaderCard, said: list[tuple[float, float]]) -> None:
    ending = answer(card, *said)
    assert isinstance(ending, Refusal)
    assert ending.reason.code is ReasonCode.LOW_QUALITY


@given(
    st.lists(st.tuples(st.sampled_from([SURE, CLEAR, BETWEEN]), st.sampled_from([GOOD, BAD])), min_size=1, max_size=4)
)
@settings(max_examples=20)
def test_more_doubt_never_turns_into_a_negative(card: ReaderCard, said: list[tuple[float, float]]) -> None:
    ending = answer(card, *said)
    negative = isinstance(ending, ReadResult) and ending.findings[0].presence is Presence.ABSENT
    assert negative == all(one == (CLEAR, GOOD) for one in said)


def test_a_grey_picture_is_refused() -> None:
    made = network_image(grey(np.random.default_rng(1).random((300, 300), dtype=np.float32)))
    assert isinstance(made, Reason)
    assert made.code is ReasonCode.PIXEL_MEANING


def test_a_black_a_blue_and_an_empty_picture_have_no_field_of_view() -> None:
    dark = colour_of(FundusRecipe(1, light=0.05))
    blue = colour_of(FundusRecipe(1))[..., ::-1]
    narrow = np.zeros((300, 400, 3), dtype=np.float32)
    narrow[:, 200:230] = (0.6, 0.3, 0.1)
    for picture in (dark, np.ascontiguousarray(blue), narrow):
        made = network_picture(picture)
        assert isinstance(made, Reason)
        assert made.code is ReasonCode.LOW_QUALITY


def test_the_field_of_view_fills_the_network_whatever_the_margins() -> None:
    colour = colour_of(FundusRecipe(2, haemorrhages=5))
    wide = np.pad(colour, ((0, 0), (150, 90), (0, 0)))
    one, other = network_picture(colour), network_picture(wide)
    assert isinstance(one, np.ndarray)
    assert isinstance(other, np.ndarray)
    assert one.shape == (3, ROWS, COLUMNS)
    assert np.abs(one - other).mean() < 0.01


@given(st.integers(0, 120), st.integers(0, 120))
def test_margins_move_the_field_and_nothing_else(left: int, right: int) -> None:
    colour = np.zeros((60, 80 + left + right, 3), dtype=np.float32)
    colour[:, left : left + 80] = (0.6, 0.3, 0.1)
    found = field_of_view(colour)
    if (80 + left + right) // 4 <= 80:
        assert not isinstance(found, Reason)
        assert (found.first, found.last) == (left, left + 80)
    else:
        assert isinstance(found, Reason)
