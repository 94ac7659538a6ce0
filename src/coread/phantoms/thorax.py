"""The anatomy of a frontal chest as thickness maps in centimetres: what a ray meets on its way to the detector.

x grows to the right of the image (the patient's left), y downwards; (0, 0) is the middle of the thorax.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from coread.phantoms.raster import Field, blurred, coloured_noise, hollow_tube, step, tube

_VESSEL_WIDTHS_CM = (0.75, 0.52, 0.36, 0.25, 0.17, 0.12)


@dataclass(frozen=True, slots=True)
class Build:
    """The proportions of one made-up person, centimetres."""

    half_field: float = 18.2
    chest_half_width: float = 13.8
    lung_top: float = -14.2
    dome_right: float = 6.2
    dome_left: float = 7.6
    heart_ratio: float = 0.45
    """Cardiothoracic ratio: widest heart over widest thorax."""
    depth: float = 21.0
    rib_pitch: float = 2.35
    rib_phase: float = 0.0
    rib_slope: float = 0.30
    breasts: float = 0.0
    """Extra soft tissue of the breasts, cm."""


@dataclass(slots=True)
class Thorax:
    """Thickness maps (rows, columns), cm; findings change them before the exposure."""

    x: Field
    y: Field
    build: Build
    soft: Field
    lung: Field
    bone: Field
    vessels: Field
    heart: Field
    lungs_outline: tuple[Field, Field]
    """Per side (patient's right, left): 1 inside the lung's outline, soft edge."""


def make_thorax(build: Build, size: int, random: np.random.Generator) -> Thorax:
    """Build the maps on a ``size`` x ``size`` grid; the same generator state gives the same person."""
    axis = (np.arange(size) + 0.5) / size * 2 * build.half_field - build.half_field
    x, y = np.meshgrid(axis, axis)
    outlines = (_lung_outline(x, y, build, side=-1), _lung_outline(x, y, build, side=1))
    lung = outlines[0] * _lung_depth(x, y, build, -1) + outlines[1] * _lung_depth(x, y, build, 1)
    heart = _heart(x, y, build)
    lung = lung * (1 - 0.9 * np.clip(heart, 0, 1)) + _airways(x, y)
    soft = _body(x, y, build)
    soft = soft + 1.8 * np.clip(heart, 0, 1) + _mediastinum(x, y) + build.breasts * _breasts(x, y)
    bone = _ribs(x, y, build, random) + _spine(x, y) + _clavicles(x, y, build) + _scapulae(x, y, build)
    bone = bone * np.clip(soft / 4, 0, 1)
    vessels = _vessels(x, y, build, random) * np.clip(lung / 4, 0, 1)
    return Thorax(x, y, build, soft, np.maximum(lung, 0), bone, vessels, heart, outlines)


def outer_wall(y: Field, build: Build) -> Field:
    """Return how far from the midline the inner chest wall lies at each height."""
    centre, reach = 8.0, 8.0 - build.lung_top + 0.35
    inside = np.clip(1 - np.abs((y - centre) / reach) ** 2.6, 0, 1)
    return np.asarray(build.chest_half_width * np.sqrt(inside))


def dome(x: Field, build: Build, side: int) -> Field:
    """Return the height of the diaphragm at each x: a dome that falls to the costophrenic angle."""
    top = build.dome_right if side < 0 else build.dome_left
    across = (np.abs(x) - 5.2) / (build.chest_half_width - 5.2)
    lateral = 4.9 * np.clip(across, 0, 1.2) ** 2.4
    medial = 1.6 * np.clip(-across, 0, 1.2) ** 1.5
    return np.asarray(top + lateral + medial)


def _lung_outline(x: Field, y: Field, build: Build, side: int) -> Field:
    away = x * side
    inner = 2.0 + 0.9 * step(y + 9, 5)
    edges = step(away - inner, 0.35) * step(outer_wall(y, build) - away, 0.25)
    return edges * step(dome(x, build, side) - y, 0.22) * step(y - build.lung_top, 0.8)


def _lung_depth(x: Field, y: Field, build: Build, side: int) -> Field:
    away = x * side
    wall = np.maximum(outer_wall(y, build), 3.0)
    across = np.clip(2 * (away - 1.6) / (wall - 1.6) - 1, -1, 1)
    profile = np.sqrt(np.clip(1 - np.abs(across) ** 3.2, 0, 1))
    height = np.clip((y - build.lung_top) / 12.0, 0, 1) ** 0.55
    base = 1 - 0.30 * np.clip((y - build.dome_right + 5) / 8, 0, 1)
    return np.asarray(0.72 * build.depth * profile * height * base)


def _heart(x: Field, y: Field, build: Build) -> Field:
    """Right atrium, left ventricle and the vessels above, so that the widest heart has the stated ratio."""
    width = 2 * build.heart_ratio * build.chest_half_width
    right, left = 0.34 * width, 0.66 * width
    centre_y = max(build.dome_left, build.dome_right) - 2.9
    tilt = np.radians(40)
    u = (x - left * 0.30) * np.cos(tilt) + (y - centre_y) * np.sin(tilt)
    v = -(x - left * 0.30) * np.sin(tilt) + (y - centre_y) * np.cos(tilt)
    ventricle = 1 - (np.abs(u) / (0.80 * left)) ** 2 - (np.abs(v) / (0.52 * left)) ** 2
    atrium = 1 - (np.abs(x + right - 3.4) / 3.4) ** 2 - (np.abs(y - centre_y + 0.9) / 5.6) ** 2
    pulmonary = 1 - ((x - 1.9) / 2.0) ** 2 - ((y - centre_y + 6.3) / 3.4) ** 2
    aorta = 1 - ((x - 1.7) / 1.75) ** 2 - ((y - centre_y + 10.2) / 1.9) ** 2
    waist = 0.9 - np.abs(x - 1.0) / 3.0 - 0.6 * step(y - centre_y, 1) - 0.6 * step(centre_y - 9.5 - y, 1)
    parts = [step(part, 0.13) for part in (ventricle, atrium, pulmonary, aorta, waist)]
    return blurred(np.maximum.reduce(parts), 0.16 * x.shape[0] / (2 * build.half_field))


def _mediastinum(x: Field, y: Field) -> Field:
    width = 2.3 + 0.6 * step(y + 5, 6)
    return np.asarray(1.4 * step(width - np.abs(x), 0.5) * step(y + 17, 3))


def _airways(x: Field, y: Field) -> Field:
    """Trachea and main bronchi, as if they were lung of full air content."""
    trachea = tube(x - 0.15, 0.95) * step(-3.6 - y, 0.5)
    right = tube((y + 3.4) - 0.9 * (-x) + 0.1, 0.6) * step(-x, 0.6) * step(3.2 + x, 0.8)
    left = tube((y + 3.4) - 0.55 * x, 0.55) * step(x, 0.6) * step(3.6 - x, 0.8)
    return np.asarray(2.2 * trachea + 0.9 * (right + left))


def _body(x: Field, y: Field, build: Build) -> Field:
    """Neck, shoulders and trunk: an elliptic cross-section at each height."""
    scale = build.chest_half_width / 13.8
    levels = np.array([-20.0, -16.5, -14.5, -12.5, -10.5, -7, -2, 4, 12, 20])
    half = np.interp(y, levels * scale, np.array([5.8, 6.3, 9.5, 16.5, 20.5, 20.8, 18.2, 16.9, 16.6, 16.4]) * scale)
    depth = np.interp(
        y, levels * scale, np.array([0.55, 0.55, 0.6, 0.68, 0.78, 0.9, 1.0, 1.0, 1.06, 1.1]) * build.depth
    )
    half = blurred(half, x.shape[0] * 0.012)
    section = np.clip(1 - (np.abs(x) / half) ** 2.6, 0, 1)
    return np.asarray(depth * np.sqrt(section))


def _breasts(x: Field, y: Field) -> Field:
    out = np.zeros_like(x)
    for side in (-1, 1):
        shape = 1 - ((x * side - 8.8) / 6.4) ** 2 - ((y - 5.2) / 5.4) ** 2
        out += np.sqrt(np.clip(shape, 0, 1)) * step(y - 0.5, 4)
    return out


def _ribs(x: Field, y: Field, build: Build, random: np.random.Generator) -> Field:
    """Ten pairs: posterior arcs that fall outwards, anterior arcs that fall inwards and end in cartilage."""
    out = np.zeros_like(x)
    for number in range(10):
        start = build.lung_top + 1.0 + number * build.rib_pitch + build.rib_phase
        for side in (-1, 1):
            top = start + 0.12 * random.standard_normal()
            # A rib pair reaches no further than this below and above where it leaves the spine.
            band = np.flatnonzero((y[:, 0] > top - 2.5) & (y[:, 0] < top + 12.5))
            if band.size == 0:
                continue
            rows = slice(int(band[0]), int(band[-1]) + 1)
            out[rows] += _posterior_rib(x[rows] * side, y[rows], build, top)
            out[rows] += _anterior_rib(x[rows] * side, y[rows], build, top, number)
    return out


def _rib_reach(build: Build, start: float) -> float:
    return float(outer_wall(np.asarray([[max(start + 2.4, build.lung_top + 1.6)]]), build)[0, 0]) + 0.25


def _posterior_rib(away: Field, y: Field, build: Build, start: float) -> Field:
    reach = _rib_reach(build, start)
    t = np.clip((away - 1.8) / (reach - 1.8), 0, 1)
    line = start + (reach - 1.8) * build.rib_slope * (1.25 * t**2.2 - 0.42 * np.sin(np.pi * t))
    slope = build.rib_slope * (2.75 * t**1.2 - 0.42 * np.pi * np.cos(np.pi * t))
    distance = (y - line) / np.sqrt(1 + slope**2)
    ends = step(away - 1.6, 0.5) * step(reach - away, 0.3)
    return np.asarray(hollow_tube(distance, 0.62, 0.17) * ends)


def _anterior_rib(away: Field, y: Field, build: Build, start: float, number: int) -> Field:
    reach = _rib_reach(build, start)
    end = 3.0 + 0.75 * number
    t = np.clip((away - end) / max(reach - end, 1.0), 0, 1)
    low = start + (reach - 1.8) * build.rib_slope * 1.25
    fall = 4.2 * min(1.0, 0.4 + 0.12 * number)
    line = low + fall * (1 - t) ** 1.15
    slope = -fall * 1.15 * (1 - t) ** 0.15 / max(reach - end, 1.0)
    distance = (y - line) / np.sqrt(1 + slope**2)
    ends = step(away - end, 1.0) * step(reach - away, 0.3)
    return np.asarray(0.62 * hollow_tube(distance, 0.66, 0.15) * ends)


def _spine(x: Field, y: Field) -> Field:
    """Vertebral bodies with discs between, pedicles and spinous processes."""
    pitch = 2.45
    phase = np.mod(y, pitch) / pitch
    body = step(1.75 + 0.02 * y - np.abs(x), 0.25)
    disc = 1 - 0.45 * step(0.10 - np.minimum(phase, 1 - phase), 0.08)
    pedicle = sum(np.exp(-(((x - s * 1.15) / 0.28) ** 2) - ((phase - 0.45) / 0.13) ** 2) for s in (-1, 1))
    spinous = np.exp(-((x / 0.22) ** 2) - ((phase - 0.75) / 0.16) ** 2)
    edges = np.exp(-(((np.abs(x) - 1.65) / 0.12) ** 2))
    return np.asarray(0.95 * body * disc + 0.4 * pedicle + 0.4 * spinous + 0.2 * edges)


def _clavicles(x: Field, y: Field, build: Build) -> Field:
    out = np.zeros_like(x)
    scale = build.chest_half_width / 13.8
    for side in (-1, 1):
        away = x * side / scale
        t = np.clip((away - 1.7) / 13.5, 0, 1)
        line = (-10.6 - 3.0 * t + 0.85 * np.sin(2 * np.pi * t)) * scale
        ends = step(away - 1.5, 0.4) * step(13.6 - away, 0.4)
        out += 1.15 * hollow_tube((y - line) / 1.05, 0.75 * scale, 0.2) * ends
    return out


def _scapulae(x: Field, y: Field, build: Build) -> Field:
    out = np.zeros_like(x)
    scale = build.chest_half_width / 13.8
    for side in (-1, 1):
        away = x * side / scale
        medial = 12.4 + 0.10 * (y / scale + 10) - away
        blade = step(-medial, 0.4) * step(away - 10, 1) * step(18.5 - away - 0.55 * (y / scale + 9), 0.6)
        blade = blade * step(y / scale + 11.5, 1) * step(2.0 - y / scale, 1)
        edge = np.exp(-((medial / 0.25) ** 2)) * step(y / scale + 11, 1) * step(1.5 - y / scale, 1)
        head = tube(np.hypot(away - 17.2, y / scale + 9.3), 2.3)
        out += 0.22 * blade + 0.32 * edge + 0.30 * head
    return out


def _vessels(x: Field, y: Field, build: Build, random: np.random.Generator) -> Field:
    """Branching pulmonary vessels from each hilum and a fine interstitial texture, in cm of soft tissue."""
    size = x.shape[0]
    scale = size / (2 * build.half_field)
    pencils: dict[int, ImageDraw.ImageDraw] = {}
    images: dict[int, Image.Image] = {}
    for level in range(len(_VESSEL_WIDTHS_CM)):
        images[level] = Image.new("L", (size, size), 0)
        pencils[level] = ImageDraw.Draw(images[level])
    tree = _Tree(pencils, random, scale, build.half_field)
    for side in (-1, 1):
        for _ in range(26):
            angle = random.uniform(-0.47 * np.pi, 0.5 * np.pi)
            start = (side * random.uniform(2.8, 3.8), random.uniform(-2.8, 1.2) - (0.8 if side > 0 else 0))
            _branch(tree, start, angle, side, 0)
    out = np.zeros_like(x)
    for level, image in images.items():
        width = _VESSEL_WIDTHS_CM[level]
        out += blurred(np.asarray(image, dtype=np.float64) / 255, 0.16 * width * scale + 0.35) * width
    hila = sum(np.exp(-(((x * s - 3.3) / 1.3) ** 2) - ((y + 0.8) / 2.4) ** 2) for s in (-1, 1))
    texture = np.abs(coloured_noise(random, x.shape, 1.15)) * 0.16
    return np.asarray(3.6 * out + 2.0 * hila + texture)


@dataclass(frozen=True, slots=True, eq=False)
class _Tree:
    """What vessels are drawn with: one pencil per generation, thinner from one to the next."""

    pencils: dict[int, ImageDraw.ImageDraw]
    random: np.random.Generator
    pixels_per_cm: float
    half_field: float


def _branch(tree: _Tree, start: tuple[float, float], angle: float, side: int, level: int) -> None:
    random, scale = tree.random, tree.pixels_per_cm
    length = random.uniform(1.6, 2.6) * (0.86**level)
    end = (start[0] + side * length * np.cos(angle), start[1] + length * np.sin(angle))
    width = max(1, round(_VESSEL_WIDTHS_CM[level] * scale))
    points = [((px + tree.half_field) * scale, (py + tree.half_field) * scale) for px, py in (start, end)]
    tree.pencils[level].line([points[0], points[1]], fill=255, width=width)
    if level + 1 < len(_VESSEL_WIDTHS_CM):
        spread = random.uniform(0.18, 0.5)
        _branch(tree, end, angle + spread, side, level + 1)
        _branch(tree, end, angle - random.uniform(0.12, 0.45), side, level + 1)
