"""The router names what it knows, says nothing of what it does not, and leaves other objects than captures alone."""

from pathlib import Path

import numpy as np
import pytest

from coread.domain.cards import ReaderCard
from coread.domain.findings import Presence
from coread.domain.images import PlanarImage
from coread.domain.reasons import ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.phantoms.fundus import FundusRecipe, fundus_photograph
from coread.readers.body_part import reader as module
from coread.readers.body_part.outputs import HEAD, INPUT, KINDS, SIDE
from coread.readers.body_part.preprocess import network_image
from coread.readers.card_file import read_card
from coread.route.decide import why_not
from tests.readers.reading import SaidSession, coloured, display, grey, read


@pytest.fixture(scope="module")
def card() -> ReaderCard:
    return read_card(Path(module.__file__).parent / "card.toml")


def eye(number: int = 1) -> PlanarImage:
    return coloured(display(fundus_photograph(FundusRecipe(1)).dataset.pixel_array), number, modality="OT")


def said(*kinds: str) -> SaidSession:
    rows = [[12.0 if kind == name else -12.0 for name in KINDS] for kind in kinds]
    return SaidSession({HEAD: np.array(rows, dtype=np.float32)})


def test_a_known_kind_is_present_and_the_others_are_absent(card: ReaderCard) -> None:
    session = said("fundus")
    ending = read(module.reader(card), session, eye())
    assert isinstance(ending, ReadResult)
    present = {finding.key for finding in ending.findings if finding.presence is Presence.PRESENT}
    assert present == {"fundus"}
    assert len(ending.findings) == len(KINDS)
    assert ending.notes == ("Image 1: Fundus photograph (probability 1.00)",)
    assert session.seen[0][INPUT].shape == (1, 3, SIDE, SIDE)


def test_a_stranger_is_not_given_a_name(card: ReaderCard) -> None:
    ending = read(module.reader(card), said("none of them"), eye())
    assert isinstance(ending, Refusal)
    assert ending.reason.code is ReasonCode.INDETERMINATE


def test_a_stranger_among_known_pictures_is_named_as_not_read(card: ReaderCard) -> None:
    ending = read(module.reader(card), said("fundus", "none"), eye(1), eye(2))
    assert isinstance(ending, ReadResult)
    assert [reference.sop_instance_uid for reference, _ in ending.skipped] == ["1.2.3.4.2"]


def test_grey_pictures_have_three_equal_channels() -> None:
    made = network_image(grey(np.random.default_rng(1).random((90, 70), dtype=np.float32)))
    assert made.shape == (3, SIDE, SIDE)
    assert np.array_equal(made[0], made[2])


def test_objects_that_say_what_they_are_are_not_routed_here(card: ReaderCard) -> None:
    described = eye().header
    other = described.__class__(
        "1.2", "1.3", "1.4", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1", modality="CT", rows=512, columns=512
    )
    reason = why_not(card.input, other)
    assert reason is not None
    assert reason.code is ReasonCode.WRONG_SOP_CLASS
    assert why_not(card.input, described) is None
