"""Which mark of a reader belongs to which lesion: the rule comes first, every curve of detection follows from it.

Boxes are arrays (count, 2 D): the lower corner, then the upper corner, in D dimensions; a point is a box of no size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from coread.statistics.arrays import Floats, Indices, Integers, gathered, images_of_groups, same_length
from coread.statistics.errors import UnsuitableData

Boxes = Sequence[ArrayLike]
"""One array of boxes per image."""


@dataclass(frozen=True, slots=True)
class MatchRule:
    """When a mark hits a lesion.

    ``iou``: intersection over union at least ``limit``. ``centre``: the mark's centre lies in the lesion's box.
    ``distance``: centres at most ``limit`` apart. ``radius``: centres no further apart than half the lesion's largest
    side (LUNA16).
    """

    kind: Literal["iou", "centre", "distance", "radius"] = "iou"
    limit: float = 0.5
    duplicates: Literal["ignored", "false"] = "ignored"
    """A second mark on a lesion that is already found: left out (LUNA16), or a false positive (COCO)."""

    def __post_init__(self) -> None:
        if self.kind == "iou" and not 0.0 < self.limit <= 1.0:
            raise UnsuitableData(f"an intersection over union lies in (0, 1], got {self.limit}.")
        if self.kind == "distance" and self.limit < 0:
            raise UnsuitableData("a distance cannot be negative.")


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """All marks of a reader on all images, and how many lesions each image has."""

    score: Floats
    image: Integers
    lesion: Integers
    """The number of the lesion in its image that a mark hits, -1 for a false positive."""
    lesions_per_image: Integers

    @property
    def images(self) -> int:
        """Return the number of images, those without marks included."""
        return len(self.lesions_per_image)

    @property
    def lesions(self) -> int:
        """Return the number of lesions."""
        return int(self.lesions_per_image.sum())

    def of_images(self, chosen: Indices) -> "Marks":
        """Return the marks of a resample: image k of the answer is ``chosen[k]``; an image may come several times."""
        order, starts, counts = images_of_groups(self.image, self.images)
        taken = gathered(order, starts, counts, chosen)
        image = np.repeat(np.arange(len(chosen)), counts[chosen])
        return Marks(self.score[taken], image, self.lesion[taken], self.lesions_per_image[chosen])


def match(truth: Boxes, found: Boxes, scores: Sequence[ArrayLike], rule: MatchRule = MatchRule()) -> Marks:
    """Assign marks to lesions image by image: the highest score chooses first, and takes the best lesion still free."""
    same_length(truth, found, scores)
    kept: list[tuple[Floats, Integers]] = []
    for lesions, boxes, given in zip(truth, found, scores, strict=True):
        score = np.asarray(given, dtype=np.float64).reshape(-1)
        marks = box_array(boxes)
        if len(marks) != len(score) or np.isnan(score).any():
            raise UnsuitableData(
                f"every mark needs one score that is a number: {len(marks)} marks, {len(score)} scores."
            )
        hit = assign(closeness(box_array(lesions), marks, rule), score, rule)
        here = hit > -2
        kept.append((score[here], hit[here]))
    lengths = [len(score) for score, _ in kept]
    return Marks(
        score=np.concatenate([score for score, _ in kept]) if kept else np.empty(0),
        image=np.repeat(np.arange(len(kept)), lengths).astype(np.int64),
        lesion=np.concatenate([hit for _, hit in kept]) if kept else np.empty(0, dtype=np.int64),
        lesions_per_image=np.array([len(box_array(lesions)) for lesions in truth], dtype=np.int64),
    )


def box_array(boxes: ArrayLike) -> Floats:
    """Return boxes as a float array (count, 2 D); an upper corner below its lower corner is refused."""
    array = np.asarray(boxes, dtype=np.float64)
    if array.size == 0:
        return np.empty((0, 4)) if array.ndim < 2 else array.reshape(0, array.shape[-1])
    if array.ndim != 2 or array.shape[1] % 2:
        raise UnsuitableData(f"boxes must have shape (count, 2 x dimensions), got {array.shape}.")
    half = array.shape[1] // 2
    if not np.isfinite(array).all() or (array[:, half:] < array[:, :half]).any():
        raise UnsuitableData("a box needs finite corners, the lower one first.")
    return array


def overlaps(truth: Floats, found: Floats) -> Floats:
    """Return the intersection over union of every pair, shape (lesions, marks)."""
    if len(truth) == 0 or len(found) == 0:
        return np.zeros((len(truth), len(found)))
    half = truth.shape[1] // 2
    low = np.maximum(truth[:, None, :half], found[None, :, :half])
    high = np.minimum(truth[:, None, half:], found[None, :, half:])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    sizes = (truth[:, half:] - truth[:, :half]).prod(axis=-1)
    others = (found[:, half:] - found[:, :half]).prod(axis=-1)
    union = sizes[:, None] + others[None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def closeness(truth: Floats, found: Floats, rule: MatchRule) -> Floats:
    """Return how well each mark fits each lesion, shape (lesions, marks): larger is better, -inf is no hit."""
    if len(truth) == 0 or len(found) == 0:
        return np.full((len(truth), len(found)), -np.inf)
    if truth.shape[1] != found.shape[1]:
        raise UnsuitableData("lesions and marks have different numbers of dimensions.")
    if rule.kind == "iou":
        fit = overlaps(truth, found)
        return np.where(fit >= rule.limit, fit, -np.inf)
    half = truth.shape[1] // 2
    centres = (found[:, :half] + found[:, half:]) / 2
    middles = (truth[:, :half] + truth[:, half:]) / 2
    apart = np.linalg.norm(middles[:, None] - centres[None], axis=-1)
    if rule.kind == "centre":
        inside = ((centres[None] >= truth[:, None, :half]) & (centres[None] <= truth[:, None, half:])).all(axis=-1)
    elif rule.kind == "distance":
        inside = apart <= rule.limit
    else:
        inside = apart <= (truth[:, half:] - truth[:, :half]).max(axis=-1)[:, None] / 2
    return np.where(inside, -apart, -np.inf)


def assign(fit: Floats, scores: Floats, rule: MatchRule) -> Integers:
    """Return for each mark its lesion, -1 for a false positive, -2 for an ignored second mark on a found lesion."""
    taken = np.zeros(len(fit), dtype=np.bool_)
    hit = np.full(len(scores), -1, dtype=np.int64)
    if len(fit) == 0:
        return hit
    for mark in np.argsort(-scores, kind="stable"):
        column = fit[:, mark]
        free = np.where(taken, -np.inf, column)
        best = int(np.argmax(free))
        if np.isfinite(free[best]):
            taken[best] = True
            hit[mark] = best
        elif rule.duplicates == "ignored" and np.isfinite(column).any():
            hit[mark] = -2
    return hit
