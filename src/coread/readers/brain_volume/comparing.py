"""What was lost since an earlier T1 volume of the same patient."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry
from coread.domain.images import Quantity, Volume
from coread.imaging.atrophy import Dated, Swept, swept
from coread.imaging.halfway import Halfway, half_of, halfway
from coread.imaging.registration import registered
from coread.imaging.resampling import resampled_array
from coread.readers.brain_volume.head import Head, sampled, upright_grid
from coread.readers.brain_volume.tissues import Tissues

_LEVELS_MM = (4.0, 2.0)
_FIELD_MM = (180.0, 210.0, 170.0)
_STEP_MM, _FINER = 1.0, 1.5
"""Of the grid that is measured on; by so much finer than coarse volumes."""
_LEAST_OVERLAP = 0.93
"""Dice coefficient of the cavities of both dates once they are laid over one another."""
_SCALE = 0.998
"""Of the shrinking that the measurement is calibrated with; halfway, so from 1.002 to 0.998."""


@dataclass(frozen=True, slots=True, eq=False)
class Date:
    """One examination, read."""

    volume: Volume
    head: Head
    tissues: Tissues


@dataclass(frozen=True, slots=True)
class Compared:
    """Change between two dates."""

    brain: Swept
    ventricles: Swept
    """Of what is not fluid in the region of the ventricles: its loss is their growth."""
    gain: float
    """What is found of a known change: each date against itself, slightly shrunk (as SIENA calibrates itself)."""
    overlap: float

    def percent(self) -> float:
        """Return the change of the brain in per cent of the first date."""
        return self.brain.percent() / self.gain


def compared(first: Date, second: Date) -> Compared | float:
    """Lay both dates over one another halfway and measure; the overlap alone where they do not fit."""
    start = _start(first, second)
    middle = _middle(first.head)
    half = half_of(start)
    at = half[:3, :3] @ middle + half[:3, 3]
    grids = tuple(_grid(at, step, first.volume.geometry) for step in _LEVELS_MM)
    back = np.asarray(np.linalg.inv(half), dtype=np.float64)
    weights = tuple(
        (resampled_array(first.head.inside(), first.head.grid, grid, transform=back) > 0.3).astype(np.float32)
        for grid in grids
    )
    dated = _dated(first), _dated(second)
    plain = [_plain(date) for date in dated]
    laid = halfway(plain[0], plain[1], start, grids, weights)
    finest = min(*first.volume.geometry.spacing_mm(), *second.volume.geometry.spacing_mm())
    grid = _grid(at, max(_STEP_MM, finest / _FINER), first.volume.geometry)
    overlap = _overlap(dated, laid, grids[-1])
    if overlap < _LEAST_OVERLAP:
        return overlap
    known = scaled_change(_SCALE)
    maps = (laid.to_first, laid.to_second)
    gains = [swept(one, one, _scaled(to, at), grid).percent() / known for one, to in zip(dated, maps, strict=True)]
    gain = sum(gains) / 2
    region = _ventricles(first, laid.to_first, grid) | _ventricles(second, laid.to_second, grid)
    return Compared(swept(*dated, laid, grid), swept(*dated, laid, grid, region), gain, overlap)


def scaled_change(scale: float) -> float:
    """Return the change in per cent when everything shrinks from 1 / scale to scale."""
    return 100 * (scale**6 - 1)


def _scaled(to_volume: NDArray[np.float64], middle: NDArray[np.float64]) -> Halfway:
    """Return one date against itself: larger as the first, smaller as the second."""
    maps = []
    for factor in (_SCALE, 1 / _SCALE):
        matrix = np.eye(4)
        matrix[:3, :3] *= factor
        matrix[:3, 3] = middle * (1 - factor)
        maps.append(to_volume @ matrix)
    return Halfway(maps[0], maps[1], 1.0)


def ventricular_growth(found: Compared, first_ml: float) -> float:
    """Return the growth of the ventricles in per cent of their volume on the first date."""
    return -100 * found.ventricles.change_ml / max(first_ml, 1e-6)


def _start(first: Date, second: Date) -> NDArray[np.float64]:
    """Return a first rigid map from what the head looks like at 4 mm."""
    both = [
        Volume(sampled(date.volume, date.head.grid), Quantity.ARBITRARY, date.head.grid, ()) for date in (first, second)
    ]
    shift = np.eye(4)
    shift[:3, 3] = _middle(second.head) - _middle(first.head)
    inside = first.head.inside() > 0.3
    return registered(both[0], both[1], start=shift, inside=inside).matrix


def _middle(head: Head) -> NDArray[np.float64]:
    places = np.argwhere(head.inside() > 0.5)
    return np.asarray(head.grid.to_patient(places.mean(axis=0, keepdims=True))[0])


def _grid(middle: NDArray[np.float64], step: float, like: Geometry) -> Geometry:
    up, back, side = (round(extent / step) for extent in _FIELD_MM)
    return upright_grid(middle, (up, back, side), step, like.frame_of_reference_uid)


def _dated(date: Date) -> Dated:
    even = Volume(date.tissues.even, Quantity.ARBITRARY, date.volume.geometry, ())
    means = date.tissues.mixture.means
    return Dated(even, date.tissues.inside, float(means[0]), float(means[1]))


def _plain(date: Dated) -> Volume:
    """Return brightness that means the same on both dates: 0 fluid, 1 grey matter, cut off above white matter."""
    values = np.clip((date.volume.voxels - date.fluid) / (date.grey - date.fluid), -0.5, 2.0)
    return Volume(np.asarray(values, dtype=np.float32), Quantity.ARBITRARY, date.volume.geometry, ())


def _overlap(dated: tuple[Dated, Dated], laid: Halfway, grid: Geometry) -> float:
    one, other = (
        resampled_array(date.inside.astype(np.float32), date.volume.geometry, grid, transform=to) > 0.5
        for date, to in zip(dated, (laid.to_first, laid.to_second), strict=True)
    )
    return 2 * float((one & other).sum()) / max(1.0, float(one.sum() + other.sum()))


def _ventricles(date: Date, to_volume: NDArray[np.float64], grid: Geometry) -> NDArray[np.bool_]:
    from scipy import ndimage

    share = resampled_array(date.tissues.ventricles.astype(np.float32), date.volume.geometry, grid, transform=to_volume)
    return np.asarray(ndimage.binary_dilation(share > 0.5, iterations=3))
