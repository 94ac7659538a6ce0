"""From the fitted members to a locked, measured reader: calibration, thresholds, package, validation, pages."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import Estimate, ReaderCard
from coread.imaging.detections import intersection_over_union
from coread.phantoms.brain_mr import BrainRecipe, brain_slice
from coread.readers.brain_mr_tumor.cohort import PICTURE_SIDE, WRAP, Learned, cohort_rows
from coread.readers.brain_mr_tumor.outputs import BOX, TUMOUR, TYPE, TYPES
from coread.readers.brain_mr_tumor.places import mark_of
from coread.readers.brain_mr_tumor.preprocess import picture_views
from coread.readers.brain_mr_tumor.words import MARKING, NAMING, Points, card_of, readme_of
from coread.readers.lesions.packaging import Release, threshold_for_share
from coread.readers.lesions.packaging import release as finished
from coread.readers.planar import one_against_rest
from coread.statistics.calibration import Platt
from coread.statistics.confusion import sensitivity_and_specificity
from coread.statistics.froc import box_average_precision
from coread.statistics.intervals import clopper_pearson
from coread.train.crossfit import CrossFitted, platt_of
from coread.train.fit import Fitted

if TYPE_CHECKING:
    from coread.validate.card_numbers import CardNumbers

__all__ = ["Calibrated", "calibrated", "release"]

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


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What the cross-fitted predictions gave."""

    curves: Mapping[str, Platt]
    thresholds: Mapping[str, float]
    points: Points
    slices: int
    ap50: float
    accuracy: float


def whole_too(learned: Learned, fitted: CrossFitted, folds: NDArray[np.int64]) -> Mapping[str, NDArray[np.float32]]:
    """Return what the members say of the whole slices, in the order of ``fitted.rows``, as they say it of the heads."""
    said = [
        member.predict(learned.wholes[np.flatnonzero(folds == number)], flips=True)
        for number, member in enumerate(fitted.members)
    ]
    return {name: np.concatenate([one[name] for one in said]) for name in said[0]}


def calibrated(learned: Learned, fitted: CrossFitted, wholes: Mapping[str, NDArray[np.float32]]) -> Calibrated:
    """Fit calibrations and choose the threshold on slices that the predicting member did not learn from."""
    boxes, types = learned.boxes[fitted.rows], learned.types[fitted.rows]
    pairs = zip(fitted.rows, fitted.outputs[BOX], wholes[BOX], strict=True)
    marks = [mark_of([(head, learned.heads[row]), (whole, learned.parts[row])]) for row, head, whole in pairs]
    found = np.array([mark.box or (0.0, 0.0, 1.0, 1.0) for mark in marks])
    logits = np.array([mark.logit for mark in marks])
    said = (fitted.outputs[TYPE] + wholes[TYPE]) / 2
    hits = np.array(
        [intersection_over_union(one[None], other[None])[0, 0] >= HIT for one, other in zip(found, boxes, strict=True)]
    )
    curves = {TUMOUR: platt_of(logits, hits)}
    odds = one_against_rest(said)
    points: dict[str, tuple[Estimate | None, Estimate | None]] = {}
    for number, key in enumerate(TYPES):
        curves[key] = platt_of(odds[:, number], types == number)
        sure = curves[key].probabilities(odds[:, number])
        points[key] = sensitivity_and_specificity(types == number, sure, HALF)
    probability = curves[TUMOUR].probabilities(logits)
    threshold = threshold_for_share(probability, WANTED)
    points[TUMOUR] = (clopper_pearson(int((probability >= threshold).sum()), len(marks)), None)
    return Calibrated(
        curves=curves,
        thresholds={TUMOUR: threshold} | dict.fromkeys(TYPES, HALF),
        points=points,
        slices=len(marks),
        ap50=float(box_average_precision([b[None] for b in boxes], [b[None] for b in found], list(logits[:, None]))),
        accuracy=float((said.argmax(axis=1) == types).mean()),
    )


def golden_images() -> NDArray[np.float32]:
    """Draw slices for the golden cases; no patient."""
    drawn = [brain_slice(BrainRecipe(seed=3, tumour=kind, rows=PICTURE_SIDE)).dataset.pixel_array for kind in TYPES[:2]]
    return np.stack([picture_views(np.rint(pixels / 4095 * 255).astype(np.uint8))[0].pixels for pixels in drawn])


def release(data: Path, out: Path, members: Sequence[Fitted], found: Calibrated, *, limit: int = 0) -> Path:
    """Make the finished reader, measured on the held-out blocks."""
    work = Release(
        name="brain_mr_tumor",
        code=Path(__file__).parent,
        learnt_from=[data],
        members=members,
        curves=found.curves,
        golden=golden_images(),
        cohort=COHORT | {"root": str(data.resolve())},
        rows=cohort_rows(data)[: limit or None],
        before=provisional_card(found, len(members)),
        measured=lambda numbers: measured_card(found, len(members), numbers),
        page=readme_of,
        facts=facts_of(found, len(members)),
    )
    return finished(work, out)


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
        f"validation.json). {_networks(members)} Calibration and threshold come from the {found.slices} slices that no "
        "network learnt from. The held-out part was measured before, with version 0.1.0 (average precision of the "
        "boxes 0.717 then); everything in this version was chosen without it."
    )


def _networks(members: int) -> str:
    if members == 1:
        return "One network, fitted without a sixth of the other blocks, reads each slice and its mirror image."
    return f"{members} networks, each fitted without a sixth of the other blocks, are averaged."


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
