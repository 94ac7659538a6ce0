"""Where the reader marks something: boxes against boxes, FROC and its relatives, how often the centre is hit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import Estimate
from coread.statistics.errors import NotEstimable
from coread.statistics.froc import (
    afroc_auc,
    afroc_curve,
    cpm,
    froc_curve,
    froc_estimate,
    jafroc_estimate,
    sensitivity_at_rate,
)
from coread.statistics.intervals import Resampling, proportion
from coread.statistics.matching import Marks, MatchRule, match
from coread.validate.cohort import READ
from coread.validate.measure_settings import MeasureSettings
from coread.validate.observations import Observation
from coread.validate.plain import Plain, not_estimable, plain_estimate, rounded, stated, thinned

RATES = (0.125, 0.25, 0.5, 1.0, 2.0)
"""False positives per image at which lesion sensitivity is given."""
COCO = MatchRule("iou", 0.5, "false")
CENTRE = MatchRule("centre")


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Every picture on which somebody marked (or looked for) lesions of one output."""

    truth: tuple[NDArray[np.float64], ...]
    found: tuple[NDArray[np.float64], ...]
    scores: tuple[NDArray[np.float64], ...]
    patients: NDArray[np.str_]
    read: NDArray[np.bool_]

    def marks(self, rule: MatchRule) -> Marks:
        """Assign the reader's marks to the lesions."""
        return match(self.truth, self.found, self.scores, rule)


def measure_places(observations: Sequence[Observation], settings: MeasureSettings) -> dict[str, Plain]:
    """Return, for every output that the truth has boxes of, what was found and what was marked wrongly."""
    keys = sorted({box.label for item in observations for box in item.case.boxes or ()})
    return {key: measure_boxes(pictures_of(key, observations), settings) for key in keys}


def pictures_of(key: str, observations: Sequence[Observation]) -> Pictures:
    """Return the pictures of the cases whose lesions of this output are all marked, refused ones without marks."""
    truth, found, scores, patients, read = [], [], [], [], []
    for item in observations:
        case, record = item.case, item.record
        lesions = [box for box in case.boxes or () if box.label == key]
        unmarked = not lesions and case.truth.get(key, False)
        if case.boxes is None or unmarked or case.expect != READ:
            continue
        for number in range(len(case.files)):
            marks = [box for box in record.boxes if box.key == key and box.image == number]
            truth.append(_corners([(b.x0, b.y0, b.x1, b.y1) for b in lesions if b.image == number]))
            found.append(_corners([(b.x0, b.y0, b.x1, b.y1) for b in marks]))
            scores.append(np.array([box.score for box in marks], dtype=np.float64))
            patients.append(item.patient)
            read.append(record.was_read)
    return Pictures(
        tuple(truth), tuple(found), tuple(scores), np.array(patients, dtype=np.str_), np.array(read, dtype=np.bool_)
    )


def measure_boxes(pictures: Pictures, settings: MeasureSettings) -> Plain:
    """Return average precision, FROC, AFROC, JAFROC and centre hits; a picture that was not read has no mark."""
    lesions = int(sum(len(boxes) for boxes in pictures.truth))
    body: Plain = {
        "pictures": len(pictures.truth),
        "pictures_not_read": int((~pictures.read).sum()),
        "lesions": lesions,
        "marks": int(sum(len(boxes) for boxes in pictures.found)),
        "note": "every box of an answer is a mark, scored by the probability of its finding; boxes that the reader "
        "leaves out at its operating point are not measured; lesions of pictures that were not read count as missed",
    }
    if not lesions:
        return body | {"ap50": not_estimable("no lesions in these images")}
    plan = settings.plan(500)
    overlap, centre = pictures.marks(COCO), pictures.marks(CENTRE)
    return body | {
        "ap50": precision_of(pictures, overlap, plan),
        "found_iou50": found_lesions(pictures, overlap),
        "found_centre": found_lesions(pictures, centre),
        "false_marks_per_picture": false_marks(centre, pictures, plan),
        "cpm": stated(lambda: froc_estimate(centre, cpm, pictures.patients, plan=plan)),
        "sensitivity_at": {str(rate): _at_rate(centre, rate, pictures, plan) for rate in RATES},
        "afroc_area": stated(lambda: froc_estimate(centre, afroc_auc, pictures.patients, plan=plan)),
        "jafroc": stated(lambda: jafroc_estimate(centre, pictures.patients)),
        "jafroc1": stated(lambda: jafroc_estimate(centre, pictures.patients, normals_only=False)),
        "mean_overlap_of_hits": _mean_overlap(pictures),
        "curves": _curves(centre),
    }


