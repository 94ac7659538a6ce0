"""The outline of a nodule and its volume, classical: adaptive threshold, connected part, vessels cut, partial volume.

The existing two-dimensional outlining network is not used: it wants crops whose grey scale is stretched one by one and
draws one slice at a time, so what it draws is no volume in millimetres.

Steps, after Kostis 2003 (IEEE Trans Med Imaging 22:1259) and Kuhnigk 2006 (IEEE Trans Med Imaging 25:417): values of
lung and nodule from the scan itself, half way between them is the border, an opening cuts vessels and the chest wall,
and the volume weighs each voxel at the border by how far its value lies from lung to nodule.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry
from coread.imaging.resampling import resampled_array
from coread.readers.lung_nodule.frame import Floats, Frame, Mask
from coread.readers.lung_nodule.lungs import Lungs

_SOLID_FROM_HU = -250.0
"""A core above this holds solid tissue."""
_LEAST_CONTRAST_HU = 110.0
_HALO_HU = 130.0
"""A shell around the dense part whose median lies this far above lung is ground glass; vessels fill less of it."""
_HALO_MM = 0.8
"""Width of that shell."""
_GLASS_HU = -600.0
_OPENING_SHARE, _HALO_OPENING_SHARE, _LEAST_OPENING_MM = 0.4, 0.5, 1.2
_SMOOTH_MM = 0.5


class Density(StrEnum):
    """What a nodule is made of (Hansell 2008, Radiology 246:697)."""

    SOLID = "solid"
    PART_SOLID = "part-solid"
    GROUND_GLASS = "ground-glass"


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """One nodule's outline on a part of the scan (z, y, x)."""

    mask: Mask
    low: NDArray[np.int64]
    """Where the part begins in the scan."""
    geometry: Geometry
    density: Density
    volume_mm3: float
    """With partial volumes."""
    solid_mm3: float
    """Of it solid; 0 for ground glass."""
    mean_hu: float
    core_hu: float
    lung_hu: float
    center: NDArray[np.float64]
    """Centre of mass, LPS mm."""

    def diameter_mm(self) -> float:
        """Return the diameter of the ball of the same volume; 0 where more is darker than lung than brighter."""
        return float((6 * max(self.volume_mm3, 0.0) / np.pi) ** (1 / 3))


@dataclass(frozen=True, slots=True, eq=False)
class _Field:
    hu: Floats
    smooth: Floats
    lung: Mask
    seed: tuple[int, int, int]
    step: tuple[float, float, float]
    away: NDArray[np.float64]
    """Distance of each voxel from the seed, mm."""
    voxel_mm3: float

    def reach_mm(self) -> float:
        """Return how far beyond the border kernel and slice thickness carry a nodule's mass."""
        return 1.4 + 0.5 * max(self.step)


def outlined(frame: Frame, lungs: Lungs, place: tuple[float, float, float], radius_mm: float) -> Outline | None:
    """Draw the nodule at a place; None where nothing stands out from the lung there."""
    reach = np.clip(3 * radius_mm + 6, 12, 40) / np.asarray(frame.step_mm())
    middle = frame.geometry.to_index(np.array([place]))[0]
    low = np.maximum(np.floor(middle - reach), 0).astype(np.int64)
    high = np.minimum(np.ceil(middle + reach) + 1, frame.hu.shape).astype(np.int64)
    if (high - low < 3).any():
        return None
    hu, geometry = frame.part(low, high)
    field = _field(np.ascontiguousarray(hu), geometry, lungs, middle - low)
    lung_hu = _lung_value(field, radius_mm)
    core_hu = _core_value(field, radius_mm)
    if lung_hu is None or core_hu - lung_hu < _LEAST_CONTRAST_HU:
        return None
    dense = core_hu > _SOLID_FROM_HU
    border = (lung_hu + (core_hu if dense else min(core_hu, _GLASS_HU + 80))) / 2
    mask = _part_at(field, border, radius_mm)
    if mask is None:
        return None
    if not dense:
        return _made(field, mask, (low, geometry), Density.GROUND_GLASS, (lung_hu, core_hu))
    if _has_halo(field, mask, lung_hu):
        halo = _part_at(field, (lung_hu + _GLASS_HU) / 2, radius_mm, _HALO_OPENING_SHARE)
        if halo is not None and np.count_nonzero(halo) > np.count_nonzero(mask):
            return _made(field, halo, (low, geometry), Density.PART_SOLID, (lung_hu, core_hu))
    return _made(field, mask, (low, geometry), Density.SOLID, (lung_hu, core_hu))


