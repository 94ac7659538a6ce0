"""A head that learns where something is from masks, and from images of which it is only known that it is somewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from coread.train import losses
from coread.train.errors import BadTarget
from coread.train.heads import Row
from coread.train.place_heads import Segmentation

SOMEWHERE = 254
"""Value of the pixels among which some, nobody knows which, belong to the class."""
UNKNOWN = 255
_OUTSIDE = -30.0


@dataclass(frozen=True, slots=True)
class WeakSegmentation(Segmentation):
    """One class: target (N, rows, columns) 0 background, 1 the class, 254 somewhere among these, 255 unknown.

    An image is said by the mean of its highest logits (multiple-instance learning): they should be high where the
    class is drawn or somewhere, and low in an image that is background throughout.
    """

    highest: int = 24
    """Pixels whose mean logit stands for an image."""
    sparse: float = 4.0
    """Weight of the cross entropy of single pixels."""
    positive: float = 10.0
    """How much more a pixel of the class weighs in it."""
    whole: float = 0.6
    """Weight of what is said of whole images."""

    def check(self, values: Any, keys: Sequence[str]) -> None:
        """Raise BadTarget where a target does not fit."""
        if len(self.classes) != 1:
            raise BadTarget(f"{self.name}: {len(self.classes)} classes; this head learns one")
        for number, key in enumerate(keys):
            mask = np.asarray(values[number])
            wrong = mask[(mask > 1) & (mask < SOMEWHERE)]
            if wrong.size:
                raise BadTarget(f"{self.name}: the mask of {key} holds {int(wrong.flat[0])}, not 0, 1, 254 or 255")

    def loss(self, output: Tensor, target: Tensor, _shape: tuple[int, ...]) -> Tensor:
        """Return the mean loss over what is known."""
        logits = output.float()
        unclear = target >= SOMEWHERE
        placed = torch.where(unclear, torch.full_like(target, UNKNOWN), target)
        total = losses.segmentation_loss(logits, placed, dice_share=self.dice_share)
        known, drawn = (~unclear).float(), (target == 1).float()
        cells = functional.binary_cross_entropy_with_logits(logits[:, 0], drawn, reduction="none")
        weight = known * (1 + (self.positive - 1) * drawn)
        total = total + self.sparse * (cells * weight).sum() / known.sum().clamp(min=1)
        return total + self.whole * self._of_whole_images(logits[:, 0], target)

    def _of_whole_images(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of what the highest logits (N, rows, columns) say of each image."""
        total = logits.new_zeros(())
        quiet = (target == 0).flatten(1).all(dim=1)
        if quiet.any():
            total = total + functional.softplus(self._said(logits[quiet], self.highest)).mean()
        # Drawn places may be small: fewer pixels stand for them.
        for value, pixels, weight in ((SOMEWHERE, self.highest, 1.0), (1, max(1, self.highest // 3), 0.5)):
            there = (target == value).flatten(1).any(dim=1)
            if there.any():
                inside = torch.where(target[there] == value, logits[there], logits.new_tensor(_OUTSIDE))
                total = total + weight * functional.softplus(-self._said(inside, pixels)).mean()
        return total

    @staticmethod
    def _said(logits: Tensor, pixels: int) -> Tensor:
        return logits.flatten(1).topk(min(pixels, logits[0].numel()), dim=1).values.mean(dim=1)

    def rows(self, output: Tensor, target: Tensor, shape: tuple[int, ...]) -> list[Row]:
        """Return each image's (said, truth); what is only known to be somewhere is unknown."""
        placed = torch.where(target == SOMEWHERE, torch.full_like(target, UNKNOWN), target)
        return Segmentation.rows(self, output, placed, shape)
