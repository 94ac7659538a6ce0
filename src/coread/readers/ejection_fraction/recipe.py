"""How the shipped network was made: ``python -m coread.readers.ejection_fraction.recipe --out FOLDER``.

Everything that it learns from is drawn (``drawn.py``); there is no patient in it. Needs the extra ``train``.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from coread.readers.ejection_fraction.drawn import drawn_slice
from coread.readers.ejection_fraction.outputs import AREA, CLASSES, GRAPH, SIDE
from coread.train.arrays import ArraySet
from coread.train.augmenting import AugmentPlan
from coread.train.exporting import export
from coread.train.fit import FitPlan, fit
from coread.train.fitting import use_threads
from coread.train.networks import NetworkPlan
from coread.train.progress import EpochLog
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
log = logging.getLogger("coread.train")


def drawn_set(count: int, seed: int, kept: Path) -> ArraySet:
    """Draw slices to learn from; ``kept`` (.npz) is read back where it is there."""
    if kept.is_file():
        with np.load(kept, allow_pickle=False) as arrays:
            images, labels = arrays["images"], arrays["labels"]
    else:
        images = np.empty((count, 1, SIDE, SIDE), dtype=np.uint8)
        labels = np.empty((count, SIDE, SIDE), dtype=np.uint8)
        for number in range(count):
            images[number, 0], labels[number] = drawn_slice(np.random.default_rng([seed, number]))
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, images=images, labels=labels)
    names = [f"drawn {seed} {number}" for number in range(count)]
    return ArraySet(images, {AREA: labels}, groups=names, keys=names)


def run(out: Path, plan: FitPlan = PLAN, *, slices: int = SLICES, tune: int = TUNE) -> Path:
    """Draw, fit, export; return the graph."""
    log.info("drawing %d slices", slices)
    learned = drawn_set(slices, SEED, out / f"learned_{slices}.npz")
    kept = drawn_set(tune, SEED + 1, out / f"tune_{tune}.npz")
    heads = [Segmentation(AREA, CLASSES, dice_share=0.5)]
    fitted = fit(learned, heads, plan, out / "fit", tune=kept, watchers=[EpochLog("short axis")])
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
        run(chosen.out, replace(PLAN, epochs=1, batch=4, epoch_steps=2), slices=16, tune=4)
    else:
        run(chosen.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
