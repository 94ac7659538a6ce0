"""Where a nodule may be: bright blobs of several sizes in the lungs, tubes left out.

Difference of Gaussians as the scale-normalised Laplacian (Lindeberg 1998, Int J Comput Vis 30:79), maxima over place
and scale, then the curvatures there: a vessel curves in two directions, a nodule in three (Li, Sone and Doi 2003, Med
Phys 30:2040).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry, affine_of
from coread.imaging.resampling import resampled_array
from coread.readers.lung_nodule.frame import Floats, Frame, Mask
from coread.readers.lung_nodule.lungs import Lungs

FINE_MM = 1.0
_LOW_HU, _HIGH_HU = -900.0, -300.0
"""Values are clipped here, so that ground glass and solid tissue differ by two, not by three and a half."""
_SIGMAS_MM = (1.2, 1.7, 2.4, 3.4, 4.8, 6.8, 9.6)
_RATIO = 2**0.5
_COARSER_FROM_MM = 3.0
_LEAST_RESPONSE = 60.0
_LEAST_ROUNDNESS = 0.42
"""On simulated chests every nodule had 0.46 or more and seven of ten forks and bends of vessels less than this."""
_MARGIN_MM = 12.0
MOST = 250


@dataclass(frozen=True, slots=True)
class Candidate:
    """A bright blob."""

    place: tuple[float, float, float]
    """LPS mm."""
    radius_mm: float
    response: float
    roundness: float
    """Least over largest curvature: 0 for a straight vessel, 1 for a ball."""


def find_candidates(frame: Frame, lungs: Lungs) -> tuple[Candidate, ...]:
    """Return the blobs in the lungs, the strongest first; of more than ``MOST`` those that are strong and round."""
    values, mask, geometry = _fine(frame, lungs)
    levels = _scale_space(values, geometry)
    found: list[Candidate] = []
    for level in levels:
        found += _maxima(level, mask, geometry)
    found.sort(key=lambda one: (-one.response, one.place))
    apart = _apart(found)
    kept = set(sorted(range(len(apart)), key=lambda n: -apart[n].response * apart[n].roundness)[:MOST])
    return tuple(one for n, one in enumerate(apart) if n in kept)


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """One scale."""

    sigma_mm: float
    smooth: Floats
    response: Floats
    geometry: Geometry


def _fine(frame: Frame, lungs: Lungs) -> tuple[Floats, Mask, Geometry]:
    """Return clipped values and the lung mask on voxels of 1 mm around the lungs; outside the lungs, lung."""
    inside = np.argwhere(lungs.mask)
    corners = lungs.geometry.to_patient(np.stack([inside.min(axis=0), inside.max(axis=0)]).astype(np.float64))
    index = frame.geometry.to_index(corners)
    margin = _MARGIN_MM / np.asarray(frame.step_mm())
    low = np.maximum(np.floor(index.min(axis=0) - margin), 0).astype(np.int64)
    high = np.minimum(np.ceil(index.max(axis=0) + margin) + 1, frame.hu.shape).astype(np.int64)
    part, source = frame.part(low, high)
    geometry = _upright(source)
    values = resampled_array(np.clip(part, _LOW_HU, _HIGH_HU), source, geometry, outside=_LOW_HU)
    share = resampled_array(lungs.mask.astype(np.float32), lungs.geometry, geometry, outside=0.0)
    mask = np.asarray(share > 0.62)
    usual = float(np.median(values[mask])) if mask.any() else _LOW_HU
    np.copyto(values, usual, where=share <= 0.5)
    return np.asarray(values, dtype=np.float32), mask, geometry


def _upright(source: Geometry) -> Geometry:
    """Return a grid of 1 mm along the patient's axes that covers a part of a scan, in its middle.

    Odd counts keep every second voxel in the middle too, so a mirrored scan is searched on the mirrored grid.
    """
    ends = np.array([[z, y, x] for z in (0, 1) for y in (0, 1) for x in (0, 1)]) * (np.asarray(source.shape) - 1)
    corners = source.to_patient(ends)
    low, high = corners.min(axis=0), corners.max(axis=0)
    steps = 2 * np.maximum(1, np.ceil((high - low) / (2 * FINE_MM) - 1e-6)).astype(int)
    matrix = np.zeros((3, 4))
    matrix[2, 0] = matrix[1, 1] = matrix[0, 2] = FINE_MM
    matrix[:, 3] = (low + high - steps * FINE_MM) / 2
    x, y, z = (int(count) + 1 for count in steps)
    return replace(source, shape=(z, y, x), affine=affine_of(matrix))


def _scale_space(values: Floats, geometry: Geometry) -> list[Level]:
    """Return the levels; from 3 mm on every second voxel is enough."""
    from scipy.ndimage import gaussian_filter

    levels: list[Level] = []
    step, now, grid = FINE_MM, values, geometry
    smooth, reached = now, 0.0
    for sigma in _SIGMAS_MM:
        if sigma >= _COARSER_FROM_MM and step == FINE_MM:
            smooth, step = np.ascontiguousarray(smooth[::2, ::2, ::2]), 2 * FINE_MM
            grid = _every_second(grid)
        smooth = gaussian_filter(smooth, np.sqrt(sigma**2 - reached**2) / step, mode="nearest", truncate=3.0)
        reached = sigma
        wider = gaussian_filter(smooth, sigma * np.sqrt(_RATIO**2 - 1) / step, mode="nearest", truncate=3.0)
        levels.append(Level(sigma, smooth, (smooth - wider) / np.float32(_RATIO - 1), grid))
    return levels


def _every_second(geometry: Geometry) -> Geometry:
    matrix = geometry.matrix()
    matrix[:3, :3] *= 2
    z, y, x = (-(-n // 2) for n in geometry.shape)
    return replace(geometry, shape=(z, y, x), affine=affine_of(matrix))


def _maxima(level: Level, mask: Mask, fine: Geometry) -> list[Candidate]:
    from scipy.ndimage import maximum_filter

    inside = mask if level.geometry.shape == fine.shape else mask[::2, ::2, ::2]
    peaks = (level.response >= _LEAST_RESPONSE) & inside
    peaks &= level.response == maximum_filter(level.response, 3, mode="nearest")
    peaks[[0, -1]] = peaks[:, [0, -1]] = peaks[:, :, [0, -1]] = False
    index = np.argwhere(peaks)
    roundness = _roundness(level.smooth, index)
    places = level.geometry.to_patient(index.astype(np.float64))
    return [
        Candidate((x, y, z), level.sigma_mm * 3**0.5, float(level.response[tuple(at)]), float(ball))
        for (x, y, z), at, ball in zip(places.tolist(), index, roundness, strict=True)
        if ball >= _LEAST_ROUNDNESS
    ]


def _roundness(smooth: Floats, index: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return for places (N, 3) not at the border the least over the largest of the three curvatures; 0 if one bends
    up."""
    if not len(index):
        return np.zeros(0)

    def at(*shift: int) -> NDArray[np.float64]:
        return np.asarray(smooth[tuple((index + shift).T)], dtype=np.float64)

    middle = 2 * at(0, 0, 0)
    curved = np.empty((len(index), 3, 3))
    for one, other in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        first, second = np.eye(3, dtype=np.int64)[[one, other]]
        if one == other:
            curved[:, one, one] = at(*first) + at(*-first) - middle
            continue
        crossed = at(*(first + second)) - at(*(first - second)) - at(*(second - first)) + at(*(-first - second))
        curved[:, one, other] = curved[:, other, one] = crossed / 4
    curvatures = -np.linalg.eigvalsh(curved)
    least, most = curvatures.min(axis=1), curvatures.max(axis=1)
    return np.where(most > 0, np.maximum(0.0, least / np.where(most > 0, most, 1.0)), 0.0)


def _apart(found: list[Candidate]) -> tuple[Candidate, ...]:
    """Keep of blobs that lie within one another the strongest."""
    kept: list[Candidate] = []
    places = np.zeros((0, 3))
    for one in found:
        if kept:
            near = np.linalg.norm(places - one.place, axis=1)
            limits = np.array([max(other.radius_mm, one.radius_mm * 0.5) for other in kept])
            if (near < limits).any():
                continue
        kept.append(one)
        places = np.vstack([places, one.place])
    return tuple(kept)
