"""Acceptance limits of a replay, written down before it: the file of a predetermined change control plan."""

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from coread.domain.findings import Presence
from coread.engine.comparing import StudyChange
from coread.models.errors import BadLimits


@dataclass(frozen=True, slots=True)
class Limits:
    """What a new version may change at most; an absent limit is not asked."""

    min_studies: int | None = None
    """Fewer studies that at least one version read (or failed on) prove nothing: rejected."""
    max_changed_outcome_share: float | None = None
    """Share of those studies whose outcome (positive, negative, not analysed, failed) is another one."""
    max_changed_presence_share: float | None = None
    """Share of compared answers (study x output) whose presence is another one."""
    max_probability_change: float | None = None
    """Largest change of a calibrated probability."""
    max_mean_probability_change: float | None = None
    """Mean absolute change over all compared answers."""
    max_lost_urgent: int | None = None
    """Urgent findings that were present and are not any more."""
    max_gained_urgent: int | None = None
    """Urgent findings that were not present and now are: more alerts."""
    max_lost_readings: int | None = None
    """Studies that had a result and are now refused or failed."""
    max_new_failures: int | None = None
    """Studies that now fail and did not."""
    min_box_overlap: float | None = None
    """Smallest overlap (intersection over union) of the boxes of a finding that both versions call present; 0 where one
    version marks a place and the other none."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The numbers of one replay, named as the limits name them."""

    studies: int
    answers: int
    changed_studies: int
    changed_outcome_share: float
    changed_presence_share: float
    probability_change: float
    mean_probability_change: float
    lost_urgent: int
    gained_urgent: int
    lost_readings: int
    new_failures: int
    box_overlap: float


@dataclass(frozen=True, slots=True)
class LimitCheck:
    """One limit with what was measured."""

    name: str
    limit: float
    measured: float
    kept: bool


def read_limits(path: Path) -> tuple[Limits, str]:
    """Read ``[limits]`` of a TOML file; returns it with the SHA-256 of the file. Raises BadLimits."""
    try:
        data = path.read_bytes()
        table = tomllib.loads(data.decode("utf-8"))["limits"]
    except OSError as problem:
        raise BadLimits(f"{path} cannot be read: {problem.strerror}.") from problem
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError) as problem:
        raise BadLimits(f"{path} needs a table [limits]: {type(problem).__name__}: {problem}.") from problem
    known = {item.name for item in fields(Limits)}
    for name, value in table.items():
        if name not in known:
            raise BadLimits(f"{path}: limit {name!r} is unknown. Use {', '.join(sorted(known))}.")
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise BadLimits(f"{path}: limit {name!r} must be a number >= 0, found {value!r}.")
    if not table:
        raise BadLimits(f"{path}: [limits] is empty: nothing would be asked. Write down at least one limit.")
    return Limits(**table), hashlib.sha256(data).hexdigest()


def measure_changes(changes: Sequence[StudyChange]) -> Measured:
    """Count what is different; studies that neither version read or failed on say nothing and thin nothing out."""
    told = [c for c in changes if c.had_result or c.has_result or "failed" in (c.outcome_before, c.outcome_after)]
    found = [item for change in changes for item in change.findings]
    answers = sum(change.outputs for change in changes)
    both = [item for item in found if item.presence_before and item.presence_after]
    present = [item for item in both if item.presence_before == item.presence_after == Presence.PRESENT.value]
    boxed = [item.least_overlap for item in present if item.boxes_before or item.boxes_after]
    lost = [c for c in changes if c.had_result and not c.has_result]
    failed = [c for c in changes if c.outcome_after == "failed" and c.outcome_before != "failed"]
    return Measured(
        studies=len(told),
        answers=answers,
        changed_studies=sum(change.changed for change in told),
        changed_outcome_share=_share(sum(c.outcome_before != c.outcome_after for c in told), len(told)),
        changed_presence_share=_share(sum(item.presence_changed for item in both), answers),
        probability_change=max((item.probability_change for item in both), default=0.0),
        mean_probability_change=sum(item.probability_change for item in both) / answers if answers else 0.0,
        lost_urgent=sum(item.urgent_lost for item in found),
        gained_urgent=sum(item.urgent_gained for item in found),
        lost_readings=len(lost),
        new_failures=len(failed),
        box_overlap=min(boxed, default=1.0),
    )


def check_limits(limits: Limits, measured: Measured) -> tuple[LimitCheck, ...]:
    """Hold the numbers against every limit that is given."""
    checks = []
    for item in fields(Limits):
        limit = getattr(limits, item.name)
        if limit is None:
            continue
        kind, _, name = item.name.partition("_")
        value = float(getattr(measured, name))
        checks.append(LimitCheck(item.name, float(limit), value, value >= limit if kind == "min" else value <= limit))
    return tuple(checks)


def _share(count: int, of: int) -> float:
    return count / of if of else 0.0
