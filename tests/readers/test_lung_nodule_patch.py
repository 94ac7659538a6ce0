"""The nodule patch reader reads patches, not slices, and says the same of a turned patch."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coread.domain.findings import Presence
from coread.domain.images import FloatPixels
from coread.domain.reasons import ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.models.session import PackageSession, open_session
from coread.phantoms.nodule_slice import NoduleSliceRecipe, nodule_slice
from coread.readers.card_file import read_card
from coread.readers.lung_nodule_patch import reader as module
from coread.readers.lung_nodule_patch.outputs import SIDE
from coread.readers.lung_nodule_patch.preprocess import middle, turned
from tests.readers.reading import SaidSession, display, grey, inputs_of_one, read

FOLDER = Path(module.__file__).parent


@pytest.fixture(scope="module")
def session() -> PackageSession:
    return open_session(FOLDER / "model", FOLDER / "card.toml", engine="onnxruntime")


def patch(seed: int = 1, side: int = SIDE) -> FloatPixels:
    return display(nodule_slice(NoduleSliceRecipe(seed=seed, side=side, radius=5.0)).dataset.pixel_array)


def test_a_whole_slice_is_no_patch() -> None:
    reader = module.reader(read_card(FOLDER / "card.toml"))
    for shape in ((512, 512), (40, 200)):
        pixels = np.random.default_rng(1).random(shape, dtype=np.float32)
        ending = read(reader, SaidSession({}), grey(pixels, modality="CT"))
        assert isinstance(ending, Refusal)
        assert ending.reason.code in (ReasonCode.IMAGE_TOO_LARGE, ReasonCode.IMAGE_TOO_SMALL)


def test_a_larger_patch_is_cut_to_its_middle() -> None:
    small = patch()
    wide = np.pad(small, 11, constant_values=0.3)
    assert np.array_equal(middle(wide), middle(small))


@given(st.integers(0, 3))
def test_the_turns_of_a_turned_patch_are_the_same_turns(turn: int) -> None:
    batch = np.random.default_rng(1).random((2, 1, SIDE, SIDE), dtype=np.float32)
    one, other = turned(batch), turned(np.rot90(batch, turn, axes=(2, 3)))
    wanted = {array.tobytes() for array in one}
    assert {np.ascontiguousarray(array).tobytes() for array in other} == wanted


@settings(max_examples=6)
@given(st.integers(1, 50), st.integers(1, 3), st.booleans())
def test_turning_or_mirroring_a_patch_changes_nothing(
    session: PackageSession, seed: int, turn: int, mirror: bool
) -> None:
    reader = module.reader(read_card(FOLDER / "card.toml"))
    said = []
    for pixels in (patch(seed), np.rot90(patch(seed)[:, :: -1 if mirror else 1], turn)):
        image = grey(np.ascontiguousarray(pixels), modality="CT")
        prepared = reader.prepare(inputs_of_one(image))
        assert not isinstance(prepared, Refusal)
        ending = reader.interpret(session, prepared, reader.infer(session, prepared))
        assert isinstance(ending, ReadResult)
        said.append(ending.findings[0].probability or 0.0)
    assert said[0] == pytest.approx(said[1], abs=1e-4)


def test_a_round_bright_spot_is_likelier_than_lung_alone(session: PackageSession) -> None:
    reader = module.reader(read_card(FOLDER / "card.toml"))
    lung = np.clip(0.1 + 0.02 * np.random.default_rng(2).standard_normal((SIDE, SIDE)), 0, 1).astype(np.float32)
    found = {}
    for name, pixels in (("nodule", patch(3)), ("lung", lung)):
        prepared = reader.prepare(inputs_of_one(grey(pixels, modality="CT")))
        assert not isinstance(prepared, Refusal)
        ending = reader.interpret(session, prepared, reader.infer(session, prepared))
        assert isinstance(ending, ReadResult)
        found[name] = ending.findings[0]
    assert (found["nodule"].probability or 0) > (found["lung"].probability or 0)
    assert found["lung"].presence is Presence.ABSENT
