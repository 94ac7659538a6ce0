"""Subgroups of a finding, of its boxes and of masks: the same estimates in every stratum, and whether they differ."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import OutputSpec
from coread.statistics.errors import NotEstimable
from coread.statistics.intervals import bootstrap
from coread.statistics.subgroups import (
    Heterogeneity,
    Welch,
    heterogeneity_of,
    mean_heterogeneity,
    rate_heterogeneity,
)
from coread.validate.cohort import READ
from coread.validate.mask_measures import WHOLE
from coread.validate.measure_outputs import measured_auc, rates_at
from coread.validate.measure_places import (
    CENTRE,
    COCO,
    false_marks,
    found_lesions,
    lesion_hits,
    pictures_of,
    precision_of,
)
from coread.validate.measure_settings import MeasureSettings
from coread.validate.observations import Answers, Observation, strata_of
from coread.validate.plain import Plain, estimate_from, not_estimable, stated
from coread.validate.strata import Chosen, Difference, strata_table

_FEWEST_PATIENTS = 5
"""Resamples of fewer patients say nothing of others."""
_REPEATS = 200
"""Resamples of one stratum, of which there are many."""
_COCHRAN = "Cochran's Q on the AUCs"
_PEARSON = "chi-square, counts over their design effects (Rao and Scott)"
_WELCH = "Welch's analysis of variance on one mean for each patient"


def subgroup_table(spec: OutputSpec, answers: Answers, settings: MeasureSettings) -> Plain:
    """Return AUC, sensitivity and specificity in every stratum, and one test for each grouping.

    The AUCs are compared; where two strata have none (one class only), sensitivities are, else specificities.
    """

    def one_level(chosen: Chosen) -> Plain:
        return _calls(spec, answers.chosen(chosen), settings)

    differences = (
        Difference("auc", _COCHRAN, _areas),
        Difference("sensitivity", _PEARSON, lambda rows: _rates(rows, spec, answers, present=True)),
        Difference("specificity", _PEARSON, lambda rows: _rates(rows, spec, answers, present=False)),
    )
    return strata_table(answers.observations, one_level, differences, fewest=settings.fewest)


def place_subgroups(key: str, observations: Sequence[Observation], settings: MeasureSettings) -> Plain:
    """Return in every stratum how many lesions were found, the average precision and false marks; lesions are tested.

    As in the whole cohort, lesions on pictures that were not read count as missed.
    """
    plan = settings.plan(_REPEATS)
    marked = [item for item in observations if item.case.expect == READ and item.case.boxes is not None]

    def one_level(chosen: Chosen) -> Plain:
        pictures = pictures_of(key, [item for item, wanted in zip(marked, chosen, strict=True) if wanted])
        lesions = int(sum(len(boxes) for boxes in pictures.truth))
        row: Plain = {
            "n": len(pictures.truth),
            "lesions": lesions,
            "not_read": int((~pictures.read).sum()),
            "patients": len(np.unique(pictures.patients)),
        }
        if lesions < settings.fewest:
            why = not_estimable(f"fewer than {settings.fewest} lesions")
            return row | dict.fromkeys(("found_centre", "found_iou50", "ap50", "false_marks_per_picture"), why)
        few = not_estimable(f"fewer than {_FEWEST_PATIENTS} patients") if row["patients"] < _FEWEST_PATIENTS else None
        overlap, centre = pictures.marks(COCO), pictures.marks(CENTRE)
        return row | {
            "found_centre": found_lesions(pictures, centre),
            "found_iou50": found_lesions(pictures, overlap),
            "ap50": few or precision_of(pictures, overlap, plan),
            "false_marks_per_picture": few or false_marks(centre, pictures, plan),
        }

    def test(rows: Sequence[Plain]) -> Heterogeneity:
        hits, patients, strata = [], [], []
        for row in rows:
            pictures = pictures_of(key, _members(marked, row))
            hit, owners = lesion_hits(pictures, pictures.marks(CENTRE))
            hits.append(hit)
            patients.append(owners)
            strata += [row["level"]] * len(hit)
        return rate_heterogeneity(np.concatenate(hits), strata, np.concatenate(patients))

    table = strata_table(marked, one_level, (Difference("found_centre", _PEARSON, test),), fewest=settings.fewest)
    return table | {"resamples": plan.repeats}


def mask_subgroups(name: str, observations: Sequence[Observation], settings: MeasureSettings) -> Plain:
    """Return mean and median Dice of one mask in every stratum; the means are tested."""
    column = "" if name == WHOLE else name
    known = [item for item in observations if item.case.expect == READ and column in item.case.masks]
    measured = np.array([name in item.record.masks for item in known], dtype=np.bool_)
    dice = np.array([item.record.masks[name].dice if name in item.record.masks else np.nan for item in known])
    patients = np.array([item.patient for item in known], dtype=np.str_)
    plan = settings.plan(_REPEATS * 5)

    def one_level(chosen: Chosen) -> Plain:
        here, owners = dice[chosen & measured], patients[chosen & measured]
        row: Plain = {
            "n": int(chosen.sum()),
            "patients": len(np.unique(owners)),
            "not_read": int((chosen & ~measured).sum()),
        }
        if len(here) < settings.fewest or row["patients"] < _FEWEST_PATIENTS:
            why = not_estimable(f"fewer than {settings.fewest} masks, or than {_FEWEST_PATIENTS} patients")
            return row | {"dice": why, "dice_median": why}
        return row | {
            "dice": stated(lambda: bootstrap(lambda k: float(here[k].mean()), owners, plan=plan)),
            "dice_median": stated(lambda: bootstrap(lambda k: float(np.median(here[k])), owners, plan=plan)),
        }

    def test(rows: Sequence[Plain]) -> Welch:
        levels = _levels(known, rows)
        kept = (levels != "") & measured
        return mean_heterogeneity(dice[kept], levels[kept].tolist(), patients[kept])

    return strata_table(known, one_level, (Difference("dice", _WELCH, test),), fewest=settings.fewest)


def _calls(spec: OutputSpec, answers: Answers, settings: MeasureSettings) -> Plain:
    read = answers.chosen(answers.read)
    row: Plain = {
        "n": len(answers.truth),
        "positives": int(answers.truth.sum()),
        "not_read": int((~answers.read).sum()),
    }
    if len(read.truth) < settings.fewest:
        why = not_estimable(f"fewer than {settings.fewest} cases were read")
        return row | {"auc": why, "sensitivity": why, "specificity": why}
    sensitivity, specificity = rates_at(read, _called(spec, read))
    return row | {"auc": stated(lambda: measured_auc(read)), "sensitivity": sensitivity, "specificity": specificity}


def _called(spec: OutputSpec, read: Answers) -> NDArray[np.bool_]:
    """Return the calls at the reader's own operating point."""
    threshold = spec.operating_point().threshold
    return np.asarray(read.probability >= threshold) if read.has_probability else read.called


