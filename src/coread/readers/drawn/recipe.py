"""Drawing, fitting and the command line of a network that learns areas from drawn pictures, with no patient in them."""

import argparse
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.train.arrays import ArraySet
from coread.train.exporting import export
from coread.train.fit import FitPlan, fit
from coread.train.fitting import use_threads
from coread.train.progress import EpochLog
from coread.train.tasks import Segmentation

Picture = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""A picture and its labels, each (rows, columns): 0 background, k the area of that number."""
FAST_PICTURES, FAST_TUNE = 16, 4
log = logging.getLogger("coread.train")


@dataclass(frozen=True, slots=True)
class DrawnRecipe:
    """What is drawn, how it is learnt, and what the graph is called."""

    pictures: Callable[[int, int], Iterator[Picture]]
    """From how many and the seed to that many pictures; the same seed draws the same ones."""
    areas: Segmentation
    plan: FitPlan
    graph: str
    """Name of the graph, without ``.onnx``."""
    count: int
    """Pictures to learn from."""
    tune: int
    """Pictures that the fit is scored on after each epoch."""
    subject: str
    """What the fit is called while it is watched."""
    about: str
    """Help of the command line."""


def drawn_set(recipe: DrawnRecipe, count: int, seed: int, kept: Path) -> ArraySet:
    """Draw pictures to learn from; ``kept`` (.npz) is read back where it is there."""
    if kept.is_file():
        with np.load(kept, allow_pickle=False) as arrays:
            images, labels = arrays["images"], arrays["labels"]
    else:
        drawn = list(recipe.pictures(count, seed))
        images = np.stack([picture for picture, _ in drawn])[:, np.newaxis]
        labels = np.stack([areas for _, areas in drawn])
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, images=images, labels=labels)
    names = [f"drawn {seed} {number}" for number in range(count)]
    return ArraySet(images, {recipe.areas.name: labels}, groups=names, keys=names)


def run(recipe: DrawnRecipe, out: Path) -> Path:
    """Draw, fit, export; return the graph."""
    log.info("drawing %d pictures", recipe.count)
    learned = drawn_set(recipe, recipe.count, recipe.plan.seed, out / f"learned_{recipe.count}.npz")
    kept = drawn_set(recipe, recipe.tune, recipe.plan.seed + 1, out / f"tune_{recipe.tune}.npz")
    fitted = fit(learned, [recipe.areas], recipe.plan, out / "fit", tune=kept, watchers=[EpochLog(recipe.subject)])
    graph = out / f"{recipe.graph}.onnx"
    report = export(fitted, graph, flips=True, storage="float16")
    log.info("graph of %d bytes; rounding its weights changes outputs by %.2g", report.size, report.rounding)
    return graph


def fast(recipe: DrawnRecipe) -> DrawnRecipe:
    """Return a recipe that runs through every step in seconds and learns next to nothing."""
    plan = replace(recipe.plan, epochs=1, batch=4, epoch_steps=2)
    return replace(recipe, plan=plan, count=FAST_PICTURES, tune=FAST_TUNE)


def main(recipe: DrawnRecipe, arguments: Sequence[str] | None = None) -> int:
    """Run a recipe from the command line."""
    parser = argparse.ArgumentParser(description=recipe.about)
    parser.add_argument("--out", type=Path, required=True, help="folder for the work and the graph")
    parser.add_argument("--fast", action="store_true", help="run through every step in seconds, learning nothing")
    parser.add_argument("--threads", type=int, default=1, help="processor threads for fitting")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    use_threads(chosen.threads)
    run(fast(recipe) if chosen.fast else recipe, chosen.out)
    return 0
