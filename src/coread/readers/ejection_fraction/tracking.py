"""From the probabilities of all phases and slices to one ventricle: which region it is, its areas, its coverage."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.readers.ejection_fraction.outputs import CAVITY, MUSCLE

Shares = NDArray[np.float32]
Mask = NDArray[np.bool_]
_PRESENT = 0.8
"""Quantile over the phases: what is cavity in a fifth of the beat belongs to the ventricle's region."""
_AROUND_PIXELS = 4
_WALL_PIXELS = 10
_LEAST_ENCLOSED = 0.5
"""Convention of the short axis: what is enclosed by muscle for at least half of its circumference is ventricle."""
_LEAST_WALL = 0.65
"""Of the thickness in the middle of the ventricle: the wall of the atrium is thinner."""
_MOST_RISE = 1.35
"""Of the area from one slice to the next, away from the middle: beyond it another thing begins, such as the atrium."""
_SMALL_PIXELS = 20
_FEW_SLICES = 4


@dataclass(frozen=True, slots=True, eq=False)
class Ventricle:
    """The left ventricle in every phase."""

    shares: Shares
    """(phases, slices, side, side): probability of cavity within the ventricle's region, 0 elsewhere."""
    towards_base: int
    """1 where the base lies at the last slice, -1 where it lies at the first."""
    roundness: float
    """Median over the slices of the shorter by the longer axis of the cavity, 0 to 1."""
    enclosed: float
    """Share of the cavity's border that lies beside muscle, mean over phases and slices with a cavity."""

    def mask(self, phase: int) -> Mask:
        """Return the cavity of a phase (slices, side, side)."""
        return np.asarray(self.shares[phase] >= 0.5)


def shares_of(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the softmax over axis 1."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)


def ventricle_of(shares: NDArray[np.float32]) -> Ventricle | None:
    """Return the ventricle from shares (phases, slices, classes, side, side), or ``None`` where there is no cavity.

    Its region is the connected one, over slices and most of the beat, with the most cavity. A slice counts where
    muscle encloses at least half of the cavity and, at the base, is not much thinner than in the middle: else it is
    atrium or outflow tract.
    """
    from scipy import ndimage

    cavity, muscle = shares[:, :, CAVITY], shares[:, :, MUSCLE]
    usual = np.quantile(cavity, _PRESENT, axis=0)
    labels, count = ndimage.label(usual > 0.5)
    if count == 0:
        return None
    sizes = ndimage.sum_labels(usual, labels, index=np.arange(1, count + 1))
    region = labels == int(np.argmax(sizes)) + 1
    flat = np.zeros((3, 3, 3), dtype=bool)
    flat[1] = ndimage.generate_binary_structure(2, 1)
    near = ndimage.binary_dilation(region, flat, iterations=_AROUND_PIXELS)
    kept = np.stack([_of_region(phase, region, near) for phase in cavity])
    walls = np.array([[_wall(*pair) for pair in zip(*both, strict=True)] for both in zip(kept, muscle, strict=True)])
    towards_base = _towards_base(kept, walls)
    counted = _ventricular(kept, walls, towards_base)
    if not counted.any():
        return None
    kept[~counted] = 0
    return Ventricle(kept, towards_base, _roundness(region), float(walls[..., 0][counted].mean()))


def _of_region(cavity: Shares, region: Mask, near: Mask) -> Shares:
    """Keep, in each slice, the pieces of one phase that touch the region, with a rim for the soft edge."""
    from scipy import ndimage

    out = np.zeros_like(cavity)
    for number in range(len(cavity)):
        labels, count = ndimage.label(cavity[number] > 0.5)
        touched = np.unique(labels[region[number]]) if count else np.zeros(0, dtype=np.int64)
        piece = np.isin(labels, touched[touched > 0]) & near[number]
        if piece.any():
            filled = ndimage.binary_fill_holes(piece)
            rim = ndimage.binary_dilation(filled, iterations=2)
            out[number] = np.where(filled, np.maximum(cavity[number], 0.5), np.where(rim, cavity[number], 0))
    return out


def _wall(cavity: Shares, muscle: Shares) -> tuple[float, float]:
    """Return how much of the border of a cavity lies beside muscle, and how thick that is on average, in pixels."""
    from scipy import ndimage

    inside = cavity >= 0.5
    if not inside.any():
        return 0.0, 0.0
    border = ndimage.binary_dilation(inside, iterations=2) & ~ndimage.binary_dilation(inside)
    around = ndimage.binary_dilation(inside, iterations=_WALL_PIXELS) & (muscle > 0.5)
    blood, whole = float(inside.sum()), float(inside.sum() + around.sum())
    thick = float(np.sqrt(whole / np.pi) - np.sqrt(blood / np.pi))
    return float((muscle[border] > 0.4).mean()), thick


def _sound(kept: Shares, walls: NDArray[np.float64]) -> Mask:
    return np.asarray((kept.sum(axis=(2, 3)) > 0) & (walls[..., 0] >= _LEAST_ENCLOSED))


def _towards_base(kept: Shares, walls: NDArray[np.float64]) -> int:
    """Return 1 where the cavity is larger among the last slices that it is in, -1 where among the first."""
    areas = np.where(_sound(kept, walls), kept.sum(axis=(2, 3), dtype=np.float64), 0).sum(axis=0)
    slices = np.flatnonzero(areas)
    third = max(1, len(slices) // 3)
    return 1 if areas[slices[-third:]].sum() > areas[slices[:third]].sum() else -1


def _ventricular(kept: Shares, walls: NDArray[np.float64], towards_base: int) -> Mask:
    """Say which slices of which phases count (phases, slices): from the middle outwards until one does not."""
    areas = kept.sum(axis=(2, 3), dtype=np.float64)
    sound = _sound(kept, walls)
    counted = np.zeros_like(sound)
    for phase in range(len(sound)):
        slices = np.flatnonzero(sound[phase])
        if len(slices) < _FEW_SLICES:
            counted[phase] = sound[phase]
            continue
        third = len(slices) // 3
        middle = int(slices[len(slices) // 2])
        usual = float(np.median(walls[phase, slices[third : len(slices) - third], 1]))
        for step in (-1, 1):
            before, place = areas[phase, middle], middle
            while 0 <= place < sound.shape[1] and sound[phase, place]:
                risen = areas[phase, place] > max(_MOST_RISE * before, before + _SMALL_PIXELS)
                if risen or (step == towards_base and walls[phase, place, 1] < _LEAST_WALL * usual):
                    break
                counted[phase, place] = True
                before, place = areas[phase, place], place + step
    return counted


def _roundness(region: Mask) -> float:
    found = []
    for plane in region:
        points = np.argwhere(plane)
        if len(points) >= 12:
            low, high = np.linalg.eigvalsh(np.cov(points.T))
            found.append(float(np.sqrt(max(low, 0.0) / high)))
    return float(np.median(found)) if found else 0.0
