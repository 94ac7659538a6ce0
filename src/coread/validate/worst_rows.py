"""The cases that a reader got most wrong: its calls, the fit of its masks, the lesions it missed, its measurements."""

from collections.abc import Sequence

import numpy as np

from coread.statistics.matching import MatchRule
from coread.validate.cohort import READ
from coread.validate.measure_places import pictures_of
from coread.validate.observations import Answers, Observation
from coread.validate.plain import Plain, rounded

MOST_WORST = 6


def worst_calls(answers: Answers) -> list[Plain]:
    """Return the surest false alarms and the surest misses of one output."""
    if not answers.has_probability:
        return []
    order = np.argsort(answers.probability)  # NaN last
    misses = [i for i in order if answers.read[i] and answers.truth[i] and not answers.called[i]]
    alarms = [i for i in order[::-1] if answers.read[i] and not answers.truth[i] and answers.called[i]]
    rows = []
    for kind, chosen in (("missed", misses[:MOST_WORST]), ("false alarm", alarms[:MOST_WORST])):
        for index in chosen:
            item = answers.observations[index]
            rows.append(
                {"output": answers.key, "kind": kind}
                | _case(item)
                | {"probability": rounded(answers.probability[index])}
            )
    return rows


def worst_masks(observations: Sequence[Observation]) -> list[Plain]:
    """Return the cases whose masks fit worst, for each mask of the truth."""
    rows = []
    for name in sorted({name for item in observations for name in item.record.masks}):
        chosen = [item for item in observations if name in item.record.masks and item.case.expect == READ]
        for item in sorted(chosen, key=lambda item: item.record.masks[name].dice)[:MOST_WORST]:
            rows.append({"mask": name} | _case(item) | {"dice": rounded(item.record.masks[name].dice)})
    return rows


def worst_boxes(observations: Sequence[Observation]) -> list[Plain]:
    """Return the cases that were read and in which most lesions have no mark on them, for each output with boxes."""
    rows = []
    for key in sorted({box.label for item in observations for box in item.case.boxes or ()}):
        found: list[Plain] = []
        for item in observations:
            if item.case.boxes and item.record.was_read and item.case.expect == READ:
                marks = pictures_of(key, [item]).marks(MatchRule("centre"))
                hits = marks.lesion >= 0
                missed = marks.lesions - len(set(zip(marks.image[hits], marks.lesion[hits], strict=True)))
                false_marks = int((~hits).sum())
                if missed:
                    row = {"lesions": marks.lesions, "missed": missed, "false_marks": false_marks}
                    found.append({"output": key} | _case(item) | row)
        rows += sorted(found, key=lambda row: (-row["missed"], -row["false_marks"], row["case_id"]))[:MOST_WORST]
    return rows


def worst_numbers(observations: Sequence[Observation]) -> list[Plain]:
    """Return the cases whose measured numbers lie furthest from the truth, for each number of the truth."""
    rows = []
    for name in sorted({name for item in observations for name in item.case.numbers}):
        found: list[Plain] = []
        for item in observations:
            if name in item.case.numbers and name in item.record.numbers and item.case.expect == READ:
                truth, number = item.case.numbers[name], item.record.numbers[name]
                values = {"truth": rounded(truth), "found": rounded(number), "error": rounded(number - truth)}
                found.append({"number": name} | _case(item) | values)
        rows += sorted(found, key=lambda row: (-abs(row["error"]), row["case_id"]))[:MOST_WORST]
    return rows


def _case(item: Observation) -> Plain:
    return {"cohort": item.cohort, "case_id": item.case.case_id}
