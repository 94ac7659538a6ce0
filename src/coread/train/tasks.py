"""What a network can learn to say: the table of heads, heads as plain data, and their mirror images."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import torch
from torch import Tensor

from coread.train.dense_boxes import DenseBoxes
from coread.train.errors import BadPlan
from coread.train.heads import Head
from coread.train.place_heads import Boxes, Segmentation
from coread.train.vector_heads import MultiClass, MultiLabel, Ordinal, Regression
from coread.train.weak_places import WeakSegmentation

__all__ = [
    "TASKS", "Boxes", "DenseBoxes", "Head", "MultiClass", "MultiLabel", "Ordinal", "Regression", "Segmentation",
    "WeakSegmentation", "head_from_json", "head_to_json", "mirrored",
]  # fmt: skip

TASKS: Mapping[str, type[Any]] = {
    task.__name__: task
    for task in (MultiLabel, MultiClass, Ordinal, Regression, Segmentation, WeakSegmentation, Boxes, DenseBoxes)
}


def head_to_json(head: Head) -> dict[str, Any]:
    """Return a head as plain data."""
    body: dict[str, Any] = asdict(head)  # type: ignore[call-overload]
    return {"task": type(head).__name__} | body


def head_from_json(body: Mapping[str, Any]) -> Head:
    """Build a head from plain data; raises BadPlan with what is wrong."""
    rest = dict(body)
    task = TASKS.get(str(rest.pop("task", "")))
    if task is None:
        raise BadPlan(f"task {body.get('task')!r} is unknown; it is one of {', '.join(TASKS)}")
    known = {field.name for field in fields(task)}
    if unknown := sorted(set(rest) - known):
        raise BadPlan(f"{task.__name__} has no setting {unknown[0]!r}; it has {', '.join(sorted(known))}")
    try:
        head: Head = task(**{key: tuple(value) if isinstance(value, list) else value for key, value in rest.items()})
    except TypeError as problem:
        raise BadPlan(f"{task.__name__}: {problem}") from problem
    return head


def mirrored(head: Head, output: Tensor) -> Tensor:
    """Return what a head would have said of the mirror image (last axis reversed), as said of the image itself."""
    if head.place == "vector":
        return output
    flipped = torch.flip(output, dims=[output.dim() - 1])
    if head.place == "mask":
        return flipped
    classes = output.shape[1] - 4
    return torch.cat(
        [flipped[:, : classes + 2], 1 - flipped[:, classes + 2 : classes + 3], flipped[:, classes + 3 :]], 1
    )
