"""What changed between two dates: real or within the error of measurement, how fast, and what RECIST calls it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import InvalidRecord
from coread.imaging.measuring import Size

_NORMAL_95 = 1.959963984540054
RECIST_PARTIAL = -0.30
RECIST_PROGRESSIVE = 0.20
RECIST_LEAST_GROWTH_MM = 5.0
VOLUME_PARTIAL = (1 + RECIST_PARTIAL) ** 3 - 1
"""-65.7 %: what a ball loses in volume when its diameter loses 30 %."""
VOLUME_PROGRESSIVE = (1 + RECIST_PROGRESSIVE) ** 3 - 1
"""+72.8 %: what a ball gains in volume when its diameter gains 20 %."""


class Verdict(StrEnum):
    """Whether a difference says anything about the patient."""

    GREW = "grew"
    SHRANK = "shrank"
    WITHIN_ERROR = "within the error of measurement"


class Response(StrEnum):
    """Response categories of RECIST 1.1 (Eisenhauer 2009, section 4.3)."""

    COMPLETE = "complete response"
    PARTIAL = "partial response"
    STABLE = "stable disease"
    PROGRESSIVE = "progressive disease"


@dataclass(frozen=True, slots=True)
class Change:
    """One quantity at two dates, in its own unit."""

    before: float
    after: float
    verdict: Verdict
    relative: float | None
    """(after - before) / before; None when there was nothing before."""


def change_of(before: float, after: float, *, repeatability: float) -> Change:
    """Compare two measurements with the repeatability coefficient: the difference that 95 % of repeats stay below.

    ``repeatability`` is relative to the mean of the two (Bland and Altman 1999; 1.96 * sqrt(2) * within-subject
    coefficient of variation), as volumes and diameters err in proportion. Raises InvalidRecord for values below 0.
    """
    if min(before, after, repeatability) < 0 or not all(map(math.isfinite, (before, after, repeatability))):
        raise InvalidRecord(f"measurements and their repeatability are at least 0: {before}, {after}, {repeatability}")
    limit = repeatability * (before + after) / 2
    difference = after - before
    verdict = Verdict.WITHIN_ERROR
    if abs(difference) > limit:
        verdict = Verdict.GREW if difference > 0 else Verdict.SHRANK
    return Change(before, after, verdict, difference / before if before > 0 else None)


@dataclass(frozen=True, slots=True)
class DoublingTime:
    """Days in which a volume doubles at the rate between two dates; negative: halves in as many days."""

    days: float
    low: float | None
    high: float | None
    """95 % interval; None where the rate may as well be of the other sign: then there is no bound."""


def doubling_time(before: Size, after: Size, days: float) -> DoublingTime | None:
    """Return the doubling time under exponential growth (Collins 1956); None when the two volumes are the same.

    The interval comes from the volumes' half widths by the delta method on the logarithm. Raises InvalidRecord for
    volumes or times that are not above 0.
    """
    if before.value <= 0 or after.value <= 0 or days <= 0:
        raise InvalidRecord("a doubling time needs two volumes above 0 at two dates")
    ratio = math.log(after.value / before.value)
    if ratio == 0:
        return None
    spread = math.hypot(before.half_width / before.value, after.half_width / after.value)
    low, high = ratio - spread, ratio + spread
    doubled = days * math.log(2)
    if low <= 0 <= high:
        return DoublingTime(doubled / ratio, None, None)
    bounds = sorted((doubled / low, doubled / high))
    return DoublingTime(doubled / ratio, bounds[0], bounds[1])


def recist_response(sums_mm: Sequence[float], *, new_lesions: bool) -> Response:
    """Return the response at the last of several dates from the sums of diameters, oldest (baseline) first.

    Section 4.3.1: progression is 20 % and 5 mm above the smallest sum so far, or a new lesion; partial response 30 %
    below the baseline; complete response is the disappearance of all target lesions. Raises InvalidRecord for fewer
    than two dates or a baseline without a measurable lesion.
    """
    if len(sums_mm) < 2 or min(sums_mm) < 0 or sums_mm[0] <= 0:
        raise InvalidRecord("a response needs a baseline with a measurable lesion and a later date")
    now, baseline, nadir = sums_mm[-1], sums_mm[0], min(sums_mm[:-1])
    grown = now - nadir
    relative_growth = grown / nadir if nadir > 0 else math.inf
    if new_lesions or (relative_growth >= RECIST_PROGRESSIVE and grown >= RECIST_LEAST_GROWTH_MM):
        return Response.PROGRESSIVE
    if now == 0:
        return Response.COMPLETE
    return Response.PARTIAL if now / baseline - 1 <= RECIST_PARTIAL else Response.STABLE


def volume_response(sums_ml: Sequence[float], *, new_lesions: bool) -> Response:
    """Return the response by summed volume, with the limits that a ball would have at those of RECIST.

    Volumetric limits are no standard; these are the geometric equivalents. Raises InvalidRecord as
    ``recist_response`` does.
    """
    if len(sums_ml) < 2 or min(sums_ml) < 0 or sums_ml[0] <= 0:
        raise InvalidRecord("a response needs a baseline with a measurable lesion and a later date")
    now, baseline, nadir = sums_ml[-1], sums_ml[0], min(sums_ml[:-1])
    if new_lesions or (now > 0 and (nadir == 0 or now / nadir - 1 >= VOLUME_PROGRESSIVE)):
        return Response.PROGRESSIVE
    if now == 0:
        return Response.COMPLETE
    return Response.PARTIAL if now / baseline - 1 <= VOLUME_PARTIAL else Response.STABLE


@dataclass(frozen=True, slots=True)
class Matched:
    """Which lesion of the earlier date is which of the later one, by number."""

    pairs: tuple[tuple[int, int], ...]
    vanished: tuple[int, ...]
    new: tuple[int, ...]


def match_lesions(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    *,
    within_mm: float | Mapping[tuple[int, int], float],
) -> Matched:
    """Pair centres (N, 3) and (M, 3) in one frame, LPS mm, so that the summed distance is least.

    Only pairs that lie within ``within_mm`` of each other count, by pair where a mapping is given: lesions that are
    large move more. Of all assignments with the most pairs the one with the least distance is taken.
    """
    apart = np.linalg.norm(before[:, None] - after[None], axis=2).reshape(len(before), len(after))
    allowed = apart <= (within_mm if isinstance(within_mm, int | float) else _limits(apart.shape, within_mm))
    pairs = _least_distance(apart, allowed)
    taken_before, taken_after = {i for i, _ in pairs}, {j for _, j in pairs}
    return Matched(
        tuple(sorted(pairs)),
        tuple(i for i in range(len(before)) if i not in taken_before),
        tuple(j for j in range(len(after)) if j not in taken_after),
    )


def _limits(shape: tuple[int, ...], within_mm: Mapping[tuple[int, int], float]) -> NDArray[np.float64]:
    limits = np.full(shape, -1.0)
    for pair, limit in within_mm.items():
        limits[pair] = limit
    return limits


def _least_distance(apart: NDArray[np.float64], allowed: NDArray[np.bool_]) -> list[tuple[int, int]]:
    from scipy.optimize import linear_sum_assignment

    if not allowed.any():
        return []
    # A forbidden pair costs more than all allowed ones together, so none is taken in place of one more that is allowed.
    forbidden = float(apart[allowed].sum()) + 1.0
    rows, columns = linear_sum_assignment(np.where(allowed, apart, forbidden))
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if allowed[i, j]]
