"""How the shipped network was made: ``python -m coread.readers.body_part.recipe --data FOLDER --out FOLDER``.

Needs the extra ``train``. Steps, each kept in ``--out`` and not done twice: fit the members, each without one
quarter of the groups; calibrate on what they say of it; export; lock; measure the locked package on the held-out
groups; write card, validation and the clinicians' page.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.phantoms.breast_us import BreastUsRecipe, breast_ultrasound
from coread.phantoms.fundus import FundusRecipe, fundus_photograph
from coread.readers.body_part.cohort import COHORT, LEARNT_SETS, cohort_rows, read_learned
from coread.readers.body_part.outputs import HEAD, KINDS
from coread.readers.body_part.preprocess import network_picture
from coread.readers.body_part.words import CARD, OUTPUT_PLANS, PAGE
from coread.readers.classifying.packaging import Answers, Release, mean_of, release
from coread.readers.classifying.recipe import Lesson, Settings, fit_members
from coread.readers.classifying.recipe import main as run_from_shell
from coread.train.arrays import ArraySet
from coread.train.augmenting import AugmentPlan
from coread.train.fit import FitPlan
from coread.train.networks import NetworkPlan
from coread.train.splits import patient_folds
from coread.train.tasks import MultiLabel

CODE = Path(__file__).parent
FOLDS = 4
MEMBERS = 2
SEED = 20261128
PLAN = FitPlan(
    epochs=5,
    batch=32,
    learning_rate=3e-3,
    average_decay=0.98,
    augment=AugmentPlan(rotation_degrees=8, scale=0.2, aspect=0.1, shift=0.08, gamma=0.3, contrast=0.2, erase=0.2),
    network=NetworkPlan(kind="residual", stem_stride=2, widths=(24, 48, 96), depths=(1, 1, 1), standardise=False),
    seed=SEED,
)
FAST_LIMIT = 120


def run(settings: Settings) -> Path:
    """Do every step and return the folder of the finished reader."""
    pictures, items = read_learned(settings.data, FAST_LIMIT if settings.fast else 0)
    truth = np.array([[item.kind == kind for kind in KINDS] for item in items])
    groups = [f"{item.set} {item.group}" for item in items]
    data = ArraySet(pictures, {HEAD: truth.astype(np.float32)}, groups, [f"{item.set} {item.member}" for item in items])
    folds = patient_folds(groups, truth, folds=FOLDS, seed=SEED)
    heads = [MultiLabel(HEAD, KINDS, balance=False)]
    fitted = fit_members(settings, Lesson(data, heads, PLAN, folds, members=MEMBERS))
    said, seen = fitted.outputs[HEAD].astype(np.float64), truth[fitted.rows]
    names = [groups[row] for row in fitted.rows]
    work = Release(
        code=CODE, card=CARD, outputs=OUTPUT_PLANS,
        answers={key: Answers(said[:, k], seen[:, k], names) for k, key in enumerate(KINDS)},
        write_graph=mean_of(fitted.members), golden=golden_pictures(),
        cohort=COHORT | {"root": str(settings.data.resolve())}, rows=cohort_rows(settings.data), page=PAGE,
        learnt_from=[settings.data / name for name in LEARNT_SETS],
        facts={"members": MEMBERS, "pictures": {kind: int(truth[:, k].sum()) for k, kind in enumerate(KINDS)}},
    )  # fmt: skip
    return release(work, settings.out)


def golden_pictures() -> NDArray[np.float32]:
    """Draw pictures for the golden cases; no patient."""
    drawn = [fundus_photograph(FundusRecipe(1)).dataset, breast_ultrasound(BreastUsRecipe(1)).dataset]
    return np.stack([network_picture(np.divide(one.pixel_array, 255, dtype=np.float32)) for one in drawn])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recipe from the command line."""
    return run_from_shell(run, CODE, __doc__ or "", arguments)


if __name__ == "__main__":
    raise SystemExit(main())
