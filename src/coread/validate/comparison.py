"""Two readers, or two versions of one, on the same frozen cases: paired tests and differences with intervals."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import InvalidRecord
from coread.statistics.arrays import Indices
from coread.statistics.errors import NotEstimable
from coread.statistics.intervals import bootstrap
from coread.statistics.roc import compare_aucs
from coread.validate.comparison_measures import compare_masks_of, compare_numbers, compare_types, expected_pairs
from coread.validate.errors import BadRun
from coread.validate.journal import JOURNAL_FILE, read_journal
from coread.validate.measure_places import COCO, Pictures, average_precision, pictures_of, precision_of
from coread.validate.measure_settings import MeasureSettings
from coread.validate.observations import Answers, Observation, answers_of, observations_of
from coread.validate.patient_intervals import OVER_PATIENTS, Names, paired_test, several_cases, share_difference
from coread.validate.plain import Plain, not_estimable, plain_estimate, rounded, stated
from coread.validate.records import CaseRecord
from coread.validate.report_json import read_report
from coread.validate.running import CohortRun


def compare_with(folder: Path, runs: Sequence[CohortRun], settings: MeasureSettings) -> Plain:
    """Compare these runs with the finished run in ``folder``; differences are this one minus that one.

    Raises BadRun when that run is of other cohorts: nothing would be paired.
    """
    other = read_report(folder)
    theirs = _their_observations(folder, runs)
    ours = observations_of(runs)
    pairs = expected_pairs(ours, theirs)
    outputs = {}
    for spec in runs[0].reader.card.outputs:
        first, second = answers_of(spec.key, ours), answers_of(spec.key, theirs)
        if len(first.truth) and second.read.any():
            outputs[spec.key] = {"name": spec.name} | _one_output(first, second, settings)
    return {
        "this": {"reader_id": runs[0].reader.card.reader_id, "version": runs[0].reader.card.version,
                 "package_digest": runs[0].reader.package_digest},
        "other": {"reader_id": other["reader"]["reader_id"], "version": other["reader"]["version"],
                  "package_digest": other["package_digest"]},
        "outputs": outputs,
        "changed_calls": _changed(ours, theirs),
        "boxes": _boxes(ours, theirs, settings),
        "masks": compare_masks_of(pairs, settings),
        "numbers": compare_numbers(pairs, settings),
        "types": compare_types(pairs, {key: keys for run in runs for key, keys in run.cohort.types.items()}, settings),
    }  # fmt: skip


def _their_observations(folder: Path, runs: Sequence[CohortRun]) -> tuple[Observation, ...]:
    journals: dict[object, dict[str, CaseRecord]] = {}
    for path in sorted(folder.rglob(JOURNAL_FILE)):
        identity, records = read_journal(path)
        journals[identity.get("cohort_digest")] = records
    found: list[Observation] = []
    for run in runs:
        if run.frozen.digest not in journals:
            raise BadRun(
                f"{folder} holds no run on the cohort {run.cohort.name!r} as it is frozen here "
                f"({run.frozen.digest[:12]}). Only runs on the same frozen cohort can be compared."
            )
        records = journals[run.frozen.digest]
        missing = [case.case_id for case in run.cohort.cases if case.case_id not in records]
        if missing:
            raise BadRun(f"{folder} is not finished: case {missing[0]!r} was not read ({len(missing)} in all).")
        found += [Observation(run.cohort.name, case, records[case.case_id]) for case in run.cohort.cases]
    return tuple(found)


def _one_output(first: Answers, second: Answers, settings: MeasureSettings) -> Plain:
    both = first.read & second.read
    one, other = first.chosen(both), second.chosen(both)
    body: Plain = {
        "n": len(first.truth),
        "read_by_both": int(both.sum()),
        "only_this_read": int((first.read & ~second.read).sum()),
        "only_other_read": int((~first.read & second.read).sum()),
        "auc": _auc(one, other),
    }
    # A case that was not read is neither found nor cleared: it counts as wrong for whom it was not read by.
    right = [answers.read & (answers.called == answers.truth) for answers in (first, second)]
    patients = first.patients
    body["mcnemar"] = paired_test(right[0], right[1], patients)
    for name, among in (("sensitivity", first.truth), ("specificity", ~first.truth)):
        body[name] = _rate_difference(right[0][among], right[1][among], patients[among], settings)
        body[f"{name}_mcnemar"] = paired_test(right[0][among], right[1][among], patients[among])
    return body


def _auc(one: Answers, other: Answers) -> Plain:
    if not (one.has_probability and other.has_probability):
        return not_estimable("one of them gives no probability")
    try:
        found = compare_aucs(one.truth, one.probability, other.probability, one.patients)
    except (NotEstimable, InvalidRecord) as problem:
        return not_estimable(str(problem))
    return {
        "this": plain_estimate(found.first),
        "other": plain_estimate(found.second),
        "difference": plain_estimate(found.difference),
        "p_value": rounded(found.p_value),
        "method": found.method,
    }


def _rate_difference(
    first: NDArray[np.bool_], second: NDArray[np.bool_], patients: Names, settings: MeasureSettings
) -> Plain:
    if not len(first):
        return not_estimable("no case")
    return {
        "n": len(first),
        "this": rounded(first.mean()),
        "other": rounded(second.mean()),
        "difference": stated(lambda: share_difference(first, second, patients, settings.plan())),
        "method": OVER_PATIENTS if several_cases(patients) else "Newcombe, paired",
    }


def _changed(ours: Sequence[Observation], theirs: Sequence[Observation]) -> Plain:
    """Return how many cases got another outcome, and how many calls of outputs differ."""
    outcomes = calls = 0
    for one, other in zip(ours, theirs, strict=True):
        outcomes += one.record.outcome != other.record.outcome
        calls += sum(_presence(one.record, key) != _presence(other.record, key) for key in one.record.outputs)
    return {"cases": len(ours), "other_outcome": outcomes, "other_calls": calls}


def _presence(record: CaseRecord, key: str) -> str:
    output = record.outputs.get(key)
    return "" if output is None else output.presence


def _boxes(ours: Sequence[Observation], theirs: Sequence[Observation], settings: MeasureSettings) -> dict[str, Plain]:
    """Return the difference in average precision at 50 % overlap, bootstrapped over the same patients."""
    return {
        key: _precision_difference(pictures_of(key, ours), pictures_of(key, theirs), settings)
        for key in sorted({box.label for item in ours for box in item.case.boxes or ()})
    }


def _precision_difference(first: Pictures, second: Pictures, settings: MeasureSettings) -> Plain:
    one, other = first.marks(COCO), second.marks(COCO)
    plan, patients = settings.plan(500), first.patients

    def difference(chosen: Indices) -> float:
        return average_precision(one.of_images(chosen)) - average_precision(other.of_images(chosen))

    return {
        "lesions": int(one.lesions),
        "this": precision_of(first, one, plan),
        "other": precision_of(second, other, plan),
        "difference": stated(lambda: bootstrap(difference, patients, plan=plan)),
    }
