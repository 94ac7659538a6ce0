"""Rows of an index to the targets of heads; what the index does not tell stays unknown."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.train.arrays import Boxes as BoxArray
from coread.train.arrays import Targets
from coread.train.datasets import ImageRow
from coread.train.errors import BadPlan, BadTarget, OneClass
from coread.train.recipes import HeadSource
from coread.train.tasks import Boxes, Head, MultiClass, MultiLabel, Ordinal, Regression, Segmentation

UNKNOWN_MASK = 255
Vectors = NDArray[Any]


def check_labels(sources: Sequence[HeadSource], labels: Sequence[str], boxes: Sequence[str]) -> None:
    """Raise BadPlan when a head asks for a label that no row of the data sets has."""
    for source in sources:
        known = boxes if isinstance(source.head, Boxes) else labels
        for name in source.empty_when:
            if name not in labels:
                raise BadPlan(
                    f"head {source.head.name}: no image has the label {name!r}; there are {', '.join(labels)}"
                )
        for name in _labels_of(source):
            if name not in known:
                raise BadPlan(f"head {source.head.name}: no image has the label {name!r}; there are {', '.join(known)}")


def vector_target(source: HeadSource, rows: Sequence[ImageRow]) -> Vectors:
    """Return the target of a head on the whole image, in the form that its task wants."""
    head = source.head
    if isinstance(head, MultiLabel | Regression):
        names = head.classes if isinstance(head, MultiLabel) else head.outputs
        return np.array([[_number(row.labels.get(name)) for name in names] for row in rows], dtype=np.float32)
    names = head.classes if isinstance(head, MultiClass) else head.levels if isinstance(head, Ordinal) else ()
    if source.label:
        return np.array([_grade(head, row, source.label, len(names)) for row in rows], dtype=np.int64)
    return np.array([_one_of(source, row, names) for row in rows], dtype=np.int64)


def box_target(source: HeadSource, row: ImageRow, shape: tuple[int, int], side: Sequence[int]) -> BoxArray | None:
    """Return the boxes of a row in pixels of the network's image; ``None`` where nobody looked."""
    head = source.head
    if not isinstance(head, Boxes):
        raise BadPlan(f"head {head.name} holds no boxes")
    if not row.boxes and not nothing_to_find(source, row):
        return None
    down, across = side[-2] / shape[0], side[-1] / shape[1]
    listed = [
        (head.classes.index(box.label), box.x0 * across, box.y0 * down, box.x1 * across, box.y1 * down)
        for box in row.boxes
        if box.label in head.classes
    ]
    boxes = np.array(listed, dtype=np.float32).reshape(-1, 5)
    boxes[:, 1::2], boxes[:, 2::2] = boxes[:, 1::2].clip(0, side[-1]), boxes[:, 2::2].clip(0, side[-2])
    kept: BoxArray = boxes[(boxes[:, 3] > boxes[:, 1]) & (boxes[:, 4] > boxes[:, 2])]
    return kept


def nothing_to_find(source: HeadSource, row: ImageRow) -> bool:
    """Tell whether an image without mask or box is known to hold nothing, rather than not looked at."""
    return source.complete or any(row.labels.get(label) == 1 for label in source.empty_when)


def mask_labels(source: HeadSource, mask: NDArray[Any], named: Mapping[str, str] | None = None) -> NDArray[np.uint8]:
    """Return a stored mask as labels: any value above 0 is the one class, or the value is the number of the class.

    ``named`` is what the set calls each value: where it has all classes of the head, they are found by name, whatever
    their numbers (BraTS leaves out 3), and its other classes are background.
    """
    head = source.head
    if not isinstance(head, Segmentation):
        raise BadPlan(f"head {head.name} holds no mask")
    flat = mask.max(axis=-1) if mask.ndim == 3 and mask.shape[-1] in (3, 4) else mask
    if len(head.classes) == 1:
        return (flat > 0).astype(np.uint8)
    if named and set(head.classes) <= set(named.values()):
        return _by_name(head.name, head.classes, flat, named)
    highest = int(flat.max()) if flat.size else 0
    if highest > len(head.classes):
        raise BadTarget(f"{head.name}: a mask holds the value {highest}, the list ends at {len(head.classes)}")
    return flat.astype(np.uint8)


