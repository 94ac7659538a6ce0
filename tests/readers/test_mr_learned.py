"""The shipped network: better than zero-filled and compressed sensing, any coils and matrix, honest about bad input."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coread.imaging.errors import BadSamples, NoCalibration
from coread.imaging.mr.combine import root_sum_of_squares
from coread.imaging.mr.fourier import to_image, to_samples
from coread.imaging.mr.masks import MaskKind, MaskPlan, sampling_mask
from coread.imaging.mr.metrics import psnr
from coread.imaging.mr.simulate import Scanner, Simulated, simulated
from coread.models.lineage import sha256_of
from coread.models.session import PackageSession, open_session
from coread.readers.mr_reconstruction.learned import estimate, mirrored, reconstruct, reconstruct_with_maps
from coread.readers.registry import installed_readers

INSTALLED = next(item for item in installed_readers() if item.card.reader_id == "mr_reconstruction")


@pytest.fixture(scope="module")
def session() -> PackageSession:
    return open_session(INSTALLED.model_folder, INSTALLED.card_path, engine="onnxruntime")


def head(rows: int, columns: int) -> NDArray[np.float32]:
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    found = 100.0 * (np.hypot(x, y) < 0.85) - 40 * (np.hypot(x, y) < 0.75) + 25 * (np.hypot(x - 0.3, y) < 0.2)
    found += 15 * (np.hypot(x + 0.3, y + 0.2) < 0.06) - 30 * (np.hypot(x, y - 0.3) < 0.08)
    return np.asarray(found, dtype=np.float32)


def scan(shape: tuple[int, int], coils: int = 4) -> Simulated:
    return simulated(head(*shape), Scanner(coils=coils, signal_to_noise=40), 3)


@pytest.mark.parametrize(
    ("shape", "coils", "kind", "speed", "gain"),
    [
        ((96, 80), 6, MaskKind.EQUISPACED, 4, 4),
        ((101, 64), 3, MaskKind.RANDOM, 3, 3),
        ((72, 90), 5, MaskKind.POISSON, 6, 2),
    ],
)
def test_it_is_nearer_to_the_truth_than_what_was_sampled(
    session: PackageSession, shape: tuple[int, int], coils: int, kind: MaskKind, speed: float, gain: float
) -> None:
    made = scan(shape, coils)
    mask = sampling_mask(MaskPlan(kind, speed, 0.12), shape, 1)
    found = reconstruct_with_maps(session, made.samples * mask, mask)
    assert found.image.dtype == np.complex64
    assert found.image.shape == shape
    assert found.maps.shape == (coils, *shape)
    np.testing.assert_allclose(np.sum(np.abs(found.maps) ** 2, axis=0), 1, rtol=1e-3)
    truth = np.abs(made.image)
    assert psnr(truth, found.image) > psnr(truth, root_sum_of_squares(to_image(made.samples * mask))) + gain
    # What was measured is explained.
    predicted = to_samples(found.maps * found.image)
    error = np.linalg.norm((predicted - made.samples)[:, mask]) / np.linalg.norm(made.samples[:, mask])
    assert error < 0.25


def test_figures_are_those_of_the_graphs_that_are_shipped() -> None:
    measured = json.loads((INSTALLED.folder / "network_measurements.json").read_text(encoding="utf-8"))
    for name, digest in measured["graphs_sha256"].items():
        assert digest == sha256_of(INSTALLED.model_folder / f"{name}.onnx")
    by_method = {
        group["method"]: group["psnr"]["mean"]
        for group in measured["quality"]["groups"]
        if (group["mask"], group["acceleration"], group["source"]) == ("equispaced", 4, "all")
    }
    assert by_method["learned"] > by_method["l1-wavelet"] + 2
    assert by_method["learned"] > by_method["U-Net"] + 1
    readme = (INSTALLED.folder / "README.md").read_text(encoding="utf-8")
    for value in by_method.values():
        assert f"{value:.1f} (" in readme


def test_units_of_the_scanner_change_units_of_the_image_alone(session: PackageSession) -> None:
    made = scan((48, 40))
    mask = sampling_mask(MaskPlan(MaskKind.EQUISPACED, 3, 0.2), (48, 40), 1)
    one = reconstruct(session, made.samples * mask, mask)
    other = reconstruct(session, (made.samples * mask * np.float32(1e-6)).astype(np.complex64), mask)
    np.testing.assert_allclose(other * 1e6, one, atol=1e-3 * np.abs(one).max())


def test_lines_may_run_along_either_axis_and_points_outside_of_the_mask_do_not_count(session: PackageSession) -> None:
    made = scan((48, 40))
    mask = sampling_mask(MaskPlan(MaskKind.EQUISPACED, 3, 0.2), (48, 40), 1)
    one = reconstruct(session, made.samples * mask, mask)
    turned = np.ascontiguousarray(made.samples.swapaxes(1, 2))
    np.testing.assert_allclose(reconstruct(session, turned, mask.T.copy()).T, one, atol=1e-4 * np.abs(one).max())


def test_all_samples_give_the_image_of_all_samples(session: PackageSession) -> None:
    made = scan((48, 40))
    found = reconstruct(session, made.samples, np.ones((48, 40), dtype=bool))
    assert psnr(np.abs(made.image), found) > 30


def test_mirrored_acquisitions_give_mean_and_spread(session: PackageSession) -> None:
    made = scan((48, 41))
    mask = sampling_mask(MaskPlan(MaskKind.EQUISPACED, 4, 0.2), (48, 41), 1)
    found = estimate(session, made.samples * mask, mask, 2)
    assert found.spread.shape == (48, 41)
    assert 0 < found.spread.max() < 0.5 * np.abs(found.image).max()
    assert psnr(np.abs(made.image), found.image) > psnr(np.abs(made.image), to_image(made.samples * mask)[0])
    with pytest.raises(ValueError, match="between 2 and 4"):
        estimate(session, made.samples * mask, mask, 1)


@pytest.mark.parametrize("shape", [(8, 6), (7, 6), (7, 5)])
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_a_mirrored_acquisition_is_that_of_the_mirrored_image(shape: tuple[int, int], axes: tuple[int, ...]) -> None:
    random = np.random.default_rng(1)
    image = (random.standard_normal((2, *shape)) + 1j * random.standard_normal((2, *shape))).astype(np.complex64)
    np.testing.assert_allclose(to_samples(mirrored(image, axes)), mirrored(to_samples(image), axes), atol=1e-5)
    assert np.array_equal(mirrored(mirrored(image, axes), axes), image)


class _Unused:
    digest = runtime = ""
    parameters: Mapping[str, Any] = {}

    def run(self, graph: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        raise AssertionError(f"{graph} was run with {sorted(inputs)}")

    def calibrate(self, key: str, logit: float) -> float:
        raise AssertionError(f"{key} {logit}")


def test_samples_that_cannot_be_used_are_refused_before_the_network_runs() -> None:
    samples, mask = np.ones((2, 16, 16), dtype=np.complex64), np.ones((16, 16), dtype=bool)
    broken = samples.copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(BadSamples, match="no numbers"):
        reconstruct(_Unused(), broken, mask)
    with pytest.raises(BadSamples, match="mask"):
        reconstruct(_Unused(), samples, mask[:8])
    hollow = mask.copy()
    hollow[6:10] = False
    with pytest.raises(NoCalibration, match="not sampled fully"):
        reconstruct(_Unused(), samples * hollow, hollow)
    with pytest.raises(NoCalibration, match="no signal"):
        reconstruct(_Unused(), samples * 0, mask)
