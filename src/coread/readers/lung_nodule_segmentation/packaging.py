"""From the fitted members to a locked, measured reader: calibration, threshold, package, validation, pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import Estimate, ReaderCard
from coread.imaging.stretch import content_part, stretched
from coread.phantoms.nodule_slice import NoduleSliceRecipe, nodule_slice
from coread.readers.lesions.packaging import Release, threshold_for_share
from coread.readers.lesions.packaging import release as finished
from coread.readers.lung_nodule_segmentation.cohort import SET, WRAP, Learned, write_pictures
from coread.readers.lung_nodule_segmentation.outputs import AREA, NODULE, SIDE
from coread.readers.lung_nodule_segmentation.places import outline_of
from coread.readers.lung_nodule_segmentation.words import POINT, card_of, readme_of
from coread.statistics.calibration import Platt
from coread.statistics.intervals import clopper_pearson
from coread.statistics.overlap import dice
from coread.train.crossfit import CrossFitted, platt_of
from coread.train.fit import Fitted

__all__ = ["Calibrated", "calibrated", "release"]

GOOD = 0.7
"""Dice from which an outline counts as good."""
WANTED = 0.99
GOLDEN_SEEDS = (1, 2)
COHORT = {
    "name": "LIDC-IDRI nodule crops, held-out patients",
    "data": "LIDC-IDRI nodule crops",
    "split": "patients held out (20 %)",
    "licence": "CC BY 3.0",
    "citation": "Armato et al. 2011",
    "reference_standard": "pixels that at least two of up to four radiologists have inside",
    "wrap": WRAP,
}


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What the cross-fitted predictions gave."""

    curve: Platt
    threshold: float
    crops: int
    marked: int
    """Crops with an outline at the threshold."""
    dice: float


def calibrated(learned: Learned, fitted: CrossFitted) -> Calibrated:
    """Fit the calibration and choose the threshold on crops that the predicting member did not learn from."""
    logits, measured, drawn = [], [], []
    for row, area in zip(fitted.rows, fitted.outputs[AREA], strict=True):
        truth = learned.crops[row].consensus
        outline = outline_of(area[0], content_part((truth.shape[0], truth.shape[1]), None))
        logits.append(outline.logit)
        measured.append(dice(truth, outline.mask))
        drawn.append(outline.mask.any())
    curve = platt_of(np.array(logits), np.array(measured) >= GOOD)
    probability = np.where(drawn, curve.probabilities(logits), 0.0)
    threshold = threshold_for_share(probability, WANTED)
    return Calibrated(
        curve=curve,
        threshold=threshold,
        crops=len(logits),
        marked=int((probability >= threshold).sum()),
        dice=float(np.mean(measured)),
    )


def golden_images() -> NDArray[np.float32]:
    """Draw crops for the golden cases; no patient."""
    drawn = [nodule_slice(NoduleSliceRecipe(seed=seed)).dataset.pixel_array for seed in GOLDEN_SEEDS]
    return np.stack([stretched(np.divide(pixels, 255, dtype=np.float32), SIDE) for pixels in drawn])


def release(data: Path, out: Path, members: Sequence[Fitted], found: Calibrated, *, limit: int = 0) -> Path:
    """Make the finished reader, measured on the held-out patients."""
    pictures = out / "pictures"
    rows = write_pictures(data, pictures, limit)
    words = validation_words(found, len(members))

    def card(sensitivity: Estimate | None, measured_on: str) -> ReaderCard:
        return card_of(threshold=found.threshold, sensitivity=sensitivity, measured_on=measured_on, validation=words)

    work = Release(
        name="lung_nodule_segmentation",
        code=Path(__file__).parent,
        learnt_from=[data],
        members=members,
        curves={NODULE: found.curve},
        golden=golden_images(),
        cohort=COHORT | {"root": str(pictures.resolve())},
        rows=rows,
        before=card(clopper_pearson(found.marked, found.crops), "cross-fitted crops"),
        measured=lambda numbers: card(numbers.outputs[NODULE].points[POINT].sensitivity, numbers.measured_on),
        page=readme_of,
        facts={"set": SET, "members": len(members), "cross_fitted": _facts(found)},
    )
    return finished(work, out)


def validation_words(found: Calibrated, members: int) -> str:
    """Say on what the card's numbers stand."""
    return (
        "The locked package, run through the engine on the fixed held-out fifth of the patients (coread validate; see "
        f"validation.json). {members} networks, each fitted without one sixth of the other patients, are averaged; "
        f"calibration and threshold come from what each said of the {found.crops} crops that it did not learn from."
    )


def _facts(found: Calibrated) -> dict[str, Any]:
    return {
        "crops": found.crops, "marked": found.marked, "threshold": found.threshold, "dice": round(found.dice, 4),
        "platt": found.curve.parameters(),
    }  # fmt: skip
