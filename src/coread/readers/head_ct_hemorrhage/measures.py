"""What is measured beside the study: slices, and how far the position of a slice alone would come."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import Estimate
from coread.readers.head_ct_hemorrhage.cohort import Row
from coread.readers.head_ct_hemorrhage.scores import study_logit
from coread.statistics.roc import auc_estimate

_WIDTH = 0.05
"""Of the kernel over the position, as a share of the series."""


@dataclass(frozen=True, slots=True, eq=False)
class SliceScores:
    """Scores (N,) and truth (N,) of slices, NaN where unknown, and the patient of each (N,)."""

    scores: NDArray[np.float64]
    truth: NDArray[np.float64]
    patients: NDArray[np.str_]

    def slice_auc(self) -> Estimate:
        """Return the AUC over slices whose truth is known; patients, not slices, are independent."""
        known = np.isfinite(self.truth)
        return auc_estimate(self.truth[known] > 0.5, self.scores[known], self.patients[known].tolist())

    def slice_auc_among(self, chosen: NDArray[np.bool_]) -> Estimate:
        """Return the same over some of the slices (N,)."""
        return SliceScores(self.scores[chosen], self.truth[chosen], self.patients[chosen]).slice_auc()

    def study_logits(self, patients: Sequence[str]) -> NDArray[np.float64]:
        """Return the study's logit of each of these patients."""
        return np.array([study_logit(self.scores[self.patients == patient]) for patient in patients])


def positions(patients: NDArray[np.str_]) -> NDArray[np.float64]:
    """Return where each slice (N,) lies in its series: 0 the first, 1 the last; slices of a patient stand together."""
    found = np.zeros(len(patients))
    for patient in np.unique(patients):
        here = np.flatnonzero(patients == patient)
        found[here] = np.linspace(0, 1, len(here))
    return found


def position_scores(learnt: Sequence[Row], judged: Sequence[Row]) -> NDArray[np.float64]:
    """Return how often slices at the same place bleed among other patients: a baseline that sees no picture."""
    known = [number for number, row in enumerate(learnt) if np.isfinite(row.any)]
    own = positions(np.array([row.patient for row in learnt]))[known]
    bleeds = np.array([learnt[number].any for number in known])
    at = positions(np.array([row.patient for row in judged]))
    near = np.exp(-(((at[:, np.newaxis] - own[np.newaxis]) / _WIDTH) ** 2) / 2)
    return np.asarray(near @ bleeds / near.sum(axis=1), dtype=np.float64)


def words_of(found: Estimate) -> str:
    """Return an estimate as a card has it."""
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def as_json(found: Estimate) -> dict[str, Any]:
    """Return an estimate for training.json."""
    return {"value": round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4), "n": found.n}
