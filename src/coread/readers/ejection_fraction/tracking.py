"""From the probabilities of all phases and slices to one ventricle: which region it is, its areas, its coverage."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.readers.ejection_fraction.outputs import CAVITY, MUSCLE, PIXEL_MM

Shares = NDArray[np.float32]
Mask = NDArray[np.bool_]
_PRESENT = 0.8
"""Quantile over the phases: what is cavity in a fifth of the beat belongs to the ventricle's region."""
_AROUND_PIXELS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Ventricle:
    """The left ventricle in every phase."""

    shares: Shares
    """(phases, slices, side, side): probability of cavity within the ventricle's region, 0 elsewhere."""
    areas_mm2: NDArray[np.float64]
    """(phases, slices)."""
    roundness: float
    """Median over the slices of the shorter by the longer axis of the cavity, 0 to 1."""
    enclosed: float
    """Share of the cavity's border that lies beside muscle, over phases and slices with a cavity."""

    def mask(self, phase: int) -> Mask:
        """Return the cavity of a phase (slices, side, side)."""
        return np.asarray(self.shares[phase] >= 0.5)


def shares_of(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the softmax over axis 1."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)


def ventricle_of(shares: NDArray[np.float32], pixel_mm: float = PIXEL_MM) -> Ventricle | None:
    """Return the ventricle from shares (phases, slices, classes, side, side), or ``None`` where there is no cavity.

    Its region is the connected one, over slices and most of the beat, with the most cavity; area is the sum of the
    probabilities, so that an edge counts by parts of a pixel.
    """
    from scipy import ndimage

    cavity = shares[:, :, CAVITY]
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
    areas = kept.sum(axis=(2, 3), dtype=np.float64) * pixel_mm**2
    return Ventricle(kept, areas, _roundness(region), _enclosed(kept >= 0.5, shares[:, :, MUSCLE]))


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


def _roundness(region: Mask) -> float:
    found = []
    for plane in region:
        points = np.argwhere(plane)
        if len(points) >= 12:
            low, high = np.linalg.eigvalsh(np.cov(points.T))
            found.append(float(np.sqrt(max(low, 0.0) / high)))
    return float(np.median(found)) if found else 0.0


def _enclosed(cavity: Mask, muscle: Shares) -> float:
    from scipy import ndimage

    cross = np.zeros((1, 1, 3, 3), dtype=bool)
    cross[0, 0] = ndimage.generate_binary_structure(2, 1)
    border = ndimage.binary_dilation(cavity, cross, iterations=2) & ~ndimage.binary_dilation(cavity, cross)
    return float((muscle[border] > 0.4).mean()) if border.any() else 0.0
