"""What is wrong with raw samples is found: dropped where little is, refused with its reason where much is."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coread.domain.geometry import Geometry, affine_of
from coread.domain.kspace import KSpace, RawHeader, Samples
from coread.domain.reasons import ReasonCode
from coread.imaging.errors import ImagingRefused
from coread.imaging.mr.checks import CheckLimits, checked
from coread.imaging.mr.files.room import RoomLimits
from coread.imaging.mr.masks import MaskKind, MaskPlan, sampling_mask
from coread.imaging.mr.simulate import Scanner, simulated
from coread.phantoms.brain_mr import BrainRecipe, brain_slice

SIDE = 128


def head(seed: int) -> NDArray[np.float32]:
    return np.asarray(brain_slice(BrainRecipe(seed=seed, rows=SIDE)).dataset.pixel_array, dtype=np.float32)


def scanned(acceleration: float = 4, *, coils: int = 8, snr: float = 30, seed: int = 1, centre: float = 0.14) -> KSpace:
    samples = simulated(head(seed), Scanner(coils=coils, signal_to_noise=snr), seed).samples
    lines = np.ones(SIDE, np.bool_)
    if acceleration > 1:
        plan = MaskPlan(MaskKind.EQUISPACED, acceleration, centre_fraction=centre)
        lines = sampling_mask(plan, (SIDE, SIDE), seed)[:, 0]
    place = Geometry((1, SIDE, SIDE), affine_of(np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]])), "1.2")
    names = tuple(f"H{n + 1}" for n in range(coils))
    kept = (samples * lines[:, None])[None, None, :, None]
    noise = np.ones((coils, 10), np.complex64)
    return KSpace(kept, lines[None, None, None], place, RawHeader(coil_names=names), noise=noise)


def changed(kspace: KSpace, change: Any) -> KSpace:
    samples = kspace.samples.copy()
    change(samples[0, 0, :, 0])
    return replace(kspace, samples=samples)


def refused(kspace: KSpace, **limits: Any) -> ReasonCode:
    with pytest.raises(ImagingRefused) as caught:
        checked(kspace, CheckLimits(**limits))
    return caught.value.reason.code


@pytest.mark.parametrize("coils", [1, 4, 12])
@pytest.mark.parametrize("acceleration", [1, 4])
def test_good_samples_pass_whole(coils: int, acceleration: float) -> None:
    for seed in (1, 2):
        for snr in (8.0, 300.0):
            given = scanned(acceleration, coils=coils, snr=snr, seed=seed)
            done = checked(given)
            assert done.kspace is given
            assert (done.dropped_coils, done.dropped_lines) == ((), ())


@pytest.mark.parametrize("kind", ["zero", "noise", "loud noise", "not finite"])
def test_a_dead_coil_is_left_out_and_said(kind: str) -> None:
    given = scanned()
    random = np.random.default_rng(0)
    strength = float(np.abs(given.samples).max()) * {"noise": 0.001, "loud noise": 0.2}.get(kind, 0.0)

    def kill(samples: Samples) -> None:
        noise = random.normal(size=samples.shape[1:]) + 1j * random.normal(size=samples.shape[1:])
        sampled = given.mask[0, 0, 0][:, None]
        samples[2] = (np.full(samples.shape[1:], np.nan) if kind == "not finite" else strength * noise) * sampled

    done = checked(changed(given, kill))
    assert done.dropped_coils == (2,)
    assert done.dropped_lines == ()
    assert done.kspace.samples.shape[2] == 7
    assert done.kspace.header.coil_names == ("H1", "H2", "H4", "H5", "H6", "H7", "H8")
    assert done.kspace.noise is not None
    assert len(done.kspace.noise) == 7
    assert "3 of 8" in done.notes[-1]
    assert refused(changed(given, kill), min_coils=8) is ReasonCode.TOO_FEW_COILS


def test_lines_that_are_not_finite_are_dropped_when_few_and_refused_when_many() -> None:
    given = scanned(2)
    places = np.flatnonzero(given.mask[0, 0, 0])

    def few(samples: Samples) -> None:
        samples[3, places[4], 17] = np.nan
        samples[5, places[-6]] = np.inf

    done = checked(changed(given, few))
    assert done.dropped_lines == ((0, 0, 0, int(places[4])), (0, 0, 0, int(places[-6])))
    assert np.isfinite(done.kspace.samples).all()
    assert not done.kspace.mask[0, 0, 0, places[4]]
    assert given.mask[0, 0, 0, places[4]]
    assert "2 corrupt lines" in done.notes[-1]

    def many(samples: Samples) -> None:
        samples[1, places[:9], 3] = np.nan

    assert refused(changed(given, many)) is ReasonCode.CORRUPT_LINES


def test_spikes_and_lines_out_of_line_are_found() -> None:
    given = scanned(2)
    places = np.flatnonzero(given.mask[0, 0, 0])
    peak = float(np.abs(given.samples).max())
    found = 0
    for number in range(12):
        random = np.random.default_rng(number)
        # Outside the middle, where a dropped line would leave too little to calibrate from.
        line, sample = int(random.choice(np.r_[places[4:20], places[-20:-4]])), int(random.integers(SIDE))

        def spike(samples: Samples, line: int = line, sample: int = sample) -> None:
            samples[:, line, sample] += 0.2 * peak

        found += checked(changed(given, spike)).dropped_lines == ((0, 0, 0, line),)

        def burst(samples: Samples, line: int = line) -> None:
            samples[:, line] *= 40

        assert checked(changed(given, burst)).dropped_lines == ((0, 0, 0, line),)
    assert found == 12

    def lost(samples: Samples) -> None:
        samples[:, SIDE // 2 + 5] *= 1e-3

    wide = scanned(1)
    assert refused(changed(wide, lost), min_calibration=24) is ReasonCode.NO_CALIBRATION
    assert checked(changed(wide, lost), CheckLimits(min_calibration=4)).dropped_lines == ((0, 0, 0, SIDE // 2 + 5),)


def test_a_middle_with_gaps_is_refused_unless_reference_lines_were_taken() -> None:
    given = scanned(4, centre=0.02)
    assert refused(given) is ReasonCode.NO_CALIBRATION
    reference = replace(given, calibration=given.samples[0])
    assert checked(reference).kspace is reference
    assert checked(scanned(4, centre=0.02, coils=1)).dropped_coils == ()


def test_motion_emptiness_and_size_are_refused() -> None:
    given = scanned()
    assert refused(replace(given, repeat_disagreement=0.35)) is ReasonCode.MOTION
    assert "5.0 %" in checked(replace(given, repeat_disagreement=0.05)).notes[-1]
    assert refused(replace(given, mask=np.zeros_like(given.mask))) is ReasonCode.BAD_SAMPLES
    assert refused(replace(given, samples=np.zeros_like(given.samples))) is ReasonCode.TOO_FEW_COILS
    assert refused(given, room=RoomLimits(most_bytes=1000)) is ReasonCode.OUT_OF_MEMORY
