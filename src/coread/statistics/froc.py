"""Detection of several lesions per image: FROC, AFROC, the figure of merit of JAFROC, intervals, box precision."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from coread.domain.cards import Estimate
from coread.statistics.arrays import Floats, Groups, Integers, ends_of_levels, members_of, same_length
from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.intervals import SHORT, Progress, Resampling, bootstrap, estimate, two_sided
from coread.statistics.matching import Marks, MatchRule, assign, box_array, closeness, match
from coread.statistics.roc import midranks

__all__ = ["Marks", "MatchRule", "match"]
CPM_RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives per image at which LUNA16 averages sensitivity."""
COCO_OVERLAPS = tuple(round(0.5 + 0.05 * k, 2) for k in range(10))
_MOST_BOXES = 100
_RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, slots=True, eq=False)
class FrocCurve:
    """One point per distinct score, highest first, after the point where nothing is marked."""

    thresholds: Floats
    false_positives_per_image: Floats
    sensitivity: Floats
    """Share of lesions found."""


@dataclass(frozen=True, slots=True, eq=False)
class AfrocCurve:
    """Share of lesions found against the share of images without lesions that have a false positive."""

    thresholds: Floats
    false_positive_fraction: Floats
    sensitivity: Floats


@dataclass(frozen=True, slots=True)
class BoxPrecision:
    """Mean average precision as COCO defines it."""

    mean: float
    at_50: float
    at_75: float
    by_class: tuple[tuple[int, float], ...]
    """Class and its average precision, mean over overlaps."""


def froc_curve(marks: Marks) -> FrocCurve:
    """Return sensitivity against false positives per image (Bunch et al. 1978)."""
    _need_lesions(marks)
    order = np.argsort(-marks.score, kind="stable")
    score, false = marks.score[order], marks.lesion[order] < 0
    ends = ends_of_levels(score)
    wrong, right = np.cumsum(false)[ends], np.cumsum(~false)[ends]
    return FrocCurve(np.r_[np.inf, score[ends]], np.r_[0.0, wrong / marks.images], np.r_[0.0, right / marks.lesions])


def sensitivity_at_rate(curve: FrocCurve, rate: float) -> float:
    """Return the sensitivity at so many false positives per image, linear between points, constant after the last."""
    if rate < 0:
        raise UnsuitableData("a rate of false positives cannot be negative.")
    return float(np.interp(rate, curve.false_positives_per_image, curve.sensitivity))


def cpm(marks: Marks) -> float:
    """Return the competition performance metric: mean sensitivity at 1/8 .. 8 false positives per image (LUNA16)."""
    curve = froc_curve(marks)
    return float(np.mean([sensitivity_at_rate(curve, rate) for rate in CPM_RATES]))


def afroc_curve(marks: Marks) -> AfrocCurve:
    """Return the alternative FROC curve (Chakraborty and Winter 1990); it ends at the last mark, not at (1, 1)."""
    lesions, normals = _ratings(marks, normals_only=True)
    levels = np.unique(np.r_[lesions, normals])[::-1]
    levels = levels[np.isfinite(levels)]
    found, false = np.sort(lesions), np.sort(normals)
    return AfrocCurve(
        np.r_[np.inf, levels],
        np.r_[0.0, 1 - np.searchsorted(false, levels) / len(false)],
        np.r_[0.0, 1 - np.searchsorted(found, levels) / len(found)],
    )


def afroc_auc(marks: Marks) -> float:
    """Return the area under the AFROC curve, joined to (1, 1) by a straight line."""
    curve = afroc_curve(marks)
    x, y = np.r_[curve.false_positive_fraction, 1.0], np.r_[curve.sensitivity, 1.0]
    return float(np.trapezoid(y, x))


def jafroc(marks: Marks, *, normals_only: bool = True) -> float:
    """Return the chance that a lesion is rated above the highest false positive of an image.

    Chakraborty and Berbaum (2004). Unmarked lesions and images rank lowest, ties count half. The images are those
    without lesions, or all of them (JAFROC1) with ``normals_only=False``.
    """
    lesions, others = _ratings(marks, normals_only=normals_only)
    ranks = midranks(np.r_[lesions, others])
    count = len(lesions)
    return float((ranks[:count].sum() - count * (count + 1) / 2) / (count * len(others)))


def jafroc_estimate(
    marks: Marks, groups: Groups | None = None, *, normals_only: bool = True, level: float = 0.95
) -> Estimate:
    """Return the figure of merit with a jackknife interval over patients (``groups``: patient of each image)."""
    value = jafroc(marks, normals_only=normals_only)
    member, patients = members_of(groups, marks.images)
    if patients < 3:
        raise NotEstimable("a jackknife over fewer than three patients says nothing.")
    left = np.array(
        [jafroc(marks.of_images(np.flatnonzero(member != p)), normals_only=normals_only) for p in range(patients)]
    )
    spread = float(np.sqrt((patients - 1) / patients * ((left - left.mean()) ** 2).sum()))
    half = two_sided(level) * spread
    return estimate(value, max(0.0, value - half), min(1.0, value + half), marks.images)


