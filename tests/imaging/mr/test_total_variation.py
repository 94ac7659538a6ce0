"""Total variation: the operators fit together, the result agrees with BART's, edges stay and noise goes."""

import numpy as np
import pytest

from coread.imaging.errors import BadSamples
from coread.imaging.mr.masks import MaskKind, MaskPlan, sampling_mask
from coread.imaging.mr.sense import cg_sense
from coread.imaging.mr.total_variation import divergence, gradient, shortened, tv
from tests.imaging.mr.bart import Bart
from tests.imaging.mr.drawn_slices import DrawnSlice, difference, drawn_slice


def test_divergence_is_the_adjoint_of_the_gradient() -> None:
    random = np.random.default_rng(0)
    image = (random.normal(size=(13, 9)) + 1j * random.normal(size=(13, 9))).astype(np.complex64)
    edges = (random.normal(size=(2, 13, 9)) + 1j * random.normal(size=(2, 13, 9))).astype(np.complex64)
    assert np.vdot(edges, gradient(image)) == pytest.approx(np.vdot(divergence(edges), image), rel=1e-4)
    assert not gradient(np.full((5, 4), 2 + 1j, dtype=np.complex64)).any()


def test_edges_shrink_together() -> None:
    edges = np.array([3, 0.1], dtype=np.complex64).reshape(1, 1, 2) * np.array([1, 4j / 3]).reshape(2, 1, 1)
    found = shortened(edges.astype(np.complex64), np.float32(1))
    np.testing.assert_allclose(np.linalg.norm(found[:, 0], axis=0), [4, 0], atol=1e-5)


def test_it_agrees_with_bart(bart: Bart) -> None:
    drawn = drawn_slice(shape=(64, 64), every=1)
    mask = sampling_mask(MaskPlan(MaskKind.RANDOM, 3, 0.12), (64, 64), 3)
    samples = drawn.samples * mask
    theirs = bart(
        "pics", "-S", "-u", "0.1", "-i", "200", "-R", "T:3:0:0.01", inputs=[samples[:, None], drawn.maps[:, None]]
    )[0]  # fmt: skip
    ours = tv(samples, mask, drawn.maps, 0.01, 100, tolerance=1e-4)
    assert difference(ours, theirs) < 0.02
    assert difference(tv(samples, mask, drawn.maps, 0.01), ours) < 0.02, "the default ends near the minimum"


def test_it_beats_sense_where_noise_is_high() -> None:
    drawn = drawn_slice(shape=(96, 80), every=1, noise_ratio=20)
    mask = sampling_mask(MaskPlan(MaskKind.POISSON, 5), (96, 80), 2)
    samples = drawn.samples * mask
    sense = min(
        difference(cg_sense(samples, mask, drawn.maps, weight=weight), drawn.image) for weight in (1e-3, 1e-2, 0.1)
    )
    assert difference(tv(samples, mask, drawn.maps), drawn.image) < 0.7 * sense


def test_weight_zero_is_least_squares(undersampled: DrawnSlice) -> None:
    drawn = undersampled
    found = tv(drawn.samples, drawn.mask, drawn.maps, 0.0, 30)
    assert difference(found, drawn.image) < 0.1


def test_what_cannot_be_used_is_refused(undersampled: DrawnSlice) -> None:
    drawn = undersampled
    with pytest.raises(BadSamples, match="nothing was sampled"):
        tv(drawn.samples, np.zeros_like(drawn.mask), drawn.maps)
    with pytest.raises(ValueError, match="weight"):
        tv(drawn.samples, drawn.mask, drawn.maps, -0.1)
