"""Spokes lie where BART lays them, densities weigh evenly, images come back, wrong trajectories are refused."""

import numpy as np
import pytest
from numpy.typing import NDArray

from coread.imaging.errors import BadSamples
from coread.imaging.mr.nufft import planned
from coread.imaging.mr.radial import (
    cg_radial,
    even_angles,
    golden_angles,
    gridded,
    l1_wavelet_radial,
    pipe_menon,
    radial_encoding,
    ramp_density,
    spokes_at,
    tv_radial,
)
from tests.imaging.mr.bart import Bart
from tests.imaging.mr.drawn_slices import Complex, DrawnSlice, difference, drawn_slice

SIDE = 64


@pytest.fixture(scope="module")
def drawn() -> DrawnSlice:
    return drawn_slice(coils=4, shape=(SIDE, SIDE), every=1)


def _measured(drawn: DrawnSlice, spokes: int, noise: float = 0.005) -> tuple[Complex, NDArray[np.float32]]:
    """Samples along golden-angle spokes of the true image, by a finer transform than the one that is tested."""
    coordinates = spokes_at(golden_angles(spokes), SIDE)
    clean = planned(coordinates, (SIDE, SIDE), oversampling=2.0).forward(drawn.maps * drawn.image)
    parts = np.random.default_rng(0).standard_normal((2, *clean.shape), dtype=np.float32)
    return (clean + np.float32(noise) * (parts[0] + 1j * parts[1])).reshape(4, spokes, -1), coordinates


@pytest.mark.parametrize(("golden", "words"), [(True, ["-G"]), (False, [])])
def test_spokes_lie_where_bart_lays_them(golden: bool, words: list[str], bart: Bart) -> None:
    theirs = bart("traj", "-r", "-c", *words, "-x", "64", "-y", "13", inputs=[])[0].real
    angles = golden_angles(13) if golden else even_angles(13)
    ours = spokes_at(angles, 64, readout=64)
    np.testing.assert_allclose(ours, theirs[..., [1, 0]], atol=1e-4)  # BART: x, then y


def test_golden_angles_go_on_and_cover_the_circle() -> None:
    np.testing.assert_allclose(golden_angles(5, first=3), golden_angles(8)[3:])
    gaps = np.diff(np.sort(np.mod(golden_angles(34), np.pi)))
    assert gaps.max() < 2 * np.pi / 34


def test_spokes_reach_from_border_to_border_through_the_centre() -> None:
    spokes = spokes_at(even_angles(4), 32)
    assert spokes.shape == (4, 64, 2)
    np.testing.assert_allclose(spokes[:, 32], 0)
    np.testing.assert_allclose(spokes[0, [0, 63], 0], [-16, 15.5])
    with pytest.raises(BadSamples, match="spokes"):
        spokes_at(even_angles(0), 32)


def test_both_densities_are_the_area_that_a_sample_stands_for() -> None:
    coordinates = spokes_at(even_angles(160), SIDE)
    ramp, found = ramp_density(coordinates), pipe_menon(coordinates, (SIDE, SIDE))
    assert float(ramp.sum()) == pytest.approx(np.pi * (SIDE / 2) ** 2, rel=0.01)
    inner = np.hypot(coordinates[..., 0], coordinates[..., 1])
    between = (inner > 4) & (inner < SIDE / 2 - 4)
    assert difference(found[between], ramp[between]) < 0.05
    grid = np.moveaxis(np.indices((SIDE, SIDE)), 0, -1) - SIDE / 2
    np.testing.assert_allclose(pipe_menon(grid, (SIDE, SIDE)), 1, rtol=0.1)
    with pytest.raises(BadSamples, match="pipe_menon"):
        ramp_density(grid.reshape(-1, 2))


def test_gridding_gives_the_image_in_its_own_units(drawn: DrawnSlice) -> None:
    samples, coordinates = _measured(drawn, 160)
    for density in (None, ramp_density(coordinates)):
        images = gridded(samples, coordinates, (SIDE, SIDE), density=density)
        combined = (drawn.maps.conj() * images).sum(axis=0)
        assert difference(combined, drawn.image) < 0.2
        gain = np.vdot(drawn.image, combined) / np.vdot(drawn.image, drawn.image)
        assert abs(gain - 1) < 0.05


def test_iterations_get_more_from_few_spokes(drawn: DrawnSlice) -> None:
    samples, coordinates = _measured(drawn, 24)
    plain = (drawn.maps.conj() * gridded(samples, coordinates, (SIDE, SIDE))).sum(axis=0)
    error = {
        "gridding": difference(plain, drawn.image),
        "cg": difference(cg_radial(samples, coordinates, drawn.maps), drawn.image),
        "wavelets": difference(l1_wavelet_radial(samples, coordinates, drawn.maps, 0.003, 40), drawn.image),
        "variation": difference(tv_radial(samples, coordinates, drawn.maps, 0.003, 30), drawn.image),
    }
    assert error["cg"] < 0.7 * error["gridding"]
    assert error["wavelets"] < 0.8 * error["cg"]
    assert error["variation"] < 0.6 * error["cg"]


def test_conjugate_gradients_agree_with_bart(drawn: DrawnSlice, bart: Bart) -> None:
    samples, coordinates = _measured(drawn, 24)
    trajectory = np.concatenate([coordinates[..., ::-1], np.zeros_like(coordinates[..., :1])], axis=-1)
    theirs = bart(
        "pics", "-S", "-i", "15", "-R", "Q:0", "-t",
        inputs=[trajectory, samples[..., None], drawn.maps[:, None]],
    )[0]  # fmt: skip
    ours = cg_radial(samples, coordinates, drawn.maps, density=np.ones(samples.shape[1:]), iterations=15, tolerance=0)
    scale = np.vdot(theirs, ours) / np.vdot(theirs, theirs)
    assert abs(scale - 1) < 0.01
    assert difference(ours, scale * theirs) < 0.02


def test_threads_change_nothing(drawn: DrawnSlice) -> None:
    samples, coordinates = _measured(drawn, 12)
    one, two = (cg_radial(samples, coordinates, drawn.maps, iterations=4, workers=count) for count in (1, 2))
    assert np.array_equal(one, two)
    assert radial_encoding(samples, coordinates, drawn.maps).largest > 0


def test_what_does_not_fit_is_refused(drawn: DrawnSlice) -> None:
    samples, coordinates = _measured(drawn, 5)
    broken = samples.copy()
    broken[0, 0, 0] = np.nan
    for values, places, maps, words in (
        (samples, coordinates[:4], drawn.maps, "one coordinate for every sample"),
        (samples, coordinates[:, :-1], drawn.maps, "one coordinate for every sample"),
        (broken, coordinates, drawn.maps, "not finite"),
        (np.zeros_like(samples), coordinates, drawn.maps, "every sample is 0"),
        (samples, coordinates, drawn.maps[:2], "coil maps"),
        (samples, coordinates * 4, drawn.maps, "units"),
    ):
        with pytest.raises(BadSamples, match=words):
            cg_radial(values, places, maps)
    with pytest.raises(BadSamples, match="density"):
        gridded(samples, coordinates, (SIDE, SIDE), density=np.ones(3))
