"""Organs that the breath moved: nothing is torn, the spine stays, and volumes are those of what is drawn."""

import numpy as np
import pytest

from coread.domain.geometry import Geometry
from coread.phantoms.reference.breathing import Breath
from coread.phantoms.reference.ct_nodules import NodulesTruth
from coread.phantoms.reference.ct_nodules import make as make_chest
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.scan import Setup
from coread.phantoms.reference.scene import Part, Scene, render
from coread.phantoms.reference.shapes import Blob

BREATH = Breath(10.0, (0.0, -30.0, 70.0), (125.0, 75.0, 110.0))


def test_the_middle_moves_in_full_and_the_back_hardly_at_all() -> None:
    places = np.array([[0.0, 0.0], [-30.0, 90.0], [70.0, 70.0]], dtype=np.float32)
    moved = BREATH.to_anatomy(places) - places
    assert moved[2, 0] == pytest.approx(10.0)
    assert abs(moved[2, 1]) < 0.1
    assert np.abs(moved[:2]).max() == 0


def test_a_stretched_lump_has_the_volume_that_is_drawn() -> None:
    lump = Blob((-60.0, 0.0, 20.0), (14.0, 14.0, 20.0), 0.1, 3)
    scene = Scene(0.0, (Part("lump", lump, 1.0),), breath=BREATH)
    rows = ((0.0, 0.0, 1.0, -89.5), (0.0, 1.0, 0.0, -29.5), (1.0, 0.0, 0.0, -14.5))
    drawn = render(scene, Geometry((60, 60, 60), rows, "1.2"), measure=["lump"]).extents["lump"]
    assert drawn.volume_mm3 == pytest.approx(lump.volume_mm3() * BREATH.volume_factor(lump), rel=0.01)
    assert abs(BREATH.volume_factor(lump) - 1) > 0.02
    assert drawn.center_mm[2] < lump.center_mm[2] - 3


def test_a_breath_that_would_tear_organs_is_refused() -> None:
    with pytest.raises(BadTruth, match="tear"):
        Breath(20.0, (0.0, 0.0, 0.0), (20.0, 20.0, 20.0))


def test_a_chest_of_two_dates_has_its_new_nodule_on_the_second_only() -> None:
    truth = NodulesTruth((500.0,), ("solid",), ("RUL",), pair=True, new_mm3=(900.0,), new_kinds=("solid",),
                         new_places=("LLL",))  # fmt: skip
    made = make_chest(truth, Setup(spacing_mm=(6.0, 4.0, 4.0)))
    before, after = ([one.name for one in visit.structures] for visit in made.visits)
    assert before == ["nodule 1"]
    assert after == ["nodule 1", "nodule new 1"]
    assert made.changes["new"] == ["nodule new 1"]
    stays = [visit.structure("nodule 1") for visit in made.visits]
    assert stays[0].center_mm != stays[1].center_mm
    assert stays[1].exact.volume_mm3 == pytest.approx(500.0, rel=0.1)


def test_new_nodules_need_a_second_date() -> None:
    with pytest.raises(BadTruth, match="pair=yes"):
        NodulesTruth(new_mm3=(900.0,), new_kinds=("solid",), new_places=("LLL",))
