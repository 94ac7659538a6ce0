"""A finished data set made from another: same images, other rows; masks and copies of its own come along as links."""

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from coread.models.lineage import StepRecord
from coread.train.dataset_build import partial_folder
from coread.train.datasets import DATASET, INDEX, OWN, ImageIndex, ImageRow, write_index


@dataclass(frozen=True, slots=True)
class DerivedPlan:
    """Which step makes the new set out of what, and texts (name -> content) that it puts beside the index."""

    step: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


def derive(index: ImageIndex, parent: StepRecord, rows: Sequence[ImageRow], out: Path, plan: DerivedPlan) -> ImageIndex:
    """Write ``rows`` as the data set ``out``. Raises DatasetExists when ``out`` holds anything."""
    settings = dict(plan.settings)
    if rules := parent.settings.get("deidentify"):
        settings["deidentify"] = rules
    moved = index.root.resolve() == index.folder.resolve()
    with partial_folder(out, settings | {"step": plan.step, "parent": parent.digest, **plan.inputs}) as partial:
        used = [path for row in rows for path in (row.path, row.mask) if path]
        own = [path for path in used if path.startswith(OWN)]
        root = partial if moved else index.root
        for path in used if moved else own:
            link(index.place(path), partial / path.removeprefix(OWN).split("!", 1)[0].split("#", 1)[0])
        for name, content in plan.texts.items():
            (partial / name).write_text(content, encoding="utf-8")
        masks = {path.removeprefix(OWN) for path in own if path.startswith(OWN + "masks/")}
        written = write_index(
            replace(index, rows=tuple(rows), folder=partial, root=root),
            step=plan.step,
            inputs={INDEX: parent.outputs[INDEX], DATASET: parent.outputs[DATASET], **plan.inputs},
            parents=(parent,),
            settings=settings,
            outputs=sorted({*masks, *plan.texts}),
        )
    return replace(written, folder=out, root=out if moved else index.root)


def link(source: Path, target: Path) -> None:
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
