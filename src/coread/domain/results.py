"""The two normal endings of a reading, the four outcomes that people see, and how a result came about."""

import math
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from coread.domain.cards import ReaderKind
from coread.domain.derived import DerivedImages, Picture
from coread.domain.errors import InvalidRecord
from coread.domain.findings import Finding, ImageReference, Measurement, Presence, Region
from coread.domain.maps import ParameterMap
from coread.domain.reasons import Reason, ReasonCode


class Outcome(StrEnum):
    """How a study ends for one reader; exactly one of these, never silence."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    NOT_ANALYSED = "not_analysed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Curve:
    """What was measured over time or another axis, to be drawn: a line through points, some of them named."""

    name: str
    x_name: str
    x_unit: str
    """UCUM, as ``y_unit``; empty for a count."""
    y_name: str
    y_unit: str
    points: tuple[tuple[float, float], ...]
    marks: tuple[tuple[str, int], ...] = ()
    """A name and the number (from 0) of the point that has it, e.g. ``("end systole", 9)``."""

    def __post_init__(self) -> None:
        if len(self.points) < 2:
            raise InvalidRecord("a curve has two points or more")
        if not all(math.isfinite(value) for point in self.points for value in point):
            raise InvalidRecord("a point of a curve is not a finite number")
        if any(not 0 <= number < len(self.points) for _, number in self.marks):
            raise InvalidRecord("a mark of a curve names a point that it does not have")


@dataclass(frozen=True, slots=True, eq=False)
class ReadResult:
    """What a reader found. An empty list of findings would mean "not assessed" and is refused here."""

    findings: tuple[Finding, ...]
    measurements: tuple[Measurement, ...] = ()
    regions: tuple[Region, ...] = ()
    skipped: tuple[tuple[ImageReference, Reason], ...] = ()
    """Images of the study that the reader did not read although others were, each with its reason."""
    notes: tuple[str, ...] = ()
    curves: tuple[Curve, ...] = ()
    maps: tuple[ParameterMap, ...] = ()
    images: tuple[DerivedImages, ...] = ()
    """Series that were computed; findings, measurements, maps and regions may point at their ``references()``."""
    pictures: tuple[Picture, ...] = ()
    """Drawn beside one another on the summary page, in this order, instead of a key image."""

    def __post_init__(self) -> None:
        if not self.measurements and all(f.presence is Presence.NOT_ASSESSED for f in self.findings):
            raise InvalidRecord("a result needs one assessed finding or a measurement; otherwise return a Refusal")

    def outcome(self) -> Outcome:
        """Positive when anything is present; negative only where what was looked for is absent and nothing is unclear.

        Otherwise not analysed, for ``reason()``; measurements and objects of such a result are kept and sent.
        """
        if self._of(Presence.PRESENT):
            return Outcome.POSITIVE
        return Outcome.NEGATIVE if self.reason() is None else Outcome.NOT_ANALYSED

    def reason(self) -> Reason | None:
        """Return why this result is no negative although nothing is present; ``None`` where it is one, or positive."""
        if self._of(Presence.PRESENT):
            return None
        if unclear := self._of(Presence.INDETERMINATE):
            absent = [name for name in self._of(Presence.ABSENT) if name not in unclear]
            besides = f"; not detected: {', '.join(absent)}" if absent else ""
            unshown = "" if not any(map(_likely, self.findings)) else ", likely but nothing could be outlined"
            return Reason(ReasonCode.INDETERMINATE, ", ".join(unclear) + unshown + besides)
        return None if self._of(Presence.ABSENT) else Reason(ReasonCode.MEASURED_ONLY)

    def _of(self, presence: Presence) -> list[str]:
        """Return what the findings of a presence are called, each once."""
        return list(dict.fromkeys(f.concept.meaning for f in self.findings if f.presence is presence))


def _likely(finding: Finding) -> bool:
    """Say whether a finding that was not called is at or above its threshold: there is no place to show."""
    if finding.presence is not Presence.INDETERMINATE or finding.probability is None or finding.threshold is None:
        return False
    return finding.probability >= finding.threshold


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reader will not read this input: normal, expected, shown as "not analysed, because ..."."""

    reason: Reason
    skipped: tuple[tuple[ImageReference, Reason], ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """Something broke. ``kind`` is the exception's class name; ``message`` holds no patient data."""

    kind: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Which bytes made this result, on what, when (an audit needs every one of these)."""

    reader_id: str
    reader_version: str
    package_digest: str
    input_digest: str
    """SHA-256 over the sorted digests of the instances that were read."""
    coread_version: str
    runtime: str
    """Inference engine and version, e.g. ``onnxruntime 1.30.0 CPUExecutionProvider``."""
    started_at: datetime
    finished_at: datetime
    stage_seconds: tuple[tuple[str, float], ...] = field(default=())
    priors: tuple[str, ...] = ()
    """Study Instance UIDs of the earlier studies that were given for comparison, newest first."""
    reader_kind: ReaderKind | None = None
    """From the reader's card; ``None`` where no card was at hand."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """One work item's ending, ready to be stored: exactly one of result, refusal, failure."""

    ending: ReadResult | Refusal | Failure
    provenance: Provenance

    def outcome(self) -> Outcome:
        """Return which of the four outcomes this ending is."""
        if isinstance(self.ending, ReadResult):
            return self.ending.outcome()
        return Outcome.NOT_ANALYSED if isinstance(self.ending, Refusal) else Outcome.FAILED

    def notes_images(self) -> bool:
        """Say whether what is present is a remark on images and no suspicion; see ``ReaderKind.notes_images``."""
        return self.provenance.reader_kind is not None and self.provenance.reader_kind.notes_images

    def reason(self) -> Reason | None:
        """Return the coded reason of a reading that is not analysed; ``None`` for the other outcomes."""
        if isinstance(self.ending, ReadResult):
            return self.ending.reason()
        return self.ending.reason if isinstance(self.ending, Refusal) else None
