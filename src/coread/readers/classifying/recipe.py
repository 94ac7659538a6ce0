"""The command line and the cross-fitting that the recipes of classifiers share."""

import argparse
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.train.arrays import ArraySet
from coread.train.crossfit import CrossFitted, cross_fit
from coread.train.fit import FitPlan
from coread.train.fitting import use_threads
from coread.train.pooled_heads import TeachingPlan
from coread.train.progress import EpochLog
from coread.train.reader_folder import install
from coread.train.tasks import Head

log = logging.getLogger("coread.train")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the data lie, where the work goes, and whether it is only gone through."""

    data: Path
    out: Path
    fast: bool = False
    """Run through every step in seconds and learn next to nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What is learnt, from what, in which folds."""

    data: ArraySet
    heads: Sequence[Head]
    plan: FitPlan
    folds: NDArray[np.int64]
    members: int
    encoder: Mapping[str, Any] | None = None
    """Weights that the encoders of the members begin with."""


def fit_members(settings: Settings, lesson: Lesson) -> CrossFitted:
    """Fit the members of the ensemble, number k without fold k; finished ones are read back."""
    plan = replace(lesson.plan, epochs=1, batch=2, epoch_steps=1) if settings.fast else lesson.plan

    return cross_fit(
        lesson.data, lesson.heads, plan, settings.out, folds=lesson.folds, members=lesson.members,
        encoder=lesson.encoder,
        watchers=lambda number: [EpochLog(f"member {number + 1} of {lesson.members}")],
    )  # fmt: skip


def teaching(settings: Settings, plan: TeachingPlan) -> TeachingPlan:
    """Return the plan, or one that runs through in seconds."""
    return replace(plan, epochs=1, pretrained=False) if settings.fast else plan


def main(run: Callable[[Settings], Path], code: Path, about: str, arguments: Sequence[str] | None = None) -> int:
    """Run a recipe from the command line; ``code`` is the reader's folder, ``about`` the recipe's docstring."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets named on the card")
    parser.add_argument("--out", type=Path, required=True, help="folder for the work and the finished package")
    parser.add_argument("--fast", action="store_true", help="run through every step in seconds, learning nothing")
    parser.add_argument("--install", action="store_true", help="copy the finished reader into the reader's folder")
    parser.add_argument("--threads", type=int, default=2, help="processor threads for fitting")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    use_threads(chosen.threads)
    finished = run(Settings(chosen.data, chosen.out, chosen.fast))
    if chosen.install:
        install(finished, code)
    log.info("finished: %s", finished)
    return 0