def froc_estimate(
    marks: Marks,
    statistic: Callable[[Marks], float] = cpm,
    groups: Groups | None = None,
    *,
    plan: Resampling = SHORT,
    progress: Progress | None = None,
) -> Estimate:
    """Return any figure of marks with its bootstrap interval over patients (``groups``: patient of each image)."""
    return bootstrap(
        lambda chosen: statistic(marks.of_images(chosen)),
        marks.images if groups is None else groups,
        plan=plan,
        progress=progress,
    )


def box_average_precision(
    truth: Sequence[ArrayLike], found: Sequence[ArrayLike], scores: Sequence[ArrayLike], *, overlap: float = 0.5
) -> float:
    """Return the average precision of one class of boxes at one overlap: 101 recall points, as COCO does."""
    marks = match(truth, found, scores, MatchRule("iou", overlap, "false"))
    return _interpolated(marks.score, marks.lesion >= 0, marks.lesions)


def mean_average_precision(
    truth: Sequence[ArrayLike], found: Sequence[ArrayLike], *, overlaps: Sequence[float] = COCO_OVERLAPS
) -> BoxPrecision:
    """Return COCO's mean average precision; rows (class, corners ...), and found rows end with a score.

    At most 100 boxes per image and class count, the best ones. Classes without a true box are left out.
    """
    same_length(truth, found)
    known = [_table(rows, 5) for rows in truth]
    given = [_table(rows, 6) for rows in found]
    classes = sorted({int(label) for rows in known for label in rows[:, 0]})
    if not classes:
        raise NotEstimable("no true boxes: precision and recall are not defined.")
    if not {0.5, 0.75} <= set(overlaps):
        raise UnsuitableData("the overlaps must hold 0.5 and 0.75.")
    table = np.array([_class_precisions(known, given, label, overlaps) for label in classes])
    columns = list(overlaps)
    return BoxPrecision(
        mean=float(table.mean()),
        at_50=float(table[:, columns.index(0.5)].mean()),
        at_75=float(table[:, columns.index(0.75)].mean()),
        by_class=tuple((label, float(row.mean())) for label, row in zip(classes, table, strict=True)),
    )


def _class_precisions(
    known: Sequence[Floats], given: Sequence[Floats], label: int, overlaps: Sequence[float]
) -> list[float]:
    images = []
    for lesions, boxes in zip(known, given, strict=True):
        here = boxes[boxes[:, 0] == label]
        here = here[np.argsort(-here[:, -1], kind="stable")[:_MOST_BOXES]]
        images.append((box_array(lesions[lesions[:, 0] == label, 1:]), box_array(here[:, 1:-1]), here[:, -1]))
    total = sum(len(lesions) for lesions, _, _ in images)
    scores = np.concatenate([score for _, _, score in images])
    precisions = []
    for overlap in overlaps:
        rule = MatchRule("iou", overlap, "false")
        hits = [assign(closeness(lesions, boxes, rule), score, rule) for lesions, boxes, score in images]
        precisions.append(_interpolated(scores, np.concatenate(hits) >= 0, total))
    return precisions


def _interpolated(scores: Floats, right: np.ndarray, lesions: int) -> float:
    if lesions == 0:
        raise NotEstimable("no true boxes: precision and recall are not defined.")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    recall = hits / lesions
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    places = np.searchsorted(recall, _RECALLS, side="left")
    reached = np.zeros(len(_RECALLS))
    reached[places < len(precision)] = precision[places[places < len(precision)]]
    return float(reached.mean())


def _table(rows: ArrayLike, columns: int) -> Floats:
    array = np.asarray(rows, dtype=np.float64)
    if array.size == 0:
        return np.empty((0, columns))
    if array.ndim != 2 or array.shape[1] < columns:
        raise UnsuitableData(f"rows of boxes need at least {columns} columns, got shape {array.shape}.")
    return array


def _ratings(marks: Marks, *, normals_only: bool) -> tuple[Floats, Floats]:
    """Return the rating of every lesion, and the highest false positive of every image; unmarked is -inf."""
    _need_lesions(marks)
    starts = np.r_[0, np.cumsum(marks.lesions_per_image)[:-1]]
    lesions = np.full(marks.lesions, -np.inf)
    hits: Integers = np.flatnonzero(marks.lesion >= 0)
    np.maximum.at(lesions, starts[marks.image[hits]] + marks.lesion[hits], marks.score[hits])
    highest = np.full(marks.images, -np.inf)
    wrong = marks.lesion < 0
    np.maximum.at(highest, marks.image[wrong], marks.score[wrong])
    if normals_only:
        highest = highest[marks.lesions_per_image == 0]
        if len(highest) == 0:
            raise NotEstimable("no image without lesions: false positives on normals cannot be measured (use JAFROC1).")
    return lesions, highest


def _need_lesions(marks: Marks) -> None:
    if marks.lesions == 0:
        raise NotEstimable("no lesions in these images: nothing could be found.")
