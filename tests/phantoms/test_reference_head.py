"""Heads of known blood and brains of known loss: volumes, places and changes are what the truth says."""

import numpy as np
import pytest

from coread.phantoms.reference import head_anatomy as head
from coread.phantoms.reference.ct_head import KINDS, HeadTruth
from coread.phantoms.reference.ct_head import make as make_head
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.mr_brain import BrainTruth, forms
from coread.phantoms.reference.mr_brain import make as make_brain
from coread.phantoms.reference.objects import ReferenceSeries
from coread.phantoms.reference.scan import Setup

SMALL = Setup(spacing_mm=(5.0, 3.0, 3.0))


def test_blood_of_all_kinds_has_its_volume_side_and_density() -> None:
    truth = HeadTruth(
        epidural_ml=25, subdural_ml=40, subarachnoid_ml=5, intraparenchymal_ml=15, intraventricular_ml=4, side="R",
        subdural_side="L", midline_shift_mm=5.0,
    )  # fmt: skip
    made = make_head(truth, Setup(spacing_mm=(5.0, 2.0, 2.0), noise=2.0, kernel_mm=0.5))
    series, visit = made.visits[0].series[0], made.visits[0]
    assert isinstance(series, ReferenceSeries)
    for kind in KINDS:
        one = visit.structure(kind)
        assert one.exact.volume_mm3 / 1000 == pytest.approx(truth.volume_ml(kind), rel=0.02)
        assert one.voxel_volume_mm3 == pytest.approx(one.exact.volume_mm3, rel=0.03)
        if kind != "intraventricular":
            assert one.center_mm[0] * truth.sign(kind) > 10
    assert visit.facts["kinds"] == list(KINDS)
    inside = series.voxels[series.mask("intraparenchymal")]
    assert np.median(inside) == pytest.approx(truth.blood_hu, abs=3)
    lens = series.mask("epidural")
    shown = sorted({int(k) + 1 for k in np.nonzero(lens)[0]})
    assert visit.facts["slices_with_blood"]["epidural"] == shown


def test_a_head_without_blood_is_a_negative() -> None:
    made = make_head(HeadTruth(intraparenchymal_ml=0.0), SMALL)
    visit = made.visits[0]
    assert visit.facts["haemorrhage"] is False
    assert visit.facts["total_blood_ml"] == 0
    assert not visit.structures


@pytest.mark.parametrize("shift", [-9.0, 6.0])
def test_the_septum_lies_at_the_stated_shift(shift: float) -> None:
    push = head.Push(shift)
    line = np.zeros((3, 4001), dtype=np.float32)
    line[0] = np.linspace(-30, 30, 4001)
    line[1], line[2] = push.height
    before = push.back(line)
    at = int(np.abs(before[0]).argmin())
    assert line[0, at] == pytest.approx(shift, abs=0.02)
    assert (np.diff(before[0]) > 0).all(), "a push never folds the brain over"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epidural_ml": -3.0}, "epidural_ml"), ({"epidural_ml": 0.01}, "0.05"), ({"side": "left"}, "one of"),
        ({"midline_shift_mm": 40.0}, "midline"), ({"turn_degrees": (1.0, 2.0)}, "three"),
    ],
)  # fmt: skip
def test_heads_that_cannot_be_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(BadTruth, match=message):
        HeadTruth(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epidural_ml": 60.0, "subdural_ml": 60.0, "subdural_side": "R"}, "can be seen"),
        ({"intraparenchymal_ml": 295.0}, "through the skull"),
        ({"intraventricular_ml": 18.0, "intraparenchymal_ml": 90.0}, "do not fit"),
    ],
)
def test_blood_that_does_not_fit_is_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(BadTruth, match=message):
        make_head(HeadTruth(**values), Setup(spacing_mm=(20.0, 20.0, 20.0)))  # type: ignore[arg-type]


def test_the_brain_loses_exactly_what_is_stated() -> None:
    """The deformation is measured again, on both dates, without using the stated loss."""
    truth = BrainTruth(loss_percent=2.0, ventricle_growth_ratio=5.0, hippocampus_loss_ratio=3.0, flair=False)
    made = make_brain(truth, Setup(spacing_mm=(4.0, 3.0, 3.0)))
    before, after = made.visits
    tissue = [
        visit.structure("grey matter").exact.volume_mm3 + visit.structure("white matter total").exact.volume_mm3
        for visit in made.visits
    ]
    # White matter holds the lesions: one of 0.25 ml is new, which takes nothing from the tissue.
    assert 100 * (tissue[1] / tissue[0] - 1) == pytest.approx(-2.0, abs=0.1)
    growth = after.structure("ventricles").exact.volume_mm3 / before.structure("ventricles").exact.volume_mm3
    assert 100 * (growth - 1) == pytest.approx(10.0, abs=0.6)
    for side in ("left", "right"):
        name = f"hippocampus {side}"
        ratio = after.structure(name).exact.volume_mm3 / before.structure(name).exact.volume_mm3
        assert 100 * (ratio - 1) == pytest.approx(-6.0, abs=0.5)
    assert made.changes["brain_volume_change_percent"] == -2.0
    assert made.changes["brain_volume_change_from_voxels_percent"] == pytest.approx(-2.0, abs=0.3)


def test_no_loss_is_no_change_of_shape() -> None:
    truth = BrainTruth(loss_percent=0.0)
    before, after = forms(truth)
    assert after.brain_scale == pytest.approx(1.0, abs=1e-6)
    assert after.ventricle_scale == pytest.approx(before.ventricle_scale, abs=1e-6)


def test_a_loss_smaller_than_that_of_its_parts_is_refused() -> None:
    with pytest.raises(BadTruth, match="less than"):
        forms(BrainTruth(loss_percent=1.0, ventricle_growth_ratio=40.0, ventricle_scale=1.5))
    with pytest.raises(BadTruth, match="at most 60"):
        BrainTruth(loss_percent=8.0, hippocampus_loss_ratio=20.0)
    with pytest.raises(BadTruth, match="hippocampus_loss_ratio"):
        BrainTruth(hippocampus_loss_ratio=0.5)


def test_white_matter_lesions_have_their_volumes_and_new_ones_come_on_the_second_date() -> None:
    truth = BrainTruth(lesions_ml=(0.9, 0.5), new_lesions_ml=(0.6,), lesion_growth_percent=20.0)
    made = make_brain(truth, Setup(spacing_mm=(3.0, 2.0, 2.0)))
    before, after = made.visits
    for visit, wanted in ((before, (0.9, 0.5)), (after, (1.08, 0.6, 0.6))):
        found = [s for s in visit.structures if s.name.startswith("lesion")]
        assert [s.exact.volume_mm3 / 1000 for s in found] == pytest.approx(wanted)
        for one in found:
            assert one.voxel_volume_mm3 == pytest.approx(one.exact.volume_mm3, rel=0.04)
    flair = after.series[1]
    assert isinstance(flair, ReferenceSeries)
    assert flair.voxels[flair.mask("lesion new 1")].mean() > 1.5 * flair.voxels[flair.mask("white matter")].mean()


def test_lesions_too_large_for_their_place_are_refused() -> None:
    with pytest.raises(BadTruth, match="do not fit"):
        make_brain(BrainTruth(lesions_ml=(6.0,), flair=False), Setup(spacing_mm=(20.0, 20.0, 20.0)))
    for wrong in ({"lesions_ml": (0.1,) * 7}, {"move_mm": (1.0,)}, {"loss_percent": -1.0}):
        with pytest.raises(BadTruth):
            BrainTruth(**wrong)
