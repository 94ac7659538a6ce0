"""Numbers that follow exactly from others of the same result: counted again where one of those was corrected.

A rule is used only where it held, within rounding, for the numbers before the correction: a sum that left out small
lesions, or an ejection fraction over several beats, is not replaced by another quantity of the same name. What depends
on a corrected number and cannot be counted again is named.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from coread.domain.codes import COREAD_SCHEME, Code
from coread.domain.findings import Measurement

DERIVED = Code("FROM_CORRECTED", COREAD_SCHEME, "Derived from corrected values")
"""Measurement method of a number that was counted again from corrected ones."""
_VOLUME, _LONG = "118565006", "103339001"
_DIASTOLIC, _SYSTOLIC = "18026-5", "18148-7"
_DENSITY, _L1, _L2 = "BMD_TRABECULAR", "66794005", "14293000"
_INTRACRANIAL, _BRAIN, _GREY, _WHITE = "128319008", "12738006", "389081007", "389080008"
_COMPARES = {"VOLUME_CHANGE": _VOLUME, "DOUBLING_TIME": _VOLUME, "DIAMETER_CHANGE": _LONG}
"""Comparisons with an earlier date, by what they compare: both dates were measured by one method, so that a person's
value on one of them gives no change that could be judged by its error."""
Numbers = Sequence[Measurement]


@dataclass(frozen=True, slots=True)
class _Rule:
    """How one quantity follows from others of the same result."""

    of: tuple[str, ...]
    """Code values of the quantity."""
    parts: Callable[[Measurement, Numbers], tuple[int, ...]]
    """From the quantity to the places of its parts; empty where the result does not hold them once each."""
    value: Callable[[Sequence[float]], float]
    rounding: float
    """Most that the quantity is off by its own rounding and, for each part, by that of the part."""


@dataclass(frozen=True, slots=True)
class Derived:
    """The measurements of a result after a correction."""

    measurements: tuple[Measurement, ...]
    counted: tuple[tuple[Measurement, Measurement], ...] = ()
    """What was counted again: before and after."""
    outdated: tuple[Measurement, ...] = ()
    """What depends on something corrected and stands as it was."""


_Item = TypeVar("_Item")


def derived(before: Numbers, after: Sequence[Measurement | None]) -> Derived:
    """Return what follows from a correction; ``after`` is parallel to ``before``, ``None`` for what was left out.

    What a person corrected is a new record in ``after`` and is never counted over; what nobody touched is the same one.
    """
    now = list(after)
    counted, outdated = [], []
    for rule in _RULES:
        for place, own in enumerate(before):
            if own.concept.value not in rule.of or now[place] is not own:
                continue
            parts = rule.parts(own, before)
            if all(now[part] is before[part] for part in parts):
                continue
            found = _value(rule, own, [before[part] for part in parts], [now[part] for part in parts])
            if found is None:
                outdated.append(own)
            else:
                new = replace(own, value=found, uncertainty=None, method=DERIVED)
                now[place] = new
                counted.append((own, new))
    outdated += [own for place, own in enumerate(before) if now[place] is own and _compares(own, before, now)]
    return Derived(tuple(one for one in now if one is not None), tuple(counted), tuple(_once(outdated)))


def _value(
    rule: _Rule, own: Measurement, before: Sequence[Measurement], now: Sequence[Measurement | None]
) -> float | None:  # fmt: skip
    known = [one.value for one in now if one is not None]
    whole = len(known) == len(before)
    off = abs(rule.value([one.value for one in before]) - own.value)
    if not whole or off > rule.rounding * (len(before) + 1):
        return None
    try:
        return round(rule.value(known), 3)
    except ZeroDivisionError:
        return None


def _compares(own: Measurement, before: Numbers, now: Sequence[Measurement | None]) -> bool:
    what = _COMPARES.get(own.concept.value)
    return what is not None and any(
        one.concept.value == what and one.tracking == own.tracking and now[place] is not one
        for place, one in enumerate(before)
    )


def _once(items: Sequence[_Item]) -> list[_Item]:
    return [item for place, item in enumerate(items) if item not in items[:place]]


def _places(numbers: Numbers, concept: str, site: str | None, unit: str) -> tuple[int, ...]:
    return tuple(
        place
        for place, one in enumerate(numbers)
        if one.concept.value == concept
        and one.derivation is None
        and one.unit.value == unit
        and (one.site.value if one.site is not None else None) == site
    )


def _each_once(*found: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(one[0] for one in found) if all(len(one) == 1 for one in found) else ()


def _beat(own: Measurement, numbers: Numbers) -> tuple[int, ...]:
    site = own.site.value if own.site is not None else None
    return _each_once(*(_places(numbers, phase, site, "ml") for phase in (_DIASTOLIC, _SYSTOLIC)))


def _lesions(concept: str) -> Callable[[Measurement, Numbers], tuple[int, ...]]:
    def parts(own: Measurement, numbers: Numbers) -> tuple[int, ...]:
        places = _places(numbers, concept, None, own.unit.value)
        return tuple(place for place in places if numbers[place].tracking is not None)

    return parts


def _l1_and_l2(own: Measurement, numbers: Numbers) -> tuple[int, ...]:
    means = [replace(one, derivation=None) for one in numbers]  # each density is the mean of a region
    return _each_once(*(_places(means, _DENSITY, site, own.unit.value) for site in (_L1, _L2)))


def _tissues(own: Measurement, numbers: Numbers) -> tuple[int, ...]:
    if own.site is None or own.site.value != _BRAIN:
        return ()
    return _each_once(*(_places(numbers, _VOLUME, site, own.unit.value) for site in (_GREY, _WHITE)))


def _of_head(own: Measurement, numbers: Numbers) -> tuple[int, ...]:
    if own.site is None:
        return ()
    return _each_once(*(_places(numbers, _VOLUME, site, "ml") for site in (own.site.value, _INTRACRANIAL)))


_RULES = (
    _Rule(("8811-2", "18043-0"), _beat, lambda ml: 100 * (1 - ml[1] / ml[0]), 0.005),
    _Rule(("90096001",), _beat, lambda ml: ml[0] - ml[1], 0.001),
    _Rule(("SUM_DIAMETERS",), _lesions(_LONG), sum, 0.051),
    _Rule(("SUM_VOLUMES",), _lesions(_VOLUME), sum, 0.003),
    _Rule(("BMD_L1_L2",), _l1_and_l2, lambda two: sum(two) / 2, 0.001),
    _Rule((_VOLUME,), _tissues, sum, 0.001),
    _Rule(("SHARE_OF_HEAD",), _of_head, lambda ml: 100 * ml[0] / ml[1], 0.002),
)
"""In the order in which they are counted: what others follow from comes first."""
