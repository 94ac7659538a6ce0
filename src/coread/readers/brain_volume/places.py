"""Where things lie in a head: by distance from the middle of the skull's cavity, in units of its size.

Taken from two heads: the ICBM 2009a average and the project's phantom. A search or a check always follows.
"""

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry
from coread.readers.brain_volume.head import Head

Mask = NDArray[np.bool_]
_USUAL_ML = 1500.0
HIPPOCAMPUS_MM = (-21.0, 5.0, 24.5)
"""Superior, posterior, away from the midline, of the middle of a hippocampus in a head of the usual size."""
SEARCH_MM = ((0.0, 0.0), (0.0, -8.0), (0.0, 8.0), (-7.0, 0.0), (7.0, 0.0))
"""Superior and posterior steps of the search for it."""
_VENTRICLES_MM = ((-22.0, 33.0), (-56.0, 46.0), (0.0, 38.0))
_SEEDS_MM = ((-2.0, 26.0), (-45.0, 24.0), (2.0, 20.0))
_FISSURE_MM = (24.0, 4.0)
"""Above this height and this near to the midline fluid is that of the fissure."""
_LEAST_DEPTH_MM = 14.0


def middle_and_size(head: Head) -> tuple[NDArray[np.float64], float]:
    """Return the middle of the cavity, LPS mm, and its size: 1 for 1,500 ml."""
    inside = head.inside() > 0.5
    step = float(np.prod(head.grid.spacing_mm())) / 1000
    middle = head.grid.to_patient(np.argwhere(inside).mean(axis=0, keepdims=True))[0]
    return middle, float(np.cbrt(inside.sum() * step / _USUAL_ML))


def ventricles_in(fluid: Mask, head: Head, geometry: Geometry) -> Mask:
    """Return what of the fluid (on the grid of ``geometry``) belongs to the lateral and third ventricles."""
    from scipy import ndimage

    middle, size = middle_and_size(head)
    depth = head.on(np.asarray(ndimage.distance_transform_edt(head.inside() > 0.5) * head.grid.spacing_mm()[0],
                               dtype=np.float32), geometry)  # fmt: skip
    candidates = fluid & (depth > _LEAST_DEPTH_MM * size)
    index = np.argwhere(candidates)
    if not len(index):
        return candidates
    away = (geometry.to_patient(index) - middle) / size
    place = np.stack([away[:, 2], away[:, 1], np.abs(away[:, 0])], axis=1)
    kept = _within(place, _VENTRICLES_MM) & ~((place[:, 0] > _FISSURE_MM[0]) & (place[:, 2] < _FISSURE_MM[1]))
    mask = np.zeros_like(candidates)
    mask[tuple(index[kept].T)] = True
    parts, count = ndimage.label(mask)
    if not count:
        return mask
    seeds = index[kept & _within(place, _SEEDS_MM)]
    numbers, hits = np.unique(parts[tuple(seeds.T)], return_counts=True)
    sizes = np.bincount(parts.ravel())
    chosen = [n for n, hit in zip(numbers, hits, strict=True) if n and hit >= 0.15 * sizes[n]]
    return np.isin(parts, chosen)


def _within(place: NDArray[np.float64], box: tuple[tuple[float, float], ...]) -> Mask:
    low, high = np.asarray(box).T
    return np.asarray(((place >= low) & (place <= high)).all(axis=1))
