"""From the fitted members to a locked, measured reader: calibration, thresholds, package, validation, pages."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import Estimate, ReaderCard
from coread.phantoms.mammogram import MammogramRecipe, mammogram
from coread.readers.mammography.cohort import SET, WRAP, Learned, cohort_rows
from coread.readers.mammography.outputs import ABNORMAL, DENSITY, SPOT, SUSPICIOUS
from coread.readers.mammography.places import breast_logit
from coread.readers.mammography.preprocess import network_pixels
from coread.readers.mammography.words import BALANCED, HEADING, SENSITIVE, Points, card_of, readme_of
from coread.statistics.calibration import Platt
from coread.statistics.confusion import sensitivity_and_specificity
from coread.statistics.intervals import clopper_pearson
from coread.statistics.roc import auc_estimate
from coread.statistics.thresholds import threshold_for_sensitivity, threshold_of_youden
from coread.train.crossfit import CrossFitted, platt_of
from coread.train.errors import DataMissing
from coread.train.fit import Fitted
from coread.train.reader_folder import ReaderFolder, install

if TYPE_CHECKING:
    from coread.validate.card_numbers import CardNumbers

__all__ = ["Calibrated", "calibrated", "install", "release"]

WANTED = 0.90
GOLDEN = (("glandular", True), ("fatty", False))
COHORT = {
    "name": "mini-MIAS, held-out women",
    "data": "mini-MIAS subset",
    "split": "patients held out (20 %)",
    "licence": "research use only",
    "citation": "Suckling et al. 1994",
    "reference_standard": "radiologists' circles with the outcome of biopsies",
    "simulated": False,
    "wrap": WRAP,
    "numbers": {"density": {"concept": "129793001", "unit": "{class}"}},
}
log = logging.getLogger("coread.train")


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What the cross-fitted predictions gave."""

    curve: Platt
    thresholds: Mapping[str, float]
    points: Points
    pictures: int
    auc: Estimate
    density: Estimate
    """Share of pictures with the right density class."""


def calibrated(learned: Learned, fitted: CrossFitted) -> Calibrated:
    """Fit the calibration and choose thresholds on pictures that the predicting member did not learn from."""
    truth = np.asarray(learned.data.targets[ABNORMAL])[fitted.rows, 0] > 0.5
    patients = [learned.mammograms[row].patient for row in fitted.rows]
    pairs = zip(fitted.outputs[ABNORMAL], fitted.outputs[SPOT], strict=True)
    logits = np.array([breast_logit(float(whole[0]), spot[0]) for whole, spot in pairs])
    curve = platt_of(logits, truth)
    sure = curve.probabilities(logits)
    chosen = {BALANCED: threshold_of_youden(truth, sure), SENSITIVE: threshold_for_sensitivity(truth, sure, WANTED)}
    thresholds = {name: float(np.clip(np.round(value, 4), 1e-4, 1 - 1e-4)) for name, value in chosen.items()}
    right = fitted.outputs[DENSITY].argmax(axis=1) == np.asarray(learned.data.targets[DENSITY])[fitted.rows]
    return Calibrated(
        curve=curve,
        thresholds=thresholds,
        points={name: sensitivity_and_specificity(truth, sure, limit, patients) for name, limit in thresholds.items()},
        pictures=len(logits),
        auc=auc_estimate(truth, logits, patients),
        density=clopper_pearson(int(right.sum()), len(right)),
    )


def golden_images() -> NDArray[np.float32]:
    """Draw breasts for the golden cases; no patient."""
    made = []
    for density, mass in GOLDEN:
        pixels = mammogram(MammogramRecipe(seed=5, density=density, mass=mass, rows=512)).dataset.pixel_array
        found = network_pixels(np.divide(pixels, 4095, dtype=np.float32))
        if found is None:
            raise DataMissing("no breast was found in a drawn mammogram: the preprocessing is broken.")
        made.append(found[0])
    return np.stack(made)


def release(data: Path, out: Path, members: Sequence[Fitted], found: Calibrated, *, limit: int = 0) -> Path:
    """Export, lock, measure on the held-out women, write the measured numbers, lock again, measure again."""
    from coread.validate.cohort_writing import write_cohort
    from coread.validate.releasing import release as release_reader

    folder = ReaderFolder(out / "mammography", Path(__file__).parent, [data])
    graph = folder.write_graph(members)
    log.info("graph of %d bytes; rounding its weights changes outputs by %.2g", graph.size, graph.rounding)
    folder.write_calibration({SUSPICIOUS: found.curve})
    cards = [provisional_card(found, len(members))]
    folder.lock(cards[0], HEADING)
    folder.write_golden(golden_images())
    write_cohort(out / "cohort", COHORT | {"root": str(data.resolve())}, cohort_rows(data)[: limit or None])

    def lock(numbers: "CardNumbers | None") -> str:
        if numbers is not None:
            cards.append(measured_card(found, len(members), numbers))
        return folder.lock(cards[-1], HEADING)

    report = release_reader(folder.path, out / "cohort", out / "validation", lock)
    facts = {"set": SET, "members": len(members), "cross_fitted": _facts(found)}
    (folder.path / "training.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    page = readme_of(cards[-1], report, _plain(found.density))
    (folder.path / "README.md").write_text(page, encoding="utf-8")
    return folder.path


def provisional_card(found: Calibrated, members: int) -> ReaderCard:
    """Return the card before anything was measured on the held-out part."""
    words = validation_words(found, members)
    return card_of(
        thresholds=found.thresholds, points=found.points, auc=found.auc, measured_on="cross-fitted", validation=words
    )


def measured_card(found: Calibrated, members: int, numbers: "CardNumbers") -> ReaderCard:
    """Return the card with the numbers of the validation."""
    measured = numbers.outputs[SUSPICIOUS]
    points = {name: (point.sensitivity, point.specificity) for name, point in measured.points.items()}
    return card_of(
        thresholds=found.thresholds,
        points=points,
        auc=measured.auc,
        measured_on=numbers.measured_on,
        validation=validation_words(found, members),
    )


def validation_words(found: Calibrated, members: int) -> str:
    """Say on what the card's numbers stand."""
    auc = found.auc
    return (
        "The locked package, run through the engine on the fixed held-out fifth of the women (coread validate; see "
        f"validation.json). {members} networks, each fitted without a part of the other women, are averaged; "
        f"calibration and thresholds come from what each said of the {found.pictures} pictures that it did not learn "
        f"from (AUC there {auc.value:.3f}, {auc.low:.3f} to {auc.high:.3f})."
    )


def _facts(found: Calibrated) -> dict[str, Any]:
    return {
        "pictures": found.pictures,
        "thresholds": dict(found.thresholds),
        "auc": _plain(found.auc),
        "density_accuracy": _plain(found.density),
        "platt": found.curve.parameters(),
    }


def _plain(value: Estimate) -> dict[str, Any]:
    return {"value": value.value, "low": value.low, "high": value.high, "n": value.n}
