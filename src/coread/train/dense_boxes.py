"""A box head that learns from the whole inside of each object, for few large objects of vague outline.

The maps are those of ``coread.imaging.detections``. Heat is the inscribed ellipse rather than a small bump, and every
cell well inside it learns size and centre by overlap (generalised IoU, Rezatofighi 2019; dense as in FCOS, Tian 2019).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from coread.train.place_heads import Boxes

_INSIDE = 0.76
"""Share of the ellipse's radius within which a cell learns the box."""
_SOFTNESS = 8.0
_HEAT, _OVERLAP = 3.0, 2.0


@dataclass(frozen=True, slots=True)
class DenseBoxes(Boxes):
    """Objects in two dimensions, learned densely; targets and output maps as of ``Boxes``."""

    def loss(self, output: Tensor, target: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Return the mean loss over images whose boxes are known."""
        return dense_box_loss(output.float(), target, (shape[0], shape[1]))

    def decode(self, output: NDArray[Any], shape: tuple[int, ...], floor: float = 0.05) -> list[NDArray[np.float32]]:
        """Return per image (M, 6): class, x0, y0, x1, y1, score; each peak's box is the mean over its cells."""
        from coread.imaging.dense_detections import boxes_from_dense_maps

        return [boxes_from_dense_maps(maps, (shape[0], shape[1]), floor=floor) for maps in output]


def dense_box_loss(maps: Tensor, boxes: Tensor, shape: tuple[int, int]) -> Tensor:
    """Cross entropy and Dice of the heat, and overlap of the boxes; boxes (N, M, 5), class -1 padding, -2 unknown."""
    classes, grid = maps.shape[1] - 4, (maps.shape[2], maps.shape[3])
    known = (boxes[:, 0, 0] != -2).float()
    step = torch.tensor([shape[1] / grid[1], shape[0] / grid[0]], device=maps.device)
    real = boxes[..., 0] >= 0
    low, high = boxes[..., 1:3] / step, boxes[..., 3:5] / step
    columns = torch.arange(grid[1], device=maps.device, dtype=torch.float32)
    rows = torch.arange(grid[0], device=maps.device, dtype=torch.float32)
    centre, half = (low + high) / 2, ((high - low) / 2).clamp(min=0.5)
    across = ((columns + 0.5 - centre[..., 0:1]) / half[..., 0:1]) ** 2
    down = ((rows + 0.5 - centre[..., 1:2]) / half[..., 1:2]) ** 2
    far = (down[..., :, None] + across[..., None, :] + 1e-6).sqrt()
    far = torch.where(real[..., None, None], far, torch.full_like(far, 99.0))
    soft = torch.sigmoid((1 - far) * _SOFTNESS)
    wanted = torch.stack([(soft * (boxes[..., 0] == k)[..., None, None]).amax(dim=1) for k in range(classes)], dim=1)
    heat = _heat_loss(maps[:, :classes], wanted)
    nearest, owner = far.min(dim=1)
    inside = (nearest < _INSIDE).float()
    own = torch.cat([low, high], dim=2).gather(1, owner.flatten(1)[..., None].expand(-1, -1, 4))
    overlap = _overlap_loss(maps[:, classes:], own.movedim(-1, 1).reshape(len(boxes), 4, *grid), columns, rows)
    each = (overlap * inside).sum(dim=(1, 2)) / inside.sum(dim=(1, 2)).clamp(min=1)
    return ((_HEAT * heat + _OVERLAP * each) * known).sum() / known.sum().clamp(min=1)


def _heat_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return (N,) cross entropy per cell plus soft Dice."""
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(dim=(1, 2, 3))
    probability = torch.sigmoid(logits)
    total = probability.sum(dim=(1, 2, 3)) + wanted.sum(dim=(1, 2, 3))
    dice = 1 - (2 * (probability * wanted).sum(dim=(1, 2, 3)) + 1) / (total + 1)
    return entropy + dice / _HEAT


def _overlap_loss(shapes: Tensor, wanted: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """Return (N, R, C): 1 - generalised IoU of each cell's box with the box that it belongs to."""
    half = torch.exp(shapes[:, :2].clamp(-4, 6)) / 2
    x, y = columns + shapes[:, 2], rows[:, None] + shapes[:, 3]
    x0, y0, x1, y1 = x - half[:, 0], y - half[:, 1], x + half[:, 0], y + half[:, 1]
    shared = (torch.minimum(x1, wanted[:, 2]) - torch.maximum(x0, wanted[:, 0])).clamp(min=0) * (
        torch.minimum(y1, wanted[:, 3]) - torch.maximum(y0, wanted[:, 1])
    ).clamp(min=0)
    areas = (x1 - x0) * (y1 - y0) + (wanted[:, 2] - wanted[:, 0]) * (wanted[:, 3] - wanted[:, 1])
    union = (areas - shared).clamp(min=1e-3)
    hull = (torch.maximum(x1, wanted[:, 2]) - torch.minimum(x0, wanted[:, 0])) * (
        torch.maximum(y1, wanted[:, 3]) - torch.minimum(y0, wanted[:, 1])
    )
    return 1 - shared / union + (hull - union) / hull.clamp(min=1e-3)
