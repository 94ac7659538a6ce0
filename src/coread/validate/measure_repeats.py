"""Repeated acquisitions of one thing: how far apart the reader's answers lie although nothing changed."""

from collections.abc import Callable, Sequence

import numpy as np

from coread.statistics.agreement import bland_altman, repeatability_of
from coread.statistics.errors import NotEstimable
from coread.statistics.intervals import proportion
from coread.validate.cohort import READ
from coread.validate.observations import Observation
from coread.validate.patient_intervals import NOT_CLUSTERED, several_cases
from coread.validate.plain import Plain, not_estimable, plain_estimate, rounded, stated, thinned

_NONE = "no repeated acquisitions (column repeat)"


def repeats_of(observations: Sequence[Observation], value_of: Callable[[Observation], float | None]) -> Plain:
    """Return within-subject standard deviation, repeatability coefficient, and limits of agreement of two repeats.

    Cases with the same word in the column ``repeat`` are one subject. Limits are those of the second measurement minus
    the first, in the order of the table; a subject's further measurements count for the standard deviation only.
    """
    groups = _groups(observations, value_of)
    if not groups:
        return not_estimable(_NONE)
    subjects = [name for name, values in groups.items() for _ in values]
    try:
        found = repeatability_of([value for values in groups.values() for _, value in values], subjects)
    except NotEstimable as problem:
        return not_estimable(str(problem))
    first, second = (np.array([values[place][1] for values in groups.values()]) for place in (0, 1))
    body: Plain = {
        "subjects": found.subjects,
        "repeats": found.repeats,
        "measurements": found.measurements,
        "within_sd": plain_estimate(found.within_sd),
        "coefficient": plain_estimate(found.coefficient),
        "spread_p_value": None if found.spread_p_value is None else rounded(found.spread_p_value),
        "bland_altman": _limits(first, second),
        "pairs": thinned(first, second, points=1000),
    }
    owners = np.array([values[0][0].patient for values in groups.values()], dtype=np.str_)
    return body | ({"note": NOT_CLUSTERED} if several_cases(owners) else {})


def repeated_calls(observations: Sequence[Observation], key: str) -> Plain:
    """Return in what share of subjects all repeats of one output were called alike; read cases only."""

    def call(item: Observation) -> float | None:
        record = item.record.outputs.get(key) if item.record.was_read else None
        return None if record is None else float(record.presence == "present")

    groups = _groups(observations, call)
    if not groups:
        return not_estimable(_NONE)
    alike = [len({value for _, value in values}) == 1 for values in groups.values()]
    owners = [values[0][0].patient for values in groups.values()]
    return stated(lambda: proportion(np.array(alike), owners))


def probability_of(key: str) -> Callable[[Observation], float | None]:
    """Return how the probability of one output is found in a case that was read."""

    def found(item: Observation) -> float | None:
        record = item.record.outputs.get(key) if item.record.was_read else None
        return None if record is None else record.probability

    return found


def _groups(
    observations: Sequence[Observation], value_of: Callable[[Observation], float | None]
) -> dict[str, list[tuple[Observation, float]]]:
    """Return the measured repeats of every subject that has two or more."""
    found: dict[str, list[tuple[Observation, float]]] = {}
    for item in observations:
        if item.case.expect == READ and item.case.repeat:
            value = value_of(item)
            if value is not None:
                found.setdefault(f"{item.cohort}/{item.case.repeat}", []).append((item, value))
    return {name: values for name, values in found.items() if len(values) > 1}


def _limits(first: np.ndarray, second: np.ndarray) -> Plain:
    try:
        limits = bland_altman(second, first)
    except NotEstimable as problem:
        return not_estimable(str(problem))
    return {name: plain_estimate(getattr(limits, name)) for name in ("bias", "lower", "upper")}
