"""A phased-array picture: speckle that moves with the tissue, point spread of the beam, log compression, sector."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.phantoms.reference.texture import smoothed

Field = NDArray[np.float32]
_DYNAMIC_RANGE_DB = 58.0
_AXIAL_MM, _LATERAL_DEGREES = 1.0, 2.0
_SCATTERER_MM = 0.4


@dataclass(frozen=True, slots=True)
class Sector:
    """The fan of beams and the picture it is shown in."""

    depth_mm: float
    half_angle_degrees: float = 42.0
    beams: int = 160
    samples: int = 420
    rows: int = 480
    columns: int = 640
    top: int = 10
    """Row of the tip of the fan; it lies in the middle column."""

    @property
    def pixel_mm(self) -> float:
        """Return the size of a pixel of the picture."""
        return self.depth_mm / (self.rows - self.top - 10)

    def beam_places(self) -> tuple[Field, Field]:
        """Return (x, depth) in mm of every sample, each (samples, beams)."""
        r = (np.arange(self.samples, dtype=np.float32) + 0.5) * np.float32(self.depth_mm / self.samples)
        half = np.radians(self.half_angle_degrees)
        angle = np.linspace(-half, half, self.beams, dtype=np.float32)
        return np.outer(r, np.sin(angle)), np.outer(r, np.cos(angle))

    def pixel_places(self) -> tuple[Field, Field]:
        """Return (x, depth) in mm of the centre of every pixel, each (rows, columns)."""
        row = (np.arange(self.rows, dtype=np.float32) + 0.5 - self.top) * np.float32(self.pixel_mm)
        column = (np.arange(self.columns, dtype=np.float32) + 0.5 - self.columns / 2) * np.float32(self.pixel_mm)
        x, depth = np.meshgrid(column, row)
        return x.astype(np.float32), depth.astype(np.float32)

    def image_point(self, x: float, depth: float) -> tuple[float, float]:
        """Return (column, row) as SCOORD counts them, of a place in mm."""
        return self.columns / 2 + x / self.pixel_mm, self.top + depth / self.pixel_mm

    def shown(self, beams: Field) -> Field:
        """Return (rows, columns) from (samples, beams) by bilinear interpolation; 0 outside the fan."""
        x, depth = self.pixel_places()
        r = np.hypot(x, depth) / np.float32(self.depth_mm) * self.samples - 0.5
        half = np.radians(self.half_angle_degrees)
        b = (np.arctan2(x, np.maximum(depth, 1e-3)) + half) / (2 * half) * (self.beams - 1)
        valid = (r >= 0) & (r <= self.samples - 1) & (b >= 0) & (b <= self.beams - 1) & (depth > 0)
        r, b = np.where(valid, r, 0), np.where(valid, b, 0)
        i, j = np.minimum(r.astype(int), self.samples - 2), np.minimum(b.astype(int), self.beams - 2)
        u, v = (r - i).astype(np.float32), (b - j).astype(np.float32)
        low = beams[i, j] * (1 - v) + beams[i, j + 1] * v
        high = beams[i + 1, j] * (1 - v) + beams[i + 1, j + 1] * v
        return np.asarray(np.where(valid, low * (1 - u) + high * u, 0), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Scatterers:
    """A plane of random scatterers, fixed to the tissue."""

    plane: NDArray[np.complex64]

    @classmethod
    def drawn(cls, seed: int, extent_mm: float = 320.0) -> "Scatterers":
        """Return circular Gaussian scatterers: fully developed speckle (Goodman)."""
        count = int(extent_mm / _SCATTERER_MM)
        random = np.random.default_rng([seed, 61])
        real, imaginary = (random.standard_normal((count, count), dtype=np.float32) for _ in range(2))
        return cls((real + 1j * imaginary).astype(np.complex64))

    def at(self, x: Field, y: Field) -> NDArray[np.complex64]:
        """Return the scatterers at places of the tissue at rest, mm."""
        count = self.plane.shape[0]
        i = (np.rint(y / _SCATTERER_MM).astype(int) + count // 2) % count
        j = (np.rint(x / _SCATTERER_MM).astype(int) + count // 2) % count
        return np.asarray(self.plane[i, j])


def envelope_db(
    sector: Sector, reflectivity: Field, scatterers: NDArray[np.complex64], noise: float, random: np.random.Generator
) -> Field:
    """Return the picture in 0 to 1 (samples, beams): echoes, point spread, electronic noise, log compression."""
    signal = reflectivity * scatterers
    axial = _AXIAL_MM / sector.depth_mm * sector.samples
    lateral = _LATERAL_DEGREES / (2 * sector.half_angle_degrees) * sector.beams
    width = (0.0, axial, lateral)
    real, imaginary = (
        smoothed(np.ascontiguousarray(part, dtype=np.float32)[np.newaxis], width)[0]
        for part in (signal.real, signal.imag)
    )
    # The receiver's noise grows with the gain that makes up for depth.
    gain = np.linspace(0.3, 1.0, sector.samples, dtype=np.float32)[:, np.newaxis] * np.float32(noise)
    shape = (sector.samples, sector.beams)
    envelope = np.hypot(
        real + gain * random.standard_normal(shape, dtype=np.float32),
        imaginary + gain * random.standard_normal(shape, dtype=np.float32),
    )
    level = 20 * np.log10(np.maximum(envelope, 1e-6)) + 10.0
    return np.asarray(np.clip(1 + level / _DYNAMIC_RANGE_DB, 0, 1), dtype=np.float32)
