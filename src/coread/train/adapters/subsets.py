"""Subsets of public sets that lie as an ``index.csv`` beside an ``images.zip``: one function each."""

import json
from collections.abc import Iterator
from pathlib import Path

from coread.train.adapters.contract import Adapter, Draft, ReadOptions
from coread.train.adapters.cxr_nih import FINDINGS, NO_FINDING
from coread.train.adapters.tables import TableRow, read_table
from coread.train.datasets import Box, ImageRow
from coread.train.errors import BadTable

ARCHIVE = "images.zip"
INDEX = "index.csv"


def _rows(source: Path, *needed: str) -> Iterator[TableRow]:
    return read_table(source / INDEX, ("image", *needed))


def _member(name: str) -> str:
    return f"{ARCHIVE}!{name}"


def _one_of(label: str, labels: tuple[str, ...]) -> dict[str, float | None]:
    """Return 1 for the class that is stated and 0 for the others."""
    return {name: float(name == label) for name in labels}


def read_cxr_nih_subset(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read the NIH subset: boxes are radiologists' rectangles in pixels of the stored 448 px images."""
    for row in _rows(source, "patient_id", "labels", "view", "age", "sex", "boxes_xywh_448"):
        image = row.needed("image")
        found = row.choices("labels", (*FINDINGS, NO_FINDING))
        covariates = {name: row.text(name) for name in ("source_set", "rsna_class") if row.text(name)}
        yield Draft(
            ImageRow(
                image_id=Path(image).stem,
                path=_member(image),
                patient_id=row.needed("patient_id"),
                group_id=row.needed("patient_id"),
                site="NIH Clinical Center",
                view=row.choice("view", ("PA", "AP", "")),
                age=row.years("age"),
                sex=row.sex("sex"),
                source="cxr_nih",
                labels={name: float(name in found) for name in (*FINDINGS, NO_FINDING)},
                label_source="report text (NLP)",
                boxes=_nih_boxes(row),
                covariates=covariates,
            )
        )


def _nih_boxes(row: TableRow) -> tuple[Box, ...]:
    text = row.text("boxes_xywh_448")
    try:
        entries = json.loads(text) if text else []
        return tuple(
            Box("Infiltration" if name == "Infiltrate" else str(name), x, y, x + width, y + height)
            for name, x, y, width, height in entries
        )
    except (ValueError, TypeError) as problem:
        raise BadTable(f"{row.where}: column 'boxes_xywh_448' holds {text!r}: {problem}") from problem


_NIH_TITLE = "Subset of NIH ChestX-ray14 (448 px) with radiologists' boxes"

SUBSETS: dict[str, Adapter] = {
    "cxr_nih": Adapter(
        title=_NIH_TITLE,
        licence="no restriction on use; cite the paper and the NIH Clinical Center",
        citation="Wang X et al. ChestX-ray8: hospital-scale chest X-ray database and benchmarks. CVPR 2017.",
        read=read_cxr_nih_subset,
        layout="index.csv, images.zip",
    ),
}
"""Each subset under the name of its folder."""
