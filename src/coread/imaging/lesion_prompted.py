"""What each kind of prompt says of a lesion's likely shape, as a distance that is 1 at its likely border.

A point says nothing of the size: the most stable patch of like values around it does.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import Volume
from coread.imaging.errors import NothingSegmented
from coread.imaging.lesion_region import Floats, Mask, Region, region_around
from coread.imaging.prompts import BoxPrompt, Doubles, LinePrompt, PointPrompt, Prompt

_ACROSS_LINE = 0.84
"""A lesion's likely size across its longest diameter, as a share of it."""
_OVER_LINE = 1.06
_BOX_RIM, _LINE_RIM = 0.88, 0.97
"""Boxes are drawn a little wide, the ends of a line lie on the border."""
_REACHES_MM = (8.0, 16.0, 32.0)
"""How far from a point its patch is looked for, one after the other: farther out it would be an organ."""
_STEPS_TO_REACH = 18
_BANDS = 1.2 ** np.arange(28)
"""Half widths of the band of like values, as multiples of the noise."""
_APART = 3
"""Bands between the two patches whose sizes are compared."""
_STABLE = 0.6
"""A patch that grows by less than this share while its band becomes twice as wide has a border."""
_FEWEST = 12


@dataclass(frozen=True, slots=True, eq=False)
class Likely:
    """A lesion's likely extent: an ellipsoid around ``center_mm``, nothing of it outside ``box_mm``."""

    box_mm: Doubles
    """(2, 3), LPS mm."""
    center_mm: Doubles
    half_mm: Doubles
    """(3,): half axes along the patient's axes; of a line: (along, across, across)."""
    rim: float
    """Where on the distance the border is most likely."""
    direction: Doubles | None = None
    """(3,): where the first half axis points; None: the axes are the patient's."""

    def distance(self, region: Region) -> Floats:
        """Return the distance (z, y, x): 0 in the middle, 1 where the ellipsoid ends."""
        z, y, x = region.offsets_mm(self.center_mm)
        if self.direction is None:
            squares = (z / self.half_mm[2]) ** 2 + (y / self.half_mm[1]) ** 2 + (x / self.half_mm[0]) ** 2
            return np.asarray(np.sqrt(squares), dtype=np.float32)
        along = z * self.direction[2] + y * self.direction[1] + x * self.direction[0]
        across = np.maximum(z**2 + y**2 + x**2 - along**2, 0.0)
        squares = (along / self.half_mm[0]) ** 2 + across / self.half_mm[1] ** 2
        return np.asarray(np.sqrt(squares), dtype=np.float32)

    def reach(self, region: Region) -> Floats:
        """Return the distance (z, y, x) at which a voxel is surely outside, above 1: of a line, whose other extents
        are not known, that of the ball around it."""
        if self.direction is None:
            return self.distance(region)
        z, y, x = region.offsets_mm(self.center_mm)
        return np.asarray(np.sqrt(z**2 + y**2 + x**2) / self.half_mm[0], dtype=np.float32)

    def beyond(self, region: Region) -> Floats:
        """Return how far out of the box each voxel lies (z, y, x): 1 on its faces, less inside."""
        z, y, x = region.offsets_mm(self.box_mm.mean(axis=0))
        half = np.ptp(self.box_mm, axis=0) / 2
        far = np.maximum(np.abs(z) / half[2], np.maximum(np.abs(y) / half[1], np.abs(x) / half[0]))
        return np.asarray(far, dtype=np.float32)


def likely_extent(volume: Volume, prompt: Prompt) -> Likely:
    """Return what a prompt says; raises NothingSegmented where no patch around a point stands out."""
    if isinstance(prompt, BoxPrompt):
        return _in_box(prompt.corners())
    if isinstance(prompt, LinePrompt):
        return _along(prompt)
    return _in_box(_stable_box(volume, prompt))


def _in_box(box_mm: Doubles) -> Likely:
    return Likely(box_mm, box_mm.mean(axis=0), np.ptp(box_mm, axis=0) / 2, _BOX_RIM)


def _along(line: LinePrompt) -> Likely:
    ends, length = line.corners(), line.length_mm()
    center = ends.mean(axis=0)
    ball = np.stack([center - _OVER_LINE * length / 2, center + _OVER_LINE * length / 2])
    half = np.array([length / 2, _ACROSS_LINE * length / 2, _ACROSS_LINE * length / 2])
    return Likely(ball, center, half, _LINE_RIM, (ends[1] - ends[0]) / length)


def _stable_box(volume: Volume, point: PointPrompt) -> Doubles:
    """Return the box (2, 3), LPS mm, of the patch around a point whose size depends least on how like is like."""
    at = point.corners()[0]
    best: tuple[float, Doubles] | None = None
    for reach in _REACHES_MM:
        if reach < 3 * min(volume.geometry.spacing_mm()):
            continue
        around = np.stack([at - reach, at + reach])
        region = region_around(volume, around, across=2 * _STEPS_TO_REACH, beside=0.0)
        found = _most_stable(region, at)
        if found is None:
            continue
        growth, patch = found
        if best is None or growth < best[0]:
            best = (growth, _box_of(patch, region))
        if growth < _STABLE:
            break
    if best is None:
        raise NothingSegmented("no patch of like values around the point has a border: draw a line or a box instead")
    return best[1]


def _most_stable(region: Region, at: Doubles) -> tuple[float, Mask] | None:
    from scipy import ndimage

    values = ndimage.gaussian_filter(region.values, 0.7)
    z, y, x = region.offsets_mm(at)
    near = z**2 + y**2 + x**2
    middle = np.unravel_index(int(near.argmin()), near.shape)
    core = near <= (1.8 * region.step_mm) ** 2
    value = float(np.median(values[core]))
    fine = region.values - ndimage.gaussian_filter(region.values, 1.5)
    around = near <= (region.step_mm * _STEPS_TO_REACH / 2) ** 2
    noise = max(1.4826 * float(np.median(np.abs(fine[around]))), 0.004 * float(np.ptp(values)), 1e-6)
    patches = _patches(np.abs(values - value), noise, middle)
    sizes = np.array([np.count_nonzero(patch) for patch in patches])
    best: tuple[float, Mask] | None = None
    for number in range(_APART, len(patches) - _APART):
        if sizes[number] < _FEWEST or _touches_border(patches[number]):
            continue
        growth = float(sizes[number + _APART] - sizes[number - _APART]) / sizes[number]
        if best is None or growth < best[0]:
            best = (growth, patches[number])
    return best


def _patches(apart: Floats, noise: float, middle: Any) -> list[Mask]:
    """Return for each band the connected voxels around the middle whose values lie in it, thin bridges cut."""
    from scipy import ndimage

    patches = []
    for band in _BANDS * noise:
        like = apart <= band
        opened = ndimage.binary_opening(like)
        opened[middle] = like[middle]
        labels = ndimage.label(opened)[0]
        patches.append(labels == labels[middle])
        if _touches_border(patches[-1]) and len(patches) > _APART:
            break
    return patches + [patches[-1]] * (_APART if not _touches_border(patches[-1]) else 0)


def _touches_border(patch: Mask) -> bool:
    return any(bool(patch.take(end, axis).any()) for axis in range(3) for end in (0, -1))


def _box_of(patch: Mask, region: Region) -> Doubles:
    """Return the box around a patch, one step wider on each side, LPS mm."""
    at: NDArray[np.int64] = np.argwhere(patch)
    places = region.grid.to_patient(np.stack([at.min(axis=0) - 1.5, at.max(axis=0) + 1.5]))
    return np.stack([places.min(axis=0), places.max(axis=0)])
