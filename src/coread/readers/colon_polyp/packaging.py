"""From the fitted members to a locked, measured reader: calibration, threshold, package, validation, pages."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coread.imaging.detections import intersection_over_union
from coread.imaging.stretch import content_part, stretched
from coread.phantoms.colon import ColonRecipe, colon_frame
from coread.readers.colon_polyp.cohort import SET, WRAP, Learned, cohort_rows
from coread.readers.colon_polyp.outputs import AREA, POLYP, SIDE
from coread.readers.colon_polyp.places import Lesion, lesions_of
from coread.readers.colon_polyp.words import HEADING, card_of, readme_of
from coread.statistics.calibration import Platt
from coread.statistics.froc import box_average_precision
from coread.statistics.intervals import clopper_pearson
from coread.statistics.overlap import dice
from coread.train.crossfit import CrossFitted, platt_of
from coread.train.fit import Fitted
from coread.train.reader_folder import ReaderFolder, install

if TYPE_CHECKING:
    from coread.validate.card_numbers import CardNumbers

__all__ = ["Calibrated", "calibrated", "install", "release"]

HIT = 0.5
"""Overlap with an expert's box from which a mark counts as right."""
STEPS = tuple(round(step / 20, 2) for step in range(1, 20))
"""Thresholds to choose from."""
GOLDEN_SEEDS = (1, 2)
COHORT = {
    "name": "Kvasir-SEG, held-out frames",
    "data": "Kvasir-SEG subset",
    "split": "frames held out (20 %)",
    "licence": "CC BY 4.0",
    "citation": "Jha et al. 2020",
    "reference_standard": "outlines drawn by an engineer and checked by a gastroenterologist",
    "wrap": WRAP,
}
log = logging.getLogger("coread.train")


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What the cross-fitted predictions gave."""

    curve: Platt
    threshold: float
    frames: int
    marked: int
    """Frames with a mark at the threshold."""
    dice: float
    ap50: float


def calibrated(learned: Learned, fitted: CrossFitted) -> Calibrated:
    """Fit the calibration and choose the threshold on frames that the predicting member did not learn from."""
    frames = [learned.frames[row] for row in fitted.rows]
    masks = [learned.masks[row] for row in fitted.rows]
    parts = [content_part((mask.shape[0], mask.shape[1]), None) for mask in masks]
    lesions = [lesions_of(area[0], part) for area, part in zip(fitted.outputs[AREA], parts, strict=True)]
    truth = [np.array(frame.boxes, dtype=np.float64).reshape(-1, 4) for frame in frames]
    found = [np.array([lesion.box for lesion in one]).reshape(-1, 4) for one in lesions]
    logits = [np.array([lesion.logit for lesion in one]) for one in lesions]
    hits = [intersection_over_union(one, other).max(axis=1) >= HIT for one, other in zip(found, truth, strict=True)]
    curve = platt_of(np.concatenate(logits), np.concatenate(hits))
    sure = [curve.probabilities(said) for said in logits]
    overlaps = [mean_dice(masks, lesions, sure, step) for step in STEPS]
    threshold = STEPS[int(np.argmax(overlaps))]
    return Calibrated(
        curve=curve,
        threshold=threshold,
        frames=len(frames),
        marked=sum(bool((said >= threshold).any()) for said in sure),
        dice=max(overlaps),
        ap50=float(box_average_precision(truth, found, logits, overlap=HIT)),
    )


def mean_dice(
    masks: Sequence[NDArray[np.bool_]],
    lesions: Sequence[Sequence[Lesion]],
    sure: Sequence[NDArray[np.float64]],
    threshold: float,
) -> float:
    """Return the mean Dice over frames of the regions that are at or above a threshold."""
    overlaps = []
    for mask, regions, probabilities in zip(masks, lesions, sure, strict=True):
        shown = np.zeros_like(mask)
        for lesion, probability in zip(regions, probabilities, strict=True):
            if probability >= threshold:
                shown |= lesion.mask
        overlaps.append(dice(mask, shown))
    return float(np.mean(overlaps))


def golden_images() -> NDArray[np.float32]:
    """Draw frames for the golden cases; no patient."""
    frames = [colon_frame(ColonRecipe(seed=seed, rows=SIDE, columns=SIDE)) for seed in GOLDEN_SEEDS]
    return np.stack([stretched(np.divide(frame.pixels, 255, dtype=np.float32), SIDE) for frame in frames])


def release(data: Path, out: Path, members: Sequence[Fitted], found: Calibrated, *, limit: int = 0) -> Path:
    """Export, lock, measure on the held-out frames, write the measured numbers, lock again, measure again."""
    from coread.validate.cohort_writing import write_cohort
    from coread.validate.releasing import release as release_reader

    folder = ReaderFolder(out / "colon_polyp", Path(__file__).parent, [data])
    graph = folder.write_graph(members)
    log.info("graph of %d bytes; rounding its weights changes outputs by %.2g", graph.size, graph.rounding)
    folder.write_calibration({POLYP: found.curve})
    words = validation_words(found, len(members))
    before = clopper_pearson(found.marked, found.frames)
    cards = [
        card_of(threshold=found.threshold, sensitivity=before, measured_on="cross-fitted frames", validation=words)
    ]
    folder.lock(cards[0], HEADING)
    folder.write_golden(golden_images())
    write_cohort(out / "cohort", COHORT | {"root": str(data.resolve())}, cohort_rows(data)[: limit or None])

    def lock(numbers: "CardNumbers | None") -> str:
        if numbers is not None:
            measured = numbers.outputs[POLYP].points["marking"].sensitivity
            where = numbers.measured_on
            cards.append(card_of(threshold=found.threshold, sensitivity=measured, measured_on=where, validation=words))
        return folder.lock(cards[-1], HEADING)

    report = release_reader(folder.path, out / "cohort", out / "validation", lock)
    facts = {"set": SET, "members": len(members), "cross_fitted": _facts(found)}
    (folder.path / "training.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    (folder.path / "README.md").write_text(readme_of(cards[-1], report), encoding="utf-8")
    return folder.path


def validation_words(found: Calibrated, members: int) -> str:
    """Say in one sentence on what the card's numbers stand."""
    return (
        f"The locked package, run through the engine on the fixed held-out fifth of the frames (coread validate; see "
        f"validation.json). {members} networks, each fitted without one sixth of the other four fifths, are averaged; "
        f"calibration and threshold come from what each said of the {found.frames} frames that it did not learn from."
    )


def _facts(found: Calibrated) -> dict[str, Any]:
    return {
        "frames": found.frames, "marked": found.marked, "threshold": found.threshold, "dice": round(found.dice, 4),
        "ap50": round(found.ap50, 4), "platt": found.curve.parameters(),
    }  # fmt: skip
