"""Heads of any contrast, shape and thickness drawn from label maps, to learn tissues from (Billot 2023, SynthSeg).

Nothing of a patient is in them: labels are bent at random, every label is given a grey value at random, and blur,
receive field, thick slices and noise follow. What is learnt does not lean on the contrast of one scanner.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.readers.brain_volume.drawn_labels import (
    BONE,
    CAVITY,
    CSF,
    EYE,
    FINE_MM,
    GREY_MATTER,
    HIPPOCAMPUS,
    MARROW,
    OUTSIDE,
    SKIN,
    SOFT,
    VENTRICLE,
    WHITE_MATTER,
    Labels,
)
from coread.readers.brain_volume.outputs import HEAD_SHAPE

Array = NDArray[np.float32]
_COARSE = (6, 7, 6)
"""Nodes of the random fields that bend and shade."""
_KINDS = (0.65, 0.9)
"""Up to the first share T1-like, up to the second FLAIR-like, the rest any contrast."""


@dataclass(frozen=True, slots=True, eq=False)
class DrawnHead:
    """A training pair on the grid of the network (4 mm)."""

    image: NDArray[np.uint8]
    tissue: NDArray[np.uint8]


def drawn_head(source: Labels, random: np.random.Generator) -> DrawnHead:
    """Draw one head: labels bent, made an image, brought to the grid of the network."""
    tissue = _bent(source, random)
    flair = random.random()
    values = _grey_values(flair, random)
    image = values[tissue] + 0.04 * random.random() * random.standard_normal(tissue.shape, dtype=np.float32)
    image = _with_lesions(image, tissue, random, bright=flair >= _KINDS[0])
    image = _scanned(image, random)
    coarse = _block_mean(image)
    noise = random.uniform(0, 0.06)
    parts = random.standard_normal((2, *coarse.shape), dtype=np.float32) * noise
    coarse = np.hypot(coarse + parts[0], parts[1])
    low, high = np.percentile(coarse, (1.0, 99.5))
    scaled = np.clip((coarse - low) / max(high - low, 1e-6), 0, 1)
    labels = range(CSF, HIPPOCAMPUS + 1)
    shares = np.stack([_block_mean(np.asarray(tissue == label, dtype=np.float32)) for label in labels])
    inside = shares.sum(axis=0) > 0.5
    found = np.where(inside, 1 + shares.argmax(axis=0), OUTSIDE)
    return DrawnHead(np.rint(scaled * 255).astype(np.uint8), found.astype(np.uint8))


def _bent(source: Labels, random: np.random.Generator) -> NDArray[np.uint8]:
    """Return fine labels (2 x HEAD_SHAPE) turned, stretched, bent, with other ventricles and with a face."""
    from scipy import ndimage

    shape = tuple(2 * side for side in HEAD_SHAPE)
    axes = [(np.arange(n, dtype=np.float32) - (n - 1) / 2) * FINE_MM for n in shape]
    at = np.stack(np.meshgrid(*axes, indexing="ij"))
    shift = np.array([random.uniform(-18, 18), random.uniform(-10, 10), random.uniform(-8, 8)], dtype=np.float32)
    at -= shift[:, None, None, None]
    turn = _rotation(np.radians(random.uniform(-16, 16, 3)))
    stretch = np.exp(random.uniform(-0.14, 0.14) + random.uniform(-0.07, 0.07, 3))
    at = np.einsum("ij,jklm->iklm", (turn / stretch).astype(np.float32), at)
    at += _smooth_field(random, 3, shape) * np.float32(random.uniform(1.0, 5.0))
    widen = random.uniform(-0.25, 0.4)
    near = np.exp(-(at[0] ** 2 + (at[1] - 5) ** 2 + at[2] ** 2) / np.float32(2 * 28.0**2))
    at *= 1 - np.float32(widen) * near
    middle = (np.array(source.tissue.shape) - 1) / 2
    index = at / np.float32(FINE_MM) + middle.astype(np.float32)[:, None, None, None]
    tissue: NDArray[np.uint8] = ndimage.map_coordinates(source.tissue, index, order=0, mode="constant", cval=0)
    if source.with_face:
        return tissue
    distance = ndimage.map_coordinates(source.distance_mm, index, order=1, mode="nearest")
    return _with_face(tissue, distance, at, random)


def _with_face(
    tissue: NDArray[np.uint8], distance: Array, at: Array, random: np.random.Generator
) -> NDArray[np.uint8]:  # fmt: skip
    """Put fluid, skull, scalp and a random face and neck around a brain that has none."""
    fluid, bone, skin = random.uniform(0.5, 4.0), random.uniform(3.0, 8.0), random.uniform(2.0, 11.0)
    out = tissue == OUTSIDE
    found = tissue.copy()
    found[out & (distance < fluid + bone + skin)] = SKIN
    low = at[0] < random.uniform(-60, -25)
    reach = (at[1] + 15) ** 2 / random.uniform(70, 105) ** 2 + at[2] ** 2 / random.uniform(55, 85) ** 2
    face = low & (reach < 1) & out & (distance > fluid + bone)
    texture = _smooth_field(random, 1, tissue.shape, nodes=(26, 30, 26))[0]
    levels = np.array([-0.7, -0.2, 0.35, 0.8])
    found[face] = np.array([CAVITY, SOFT, MARROW, SKIN, BONE], dtype=np.uint8)[np.digitize(texture[face], levels)]
    found[out & (distance < fluid + bone)] = BONE
    inner = out & (distance > fluid + 0.3 * bone) & (distance < fluid + 0.75 * bone)
    found[inner] = MARROW if random.random() < 0.6 else BONE
    found[out & (distance < fluid)] = CSF
    for side in (-31.0, 31.0):
        ball = (at[0] + 38) ** 2 + (at[1] + 72) ** 2 + (at[2] - side) ** 2 < 12.0**2
        found[ball & out & (distance > 4)] = EYE
    return found


def _grey_values(kind: float, random: np.random.Generator) -> Array:
    """Return the grey value of every label."""
    values = random.uniform(0.0, 1.0, 12)
    values[[OUTSIDE, BONE, CAVITY]] = random.uniform(0, (0.05, 0.3, 0.12))
    values[SKIN] = random.uniform(0.2, 1.3)
    if kind < _KINDS[0]:
        grey = random.uniform(0.4, 0.65)
        values[[CSF, GREY_MATTER, WHITE_MATTER]] = random.uniform(0.04, 0.3), grey, grey + random.uniform(0.08, 0.32)
    elif kind < _KINDS[1]:
        grey = random.uniform(0.5, 0.75)
        values[[CSF, GREY_MATTER, WHITE_MATTER]] = random.uniform(0.02, 0.25), grey, grey - random.uniform(0.02, 0.2)
    values[VENTRICLE] = values[CSF] * random.uniform(0.7, 1.15)
    values[HIPPOCAMPUS] = values[GREY_MATTER] * random.uniform(0.95, 1.08)
    return values.astype(np.float32)


def _with_lesions(
    image: Array, tissue: NDArray[np.uint8], random: np.random.Generator, *, bright: bool
) -> Array:  # fmt: skip
    """Draw lesions into the white matter of some heads: bright in FLAIR, between fluid and white matter else."""
    if random.random() < 0.5:
        return image
    field = _smooth_field(random, 1, tissue.shape, nodes=(22, 27, 22))[0]
    spots = (field > random.uniform(1.2, 2.0)) & (tissue == WHITE_MATTER)
    level = random.uniform(0.85, 1.2) if bright else random.uniform(0.2, 0.6)
    return np.where(spots, np.float32(level), image)


def _scanned(image: Array, random: np.random.Generator) -> Array:
    """Return the image after blur, receive field and, for some, thick slices."""
    from scipy import ndimage

    image = ndimage.gaussian_filter(image, random.uniform(0.2, 0.7), truncate=2.5)
    field = _smooth_field(random, 1, image.shape)[0] * np.float32(random.uniform(0, 0.3))
    image = image * np.exp(field)
    if random.random() < 0.4:
        axis = int(random.integers(3))
        image = ndimage.uniform_filter1d(image, int(random.integers(2, 5)), axis=axis)
    return np.asarray(image, dtype=np.float32)


def _smooth_field(
    random: np.random.Generator, count: int, shape: tuple[int, ...], nodes: tuple[int, ...] = _COARSE
) -> Array:  # fmt: skip
    """Return (count, *shape) of unit deviation: random nodes, joined by straight lines along each axis in turn."""
    field = random.standard_normal((count, *nodes), dtype=np.float32)
    for axis, side in enumerate(shape, start=1):
        at = np.linspace(0, field.shape[axis] - 1, side)
        low = np.minimum(at.astype(int), field.shape[axis] - 2)
        share = (at - low).astype(np.float32).reshape([-1 if k == axis else 1 for k in range(field.ndim)])
        share = share * share * (3 - 2 * share)
        field = field.take(low, axis) * (1 - share) + field.take(low + 1, axis) * share
    return field


def _rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    turn = np.eye(3)
    for (one, other), angle in zip(((1, 2), (0, 2), (0, 1)), angles, strict=True):
        plane = np.eye(3)
        plane[one, one] = plane[other, other] = np.cos(angle)
        plane[one, other], plane[other, one] = -np.sin(angle), np.sin(angle)
        turn = turn @ plane
    return turn


def _block_mean(values: Array) -> Array:
    """Return the mean over blocks of 2 x 2 x 2."""
    a, b, c = (side // 2 for side in values.shape)
    return np.asarray(values.reshape(a, 2, b, 2, c, 2).mean(axis=(1, 3, 5)), dtype=np.float32)