def _field(hu: Floats, geometry: Geometry, lungs: Lungs, middle: NDArray[np.float64]) -> _Field:
    from scipy.ndimage import gaussian_filter

    step = geometry.spacing_mm()
    smooth = gaussian_filter(hu, [_SMOOTH_MM / s for s in step], mode="nearest")
    share = resampled_array(lungs.mask.astype(np.float32), lungs.geometry, geometry, outside=0.0)
    at = np.clip(np.rint(middle).astype(int), 0, np.asarray(hu.shape) - 1)
    axes = np.ogrid[tuple(slice(0, n) for n in hu.shape)]
    squares = [((axis - m) * s) ** 2 for axis, m, s in zip(axes, middle, step, strict=True)]
    away = np.sqrt(squares[0] + squares[1] + squares[2])
    return _Field(hu, smooth, np.asarray(share > 0.5), (int(at[0]), int(at[1]), int(at[2])), step, away,
                  abs(float(np.linalg.det(geometry.matrix()[:3, :3]))))  # fmt: skip


def _lung_value(field: _Field, radius_mm: float) -> float | None:
    around = field.lung & (field.away > radius_mm + 3) & (field.smooth < -700)
    if np.count_nonzero(around) < 30:
        around = field.lung & (field.smooth < -600)
    return float(np.median(field.hu[around])) if np.count_nonzero(around) >= 30 else None


def _core_value(field: _Field, radius_mm: float) -> float:
    """Return what seven tenths around the middle stay below: the nodule's own value, where little else is mixed in."""
    near = field.away <= max(0.6 * radius_mm, 1.01 * max(field.step))
    return float(np.quantile(field.smooth[near], 0.7))


def _part_at(field: _Field, border: float, radius_mm: float, share: float = _OPENING_SHARE) -> Mask | None:
    """Return what is above the border and hangs together with the middle, without vessels and wall."""
    from scipy.ndimage import distance_transform_edt, label

    above = (field.smooth > border) & field.lung & (field.away < 2.2 * radius_mm + 4)
    if not above.any():
        return None
    depth = distance_transform_edt(np.pad(above, 1), sampling=field.step)[1:-1, 1:-1, 1:-1]
    near = field.away <= max(radius_mm, 1.5 * max(field.step))
    deepest = float(depth[near & above].max(initial=0.0))
    if deepest <= 0:
        return None
    opening = min(max(share * deepest, _LEAST_OPENING_MM), 0.8 * deepest)
    cores, _ = label(depth > opening)
    chosen = np.unravel_index(int(np.where(near & above, depth, 0).argmax()), depth.shape)
    core = cores == cores[chosen]
    grown = distance_transform_edt(~core, sampling=field.step) <= opening + 0.3 * min(field.step)
    parts, _ = label(above & grown)
    return np.asarray(parts == parts[chosen])


def _zone(field: _Field, mask: Mask, border: float) -> Mask:
    """Return the nodule with its blurred rim, without the rim of what else is bright there."""
    from scipy.ndimage import distance_transform_edt

    outside = distance_transform_edt(~mask, sampling=field.step)
    others = (field.smooth > border) & (outside > 0)
    theirs = distance_transform_edt(~others, sampling=field.step) if others.any() else np.full(mask.shape, np.inf)
    return np.asarray(mask | ((outside <= field.reach_mm()) & (theirs > field.reach_mm()) & field.lung))


