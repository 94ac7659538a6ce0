"""Several fits of one plan, each without one fold of patients: what they say of it is fit for calibration."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from torch import Tensor

from coread.statistics.calibration import Platt, fit_platt
from coread.train.arrays import ArraySet
from coread.train.errors import BadPlan
from coread.train.fit import FitPlan, Fitted, fit
from coread.train.splits import check_no_leak, patient_folds
from coread.train.tasks import Head

Watchers = Callable[[int], Sequence[Callback]]
_SAME = 1e-3
"""Logits that differ by less say the same."""


@dataclass(frozen=True, slots=True, eq=False)
class CrossFitted:
    """The members of an ensemble, and what each said of the fold that it did not learn from."""

    members: tuple[Fitted, ...]
    rows: NDArray[np.int64]
    """Rows of the data that some member did not see, in the order of ``outputs``."""
    outputs: Mapping[str, NDArray[np.float32]]
    """Raw outputs by head for ``rows``, each averaged over the image and its mirror image."""


def cross_fit(
    data: ArraySet,
    heads: Sequence[Head],
    plan: FitPlan,
    folder: Path,
    *,
    folds: NDArray[np.int64],
    members: int,
    encoder: Mapping[str, Tensor] | None = None,
    watchers: Watchers | None = None,
) -> CrossFitted:
    """Fit ``members`` networks, number k without fold k, and let each predict its fold; finished fits are read back.

    With fewer members than folds only the first folds are predicted: less to calibrate on, and less to wait for.
    """
    check_no_leak([np.flatnonzero(folds == k) for k in np.unique(folds)], data.groups)
    fitted: list[Fitted] = []
    rows: list[NDArray[np.int64]] = []
    outputs: list[Mapping[str, NDArray[np.float32]]] = []
    for number in range(members):
        aside = np.flatnonzero(folds == number)
        own = data.subset(np.flatnonzero(folds != number))
        others = data.subset(aside)
        seeing = watchers(number) if watchers else ()
        place = folder / f"member{number}"
        one = fit(own, heads, _seeded(plan, number), place, others, encoder=encoder, watchers=seeing)
        fitted.append(one)
        rows.append(aside)
        outputs.append(one.predict(others, flips=True))
    joined = {head.name: np.concatenate([said[head.name] for said in outputs]) for head in heads}
    return CrossFitted(tuple(fitted), np.concatenate(rows), joined)


def upside_down_too(found: CrossFitted, data: ArraySet, folds: NDArray[np.int64]) -> CrossFitted:
    """Return the same averaged over each image turned upside down as well, for readers of masks that do the same."""
    if any(head.place != "mask" for head in found.members[0].heads):
        raise BadPlan("upside down averages masks only: other heads may mean something else upside down")
    turned: list[Mapping[str, NDArray[np.float32]]] = []
    for number, member in enumerate(found.members):
        pixels = np.asarray(data.images)[folds == number]
        turned.append(member.predict(np.ascontiguousarray(pixels[..., ::-1, :]), flips=True))
    outputs = {
        name: (value + np.concatenate([said[name] for said in turned])[..., ::-1, :]) / 2
        for name, value in found.outputs.items()
    }
    return replace(found, outputs=outputs)


def folds_of(data: ArraySet, labels: NDArray[np.bool_], *, folds: int, seed: int) -> NDArray[np.int64]:
    """Give every row a fold, whole groups, with the labels (N, K) spread evenly."""
    return patient_folds(list(data.groups), labels, folds=folds, seed=seed)


def platt_of(logits: NDArray[np.floating[Any]], truth: NDArray[np.bool_]) -> Platt:
    """Return the Platt curve of cross-fitted logits.

    Where all are right, or all wrong, there is nothing to fit; a network that says the same of everything gets the
    base rate.
    """
    right = int(truth.sum())
    if right in (0, len(truth)):
        return Platt(1.0, 0.0)
    if float(np.ptp(logits)) < _SAME:
        return Platt(1.0, float(np.log(right / (len(truth) - right)) - np.mean(logits)))
    return fit_platt(logits, truth)


def _seeded(plan: FitPlan, number: int) -> FitPlan:
    return replace(plan, seed=plan.seed + number)