def average_precision(marks: Marks) -> float:
    """Return the average precision of marks that were matched by overlap: COCO's 101 points of recall."""
    if marks.lesions == 0:
        raise NotEstimable("no true boxes: precision and recall are not defined.")
    order = np.argsort(-marks.score, kind="stable")
    hits = np.cumsum(marks.lesion[order] >= 0)
    recall = hits / marks.lesions
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    places = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    reached = np.zeros(101)
    reached[places < len(precision)] = precision[places[places < len(precision)]]
    return float(reached.mean())


def precision_of(pictures: Pictures, overlap: Marks, plan: Resampling) -> Plain:
    """Return the average precision with its interval over patients.

    Where no lesion was hit, resamples know nothing else than 0: then the upper bound is that of the share of lesions
    found, which the average precision never exceeds.
    """
    if overlap.lesions and not (overlap.lesion >= 0).any():
        found = proportion(*lesion_hits(pictures, overlap))
        return plain_estimate(Estimate(0.0, 0.0, found.high, overlap.images))
    return stated(lambda: froc_estimate(overlap, average_precision, pictures.patients, plan=plan))


def _corners(boxes: Sequence[tuple[float, float, float, float]]) -> NDArray[np.float64]:
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def lesion_hits(pictures: Pictures, marks: Marks) -> tuple[NDArray[np.bool_], NDArray[np.str_]]:
    """Return for every lesion whether it has a mark, at whatever score the reader marks, and whose it is."""
    starts = np.r_[0, np.cumsum(marks.lesions_per_image)[:-1]]
    hit = np.zeros(marks.lesions, dtype=np.bool_)
    right = marks.lesion >= 0
    hit[starts[marks.image[right]] + marks.lesion[right]] = True
    return hit, np.repeat(pictures.patients, marks.lesions_per_image)


def found_lesions(pictures: Pictures, marks: Marks) -> Plain:
    """Return the share of lesions that have a mark."""
    return stated(lambda: proportion(*lesion_hits(pictures, marks)))


def false_marks(marks: Marks, pictures: Pictures, plan: Resampling) -> Plain:
    """Return the marks of a picture that lie on no lesion, on average."""
    return stated(
        lambda: froc_estimate(
            marks, lambda part: float((part.lesion < 0).sum() / part.images), pictures.patients, plan=plan
        )
    )


def _at_rate(marks: Marks, rate: float, pictures: Pictures, plan: Resampling) -> Plain:
    def measured() -> Estimate:
        return froc_estimate(
            marks, lambda part: sensitivity_at_rate(froc_curve(part), rate), pictures.patients, plan=plan
        )

    return stated(measured)


def _mean_overlap(pictures: Pictures) -> float | None:
    """Return the mean intersection over union of lesions with their best mark, among lesions whose centre is hit."""
    overlaps = []
    for lesions, marks in zip(pictures.truth, pictures.found, strict=True):
        if len(lesions) and len(marks):
            table = _iou(lesions, marks)
            overlaps += [float(value) for value in table.max(axis=1) if value > 0]
    return rounded(float(np.mean(overlaps))) if overlaps else None


def _iou(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    inner = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other)]
    return np.asarray(inner / (areas[0][:, None] + areas[1][None, :] - inner))


def _curves(marks: Marks) -> Plain:
    froc = froc_curve(marks)
    body: Plain = {
        "froc": {
            "columns": ["false_positives_per_image", "sensitivity"],
            "rows": thinned(froc.false_positives_per_image, froc.sensitivity),
        }
    }
    try:
        afroc = afroc_curve(marks)
    except NotEstimable as problem:
        return body | {"afroc": not_estimable(str(problem))}
    columns = ["false_positive_fraction", "sensitivity"]
    return body | {"afroc": {"columns": columns, "rows": thinned(afroc.false_positive_fraction, afroc.sensitivity)}}
