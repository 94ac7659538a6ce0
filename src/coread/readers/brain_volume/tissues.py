"""Grey and white matter, fluid and ventricles of a T1 volume, voxel by voxel on the grid it came on."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry
from coread.domain.images import Volume
from coread.readers.brain_volume.head import Head, sampled
from coread.readers.brain_volume.mixture import Mixture, fitted
from coread.readers.brain_volume.places import ventricles_in

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
FLUID, GREY, WHITE = 1, 2, 3
"""Numbers of the network's classes."""
_DEGREE = 4
"""Of the polynomials that the logarithm of the receive field is made of."""
_FIELD_SAMPLES = 60_000
_HALF_HEAD_MM = 100.0
_GREY_WEIGHT = 0.3
_ROUNDS = 4
_SURE = 0.9
_GREY_BETWEEN = 0.62
"""Where grey matter usually lies between fluid (0) and white matter (1); only the fit begins there."""
_NOTHING = 0.1
"""Darker than this share of white matter is bone, air, or beyond the field."""
_RIM_CELLS = 2
_BRIGHT_RANK, _DARK_RANK = 0.65, 0.55


@dataclass(frozen=True, slots=True, eq=False)
class Tissues:
    """What a T1 volume holds; arrays on its own grid."""

    inside: Mask
    """The cavity of the skull."""
    even: Array
    """The volume without its receive field; brightness in units of the mixture."""
    mixture: Mixture
    ventricles: Mask
    """Voxels that are mostly fluid and belong to the lateral and third ventricles."""
    voxel_ml: float

    def share(self, tissue: int) -> Array:
        """Return the share of fluid (0), grey (1) or white matter (2) in each voxel inside the skull, else 0."""
        return np.where(self.inside, self.mixture.share(tissue, self.even), np.float32(0))

    def volume_ml(self, tissue: int, where: Mask | None = None) -> float:
        """Return the volume of a tissue."""
        mask = self.inside if where is None else self.inside & where
        return float(self.mixture.share(tissue, self.even[mask]).sum(dtype=np.float64) * self.voxel_ml)

    def cavity_ml(self) -> float:
        """Return the intracranial volume."""
        return float(self.inside.sum() * self.voxel_ml)

    def ventricles_ml(self) -> float:
        """Return the volume of the ventricles: fluid, and what it fills of the voxels at its border.

        Between the ventricles and white matter mixed voxels are as bright as grey matter, so brightness there is
        measured against what lies just beyond.
        """
        from scipy import ndimage

        core = self.ventricles
        if not core.any():
            return 0.0
        near = ndimage.binary_dilation(core)
        ring = ndimage.binary_dilation(near, iterations=2) & ~near & self.inside
        beyond, fluid = float(np.median(self.even[ring])), float(self.mixture.means[0])
        share = np.clip((beyond - self.even[near]) / max(beyond - fluid, 1e-6), 0, 1)
        return float(share.sum(dtype=np.float64) * self.voxel_ml)


def voxel_ml(geometry: Geometry) -> float:
    """Return the volume of one voxel."""
    return float(abs(np.linalg.det(geometry.matrix()[:3, :3])) / 1000)


class Contrast(StrEnum):
    """What kind of image it looks like."""

    T1 = "T1"
    FLAIR = "FLAIR"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Levels:
    """Brightness of fluid and of deep white matter as a first look gives it, and the contrast that follows."""

    fluid: float
    white: float
    rank: float
    """Share of the brain's voxels that are darker than deep white matter."""

    def contrast(self) -> Contrast:
        """Return T1 where white matter is bright, FLAIR where it is dark among the brain's voxels."""
        if self.rank >= _BRIGHT_RANK:
            return Contrast.T1
        return Contrast.FLAIR if self.rank <= _DARK_RANK else Contrast.UNCLEAR


def levels_of(volume: Volume, head: Head) -> Levels:
    """Look at the head at 4 mm: fluid is the darkest of what lies away from the skull."""
    from scipy import ndimage

    values = sampled(volume, head.grid)
    deep = ndimage.binary_erosion(head.inside() > 0.5, iterations=_RIM_CELLS)
    fluid = float(np.percentile(values[deep], 1.0))
    share = np.where(deep, head.shares[WHITE], 0)
    white = float(np.median(values[share >= np.quantile(share[deep], 0.85)]))
    middle = float(np.median(values[deep]))
    brain = values[deep & (values > (fluid + middle) / 2)]
    return Levels(fluid, white, float((brain < white).mean()))


