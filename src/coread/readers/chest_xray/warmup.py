"""What the backbone may learn before it sees an adult chest: labelled images of other patients and organs."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.readers.chest_xray.preprocess import display_of_bytes, network_image
from coread.train.pretraining import Task
from coread.train.radiographs import read_images

Row = dict[str, str]
SIDE = 160

LABEL_OF: dict[str, Callable[[Row], str]] = {
    "cxr_guangzhou": lambda row: row["subtype"] or row["label"],
    "ct_head_hemorrhage": lambda row: row["ich"] or "0",
    "brain_mr_tumor_boxes": lambda row: row["label"],
    "breast_us_busi": lambda row: row["label"],
    "fundus_idrid": lambda row: row["dr_grade"],
    "ct_lung_nodule_candidates": lambda row: row["label"],
}
"""The sets whose index gives one class per image. No adult chest radiograph is among them, so nothing can leak."""


def read_tasks(data: Path, limit: int | None = None) -> list[Task]:
    """Read every set that is there as one task; ``limit`` keeps that many images of each, evenly spaced."""
    tasks = [_indexed(data / name, label, limit) for name, label in LABEL_OF.items() if (data / name).is_dir()]
    body_parts = data / "body_part_mednist"
    if body_parts.is_dir():
        tasks.append(_by_folder(body_parts, limit))
    return tasks


def _indexed(folder: Path, label: Callable[[Row], str], limit: int | None) -> Task:
    with (folder / "index.csv").open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    rows = rows[:: max(1, len(rows) // limit)] if limit else rows
    named = [label(row) for row in rows]
    classes = sorted(set(named))
    images = _shrunk(read_images(folder, [row["image"] for row in rows]), len(rows))
    return Task(folder.name, images, np.array([classes.index(name) for name in named]))


def _by_folder(folder: Path, limit: int | None) -> Task:
    read = [(name.split("/")[0], image) for name, image in read_images(folder) if not name.startswith("CXR")]
    read = read[:: max(1, len(read) // limit)] if limit else read
    classes = sorted({name for name, _ in read})
    images = _shrunk(iter(read), len(read))
    return Task(folder.name, images, np.array([classes.index(name) for name, _ in read]))


def _shrunk(read: Iterator[tuple[str, NDArray[np.uint8]]], count: int) -> NDArray[np.uint8]:
    images = np.empty((count, SIDE, SIDE), dtype=np.uint8)
    for number, (_, image) in enumerate(read):
        images[number] = np.rint(network_image(display_of_bytes(image), None, SIDE)[0] * 255)
    return images
