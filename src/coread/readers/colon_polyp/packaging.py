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
from coread.readers.colon_polyp.places import LEVEL, lesions_of
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
WANTED = 0.97
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
    truth, found, logits, masks = [], [], [], []
    for row, area in zip(fitted.rows, fitted.outputs[AREA], strict=True):
        frame, mask = learned.frames[row], learned.masks[row]
        part = content_part((mask.shape[0], mask.shape[1]), None)
        lesions = lesions_of(area[0], part)
        truth.append(np.array(frame.boxes, dtype=np.float64).reshape(-1, 4))
        found.append(np.array([lesion.box for lesion in lesions]).reshape(-1, 4))
        logits.append(np.array([lesion.logit for lesion in lesions]))
        masks.append(dice(mask, part.field(area[0]) > LEVEL))
    hits = [intersection_over_union(one, other).max(axis=1) >= HIT for one, other in zip(found, truth, strict=True)]
    curve = platt_of(np.concatenate(logits), np.concatenate(hits))
    best = np.array([float(curve.probabilities(said).max()) if len(said) else 0.0 for said in logits])
    threshold = _threshold(best)
    return Calibrated(
        curve=curve,
        threshold=threshold,
        frames=len(best),
        marked=int((best >= threshold).sum()),
        dice=float(np.mean(masks)),
        ap50=float(box_average_precision(truth, found, logits, overlap=HIT)),
    )


def _threshold(best: NDArray[np.float64]) -> float:
    """Return the highest threshold, in steps of a thousandth, that marks the wanted share of frames."""
    steps = np.arange(1, 1000) / 1000
    enough = [float(step) for step in steps if (best >= step).mean() >= WANTED]
    return max(enough, default=float(steps[0]))


def golden_images() -> NDArray[np.float32]:
    """Draw frames for the golden cases; no patient."""
    frames = [colon_frame(ColonRecipe(seed=seed, rows=SIDE, columns=SIDE)) for seed in GOLDEN_SEEDS]
    return np.stack([stretched(np.divide(frame.pixels, 255, dtype=np.float32), SIDE) for frame in frames])


def release(data: Path, out: Path, members: Sequence[Fitted], found: Calibrated, *, limit: int = 0) -> Path:
    """Export, lock, measure on the held-out frames, write the measured numbers, lock again, measure again."""
    from coread.validate.cohort_writing import write_cohort
    from coread.validate.releasing import release as release_reader

    folder = ReaderFolder(out / "colon_polyp", Path(__file__).parent)
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
            measured = numbers.outputs[POLYP].points["marking"].sensitivity or before
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
