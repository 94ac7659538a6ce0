"""How the shipped network was made: ``python -m coread.readers.ejection_fraction_echo.recipe --out FOLDER``.

Everything that it learns from is drawn (``drawn.py``) and passed through a simulated ultrasound picture; there is no
real loop in it. Needs the extra ``train``.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.phantoms.reference.ultrasound_physics import Scatterers, Sector, envelope_db
from coread.readers.ejection_fraction_echo.drawn import (
    Random,
    drawn_heart,
    drawn_strengths,
    labels_at,
    shade,
    strengths_at,
)
from coread.readers.ejection_fraction_echo.outputs import AREA, CLASSES, COLUMNS, GRAPH, ROWS
from coread.train.arrays import ArraySet
from coread.train.augmenting import AugmentPlan
from coread.train.exporting import export
from coread.train.fit import FitPlan, fit
from coread.train.fitting import use_threads
from coread.train.networks import NetworkPlan
from coread.train.progress import EpochLog
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
log = logging.getLogger("coread.train")


def picture(random: Random, speckles: Sequence[Scatterers]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
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


def drawn_set(count: int, seed: int, kept: Path) -> ArraySet:
    """Draw pictures to learn from; ``kept`` (.npz) is read back where it is there."""
    if kept.is_file():
        with np.load(kept, allow_pickle=False) as arrays:
            images, labels = arrays["images"], arrays["labels"]
    else:
        speckles = [Scatterers.drawn(seed * 100 + number) for number in range(_SPECKLES)]
        images = np.empty((count, 1, ROWS, COLUMNS), dtype=np.uint8)
        labels = np.empty((count, ROWS, COLUMNS), dtype=np.uint8)
        for number in range(count):
            images[number, 0], labels[number] = picture(np.random.default_rng([seed, number]), speckles)
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, images=images, labels=labels)
    names = [f"drawn {seed} {number}" for number in range(count)]
    return ArraySet(images, {AREA: labels}, groups=names, keys=names)


def run(out: Path, plan: FitPlan = PLAN, *, pictures: int = PICTURES, tune: int = TUNE) -> Path:
    """Draw, fit, export; return the graph."""
    log.info("drawing %d pictures", pictures)
    learned = drawn_set(pictures, SEED, out / f"learned_{pictures}.npz")
    kept = drawn_set(tune, SEED + 1, out / f"tune_{tune}.npz")
    heads = [Segmentation(AREA, CLASSES, dice_share=0.5)]
    fitted = fit(learned, heads, plan, out / "fit", tune=kept, watchers=[EpochLog("echo")])
    graph = out / f"{GRAPH}.onnx"
    report = export(fitted, graph, flips=True, storage="float16")
    log.info("graph of %d bytes; rounding its weights changes outputs by %.2g", report.size, report.rounding)
    return graph


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recipe from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the work and the graph")
    parser.add_argument("--fast", action="store_true", help="run through every step in seconds, learning nothing")
    parser.add_argument("--threads", type=int, default=1, help="processor threads for fitting")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    use_threads(chosen.threads)
    if chosen.fast:
        from dataclasses import replace

        run(chosen.out, replace(PLAN, epochs=1, batch=4, epoch_steps=2), pictures=16, tune=4)
    else:
        run(chosen.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
