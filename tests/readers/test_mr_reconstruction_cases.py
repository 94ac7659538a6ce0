"""Acquisitions as scanners make them, beyond one plane of lines: echoes and halves cut off, partitions, many coils."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coread.domain.findings import Presence
from coread.domain.geometry import Geometry
from coread.domain.kspace import KSpace
from coread.domain.reasons import ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.imaging.mr.combine import root_sum_of_squares
from coread.imaging.mr.fourier import to_image, to_samples
from coread.imaging.mr.fully_sampled import equally_noisy, reference_images
from coread.imaging.mr.masks import MaskKind, MaskPlan, sampling_mask
from coread.imaging.mr.methods import Method, reconstructed_plane
from coread.imaging.mr.metrics import nmse
from coread.imaging.mr.partial_fourier import one_sided
from coread.imaging.mr.simulate import Scanner, simulated
from coread.phantoms.mr_raw import RawTruth, make
from coread.phantoms.reference.objects import ReferenceSeries
from coread.phantoms.reference.scan import Setup
from coread.readers.mr_reconstruction import learned, reconstructing, words
from coread.readers.mr_reconstruction.acquisition import planes_of
from coread.readers.mr_reconstruction.left_out import left_out
from coread.readers.mr_reconstruction.outside import WORDS, Outside
from coread.readers.mr_reconstruction.proofs import Recovery
from tests.readers.test_mr_reconstruction import (
    QUICK,
    SIDE,
    Session,
    acquisition,
    head,
    lines,
    number,
    read,
    result_of,
    scanned,
    smoothed,
    stand_in,
)


def zero_filled_of(kspace: KSpace) -> NDArray[np.float32]:
    rows, columns = kspace.geometry.shape[1:]
    images = np.stack([root_sum_of_squares(to_image(one[:, 0])) for one in kspace.samples[0]])
    top, left = (images.shape[1] - rows) // 2, (images.shape[2] - columns) // 2
    return images[:, top : top + rows, left : left + columns]


def oversampled(kspace: KSpace) -> KSpace:
    """The same lines with twice the samples; half of them lie outside of what is shown."""
    beside = [(0, 0)] * 5 + [(SIDE // 2, SIDE // 2)]
    wide = to_samples(np.pad(to_image(kspace.samples, axes=(-1,)), beside), axes=(-1,))
    return replace(kspace, samples=np.where(kspace.mask[:, :, None, :, :, None], wide, 0).astype(np.complex64))


def test_frames_of_a_slice_share_their_virtual_coils() -> None:
    """Frames are taken together, so whatever changes over time, a virtual coil is the same mixture in each."""
    left, right = head(1, -10)[0], 50 * head(1, 14)[0]
    one, other = (simulated(image, Scanner(coils=12), [5, 0]).samples for image in (left, right))
    samples = np.stack([one, other, one + 2j * other])[:, None, :, None].astype(np.complex64)
    kspace = replace(
        acquisition(np.concatenate([head()] * 3), lines(), coils=12, frames=3), samples=samples, noise=None
    )
    for calibration in (None, samples[0]):
        first, second, third = planes_of(replace(kspace, calibration=calibration), 8).samples
        assert np.allclose(third, first + 2j * second, atol=1e-3 * np.abs(third).max())


@pytest.mark.parametrize("share", [0.75, 0.875])
def test_sampling_that_ends_early_is_told_from_gaps(share: float) -> None:
    for kind, speed in ((MaskKind.EQUISPACED, 4.0), (MaskKind.MAGIC, 4.0), (MaskKind.EQUISPACED, 2.0)):
        taken = sampling_mask(MaskPlan(kind, speed), (256, 8), 3)[:, 0].copy()
        assert one_sided(taken) is None
        taken[: round(256 * (1 - share))] = False
        assert one_sided(taken) is not None
    for seed in range(20):
        assert one_sided(sampling_mask(MaskPlan(MaskKind.RANDOM, 4.0), (256, 8), seed)[:, 0]) is None


@pytest.mark.parametrize("apart", [False, True], ids=["own middle", "reference lines"])
def test_an_asymmetric_echo_is_completed(apart: bool) -> None:
    truth = head()
    full = oversampled(acquisition(truth, np.ones((SIDE, SIDE), bool)))
    taken = lines(2.0, 0.0 if apart else 0.25)[:, :1] & (np.arange(2 * SIDE) >= SIDE // 2)
    middle = np.zeros_like(full.samples[0])
    middle[..., 12:36, SIDE - 24 : SIDE + 24] = full.samples[0][..., 12:36, SIDE - 24 : SIDE + 24]
    kspace = replace(
        full, samples=np.where(taken, full.samples, 0).astype(np.complex64), mask=taken[None, None, None],
        calibration=middle if apart else None,
    )  # fmt: skip
    result = result_of(kspace)
    assert result.images[0].voxels.shape == truth.shape
    assert nmse(truth, result.images[0].voxels) < min(0.02, 0.3 * nmse(truth, zero_filled_of(kspace)))
    assert "partial Fourier" in " ".join(result.notes)


def test_what_is_left_out_of_an_asymmetric_echo_is_whole_lines() -> None:
    mask = lines()[:, :1] & (np.arange(SIDE) >= SIDE // 4)
    gone = mask & ~left_out(mask, 0.2, 3)
    assert gone.any()
    assert np.array_equal(gone, np.asarray(gone.any(axis=1))[:, None] & mask)


def phantom(**truth: Any) -> tuple[KSpace, NDArray[np.float32]]:
    made = make(RawTruth(matrix=96, slices=1, coils=6, dicom=False, **truth), Setup(seed=3))
    (series,) = [one for one in made.visits[0].series if isinstance(one, ReferenceSeries)]
    assert made.kspace is not None
    return made.kspace, series.voxels


def test_partial_fourier_of_the_phantom_is_completed_and_said() -> None:
    kspace, truth = phantom(acceleration=2.0, centre_percent=16.0, partial_fourier=0.75)
    result = result_of(kspace)
    error, plain = nmse(truth, result.images[0].voxels), nmse(truth, zero_filled_of(kspace))
    whole, _ = phantom(acceleration=2.0, centre_percent=16.0)
    unhalved = result_of(whole)
    assert error < 0.25 * plain
    assert error < 3 * nmse(truth, unhalved.images[0].voxels)
    assert "partial Fourier" in " ".join(result.notes)
    assert "partial Fourier" not in " ".join(unhalved.notes)


def test_a_dead_coil_of_the_phantom_is_left_out_and_named() -> None:
    kspace, truth = phantom(acceleration=2.0, centre_percent=16.0, dead_coil=2)
    result = result_of(kspace)
    assert "coils without signal left out: 2 of 6" in " ".join(result.notes)
    assert number(result, words.USED_COILS) == 5
    assert nmse(truth, result.images[0].voxels) < 0.3


def test_a_volume_with_empty_ends_is_reconstructed_plane_by_plane() -> None:
    partitions, columns = 32, 32
    z, y, x = np.mgrid[-1 : 1 : partitions * 1j, -1 : 1 : SIDE * 1j, -1 : 1 : columns * 1j]
    ball = (100.0 * (np.sqrt(x**2 + y**2 + z**2) < 0.8)).astype(np.float32)
    plane = simulated(ball[partitions // 2], Scanner(coils=4), [5, 0])
    images = plane.maps[:, None] * ball
    samples = to_samples(np.pad(images, ((0, 0), (0, 0), (0, 0), (16, 16))).astype(np.complex64), axes=(-3, -2, -1))
    noise = np.random.default_rng(4).standard_normal((2, *samples.shape)).astype(np.float32) * plane.noise_deviation
    mask = sampling_mask(MaskPlan(MaskKind.POISSON, 3.0, 0.3), (partitions, SIDE), 4)
    taken = ((samples + noise[0] + 1j * noise[1]) * mask[..., None])[None, None]
    affine = ((0, 0, 2.0, 0), (0, 2.0, 0, 0), (2.0, 0, 0, 0))
    given = acquisition(head(), lines())
    kspace = replace(
        given, samples=taken.astype(np.complex64), mask=mask[None, None],
        geometry=Geometry((partitions, SIDE, columns), affine, "1.2.3.9"),
    )  # fmt: skip
    session = Session()
    session.parameters = dict(session.parameters) | {
        "safety": QUICK | {"members": 0}
    }  # many planes: no uncertainty here
    result = result_of(kspace, session=session)
    assert dict(result.images[0].attributes)["MRAcquisitionType"] == "3D"
    assert nmse(ball, result.images[0].voxels) < 0.03


def test_odd_sides_two_frames_and_a_slice_without_signal() -> None:
    truth = head(4)[:, :47, :45].copy()
    truth[1] = 0
    mask = sampling_mask(MaskPlan(MaskKind.EQUISPACED, 2.0, 0.25), (47, 45), 4)
    scanner = Scanner(coils=3, signal_to_noise=40.0)
    found = [simulated(plane, scanner, [5, 0]).samples if plane.any() else np.zeros((3, 47, 45)) for plane in truth]
    samples = (np.stack(found) * mask).astype(np.complex64).reshape(2, 2, 3, 1, 47, 45)
    geometry = Geometry((2, 47, 45), ((0, 0, 2.0, 0), (0, 2.0, 0, 0), (5.0, 0, 0, 0)), "1.2.3.9")
    kspace = replace(
        acquisition(head(), lines(), coils=3), samples=samples, geometry=geometry,
        mask=np.broadcast_to(mask[:, 0], (2, 2, 1, 47)).copy(), noise=None,
    )  # fmt: skip
    first, second = result_of(kspace), result_of(kspace)
    assert len(first.images) == 2
    assert nmse(truth, np.concatenate([series.voxels for series in first.images])) < 0.02
    assert not first.images[0].voxels[1].any()
    for one, other in zip(first.images, second.images, strict=True):
        assert np.array_equal(one.voxels, other.voxels)


def test_one_coil_is_refused() -> None:
    kspace = acquisition(head(), lines())
    assert kspace.noise is not None
    refused = read(replace(kspace, samples=kspace.samples[:, :, :1], noise=kspace.noise[:1]))
    assert isinstance(refused, Refusal)
    assert refused.reason.code is ReasonCode.TOO_FEW_COILS


def test_a_fully_sampled_series_or_one_with_reference_lines_needs_no_classical_method() -> None:
    truth = np.concatenate([head(1, shift) for shift in range(4)])
    series = acquisition(truth, np.ones((4, 1, 1, SIDE), bool), frames=4)
    for kspace in (series, replace(series, calibration=series.samples[0])):
        result = result_of(kspace)
        assert "fully sampled" in result.images[0].label
        assert (result.findings[0].presence, result.outcome().value) == (Presence.ABSENT, "negative")


def test_the_numbers_are_those_of_the_images_that_are_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    kspace = acquisition(head(), lines())
    classical = result_of(kspace)
    refused = result_of(kspace, session=stand_in(monkeypatch, smoothed))
    assert "l1-wavelet" in refused.images[0].label
    for code in (words.WEAKEST, words.RECOVERED, words.HELD_OUT, words.CONTRADICTED, words.RESIDUAL):
        assert number(refused, code) == number(classical, code)
    assert WORDS[Outside.LESION_LESS] in " ".join(refused.notes)
    assert WORDS[Outside.LESION_LOST] not in " ".join(refused.notes)


def of_weak_planes(change: Any) -> Any:
    """Change only images that are far darker than the others."""
    return lambda image: change(image) if np.abs(image).mean() < 20 else image


@pytest.mark.parametrize("change", [np.zeros_like, lambda image: image * 0.5], ids=["erases", "halves"])
def test_a_network_that_loses_one_weak_plane_of_many_is_not_delivered(
    monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    truth = head(3)
    truth[-1] *= 0.2
    kspace = acquisition(truth, lines())
    result = result_of(kspace, session=stand_in(monkeypatch, of_weak_planes(change)))
    assert "l1-wavelet" in result.images[0].label
    assert WORDS[Outside.RESIDUAL] in " ".join(result.notes)


def without_lesions(image: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Erase small bright structures as a network might that never saw any: morphological opening."""
    from scipy.ndimage import grey_opening

    size = np.abs(image)
    opened = np.minimum(size, grey_opening(size, 9))
    return np.asarray(image * opened / np.maximum(size, 1e-6), dtype=np.complex64)


