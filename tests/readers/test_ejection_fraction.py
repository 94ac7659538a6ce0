"""Ejection fraction from cine MR: which phases are one stack, areas and volumes against closed forms, refusals."""

import csv
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coread.domain.cards import InputContract
from coread.domain.findings import Presence
from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.domain.reading import ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.engine.samples import study_of
from coread.imaging.header import scan_header
from coread.imaging.series import load, open_series
from coread.models.session import open_session
from coread.phantoms.reference.heart_beat import Beat as DrawnBeat
from coread.readers import ejection_fraction
from coread.readers.card_file import read_card
from coread.readers.ejection_fraction.areas import Areas, areas_of, edge_area
from coread.readers.ejection_fraction.cine import Cine, cine_of
from coread.readers.ejection_fraction.drawn import drawn_slice
from coread.readers.ejection_fraction.outputs import PIXEL_MM, SIDE
from coread.readers.ejection_fraction.reader import reader
from coread.readers.ejection_fraction.report import Seen, Volumes, reported, volume_curve
from coread.readers.ejection_fraction.tracking import Ventricle, ventricle_of
from coread.readers.ejection_fraction.window import Window, interpolation, squares
from coread.readers.heart_curve import beats_of, minima_of_cycle, one_beat, regular
from tests.route.studies import header

FOLDER = Path(ejection_fraction.__file__).parent
CONTRACT = InputContract(("MR",), (), (), (), None, None, 16, 16, 10**6, 6, 3000, "volume", "all")
PATIENT = Path(__file__).parents[3] / "shared" / "data" / "cardiac_mr_cine"


def phase(number: int, shape: tuple[int, int, int] = (7, 20, 24), name: str = "trigger_time_ms_order") -> Volume:
    """A noisy stack in an oblique plane, 10 mm apart."""
    voxels = np.random.default_rng(number).random(shape, dtype=np.float32)
    matrix = np.array([[0.0, 1.2, 0.9, -14.0], [0.0, -0.9, 1.2, -11.0], [10.0, 0.0, 0.0, -17.0]])
    headers = tuple(
        header(100 * number + k + 1, modality="MR", rows=shape[1], columns=shape[2]) for k in range(shape[0])
    )
    geometry = Geometry(shape, affine_of(matrix), "1.2.3")
    key = ((name, f"{number} ({number * 30.0} to {number * 30.0 + 4})"),)
    return Volume(voxels, Quantity.ARBITRARY, geometry, headers, key=key)


def code_of(found: tuple[Cine, tuple[Volume, ...]] | Reason) -> ReasonCode | None:
    return found.code if isinstance(found, Reason) else None


def test_phases_are_put_in_the_order_of_time_and_others_are_set_apart() -> None:
    phases = [phase(number) for number in (3, 12, 1, 7, 2, 10, 9, 8, 11)]
    other = phase(4, (6, 18, 18))
    found = cine_of(CONTRACT, [*phases, other])
    assert not isinstance(found, Reason)
    cine, rest = found
    assert [volume.key[0][1].split()[0] for volume in cine.volumes] == ["1", "2", "3", "7", "8", "9", "10", "11", "12"]
    assert cine.times_ms[:2] == (32.0, 62.0)
    assert rest == (other,)


@pytest.mark.parametrize(("at_the_end", "presence"), [(0.0, Presence.ABSENT), (900.0, Presence.INDETERMINATE)])
def test_a_stack_that_ends_within_the_base_never_calls_a_reduced_fraction_absent(
    at_the_end: float, presence: Presence
) -> None:
    found = cine_of(CONTRACT, [phase(number) for number in range(8)])
    assert not isinstance(found, Reason)
    squeezed = np.array([1.0, 0.8, 0.5, 0.3, 0.4, 0.6, 0.8, 0.95])
    mm2 = squeezed[:, np.newaxis] * np.array([0, 300, 600, 800, 900, 1000, at_the_end])
    areas = Areas(mm2, np.full(8, 5), np.zeros(8))
    ventricle = Ventricle(np.ones((8, 7, SIDE, SIDE), np.float32), 1, 1.0, 1.0)
    seen = Seen(found[0], ventricle, areas, Window(10.0, 12.0))
    volumes = Volumes(one_beat(volume_curve(seen)), 70.0, 5.0, 1.0, 1.0)
    result = reported(read_card(FOLDER / "card.toml"), "digest", seen, volumes)
    assert isinstance(result, ReadResult)
    assert result.findings[0].presence is presence
    assert any("ends within the base" in note for note in result.notes) is (presence is Presence.INDETERMINATE)


