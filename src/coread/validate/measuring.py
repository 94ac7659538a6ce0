"""From finished runs to the body of ``report.json``: what came of the cases, and every measure of every output."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from coread.domain.cards import ReaderCard
from coread.domain.reasons import MEANINGS, ReasonCode
from coread.domain.results import Outcome
from coread.statistics.intervals import proportion
from coread.validate.cohort import READ, REFUSE
from coread.validate.errors import BadCohort
from coread.validate.freezing import Progress
from coread.validate.measure_numbers import measure_masks, measure_numbers, measure_types
from coread.validate.measure_outputs import measure_output
from coread.validate.measure_places import measure_places
from coread.validate.measure_repeats import probability_of, repeated_calls, repeats_of
from coread.validate.measure_settings import MeasureSettings, Use
from coread.validate.observations import Observation, answers_of, observations_of
from coread.validate.plain import Plain, not_estimable, rounded, stated
from coread.validate.reading import UNREADABLE
from coread.validate.running import CohortRun
from coread.validate.subgroups import mask_subgroups, place_subgroups, subgroup_table
from coread.validate.worst_rows import worst_boxes, worst_calls, worst_masks, worst_numbers


def measure(
    card: ReaderCard, runs: Sequence[CohortRun], settings: MeasureSettings, *, progress: Progress | None = None
) -> Plain:
    """Return every measure of the reader over all runs together; strata tell the cohorts apart."""
    observations = observations_of(runs)
    prevalence, volume = _joined(runs, "prevalence"), _volume(runs)
    outputs: dict[str, Plain] = {}
    for number, spec in enumerate(card.outputs, start=1):
        answers = answers_of(spec.key, observations)
        if len(answers.truth):
            body = measure_output(spec, answers, Use(prevalence.get(spec.key), volume), settings)
            outputs[spec.key] = body | {
                "subgroups": subgroup_table(spec, answers, settings),
                "repeatability": repeats_of(observations, probability_of(spec.key)),
                "repeated_calls": repeated_calls(observations, spec.key),
            }
        if progress is not None:
            progress(number, len(card.outputs) + 1, "measuring")
    body = {
        "cases": cases_of(observations),
        "refusals": refusals_of(observations),
        "outputs": outputs,
        "not_measured": [spec.key for spec in card.outputs if spec.key not in outputs],
        "boxes": {
            key: body | {"subgroups": place_subgroups(key, observations, settings)}
            for key, body in measure_places(observations, settings).items()
        },
        "masks": {
            name: body | {"subgroups": mask_subgroups(name, observations, settings)}
            for name, body in measure_masks(observations, settings).items()
        },
        "numbers": measure_numbers(observations, _joined(runs, "numbers"), settings),
        "types": measure_types(observations, _joined(runs, "types"), settings),
        "timing": timing_of(observations),
        "worst_masks": worst_masks(observations),
        "worst_boxes": worst_boxes(observations),
        "worst_numbers": worst_numbers(observations),
        "worst": [row for spec in card.outputs for row in worst_calls(answers_of(spec.key, observations))],
    }
    if progress is not None:
        progress(len(card.outputs) + 1, len(card.outputs) + 1, "measuring")
    return body


def cases_of(observations: Sequence[Observation]) -> Plain:
    """Return how many cases there are and what became of them; refusals and failures are outcomes."""
    expected = [item for item in observations if item.case.expect == READ]
    others = [item for item in observations if item.case.expect == REFUSE]
    counts = Counter(item.record.outcome for item in expected)
    return {
        "total": len(observations),
        "patients": len({item.patient for item in observations}),
        "patients_to_be_read": len({item.patient for item in expected}),
        "to_be_read": len(expected),
        "to_be_refused": len(others),
        "outcomes": {outcome.value: counts[outcome.value] for outcome in Outcome},
        "read_without_call": sum(
            item.record.was_read and item.record.outcome == Outcome.NOT_ANALYSED.value for item in expected
        ),
        "read_share": _share(expected, [item.record.was_read for item in expected], "no case is to be read"),
        "refused_share_of_unfit": _share(
            others,
            [item.record.outcome == Outcome.NOT_ANALYSED.value and not item.record.was_read for item in others],
            "no case is there to be refused",
        ),
        "images_left_out": sum(item.record.skipped for item in observations if item.record.was_read),
    }


def refusals_of(observations: Sequence[Observation]) -> list[Plain]:
    """Return refusals and failures by reason, most frequent first."""
    counted: Counter[tuple[str, str]] = Counter()
    unfit: Counter[tuple[str, str]] = Counter()
    for item in observations:
        if not item.record.was_read:
            name = (item.record.outcome, item.record.reason)
            counted[name] += 1
            unfit[name] += item.case.expect == REFUSE
    return [
        {
            "outcome": outcome,
            "reason": reason,
            "meaning": _meaning(reason),
            "n": count,
            "of_unfit": unfit[outcome, reason],
        }
        for (outcome, reason), count in sorted(counted.items(), key=lambda entry: (-entry[1], entry[0]))
    ]


def timing_of(observations: Sequence[Observation]) -> Plain:
    """Return how long a reading took, in seconds; the wrapping of pictures is not part of it."""
    seconds = np.array([item.record.seconds for item in observations if item.record.was_read])
    if not len(seconds):
        return not_estimable("no case was read")
    return {
        "n": len(seconds),
        "median": rounded(float(np.median(seconds))),
        "p95": rounded(float(np.quantile(seconds, 0.95))),
        "most": rounded(float(seconds.max())),
    }


def _share(items: Sequence[Observation], right: Sequence[bool], otherwise: str) -> Plain:
    if not items:
        return not_estimable(otherwise)
    return stated(lambda: proportion(np.array(right), [item.patient for item in items]))


def _meaning(reason: str) -> str:
    if reason == UNREADABLE:
        return "The file is no picture and no DICOM object that can be read"
    return MEANINGS[ReasonCode(reason)] if reason in set(ReasonCode) else "An error: see cases.jsonl"


def _volume(runs: Sequence[CohortRun]) -> float | None:
    """Return the studies a day of the place of use; cohorts that say different things cannot be pooled."""
    said = {run.cohort.studies_per_day for run in runs} - {None}
    if len(said) > 1:
        raise BadCohort(f"cohorts disagree on studies_per_day: {', '.join(map(str, said))}. Measure them apart.")
    return said.pop() if said else None


def _joined(runs: Sequence[CohortRun], name: str) -> dict[str, Any]:
    """Join a table of all cohorts; two cohorts that say different things of the same name cannot be pooled."""
    joined: dict[str, Any] = {}
    for run in runs:
        for key, value in getattr(run.cohort, name).items():
            if joined.setdefault(key, value) != value:
                raise BadCohort(f"cohorts disagree on {name}.{key}: {joined[key]} and {value}. Measure them apart.")
    return joined
