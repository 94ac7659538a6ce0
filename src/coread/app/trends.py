"""Measurements of one patient over the dates of their studies, gathered from stored results and laid out as plots.

The same thing over time is the same concept and unit of the same lesion (Tracking UID, whoever measured it), or of the
same place in the body by the same reader. Changes, doubling times and what is new are left out: they compare dates
themselves.
"""

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from threading import Lock

from coread.app.priors import StandingVersion, same_person, standing_result, standing_versions
from coread.app.verdicts import owners, rejected_uids, rejections
from coread.domain.findings import Measurement
from coread.domain.results import ReadResult
from coread.domain.study import Study
from coread.route.age import date_of
from coread.store import Store, StudyQuery
from coread.store.errors import DamagedFile

log = logging.getLogger(__name__)
_MOST_STUDIES, _MOST_PLOTS = 12, 12
_MOST_KEPT = 2000
_NOT_PLOTTED = frozenset({
    "VOLUME_CHANGE", "DIAMETER_CHANGE", "DOUBLING_TIME", "NEW_VOLUME", "GONE_VOLUME", "NEW_COUNT",
})  # fmt: skip
_PLOTTED_FIRST = ("Volume", "Long axis")
_WIDTH, _HEIGHT = 360, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 34, 26, 30
_LABEL_PX = 74
"""Room that a date or a value needs beside its neighbour."""
_TICKS = 4


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """One value on one date."""

    day: date
    value: float
    half_width: float | None
    """Of the 95 % interval; None where the reader states none."""
    study_instance_uid: str
    measured_by: str
    rejected: str = ""
    """Who rejected the finding that it was measured of, and when; such a value is shown struck through, on no line."""


@dataclass(frozen=True, slots=True)
class Trend:
    """One quantity of one thing over at least two dates, oldest first, of which at least one value stands."""

    title: str
    unit: str
    points: tuple[TrendPoint, ...]


@dataclass(frozen=True, slots=True)
class Numbers:
    """The measurements of a result without its masks."""

    said_by: str
    """Reader and version, and who corrected it."""
    measurements: tuple[Measurement, ...]
    labels: Mapping[str, str]
    """From the Tracking UIDs of its regions to their labels."""
    of: Mapping[str, str] = field(default_factory=dict)
    """From Tracking UIDs to the keys of the findings that they belong to."""


@dataclass(frozen=True, slots=True)
class DatedResult:
    """What one reader said of one study."""

    study: Study
    reader_id: str
    numbers: Numbers
    rejected: Mapping[str, str] = field(default_factory=dict)
    """From Tracking UIDs to who rejected the finding, and when."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One point of a plot, in pixels; empty labels would run into those beside them."""

    x: float
    y: float
    low_y: float | None
    high_y: float | None
    value_label: str
    value_y: float
    date_label: str
    rejected: bool = False


@dataclass(frozen=True, slots=True)
class TrendPlot:
    """A trend with everything that the drawing needs; pixels from the top left corner."""

    trend: Trend
    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    """(y, label)."""
    line: str
    """Points of a polyline through the values that stand."""
    summary: str
    width: int = _WIDTH
    height: int = _HEIGHT
    left: int = _LEFT
    right: int = _WIDTH - _RIGHT
    base: int = _HEIGHT - _BOTTOM


