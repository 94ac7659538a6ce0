"""From thickness maps to detector signal: Beer-Lambert attenuation, scatter, quantum noise, film-like display."""

from dataclasses import dataclass

import numpy as np

from coread.phantoms.raster import Field, blurred, resized

SOFT_PER_CM = 0.19
BONE_EXTRA_PER_CM = 0.42
_COARSE = 256
LUNG_DENSITY = 0.24
"""Linear attenuation at about 70 keV effective, 1/cm, rounded: plausible, not a dosimetry model."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """How the picture is taken."""

    scatter_fraction: float = 0.32
    photons: float = 5000.0
    blur_cm: float = 0.018
    half_field_cm: float = 18.2


def line_integral(soft: Field, lung: Field, bone: Field, vessels: Field) -> Field:
    """Return the attenuation exponent of each ray; lung replaces soft tissue, vessels replace lung."""
    air = np.clip(lung - vessels, 0, None)
    tissue = np.clip(soft - (1 - LUNG_DENSITY) * air, 0, None)
    return np.asarray(SOFT_PER_CM * tissue + BONE_EXTRA_PER_CM * bone)


def expose(integral: Field, size: int, exposure: Exposure, random: np.random.Generator) -> Field:
    """Return the log signal (bright = absorbed), 0 to 1, of ``size`` x ``size`` pixels with scatter and noise."""
    primary = np.exp(-integral)
    pixels_per_cm = integral.shape[0] / (2 * exposure.half_field_cm)
    scatter = blurred(primary, 3.2 * pixels_per_cm) * exposure.scatter_fraction
    signal = resized(primary * (1 - exposure.scatter_fraction * 0.5) + scatter, (size, size))
    signal = blurred(np.clip(signal, 1e-4, None), exposure.blur_cm * size / (2 * exposure.half_field_cm))
    counts = exposure.photons * signal
    signal = np.clip(counts + np.sqrt(counts) * random.standard_normal(signal.shape), 1.0, None) / exposure.photons
    absorbed = -np.log(signal)
    return _displayed(absorbed)


def _displayed(absorbed: Field) -> Field:
    """Compress the range as a film would: the lungs keep contrast, the abdomen saturates softly."""
    low, high = np.percentile(absorbed, 0.5), np.percentile(absorbed, 99.7)
    level = np.clip((absorbed - low) / (high - low), 0, 1.05)
    coarse = resized(level, (_COARSE, _COARSE))
    local = level - resized(blurred(coarse, _COARSE / 26), (level.shape[0], level.shape[1]))
    level = level + 0.35 * local
    shaped = 1 / (1 + np.exp(-5.0 * (level - 0.50)))
    floor, ceiling = 1 / (1 + np.exp(2.5)), 1 / (1 + np.exp(-2.5))
    return np.asarray(np.clip((shaped - floor) / (ceiling - floor), 0, 1))
