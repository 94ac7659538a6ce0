"""Masks are fastMRI's draw for draw, exact in their acceleration, and the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coread.imaging.mr.calibration import calibration_region
from coread.imaging.mr.masks import (
    BadSampling,
    MaskKind,
    MaskPlan,
    equispaced_lines,
    magic_lines,
    random_lines,
    sampling_mask,
)

LINES = (MaskKind.RANDOM, MaskKind.EQUISPACED, MaskKind.MAGIC)


@pytest.mark.parametrize("kind", list(MaskKind))
def test_the_same_seed_gives_the_same_mask_and_leaves_the_global_state_alone(kind: MaskKind) -> None:
    before = np.random.get_state()[1].copy()  # type: ignore[index]
    plan = MaskPlan(kind, 4)
    one, two, other = (sampling_mask(plan, (96, 64), seed) for seed in ([1, 2], [1, 2], [1, 3]))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]


@pytest.mark.parametrize("kind", LINES)
@given(count=st.integers(64, 400), seed=st.integers(0, 2**31 - 1))
@settings(max_examples=25, deadline=None)
def test_lines_are_constant_along_the_readout_and_keep_the_middle(kind: MaskKind, count: int, seed: int) -> None:
    mask = sampling_mask(MaskPlan(kind, 4), (count, 16), seed)
    assert (mask == mask[:, :1]).all()
    kept = round(count * 0.08) if kind is not MaskKind.MAGIC else min(round(count * 0.08), count // 4)
    first = (count - kept + 1) // 2
    assert mask[first : first + kept].all()


def test_random_lines_are_those_of_fastmri() -> None:
    # The definition of fastMRI written out: 0.08 of 368 columns is 29, the chance (92 - 29) / (368 - 29).
    drawn = np.random.RandomState(42).uniform(size=368) < (92 - 29) / (368 - 29)
    drawn[170 : 170 + 29] = True
    assert np.array_equal(random_lines(368, 4, 0.08, 42), drawn)


def test_equispaced_lines_are_those_of_fastmri() -> None:
    distance = 4 * (29 - 368) / (29 * 4 - 368)
    first = np.random.RandomState(7).randint(0, round(distance))
    wanted = np.zeros(368, dtype=bool)
    wanted[170 : 170 + 29] = True
    wanted[np.around(np.arange(first, 367, distance)).astype(int)] = True
    assert np.array_equal(equispaced_lines(368, 4, 0.08, 7), wanted)


def test_magic_lines_miss_no_line_that_its_conjugate_would_not_fill() -> None:
    # Offsets of the two halves differ so that the mirrored lines of one fall between those of the other.
    for seed in range(6):
        lines = np.fft.ifftshift(magic_lines(320, 4, 0.04, seed))
        positive = set(np.flatnonzero(lines[1:160]) + 1)
        negative = {320 - int(index) for index in np.flatnonzero(lines) if index > 160}
        outer = {line for line in positive ^ negative if line > 20}
        assert len(outer) > 1.8 * len({line for line in positive if line > 20})


@pytest.mark.parametrize("acceleration", [4, 8])
def test_accelerations_are_met(acceleration: int) -> None:
    equispaced = sampling_mask(MaskPlan(MaskKind.EQUISPACED, acceleration), (320, 8), 1)
    assert abs(equispaced.size / equispaced.sum() - acceleration) < 0.35
    counts = [sampling_mask(MaskPlan(MaskKind.RANDOM, acceleration), (320, 8), seed).mean() for seed in range(60)]
    assert abs(np.mean(counts) * acceleration - 1) < 0.06
    points = sampling_mask(MaskPlan(MaskKind.POISSON, acceleration), (120, 96), 1)
    assert points.sum() == round(points.size / acceleration)


def test_poisson_points_keep_their_distance_and_are_denser_in_the_middle() -> None:
    mask = sampling_mask(MaskPlan(MaskKind.POISSON, 8, 0.08), (128, 128), 3)
    rows, columns = np.nonzero(mask)
    radius = np.hypot(rows - 64, columns - 64) / 64
    assert radius.max() <= 1.0
    inner = ((radius > 0.2) & (radius < 0.4)).sum() / (np.pi * (0.4**2 - 0.2**2))
    outer = ((radius > 0.7) & (radius < 0.9)).sum() / (np.pi * (0.9**2 - 0.7**2))
    assert inner > 2 * outer
    points = np.stack([rows, columns], axis=1)[radius > 0.8]
    apart = np.hypot(*(points[:, np.newaxis] - points).transpose(2, 0, 1)) + 100 * np.eye(len(points))
    # Clumps would lie at distance 1; a few points were put in at random for the exact number.
    assert np.mean(apart.min(axis=1) >= 2.0) > 0.9
    region = calibration_region(mask)
    assert region is not None
    assert min(part.stop - part.start for part in region) >= 9


def test_corners_are_sampled_when_asked_for() -> None:
    mask = sampling_mask(MaskPlan(MaskKind.POISSON, 4, corners=True), (64, 64), 3)
    assert mask[:8, :8].any()


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(BadSampling, match="between 1 and 64"):
        MaskPlan(MaskKind.RANDOM, 0.5)
    with pytest.raises(BadSampling, match=r"\[0, 1\)"):
        MaskPlan(MaskKind.RANDOM, 4, 1.0)
    with pytest.raises(BadSampling, match="8 x 8"):
        sampling_mask(MaskPlan(MaskKind.RANDOM, 4), (4, 100), 1)
    with pytest.raises(BadSampling, match="without the corners"):
        sampling_mask(MaskPlan(MaskKind.POISSON, 1.1), (64, 64), 1)


def test_a_middle_that_is_all_there_is_to_sample_stays() -> None:
    assert equispaced_lines(100, 10, 0.2, 1).sum() == 20
    assert magic_lines(100, 10, 0.2, 1).sum() == 10