def test_a_network_that_erases_lesions_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    result = result_of(acquisition(head(), lines()), session=stand_in(monkeypatch, without_lesions))
    assert "l1-wavelet" in result.images[0].label
    assert WORDS[Outside.LESION_LESS] in " ".join(result.notes)


def test_without_room_for_a_test_lesion_the_network_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    truth = (100.0 * (np.hypot(x, y) < 0.16)).astype(np.float32)[None]
    monkeypatch.setattr("coread.readers.mr_reconstruction.reconstructing.lesions_for", lambda *_: None)
    result = result_of(acquisition(truth, lines()), session=stand_in(monkeypatch))
    assert "l1-wavelet" in result.images[0].label
    assert WORDS[Outside.UNTRIED] in " ".join(result.notes)


def test_a_slice_without_signal_is_no_obstacle_to_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    kspace = acquisition(head(3), lines())
    kspace.samples[:, 2] = 0
    result = result_of(kspace, session=stand_in(monkeypatch))
    assert "learned" in result.images[0].label
    assert not result.images[0].voxels[2].any()


def test_the_network_is_asked_for_what_it_was_taught_on_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, ...]] = []
    session = stand_in(monkeypatch)
    network = learned.reconstruct_with_maps

    def watched(given: Any, samples: Any, mask: Any) -> learned.Reconstructed:
        asked.append(samples.shape)
        return network(given, samples, mask)

    monkeypatch.setattr(learned, "reconstruct_with_maps", watched)
    half = acquisition(head(), lines())
    cut = half.mask.copy()
    cut[..., : SIDE // 4] = False
    result_of(replace(half, mask=cut), session=session)
    assert not asked
    ending = result_of(half, session=session)
    assert isinstance(ending, ReadResult)
    assert set(asked) == {(4, SIDE, SIDE)}


@pytest.mark.parametrize("method", [Method.SENSE, Method.WAVELET, Method.VARIATION, Method.GRAPPA])
def test_every_method_by_name_completes_half_k_space(method: Method) -> None:
    (found,) = scanned(head())
    mask = np.ones((SIDE, SIDE), bool) if method is Method.GRAPPA else lines()
    mask[: SIDE // 4 + 1] = False
    samples = np.where(mask, found.samples, 0).astype(np.complex64)
    plain = nmse(head(), root_sum_of_squares(to_image(samples))[None])
    assert nmse(head(), reconstructed_plane(samples, mask, method)[None]) < 0.7 * plain


def test_images_have_the_brightness_of_a_reference_of_equally_noisy_coils() -> None:
    gains = np.array([0.2, 1.0, 2.0, 8.0], np.float32)
    full = acquisition(head(), np.ones((SIDE, SIDE), bool))
    assert full.noise is not None
    samples = full.samples * gains[:, None, None, None]
    full = replace(full, samples=samples.astype(np.complex64), noise=full.noise * gains[:, None])
    reference = reference_images(equally_noisy(full))
    assert nmse(reference, result_of(full).images[0].voxels) < 0.01
    assert nmse(reference_images(full), result_of(full).images[0].voxels) > 0.1
    assert nmse(reference, reference_images(equally_noisy(equally_noisy(full)))) < 1e-6
    assert equally_noisy(replace(full, noise=None)).samples is full.samples


@pytest.mark.parametrize(
    ("held_out", "weakest", "why"),
    [
        (1.0, 0.9, Outside(0)), (1.0, 0.5, Outside(0)), (1.0, 0.3, Outside.LESION_LESS), (0.6, 0.3, Outside(0)),
        (0.6, 0.1, Outside.LESION_LESS), (1.2, 0.9, Outside.HELD_OUT),
    ],
)  # fmt: skip
def test_better_prediction_excuses_a_weaker_lesion_but_not_an_erased_one(
    held_out: float, weakest: float, why: Outside
) -> None:
    classical = reconstructing._Tried(1.0, Recovery(0.45, 0.5, 0.1), 0.1)
    learnt = reconstructing._Tried(held_out, Recovery(weakest, 0.9, 0.1), 0.1)
    assert reconstructing._compared(learnt, classical, QUICK) == why
