"""How the shipped network was made: ``python -m coread.readers.ejection_fraction.recipe --out FOLDER``.

Everything that it learns from is drawn (``drawn.py``); there is no patient in it. Needs the extra ``train``.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from coread.readers.drawn import recipe as shared
from coread.readers.drawn.recipe import DrawnRecipe, Picture
from coread.readers.ejection_fraction.drawn import drawn_slice
from coread.readers.ejection_fraction.outputs import AREA, CLASSES, GRAPH
from coread.train.augmenting import AugmentPlan
from coread.train.fit import FitPlan
from coread.train.networks import NetworkPlan
from coread.train.tasks import Segmentation

SEED = 20261129
SLICES, TUNE = 3200, 120
PLAN = FitPlan(
    epochs=11,
    batch=24,
    epoch_steps=100,
    learning_rate=3e-3,
    average_decay=0.995,
    augment=AugmentPlan(
        rotation_degrees=180, scale=0.2, aspect=0.08, shift=0.05, mirror=(-1, -2), gamma=0.3, contrast=0.12,
        sharpness=0.3, noise=0.02, erase=0.0,
    ),
    network=NetworkPlan(
        kind="residual", widths=(12, 24, 48, 96), depths=(1, 1, 1, 1), stem_stride=2, map_width=20, map_stride=2,
        dropout=0.0,
    ),
    seed=SEED,
)  # fmt: skip


def slices(count: int, seed: int) -> Iterator[Picture]:
    """Yield drawn slices with their labels, each (SIDE, SIDE) uint8."""
    for number in range(count):
        yield drawn_slice(np.random.default_rng([seed, number]))


RECIPE = DrawnRecipe(
    slices, Segmentation(AREA, CLASSES, dice_share=0.5), PLAN, GRAPH, count=SLICES, tune=TUNE, subject="short axis",
    about=__doc__ or "",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recipe from the command line."""
    return shared.main(RECIPE, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
