"""Findings put into a thorax: each changes the thickness maps and returns the mask of what it changed."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from coread.phantoms.raster import blurred, coloured_noise, step
from coread.phantoms.thorax import Thorax, dome, outer_wall

Mask = NDArray[np.bool_]


def add_pneumothorax(thorax: Thorax, side: int, size: float, random: np.random.Generator) -> Mask:
    """Let the lung fall away from the wall: no markings outside a thin visceral line, widest at the apex."""
    build, x, y = thorax.build, thorax.x, thorax.y
    away = x * side
    gap = (0.8 + 3.6 * size) * (0.35 + 0.65 * step(-1.0 - y, 9)) * (1 + 0.05 * random.standard_normal())
    line = outer_wall(y, build) - gap
    apex = build.lung_top + 1.3 + 3.4 * size
    depth_inside = np.minimum(line - away, (y - apex) * 0.9)
    outside = thorax.lungs_outline[(side + 1) // 2] * step(-depth_inside, 0.06)
    scale = x.shape[0] / (2 * build.half_field)
    pleura = np.exp(-((depth_inside / 0.09) ** 2)) * thorax.lungs_outline[(side + 1) // 2]
    thorax.vessels *= 1 - outside
    thorax.vessels += blurred(1.3 * pleura, 0.02 * scale)
    thorax.vessels += 1.6 * size * thorax.lungs_outline[(side + 1) // 2] * (1 - outside)
    thorax.lung += 2.0 * outside
    return np.asarray(outside > 0.5)


def add_effusion(thorax: Thorax, side: int, size: float, random: np.random.Generator) -> Mask:
    """Fill the costophrenic angle with fluid up to a meniscus that rises along the chest wall."""
    build, x, y = thorax.build, thorax.x, thorax.y
    away = x * side
    level = dome(np.asarray([[side * 5.2]]), build, side)[0, 0] + 2.2 - 7.0 * size + 0.2 * random.standard_normal()
    wall = np.maximum(outer_wall(y, build) - away, 0)
    meniscus = level - (1.5 + 3.0 * size) * np.exp(-wall / 1.8) + 0.5 * np.exp(-np.maximum(away - 2, 0) / 1.5)
    fluid = step(y - meniscus, 0.7) * thorax.lungs_outline[(side + 1) // 2]
    thorax.lung *= 1 - 0.93 * fluid
    thorax.vessels *= 1 - fluid
    return np.asarray(fluid > 0.5)


def add_opacity(thorax: Thorax, side: int, size: float, random: np.random.Generator) -> Mask:
    """Put a patchy, ill-defined consolidation into a lower or middle zone."""
    build, x, y = thorax.build, thorax.x, thorax.y
    centre = (side * random.uniform(6.5, 8.8), random.uniform(-1.5, 3.0))
    radius = 2.2 + 2.6 * size
    reach = 1 - np.hypot((x - centre[0]) / radius, (y - centre[1]) / (1.15 * radius))
    ragged = reach + 0.16 * coloured_noise(random, x.shape, 1.7)
    patch = np.clip(step(ragged, 0.75), 0, 1) * thorax.lungs_outline[(side + 1) // 2]
    patch = patch * (0.85 + 0.15 * np.clip(coloured_noise(random, x.shape, 1.4), -1, 1))
    thorax.vessels += patch * 0.55 * build.depth * 0.5
    return np.asarray(patch > 0.5)


def add_nodule(thorax: Thorax, side: int, size: float, random: np.random.Generator) -> Mask:
    """Put one round, sharp nodule between the ribs' shadows."""
    x, y = thorax.x, thorax.y
    radius = 0.7 + 1.1 * size
    centre = (side * random.uniform(5.5, 9.5), random.uniform(-7.5, 2.5))
    distance = np.hypot(x - centre[0], y - centre[1])
    ball = 2 * np.sqrt(np.maximum(radius**2 - distance**2, 0))
    thorax.vessels += 1.7 * blurred(ball, 0.06 * x.shape[0] / (2 * thorax.build.half_field))
    return np.asarray(distance < radius)


def heart_mask(thorax: Thorax) -> Mask:
    """Return the heart below the great vessels: what a reader would box as cardiomegaly."""
    low = max(thorax.build.dome_left, thorax.build.dome_right)
    return np.asarray((thorax.heart > 0.5) & (thorax.y > low - 9.0) & (thorax.y < low + 1.0))


ADDERS: dict[str, Callable[[Thorax, int, float, np.random.Generator], Mask]] = {
    "pneumothorax": add_pneumothorax,
    "effusion": add_effusion,
    "opacity": add_opacity,
    "nodule": add_nodule,
}
