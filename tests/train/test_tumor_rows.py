"""What the tumour network learns from: patients bent smoothly, and fields with much around the tumour."""

import numpy as np
import pytest

from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.readers.tumor_volume import recipe
from coread.readers.tumor_volume.cohort import Case, bent, random_part
from coread.train.fit import FitPlan


def _case() -> Case:
    matrix = np.array([[0.0, 0.0, 3.0, 5.0], [0.0, 3.0, 0.0, -8.0], [4.0, 0.0, 0.0, 2.0]])
    geometry = Geometry((30, 36, 40), affine_of(matrix), "1.2")
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[10:18, 12:22, 14:22] = True
    voxels = np.where(mask, 25.0, 60.0).astype(np.float32)
    return Case("A", Volume(voxels, Quantity.HOUNSFIELD, geometry, ()), mask)


@pytest.mark.parametrize("seed", range(5))
def test_image_and_outline_are_bent_together_and_stay_on_their_grid(seed: int) -> None:
    case = _case()
    other = bent(case, np.random.default_rng(seed))
    assert other.volume.geometry == case.volume.geometry
    assert other.volume.voxels.dtype == np.float32
    assert not np.array_equal(other.mask, case.mask)
    # Within the outline is tumour (25 HU) and beyond it muscle (60 HU), but for voxels that the border crosses.
    assert np.array_equal(other.mask, other.volume.voxels < 42.5)
    assert 0.5 < other.mask.sum() / case.mask.sum() < 1.8
    assert np.array_equal(bent(case, np.random.default_rng(seed)).mask, other.mask)


@pytest.mark.parametrize("seed", range(5))
def test_a_wide_part_keeps_at_least_half_of_the_margin_on_every_side(seed: int) -> None:
    case = _case()
    part = random_part(case, np.random.default_rng(seed), least=0.5)
    assert part.mask.sum() == case.mask.sum()
    at, own = np.argwhere(part.mask), np.argwhere(case.mask)
    before, had = at.min(axis=0), own.min(axis=0)
    behind = np.array(part.mask.shape) - 1 - at.max(axis=0)
    had_behind = np.array(case.mask.shape) - 1 - own.max(axis=0)
    assert (before >= had / 2).all()
    assert (behind >= had_behind / 2).all()


def test_going_on_is_short_and_gentle_beside_the_first_fit() -> None:
    plan: FitPlan = recipe.RECIPE.plan
    going_on = recipe.RECIPE.going_on
    assert going_on is not None
    assert going_on.epochs < plan.epochs
    assert going_on.learning_rate < plan.learning_rate
