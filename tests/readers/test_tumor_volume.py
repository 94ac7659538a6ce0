"""The tumour volume reader: its cube, its gate, and how it reads the shipped package."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coread.domain.findings import Presence
from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.domain.reading import Prepared, ReaderInputs
from coread.domain.reasons import ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.engine.samples import sample_inputs, study_of
from coread.models.session import open_session
from coread.readers import tumor_volume
from coread.readers.card_file import read_card
from coread.readers.tumor_volume.cohort import HELD_OUT, Case, loosened, random_part
from coread.readers.tumor_volume.field import SIDE, cube_around, field_box, field_cube, network_input, prompted_cube
from coread.readers.tumor_volume.outlined import tumor_in_box, tumor_of
from coread.readers.tumor_volume.reader import reader

FOLDER = Path(tumor_volume.__file__).parent
CARD = read_card(FOLDER / "card.toml")


def _case() -> Case:
    matrix = np.array([[0.0, 0.0, 3.0, 5.0], [0.0, 3.0, 0.0, -8.0], [4.0, 0.0, 0.0, 2.0]])
    geometry = Geometry((30, 36, 40), affine_of(matrix), "1.2")
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[10:18, 12:22, 14:20] = True
    voxels = np.where(mask, 25.0, 60.0).astype(np.float32)
    return Case("A", Volume(voxels, Quantity.HOUNSFIELD, geometry, ()), mask)


def test_the_cube_of_a_field_holds_every_voxel_and_its_steps_are_equal() -> None:
    geometry = _case().volume.geometry
    cube, box = field_cube(geometry), field_box(geometry)
    assert len(set(np.round(cube.spacing_mm(), 6))) == 1
    assert np.ptp(field_box(cube), axis=0) == pytest.approx(np.full(3, np.ptp(box, axis=0).max()))
    assert field_box(cube).mean(axis=0) == pytest.approx(box.mean(axis=0))


def test_the_input_has_two_windows_and_the_share_of_each_voxel_in_the_box() -> None:
    case = _case()
    box = case.box_mm()
    cube = prompted_cube(box, "1.2")
    image = network_input(case.volume, cube, box)
    assert image.shape == (3, SIDE, SIDE, SIDE)
    assert (image.min(), image.max()) == (0.0, 1.0)
    assert image[2].sum() * cube.spacing_mm()[0] ** 3 == pytest.approx(np.prod(np.ptp(box, axis=0)), rel=1e-4)
    assert not network_input(case.volume, cube, None)[2].any()


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_part_that_is_cut_anew_holds_the_whole_tumour_and_stays_in_place(seed: int) -> None:
    case = _case()
    part = random_part(case, np.random.default_rng(seed))
    assert part.mask.sum() == case.mask.sum()
    assert part.box_mm() == pytest.approx(case.box_mm())
    loose = loosened(case.box_mm(), np.random.default_rng(seed))
    assert (np.ptp(loose, axis=0) >= 0.89 * np.ptp(case.box_mm(), axis=0)).all()


def test_the_largest_piece_comes_back_on_the_voxels_of_the_source() -> None:
    case = _case()
    cube = cube_around(case.box_mm().mean(axis=0), 90.0, "1.2")
    logits = np.full(cube.shape, -8.0, dtype=np.float32)
    logits[16:32, 16:32, 16:32] = 6.0
    logits[2:4, 2:4, 2:4] = 6.0
    found = tumor_of(logits, cube, case.volume.geometry)
    assert found is not None
    assert found.certainty > 0.99
    assert found.mask.sum() * 36 == pytest.approx(30.0**3, rel=0.15)
    assert tumor_of(np.full(cube.shape, -8.0, dtype=np.float32), cube, case.volume.geometry) is None


def test_no_patient_kept_apart_is_learnt_from() -> None:
    assert len(set(HELD_OUT)) == 6


def test_a_whole_limb_is_refused_with_the_way_out() -> None:
    (inputs, *_) = sample_inputs(CARD)
    volume = inputs.volumes[0]
    matrix = volume.geometry.matrix()
    matrix[:3, :3] *= 3
    wide = replace(volume, geometry=replace(volume.geometry, affine=affine_of(matrix)))
    found = reader(CARD).prepare(replace(inputs, volumes=(wide,)))
    assert isinstance(found, Refusal)
    assert found.reason.code is ReasonCode.INDETERMINATE
    assert "coread segment" in found.reason.text()


def test_the_shipped_package_outlines_a_drawn_tumour_and_says_what_it_takes_for_granted() -> None:
    session = open_session(FOLDER / "model", FOLDER / "card.toml")
    (inputs, *_) = sample_inputs(CARD)
    subject = reader(CARD)
    prepared = subject.prepare(ReaderInputs(study_of(inputs.volumes[0].headers), volumes=inputs.volumes))
    assert isinstance(prepared, Prepared)
    found = subject.interpret(session, prepared, subject.infer(session, prepared))
    assert isinstance(found, ReadResult)
    assert [finding.presence for finding in found.findings] == [Presence.PRESENT]
    assert "taken for granted" in found.notes[0]
    volume = found.measurements[0]
    assert volume.uncertainty is not None
    assert volume.uncertainty >= 0.1 * volume.value
    outlined = tumor_in_box(session, inputs.volumes[0], np.array([[-26.0, -56.0, -7.0], [58.0, 28.0, 77.0]]))
    assert outlined is not None
