"""From the fitted members to a locked, measured reader: calibration, thresholds, package, validation, pages."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import Estimate, ReaderCard
from coread.imaging.detections import intersection_over_union
from coread.phantoms.brain_mr import BrainRecipe, brain_slice
from coread.readers.brain_mr_tumor.cohort import WRAP, Learned, cohort_rows
from coread.readers.brain_mr_tumor.outputs import BOX, SIDE, TUMOUR, TYPE, TYPES
from coread.readers.brain_mr_tumor.places import mark_of
from coread.readers.brain_mr_tumor.preprocess import network_picture
from coread.readers.brain_mr_tumor.words import HEADING, MARKING, NAMING, Points, card_of, readme_of
from coread.readers.planar import one_against_rest
from coread.statistics.calibration import Platt
from coread.statistics.confusion import sensitivity_and_specificity
from coread.statistics.froc import box_average_precision
from coread.statistics.intervals import clopper_pearson
from coread.train.crossfit import CrossFitted, platt_of
from coread.train.fit import Fitted
from coread.train.reader_folder import ReaderFolder, install

if TYPE_CHECKING:
    from coread.validate.card_numbers import CardNumbers

__all__ = ["Calibrated", "calibrated", "install", "release"]

HIT = 0.5
"""Overlap with the radiologist's box from which a mark counts as right."""
WANTED = 0.97
HALF = 0.5
COHORT = {
    "name": "Brain tumour slices, held-out blocks",
    "data": "Cheng 2015 subset",
    "split": "blocks held out (20 %)",
    "licence": "CC BY 4.0",
    "citation": "Cheng et al. 2015",
    "reference_standard": "boxes and types by three radiologists of one group",
    "wrap": WRAP,
    "types": {"type": {"outputs": list(TYPES)}},
}
log = logging.getLogger("coread.train")


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What the cross-fitted predictions gave."""

    curves: Mapping[str, Platt]
    thresholds: Mapping[str, float]
    points: Points
    slices: int
    ap50: float
    accuracy: float


def calibrated(learned: Learned, fitted: CrossFitted) -> Calibrated:
    """Fit calibrations and choose the threshold on slices that the predicting member did not learn from."""
    boxes, types = learned.boxes[fitted.rows], learned.types[fitted.rows]
    marks = [mark_of(maps) for maps in fitted.outputs[BOX]]
    found = np.array([mark.box for mark in marks])
    logits = np.array([mark.logit for mark in marks])
    hits = np.array(
        [intersection_over_union(one[None], other[None])[0, 0] >= HIT for one, other in zip(found, boxes, strict=True)]
    )
    curves = {TUMOUR: platt_of(logits, hits)}
    odds = one_against_rest(fitted.outputs[TYPE])
    points: dict[str, tuple[Estimate | None, Estimate | None]] = {}
    for number, key in enumerate(TYPES):
        curves[key] = platt_of(odds[:, number], types == number)
        sure = curves[key].probabilities(odds[:, number])
        points[key] = sensitivity_and_specificity(types == number, sure, HALF)
    probability = curves[TUMOUR].probabilities(logits)
    threshold = _threshold(probability)
    points[TUMOUR] = (clopper_pearson(int((probability >= threshold).sum()), len(marks)), None)
    return Calibrated(
        curves=curves,
        thresholds={TUMOUR: threshold} | dict.fromkeys(TYPES, HALF),
        points=points,
        slices=len(marks),
        ap50=float(box_average_precision([b[None] for b in boxes], [b[None] for b in found], list(logits[:, None]))),
        accuracy=float((fitted.outputs[TYPE].argmax(axis=1) == types).mean()),
    )


def _threshold(probability: NDArray[np.float64]) -> float:
    """Return the highest threshold, in steps of a thousandth, that marks the wanted share of slices."""
    steps = np.arange(1, 1000) / 1000
    enough = [float(step) for step in steps if (probability >= step).mean() >= WANTED]
    return max(enough, default=float(steps[0]))


def golden_images() -> NDArray[np.float32]:
    """Draw slices for the golden cases; no patient."""
    drawn = [brain_slice(BrainRecipe(seed=3, tumour=kind, rows=SIDE)).dataset.pixel_array for kind in TYPES[:2]]
    return np.stack([network_picture(np.rint(pixels / 4095 * 255).astype(np.uint8)) for pixels in drawn])


def release(data: Path, out: Path, members: Sequence[Fitted], found: Calibrated, *, limit: int = 0) -> Path:
    """Export, lock, measure on the held-out blocks, write the measured numbers, lock again, measure again."""
    from coread.validate.cohort_writing import write_cohort
    from coread.validate.releasing import release as release_reader

    folder = ReaderFolder(out / "brain_mr_tumor", Path(__file__).parent, [data])
    graph = folder.write_graph(members)
    log.info("graph of %d bytes; rounding its weights changes outputs by %.2g", graph.size, graph.rounding)
    folder.write_calibration(found.curves)
    card = provisional_card(found, len(members))
    folder.lock(card, HEADING)
    folder.write_golden(golden_images())
    write_cohort(out / "cohort", COHORT | {"root": str(data.resolve())}, cohort_rows(data)[: limit or None])
    cards = [card]

    def lock(numbers: "CardNumbers | None") -> str:
        if numbers is not None:
            cards.append(measured_card(found, len(members), numbers))
        return folder.lock(cards[-1], HEADING)

    report = release_reader(folder.path, out / "cohort", out / "validation", lock)
    (folder.path / "training.json").write_text(
        json.dumps(facts_of(found, len(members)), indent=2) + "\n", encoding="utf-8"
    )
    (folder.path / "README.md").write_text(readme_of(cards[-1], report), encoding="utf-8")
    return folder.path


def provisional_card(found: Calibrated, members: int) -> ReaderCard:
    """Return the card before anything was measured on the held-out part."""
    return card_of(
        thresholds=found.thresholds, points=found.points, aucs={}, measured_on="cross-fitted slices",
        validation=validation_words(found, members),
    )  # fmt: skip


def measured_card(found: Calibrated, members: int, numbers: "CardNumbers") -> ReaderCard:
    """Return the card with the numbers of the validation."""
    names = {TUMOUR: MARKING} | dict.fromkeys(TYPES, NAMING)
    measured = {key: numbers.outputs[key].points[name] for key, name in names.items()}
    points = {key: (item.sensitivity, item.specificity) for key, item in measured.items()}
    return card_of(
        thresholds=found.thresholds,
        points=points,
        aucs={key: numbers.outputs[key].auc for key in TYPES},
        measured_on=numbers.measured_on,
        validation=validation_words(found, members),
    )


def validation_words(found: Calibrated, members: int) -> str:
    """Say on what the card's numbers stand."""
    return (
        "The locked package, run through the engine on the fixed held-out fifth of the blocks (coread validate; see "
        f"validation.json). {members} networks, each fitted without a part of the other blocks, are averaged; "
        f"calibration and threshold come from what each said of the {found.slices} slices that it did not learn from."
    )


def facts_of(found: Calibrated, members: int) -> dict[str, Any]:
    """Return what the cross-fitted predictions gave, as plain data."""
    return {
        "members": members,
        "cross_fitted": {
            "slices": found.slices, "ap50": round(found.ap50, 4), "type_accuracy": round(found.accuracy, 4),
            "thresholds": dict(found.thresholds),
            "platt": {key: asdict(curve) for key, curve in found.curves.items()},
        },
    }  # fmt: skip
