"""Ejection fraction from echo loops: discs against closed forms, the picture and the way back, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from coread.domain.cards import InputContract
from coread.domain.images import Loop, Quantity, Sector
from coread.domain.reasons import Reason, ReasonCode
from coread.readers.ejection_fraction_echo.discs import (
    DISCS,
    NOTHING,
    Outline,
    biplane_volume,
    calibrated,
    outline_of,
    volumes_of,
)
from coread.readers.ejection_fraction_echo.drawn import drawn_heart, labels_at
from coread.readers.ejection_fraction_echo.outputs import COLUMNS, ROWS
from coread.readers.ejection_fraction_echo.picture import fit_of, pictures_of
from coread.readers.ejection_fraction_echo.reader import reason_against
from coread.readers.ejection_fraction_echo.report import View, found_in, seen_view
from tests.route.studies import header

CONTRACT = InputContract(("US",), (), (), ("A4C", "A2C"), None, None, 50, 50, 10**6, 8, 300, "loop")
PARAMETERS = {"single_plane_percent": 5.0, "biplane_percent": 4.0}


def half_ellipse(half: float, length: float, degrees: float = 0.0) -> NDArray[np.float32]:
    """The share of a cavity cut off straight at its widest place, its axis turned from straight down."""
    rows, columns = (np.indices((ROWS * 4, COLUMNS * 4)) + 0.5) / 4 - 0.5
    down, across = rows - 20.0, columns - COLUMNS / 2
    turn = np.radians(degrees)
    along, aside = down * np.cos(turn) + across * np.sin(turn), across * np.cos(turn) - down * np.sin(turn)
    inside = (along >= 0) & (along <= length) & ((aside / half) ** 2 + (1 - along / length) ** 2 < 1)
    return np.asarray(inside.reshape(ROWS, 4, COLUMNS, 4).mean(axis=(1, 3)), dtype=np.float32)


@pytest.mark.parametrize("degrees", [0.0, 12.0, -20.0])
@pytest.mark.parametrize(("half", "length"), [(12.0, 50.0), (8.0, 44.0), (16.0, 60.0)])
def test_the_volume_of_a_half_ellipsoid_is_its_closed_form(half: float, length: float, degrees: float) -> None:
    outline = outline_of(half_ellipse(half, length, degrees), np.zeros((ROWS, COLUMNS), np.float32))
    assert outline.volume() == pytest.approx(2 / 3 * np.pi * half**2 * length, rel=0.05)
    assert outline.length == pytest.approx(length, rel=0.04)


def test_biplane_takes_both_diameters_and_the_longer_length() -> None:
    one, other = Outline(np.full(DISCS, 10.0), 40.0), Outline(np.full(DISCS, 8.0), 44.0)
    assert biplane_volume(one, other) == pytest.approx(np.pi / 4 * 80 * 44)
    assert calibrated(one, 1.1, -1.0).diameters == pytest.approx(10.0)
    assert calibrated(NOTHING, 1.1, 2.0).volume() == 0.0


def test_specks_are_no_ventricle() -> None:
    share = np.zeros((ROWS, COLUMNS), np.float32)
    share[10:14, 10:14] = 1
    assert outline_of(share, share) is NOTHING


def loop(frames: int = 12, view: str = "A4C", sector: Sector | None = None) -> Loop:
    """Noise, 120 x 200."""
    pixels = np.random.default_rng(frames).random((frames, 120, 200), dtype=np.float32)
    head = replace(header(1, modality="US", rows=120, columns=200), number_of_frames=frames, view_position="")
    return Loop(pixels, Quantity.DISPLAY, head, tuple(50.0 * k for k in range(frames)), view, sector)


def test_the_sector_is_fitted_in_with_square_pixels_and_found_again() -> None:
    region = Sector(20, 10, 180, 110, (0.8, 1.0))
    fit = fit_of(loop(sector=region))
    assert fit.row_mm == pytest.approx(max(100 * 0.8 / ROWS, 160 * 1.0 / COLUMNS))
    marked = np.zeros((2, 120, 200), np.float32)
    marked[:, 50:80, 70:130] = 1
    shown = pictures_of(replace(loop(2, sector=region), pixels=marked), fit)[0, 0]
    down, across = fit.to_frame()
    back = down @ shown @ across.T >= 0.5
    assert np.abs(back ^ (marked[0, 10:110, 20:180] > 0)).mean() < 0.01
    assert fit_of(loop()).row_mm is None


def test_loops_that_do_not_fit_are_refused_with_their_reason() -> None:
    good = loop()
    assert reason_against(CONTRACT, good, []) is None
    changed = {
        ReasonCode.WRONG_VIEW: replace(good, view=""),
        ReasonCode.TOO_FEW_IMAGES: loop(7),
        ReasonCode.PIXELS_CONSTANT: replace(good, pixels=np.zeros_like(good.pixels)),
        ReasonCode.PIXEL_MEANING: replace(good, quantity=Quantity.ARBITRARY),
    }
    for code, one in changed.items():
        found = reason_against(CONTRACT, one, [])
        assert found is not None
        assert found.code is code
    again = reason_against(CONTRACT, good, ["A4C"])
    assert again is not None
    assert again.code is ReasonCode.SEVERAL_VOLUMES


def seen(ejected: list[float], view: str = "A4C", length: float = 50.0, sector: Sector | None = None) -> View | Reason:
    """A loop whose beats eject these shares."""
    wave = (1 - np.cos(np.linspace(0, 2 * np.pi, 12, endpoint=False))) / 2
    shares = np.concatenate([np.sqrt(1 - share * wave) for share in ejected])
    outlines = [Outline(np.full(DISCS, 20.0 * share), length) for share in shares]
    one = loop(len(outlines), view, sector)
    return seen_view(one, fit_of(one), np.zeros((len(outlines), ROWS, COLUMNS), np.float32), outlines)


def test_one_view_without_a_scale_gives_the_ejection_fraction_only() -> None:
    view = seen([0.6, 0.6])
    assert isinstance(view, View)
    found = found_in([view], PARAMETERS)
    assert not isinstance(found, Reason)
    assert found.ejected == pytest.approx(60, abs=1)
    assert found.volumes_ml is None
    assert not found.biplane


def test_two_views_with_a_scale_are_biplane_and_foreshortening_is_refused() -> None:
    sector = Sector(0, 0, 200, 120, (1.0, 1.0))
    four, two = seen([0.5], sector=sector), seen([0.5], "A2C", sector=sector)
    short = seen([0.5], "A2C", length=35.0, sector=sector)
    assert isinstance(four, View)
    assert isinstance(two, View)
    assert isinstance(short, View)
    found = found_in([four, two], PARAMETERS)
    assert not isinstance(found, Reason)
    assert found.biplane
    assert found.ejected == pytest.approx(50, abs=1)
    assert isinstance(found_in([four, short], PARAMETERS), Reason)


def test_beats_that_differ_and_frames_without_a_ventricle_are_indeterminate() -> None:
    for view in (seen([0.6, 0.3, 0.6]), seen([0.0])):
        assert isinstance(view, Reason)
        assert view.code is ReasonCode.INDETERMINATE
    empty = loop(12)
    view = seen_view(empty, fit_of(empty), np.zeros((12, ROWS, COLUMNS), np.float32), [NOTHING] * 12)
    assert isinstance(view, Reason)
    assert volumes_of([NOTHING]) == pytest.approx([0.0])


def test_drawn_hearts_have_a_cavity_within_muscle_and_an_atrium_below() -> None:
    x, s = (part.astype(np.float32) for part in np.meshgrid(np.linspace(-60, 60, 121), np.linspace(-20, 160, 181)))
    for number in range(6):
        labels = labels_at(drawn_heart(np.random.default_rng(number)), x, s)
        rows = [np.argwhere(labels == k)[:, 0].mean() for k in (1, 3)]
        assert rows[0] < rows[1]
        assert (labels == 2).any()
