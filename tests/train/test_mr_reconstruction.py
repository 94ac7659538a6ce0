"""Reconstruction networks: their physics is exact, fits go on where they broke, graphs equal torch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from coread.imaging.mr.masks import MaskKind, MaskPlan, sampling_mask
from coread.imaging.mr.simulate import Scanner, simulated
from coread.train.errors import BadPlan, ExportDiffers, NotFinite
from coread.train.mr.acquisitions import Acquisition, DrawnAcquisitions, DrawPlan, Source, draw, pair, prepared
from coread.train.mr.baseline import MagnitudeNetwork
from coread.train.mr.fitting import WEIGHTS, FitModule, FitPlan, fit, mean_psnr, supervised, supervised_magnitude
from coread.train.mr.graphs import GRAPHS, LINES, POINTS, difference, example, write_graphs
from coread.train.mr.network import NetworkPlan, ReconstructionNetwork, misfit, solved
from coread.train.mr.operators import (
    along_second,
    fourier_matrix,
    of_lines,
    of_points,
    places,
    root_sum_of_squares,
    times,
)
from coread.train.mr.ssdu import Measured, MeasuredAcquisitions, SplitPlan, UntoldAcquisitions, self_supervised, split

SMALL = NetworkPlan(cascades=1, width=8, deep_width=8, map_width=4)
DRAWN = DrawPlan(pixels=2048, side=32, coils=(2, 3))


def _head(side: int = 48) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    return np.asarray(50 * (np.hypot(y, x) < 0.8) + 30 * (np.hypot(y - 0.2, x) < 0.3), dtype=np.float32)


def _sources() -> list[Source]:
    return [Source([_head(48), _head(64)], 0.7), Source([_head(56)], 0.3)]


def _complex(values: Tensor) -> np.ndarray:
    return np.asarray(values[:, 0].numpy() + 1j * values[:, 1].numpy())


@pytest.mark.parametrize(("first", "second"), [(16, 12), (15, 9)])
def test_the_encodings_are_the_masked_centred_transform_and_their_adjoints(first: int, second: int) -> None:
    torch.manual_seed(1)
    images, mask = torch.randn(3, 2, first, second), torch.rand(first, second) < 0.5
    encoding = of_points(mask)
    axes = (-2, -1)
    wanted = np.fft.fftshift(
        np.fft.fft2(np.fft.ifftshift(_complex(images), axes=axes), norm="ortho"), axes=axes
    ) * mask.numpy()  # fmt: skip
    np.testing.assert_allclose(_complex(encoding.forward(images)), wanted, atol=2e-5)
    samples = torch.randn(3, 2, first, second) * mask
    torch.testing.assert_close((encoding.forward(images) * samples).sum(), (images * encoding.adjoint(samples)).sum())


def test_lines_in_hybrid_space_are_the_points_of_whole_lines() -> None:
    torch.manual_seed(1)
    images, lines = torch.randn(3, 2, 14, 11), torch.rand(14) < 0.5
    readout = fourier_matrix(places(11), 11, 11)
    points = of_points(lines[:, None].expand(14, 11)).forward(images)
    hybrid = along_second(readout.transpose(0, 1), points)[:, :, lines]
    torch.testing.assert_close(of_lines(lines).forward(images), hybrid, atol=2e-5, rtol=1e-4)


def test_a_network_has_no_bias_and_takes_any_coils_and_sides() -> None:
    network = _spoken(ReconstructionNetwork(SMALL))
    for coils, first, second in ((1, 30, 33), (5, 27, 24)):
        given = example(LINES, coils, first, second, seed=1)
        mask = torch.from_numpy(given["mask"])
        samples = torch.from_numpy(given["samples"])[:, :, mask]
        block = torch.from_numpy(given["block"])
        image, maps = network(samples, block, of_lines(mask))
        assert image.shape == (1, 2, first, second)
        assert maps.shape == (coils, 2, first, second)
        torch.testing.assert_close(root_sum_of_squares(maps), torch.ones(1, 1, first, second))
        twice, _ = network(2 * samples, 2 * block, of_lines(mask))
        torch.testing.assert_close(twice, 2 * image, rtol=1e-3, atol=1e-3)


def test_with_all_samples_of_one_coil_the_image_is_what_was_measured() -> None:
    # Whatever the cascades did: samples have the last word.
    network = _spoken(ReconstructionNetwork(SMALL))
    made = simulated(_head(), Scanner(coils=1, signal_to_noise=1e6), 1)
    given = prepared(made.samples, np.ones((48, 48), dtype=bool), (24, 24), truth=(made.maps * made.image))
    image, _ = network(given.samples, given.block, given.encoding())
    torch.testing.assert_close(root_sum_of_squares(image), root_sum_of_squares(given.truth), atol=2e-3, rtol=1e-3)


def test_solving_finds_the_least_squares_image() -> None:
    given = draw(_sources(), DRAWN, 3)
    maps = given.truth / root_sum_of_squares(given.truth)
    start = torch.randn(1, 2, *given.truth.shape[2:])
    trust = torch.tensor(0.3)
    found = solved(start, maps, given.samples, given.encoding(), trust=trust, steps=60)
    # The gradient of the objective is zero at its minimum.
    gradient = misfit(found, maps, given.samples, given.encoding()) + trust * (found - start)
    assert gradient.norm() < 1e-4 * start.norm()
    nearer = solved(start, maps, given.samples, given.encoding(), trust=trust, steps=2)
    assert (nearer - found).norm() < (start - found).norm()
    assert torch.equal(solved(start, maps, given.samples, given.encoding(), trust=trust, steps=0), start)


def test_drawn_acquisitions_are_the_same_whenever_they_are_drawn_and_hold_the_truth() -> None:
    some = DrawnAcquisitions(_sources(), DRAWN, 10, 12)
    again = DrawnAcquisitions(_sources(), DRAWN, 14, 2)
    assert torch.equal(some[4].samples, again[0].samples)
    dimensions = set()
    for given in (some[index] for index in range(len(some))):
        dimensions.add(given.mask.dim())
        encoding, noisy = given.encoding(), given.encoding().forward(given.truth)
        assert given.samples.shape == noisy.shape
        assert (noisy - given.samples).norm() < 0.5 * given.samples.norm()
        assert torch.isfinite(encoding.adjoint(given.samples)).all()
    assert dimensions == {1, 2}
    with pytest.raises(IndexError):
        some[12]
    with pytest.raises(BadPlan, match="at least one source"):
        DrawnAcquisitions([], DRAWN, 0, 1)
    with pytest.raises(BadPlan, match="points_share"):
        DrawPlan(points_share=2)
    with pytest.raises(BadPlan, match="fat_share"):
        DrawPlan(fat_share=-1)
    with pytest.raises(BadPlan, match="middle"):
        prepared(np.ones((1, 32, 32), dtype=np.complex64), np.zeros((32, 32), dtype=bool), (8, 8))


def test_fat_changes_the_phase_and_nothing_that_is_drawn_before_it() -> None:
    plan = replace(DRAWN, points_share=1.0)
    for number in range(3):
        plain, other = (draw(_sources(), replace(plan, fat_share=share), number) for share in (0.0, 1.0))
        assert plain.truth.shape == other.truth.shape
        one, two = plain.truth / plain.block.norm(), other.truth / other.block.norm()
        assert not torch.allclose(one, two, atol=1e-3 * float(one.abs().max()))


def test_a_broken_fit_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    plan = FitPlan(steps=12, epoch=6, learning_rate=1e-3, warm_up=2)
    tune = [draw(_sources(), replace(DRAWN, seed=5), number) for number in range(2)]

    def begun() -> FitModule:
        torch.manual_seed(3)
        return FitModule(ReconstructionNetwork(SMALL), supervised(plan), plan, tune)

    whole, broken = begun(), begun()
    rows = fit(whole, _drawn, tmp_path / "whole", facts={"images": "drawn"})
    assert [sorted(row) for row in rows] == [["loss", "psnr"]] * 2
    assert rows[-1]["psnr"] == pytest.approx(mean_psnr(whole.network, tune))
    with pytest.raises(_Stopped):
        fit(broken, _breaking, tmp_path / "broken", facts={"images": "drawn"})
    assert not (tmp_path / "broken" / WEIGHTS).exists()
    resumed = begun()
    assert fit(resumed, _drawn, tmp_path / "broken", facts={"images": "drawn"}) == rows
    for one, other in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    assert fit(begun(), _drawn, tmp_path / "whole", facts={"images": "drawn"}) == rows
    with pytest.raises(BadPlan, match="another plan"):
        fit(begun(), _drawn, tmp_path / "whole", facts={"images": "others"})


def test_a_fit_that_sees_the_same_again_does_better(tmp_path: Path) -> None:
    plan = FitPlan(steps=12, epoch=4, learning_rate=2e-3, warm_up=1, square_weight=1.0)
    module = FitModule(ReconstructionNetwork(SMALL), supervised(plan), plan, [])
    rows = fit(module, lambda _, count: _drawn(0, count), tmp_path, facts={})
    assert rows[2]["loss"] < rows[1]["loss"] < rows[0]["loss"]


def test_a_loss_that_is_no_number_stops_the_fit(tmp_path: Path) -> None:
    plan = FitPlan(steps=1, epoch=1)
    network = MagnitudeNetwork(4)
    nn.init.constant_(network.leave.weight, float("nan"))
    with pytest.raises(NotFinite, match="learning_rate"):
        fit(FitModule(network, supervised_magnitude(plan), plan, []), _drawn, tmp_path, facts={})


def test_samples_are_kept_back_without_the_middle_and_none_is_lost() -> None:
    for number in range(6):
        told = draw(_sources(), DRAWN, number)
        given = split(told, SplitPlan(), np.random.default_rng(number))
        assert given.held is not None
        assert given.held_mask is not None
        assert not (given.mask & given.held_mask).any()
        assert torch.equal(given.mask | given.held_mask, told.mask)
        centre = tuple(size // 2 for size in told.mask.shape)
        assert given.mask[centre]
        torch.testing.assert_close(
            given.held.square().sum() + given.samples.square().sum(), told.samples.square().sum()
        )


def test_learning_from_undersampled_samples_alone_needs_no_truth_and_predicts_better() -> None:
    untold = UntoldAcquisitions(_sources(), DRAWN, 0, 4)
    assert untold[1].truth.numel() == 0
    torch.manual_seed(1)
    network = ReconstructionNetwork(SMALL)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(8):
        loss = torch.stack([self_supervised(network, untold[index]) for index in range(4)]).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    with pytest.raises(BadPlan, match="split"):
        self_supervised(network, draw(_sources(), DRAWN, 0))


def test_measured_planes_are_split_anew_each_time_but_the_same_when_drawn_again() -> None:
    made = simulated(_head(), Scanner(coils=2), 1)
    mask = sampling_mask(MaskPlan(MaskKind.RANDOM, 3), (48, 48), 1)
    planes = [Measured(made.samples * mask, mask)]
    one, other = MeasuredAcquisitions(planes, SplitPlan(), 0, 2), MeasuredAcquisitions(planes, SplitPlan(), 1, 1)
    assert torch.equal(one[1].mask, other[0].mask)
    assert not torch.equal(one[0].mask, one[1].mask)
    with pytest.raises(BadPlan, match="no plane"):
        MeasuredAcquisitions([], SplitPlan(), 0, 1)
    with pytest.raises(BadPlan, match="held_share"):
        SplitPlan(held_share=1)


def test_graphs_equal_torch_for_other_coils_and_matrices(tmp_path: Path) -> None:
    network = _spoken(ReconstructionNetwork(SMALL))
    with pytest.raises(ExportDiffers, match="differ"):
        write_graphs(network, tmp_path, limit=0.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lines.onnx", "points.onnx"]
    for name, wrap in GRAPHS.items():
        for coils, first, second in ((2, 37, 30), (6, 24, 41)):
            given = example(name, coils, first, second, seed=9)
            assert difference(wrap(network), tmp_path / f"{name}.onnx", given) < 1e-4


def test_a_graph_alone_can_have_weights_of_its_own(tmp_path: Path) -> None:
    write_graphs(_spoken(ReconstructionNetwork(SMALL)), tmp_path, (POINTS,))
    assert [path.name for path in tmp_path.iterdir()] == ["points.onnx"]


@pytest.mark.slow
def test_openvino_computes_the_same(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("openvino")
    from coread.models.graphs import load_graph

    write_graphs(_spoken(ReconstructionNetwork(SMALL)), tmp_path)
    for name in (LINES, POINTS):
        given = example(name, 3, 35, 42, seed=4)
        one, other = (
            load_graph(engine, (tmp_path / f"{name}.onnx").read_bytes(), 1).run(given)["image"]
            for engine in ("onnxruntime", "openvino")
        )
        np.testing.assert_allclose(one, other, atol=1e-4 * np.abs(one).max())


def test_the_baseline_corrects_magnitudes_of_any_side() -> None:
    network = MagnitudeNetwork(4)
    image = torch.rand(1, 1, 30, 37)
    assert torch.equal(network.corrected(image), image)  # before it learnt anything
    given = draw(_sources(), DRAWN, 1)
    found, _ = network(given.samples, given.block, given.encoding())
    assert found.shape == (1, 1, *given.truth.shape[2:])


def test_pairs_hold_real_and_imaginary_parts() -> None:
    values = np.array([[[1 + 2j]]], dtype=np.complex64)
    assert pair(values).tolist() == [[[[1.0]], [[2.0]]]]
    product = times(pair(values), pair(values))
    assert product.flatten().tolist() == [-3.0, 4.0]


class _Stopped(Exception):
    pass


class _BreakingInSecondEpoch(DrawnAcquisitions):
    def __getitem__(self, index: int) -> Acquisition:
        if self._first + index == 8:
            raise _Stopped
        return super().__getitem__(index)


def _drawn(first: int, count: int) -> DrawnAcquisitions:
    return DrawnAcquisitions(_sources(), DRAWN, first, count)


def _breaking(first: int, count: int) -> DrawnAcquisitions:
    return _BreakingInSecondEpoch(_sources(), DRAWN, first, count)


def _spoken(network: ReconstructionNetwork) -> ReconstructionNetwork:
    """Return a network whose last layers are no longer zero, so that everything in it counts."""
    torch.manual_seed(7)
    for name, parameter in network.named_parameters():
        if name.endswith(("leave.1.weight", "layers.4.weight")):
            nn.init.normal_(parameter, std=0.05)
    return network.eval()