class TrendShelf:
    """Gathers trends, and keeps the numbers of results in memory: loading them would load all their masks again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[tuple[int, int], Numbers] = OrderedDict()
        self._lock = Lock()

    def blocks(self, study: Study) -> tuple[TrendPlot, ...]:
        """Return the plots for a study's patient: every stored study that is surely the same person's."""
        return tuple(plot_of(trend) for trend in trends_of(self.dated_results(study)))

    def dated_results(self, study: Study) -> tuple[DatedResult, ...]:
        """Return the latest result of each reader for every study of the same person, ``study`` among them."""
        known = {study.study_instance_uid: study}
        if study.patient_id:
            query = StudyQuery(patient_id=study.patient_id.replace("*", "?"), limit=_MOST_STUDIES)
            matching = self._store.find_studies(query).items
            known |= {one.study_instance_uid: one for one in matching if same_person(study, one)}
        found: list[DatedResult] = []
        for uid, one in known.items():
            verdicts = self._store.verdicts(uid)
            for standing in standing_versions(self._store, uid):
                numbers = self._numbers(standing)
                if numbers is not None:
                    gone = rejected_uids(numbers.of, rejections(verdicts, standing.work_id))
                    found.append(DatedResult(one, standing.reader_id, numbers, gone))
        return tuple(found)

    def _numbers(self, standing: StandingVersion) -> Numbers | None:
        key = (standing.work_id, standing.version)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        try:
            found = standing_result(self._store, standing)
        except DamagedFile as problem:  # of another study perhaps: this study's page must open all the same
            log.warning("not in the measurements over time: %s", problem)
            return None
        if found is None:
            return None
        numbers = numbers_of(found.said_by, found.result)
        with self._lock:
            self._kept[key] = numbers
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return numbers


def numbers_of(said_by: str, result: ReadResult) -> Numbers:
    """Return what is followed over time of a result."""
    labels = {region.tracking.uid: region.label for region in result.regions}
    return Numbers(said_by, result.measurements, labels, owners(result))


def trends_of(results: Iterable[DatedResult]) -> tuple[Trend, ...]:
    """Gather what was measured on at least two dates; volumes and long axes first, then by name."""
    points: dict[tuple[str, ...], dict[date, TrendPoint]] = {}
    titles: dict[tuple[str, ...], tuple[str, str]] = {}
    for one in results:
        day = date_of(one.study.study_date)
        if day is None:
            continue
        labels = one.numbers.labels
        for key, item in _once(one.reader_id, one.numbers.measurements):
            place = labels.get(item.tracking.uid, item.tracking.identifier) if item.tracking and not item.site else ""
            titles[key] = (": ".join(part for part in (place, item.name()) if part), item.unit_text())
            rejected = one.rejected.get(item.tracking.uid, "") if item.tracking is not None else ""
            point = TrendPoint(
                day, item.value, item.uncertainty, one.study.study_instance_uid, one.numbers.said_by, rejected
            )
            dated = points.setdefault(key, {})
            if not rejected or day not in dated:  # of one day, what stands goes before what was rejected
                dated[day] = point
    found = [
        Trend(*titles[key], tuple(point for _, point in sorted(dated.items())))
        for key, dated in points.items()
        if len(dated) > 1 and any(not point.rejected for point in dated.values())
    ]
    found.sort(key=lambda trend: (not any(word in trend.title for word in _PLOTTED_FIRST), trend.title))
    return tuple(found[:_MOST_PLOTS])


def _once(reader_id: str, measurements: Sequence[Measurement]) -> list[tuple[tuple[str, ...], Measurement]]:
    """Return each measurement with what makes it the same over time; what stands twice in one result is ambiguous."""
    kept = [item for item in measurements if item.concept.value not in _NOT_PLOTTED]
    keys = [_key(reader_id, item) for item in kept]
    counts = Counter(keys)
    return [(key, item) for key, item in zip(keys, kept, strict=True) if counts[key] == 1]


def _key(reader_id: str, item: Measurement) -> tuple[str, ...]:
    what = (item.concept.scheme, item.concept.value, item.derivation.value if item.derivation else "", item.unit.value)
    if item.site is None and item.tracking is not None:
        return (*what, "lesion", item.tracking.uid)
    return (*what, "place", reader_id, item.site.value if item.site is not None else "")


def plot_of(trend: Trend) -> TrendPlot:
    """Lay a trend out: time to the right, true to scale; the axis begins at 0 unless all values are far from it."""
    lows = [point.value - (point.half_width or 0.0) for point in trend.points]
    highs = [point.value + (point.half_width or 0.0) for point in trend.points]
    ticks = _ticks(min(lows), max(highs))
    bottom, top = ticks[0], ticks[-1]
    height = _HEIGHT - _TOP - _BOTTOM
    first, last = trend.points[0].day, trend.points[-1].day
    days = max(1, (last - first).days)

    def y_of(value: float) -> float:
        return round(_TOP + height * (top - value) / (top - bottom), 1)

    def x_of(point: TrendPoint) -> float:
        return round(_LEFT + 14 + (_WIDTH - _LEFT - _RIGHT - 28) * (point.day - first).days / days, 1)

    marks = _marks(trend.points, x_of, y_of)
    decimals = _decimals(ticks[1] - ticks[0])
    return TrendPlot(
        trend,
        marks,
        tuple((y_of(tick), f"{tick:.{decimals}f}") for tick in ticks),
        " ".join(f"{mark.x:g},{mark.y:g}" for mark in marks if not mark.rejected),
        _summary(trend),
    )


def _marks(
    points: Sequence[TrendPoint], x_of: Callable[[TrendPoint], float], y_of: Callable[[float], float]
) -> tuple[Mark, ...]:
    labelled = _labelled([x_of(point) for point in points])
    marks = []
    for number, point in enumerate(points):
        half = point.half_width
        ends = (None, None) if half is None else (y_of(point.value - half), y_of(point.value + half))
        shown = number in labelled
        above = min(y_of(point.value), ends[1] if ends[1] is not None else y_of(point.value))
        marks.append(
            Mark(
                x_of(point), y_of(point.value), ends[0], ends[1], f"{point.value:.3g}" if shown else "",
                round(above - 7, 1), point.day.isoformat() if shown else "", bool(point.rejected),
            )
        )  # fmt: skip
    return tuple(marks)


def _labelled(places: Sequence[float]) -> set[int]:
    """Choose the points with labels: the last, the first, and those between that have room."""
    kept = [len(places) - 1]
    order = [0, *range(len(places) - 2, 0, -1)] if len(places) > 1 else []
    for number in order:
        if all(abs(places[number] - places[other]) >= _LABEL_PX for other in kept):
            kept.append(number)
    return set(kept)


def _ticks(low: float, high: float) -> tuple[float, ...]:
    """Return round numbers around what is shown; from 0 where the values are not far from it."""
    if low >= 0 and low < 0.6 * high:
        low = 0.0
    least = max(1e-3, 1e-3 * abs(high))
    if high - low < least:  # nearly equal values must not look like a change
        low, high = low - 50 * least, high + 50 * least
    step = _round_step((high - low) / _TICKS)
    first = int(low // step)
    ticks = [first * step]
    while ticks[-1] < high:
        ticks.append((first + len(ticks)) * step)
    return tuple(round(tick, 9) for tick in ticks)


def _round_step(step: float) -> float:
    size = 10.0 ** _power(step)
    return next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= step * 0.999)


def _power(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])


def _decimals(step: float) -> int:
    return next((places for places in range(5) if abs(round(step, places) - step) < 1e-9), 5)


def _summary(trend: Trend) -> str:
    """Return the plot in words, for people who do not see it."""
    values = "; ".join(
        f"{point.day.isoformat()} {point.value:.3g}{_spread(point)}{f' ({point.rejected})' if point.rejected else ''}"
        for point in trend.points
    )
    return f"{trend.title}, {trend.unit}: {values}"


def _spread(point: TrendPoint) -> str:
    return "" if point.half_width is None else f" \u00b1 {point.half_width:.2g}"


def documents(plots: Sequence[TrendPlot]) -> list[Mapping[str, object]]:
    """Return the trends as JSON values."""
    return [
        {
            "title": plot.trend.title,
            "unit": plot.trend.unit,
            "points": [
                {
                    "date": point.day.isoformat(),
                    "value": point.value,
                    "half_width_95": point.half_width,
                    "study_instance_uid": point.study_instance_uid,
                    "measured_by": point.measured_by,
                    "rejected": point.rejected or None,
                }
                for point in plot.trend.points
            ],
        }
        for plot in plots
    ]
