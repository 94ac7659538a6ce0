"""Exact sizes that radiologists measure: the longest diameter in an axial plane and the one perpendicular to it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.phantoms.reference.shapes import Blob

_LATITUDES, _LONGITUDES, _DIRECTIONS, _PLANES = 256, 512, 90, 60


@dataclass(frozen=True, slots=True)
class AxialDiameters:
    """RECIST 1.1 sizes of a lump, mm."""

    long_mm: float
    short_mm: float
    """The widest extent perpendicular to the long one, in the same plane."""


def axial_diameters(lump: Blob, pose: NDArray[np.float64]) -> AxialDiameters:
    """Return the diameters in the patient's axial planes; ``pose`` (4x4) takes anatomy to patient.

    The surface is walked in a fine mesh, cut into thin axial plates; the widest plate over all directions wins.
    """
    polar = (np.arange(_LATITUDES) + 0.5) * np.pi / _LATITUDES
    azimuth = np.arange(_LONGITUDES) * 2 * np.pi / _LONGITUDES
    unit = np.stack(
        [np.outer(np.sin(polar), np.cos(azimuth)), np.outer(np.sin(polar), np.sin(azimuth)),
         np.outer(np.cos(polar), np.ones_like(azimuth))]
    ).reshape(3, -1)  # fmt: skip
    surface = unit * lump.radius_share(unit) * np.asarray(lump.half_axes_mm)[:, np.newaxis]
    moved = pose[:3, :3] @ surface
    edges = np.linspace(moved[2].min(), moved[2].max(), _PLANES + 1)
    plate = np.clip(np.searchsorted(edges, moved[2], side="right") - 1, 0, _PLANES - 1)
    order = np.argsort(plate, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(plate[order]) > 0])
    angle = np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS
    along = np.stack([np.cos(angle), np.sin(angle)], axis=1) @ moved[:2, order]
    widths = np.maximum.reduceat(along, starts, axis=1) - np.minimum.reduceat(along, starts, axis=1)
    direction, where = (int(i) for i in np.unravel_index(int(widths.argmax()), widths.shape))
    across = (direction + _DIRECTIONS // 2) % _DIRECTIONS
    return AxialDiameters(float(widths[direction, where]), float(widths[across, where]))


def surface_points(lump: Blob) -> NDArray[np.float32]:
    """Return (3, 600) points on the surface of a lump, evenly spread over directions (Fibonacci)."""
    k = np.arange(600) + 0.5
    polar, azimuth = np.arccos(1 - 2 * k / 600), np.pi * (1 + 5**0.5) * k
    unit = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)])
    reach = unit * lump.radius_share(unit) * np.asarray(lump.half_axes_mm)[:, np.newaxis]
    return np.asarray(reach + np.asarray(lump.center_mm)[:, np.newaxis], dtype=np.float32)