def test_few_phases_echo_times_and_phases_without_a_slice_are_refused() -> None:
    assert code_of(cine_of(CONTRACT, [phase(k) for k in range(7)])) is ReasonCode.TOO_FEW_IMAGES
    echoes = [phase(k, name="echo_time_ms") for k in range(12)]
    assert code_of(cine_of(CONTRACT, echoes)) is ReasonCode.TOO_FEW_IMAGES
    cut = [phase(k) for k in range(9)] + [phase(9, (6, 20, 24))]
    assert code_of(cine_of(CONTRACT, cut)) is ReasonCode.MISSING_SLICE
    assert code_of(cine_of(CONTRACT, [])) is ReasonCode.NO_ELIGIBLE


def test_the_distance_of_the_planes_is_taken_along_their_normal() -> None:
    leaning = [phase(k) for k in range(8)]
    matrix = leaning[0].geometry.matrix().copy()
    matrix[0, 0] = 4.0
    moved = [replace(one, geometry=replace(one.geometry, affine=affine_of(matrix[:3]))) for one in leaning]
    for volumes in (leaning, moved):
        found = cine_of(CONTRACT, volumes)
        assert not isinstance(found, Reason)
        assert found[0].slice_distance_mm() == pytest.approx(10.0)


@settings(max_examples=40)
@given(st.floats(2, 60), st.integers(8, 90), st.floats(0.3, 4))
def test_interpolation_keeps_a_constant_and_a_slope(place: float, count: int, reach: float) -> None:
    weights = interpolation(np.array([place]), count, reach)
    inside = place <= count - 0.5
    assert float(weights.sum()) == pytest.approx(1.0 if inside else 0.0, abs=1e-5)
    if max(1.0, reach) <= place <= count - 1 - max(1.0, reach) and reach <= 1:
        assert float(weights[0] @ np.arange(count)) == pytest.approx(place, abs=1e-3)


def test_a_square_and_the_way_back_lie_over_one_another() -> None:
    found = cine_of(CONTRACT, [phase(k, (6, 120, 120)) for k in range(8)])
    assert not isinstance(found, Reason)
    cine = found[0]
    window = Window(61.0, 55.0)
    rows, columns = window.way_back(cine)
    spot = np.zeros((SIDE, SIDE), np.float32)
    spot[50:62, 40:70] = 1
    back = rows @ spot @ columns.T
    down, across = window.weights(cine)
    assert np.abs(down @ back @ across.T - spot).mean() < 0.03
    cut = squares(cine, window, np.arange(8), np.arange(6))
    assert cut.shape == (8, 6, SIDE, SIDE)
    assert (cut.min(), cut.max()) == (0.0, 1.0)


def disc(radius: float, middle: tuple[float, float] = (55.3, 54.6), side: int = SIDE) -> NDArray[np.float32]:
    """The share of each pixel within a disc, by 8 x 8 samples."""
    fine = (np.arange(side * 8) + 0.5) / 8 - 0.5
    inside = (fine[:, None] - middle[0]) ** 2 + (fine[None, :] - middle[1]) ** 2 < radius**2
    return np.asarray(inside.reshape(side, 8, side, 8).mean(axis=(1, 3)), dtype=np.float32)


@pytest.mark.parametrize("radius", [6.0, 9.4, 15.7, 22.0])
@pytest.mark.parametrize("wrong", [-0.7, 0.0, 0.7])
def test_the_area_of_a_disc_is_exact_although_the_network_is_off_by_half_a_pixel(radius: float, wrong: float) -> None:
    share = disc(radius)
    image = 0.25 + 0.6 * share
    muscle = disc(radius + 6) - disc(radius + 0.5) > 0.5
    found = edge_area(image, disc(radius + wrong), muscle.astype(np.float32))
    assert found == pytest.approx(np.pi * radius**2, rel=0.03)


