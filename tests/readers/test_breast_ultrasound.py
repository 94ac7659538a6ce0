"""The breast ultrasound reader takes coloured marks out, refuses Doppler, and calls the worst of several images."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coread.domain.cards import ReaderCard
from coread.domain.findings import Presence
from coread.domain.images import FloatPixels
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.phantoms.breast_us import BreastUsRecipe, breast_ultrasound
from coread.readers.breast_ultrasound import reader as module
from coread.readers.breast_ultrasound.outputs import HEAD, INPUT, SIDE
from coread.readers.breast_ultrasound.preprocess import network_image, without_marks
from coread.readers.card_file import read_card
from tests.readers.reading import SaidSession, coloured, display, grey, read


@pytest.fixture(scope="module")
def card() -> ReaderCard:
    return read_card(Path(module.__file__).parent / "card.toml")


def picture(seed: int = 1) -> FloatPixels:
    return display(breast_ultrasound(BreastUsRecipe(seed)).dataset.pixel_array)


def test_coloured_marks_become_the_grey_around_them() -> None:
    pixels = picture()
    colour = np.repeat(pixels[..., None], 3, axis=2)
    colour[100:140, 200] = colour[120, 180:220] = (0.0, 1.0, 0.0)
    plain, marked = network_image(grey(pixels), SIDE), network_image(coloured(colour), SIDE)
    assert isinstance(plain, np.ndarray)
    assert isinstance(marked, np.ndarray)
    assert np.abs(plain - marked).mean() < 0.005
    assert np.abs(plain - marked).max() < 0.35


def test_doppler_is_refused() -> None:
    colour = np.repeat(picture()[..., None], 3, axis=2)
    colour[80:180, 100:260] = (0.8, 0.1, 0.1)
    made = network_image(coloured(colour), SIDE)
    assert isinstance(made, Reason)
    assert made.code is ReasonCode.LOW_QUALITY


@given(st.integers(0, 2**32 - 1))
def test_filled_pixels_lie_between_their_surroundings(seed: int) -> None:
    random = np.random.default_rng(seed)
    pixels = random.random((20, 30), dtype=np.float32)
    marked = random.random((20, 30)) < 0.2
    filled = without_marks(pixels, marked)
    assert np.array_equal(filled[~marked], pixels[~marked])
    assert filled.min() >= pixels[~marked].min() - 1e-6
    assert filled.max() <= pixels[~marked].max() + 1e-6


def test_the_study_is_as_bad_as_its_worst_image(card: ReaderCard) -> None:
    session = SaidSession({HEAD: np.array([[-9.0, -9.0], [9.0, 9.0]], dtype=np.float32)})
    images = [grey(picture(number), number, modality="US", body_part_examined="BREAST") for number in (1, 2)]
    ending = read(module.reader(card), session, *images)
    assert isinstance(ending, ReadResult)
    assert {finding.presence for finding in ending.findings} == {Presence.PRESENT}
    assert all(finding.images[0].sop_instance_uid.endswith(".2") for finding in ending.findings)
    assert session.seen[0][INPUT].shape == (2, 1, SIDE, SIDE)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"modality": "MR", "body_part_examined": "BREAST"}, ReasonCode.WRONG_MODALITY),
        ({"modality": "US", "body_part_examined": "LIVER"}, ReasonCode.WRONG_BODY_PART),
        ({"modality": "US", "patient_age": "009Y"}, ReasonCode.WRONG_AGE),
    ],
)
def test_what_the_header_says_is_believed(card: ReaderCard, more: dict[str, str], code: ReasonCode) -> None:
    ending = read(module.reader(card), SaidSession({}), grey(picture(), **more))
    assert isinstance(ending, Refusal)
    assert ending.reason.code is code
