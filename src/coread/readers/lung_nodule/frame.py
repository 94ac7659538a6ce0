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


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Blocks along one axis, in the middle of it: a mirrored scan then gives mirrored blocks."""

    width: int
    count: int
    first: int
    odd: bool
    """An odd voxel is left over: the mean of the blocks that begin at ``first`` and one voxel later is the middle."""

    def center(self) -> float:
        """Return the middle of the first block."""
        return self.first + (self.width - 1) / 2 + 0.5 * self.odd

    def means(self, values: Floats, axis: int) -> Floats:
        """Return the means of the blocks along an axis."""
        out = self._means(np.moveaxis(values, axis, -1), self.first)
        if self.odd:
            out = (out + self._means(np.moveaxis(values, axis, -1), self.first + 1)) / np.float32(2)
        return np.moveaxis(out, -1, axis)

    def _means(self, values: Floats, first: int) -> Floats:
        part = values[..., first : first + self.count * self.width]
        out: Floats = part.reshape(*part.shape[:-1], self.count, self.width).mean(axis=-1, dtype=np.float32)
        return out


def thinned(frame: Frame, wanted_mm: float) -> tuple[Floats, Geometry]:
    """Return means over blocks of whole voxels, about ``wanted_mm`` wide; what is left over is dropped at both ends."""
    deep, down, across = (
        _blocks(n, max(1, round(wanted_mm / step))) for n, step in zip(frame.hu.shape, frame.step_mm(), strict=True)
    )
    out = np.empty((deep.count, down.count, across.count), dtype=np.float32)
    one = replace(deep, count=1, first=0)
    for k in range(deep.count):
        start = deep.first + k * deep.width
        plane = one.means(frame.hu[start : start + deep.width + deep.odd], 0)[0]
        out[k] = across.means(down.means(plane, 0), 1)
    matrix = frame.geometry.matrix()
    matrix[:3, 3] += matrix[:3, :3] @ np.array([deep.center(), down.center(), across.center()])
    matrix[:3, :3] *= np.array([deep.width, down.width, across.width])
    return out, replace(frame.geometry, shape=(deep.count, down.count, across.count), affine=affine_of(matrix))


def _blocks(size: int, width: int) -> _Blocks:
    width = min(width, size)
    left = size % width
    return _Blocks(width, size // width, left // 2, bool(left % 2))


def _nearest(directions: NDArray[np.float64]) -> tuple[int, int, int]:
    """Return which source axis is z, y, x: of all six ways the one whose axes lie closest."""
    from itertools import permutations

    best = max(permutations(range(3)), key=lambda way: sum(abs(directions[2 - k, way[k]]) for k in range(3)))
    return best[0], best[1], best[2]
