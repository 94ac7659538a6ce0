"""Two runs compared on masks, numbers and types: differences over the same cases, with intervals over patients."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from coread.domain.cards import Estimate
from coread.statistics.intervals import bootstrap
from coread.validate.cohort import READ
from coread.validate.measure_numbers import called_class
from coread.validate.measure_settings import MeasureSettings
from coread.validate.observations import Observation
from coread.validate.patient_intervals import paired_test, share_difference
from coread.validate.plain import Plain, not_estimable, rounded, stated

Pair = tuple[Observation, Observation]


def compare_masks_of(pairs: Sequence[Pair], settings: MeasureSettings) -> dict[str, Plain]:
    """Return differences in mean Dice, for each mask of the truth, among cases that both runs have a mask record of."""

    def dice_of(name: str) -> Callable[[Observation], float | None]:
        return lambda item: item.record.masks[name].dice if name in item.record.masks else None

    names = sorted({name for pair in pairs for item in pair for name in item.record.masks})
    return {name: _mean_difference(pairs, dice_of(name), settings) for name in names}


def compare_numbers(pairs: Sequence[Pair], settings: MeasureSettings) -> dict[str, Plain]:
    """Return differences in mean absolute error, for each number of the truth, among cases that both measured."""

    def error_of(name: str) -> Callable[[Observation], float | None]:
        def error(item: Observation) -> float | None:
            if name not in item.case.numbers or name not in item.record.numbers:
                return None
            return abs(item.record.numbers[name] - item.case.numbers[name])

        return error

    names = sorted({name for one, _ in pairs for name in one.case.numbers})
    return {name: _mean_difference(pairs, error_of(name), settings) for name in names}


def compare_types(
    pairs: Sequence[Pair], types: Mapping[str, Sequence[str]], settings: MeasureSettings
) -> dict[str, Plain]:
    """Return differences in accuracy for each type; a case that was not read counts as wrong."""
    found = {}
    for name, keys in sorted(types.items()):
        known = [pair for pair in pairs if name in pair[0].case.types]
        right = [
            np.array([called_class(pair[side], keys) == keys.index(pair[side].case.types[name]) for pair in known])
            for side in (0, 1)
        ]
        found[name] = _accuracy(right, known, settings)
    return found


def expected_pairs(ours: Sequence[Observation], theirs: Sequence[Observation]) -> tuple[Pair, ...]:
    """Return both records of each case that is to be read."""
    return tuple(pair for pair in zip(ours, theirs, strict=True) if pair[0].case.expect == READ)


def _accuracy(right: Sequence[np.ndarray], known: Sequence[Pair], settings: MeasureSettings) -> Plain:
    if not known:
        return {"n": 0, "difference": not_estimable("no case")}
    patients = np.array([one.patient for one, _ in known], dtype=np.str_)
    return {
        "n": len(known),
        "this": rounded(right[0].mean()),
        "other": rounded(right[1].mean()),
        "difference": stated(lambda: share_difference(right[0], right[1], patients, settings.plan())),
        "mcnemar": paired_test(right[0], right[1], patients),
    }


def _mean_difference(
    pairs: Sequence[Pair], value_of: Callable[[Observation], float | None], settings: MeasureSettings
) -> Plain:
    values, patients = [], []
    lone = [0, 0]
    for one, other in pairs:
        first, second = value_of(one), value_of(other)
        if first is not None and second is not None:
            values.append((first, second))
            patients.append(one.patient)
        else:
            lone[0] += first is not None
            lone[1] += second is not None
    body: Plain = {"n": len(values), "only_this": lone[0], "only_other": lone[1]}
    if not values:
        return body | {"difference": not_estimable("no case that both measured")}
    table = np.array(values, dtype=np.float64)
    gap = table[:, 0] - table[:, 1]

    def difference() -> Estimate:
        return bootstrap(lambda chosen: float(gap[chosen].mean()), patients, plan=settings.plan(1000))

    return body | {
        "this": rounded(table[:, 0].mean()),
        "other": rounded(table[:, 1].mean()),
        "difference": stated(difference),
    }
