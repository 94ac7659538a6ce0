"""Change between two dates from the shift of a boundary: what was shrunk by a known share is found shrunk by it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.imaging.atrophy import Dated, swept
from coread.imaging.halfway import Halfway, half_of, halfway

STEP = 1.6
SIDE = 48
FLUID, GREY = 150.0, 500.0


def rotation(degrees: float, shift: tuple[float, float, float]) -> NDArray[np.float64]:
    angle = np.radians(degrees)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = shift
    return matrix


def grid() -> Geometry:
    matrix = np.zeros((3, 4))
    matrix[2, 0] = matrix[1, 1] = matrix[0, 2] = STEP
    matrix[:, 3] = -(SIDE - 1) / 2 * STEP
    return Geometry((SIDE, SIDE, SIDE), affine_of(matrix), "1.2.3")


def ellipsoid(scale: float, pose: NDArray[np.float64], gain: float = 1.0) -> Dated:
    """Draw a smooth-edged ellipsoid of tissue in fluid; ``pose`` leads from anatomy to patient."""
    index = np.moveaxis(np.indices((SIDE, SIDE, SIDE)), 0, -1).reshape(-1, 3)
    back = np.linalg.inv(pose)
    places = grid().to_patient(index) @ back[:3, :3].T + back[:3, 3]
    radius = np.linalg.norm(places / (np.array([22.0, 28.0, 25.0]) * scale), axis=1)
    share = 1 / (1 + np.exp((radius - 1) * 25 / 0.8))
    values = (FLUID + share * (GREY - FLUID)) * gain
    voxels = values.reshape(SIDE, SIDE, SIDE).astype(np.float32)
    inside = np.ones((SIDE, SIDE, SIDE), dtype=np.bool_)
    return Dated(Volume(voxels, Quantity.ARBITRARY, grid(), ()), inside, FLUID * gain, GREY * gain)


def laid_over(first: Dated, second: Dated, start: NDArray[np.float64]) -> Halfway:
    weight = np.ones(grid().shape, dtype=np.float32)
    return halfway(first.volume, second.volume, start, (grid(),), (weight,))


def test_half_of_a_motion_done_twice_is_the_motion() -> None:
    motion = rotation(14, (3, -2, 5))
    half = half_of(motion)
    assert np.allclose(half @ half, motion, atol=1e-9)
    assert np.allclose(half[:3, :3] @ half[:3, :3].T, np.eye(3), atol=1e-9)


def test_a_motion_is_found_and_exchanging_the_dates_inverts_it() -> None:
    motion = rotation(6, (2, -1, 1.5))
    first, second = ellipsoid(1, np.eye(4)), ellipsoid(1, motion)
    found = laid_over(first, second, np.eye(4)).between()
    other = laid_over(second, first, np.eye(4)).between()
    assert np.abs(found - motion).max() < 0.05
    assert np.allclose(found @ other, np.eye(4), atol=1e-6)


@pytest.mark.parametrize("loss", [0.0, 1.0, 3.0])
def test_a_known_loss_is_found(loss: float) -> None:
    motion = rotation(5, (1, 2, -1))
    first = ellipsoid(1, np.eye(4))
    second = ellipsoid((1 - loss / 100) ** (1 / 3), motion)
    laid = laid_over(first, second, motion)
    assert swept(first, second, laid, grid()).percent() == pytest.approx(-loss, abs=0.12)


def test_exchanging_the_dates_exchanges_the_sign() -> None:
    first, second = ellipsoid(1, np.eye(4)), ellipsoid(0.99, rotation(4, (1, 0, 0)))
    laid = laid_over(first, second, np.eye(4))
    there = swept(first, second, laid, grid())
    back = swept(second, first, Halfway(laid.to_second, laid.to_first, 1.0), grid())
    assert back.change_ml == pytest.approx(-there.change_ml, rel=1e-4)


def test_brightness_of_the_whole_image_does_not_matter() -> None:
    first, second = ellipsoid(1, np.eye(4)), ellipsoid(0.995, np.eye(4))
    brighter = ellipsoid(0.995, np.eye(4), gain=1.8)
    still = Halfway(np.eye(4), np.eye(4), 1.0)
    assert swept(first, brighter, still, grid()).percent() == pytest.approx(
        swept(first, second, still, grid()).percent(), abs=0.02
    )
