"""What two versions of a reader say of one study: every difference of outcome, presence, probability and place."""

from dataclasses import dataclass
from typing import Any

from coread.domain.findings import Box, Finding, Presence
from coread.domain.results import Failure, Outcome, Reading, ReadResult

_READ = (Outcome.POSITIVE.value, Outcome.NEGATIVE.value)
SAME_PROBABILITY = 1e-6
"""Smaller differences are rounding of the inference engine, not another answer."""
SAME_BOX_PIXELS = 0.5


@dataclass(frozen=True, slots=True)
class ChangedFinding:
    """One output that the two versions answer differently."""

    key: str
    presence_before: str
    presence_after: str
    probability_before: float | None
    probability_after: float | None
    boxes_before: int
    boxes_after: int
    least_overlap: float
    """Smallest intersection over union of a box with its best partner; 1 where all stayed, 0 where one has none."""
    urgent_lost: bool
    """It was urgent and present before, and is not present now."""
    urgent_gained: bool

    @property
    def presence_changed(self) -> bool:
        """Whether the call itself is another one."""
        return self.presence_before != self.presence_after

    @property
    def probability_change(self) -> float:
        """Absolute change of the calibrated probability; 0 where one version gave none."""
        if self.probability_before is None or self.probability_after is None:
            return 0.0
        return abs(self.probability_after - self.probability_before)


@dataclass(frozen=True, slots=True)
class StudyChange:
    """One study read by both versions."""

    study_instance_uid: str
    outcome_before: str
    outcome_after: str
    detail_before: str
    """Coded reason of a study that is not analysed, or kind of a failure."""
    detail_after: str
    outputs: int
    """Answers that both versions gave and that were compared."""
    findings: tuple[ChangedFinding, ...]

    @property
    def changed(self) -> bool:
        """Whether anything at all is different."""
        ends = (self.outcome_before, self.detail_before) != (self.outcome_after, self.detail_after)
        return ends or bool(self.findings)

    @property
    def had_result(self) -> bool:
        """Whether the version before gave findings: a result in which nothing is clear is not analysed, yet given."""
        return self.outcome_before in _READ or self.outputs > 0 or any(item.presence_before for item in self.findings)

    @property
    def has_result(self) -> bool:
        """Whether the new version gave findings."""
        return self.outcome_after in _READ or self.outputs > 0 or any(item.presence_after for item in self.findings)


def compare_readings(study_instance_uid: str, before: Reading, after: Reading, urgent: frozenset[str]) -> StudyChange:
    """Compare two readings of one study; ``urgent`` are the keys of the card's urgent outputs."""
    old, new = _findings(before), _findings(after)
    both = sorted(set(old) | set(new))
    changes = [_compare(key, old.get(key), new.get(key), urgent) for key in both]
    return StudyChange(
        study_instance_uid,
        before.outcome().value,
        after.outcome().value,
        _detail(before),
        _detail(after),
        len(set(old) & set(new)),
        tuple(change for change in changes if _differs(change)),
    )


def change_from_document(body: dict[str, Any]) -> StudyChange:
    """Read back what ``dataclasses.asdict`` wrote."""
    return StudyChange(**(body | {"findings": tuple(ChangedFinding(**item) for item in body["findings"])}))


def _findings(reading: Reading) -> dict[str, Finding]:
    return {item.key: item for item in reading.ending.findings} if isinstance(reading.ending, ReadResult) else {}


def _detail(reading: Reading) -> str:
    if isinstance(reading.ending, Failure):
        return reading.ending.kind
    reason = reading.reason()
    return "" if reason is None else reason.code.value


def _compare(key: str, before: Finding | None, after: Finding | None, urgent: frozenset[str]) -> ChangedFinding:
    old, new = _boxes(before), _boxes(after)
    was, is_now = (item is not None and item.presence is Presence.PRESENT for item in (before, after))
    return ChangedFinding(
        key,
        before.presence.value if before else "",
        after.presence.value if after else "",
        before.probability if before else None,
        after.probability if after else None,
        len(old),
        len(new),
        _least_overlap(old, new),
        key in urgent and was and not is_now,
        key in urgent and is_now and not was,
    )


def _differs(change: ChangedFinding) -> bool:
    one_gave_none = (change.probability_before is None) != (change.probability_after is None)
    moved = change.probability_change > SAME_PROBABILITY or one_gave_none
    return change.presence_changed or moved or change.least_overlap < 1.0


def _boxes(finding: Finding | None) -> list[Box]:
    return [place for place in finding.locations if isinstance(place, Box)] if finding is not None else []


def _least_overlap(old: list[Box], new: list[Box]) -> float:
    if not old and not new:
        return 1.0
    if not old or not new:
        return 0.0
    sides = [(box, new) for box in old] + [(box, old) for box in new]
    return min(max(_overlap(box, other) for other in others) for box, others in sides)


def _overlap(one: Box, other: Box) -> float:
    if one.image != other.image:
        return 0.0
    edges = ("column_min", "row_min", "column_max", "row_max")
    if all(abs(getattr(one, name) - getattr(other, name)) <= SAME_BOX_PIXELS for name in edges):
        return 1.0
    width = min(one.column_max, other.column_max) - max(one.column_min, other.column_min)
    height = min(one.row_max, other.row_max) - max(one.row_min, other.row_min)
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (_area(one) + _area(other) - shared)


def _area(box: Box) -> float:
    return (box.column_max - box.column_min) * (box.row_max - box.row_min)