def stack(radii: list[float], at_base: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Images and shares (1, slices, classes, side, side) of a ventricle, its basal slice mixed with what is above."""
    above = (0.55 + 0.3 * disc(9.0)).astype(np.float32)
    images, shares = [], []
    for radius in radii:
        blood, whole = disc(radius), disc(radius + 6)
        images.append((0.55 - 0.4 * whole + 0.7 * blood).astype(np.float32))
        shares.append(np.stack([1 - whole, blood, whole - blood, 0 * blood]))
    images.append((at_base * images[-1] + (1 - at_base) * above).astype(np.float32))
    shares.append(shares[-1])
    images += [above] * 2
    shares += [np.stack([1 - 0 * above, 0 * above, 0 * above, 0 * above])] * 2
    return np.stack(images)[None], np.stack(shares)[None].astype(np.float32)


@pytest.mark.parametrize("at_base", [0.2, 0.4, 0.55])
def test_the_slice_at_the_base_counts_by_what_of_it_is_ventricle(at_base: float) -> None:
    radii = [8.0, 11.0, 13.0, 14.0, 14.0]
    images, shares = stack(radii, at_base)
    ventricle = ventricle_of(shares)
    assert ventricle is not None
    assert ventricle.towards_base == 1
    cut = replace(ventricle, shares=np.where(np.arange(8)[None, :, None, None] < 5, ventricle.shares, 0))
    areas = areas_of(images, shares[:, :, 2], cut, 10.0)
    assert areas.base[0] == 4
    assert areas.base_share[0] == pytest.approx(at_base, abs=0.06)
    wanted = np.pi * np.array(radii) ** 2 * PIXEL_MM**2
    assert areas.mm2[0, :5] == pytest.approx(wanted, rel=0.03)


def test_a_cavity_without_muscle_around_it_is_no_ventricle() -> None:
    bare = np.zeros((1, 6, 4, SIDE, SIDE), np.float32)
    bare[0, 1:5, 1] = disc(12.0)
    assert ventricle_of(bare) is None
    assert ventricle_of(np.zeros((2, 6, 4, SIDE, SIDE), np.float32)) is None


@settings(max_examples=30)
@given(st.integers(8, 40), st.integers(0, 39), st.floats(20, 300), st.floats(0.1, 0.8))
def test_ends_of_the_beat_are_found_wherever_it_begins(phases: int, begin: int, edv: float, ejected: float) -> None:
    drawn = DrawnBeat(phases)
    curve = np.array([edv * (1 - ejected * drawn.emptied(k)) for k in range(phases)])
    turned = np.roll(curve, begin)
    beat = one_beat(turned)
    assert beat.diastole == begin % phases
    assert beat.systole == (begin + drawn.end_systole) % phases
    assert beat.ejected_percent == pytest.approx(100 * ejected, abs=0.8)
    assert minima_of_cycle(turned) == 1


def test_two_contractions_in_one_cycle_are_not_one_beat() -> None:
    time = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    assert minima_of_cycle(100 + 20 * np.cos(2 * time)) == 2


def test_beats_of_a_loop_are_told_apart_and_an_uneven_rhythm_is_noticed() -> None:
    one = np.array([100 * (1 - 0.6 * DrawnBeat(20).emptied(k)) for k in range(20)])
    beats = beats_of(np.concatenate([one, one, one]))
    assert [(beat.diastole, beat.systole) for beat in beats] == [(0, 7), (20, 27), (40, 47)]
    assert all(beat.ejected_percent == pytest.approx(60, abs=1) for beat in beats)
    times = [30.0 * k for k in range(80)]
    assert regular(beats, times)
    late = beats_of(np.concatenate([one[4:], one]))
    assert late[0].systole == 3
    assert late[0].ejected_percent == pytest.approx(60, abs=1)
    pause = np.concatenate([one, one, np.full(16, 100.0), one])
    assert not regular(beats_of(pause), times)
    assert beats_of(np.full(30, 80.0)) == ()


def test_drawn_slices_repeat_and_hold_only_known_classes() -> None:
    image, labels = drawn_slice(np.random.default_rng([7, 7]))
    again, _ = drawn_slice(np.random.default_rng([7, 7]))
    assert np.array_equal(image, again)
    assert image.shape == labels.shape == (SIDE, SIDE)
    seen = {int(v) for k in range(12) for v in np.unique(drawn_slice(np.random.default_rng([7, k]))[1])}
    assert seen == {0, 1, 2, 3}


@pytest.mark.slow
@pytest.mark.shared
def test_the_public_patient_is_within_five_points_of_the_experts(tmp_path: Path) -> None:
    if not PATIENT.is_dir():
        pytest.skip("shared/data/cardiac_mr_cine is not here")
    with (PATIENT / "ef_from_contours.csv").open(newline="", encoding="utf-8") as opened:
        (row,) = csv.DictReader(opened)
    with zipfile.ZipFile(PATIENT / f"{row['patient']}.zip") as archive:
        archive.extractall(tmp_path)
    sources = [(path, scan_header(path)) for path in sorted(tmp_path.rglob("*.dcm"))]
    volumes = tuple(load(stack) for stack in open_series(sources).volumes())
    subject, session = reader(read_card(FOLDER / "card.toml")), open_session(FOLDER / "model", FOLDER / "card.toml")
    prepared = subject.prepare(ReaderInputs(study_of(volumes[0].headers), volumes=volumes))
    assert not isinstance(prepared, Refusal)
    result = subject.interpret(session, prepared, subject.infer(session, prepared))
    assert isinstance(result, ReadResult)
    found = {one.concept.value: one.value for one in result.measurements}
    assert found["8811-2"] == pytest.approx(float(row["ef"]), abs=5)
