"""Heads on the decoder: regions pixel by pixel, objects as boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coread.imaging.detections import boxes_from_maps
from coread.train import losses, scores
from coread.train.errors import BadTarget
from coread.train.heads import Place, Row


@dataclass(frozen=True, slots=True)
class Segmentation:
    """Regions: target (N, *spatial) 0 background, k = classes[k-1], 255 unknown.

    Output: one logit per pixel for one class, else 1 + classes logits with background first.
    """

    place: ClassVar[Place] = "mask"
    name: str
    classes: tuple[str, ...]
    weight: float = 1.0
    dice_share: float = 0.5

    def channels(self) -> int:
        """Return the number of output channels."""
        return 1 if len(self.classes) == 1 else 1 + len(self.classes)

    def check(self, values: Any, keys: Sequence[str]) -> None:
        """Raise BadTarget where a target does not fit."""
        for number, key in enumerate(keys):
            highest = np.asarray(values[number])
            wrong = highest[(highest > len(self.classes)) & (highest != 255)]
            if wrong.size:
                raise BadTarget(f"{self.name}: the mask of {key} holds {int(wrong.flat[0])}, which is no class")

    def prepared(self, _values: Any) -> "Segmentation":
        """Return the head with what it takes from the training targets."""
        return self

    def gather(self, values: Any, index: NDArray[np.int64]) -> Tensor:
        """Return the targets at these rows as one tensor."""
        return torch.from_numpy(np.ascontiguousarray(values[index]).astype(np.uint8, copy=False))

    def loss(self, output: Tensor, target: Tensor, _shape: tuple[int, ...]) -> Tensor:
        """Return the mean loss over what is known."""
        return losses.segmentation_loss(output.float(), target, dice_share=self.dice_share)

    def labels(self, output: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the label of every pixel (N, *spatial) from logits (N, channels, *spatial)."""
        if output.shape[1] == 1:
            return (output[:, 0] > 0).astype(np.uint8)
        labels: NDArray[np.uint8] = output.argmax(axis=1).astype(np.uint8)
        return labels

    def rows(self, output: Tensor, target: Tensor, _shape: tuple[int, ...]) -> list[Row]:
        """Return each image's (said, truth)."""
        called, truth = self.labels(output.detach().float().cpu().numpy()), target.cpu().numpy()
        found: list[Row] = []
        for one, other in zip(called, truth, strict=True):
            known = other != 255
            counts = [
                [((one == k) & (other == k)).sum(), ((one == k) & known).sum(), (other == k).sum()]
                for k in range(1, len(self.classes) + 1)
            ]
            found.append((np.array(counts, dtype=np.int64), bool(known.any())))
        return found

    def score(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return scores by name; the first decides when to stop."""
        counts = np.array([row[0] for row in rows if row[1]]).reshape(-1, len(self.classes), 3)
        total = counts[..., 1] + counts[..., 2]
        dice = np.where(total > 0, 2 * counts[..., 0] / np.maximum(total, 1), np.nan)
        each = [
            float(np.nanmean(dice[:, k])) if np.isfinite(dice[:, k]).any() else float("nan")
            for k in range(dice.shape[1])
        ]
        defined = [value for value in each if np.isfinite(value)]
        mean = float(np.mean(defined)) if defined else float("nan")
        return {"dice": mean} | {f"dice/{name}": value for name, value in zip(self.classes, each, strict=True)}


@dataclass(frozen=True, slots=True)
class Boxes:
    """Objects in two dimensions: target per image (M, 5) class, x0, y0, x1, y1 in pixels, ``None`` unknown.

    Output: maps (N, classes + 4, R, C) of ``coread.imaging.detections``: heat, log size in cells, offset of the centre.
    """

    place: ClassVar[Place] = "boxes"
    name: str
    classes: tuple[str, ...]
    weight: float = 1.0

    def channels(self) -> int:
        """Return the number of output channels."""
        return len(self.classes) + 4

    def check(self, values: Any, keys: Sequence[str]) -> None:
        """Raise BadTarget where a target does not fit."""
        for key, boxes in zip(keys, values, strict=True):
            if boxes is None:
                continue
            array = np.asarray(boxes, dtype=np.float32).reshape(-1, 5)
            if len(array) and not ((array[:, 0] >= 0) & (array[:, 0] < len(self.classes))).all():
                raise BadTarget(f"{self.name}: a box of {key} has a class outside the list")
            if not (np.isfinite(array).all() and (array[:, 3:] > array[:, 1:3]).all()):
                raise BadTarget(f"{self.name}: a box of {key} has no area; x1 must be above x0 and y1 above y0")

    def prepared(self, _values: Any) -> "Boxes":
        """Return the head with what it takes from the training targets."""
        return self

    def gather(self, values: Any, index: NDArray[np.int64]) -> Tensor:
        """Return the targets at these rows as one tensor."""
        chosen = [values[int(i)] for i in index]
        most = max([1, *(len(boxes) for boxes in chosen if boxes is not None)])
        padded = np.full((len(index), most, 5), -1.0, dtype=np.float32)
        for row, boxes in enumerate(chosen):
            if boxes is None:
                padded[row] = -2.0
            elif len(boxes):
                padded[row, : len(boxes)] = boxes
        return torch.from_numpy(padded)

    def loss(self, output: Tensor, target: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return the mean loss over what is known."""
        return losses.box_loss(output.float(), target, (shape[0], shape[1]))

    def decode(self, output: NDArray[Any], shape: tuple[int, ...], floor: float = 0.05) -> list[NDArray[np.float32]]:
        """Return per image (M, 6): class, x0, y0, x1, y1, score."""
        return [boxes_from_maps(maps, (shape[0], shape[1]), floor=floor) for maps in output]

    def rows(self, output: Tensor, target: Tensor, shape: tuple[int, ...]) -> list[Row]:
        """Return each image's (said, truth)."""
        found = self.decode(output.detach().float().cpu().numpy(), shape, floor=0.01)
        truth = [boxes[boxes[:, 0] != -1] for boxes in target.cpu().numpy()]
        return list(zip(found, truth, strict=True))

    def score(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return scores by name; the first decides when to stop."""
        known = [row for row in rows if not (len(row[1]) and row[1][0, 0] == -2)]
        found, truth = [row[0] for row in known], [row[1] for row in known]
        each = [scores.average_precision(found, truth, k) for k in range(len(self.classes))]
        defined = [value for value in each if np.isfinite(value)]
        mean = float(np.mean(defined)) if defined else float("nan")
        return {"ap50": mean} | {f"ap50/{name}": value for name, value in zip(self.classes, each, strict=True)}
