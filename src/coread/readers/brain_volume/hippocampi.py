"""Both hippocampi of a whole head: looked for where they usually lie, outlined by the network of single hippocampi."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry
from coread.domain.images import Volume
from coread.domain.reading import ModelSession
from coread.imaging.resampling import resampled_array
from coread.readers.brain_volume.head import Array, Head, sampled, upright_grid
from coread.readers.brain_volume.outputs import HIPPOCAMPUS, HIPPOCAMPUS_SHAPE, INPUT, PARTS
from coread.readers.brain_volume.parts import crop_intensities
from coread.readers.brain_volume.places import HIPPOCAMPUS_MM, SEARCH_MM, middle_and_size

Mask = NDArray[np.bool_]
SIDES = ("right", "left")
_PLAUSIBLE_ML = (0.8, 6.0)
_LEAST_AGREEMENT = 0.8
_FARTHEST_MM = 22.0
_NEAR = 3
_SUREST = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Hippocampus:
    """One hippocampus, on a grid of 1 mm of its own."""

    side: str
    parts: NDArray[np.uint8]
    """0 elsewhere, 1 anterior, 2 posterior."""
    share: Array
    """What the network says of each voxel, 0 to 1; it is too sure of itself."""
    grid: Geometry
    doubt: str
    """Why it should not be trusted; empty when nothing speaks against it."""

    def volume_ml(self, part: int | None = None) -> float:
        """Return the volume of the whole or of one part."""
        chosen = self.parts > 0 if part is None else self.parts == part
        return float(chosen.sum()) / 1000

    def mask(self, geometry: Geometry) -> Mask:
        """Return the outline on another grid."""
        return np.asarray(resampled_array((self.parts > 0).astype(np.float32), self.grid, geometry) > 0.5)

    def probability(self, geometry: Geometry, temperature: float) -> NDArray[np.float32]:
        """Return how likely each voxel of another grid belongs to it; 0 farther from the outline than is measured."""
        near = near_outline(self.parts > 0)
        likely = np.where(near, cooled(self.share, temperature), 0).astype(np.float32)
        return np.asarray(np.clip(resampled_array(likely, self.grid, geometry), 0, 1), dtype=np.float32)


def near_outline(outline: Mask) -> Mask:
    """Return the voxels of an outline and up to 3 mm around it: there probabilities were measured and are given."""
    from scipy import ndimage

    return np.asarray(ndimage.binary_dilation(outline, iterations=_NEAR), dtype=np.bool_)


def cooled(share: NDArray[np.floating[Any]], temperature: float) -> NDArray[np.float64]:
    """Return shares as probabilities: their logits divided by a temperature (Guo et al. 2017)."""
    sure = np.clip(np.asarray(share, dtype=np.float64), _SUREST, 1 - _SUREST)
    return np.asarray(1 / (1 + (1 / sure - 1) ** (1 / temperature)), dtype=np.float64)


def hippocampi_of(session: ModelSession, volume: Volume, head: Head) -> tuple[Hippocampus, ...]:
    """Return what was found on either side, right first; a side where nothing was outlined is left out."""
    found = []
    middle, size = middle_and_size(head)
    up, back, aside = HIPPOCAMPUS_MM
    for side in SIDES:
        sign = 1 if side == "left" else -1
        guesses = [middle + np.array([sign * aside, back + b, up + u]) * size for u, b in SEARCH_MM]
        looks = [_outlined(session, volume, guess) for guess in guesses]
        scores = [_score(look) for look in looks]
        first = looks[int(np.argmax(scores))]
        for _ in range(2):
            if not first[0].any():
                break
            places = np.argwhere(first[0] > 0)
            again = first[2].to_patient(((places.min(axis=0) + places.max(axis=0)) / 2)[np.newaxis])[0]
            second = _outlined(session, volume, again)
            first, before = second, first
        if not first[0].any():
            continue
        away = np.linalg.norm(first[2].to_patient((np.asarray(HIPPOCAMPUS_SHAPE)[np.newaxis] - 1) / 2)[0] - guesses[0])
        doubt = _doubt(before, first)
        if not doubt and away > _FARTHEST_MM:
            doubt = f"it lies {away:.0f} mm from where one is expected"
        found.append(Hippocampus(side, *first, doubt))
    return tuple(found)


def _score(look: tuple[NDArray[np.uint8], Array, Geometry]) -> float:
    """Return how much was outlined surely, less what the border of the look cuts."""
    labels, share, _ = look
    sure = (share > 0.9) & (labels > 0)
    cut = sum(int((labels.take(end, axis) > 0).sum()) for axis in range(3) for end in (0, -1))
    return float(min(sure.sum(), 5000)) - 20 * cut


def _outlined(
    session: ModelSession, volume: Volume, middle: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], Array, Geometry]:
    from scipy import ndimage

    grid = upright_grid(middle, HIPPOCAMPUS_SHAPE, 1.0, volume.geometry.frame_of_reference_uid)
    image = crop_intensities(sampled(volume, grid))
    logits = session.run(HIPPOCAMPUS, {INPUT: image[np.newaxis, np.newaxis]})[PARTS][0].astype(np.float32)
    labels = logits.argmax(axis=0).astype(np.uint8)
    pieces, count = ndimage.label(labels > 0)
    if count > 1:
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        labels[pieces != int(sizes.argmax())] = 0
    powers = np.exp(logits - logits.max(axis=0))
    share = 1 - powers[0] / powers.sum(axis=0)
    return labels, np.asarray(share, dtype=np.float32), grid


def _doubt(
    first: tuple[NDArray[np.uint8], Array, Geometry], second: tuple[NDArray[np.uint8], Array, Geometry]
) -> str:  # fmt: skip
    labels, _, grid = second
    mask = labels > 0
    size = float(mask.sum()) / 1000
    if not _PLAUSIBLE_ML[0] <= size <= _PLAUSIBLE_ML[1]:
        return f"{size:.2f} ml is not plausible"
    if not all((labels == part).any() for part in (1, 2)):
        return "one of its two parts is missing"
    if any(mask.take(end, axis).any() for axis in range(3) for end in (0, -1)):
        return "it reaches the border of what was looked at"
    other = resampled_array((first[0] > 0).astype(np.float32), first[2], grid) > 0.5
    agreement = 2 * float((other & mask).sum()) / float(other.sum() + mask.sum())
    if agreement < _LEAST_AGREEMENT:
        return f"two looks at it agree by {agreement:.2f} only (Dice)"
    return ""
