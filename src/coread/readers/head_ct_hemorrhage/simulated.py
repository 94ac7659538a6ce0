"""Heads computed from maps of brain tissue with densities, shapes and noise by lot, to learn from beside real slices.

Domain randomisation as SynthSeg does it for MR (Billot et al. 2023, Med Image Anal 86:102789): skull, scalp and falx
are drawn around the tissue, every head has densities of its own. No pathology but what is drawn in afterwards.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import FloatPixels
from coread.readers.head_ct_hemorrhage.axial import THICKNESS_MM
from coread.readers.head_ct_hemorrhage.outputs import SIDE
from coread.readers.head_ct_hemorrhage.preprocess import windowed

SET = "brain_mr_mni152"
_MAP = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
_SAMPLES = 3
"""Planes whose mean is one slice."""
_CLOSED_MM = 8
_FALX_MM = 1.2
_BONE_HU, _AIR_HU = 800.0, -1000.0


@dataclass(frozen=True, slots=True, eq=False)
class TissueMaps:
    """Shares of grey and white matter (x, y, z), 1 mm, axes to right, front and top, and how far the hull is in mm."""

    grey: NDArray[np.float32]
    white: NDArray[np.float32]
    outside: NDArray[np.float32]
    """Distance to the hull of the brain, 0 within it."""
    centre: NDArray[np.float64]
    """Voxel in the middle of the hull."""


@dataclass(frozen=True, slots=True)
class _Densities:
    """HU and mm of one head."""

    grey: float
    white: float
    fluid: float
    falx: float
    scalp: float
    gap_mm: float
    skull_mm: float
    scalp_mm: float


def read_maps(folder: Path) -> TissueMaps:
    """Read the tissue maps of the ICBM 2009a template."""
    from scipy import ndimage

    grey, white = (_share(folder / _MAP.format(name)) for name in ("gm", "wm"))
    brain = np.pad(grey + white > 0.3, _CLOSED_MM + 2)
    # Closing by distances: a ball of this size would be slow as a structuring element.
    grown = ndimage.distance_transform_edt(~brain) <= _CLOSED_MM
    hull = ndimage.distance_transform_edt(grown) > _CLOSED_MM
    inner = slice(_CLOSED_MM + 2, -_CLOSED_MM - 2)
    outside = ndimage.distance_transform_edt(~hull)[inner, inner, inner].astype(np.float32)
    box = ndimage.find_objects(hull[inner, inner, inner].astype(np.uint8))[0]
    centre = np.array([(part.start + part.stop - 1) / 2 for part in box])
    return TissueMaps(grey, white, outside, centre)


def _share(path: Path) -> NDArray[np.float32]:
    from nibabel import Nifti1Image

    return np.asarray(Nifti1Image.from_filename(path).dataobj, dtype=np.float32) / np.float32(255)


def simulated_head(maps: TissueMaps, random: np.random.Generator) -> FloatPixels:
    """Return the slices (S, SIDE, SIDE) of one head in the brain window, foot to head, about 5 mm apart."""
    from scipy import ndimage

    size = random.uniform(0.88, 1.08) * np.exp(random.normal(scale=0.03, size=3))
    turn = _rotation(np.deg2rad([random.uniform(-15, 15), random.uniform(-4, 4), random.uniform(-3, 3)]))
    made = _densities(random)
    side_mm = 1.06 * (float(size[1]) * 178 + 2 * (made.gap_mm + made.skull_mm + made.scalp_mm))
    fine = THICKNESS_MM / _SAMPLES
    heights = np.arange(-62.0, 84.0, fine) * float(size[2])
    heights = heights[: len(heights) // _SAMPLES * _SAMPLES]
    plane = (np.arange(SIDE) - (SIDE - 1) / 2) * side_mm / SIDE
    up, back, left = np.meshgrid(heights, plane, plane, indexing="ij")
    place = np.stack([-left, -back, up], axis=-1) @ turn.T / size
    place = place + _bent(place.shape[:3], random)
    where = np.moveaxis(place + maps.centre, -1, 0)
    grey, white, outside = (
        ndimage.map_coordinates(one, where, order=1, mode="nearest") for one in (maps.grey, maps.white, maps.outside)
    )
    hu = _painted(grey, white, outside, np.abs(place[..., 0]), made)
    hu = hu.reshape(-1, _SAMPLES, SIDE, SIDE).mean(axis=1)
    hu = ndimage.gaussian_filter(hu, (0, *[random.uniform(0.3, 0.8)] * 2))
    noise = ndimage.gaussian_filter(random.normal(size=hu.shape), (0, 0.6, 0.6))
    return windowed(hu + noise / noise.std() * random.uniform(2, 6))


def _densities(random: np.random.Generator) -> _Densities:
    grey = random.uniform(34, 42)
    return _Densities(
        grey=grey, white=grey - random.uniform(4, 10), fluid=random.uniform(2, 14), falx=random.uniform(42, 58),
        scalp=random.uniform(-40, 45), gap_mm=random.uniform(0.2, 2.5), skull_mm=random.uniform(4, 9),
        scalp_mm=random.uniform(3, 9),
    )  # fmt: skip


def _painted(
    grey: FloatPixels, white: FloatPixels, outside: FloatPixels, aside: NDArray[np.float64], made: _Densities
) -> NDArray[np.float64]:
    """Return HU from the shares of tissue; ``aside`` is the distance to the midplane in mm."""
    fluid = np.clip(1 - grey - white, 0, 1)
    hu = grey * made.grey + white * made.white + fluid * made.fluid
    hu = np.where((aside < _FALX_MM) & (fluid > 0.3) & (outside <= made.gap_mm), made.falx, hu)
    skull = made.gap_mm + made.skull_mm
    around = np.select([outside < skull, outside < skull + made.scalp_mm], [_BONE_HU, made.scalp], _AIR_HU)
    return np.asarray(np.where(outside <= made.gap_mm, hu, around))


def _bent(shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float64]:
    """Return a smooth displacement (*shape, 3) of a few mm."""
    from scipy import ndimage

    coarse = random.normal(scale=2.0, size=(3, 5, 5, 5))
    grid = np.meshgrid(*[np.linspace(0, 4, count) for count in shape], indexing="ij", sparse=False)
    where = np.stack(grid)
    return np.stack([ndimage.map_coordinates(one, where, order=3, mode="nearest") for one in coarse], axis=-1)


def _rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix of turns about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)
