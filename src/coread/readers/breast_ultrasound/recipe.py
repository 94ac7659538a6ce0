"""How the shipped network was made: ``python -m coread.readers.breast_ultrasound.recipe --data FOLDER --out FOLDER``.

Needs the extras ``train`` and ``start`` (weights to begin the encoder with). Steps, each kept in ``--out`` and not done
twice: fit three members, each without one third of the groups, all layers learning, and a fourth without the same third
as the first; calibrate on what they say of it, made fit for their mean by how far first and fourth agree; export the
mean; lock; measure the locked package on the held-out groups; write card, validation and page.

The shipped members 1 to 3 are those of version 0.1.0 (same plan, read back from its package).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.imaging.stretch import stretched
from coread.phantoms.breast_us import BreastUsRecipe, breast_ultrasound
from coread.readers.breast_ultrasound.cohort import COHORT, MARKED, SET, cohort_rows, read_learned
from coread.readers.breast_ultrasound.outputs import HEAD, OUTPUTS, SIDE
from coread.readers.breast_ultrasound.words import CARD, OUTPUT_PLANS, PAGE
from coread.readers.classifying.packaging import Answers, Release, mean_of, release
from coread.readers.classifying.recipe import Lesson, Settings, fit_members
from coread.readers.classifying.recipe import main as run_from_shell
from coread.statistics.ensembles import agreement_of
from coread.statistics.roc import auc
from coread.train.arrays import ArraySet
from coread.train.augmenting import AugmentPlan
from coread.train.crossfit import folds_of
from coread.train.efficientnet_lite import imagenet_weights
from coread.train.fit import FitPlan, Fitted, fit
from coread.train.networks import LITE_DEEP, NetworkPlan
from coread.train.progress import EpochLog
from coread.train.tasks import MultiLabel

CODE = Path(__file__).parent
SEED = 20261128
FOLDS = 3
PLAN = FitPlan(
    epochs=14,
    batch=24,
    learning_rate=1e-3,
    weight_decay=0.03,
    average_decay=0.98,
    augment=AugmentPlan(
        rotation_degrees=10, scale=0.15, aspect=0.1, shift=0.06, mirror=(-1,), gamma=0.3, contrast=0.15, sharpness=0.3,
        noise=0.02, erase=0.2,
    ),
    network=NetworkPlan(kind=LITE_DEEP, dropout=0.3, standardise=False),
    seed=SEED,
)  # fmt: skip
SECOND = replace(PLAN, epochs=8, batch=12, learning_rate=7e-4, seed=SEED + 10)
"""Of a second member without the first fold: two opinions on unseen images show how far members agree."""


def run(settings: Settings) -> Path:
    """Do every step and return the folder of the finished reader."""
    data = read_learned(settings.data)
    truth = np.asarray(data.targets[HEAD], dtype=np.float32) > 0.5
    folds = folds_of(data, truth, folds=FOLDS, seed=SEED)
    heads = [MultiLabel(HEAD, OUTPUTS, smoothing=0.02)]
    encoder = None if settings.fast else imagenet_weights(5)
    fitted = fit_members(settings, Lesson(data, heads, PLAN, folds, members=FOLDS, encoder=encoder))
    second = fit_second(settings, data, heads, folds, encoder)
    said = np.zeros((len(data), len(OUTPUTS)))
    said[fitted.rows] = fitted.outputs[HEAD]
    plain = np.array([not key.endswith(MARKED) for key in data.keys])
    twice = plain & (folds == 0)
    other = second.predict(np.asarray(data.images)[twice], flips=True)[HEAD].astype(np.float64)
    agreement = [agreement_of(said[twice, k], other[:, k], truth[twice, k]) for k in range(len(OUTPUTS))]
    members = (*fitted.members, second)
    groups = [group for group, keep in zip(data.groups, plain, strict=True) if keep]
    work = Release(
        code=CODE, card=CARD, outputs=OUTPUT_PLANS,
        answers={
            key: Answers(said[plain, k], truth[plain, k], groups, members=len(members), agreement=agreement[k])
            for k, key in enumerate(OUTPUTS)
        },
        write_graph=mean_of(members), golden=golden_images(),
        cohort=COHORT | {"root": str(settings.data.resolve())}, rows=cohort_rows(settings.data), page=PAGE,
        learnt_from=[settings.data / SET],
        facts={"folds": FOLDS, "members": len(members), "cross_fitted_auc": {
            key: {
                "plain": _auc(truth[plain, k], said[plain, k]),
                "with painted marks": _auc(truth[~plain, k], said[~plain, k]),
            }
            for k, key in enumerate(OUTPUTS)
        }, "first_fold": {
            key: {
                "agreement_of_two_members": round(agreement[k], 4),
                "auc_of_one": _auc(truth[twice, k], said[twice, k]),
                "auc_of_the_other": _auc(truth[twice, k], other[:, k]),
                "auc_of_their_mean": _auc(truth[twice, k], said[twice, k] + other[:, k]),
            }
            for k, key in enumerate(OUTPUTS)
        }},
    )  # fmt: skip
    return release(work, settings.out)


def fit_second(
    settings: Settings,
    data: ArraySet,
    heads: Sequence[MultiLabel],
    folds: NDArray[np.int64],
    encoder: Mapping[str, Any] | None,
) -> Fitted:
    """Fit a second member without the first fold."""
    rows = rows_of_second(data.keys, folds)
    plan = replace(SECOND, epochs=1, batch=2, epoch_steps=1) if settings.fast else SECOND
    watchers = [EpochLog("second member without the first fold")]
    return fit(data.subset(rows), heads, plan, settings.out / "second", encoder=encoder, watchers=watchers)


def rows_of_second(keys: Sequence[str], folds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows outside the first fold, each image once: where one has painted marks, only that one."""
    painted = {key.removesuffix(MARKED) for key in keys if key.endswith(MARKED)}
    return np.array([row for row, key in enumerate(keys) if key not in painted and folds[row] != 0], dtype=np.int64)


def golden_images() -> NDArray[np.float32]:
    """Draw ultrasound pictures for the golden cases; no patient."""
    made = []
    for seed, lesion in ((1, "round"), (2, "spiky")):
        pixels = breast_ultrasound(BreastUsRecipe(seed, lesion)).dataset.pixel_array
        made.append(stretched(np.divide(pixels, 255, dtype=np.float32), SIDE))
    return np.stack(made)


def _auc(truth: NDArray[np.bool_], said: NDArray[np.float64]) -> float:
    return round(auc(truth, said), 4)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recipe from the command line."""
    return run_from_shell(run, CODE, __doc__ or "", arguments)


if __name__ == "__main__":
    raise SystemExit(main())
