"""Splits a finished data set into a new one whose rows have a part, and proves that nothing stands in two parts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from coread.imaging.deidentification.rules import METHODS, Option
from coread.models.lineage import StepRecord, read_record
from coread.train.datasets import ImageIndex, read_index
from coread.train.derived import DerivedPlan, derive
from coread.train.errors import BadPlan
from coread.train.leaks import Duplicate, find_duplicates, find_leaks, fingerprints, require_no_leak
from coread.train.likeness import alike, together, without_accepted
from coread.train.splits import SplitBy, SplitPlan, split_rows

Progress = Callable[[int, int], None]
_MOVED_DATES = METHODS[Option.DATES][0]
_SOURCES_WITH_MOVED_DATES = ("mimic_cxr",)


@dataclass(frozen=True, slots=True)
class SplitResult:
    """The new data set, how many pairs of duplicates were kept together, and which labels a part knows one class of."""

    index: ImageIndex
    duplicates: int
    one_class: Mapping[str, tuple[str, ...]]
    """Part -> labels of which it has only one class; no AUC can be measured on these."""


def split_dataset(
    folder: Path,
    out: Path,
    plan: SplitPlan,
    *,
    images: bool = True,
    progress: Progress = lambda _done, _total: None,
) -> SplitResult:
    """Split the data set in ``folder`` into ``out``; with ``images`` duplicates are found and kept together."""
    index = read_index(folder)
    parent = read_record(folder)
    _require_true_dates(index, parent, plan)
    duplicates = duplicates_of(index, progress) if images else ()
    rows = split_rows(index.rows, plan, [(pair.one, pair.other) for pair in duplicates])
    require_no_leak(find_leaks(rows, duplicates))
    settings = {
        "by": plan.by, "shares": dict(plan.shares), "seed": plan.seed, "labels": list(plan.labels),
        "images_compared": images, "duplicate_pairs": len(duplicates),
    }  # fmt: skip
    final = derive(index, parent, rows, out, DerivedPlan("split", settings))
    return SplitResult(final, len(duplicates), one_class_labels(final))


def _require_true_dates(index: ImageIndex, record: StepRecord, plan: SplitPlan) -> None:
    """Raise BadPlan for a split by time when every patient's dates were moved by other days."""
    if plan.by is not SplitBy.TIME:
        return
    here = moved_when_built(record)
    before = sum(row.dates_moved == "yes" for row in index.rows)
    if here or before or index.adapter in _SOURCES_WITH_MOVED_DATES:
        count = f" ({before} of {len(index.rows)} images say so themselves)" if before else ""
        raise BadPlan(
            f"the dates of {index.name} were moved{count}, each patient's by other days: they say nothing about what "
            "was earlier. Divide by patient, group or site"
        )


def moved_when_built(record: StepRecord) -> bool:
    """Say whether building the set moved the dates of its images: tables with true dates no longer fit them."""
    done = record.settings.get("deidentify") or {}
    return any(str(step).startswith(_MOVED_DATES) for step in done.get("profile", ()))


def dates_of_unknown_kind(index: ImageIndex) -> int:
    """Return how many images have a date of which nobody says whether it is that of the examination."""
    return sum(bool(row.date) and not row.dates_moved for row in index.rows)


def duplicates_of(
    index: ImageIndex, progress: Progress = lambda _done, _total: None, accepted: Path | None = None
) -> tuple[Duplicate, ...]:
    """Return all pairs of (nearly) the same picture of a data set, by pixels, hash and encoder, less the accepted."""

    def half(begin: int) -> Progress:
        return lambda done, total: progress(begin * total + done, 2 * total)

    pairs = together(find_duplicates(fingerprints(index, half(0))), alike(index, half(1)))
    return without_accepted(pairs, index, accepted) if accepted is not None else pairs


def one_class_labels(index: ImageIndex) -> dict[str, tuple[str, ...]]:
    """Return per part the labels that have two values in the whole set but not in this part."""
    values: dict[str, dict[str, set[float]]] = {part: {} for part in index.parts}
    for row in index.rows:
        for label, value in row.labels.items():
            if value is not None:
                values[row.part].setdefault(label, set()).add(value)
    varied = {label for label in index.labels if len(set().union(*(v.get(label, set()) for v in values.values()))) > 1}
    missing = {part: tuple(sorted(label for label in varied if len(given.get(label, set())) < 2))
               for part, given in values.items()}  # fmt: skip
    return {part: labels for part, labels in missing.items() if labels}
