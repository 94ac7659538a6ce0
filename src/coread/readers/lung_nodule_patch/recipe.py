"""How the shipped network was made: ``python -m coread.readers.lung_nodule_patch.recipe --data FOLDER --out FOLDER``.

Needs the extra ``train``. Steps, each kept in ``--out`` and not done twice: fit the members, each without one
third of the candidate list; calibrate on what they say of it; export; lock; measure the locked package on the
held-out block; write card, validation and the clinicians' page.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.phantoms.nodule_slice import NoduleSliceRecipe, nodule_slice
from coread.readers.classifying.packaging import Answers, Release, mean_of, release
from coread.readers.classifying.recipe import Lesson, Settings, fit_members
from coread.readers.classifying.recipe import main as run_from_shell
from coread.readers.lung_nodule_patch.cohort import COHORT, SET, cohort_rows, read_learned
from coread.readers.lung_nodule_patch.outputs import HEAD, NODULE, SIDE, TURNS
from coread.readers.lung_nodule_patch.preprocess import middle
from coread.readers.lung_nodule_patch.words import CARD, OUTPUT, PAGE
from coread.train.arrays import ArraySet
from coread.train.augmenting import AugmentPlan
from coread.train.crossfit import CrossFitted
from coread.train.fit import FitPlan
from coread.train.networks import NetworkPlan
from coread.train.tasks import MultiLabel

CODE = Path(__file__).parent
FOLDS, MEMBERS = 3, 2
PLAN = FitPlan(
    epochs=18,
    batch=48,
    learning_rate=2.5e-3,
    average_decay=0.985,
    precision="bf16-mixed",
    augment=AugmentPlan(
        rotation_degrees=180, scale=0.12, aspect=0.04, shift=0.04, mirror=(-1, -2), gamma=0.25, contrast=0.1,
        sharpness=0.3, noise=0.03, erase=0.0,
    ),
    network=NetworkPlan(
        kind="residual", stem_stride=2, widths=(32, 64, 128), depths=(1, 1, 1), standardise=False, dropout=0.2
    ),
)  # fmt: skip


def run(settings: Settings) -> Path:
    """Do every step and return the folder of the finished reader."""
    data = read_learned(settings.data)
    blocks = np.array([int(name.split()[1]) for name in data.groups])
    folds = (blocks * FOLDS // (blocks.max() + 1)).astype(np.int64)
    heads = [MultiLabel(HEAD, (NODULE,), balance=False, smoothing=0.04)]
    fitted = fit_members(settings, Lesson(data, heads, PLAN, folds, members=MEMBERS))
    rows = np.concatenate([np.flatnonzero(folds == number) for number in range(MEMBERS)])
    truth = np.asarray(data.targets[HEAD])[rows, 0] > 0.5
    answers = Answers(said_of_turns(data, fitted, folds)[rows], truth, [data.groups[row] for row in rows])
    work = Release(
        code=CODE, card=CARD, outputs=[OUTPUT], answers={NODULE: answers}, write_graph=mean_of(fitted.members),
        golden=golden_patches(), cohort=COHORT | {"root": str(settings.data.resolve())},
        rows=cohort_rows(settings.data), page=PAGE, facts={"members": MEMBERS},
        learnt_from=[settings.data / SET],
    )  # fmt: skip
    return release(work, settings.out)


def said_of_turns(data: ArraySet, fitted: CrossFitted, folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each patch's logit by the member that did not learn from it, averaged as the reader does."""
    logits = np.zeros(len(data))
    for number, member in enumerate(fitted.members):
        aside = np.flatnonzero(folds == number)
        images = np.asarray(data.subset(aside).images)
        said = [member.predict(np.rot90(images, turn, axes=(2, 3)), flips=True)[HEAD][:, 0] for turn in range(TURNS)]
        logits[aside] = np.mean(said, axis=0)
    return logits


def golden_patches() -> NDArray[np.float32]:
    """Draw patches for the golden cases; no patient."""
    patches = []
    for seed, radius in ((1, 6.0), (2, 3.0)):
        drawn = nodule_slice(NoduleSliceRecipe(seed=seed, side=SIDE, radius=radius)).dataset.pixel_array
        patches.append(middle(np.divide(drawn, 255, dtype=np.float32)))
    return np.stack(patches)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recipe from the command line."""
    return run_from_shell(run, CODE, __doc__ or "", arguments)


if __name__ == "__main__":
    raise SystemExit(main())
