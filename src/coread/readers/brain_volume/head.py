"""Where the head lies in a volume, and what the tissue network says of it on a grid along the patient's axes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Volume
from coread.domain.reading import ModelSession
from coread.imaging.resampling import resampled_array
from coread.readers.brain_volume.outputs import HEAD_MM, HEAD_SHAPE, INPUT, TISSUE

Array = NDArray[np.float32]
_SEARCH_MM = 6.0
_TOP_TO_MIDDLE_MM = 88.0
"""From the top of the scalp to the middle of the skull's cavity, roughly: the first look only has to be near."""
_LEAST_TOP_VOXELS = 25
_LEAST_INSIDE = 4000
"""Voxels of 4 mm: 256 ml. Fewer are no head."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """The probabilities of the tissues, (1 + tissues, *HEAD_SHAPE) in the order of the network, and their grid."""

    shares: Array
    grid: Geometry

    def inside(self) -> Array:
        """Return how probable it is that a voxel lies inside the skull."""
        return np.asarray(1 - self.shares[0])

    def on(self, values: Array, geometry: Geometry) -> Array:
        """Return values of this grid on another one, 0 outside."""
        return np.asarray(resampled_array(values, self.grid, geometry), dtype=np.float32)


def upright_grid(middle_mm: NDArray[np.float64], shape: tuple[int, int, int], step_mm: float, frame: str) -> Geometry:
    """Return a grid whose axes run to superior, posterior and left, with its middle at a place (LPS mm)."""
    matrix = np.zeros((3, 4))
    matrix[2, 0] = matrix[1, 1] = matrix[0, 2] = step_mm
    half = (np.asarray(shape) - 1) / 2 * step_mm
    matrix[:, 3] = middle_mm - half[::-1]
    return Geometry(shape, affine_of(matrix), frame)


def covering_grid(geometry: Geometry, step_mm: float) -> Geometry:
    """Return such a grid over the whole of another one."""
    last = np.asarray(geometry.shape) - 1
    corners = np.stack(np.meshgrid(*[(0, n) for n in last], indexing="ij"), axis=-1).reshape(-1, 3)
    places = geometry.to_patient(corners)
    low, high = places.min(axis=0), places.max(axis=0)
    counts = np.maximum(1, np.ceil((high - low) / step_mm).astype(int) + 1)[::-1]
    shape = (int(counts[0]), int(counts[1]), int(counts[2]))
    return upright_grid((low + high) / 2, shape, step_mm, geometry.frame_of_reference_uid)


def sampled(volume: Volume, grid: Geometry) -> Array:
    """Return the values of a volume on a grid, smoothed where the grid is coarser; 0 outside."""
    found = resampled_array(volume.voxels, volume.geometry, grid, smooth=True, outside=float(volume.voxels.min()))
    return np.asarray(found, dtype=np.float32)


def first_middle(volume: Volume) -> NDArray[np.float64] | None:
    """Return about where the middle of the skull's cavity is, LPS mm, from the outline of the head alone."""
    from scipy import ndimage

    grid = covering_grid(volume.geometry, _SEARCH_MM)
    coarse = sampled(volume, grid)
    solid = coarse > 0.5 * _threshold(coarse)
    parts, count = ndimage.label(ndimage.binary_opening(solid) if min(solid.shape) > 2 else solid)
    if not count:
        return None
    head = parts == 1 + int(np.argmax(ndimage.sum_labels(solid, parts, range(1, count + 1))))
    tall = np.flatnonzero(head.sum(axis=(1, 2)) >= _LEAST_TOP_VOXELS)
    if not len(tall):
        return None
    reach = round(2 * _TOP_TO_MIDDLE_MM / _SEARCH_MM)
    places = np.argwhere(head[max(0, tall[-1] - reach) : tall[-1] + 1])
    low, high = np.percentile(places[:, 1:], (2, 98), axis=0)
    down = tall[-1] - _TOP_TO_MIDDLE_MM / _SEARCH_MM
    return np.asarray(grid.to_patient(np.array([[down, *((low + high) / 2)]]))[0])


def _threshold(values: Array) -> float:
    """Return the brightness that parts the values into the two most different groups (Otsu 1979)."""
    counts, edges = np.histogram(values, 128)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * middles)
    apart = sums / np.maximum(below, 1) - (sums[-1] - sums) / np.maximum(above, 1)
    return float(middles[int(np.argmax(below.astype(np.float64) * above * apart**2))])


def found_head(session: ModelSession, volume: Volume) -> Head | None:
    """Return what the network says, looked at twice: the second time with the cavity in the middle; or no head."""
    middle = first_middle(volume)
    head = None
    for _ in range(2):
        if middle is None:
            return None
        head = _seen(session, volume, middle)
        inside = np.argwhere(head.inside() > 0.5)
        if len(inside) < _LEAST_INSIDE:
            return None
        middle = head.grid.to_patient(inside.mean(axis=0, keepdims=True))[0]
    return head


def _seen(session: ModelSession, volume: Volume, middle: NDArray[np.float64]) -> Head:
    grid = upright_grid(middle, HEAD_SHAPE, HEAD_MM, volume.geometry.frame_of_reference_uid)
    values = sampled(volume, grid)
    low, high = np.percentile(values, (1.0, 99.5))
    image = np.clip((values - low) / max(float(high - low), 1e-6), 0, 1).astype(np.float32)
    logits = session.run(TISSUE, {INPUT: image[np.newaxis, np.newaxis]})[TISSUE][0].astype(np.float32)
    powers = np.exp(logits - logits.max(axis=0))
    return Head(np.asarray(powers / powers.sum(axis=0), dtype=np.float32), grid)
