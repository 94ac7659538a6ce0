"""One way round for every scan: head up, back behind, left to the left; nothing is interpolated, views only."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Volume

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A scan as (z, y, x): z rises to the head, y to the back, x to the patient's left (LPS).

    The same anatomy gives the same arrays whichever way the axes of the source run.
    """

    hu: Floats
    """A view of the voxels of the scan; never written to."""
    geometry: Geometry
    axes: tuple[int, int, int]
    """Which axis of the source is z, y, x."""
    turned: tuple[bool, bool, bool]
    """Whether z, y, x run against the axis of the source."""

    def step_mm(self) -> tuple[float, float, float]:
        """Return the distance of voxels along z, y, x."""
        return self.geometry.spacing_mm()

    def to_source(self, mask: Mask) -> Mask:
        """Return a mask (z, y, x) on the grid of the source."""
        turned = mask[tuple(slice(None, None, -1) if turn else slice(None) for turn in self.turned)]
        return np.ascontiguousarray(np.transpose(turned, np.argsort(self.axes)))

    def part(self, low: NDArray[np.int64], high: NDArray[np.int64]) -> tuple[Floats, Geometry]:
        """Return the voxels from ``low`` to before ``high`` (z, y, x) with their geometry."""
        place = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        return self.hu[place], cut(self.geometry, low, high)


def framed(volume: Volume) -> Frame:
    """Turn a scan the one way round. The axis nearest to the patient's becomes it; oblique scans stay oblique."""
    matrix = volume.geometry.matrix()
    directions = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    axes = _nearest(directions)
    signs = [directions[lps, axis] < 0 for lps, axis in zip((2, 1, 0), axes, strict=True)]
    hu = np.transpose(volume.voxels, axes)
    affine = matrix.copy()
    affine[:3, :3] = matrix[:3, list(axes)]
    for number, against in enumerate(signs):
        if against:
            affine[:3, 3] += affine[:3, number] * (hu.shape[number] - 1)
            affine[:3, number] *= -1
    hu = hu[tuple(slice(None, None, -1) if against else slice(None) for against in signs)]
    shape = (hu.shape[0], hu.shape[1], hu.shape[2])
    geometry = replace(volume.geometry, shape=shape, affine=affine_of(affine))
    return Frame(hu, geometry, axes, (bool(signs[0]), bool(signs[1]), bool(signs[2])))


def cut(geometry: Geometry, low: NDArray[np.int64], high: NDArray[np.int64]) -> Geometry:
    """Return the geometry of a part of a grid, from ``low`` to before ``high``."""
    matrix = geometry.matrix()
    matrix[:3, 3] = geometry.to_patient(np.asarray(low, dtype=np.float64)[np.newaxis])[0]
    size = np.asarray(high) - np.asarray(low)
    return replace(geometry, shape=(int(size[0]), int(size[1]), int(size[2])), affine=affine_of(matrix))


def thinned(frame: Frame, wanted_mm: float) -> tuple[Floats, Geometry]:
    """Return means over blocks of whole voxels, about ``wanted_mm`` wide; what is left over at the end is dropped."""
    factors = [max(1, round(wanted_mm / step)) for step in frame.step_mm()]
    shape = [max(1, n // factor) for n, factor in zip(frame.hu.shape, factors, strict=True)]
    factors = [min(factor, n) for factor, n in zip(factors, frame.hu.shape, strict=True)]
    out = np.empty(shape, dtype=np.float32)
    for k in range(shape[0]):
        slab = frame.hu[k * factors[0] : (k + 1) * factors[0], : shape[1] * factors[1], : shape[2] * factors[2]]
        blocks = slab.mean(axis=0, dtype=np.float32).reshape(shape[1], factors[1], shape[2], factors[2])
        out[k] = blocks.mean(axis=(1, 3))
    matrix = frame.geometry.matrix()
    matrix[:3, 3] += matrix[:3, :3] @ ((np.asarray(factors) - 1) / 2)
    matrix[:3, :3] *= np.asarray(factors)
    return out, replace(frame.geometry, shape=(shape[0], shape[1], shape[2]), affine=affine_of(matrix))


def _nearest(directions: NDArray[np.float64]) -> tuple[int, int, int]:
    """Return which source axis is z, y, x: of all six ways the one whose axes lie closest."""
    from itertools import permutations

    best = max(permutations(range(3)), key=lambda way: sum(abs(directions[2 - k, way[k]]) for k in range(3)))
    return best[0], best[1], best[2]