def _mass(field: _Field, mask: Mask, lung_hu: float, core_hu: float) -> float:
    """Return the volume of a nodule of ``core_hu`` in lung that has the same sum of values, mm3.

    Where the rim touches something else that is bright, the rim there is left out and made up for by its share.
    """
    from scipy.ndimage import distance_transform_edt

    zone = _zone(field, mask, (lung_hu + core_hu) / 2)
    weights = (field.hu - lung_hu) / (core_hu - lung_hu)
    rim = (distance_transform_edt(~mask, sampling=field.step) <= field.reach_mm()) & ~mask
    seen = rim & zone
    inside = float(weights[mask].sum())
    if not seen.any():
        return inside * field.voxel_mm3
    return (inside + float(weights[seen].mean()) * float(np.count_nonzero(rim))) * field.voxel_mm3


def _has_halo(field: _Field, dense: Mask, lung_hu: float) -> bool:
    """Say whether ground glass surrounds a dense part: just beyond its blur the median is well above lung."""
    from scipy.ndimage import distance_transform_edt

    outside = distance_transform_edt(~dense, sampling=field.step)
    # Voxels that touch the dense part hold some of it, whatever the blur.
    nearest = max(0.6 + 0.2 * max(field.step), 1.05 * min(field.step))
    shell = (outside > nearest) & (outside <= nearest + _HALO_MM) & field.lung
    return bool(shell.any()) and float(np.median(field.hu[shell])) > lung_hu + _HALO_HU


def _made(
    field: _Field, mask: Mask, where: tuple[NDArray[np.int64], Geometry], density: Density, values: tuple[float, float]
) -> Outline:
    lung_hu, core_hu = values
    inner = _inner(field, mask)
    if density is Density.SOLID:
        volume = solid = _mass(field, mask, lung_hu, core_hu)
    elif density is Density.GROUND_GLASS:
        volume, solid = _mass(field, mask, lung_hu, float(field.hu[inner].mean())), 0.0
    else:
        volume, solid = _two_parts(field, mask, lung_hu, core_hu)
    center = where[1].to_patient(np.argwhere(mask).mean(axis=0, keepdims=True))[0]
    mean = float(field.hu[mask].mean())
    return Outline(mask, where[0], where[1], density, volume, solid, mean, core_hu, lung_hu, center)


def _inner(field: _Field, mask: Mask) -> Mask:
    """Return the inner half of a nodule by depth, where its values are its own."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(mask, 1), sampling=field.step)[1:-1, 1:-1, 1:-1]
    return np.asarray(depth >= 0.5 * depth.max())


def _two_parts(field: _Field, mask: Mask, lung_hu: float, core_hu: float) -> tuple[float, float]:
    """Return the volume of all and of the solid part of a part-solid nodule, mm3."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(mask, 1), sampling=field.step)[1:-1, 1:-1, 1:-1]
    glassy = mask & (field.smooth < (_GLASS_HU + core_hu) / 2 - 100) & (depth >= min(1.2, 0.5 * float(depth.max())))
    glass = float(np.median(field.hu[glassy])) if np.count_nonzero(glassy) >= 10 else _GLASS_HU
    glass = min(max(glass, lung_hu + 100), core_hu - 150)
    border = (glass + core_hu) / 2
    dense = mask & (field.smooth > border)
    around = (distance_transform_edt(~dense, sampling=field.step) <= field.reach_mm()) & mask if dense.any() else dense
    solid = float(np.clip((field.hu[around] - glass) / (core_hu - glass), 0, 1.2).sum()) * field.voxel_mm3
    whole = _mass(field, mask, lung_hu, glass)
    # The solid part weighs (core - lung) / (glass - lung) as much as its volume of ground glass would.
    excess = solid * ((core_hu - lung_hu) / (glass - lung_hu) - 1)
    return max(whole - excess, solid), solid
