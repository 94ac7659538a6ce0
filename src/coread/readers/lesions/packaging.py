"""From the fitted members of a lesion reader to its locked, measured package, and how a marking threshold is chosen."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import ReaderCard
from coread.train.fit import Fitted
from coread.train.reader_folder import Curve, ReaderFolder

if TYPE_CHECKING:
    from coread.validate.card_numbers import CardNumbers

HEADING = "Written by recipe.py; change the recipe, not this file. Research use only."
log = logging.getLogger("coread.train")


@dataclass(frozen=True, slots=True, eq=False)
class Release:
    """Everything that becomes a finished reader."""

    name: str
    code: Path
    """The reader's folder."""
    learnt_from: Sequence[Path]
    """Folders of the data, whose digests go into the record."""
    members: Sequence[Fitted]
    curves: Mapping[str, Curve]
    golden: NDArray[np.float32]
    """Network inputs (N, C, rows, columns) made from drawings."""
    cohort: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    """Of the cohort: the held-out part."""
    before: ReaderCard
    """The card before anything was measured on the held-out part."""
    measured: Callable[["CardNumbers"], ReaderCard]
    """Returns the card with the numbers of the validation."""
    page: Callable[[ReaderCard, Mapping[str, Any]], str]
    """Returns the clinicians' page of the card and the report of the validation."""
    facts: Mapping[str, Any]
    """What the cross-fitted predictions gave, for training.json."""


def release(work: Release, out: Path) -> Path:
    """Export, lock, measure on the held-out part, write the measured numbers, lock again, measure again."""
    from coread.validate.cohort_writing import write_cohort
    from coread.validate.releasing import release as measured_release

    folder = ReaderFolder(out / work.name, work.code, work.learnt_from)
    graph = folder.write_graph(work.members)
    log.info("graph of %d bytes; rounding its weights changes outputs by %.2g", graph.size, graph.rounding)
    folder.write_calibration(work.curves)
    cards = [work.before]
    folder.lock(cards[0], HEADING)
    folder.write_golden(work.golden)
    write_cohort(out / "cohort", dict(work.cohort), [dict(row) for row in work.rows])

    def lock(numbers: "CardNumbers | None") -> str:
        if numbers is not None:
            cards.append(work.measured(numbers))
        return folder.lock(cards[-1], HEADING)

    report = measured_release(folder.path, out / "cohort", out / "validation", lock)
    (folder.path / "training.json").write_text(json.dumps(dict(work.facts), indent=2) + "\n", encoding="utf-8")
    (folder.path / "README.md").write_text(work.page(cards[-1], report), encoding="utf-8")
    return folder.path


def threshold_for_share(probability: NDArray[np.float64], wanted: float) -> float:
    """Return the highest threshold, in steps of a thousandth, at which at least the wanted share of (N,) is marked."""
    steps = np.arange(1, 1000) / 1000
    enough = [float(step) for step in steps if (probability >= step).mean() >= wanted]
    return max(enough, default=float(steps[0]))
