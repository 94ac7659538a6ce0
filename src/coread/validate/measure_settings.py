"""How estimates are made, and where the reader will be used."""

from dataclasses import dataclass
from typing import Literal

from coread.statistics.intervals import Resampling


@dataclass(frozen=True, slots=True)
class MeasureSettings:
    """How estimates are made."""

    repeats: int = 2000
    seed: int = 20260101
    fewest: int = 20
    """Strata with fewer cases get no estimate."""

    def plan(self, repeats: int | None = None, *, method: Literal["bca", "percentile"] = "bca") -> Resampling:
        """Return how a bootstrap is made."""
        return Resampling(repeats=min(repeats or self.repeats, self.repeats), seed=self.seed, method=method)


@dataclass(frozen=True, slots=True)
class Use:
    """What the cohort's description says of the place where a finding will be looked for."""

    prevalence: float | None = None
    studies_per_day: float | None = None
