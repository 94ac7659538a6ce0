"""Splits a finished data set into a new one whose rows have a part, and proves that nothing stands in two parts."""

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from coread.imaging.deidentification.rules import METHODS, Option
from coread.models.lineage import StepRecord, read_record
from coread.train.dataset_build import partial_folder
from coread.train.datasets import DATASET, INDEX, OWN, ImageIndex, read_index, write_index
from coread.train.errors import BadPlan
from coread.train.leaks import Duplicate, find_duplicates, find_leaks, fingerprints, require_no_leak
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
    duplicates = find_duplicates(fingerprints(index, progress)) if images else ()
    rows = split_rows(index.rows, plan, [(pair.one, pair.other) for pair in duplicates])
    require_no_leak(find_leaks(rows, duplicates))
    settings = {
        "by": plan.by, "shares": dict(plan.shares), "seed": plan.seed, "labels": list(plan.labels),
        "images_compared": images, "duplicate_pairs": len(duplicates),
    }  # fmt: skip
    if dates := parent.settings.get("deidentify"):
        settings["deidentify"] = dates
    with partial_folder(out, settings | {"parent": parent.digest}) as partial:
        used = [path for row in rows for path in (row.path, row.mask) if path]
        own = [path for path in used if path.startswith(OWN)]
        root = partial if index.root.resolve() == folder.resolve() else index.root
        for path in used if root == partial else own:
            _link(index.place(path), partial / path.removeprefix(OWN).split("!", 1)[0].split("#", 1)[0])
        written = write_index(
            replace(index, rows=rows, folder=partial, root=root),
            step="split",
            inputs={INDEX: parent.outputs[INDEX], DATASET: parent.outputs[DATASET]},
            parents=(parent,),
            settings=settings,
            outputs=sorted({path.removeprefix(OWN) for path in own if path.startswith(OWN + "masks/")}),
        )  # fmt: skip
    final = replace(written, folder=out, root=out if root == partial else index.root)
    return SplitResult(final, len(duplicates), one_class_labels(final))


def _require_true_dates(index: ImageIndex, record: StepRecord, plan: SplitPlan) -> None:
    """Raise BadPlan for a split by time when every patient's dates were moved by other days."""
    done = record.settings.get("deidentify") or {}
    moved = any(str(step).startswith(_MOVED_DATES) for step in done.get("profile", ()))
    if plan.by is SplitBy.TIME and (moved or index.adapter in _SOURCES_WITH_MOVED_DATES):
        raise BadPlan(
            f"the dates of {index.name} were moved, each patient's by other days: they say nothing about what was "
            "earlier. Divide by patient, group or site"
        )


def duplicates_of(index: ImageIndex, progress: Progress = lambda _done, _total: None) -> tuple[Duplicate, ...]:
    """Return all pairs of (nearly) the same picture of a data set."""
    return find_duplicates(fingerprints(index, progress))


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


def _link(source: Path, target: Path) -> None:
    """Link a file that lies in the data set's own folder, or copy it where links cannot be made."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        os.link(source, target)
        return
    beside = target.with_name(f".{target.name}.partial")
    shutil.copyfile(source, beside)
    beside.replace(target)
