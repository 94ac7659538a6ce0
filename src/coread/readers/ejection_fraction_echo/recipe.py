"""How the shipped network was made: ``python -m coread.readers.ejection_fraction_echo.recipe --out FOLDER``.

Everything that it learns from is drawn (``drawn.py``) and passed through a simulated ultrasound picture; there is no
real loop in it. Needs the extra ``train``.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from coread.phantoms.reference.ultrasound_physics import Scatterers, Sector, envelope_db
from coread.readers.drawn import recipe as shared
from coread.readers.drawn.recipe import DrawnRecipe, Picture
from coread.readers.ejection_fraction_echo.drawn import (
    Random,
    drawn_heart,
    drawn_strengths,
    labels_at,
    shade,
    strengths_at,
)
from coread.readers.ejection_fraction_echo.outputs import AREA, CLASSES, COLUMNS, GRAPH, ROWS
from coread.train.augmenting import AugmentPlan
from coread.train.fit import FitPlan
from coread.train.networks import NetworkPlan
from coread.train.tasks import Segmentation

SEED = 20261129
PICTURES, TUNE = 2000, 120
_FINE = 2
"""Pictures are drawn with so many times the rows and columns, then averaged."""
_SPECKLES = 12
PLAN = FitPlan(
    epochs=9,
    batch=24,
    epoch_steps=100,
    learning_rate=3e-3,
    average_decay=0.995,
    augment=AugmentPlan(
        rotation_degrees=12, scale=0.15, aspect=0.08, shift=0.06, mirror=(-1,), gamma=0.35, contrast=0.2,
        sharpness=0.3, noise=0.03, erase=0.1,
    ),
    network=NetworkPlan(
        kind="residual", widths=(12, 24, 48, 96), depths=(1, 1, 1, 1), stem_stride=2, map_width=16, map_stride=2,
        dropout=0.0,
    ),
    seed=SEED,
)  # fmt: skip


def picture(random: Random, speckles: Sequence[Scatterers]) -> Picture:
    """Return one drawn picture and its labels, each (ROWS, COLUMNS) uint8."""
    heart, strengths = drawn_heart(random), drawn_strengths(random)
    depth = max(heart.length + heart.atrium[1] * random.uniform(0.2, 1.3) + 25, random.uniform(120, 200))
    sector = Sector(
        depth, half_angle_degrees=random.uniform(33, 46), beams=int(random.integers(90, 160)), samples=320,
        rows=_FINE * ROWS, columns=_FINE * COLUMNS, top=int(random.integers(2, 16)),
    )  # fmt: skip
    lean, apex = np.radians(random.uniform(-16, 16)), (random.uniform(-14, 14), random.uniform(6, 32))
    beams, pixels = _local(*sector.beam_places(), lean, apex), _local(*sector.pixel_places(), lean, apex)
    kinds = labels_at(heart, *beams)
    echo = strengths_at(heart, strengths, beams, kinds, random) * shade(kinds.shape, random)
    plane = speckles[int(random.integers(len(speckles)))]
    grain = random.uniform(0.6, 1.6)
    scatter = plane.at(np.asarray(beams[0] * grain, np.float32), np.asarray(beams[1] * grain, np.float32))
    level = envelope_db(sector, echo, scatter, random.uniform(0.0005, 0.012), random)
    level = np.clip((level - random.uniform(-0.1, 0.25)) * random.uniform(0.8, 1.4), 0, 1)
    shown = sector.shown(np.asarray(level, dtype=np.float32))
    inside = sector.shown(np.ones_like(level)) > 0
    labels = np.where(inside, labels_at(heart, *pixels), 0)
    labels[labels > len(CLASSES)] = 0
    small = shown.reshape(ROWS, _FINE, COLUMNS, _FINE).mean(axis=(1, 3))
    return np.rint(small * 255).astype(np.uint8), labels[_FINE // 2 :: _FINE, _FINE // 2 :: _FINE].astype(np.uint8)


def _local(
    x: NDArray[np.float32], depth: NDArray[np.float32], lean: float, apex: tuple[float, float]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    away_x, away_y = x - np.float32(apex[0]), depth - np.float32(apex[1])
    cos, sin = np.float32(np.cos(lean)), np.float32(np.sin(lean))
    return away_x * cos - away_y * sin, away_x * sin + away_y * cos


def pictures(count: int, seed: int) -> Iterator[Picture]:
    """Yield drawn pictures with their labels, each (ROWS, COLUMNS) uint8."""
    speckles = [Scatterers.drawn(seed * 100 + number) for number in range(_SPECKLES)]
    for number in range(count):
        yield picture(np.random.default_rng([seed, number]), speckles)


RECIPE = DrawnRecipe(
    pictures, Segmentation(AREA, CLASSES, dice_share=0.5), PLAN, GRAPH, count=PICTURES, tune=TUNE, subject="echo",
    about=__doc__ or "",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recipe from the command line."""
    return shared.main(RECIPE, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