def _by_name(head: str, classes: Sequence[str], mask: NDArray[Any], named: Mapping[str, str]) -> NDArray[np.uint8]:
    labels = np.zeros(mask.shape, dtype=np.uint8)
    for value in np.unique(mask):
        name = named.get(str(int(value)), "" if value else "background")
        if not name:
            raise BadTarget(f"{head}: a mask holds the value {value:g}; the set names {', '.join(named)}")
        if name in classes:
            labels[mask == value] = classes.index(name) + 1
    return labels


def covariate_table(names: Sequence[str], rows: Sequence[ImageRow]) -> NDArray[np.float32] | None:
    """Return (N, F) numbers, NaN where a row does not tell: ``age``, ``sex`` (1 male), ``FIELD:VALUE``, or a name."""
    if not names:
        return None
    return np.array([[_covariate(name, row) for name in names] for row in rows], dtype=np.float32)


def check_classes(heads: Sequence[Head], targets: dict[str, Targets], part: str) -> None:
    """Raise OneClass when a classifying head finds one class only in a part."""
    for head in heads:
        values: Any = targets[head.name]
        if isinstance(head, MultiClass | Ordinal):
            known = np.asarray(values)[np.asarray(values) >= 0]
            if len(np.unique(known)) < 2:
                what = f"only {known[0]}" if len(known) else "no known class"
                raise OneClass(f"part {part} holds {what} for {head.name}: use fewer folds, or split again")
        if isinstance(head, MultiLabel):
            array = np.asarray(values)
            both = [0 < np.nansum(column >= 0.5) < np.isfinite(column).sum() for column in array.T]
            if not all(both):
                name = head.classes[both.index(False)]
                raise OneClass(
                    f"part {part} holds one class only for {name!r}: use fewer folds, split again or leave it out"
                )


def _labels_of(source: HeadSource) -> tuple[str, ...]:
    head = source.head
    if isinstance(head, MultiLabel | Boxes):
        return head.classes
    if isinstance(head, Regression):
        return head.outputs
    if isinstance(head, MultiClass | Ordinal):
        return (source.label,) if source.label else head.classes if isinstance(head, MultiClass) else head.levels
    return ()


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _grade(head: Head, row: ImageRow, label: str, levels: int) -> int:
    value = row.labels.get(label)
    if value is None:
        return -1
    if value != int(value) or not 0 <= value < levels:
        raise BadTarget(f"{head.name}: {row.image_id} has {label} = {value:g}, the list ends at {levels - 1}")
    return int(value)


def _one_of(source: HeadSource, row: ImageRow, names: Sequence[str]) -> int:
    positive = [number for number, name in enumerate(names) if row.labels.get(name) == 1]
    if len(positive) == 1:
        return positive[0]
    if len(positive) > 1:
        both = ", ".join(names[number] for number in positive)
        raise BadTarget(f"{source.head.name}: {row.image_id} is {both} at once; use MultiLabel for that")
    said = [row.labels[name] for name in names if name in row.labels]
    has = ", ".join(name for name, value in row.labels.items() if value)
    unknown = any(value is None for value in said) or (not said and not has)
    if unknown or source.others == "leave_out":
        return -1
    has = has or "no label"
    raise BadTarget(
        f"{source.head.name}: {row.image_id} has {has}, which is none of {', '.join(names)}; add the class, or set "
        'others = "leave_out"'
    )


def _covariate(name: str, row: ImageRow) -> float:
    if name == "age":
        return _number(row.age)
    if name == "sex":
        return {"M": 1.0, "F": 0.0}.get(row.sex, float("nan"))
    field, colon, value = name.partition(":")
    if colon:
        own = str(getattr(row, field, "") or row.covariates.get(field, "") or "")
        return float(own == value) if own else float("nan")
    found = row.covariates.get(name)
    return float(found) if isinstance(found, int | float) else float("nan")
