"""New lesions in CT: only where like is compared with like, never at what merely moved."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.readers import follow_up
from coread.readers.card_file import read_card
from coread.readers.follow_up.fresh import searched
from coread.readers.follow_up.matched import margin_mm, matched, working_grid

FOLDER = Path(follow_up.__file__).parent
PARAMETERS = json.loads((FOLDER / "model" / "parameters.json").read_text(encoding="utf-8"))["new"]
STEP = 2.0
SHAPE = (44, 90, 110)
LUNG, LIVER = np.array([22, 45, 30]), np.array([22, 45, 82])
Floats = NDArray[np.float32]


def around(center: NDArray[Any], radii_mm: tuple[float, float, float]) -> NDArray[np.bool_]:
    squares = sum(((axis - middle) * STEP / radius) ** 2
                  for axis, middle, radius in zip(np.indices(SHAPE), center, radii_mm, strict=True))  # fmt: skip
    return np.asarray(squares < 1)


def trunk(seed: int, *painted: tuple[NDArray[np.bool_], float]) -> Floats:
    """Draw a body of fat with a lung, a vessel in it, a liver and a bowel loop with gas."""
    values = np.full(SHAPE, -1000.0)
    values[:, 4:86, 4:106] = -100.0
    values[around(LUNG, (70, 66, 38))] = -860.0
    values[:, 43:47, 44] = 40.0
    values[around(LIVER, (34, 40, 34))] = 105.0
    loop = np.array([22, 75, 60])
    values[around(loop, (30, 14, 22))] = 45.0
    values[around(loop, (9, 6, 9))] = -900.0
    for where, value in painted:
        values[where] = value
    return np.asarray(values + np.random.default_rng(seed).normal(0, 10, SHAPE), np.float32)


def found(now: Floats, before: Floats, **changed: Any) -> dict[str, NDArray[Any]]:
    nothing = np.zeros(SHAPE, dtype=bool)
    arrays = {
        "ct_now": now, "ct_before": before, "ct_covered": ~nothing, "ct_known": nothing,
        "ct_steps_mm": np.full(3, STEP), "ct_upward": np.array([0]),
    } | changed  # fmt: skip
    return searched(arrays, PARAMETERS)


NODULE = around(LUNG + np.array([4, 8, -6]), (5, 5, 5))
CYST = around(LIVER + np.array([-3, 4, 2]), (7, 7, 7))
BRIGHT = around(LIVER + np.array([3, -6, 2]), (6, 6, 6))


@pytest.mark.parametrize(("where", "value"), [(NODULE, 40.0), (NODULE, -560.0), (CYST, 55.0), (BRIGHT, 160.0)])
def test_a_new_nodule_or_organ_lesion_is_one_place(where: NDArray[np.bool_], value: float) -> None:
    said = found(trunk(1, (where, value)), trunk(2))
    assert (said["ct_new"] & where).any()
    assert not (said["ct_new"] & ~around_grown(where)).any()
    assert (said["ct_margin_mm"] >= 0).all()


def around_grown(where: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    return np.asarray(ndimage.binary_dilation(where, iterations=3))


def test_noise_alone_and_what_vanished_or_stayed_is_nothing_new() -> None:
    old = (NODULE, 40.0), (CYST, 55.0)
    assert not found(trunk(1), trunk(2))["ct_new"].any()
    assert not found(trunk(1, *old), trunk(2, *old))["ct_new"].any()
    assert not found(trunk(1), trunk(2, (NODULE, 40.0)))["ct_new"].any()


def test_what_moved_within_the_margin_is_nothing_new() -> None:
    old = (NODULE, 40.0), (CYST, 55.0)
    moved = np.roll(trunk(2, *old), 1, axis=2)
    assert not found(trunk(1, *old), moved)["ct_new"].any()


def test_bowel_fat_and_the_rim_of_the_lung_are_not_searched() -> None:
    bowel = around(np.array([22, 75, 66]), (8, 6, 6))
    fat = around(np.array([22, 20, 60]), (7, 7, 7))
    said = found(trunk(1, (bowel, 110.0), (fat, 60.0)), trunk(2))
    assert not said["ct_new"].any()


def test_the_place_of_a_known_lesion_and_what_the_earlier_scan_lacks_are_left_out() -> None:
    now, before = trunk(1, (NODULE, 40.0)), trunk(2)
    assert not found(now, before, ct_known=NODULE)["ct_new"].any()
    assert not found(now, before, ct_covered=~around(LUNG + np.array([4, 8, -6]), (20, 20, 20)))["ct_new"].any()


def test_a_long_thin_change_is_a_vessel_and_no_lesion() -> None:
    vessel = np.zeros(SHAPE, dtype=bool)
    vessel[8:36, 55:57, 24:26] = True
    assert not found(trunk(1, (vessel, 40.0)), trunk(2))["ct_new"].any()


def test_organs_that_lie_too_far_from_before_are_not_searched() -> None:
    said = found(trunk(1, (CYST, 55.0)), np.roll(trunk(2), 8, axis=1))
    assert (said["ct_margin_mm"] == -1).all()
    assert (said["ct_searched_ml"] == 0).all()
    assert not said["ct_new"].any()


def test_a_scan_without_organs_has_nothing_to_search() -> None:
    air = np.full(SHAPE, -1000.0, dtype=np.float32)
    assert (found(air, air)["ct_margin_mm"] == -1).all()


def test_the_margin_is_how_far_surfaces_lie_apart() -> None:
    ball = around(np.array([22, 45, 55]), (30, 30, 30))
    assert margin_mm(ball, ball, np.full(3, STEP)) == 0
    assert margin_mm(ball, np.roll(ball, 2, axis=0), np.full(3, STEP)) == pytest.approx(2 * STEP, abs=1.0)
    assert margin_mm(ball, np.zeros_like(ball), np.full(3, STEP)) == float("inf")


def test_the_working_grid_follows_the_scan_and_stays_small() -> None:
    matrix = np.array([[0.0, 0.0, 0.7, 0.0], [0.0, 0.7, 0.0, 0.0], [5.0, 0.0, 0.0, 0.0]])
    grid = working_grid(Geometry((60, 512, 512), affine_of(matrix), "1.2"))
    assert grid.spacing_mm() == pytest.approx((2.5, 1.5, 1.5))
    large = working_grid(Geometry((400, 1024, 1024), affine_of(matrix), "1.2"))
    assert np.prod(large.shape) < 42_000_000


def test_scans_are_matched_on_the_grid_of_the_current_one() -> None:
    matrix = np.array([[0.0, 0.0, STEP, 0.0], [0.0, STEP, 0.0, 0.0], [STEP, 0.0, 0.0, 0.0]])
    geometry = Geometry(SHAPE, affine_of(matrix), "1.2")
    now = Volume(trunk(2), Quantity.HOUNSFIELD, geometry, ())
    matrix[2, 3] = 6 * STEP
    part = Geometry((SHAPE[0] - 6, *SHAPE[1:]), affine_of(matrix), "1.2")
    match = matched(Volume(trunk(1)[6:], Quantity.HOUNSFIELD, part, ()), now, np.eye(4), working_grid(geometry))
    assert match.now.shape == match.before.shape == match.covered.shape == SHAPE
    assert not match.covered[:4].any()
    assert match.covered[8:-2, 4:-4, 4:-4].all()
    assert np.abs(match.now - match.before)[10:-2, 8:-8, 8:-8].mean() < 40


def test_the_card_says_what_was_measured() -> None:
    from bench.follow_up_new import words_of

    document = json.loads((FOLDER / "measurements.json").read_text(encoding="utf-8"))
    said = read_card(FOLDER / "card.toml").validation
    assert words_of(document["new_ct"]) in said
    stated = json.loads((FOLDER / "model" / "parameters.json").read_text(encoding="utf-8"))["repeatability"]
    for kind in ("volume", "diameter"):
        for size, measured in document["repeatability"][kind].items():
            assert stated[kind][size] == measured["coefficient"]
            assert f"{100 * measured['coefficient']:.1f} " in said