def _areas(rows: Sequence[Plain]) -> Heterogeneity:
    """Test whether the AUCs of the strata differ, on the logit scale of DeLong's intervals."""
    estimates = [estimate_from(row["auc"]) for row in rows]
    inner = [item for item in estimates if 0 < item.value < 1 and item.high > item.low]
    if len(inner) < 2:
        raise NotEstimable("fewer than two strata have an AUC with an interval")
    return heterogeneity_of(inner)


def _rates(rows: Sequence[Plain], spec: OutputSpec, answers: Answers, *, present: bool) -> Heterogeneity:
    read = answers.chosen(answers.read & (answers.truth == present))
    levels = _levels(read.observations, rows)
    kept = levels != ""
    hits = _called(spec, answers.chosen(answers.read))[answers.truth[answers.read] == present] == present
    return rate_heterogeneity(hits[kept], levels[kept].tolist(), read.patients[kept])


def _levels(observations: Sequence[Observation], rows: Sequence[Plain]) -> NDArray[np.str_]:
    """Return the stratum of each observation among those of the rows; empty where it is in none of them."""
    wanted = {row["level"] for row in rows}
    found = [strata_of(item).get(rows[0]["grouping"], "") for item in observations]
    return np.array([level if level in wanted else "" for level in found], dtype=np.str_)


def _members(observations: Sequence[Observation], row: Plain) -> list[Observation]:
    return [item for item in observations if strata_of(item).get(row["grouping"]) == row["level"]]
