"""Reconstruction from raw data: right images, what is proved on a case, and when the network is not believed."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coread.domain.findings import Presence
from coread.domain.geometry import Geometry
from coread.domain.kspace import RAW_DATA_STORAGE, KSpace, RawHeader, Trajectory
from coread.domain.reading import Arrays, ReaderInputs
from coread.domain.reasons import ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.domain.study import InstanceHeader
from coread.engine.checks import check_ending
from coread.engine.samples import study_of
from coread.imaging.mr.combine import zero_filled
from coread.imaging.mr.fourier import to_samples
from coread.imaging.mr.masks import MaskKind, MaskPlan, sampling_mask
from coread.imaging.mr.metrics import nmse
from coread.imaging.mr.nufft import planned
from coread.imaging.mr.radial import golden_angles, spokes_at
from coread.imaging.mr.simulate import Scanner, Simulated, simulated
from coread.imaging.mr.wavelet import l1_wavelet
from coread.readers.mr_reconstruction import learned, words
from coread.readers.mr_reconstruction.left_out import left_out
from coread.readers.mr_reconstruction.outside import WORDS, Outside
from coread.readers.mr_reconstruction.plane import Plane
from coread.readers.mr_reconstruction.proofs import lesions_for, recovery
from coread.readers.mr_reconstruction.reader import MrReconstructionReader, reader
from coread.readers.registry import installed_readers

SIDE = 48
INSTALLED = next(item for item in installed_readers() if item.card.reader_id == "mr_reconstruction")
FOLDER = INSTALLED.folder
PARAMETERS = json.loads((FOLDER / "model" / "parameters.json").read_text())
QUICK = PARAMETERS["safety"] | {"probes": 1, "members": 1}
TAUGHT = {"acceleration": [1.5, 10], "side": [32, 512], "coils": [2, 8], "signal_to_noise": 5.0}


class Session:
    """A package without graphs, or one whose network a test stands in for."""

    digest = "d" * 64
    runtime = "test"

    def __init__(self, taught: Mapping[str, Any] | None = None) -> None:
        self.parameters: dict[str, Any] = {"safety": QUICK, "classical": PARAMETERS["classical"]}
        self.parameters |= {"taught": taught} if taught else {}

    def run(self, graph: str, inputs: Arrays) -> dict[str, NDArray[Any]]:
        raise AssertionError(f"{graph} of {sorted(inputs)}: a test stands in for the network")

    def calibrate(self, key: str, logit: float) -> float:
        raise AssertionError(f"{key} {logit}")


def head(slices: int = 1, shift: int = 0) -> NDArray[np.float32]:
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    disc = 100.0 * (np.hypot(x, y) < 0.85) + 50 * (np.hypot(x - 0.3, y) < 0.15)
    return np.stack([np.roll(disc, (k + shift, 0), (0, 1)) for k in range(slices)]).astype(np.float32)


def scanned(truth: NDArray[np.float32], coils: int = 4) -> list[Simulated]:
    """All planes with the same coils, as the frames of a series have."""
    return [simulated(plane, Scanner(coils=coils, signal_to_noise=40.0), [5, 0]) for plane in truth]


def acquisition(truth: NDArray[np.float32], mask: NDArray[np.bool_], *, coils: int = 4, frames: int = 1) -> KSpace:
    found = scanned(truth, coils)
    samples = np.stack([one.samples for one in found]).reshape(frames, -1, coils, 1, SIDE, SIDE)
    slices = samples.shape[1]
    masks = np.broadcast_to(mask[:, 0], (frames, slices, 1, SIDE)) if mask.ndim == 2 else mask
    noise = np.random.default_rng(3).standard_normal((2, coils, 512)) * found[0].noise_deviation
    geometry = Geometry((slices, SIDE, SIDE), ((0, 0, 2.0, -48), (0, 2.0, 0, -48), (5.0, 0, 0, 0)), "1.2.3.9")
    return KSpace(
        samples=np.where(masks[:, :, None, :, :, None], samples, 0).astype(np.complex64),
        mask=np.ascontiguousarray(masks),
        geometry=geometry,
        header=RawHeader(echo_time_ms=98.0, sequence_name="TSE", synthetic=True),
        noise=(noise[0] + 1j * noise[1]).astype(np.complex64),
        source_digest="e" * 64,
    )


def lines(acceleration: float = 2.0, fraction: float = 0.25) -> NDArray[np.bool_]:
    return sampling_mask(MaskPlan(MaskKind.EQUISPACED, acceleration, fraction), (SIDE, SIDE), 4)


def header_of(number: int = 1) -> InstanceHeader:
    uids = ("1.2.3", "1.2.3.4", f"1.2.3.4.{number}")
    return InstanceHeader(*uids, RAW_DATA_STORAGE, "1.2.840.10008.1.2.1", modality="MR", patient_sex="O")


def read(*kspaces: KSpace, session: Session | None = None) -> ReadResult | Refusal:
    reading: MrReconstructionReader = reader(INSTALLED.card)
    headers = tuple(header_of(number) for number in range(len(kspaces)))
    prepared = reading.prepare(ReaderInputs(study_of(headers), kspaces=kspaces, kspace_headers=headers))
    if isinstance(prepared, Refusal):
        return prepared
    session = session or Session()
    ending = reading.interpret(session, prepared, reading.infer(session, prepared))
    check_ending(INSTALLED.card, ending, headers)
    return ending


def result_of(*kspaces: KSpace, session: Session | None = None) -> ReadResult:
    ending = read(*kspaces, session=session)
    assert isinstance(ending, ReadResult), ending
    return ending


def number(result: ReadResult, code: object) -> float:
    return next(item.value for item in result.measurements if item.concept == code)


def test_the_images_are_nearer_to_the_truth_than_zero_filled_ones_and_say_how_they_were_made() -> None:
    truth = head(2)
    result = result_of(acquisition(truth, lines()))
    (series,) = result.images
    filled = acquisition(truth, lines()).samples[0, :, :, 0]
    assert nmse(truth, series.voxels) < min(0.01, 0.2 * nmse(truth, np.stack([zero_filled(one) for one in filled])))
    assert series.geometry.shape == (2, SIDE, SIDE)
    assert dict(series.attributes) == {"EchoTime": "98", "SequenceName": "TSE", "MRAcquisitionType": "2D"}
    assert series.synthetic
    assert f"{2 * int(lines()[:, 0].sum())} of 96 lines" in series.derivation
    assert (result.findings[0].presence, result.outcome().value) == (Presence.PRESENT, "positive")
    assert WORDS[Outside.NO_NETWORK] in " ".join(result.notes)
    assert 1.5 < number(result, words.ACCELERATION) < 2.1
    assert 20 < number(result, words.SIGNAL_TO_NOISE) < 60
    assert 0.3 < number(result, words.RESIDUAL) < 1.5
    assert 0.9 < number(result, words.HELD_OUT) < 2.5
    assert 40 < number(result, words.WEAKEST) < 120
    assert number(result, words.CONTRADICTED) < 50
    (spread,) = result.maps
    assert spread.images == series.references()
    assert 0 < spread.values.mean() < 0.1 * truth.mean()
    assert [picture.caption.split(":")[0] for picture in result.pictures][:2] == ["Zero-filled", "Delivered"]


def test_fully_sampled_data_need_no_network_and_are_inside_of_what_was_validated() -> None:
    truth = head()
    result = result_of(acquisition(truth, np.ones((SIDE, SIDE), bool)))
    assert result.findings[0].presence is Presence.ABSENT
    assert "fully sampled" in result.images[0].label
    assert nmse(truth, result.images[0].voxels) < 0.002


def test_spokes_become_images_by_the_classical_method() -> None:
    truth = head()
    (found,) = scanned(truth)
    way = spokes_at(golden_angles(60), SIDE)
    samples = planned(way, (SIDE, SIDE)).forward(found.maps * found.image).reshape(4, *way.shape[:2])
    cartesian = acquisition(truth, lines())
    kspace = replace(
        cartesian, samples=samples[None, None, :, None], mask=np.ones((1, 1, 1, len(way)), bool),
        trajectory=Trajectory.RADIAL, coordinates=way[None, None], noise=None,
    )  # fmt: skip
    result = result_of(kspace)
    assert nmse(truth, result.images[0].voxels) < 0.02
    assert "radial SENSE" in result.images[0].label
    assert WORDS[Outside.TRAJECTORY] in " ".join(result.notes)
    assert "spokes" in result.images[0].derivation


def test_frames_over_time_are_reconstructed_together_into_one_series() -> None:
    truth = np.concatenate([head(1, shift) for shift in (0, 1, 2, 1, 0)])
    masks = np.stack([sampling_mask(MaskPlan(MaskKind.RANDOM, 2.5, 0.2), (SIDE, SIDE), k)[:, 0] for k in range(5)])
    result = result_of(acquisition(truth, masks[:, None, None], frames=5))
    assert [series.position for series in result.images] == [1, 2, 3, 4, 5]
    assert len({series.series_instance_uid for series in result.images}) == 1
    assert "low-rank and sparse" in result.images[0].label
    assert nmse(truth, np.concatenate([series.voxels for series in result.images])) < 0.1
    assert len(result.maps) == 5


def test_one_acquisition_that_cannot_be_used_is_skipped_beside_another_and_refused_alone() -> None:
    good, gaps = acquisition(head(), lines()), acquisition(head(), lines(4.0, 0.02))
    result = result_of(good, gaps)
    assert len(result.images) == 1
    assert [reason.code for _, reason in result.skipped] == [ReasonCode.NO_CALIBRATION]
    refused = read(gaps)
    assert isinstance(refused, Refusal)
    assert refused.reason.code is ReasonCode.NO_CALIBRATION
    nothing = replace(good, samples=np.zeros_like(good.samples))
    moved = replace(good, repeat_disagreement=0.6)
    strange = replace(good, trajectory=Trajectory.OTHER, coordinates=np.zeros((1, 1, SIDE, SIDE, 2), np.float32))
    codes = [ending.reason.code for ending in map(read, (nothing, moved, strange)) if isinstance(ending, Refusal)]
    assert codes == [ReasonCode.TOO_FEW_COILS, ReasonCode.MOTION, ReasonCode.WRONG_TRAJECTORY]


def test_reference_lines_that_were_taken_apart_and_many_coils_are_used() -> None:
    kspace = acquisition(head(), lines(), coils=12)
    apart = np.zeros_like(kspace.samples[0])
    apart[..., 12:36, 12:36] = kspace.samples[0][..., 12:36, 12:36]
    outer = lines(2.0, 0.0)[:, 0]
    fewer = replace(
        kspace, samples=np.where(outer[:, None], kspace.samples, 0).astype(np.complex64),
        mask=kspace.mask & outer, calibration=apart, noise=None,
    )  # fmt: skip
    result = result_of(fewer)
    notes = " ".join(result.notes)
    assert "12 coils were combined into 8" in notes
    assert "no noise scan" in notes
    assert "lower bound" in notes
    assert nmse(head(), result.images[0].voxels) < 0.05


def stand_in(monkeypatch: pytest.MonkeyPatch, change: Any = lambda image: image) -> Session:
    """A network that is as good as the classical images, but for a change."""

    def network(_: Session, samples: NDArray[np.complex64], mask: NDArray[np.bool_]) -> learned.Reconstructed:
        from coread.imaging.mr.espirit import espirit_maps

        maps = espirit_maps(samples, mask)
        return learned.Reconstructed(change(l1_wavelet(samples, mask, maps, 0.008)), maps)

    monkeypatch.setattr(learned, "reconstruct_with_maps", network)
    return Session(TAUGHT)


def test_a_network_that_keeps_what_was_measured_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    result = result_of(acquisition(head(), lines()), session=stand_in(monkeypatch))
    assert "learned" in result.images[0].label
    assert (result.findings[0].presence, result.outcome().value) == (Presence.ABSENT, "negative")
    assert [picture.caption for picture in result.pictures][2] == "Classical: wavelets"


def blob(amplitude: float) -> NDArray[np.float32]:
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.asarray(amplitude * np.exp(-((np.hypot(y - 20, x - 30) / 2.5) ** 4)), dtype=np.float32)


def smoothed(image: NDArray[np.complex64]) -> NDArray[np.complex64]:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(image.real, 3) + 1j * gaussian_filter(image.imag, 3), dtype=np.complex64)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda image: image + blob(30.0), Outside.RESIDUAL),
        (smoothed, Outside.HELD_OUT | Outside.LESION_LOST | Outside.RESIDUAL),
        (lambda image: np.full_like(image, np.nan), Outside.HELD_OUT),
        (lambda image: image + np.roll(image, 12, 0) * 0.8, Outside.HELD_OUT | Outside.LESION_ADDED),
    ],
    ids=["invents", "blurs", "breaks", "ghosts"],
)
def test_a_network_that_invents_loses_or_breaks_is_not_delivered(
    monkeypatch: pytest.MonkeyPatch, change: Any, why: Outside
) -> None:
    result = result_of(acquisition(head(), lines()), session=stand_in(monkeypatch, change))
    assert "l1-wavelet" in result.images[0].label
    assert result.findings[0].presence is Presence.PRESENT
    said = " ".join(result.notes)
    assert any(text in said for flag, text in WORDS.items() if flag in why)
    assert nmse(head(), result.images[0].voxels) < 0.01


@pytest.mark.parametrize(
    ("taught", "why"),
    [
        ({"acceleration": [3.0, 10.0]}, Outside.ACCELERATION),
        ({"side": [64, 512]}, Outside.MATRIX),
        ({"coils": [6, 8]}, Outside.COILS),
        ({"signal_to_noise": 500.0}, Outside.NOISE),
    ],
)
def test_outside_of_what_it_was_taught_on_the_network_is_not_asked(taught: dict[str, Any], why: Outside) -> None:
    result = result_of(acquisition(head(), lines()), session=Session(TAUGHT | taught))
    assert WORDS[why] in " ".join(result.notes)
    assert "l1-wavelet" in result.images[0].label


def test_half_of_k_space_is_outside_of_what_it_was_taught_on() -> None:
    mask = lines()
    mask[: SIDE // 4] = False
    result = result_of(acquisition(head(), mask), session=Session(TAUGHT))
    assert WORDS[Outside.ONE_SIDED] in " ".join(result.notes)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.02, 0.5), st.sampled_from(["lines", "columns", "points"]))
def test_what_is_left_out_was_sampled_and_is_never_the_middle(seed: int, share: float, kind: str) -> None:
    plan = MaskPlan(MaskKind.POISSON if kind == "points" else MaskKind.RANDOM, 3.0, 0.2)
    mask = sampling_mask(plan, (40, 40), seed)
    mask = mask.T.copy() if kind == "columns" else mask
    kept = left_out(mask, share, seed)
    assert not (kept & ~mask).any()
    assert kept[17:23, 17:23].all() or not mask[17:23, 17:23].all()
    assert np.array_equal(kept, left_out(mask, share, seed))
    assert (kept != mask).any()


@pytest.mark.parametrize("gain", [1.0, 0.5, 0.0])
def test_recovery_is_the_share_of_a_lesion_that_came_back(gain: float) -> None:
    (found,) = scanned(head())
    lesions = lesions_for(found.image, found.maps, QUICK["lesions"])
    assert lesions is not None
    before = np.abs(found.image).astype(np.float32)
    after = np.abs(found.image + gain * lesions.image).astype(np.float32)
    seen = recovery(lesions, before, after)
    assert seen.weakest == pytest.approx(gain, abs=0.05)
    assert seen.elsewhere < 0.02
    ghost = after + np.roll(np.abs(lesions.image), SIDE // 3, 1).astype(np.float32)
    assert recovery(lesions, before, ghost).elsewhere > 0.3


def test_added_lesions_are_measured_as_the_scanner_would() -> None:
    (found,) = scanned(head())
    mask = lines()
    plane = Plane((found.samples * mask)[None], mask[None], found.maps)
    lesions = lesions_for(found.image, found.maps, QUICK["lesions"])
    assert lesions is not None
    noise = found.samples - to_samples(found.maps * found.image)
    scanned_with_them = to_samples(found.maps * (found.image + lesions.image)) + noise
    assert np.allclose(plane.with_added(lesions.image).samples[0], scanned_with_them * mask, atol=1e-3)


def test_every_reason_for_classical_images_is_in_words() -> None:
    assert set(WORDS) == set(Outside)