def tissues_of(volume: Volume, head: Head, levels: Levels) -> Tissues:
    """Even out the receive field, fit the histogram, and find the ventricles; the contrast must be that of T1."""
    geometry = volume.geometry
    inside = (head.on(head.inside(), geometry) > 0.5) & (volume.voxels > _NOTHING * levels.white)
    between = levels.fluid + _GREY_BETWEEN * (levels.white - levels.fluid)
    start = np.array([levels.fluid, between, levels.white])
    white = head.on(head.shares[WHITE], geometry)[inside]
    raw = volume.voxels[inside].astype(np.float32)
    places = geometry.to_patient(np.argwhere(inside))
    every = max(1, len(raw) // _FIELD_SAMPLES)
    terms = _terms(places[::every], head.grid)
    on_head = _terms(head.grid.to_patient(np.argwhere(np.ones(head.grid.shape, dtype=np.bool_))), head.grid)
    even, field = raw, np.ones(head.grid.shape, dtype=np.float32)
    for _ in range(_ROUNDS):
        mixture = fitted(even, start)
        weights = _field_weights(even[::every], white[::every], mixture)
        logs = np.log(np.maximum(raw[::every], 0.1 * mixture.means[2]))
        target = logs - np.log(np.where(weights[1] > 0, mixture.means[1], mixture.means[2]))
        log_field = on_head @ _least_squares(terms, target, weights.sum(axis=0))
        field = np.exp(np.clip(log_field, -1.2, 1.2)).reshape(head.grid.shape).astype(np.float32)
        even = np.asarray(raw / np.maximum(head.on(field, geometry)[inside], 0.2), dtype=np.float32)
        start = _restarted(start, even, white)
    everywhere = head.on(field, geometry)
    whole = np.asarray(volume.voxels / np.where(everywhere > 0.2, everywhere, 1), dtype=np.float32)
    mixture = fitted(even, start)
    ventricles = ventricles_in(inside & (whole < (mixture.means[0] + mixture.means[1]) / 2), head, geometry)
    return Tissues(inside, whole, mixture, ventricles, voxel_ml(geometry))


def _terms(places: NDArray[np.float64], grid: Geometry) -> NDArray[np.float64]:
    """Return (N, terms) products of Legendre polynomials of x, y, z about the middle of the head."""
    middle = grid.to_patient((np.asarray(grid.shape)[np.newaxis] - 1) / 2)[0]
    x = np.clip((places - middle) / _HALF_HEAD_MM, -1.2, 1.2)
    one = np.polynomial.legendre.legvander(x, _DEGREE)
    powers = [(i, j, k) for i in range(_DEGREE + 1) for j in range(_DEGREE + 1 - i) for k in range(_DEGREE + 1 - i - j)]
    return np.stack([one[:, 0, i] * one[:, 1, j] * one[:, 2, k] for i, j, k in powers], axis=1)


def _field_weights(even: Array, white: Array, mixture: Mixture) -> NDArray[np.float64]:
    """Return (2, N): how much each voxel tells of the field as white and as grey matter."""
    pure = [np.interp(even, mixture.brightness, mixture.pure[tissue]) for tissue in (2, 1)]
    as_white = pure[0] * (white > 0.3) * (even < mixture.means[2] + 2.5 * mixture.spreads[2])
    as_grey = _GREY_WEIGHT * pure[1] * (pure[1] > 0.8) * (white < 0.7)
    return np.stack([np.where(as_white >= as_grey, as_white, 0), np.where(as_white < as_grey, as_grey, 0)])


def _least_squares(
    terms: NDArray[np.float64], target: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    normal = terms.T @ (terms * weights[:, None])
    steady = 1e-3 * weights.sum() / len(normal) * np.eye(len(normal))
    return np.asarray(np.linalg.solve(normal + steady, terms.T @ (weights * target)), dtype=np.float64)


def _restarted(
    start: NDArray[np.float64], even: Array, white: Array
) -> NDArray[np.float64]:  # fmt: skip
    """Return the means to begin the next fit with: white matter as bright as where the network is surest of it."""
    level = float(np.median(even[white >= np.quantile(white, 0.9)]))
    return np.asarray(start * level / start[2], dtype=np.float64)
