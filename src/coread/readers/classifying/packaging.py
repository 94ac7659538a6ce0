"""From cross-fitted members to a locked, measured classifier: calibration, thresholds, package, validation, pages."""

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import Estimate, OperatingPoint, OutputSpec, ReaderCard
from coread.domain.codes import Code
from coread.readers.classifying.words import Page, page_of
from coread.statistics.calibration import FITS, Platt, cross_fitted, fit_platt
from coread.statistics.confusion import sensitivity_and_specificity
from coread.statistics.ensembles import for_mean_of
from coread.statistics.reliability import expected_calibration_error
from coread.statistics.roc import auc_estimate
from coread.statistics.thresholds import Rule, choose_threshold
from coread.train.errors import DataMissing
from coread.train.exporting import export
from coread.train.fit import Fitted
from coread.train.reader_folder import GRAPH, Curve, ReaderFolder

__all__ = ["Answers", "Calibrated", "OutputPlan", "Release", "calibrated", "mean_of", "release"]

HEADING = "Written by recipe.py from validation.json; change the recipe, not this file. Research use only."
BEFORE = "cross-fitted, before the measurement"
_STEP = 1e-6
_CALIBRATION_FOLDS = 5
log = logging.getLogger("coread.train")

Numbers = Mapping[str, tuple[Estimate | None, Mapping[str, tuple[Estimate, Estimate | None]]]]
"""By output: its AUC, and by operating point sensitivity and specificity."""


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """One output of a classifier before anything was measured."""

    key: str
    name: str
    concept: Code
    site: Code | None
    rules: Mapping[str, Rule]
    """Name of each operating point: how its threshold is chosen."""
    default_point: str
    urgent: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What members said of images that they did not learn from: logits and truth (N,), one group name each."""

    logits: NDArray[np.float64]
    truth: NDArray[np.bool_]
    groups: Sequence[str]
    members: int = 1
    """Members whose mean is shipped; the logits are those of one for each image."""
    agreement: float = 1.0
    """How far two members agree on what neither learnt from (``statistics.ensembles``); 1 leaves the curve as it is."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibrated:
    """What the cross-fitted answers of one output gave."""

    curve: Platt
    """Of what is shipped: the mean of the members."""
    single: Platt
    """Of one member, as fitted on the answers; thresholds are probabilities that it gave."""
    thresholds: Mapping[str, float]
    points: Mapping[str, tuple[Estimate, Estimate]]
    auc: Estimate
    calibration_error: float
    """Expected calibration error with curves fitted on other groups than those judged."""
    positives: int

    def as_json(self) -> dict[str, Any]:
        """Return the numbers for training.json."""
        return {
            "images": self.auc.n, "positives": self.positives, "auc": round(self.auc.value, 4),
            "calibration_error": round(self.calibration_error, 4), "thresholds": dict(self.thresholds),
            "platt": self.curve.parameters(),
        } | ({} if self.curve == self.single else {"platt_of_one_member": self.single.parameters()})  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Release:
    """Everything that becomes a finished reader."""

    code: Path
    card: ReaderCard
    """Without outputs."""
    outputs: Sequence[OutputPlan]
    answers: Mapping[str, Answers]
    write_graph: Callable[[Path], object]
    """Writes the graph to a path; what it returns is logged."""
    golden: NDArray[np.float32]
    """Network inputs (N, C, rows, columns) made from drawings."""
    cohort: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    page: Page
    learnt_from: Sequence[Path] = ()
    """Folders of the data sets, whose digests go into the record."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """More for training.json."""
    more_curves: Mapping[str, Curve] = field(default_factory=dict)
    """Of what is no output, such as a gate."""


def mean_of(members: Sequence[Fitted]) -> Callable[[Path], object]:
    """Return what writes the mean of the members over each image and its mirror image, weights stored small."""
    return lambda path: export(members, path, flips=True, storage="int8")


def calibrated(plan: OutputPlan, answers: Answers) -> Calibrated:
    """Fit the calibration and choose the thresholds of one output."""
    single = fit_platt(answers.logits, answers.truth)
    probabilities = single.probabilities(answers.logits)
    chosen = {
        name: choose_threshold(rule, answers.truth, probabilities, list(answers.groups)).threshold
        for name, rule in plan.rules.items()
    }
    # Rounded down, so that the image that set the threshold is still called.
    thresholds = {name: min(max(math.floor(v / _STEP) * _STEP, _STEP), 1 - _STEP) for name, v in chosen.items()}
    names = np.unique(np.asarray(answers.groups), return_inverse=True)[1]
    crossed = cross_fitted(answers.logits, answers.truth, FITS["platt"], names % _CALIBRATION_FOLDS)
    share = float(answers.truth.mean())
    return Calibrated(
        curve=for_mean_of(single, answers.members, agreement=answers.agreement, prevalence=share),
        single=single,
        thresholds={name: round(value, 6) for name, value in thresholds.items()},
        points={
            name: sensitivity_and_specificity(answers.truth, probabilities, value, list(answers.groups))
            for name, value in thresholds.items()
        },
        auc=auc_estimate(answers.truth, answers.logits, list(answers.groups)),
        calibration_error=expected_calibration_error(answers.truth, crossed),
        positives=int(answers.truth.sum()),
    )


def release(work: Release, out: Path) -> Path:
    """Export, lock, measure on the held-out part, write what was measured, lock again, measure again."""
    from coread.validate.card_numbers import CardNumbers
    from coread.validate.cohort_writing import write_cohort
    from coread.validate.releasing import release as measured_release

    found = {plan.key: calibrated(plan, work.answers[plan.key]) for plan in work.outputs}
    for key, one in found.items():
        log.info("cross-fitted %s: %s", key, one.as_json())
    folder = ReaderFolder(out / "reader", work.code, work.learnt_from)
    log.info("graph: %s", work.write_graph(folder.model / f"{GRAPH}.onnx"))
    folder.write_calibration({key: one.curve for key, one in found.items()} | dict(work.more_curves))
    write_cohort(out / "cohort", dict(work.cohort), [dict(row) for row in work.rows])
    cards: list[ReaderCard] = []

    def lock(numbers: CardNumbers | None) -> str:
        if numbers is None:
            before: Numbers = {key: (one.auc, one.points) for key, one in found.items()}
            cards.append(_card(work, found, before, measured_on=BEFORE))
            folder.lock(cards[-1], HEADING)
            folder.write_golden(work.golden)
        else:
            measured = {key: _measured(key, one) for key, one in numbers.outputs.items()}
            cards.append(_card(work, found, measured, measured_on=numbers.measured_on))
        return folder.lock(cards[-1], HEADING)

    report = measured_release(folder.path, out / "cohort", out / "validation", lock)
    facts = {key: one.as_json() for key, one in found.items()}
    training = {"cross_fitted": facts} | dict(work.facts)
    (folder.path / "training.json").write_text(json.dumps(training, indent=2) + "\n", encoding="utf-8")
    (folder.path / "README.md").write_text(page_of(cards[-1], report, work.page), encoding="utf-8")
    return folder.path


def _measured(key: str, one: Any) -> tuple[Estimate | None, Mapping[str, tuple[Estimate, Estimate | None]]]:
    """Return the numbers of one output (``OutputNumbers`` of the validation)."""
    points = {name: (point.sensitivity, point.specificity) for name, point in one.points.items()}
    if any(sensitivity is None for sensitivity, _ in points.values()):
        raise DataMissing(f"the held-out part has no positive case of {key!r} that was read: its card needs one")
    return one.auc, points


def _card(work: Release, found: Mapping[str, Calibrated], numbers: Numbers, *, measured_on: str) -> ReaderCard:
    outputs = []
    for plan in work.outputs:
        auc, points = numbers[plan.key]
        outputs.append(
            OutputSpec(
                key=plan.key, name=plan.name, concept=plan.concept, site=plan.site, urgent=plan.urgent, auc=auc,
                operating_points=tuple(
                    OperatingPoint(
                        name=name, threshold=found[plan.key].thresholds[name], rule=rule.words(),
                        sensitivity=points[name][0], specificity=points[name][1], measured_on=measured_on,
                    )
                    for name, rule in plan.rules.items()
                ),
                default_operating_point=plan.default_point,
            )
        )  # fmt: skip
    return replace(work.card, outputs=tuple(outputs))
