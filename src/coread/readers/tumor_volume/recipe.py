"""How the shipped network was made: ``python -m coread.readers.tumor_volume.recipe --data D --out O``.

Needs the extra ``train``. It fits the members, each without one third of the patients, and keeps them in ``--out``;
``python -m bench.tumor_volume`` makes the locked package of them and measures it.

The shipped members are a first fit of six epochs on 12 rows a patient, none of them bent or wide; the first two went on
from there (``--begin``) on the rows of ``cohort``, the third is as it was.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from coread.readers.lesions.recipe import GoingOn, Lesson, Recipe, Settings, fit_members, settings_of
from coread.readers.tumor_volume.cohort import FOLDS, SET, TUMOR, read_learned
from coread.train.augmenting import AugmentPlan
from coread.train.fit import FitPlan
from coread.train.fitting import use_threads
from coread.train.networks import NetworkPlan
from coread.train.tasks import Segmentation

SEED = 20261129
PLAN = FitPlan(
    epochs=6,
    batch=2,
    epoch_steps=150,
    learning_rate=2e-3,
    average_decay=0.99,
    precision="bf16-mixed",
    draw="patients",
    augment=AugmentPlan(
        rotation_degrees=20, scale=0.2, aspect=0.1, shift=0.08, mirror=(-1, -2, -3), gamma=0.08, contrast=0.04,
        sharpness=0.3, noise=0.02, erase=0.1,
    ),
    network=NetworkPlan(
        kind="residual", widths=(12, 24, 48, 80), depths=(1, 1, 1, 1), norm="group", stem_stride=2, map_width=20,
        map_stride=2, standardise=False, dropout=0.1,
    ),
    seed=SEED,
)  # fmt: skip


def run(settings: Settings) -> Path:
    """Fit the members and return the folder that holds them."""
    data, folds = read_learned(settings.data, settings.limit)
    lesson = Lesson(data, [Segmentation(TUMOR, (TUMOR,), dice_share=0.5)], folds)
    fit_members(replace(settings, pretrained=False), lesson)
    return settings.out


RECIPE = Recipe(
    run, code=Path(__file__).parent, about=__doc__ or "", set=SET, plan=PLAN, members=FOLDS,
    going_on=GoingOn(epochs=2, learning_rate=7e-4),
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit the members from the command line; locking and installing are the bench script's."""
    parser = argparse.ArgumentParser(description=RECIPE.about)
    parser.add_argument("--data", type=Path, required=True, help=f"folder of {SET}")
    parser.add_argument("--out", type=Path, required=True, help="folder for the fits")
    parser.add_argument("--fast", action="store_true", help="run through every step in seconds, learning nothing")
    parser.add_argument("--threads", type=int, default=2, help="processor threads for fitting")
    parser.add_argument("--begin", type=Path, help="network.onnx of an earlier version to go on from")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    use_threads(chosen.threads)
    run(settings_of(RECIPE, chosen.data, chosen.out, fast=chosen.fast, begin=chosen.begin))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
