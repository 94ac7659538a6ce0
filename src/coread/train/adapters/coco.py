"""COCO JSON: images, categories, and annotations with boxes, polygons or run lengths."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from coread.train.adapters.contract import Adapter, Draft, ReadOptions
from coread.train.adapters.files import SourceTree
from coread.train.adapters.masks import Mask, from_counts, from_polygons
from coread.train.adapters.tables import read_json
from coread.train.datasets import Box, ImageRow
from coread.train.errors import BadTable, DataMissing
from coread.train.pictures import PICTURES

Annotation = tuple[int, Any]
"""(number of the category, its ``segmentation``)."""


def read_coco(source: Path, options: ReadOptions) -> Iterator[Draft]:
    """Read one annotation file (``--set table=...``, else the only ``*.json`` below the folder)."""
    path = options.table if options.table is not None else _only_json(source)
    document = read_json(path)
    tree = SourceTree(source, (*PICTURES, ".dcm"))
    try:
        names = {int(entry["id"]): str(entry["name"]) for entry in document["categories"]}
        given: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
        for annotation in document["annotations"]:
            if int(annotation["category_id"]) not in names:
                raise BadTable(f"{path}: annotation {annotation['id']} has a category that is outside the list")
            given[int(annotation["image_id"])].append(annotation)
        images = list(document["images"])
        lost = set(given) - {int(image["id"]) for image in images}
        if lost:
            raise BadTable(
                f"{path}: {len(lost)} annotations are for images that are not in the list: {sorted(lost)[:5]}"
            )
        for image in images:
            yield _draft(image, given[int(image["id"])], names, tree=tree)
    except (KeyError, TypeError, ValueError) as problem:
        raise BadTable(f"{path} is no COCO document: {problem!r}") from problem


def _draft(
    image: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]], names: Mapping[int, str], *, tree: SourceTree
) -> Draft:
    numbers = {category: number for number, category in enumerate(sorted(names), start=1)}
    boxes = []
    shapes: list[Annotation] = []
    for annotation in annotations:
        category = int(annotation["category_id"])
        x, y, width, height = (float(edge) for edge in annotation["bbox"])
        boxes.append(Box(names[category], x, y, x + width, y + height))
        if annotation.get("segmentation"):
            shapes.append((numbers[category], annotation["segmentation"]))
    present = {int(annotation["category_id"]) for annotation in annotations}
    file = str(image["file_name"])
    row = ImageRow(
        image_id=str(image["id"]),
        path=tree.ending_with(file),
        group_id=str(image["id"]),
        source="coco",
        labels={name: float(category in present) for category, name in sorted(names.items())},
        label_source="annotations",
        boxes=tuple(boxes),
        covariates={"classes": {str(numbers[category]): name for category, name in sorted(names.items())}},
    )
    shape = (int(image["height"]), int(image["width"]))
    return Draft(row, partial(coco_mask, tuple(shapes), shape) if shapes else None)


def coco_mask(shapes: Sequence[Annotation], shape: tuple[int, int]) -> Mask:
    """Draw class numbers (from 1, in order of the categories); later annotations lie on top."""
    mask = np.zeros(shape, dtype=np.uint8)
    for number, segmentation in shapes:
        if isinstance(segmentation, Mapping):
            counts = segmentation["counts"]
            runs = counts if isinstance(counts, list) else unpacked_counts(str(counts))
            area = from_counts(runs, *shape)
        else:
            # COCO counts corners from the edge of the image, we fill from pixel centres.
            polygons = [
                [(x - 0.5, y - 0.5) for x, y in zip(flat[::2], flat[1::2], strict=True)] for flat in segmentation
            ]
            area = from_polygons(polygons, *shape)
        mask[area > 0] = number
    return mask


def unpacked_counts(text: str) -> list[int]:
    """Unpack COCO's compressed run lengths: six bits a character, each count relative to the one before the last."""
    counts: list[int] = []
    position = 0
    while position < len(text):
        value, shift, more = 0, 0, True
        while more:
            bits = ord(text[position]) - 48
            value |= (bits & 0x1F) << shift
            more = bool(bits & 0x20)
            position, shift = position + 1, shift + 5
            if not more and bits & 0x10:
                value |= -1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
    return counts


def _only_json(source: Path) -> Path:
    found = sorted(source.rglob("*.json")) if source.is_dir() else []
    if len(found) != 1:
        raise DataMissing(
            f"{source} holds {len(found)} JSON files; name the one with the annotations: --set table=FILE"
        )
    return found[0]


COCO = Adapter(
    title="Any set with COCO annotations (boxes, polygons, run lengths)",
    licence="as your source states",
    citation="Lin TY et al. Microsoft COCO: common objects in context. ECCV 2014 (format).",
    read=read_coco,
    layout="one JSON with images, categories, annotations; images anywhere below",
)
