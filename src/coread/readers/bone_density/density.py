"""From a region of interest to mg/cm3: values of the source voxels, calibration, what contrast agent adds, category."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry
from coread.domain.images import Volume

_NORMAL_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Calibration:
    """HU = offset + slope x mg/cm3; ``relative_sd`` and ``sd_hu`` are what it leaves open."""

    slope: float
    offset: float
    relative_sd: float
    sd_hu: float
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """A region of interest on the source grid: ``mask`` (slices, rows, columns) from slice ``first`` on."""

    mask: NDArray[np.bool_]
    first: int
    mean: float
    deviation: float
    highest: float
    voxels: int
    volume_mm3: float

    def half_width_hu(self, independent_mm3: float) -> float:
        """Return the half width of the 95 % interval of the mean; noise and trabeculae are alike over a few mm."""
        return _NORMAL_95 * self.deviation / math.sqrt(max(1.0, self.volume_mm3 / independent_mm3))


def sampled(
    volume: Volume, center: NDArray[np.float64], axes: NDArray[np.float64], half: NDArray[np.float64]
) -> Sampled | None:  # fmt: skip
    """Return the source voxels whose centre lies in an elliptic cylinder; ``None`` where there is none.

    ``center`` (3,) LPS mm; ``axes`` (3, 3) unit vectors (rows) along, to the back, to the left, LPS; ``half`` (3,) half
    height, half depth, half width, mm.
    """
    geometry = volume.geometry
    reach = float(np.linalg.norm(half))
    low, high = _box(geometry, center, reach)
    if (low >= high).any() or half.min() <= 0:
        return None
    index = np.stack(np.meshgrid(*[np.arange(a, b) for a, b in zip(low, high, strict=True)], indexing="ij"), axis=-1)
    local = (geometry.to_patient(index.reshape(-1, 3)) - center) @ axes.T / half
    inside = (np.abs(local[:, 0]) <= 1) & (local[:, 1] ** 2 + local[:, 2] ** 2 <= 1)
    box = inside.reshape(index.shape[:3])
    if not box.any():
        return None
    values = volume.voxels[low[0] : high[0], low[1] : high[1], low[2] : high[2]][box].astype(np.float64)
    used = np.flatnonzero(box.any(axis=(1, 2)))
    first, last = int(used[0]), int(used[-1]) + 1
    mask = np.zeros((last - first, *geometry.shape[1:]), dtype=np.bool_)
    mask[:, low[1] : high[1], low[2] : high[2]] = box[first:last]
    voxel = abs(float(np.linalg.det(geometry.matrix()[:3, :3])))
    return Sampled(
        mask, int(low[0]) + first, float(values.mean()), float(values.std()), float(values.max()),
        int(values.size), float(values.size * voxel),
    )  # fmt: skip


def _box(geometry: Geometry, center: NDArray[np.float64], reach: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the index box that holds a sphere, cut to the grid."""
    inverse = np.linalg.inv(geometry.matrix()[:3, :3])
    middle = geometry.to_index(center[None])[0]
    extent = np.linalg.norm(inverse, axis=1) * reach
    low = np.maximum(0, np.floor(middle - extent)).astype(np.int64)
    high = np.minimum(np.asarray(geometry.shape), np.ceil(middle + extent) + 1).astype(np.int64)
    return low, high


def calibration_of(
    rods: Sequence[float], kvp: float | None, parameters: Mapping[str, Any]
) -> Calibration | None:  # fmt: skip
    """Return the calibration by rods (slope, offset, residual, number), else the site's own for this tube voltage.

    ``None`` where there is neither: a value in mg/cm3 would then be a guess, 80 against 120 kV alone shifts HU by a
    quarter.
    """
    slope, offset, residual, count = rods
    if count >= 2:
        return Calibration(slope, offset, 0.0, residual, f"{count:.0f} rods in the scan")
    for row in parameters["asynchronous"]:
        if kvp is not None and abs(float(row["kvp"]) - kvp) < 0.5:
            return Calibration(
                float(row["hu_per_mg_cm3"]), float(row["offset_hu"]), float(row["relative_sd"]), 0.0, str(row["source"])
            )
    return None


def mineral(hu: float, half_width_hu: float, calibration: Calibration) -> tuple[float, float]:
    """Return mg/cm3 and the half width of its 95 % interval."""
    value = (hu - calibration.offset) / calibration.slope
    parts = (
        half_width_hu / calibration.slope,
        _NORMAL_95 * calibration.sd_hu / calibration.slope,
        _NORMAL_95 * calibration.relative_sd * abs(value),
    )
    return value, float(np.sqrt(sum(part**2 for part in parts)))


def range_name(value: float, cut_offs: Mapping[str, Any]) -> str:
    """Return the range of the published cut-offs in which a mean of L1 and L2 lies."""
    if value < float(cut_offs["osteoporosis_below"]):
        return "osteoporosis range"
    return "osteopenia range" if value <= float(cut_offs["osteopenia_up_to"]) else "normal range"
