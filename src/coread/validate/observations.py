"""From finished runs to arrays: what is true and what the reader said, case by case, for each output."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import ReaderCard
from coread.domain.findings import Presence
from coread.validate.cohort import READ, Case, Cohort
from coread.validate.errors import BadCohort
from coread.validate.records import CaseRecord, OutputRecord
from coread.validate.running import CohortRun

_CALLED = (Presence.PRESENT.value, Presence.ABSENT.value)
AGE_BANDS = ((0, 2), (2, 12), (12, 18), (18, 40), (40, 60), (60, 80), (80, 200))


@dataclass(frozen=True, slots=True)
class Observation:
    """One case of one cohort with what the reader said of it."""

    cohort: str
    case: Case
    record: CaseRecord

    @property
    def patient(self) -> str:
        """The patient, told apart from patients of the same name in other cohorts."""
        return f"{self.cohort}/{self.case.patient_id}"

    @property
    def name(self) -> str:
        """The case, told apart from cases of other cohorts."""
        return f"{self.cohort}/{self.case.case_id}"


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """All cases with a known truth for one output; arrays run over these cases in order."""

    key: str
    observations: tuple[Observation, ...]
    truth: NDArray[np.bool_]
    read: NDArray[np.bool_]
    """The reader said present or absent; False for refusals, failures and outputs that were not assessed."""
    called: NDArray[np.bool_]
    """Present at the operating point that the reader used; False where it did not read."""
    probability: NDArray[np.float64]
    """NaN where the reader did not read or gives none."""
    logit: NDArray[np.float64]

    @property
    def patients(self) -> NDArray[np.str_]:
        """The patient of each case."""
        return np.array([item.patient for item in self.observations], dtype=np.str_)

    @property
    def has_probability(self) -> bool:
        """Whether every case that was read has a probability."""
        return bool(self.read.any() and np.isfinite(self.probability[self.read]).all())

    def chosen(self, which: NDArray[np.bool_]) -> "Answers":
        """Return a part of the cases."""
        kept = tuple(item for item, wanted in zip(self.observations, which, strict=True) if wanted)
        return Answers(
            self.key, kept, self.truth[which], self.read[which], self.called[which], self.probability[which],
            self.logit[which],
        )  # fmt: skip


def observations_of(runs: Sequence[CohortRun]) -> tuple[Observation, ...]:
    """Return every case of every run, those that should be refused included."""
    return tuple(
        Observation(run.cohort.name, case, record)
        for run in runs
        for case, record in zip(run.cohort.cases, run.records, strict=True)
    )


def answers_of(key: str, observations: Sequence[Observation]) -> Answers:
    """Return what was said of one output in the cases whose truth is known and that ought to be read."""
    chosen = tuple(item for item in observations if item.case.expect == READ and key in item.case.truth)
    records = [_record(item, key) for item in chosen]
    return Answers(
        key=key,
        observations=chosen,
        truth=np.array([item.case.truth[key] for item in chosen], dtype=np.bool_),
        read=np.array([record is not None for record in records], dtype=np.bool_),
        called=np.array(
            [record is not None and record.presence == Presence.PRESENT.value for record in records], dtype=np.bool_
        ),
        probability=np.array([_number(record.probability if record else None) for record in records], dtype=np.float64),
        logit=np.array([_number(record.logit if record else None) for record in records], dtype=np.float64),
    )


def check_fits(card: ReaderCard, cohort: Cohort) -> None:
    """Raise BadCohort when the truth speaks of outputs that the reader does not have: nothing would be measured."""
    known = {output.key for output in card.outputs}
    named: dict[str, str] = {}
    for case in cohort.cases:
        named |= {key: f"truth:{key}" for key in case.truth}
        named |= {box.label: "boxes" for box in case.boxes or ()}
        for box in case.boxes or ():
            if box.image >= len(case.files):
                raise BadCohort(f"case {case.case_id!r}: a box stands on file {box.image}, it has {len(case.files)}.")
    named |= {key: f"types.{name}" for name, keys in cohort.types.items() for key in keys}
    named |= dict.fromkeys(cohort.prevalence, "prevalence")
    for key, where in named.items():
        if key not in known:
            raise BadCohort(
                f"{cohort.folder}: {where} speaks of {key!r}, which is no output of {card.reader_id} "
                f"({', '.join(sorted(known))}). Map it under [outputs], or leave it out."
            )


def strata_of(observation: Observation) -> dict[str, str]:
    """Return the strata of a case by the name of the grouping; what is not stated is left out."""
    case = observation.case
    found = {
        "cohort": observation.cohort,
        "site": case.site,
        "scanner": case.scanner,
        "view": case.view,
        "age": _age_band(case.age_years),
        "sex": case.sex,
        **case.groups,
    }
    return {name: value for name, value in found.items() if value}


def _age_band(years: float | None) -> str:
    for low, high in AGE_BANDS:
        if years is not None and low <= years < high:
            return f"{low} to {high - 1} years" if high < 200 else f"{low} years and more"
    return ""


def _record(item: Observation, key: str) -> OutputRecord | None:
    record = item.record.outputs.get(key) if item.record.was_read else None
    return record if record is not None and record.presence in _CALLED else None


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
