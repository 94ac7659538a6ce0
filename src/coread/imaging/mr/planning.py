"""How long a sequence takes with all of its lines and with fewer: the arithmetic of phase encoding.

Scan time of a Cartesian sequence (Bernstein, King, Zhou, "Handbook of MRI Pulse Sequences", 2004, section 11.5): one
repetition time for every echo train, times averages, times the packages that slices are divided into; what does not
depend on the lines (preparation, dummy cycles, calibration scans) stays.
"""

import math
from dataclasses import dataclass

from coread.domain.errors import InvalidRecord


@dataclass(frozen=True, slots=True)
class SequenceTiming:
    """One sequence of an examination as it is run today."""

    name: str
    lines: int
    """Phase-encoding lines of the full grid (after partial Fourier, before any acceleration)."""
    repetition_time_ms: float
    echo_train: int = 1
    """Lines that one repetition reads (turbo or EPI factor)."""
    averages: float = 1.0
    packages: int = 1
    """Concatenations: groups of slices that are measured one after the other."""
    partitions: int = 1
    """Second phase encoding of a 3D sequence."""
    fixed_seconds: float = 0.0
    """What does not depend on the number of lines."""
    acceleration: float = 1.0
    """The acceleration that is used already; the saving is counted from there."""

    def __post_init__(self) -> None:
        whole = (self.lines, self.echo_train, self.packages, self.partitions)
        if min(whole) < 1 or self.repetition_time_ms <= 0 or self.averages <= 0 or self.fixed_seconds < 0:
            raise InvalidRecord(f"sequence {self.name!r}: lines, times and counts are above 0")
        if self.acceleration < 1:
            raise InvalidRecord(f"sequence {self.name!r}: an acceleration below 1 is none")

    def seconds(self, lines: int) -> float:
        """Return the duration, s, when ``lines`` phase-encoding lines of each partition are measured."""
        trains = math.ceil(lines * self.partitions / self.echo_train)
        return self.fixed_seconds + self.repetition_time_ms / 1000 * trains * self.averages * self.packages

    def lines_now(self) -> int:
        """Return how many lines are measured today."""
        return math.ceil(self.lines / self.acceleration)


@dataclass(frozen=True, slots=True)
class PlannedSequence:
    """One sequence with its saving."""

    timing: SequenceTiming
    lines: int
    """Lines that would be measured, with those of the calibration region."""
    seconds_now: float
    seconds_planned: float

    @property
    def seconds_saved(self) -> float:
        """Return the saving; never below 0: a sequence that is faster already stays as it is."""
        return max(self.seconds_now - self.seconds_planned, 0.0)

    @property
    def kept(self) -> bool:
        """Say whether the sequence stays as it is because the plan would not make it shorter."""
        return self.seconds_planned >= self.seconds_now


def planned(timing: SequenceTiming, lines: int) -> PlannedSequence:
    """Compare today's duration with that of ``lines`` measured lines; raises InvalidRecord for more than there are."""
    if not 1 <= lines <= timing.lines:
        raise InvalidRecord(f"sequence {timing.name!r}: {lines} of {timing.lines} lines cannot be measured")
    return PlannedSequence(timing, lines, timing.seconds(timing.lines_now()), timing.seconds(lines))
