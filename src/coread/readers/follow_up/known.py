"""Lesions that are known from an earlier study, and what becomes of each of them on the current date."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.codes import Code
from coread.domain.findings import Region, TrackingId
from coread.domain.geometry import Geometry
from coread.domain.images import Volume
from coread.imaging.resampling import resampled_array
from coread.readers.follow_up.outline import Outline, outlined
from coread.readers.follow_up.placing import Matrix, cube, placed_nearby
from coread.readers.follow_up.words import ABNORMAL

Mask = NDArray[np.bool_]
_SAME_LESION = 0.3
"""Overlap (Dice) from which two outlines of one date are taken for one lesion."""
_STEPS_PER_RADIUS = 8.0
_STEP_MM = (0.8, 2.0)
_MARGIN_MM = 14.0
_FACE, _LEAST_IN_FIELD = 0.5, 0.98
"""Voxels beyond the middle of the outermost ones that belong to a scan; share of a lesion that must lie in it, or its
cut would be called shrinkage."""


class State(IntEnum):
    """What became of a known lesion."""

    FOLLOWED = 0
    GONE = 1
    NOT_OUTLINED = 2
    """Nothing at its place stands out as it did."""
    NOT_KNOWN_AGAIN = 3
    """On its own date the calculated outline is not the one that was marked: it is not one to be calculated."""
    OUTSIDE = 4
    """Not, or not wholly, in the field of the current scan."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """One lesion that is outlined in the earlier study."""

    label: str
    type: Code
    tracking: TrackingId
    mask: Mask
    """On the grid of the earlier volume."""


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """Where a known lesion is looked for: a cube in the earlier scan and where it lies in the current one."""

    lesion: Known
    grid: Geometry
    to_now: Matrix
    in_field: bool

    @property
    def step_mm(self) -> float:
        """Return the side of a voxel."""
        return self.grid.spacing_mm()[0]


def known_lesions(regions: Sequence[Region], volume: Volume) -> tuple[Known, ...]:
    """Return the outlined lesions that lie in a volume, each once; anatomy that was outlined is none."""
    found: list[Known] = []
    for region in regions:
        if region.category.value != ABNORMAL.value or region.mask.ndim != 3:
            continue
        mask = _on_volume(region, volume)
        if mask is None or np.count_nonzero(mask) < 8 or any(_dice(mask, one.mask) > _SAME_LESION for one in found):
            continue
        found.append(Known(region.label, region.type, region.tracking, mask))
    return tuple(found)


def _on_volume(region: Region, volume: Volume) -> Mask | None:
    """Return the mask on the grid of the volume: by the images that it was drawn on, or by its place in one frame."""
    places = {(ref.sop_instance_uid, ref.frame): k for k, ref in enumerate(volume.references())}
    slices = [places.get((ref.sop_instance_uid, ref.frame)) for ref in region.images]
    if all(k is not None for k in slices) and region.mask.shape[1:] == volume.voxels.shape[1:]:
        mask = np.zeros(volume.voxels.shape, dtype=np.bool_)
        for k, plane in zip(slices, region.mask, strict=True):
            mask[k] |= plane
        return _turned_like(mask, region, volume)
    grid = region.geometry
    if grid is None or grid.frame_of_reference_uid != volume.geometry.frame_of_reference_uid:
        return None
    share = resampled_array(region.mask.astype(np.float32), grid, volume.geometry)
    return np.asarray(share > 0.5)


def _turned_like(mask: Mask, region: Region, volume: Volume) -> Mask:
    """Turn rows and columns where the volume's run the other way than those of the images."""
    if region.geometry is None:
        return mask
    here, there = volume.geometry.matrix()[:3, :3], region.geometry.matrix()[:3, :3]
    flips = [axis for axis in (1, 2) if float(here[:, axis] @ there[:, axis]) < 0]
    return np.asarray(np.flip(mask, tuple(flips))) if flips else mask


def _dice(one: Mask, other: Mask) -> float:
    both, summed = np.count_nonzero(one & other), np.count_nonzero(one) + np.count_nonzero(other)
    return 2 * int(both) / max(1, int(summed))


