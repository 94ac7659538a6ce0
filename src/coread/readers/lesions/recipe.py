"""The command line, the settings and the cross-fitting that the recipes of lesion readers share."""

import argparse
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.train.arrays import ArraySet
from coread.train.crossfit import CrossFitted, cross_fit
from coread.train.efficientnet_lite import imagenet_weights
from coread.train.fit import FitPlan
from coread.train.fitting import use_threads
from coread.train.networks import build_network
from coread.train.partly_frozen import FrozenBeginning
from coread.train.progress import EpochLog
from coread.train.reader_folder import install
from coread.train.reopening import BeginWith, reopened
from coread.train.tasks import Head

MEASURED_WITH = 96
"""Images that the batch norms of an earlier network are measured with."""
log = logging.getLogger("coread.train")


@dataclass(frozen=True, slots=True)
class GoingOn:
    """How the network of an earlier version is gone on with, and the graph that holds it."""

    epochs: int
    learning_rate: float
    kept_stages: int = 0
    """Stages of the encoder, from the stem on, that stay as they are: they know such images already."""
    graph: Path = Path()


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the data lie, where the work goes, and how much of it is done."""

    data: Path
    out: Path
    plan: FitPlan
    members: int = 1
    pretrained: bool = True
    """Begin with ImageNet."""
    begin: GoingOn | None = None
    """Begin with an earlier version instead, fitted without the same fold."""
    limit: int = 0
    """Learn from about so many images; 0 takes all."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What is learnt, from what, in which folds."""

    data: ArraySet
    heads: Sequence[Head]
    folds: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a recipe's command line needs to know."""

    run: Callable[[Settings], Path]
    """Does every step and returns the folder of the finished reader."""
    code: Path
    """The reader's folder."""
    about: str
    set: str
    """Name of the data set."""
    plan: FitPlan
    members: int = 1
    going_on: GoingOn | None = None
    fast_limit: int = 60
    """Images that a run in seconds learns from."""


def settings_of(recipe: Recipe, data: Path, out: Path, *, fast: bool = False, begin: Path | None = None) -> Settings:
    """Return settings; ``fast`` ones run through every step in seconds and learn next to nothing."""
    plan, going_on = recipe.plan, None
    if begin is not None and recipe.going_on is not None:
        going_on = replace(recipe.going_on, graph=begin)
        plan = replace(plan, epochs=going_on.epochs, learning_rate=going_on.learning_rate)
    if fast:
        plan = replace(plan, epochs=1, batch=4, epoch_steps=2)
    return Settings(
        data, out, plan, members=recipe.members, pretrained=not fast, begin=going_on,
        limit=recipe.fast_limit if fast else 0,
    )  # fmt: skip


def fit_members(settings: Settings, lesson: Lesson) -> CrossFitted:
    """Fit the members of the ensemble, number k without fold k; finished ones are read back."""
    return cross_fit(
        lesson.data,
        lesson.heads,
        settings.plan,
        settings.out,
        folds=lesson.folds,
        members=settings.members,
        encoder=imagenet_weights() if settings.pretrained and settings.begin is None else None,
        watchers=lambda number: [
            *_begun(settings, lesson, number), EpochLog(f"member {number + 1} of {settings.members}")
        ],
    )  # fmt: skip


def _begun(settings: Settings, lesson: Lesson, number: int) -> list[BeginWith | FrozenBeginning]:
    if settings.begin is None:
        return []
    own = np.asarray(lesson.data.images)[lesson.folds != number]
    plan = settings.plan.network.for_data(lesson.data.channels, lesson.data.shape, 0)
    shown = own[:: max(1, len(own) // MEASURED_WITH)]
    weights = reopened(settings.begin.graph, build_network(plan, lesson.heads), shown, member=number)
    kept = settings.begin.kept_stages
    return [BeginWith(weights), *([FrozenBeginning(kept)] if kept else [])]


def main(recipe: Recipe, arguments: Sequence[str] | None = None) -> int:
    """Run a recipe from the command line."""
    parser = argparse.ArgumentParser(description=recipe.about)
    parser.add_argument("--data", type=Path, required=True, help=f"folder of {recipe.set}")
    parser.add_argument("--out", type=Path, required=True, help="folder for the work and the finished package")
    parser.add_argument("--fast", action="store_true", help="run through every step in seconds, learning nothing")
    parser.add_argument("--install", action="store_true", help="copy the finished reader into the reader's folder")
    parser.add_argument("--threads", type=int, default=2, help="processor threads for fitting")
    if recipe.going_on is not None:
        parser.add_argument("--begin", type=Path, help="network.onnx of an earlier version to go on from")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    use_threads(chosen.threads)
    begin = getattr(chosen, "begin", None)
    finished = recipe.run(settings_of(recipe, chosen.data, chosen.out, fast=chosen.fast, begin=begin))
    if chosen.install:
        install(finished, recipe.code)
    log.info("finished: %s", finished)
    return 0