def site_of(lesion: Known, before: Volume, now: Volume, to_now: Matrix) -> Site:
    """Place a cube around a lesion, and find where its surroundings went."""
    places = before.geometry.to_patient(np.argwhere(lesion.mask))
    middle = (places.max(axis=0) + places.min(axis=0)) / 2
    voxel_mm3 = abs(float(np.linalg.det(before.geometry.matrix()[:3, :3])))
    radius = float((3 * len(places) * voxel_mm3 / (4 * np.pi)) ** (1 / 3))
    step = float(np.clip(radius / _STEPS_PER_RADIUS, *_STEP_MM))
    extent = float(np.ptp(places, axis=0).max()) / 2
    grid = cube(middle, extent + 0.9 * radius + _MARGIN_MM, step, before.geometry.frame_of_reference_uid)
    moved = placed_nearby(before, now, middle, to_now)
    # By the motion of the whole scan too: that of the surroundings is in doubt where the field cuts them.
    seen = min(_share_in(places, motion, now.geometry) for motion in (to_now, moved))
    return Site(lesion, grid, moved, seen >= _LEAST_IN_FIELD)


def _share_in(places: NDArray[np.float64], motion: Matrix, field: Geometry) -> float:
    index = field.to_index(places @ motion[:3, :3].T + motion[:3, 3])
    inside = ((index >= -_FACE) & (index <= np.array(field.shape) - 1 + _FACE)).all(axis=1)
    return float(inside.mean())


def site_arrays(number: int, site: Site, before: Volume, now: Volume) -> dict[str, NDArray[Any]]:
    """Return what is calculated with: both dates and the seed in the cube (z, y, x), and the side of a voxel."""
    seed = resampled_array(site.lesion.mask.astype(np.float32), before.geometry, site.grid) > 0.5
    values = {
        "before": resampled_array(before.voxels, before.geometry, site.grid, outside=float(before.voxels.min())),
        "now": resampled_array(
            now.voxels, now.geometry, site.grid, transform=site.to_now, outside=float(now.voxels.min())
        ),
    }
    arrays: dict[str, NDArray[Any]] = {f"{name}_{number}": part.astype(np.float32) for name, part in values.items()}
    return arrays | {
        f"seed_{number}": seed,
        f"step_mm_{number}": np.array([site.step_mm]),
        f"in_field_{number}": np.array([site.in_field]),
    }


def followed(arrays: Mapping[str, NDArray[Any]], number: int, parameters: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Outline one lesion on both dates and say what became of it."""
    seed = np.asarray(arrays[f"seed_{number}"], dtype=np.bool_)
    step = float(arrays[f"step_mm_{number}"][0])
    earlier, current = (np.asarray(arrays[f"{name}_{number}"], dtype=np.float32) for name in ("before", "now"))
    was = outlined(earlier, seed, step, parameters, may_change=False)
    if _dice(was.mask, seed) < float(parameters["least_overlap"]):
        return _said(number, State.NOT_KNOWN_AGAIN, seed, np.zeros_like(seed), cut=False)
    if not bool(arrays[f"in_field_{number}"][0]):
        return _said(number, State.OUTSIDE, was.mask, np.zeros_like(seed), cut=False)
    now = outlined(current, was.mask, step, parameters, may_change=True)
    state = _state(current, was, now, parameters)
    mask = now.mask if state is State.FOLLOWED else np.zeros_like(seed)
    return _said(number, state, was.mask, mask, cut=now.share_at_limit >= float(parameters["grown_share"]))


def _said(number: int, state: State, was: Mask, now: Mask, *, cut: bool) -> dict[str, NDArray[Any]]:
    return {f"was_{number}": was, f"is_{number}": now, f"state_{number}": np.array([int(state), int(cut)])}


def _state(current: NDArray[np.float32], was: Outline, now: Outline, parameters: Mapping[str, Any]) -> State:
    """Compare the values of the two outlines: another tissue is another thing, or what the lesion left behind."""
    lesion, around = was.value, was.around
    apart = float(parameters["other_tissue_share"]) * abs(lesion - around)
    if now.mask.any() and abs(now.value - lesion) < apart:
        return State.FOLLOWED
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(was.mask)
    middle = float(np.median(current[depth >= 0.6 * depth.max()]))
    return State.GONE if abs(middle - lesion) >= apart else State.NOT_OUTLINED
