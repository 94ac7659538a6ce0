"""Losses of the heads: each a mean over what is known, so an unknown target never teaches anything."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

GAUSSIAN_CORE = 0.5
"""Size and offset of a box are learned where its Gaussian is at least this high."""


@dataclass(frozen=True, slots=True)
class Imbalance:
    """How a loss meets rare classes: ``plain``, ``focal`` (Lin 2017) or ``asymmetric`` (Ridnik 2021)."""

    kind: str = "plain"
    gamma: float = 2.0
    """Focal: how much easy examples count less; asymmetric: the same for negatives."""
    margin: float = 0.05
    """Asymmetric: negatives below this probability teach nothing."""


def binary_loss(logits: Tensor, targets: Tensor, imbalance: Imbalance, *, positive: Tensor, smoothing: float) -> Tensor:
    """Mean binary loss over known targets (N, K) in [0, 1], NaN unknown; ``positive`` (K,) weighs the positives."""
    known = torch.isfinite(targets)
    wanted = torch.nan_to_num(targets) * (1 - 2 * smoothing) + smoothing
    log_yes, log_no = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    yes, no = positive * wanted, 1 - wanted
    if imbalance.kind == "focal":
        each = -(
            yes * (1 - log_yes.exp()) ** imbalance.gamma * log_yes + no * (1 - log_no.exp()) ** imbalance.gamma * log_no
        )
    elif imbalance.kind == "asymmetric":
        shifted = (torch.sigmoid(logits) - imbalance.margin).clamp(min=0)
        each = -(yes * log_yes + no * shifted**imbalance.gamma * torch.log((1 - shifted).clamp(min=1e-8)))
    else:
        each = -(yes * log_yes + no * log_no)
    return (each * known).sum() / known.sum().clamp(min=1)


def class_loss(logits: Tensor, targets: Tensor, imbalance: Imbalance, *, weights: Tensor, smoothing: float) -> Tensor:
    """Weighted mean cross entropy over known classes (N,), -1 unknown; ``weights`` (K,) weigh the classes."""
    known = targets >= 0
    index = targets.clamp(min=0)
    log_probability = functional.log_softmax(logits, dim=1)
    own = log_probability.gather(1, index[:, None])[:, 0]
    each = -(1 - smoothing) * own - smoothing * log_probability.mean(dim=1)
    if imbalance.kind != "plain":
        each = each * (1 - own.exp()) ** imbalance.gamma
    weight = weights[index] * known
    return (each * weight).sum() / weight.sum().clamp(min=1e-6)


def segmentation_loss(logits: Tensor, targets: Tensor, *, dice_share: float) -> Tensor:
    """Cross entropy per pixel plus soft Dice per image and class that is there.

    Logits (N, 1, ...) for one class or (N, 1 + classes, ...) with background first; targets (N, ...) whole numbers,
    255 unknown.
    """
    known = (targets != 255).float()
    labels = torch.where(targets == 255, torch.zeros_like(targets), targets).long()
    if logits.shape[1] == 1:
        drawn = (labels > 0).float().unsqueeze(1)
        cells = functional.binary_cross_entropy_with_logits(logits, drawn, reduction="none")[:, 0]
        probability = torch.sigmoid(logits)
    else:
        drawn = functional.one_hot(labels, logits.shape[1]).movedim(-1, 1).float()[:, 1:]
        cells = functional.cross_entropy(logits, labels, reduction="none")
        probability = torch.softmax(logits, dim=1)[:, 1:]
    entropy = (cells * known).sum() / known.sum().clamp(min=1)
    seen = known.unsqueeze(1)
    axes = tuple(range(2, logits.dim()))
    overlap = (probability * drawn * seen).sum(dim=axes)
    total = (probability * seen).sum(dim=axes) + (drawn * seen).sum(dim=axes)
    there = ((drawn * seen).sum(dim=axes) > 0).float()
    dice = ((1 - (2 * overlap + 1) / (total + 1)) * there).sum() / there.sum().clamp(min=1)
    return (1 - dice_share) * entropy + dice_share * dice


@dataclass(frozen=True, slots=True)
class BoxMaps:
    """What a detection head should say: heat (N, K, R, C), size and offset (N, 4, R, C), their weight (N, 1, R, C)."""

    heat: Tensor
    shapes: Tensor
    weight: Tensor


def draw_boxes(boxes: Tensor, classes: int, shape: tuple[int, int], grid: tuple[int, int]) -> BoxMaps:
    """Draw boxes (N, M, 5) in pixels of ``shape`` on a grid (Zhou 2019, Liu 2020); class below 0 = padding."""
    step = torch.tensor([shape[1] / grid[1], shape[0] / grid[0]], device=boxes.device)
    real = boxes[..., 0] >= 0
    low, high = boxes[..., 1:3] / step, boxes[..., 3:5] / step
    size, centre = (high - low).clamp(min=1e-2), (high + low) / 2
    limit = torch.tensor([grid[1] - 1, grid[0] - 1], device=boxes.device)
    cell = torch.minimum(centre.floor().clamp(min=0), limit)
    sigma = 0.1 * size + 0.4
    columns = torch.arange(grid[1], device=boxes.device, dtype=torch.float32)
    rows = torch.arange(grid[0], device=boxes.device, dtype=torch.float32)
    along_x = torch.exp(-((columns - cell[..., 0:1]) ** 2) / (2 * sigma[..., 0:1] ** 2))
    along_y = torch.exp(-((rows - cell[..., 1:2]) ** 2) / (2 * sigma[..., 1:2] ** 2))
    bump = along_y[..., :, None] * along_x[..., None, :] * real[..., None, None]
    heat = torch.stack([(bump * (boxes[..., 0] == k)[..., None, None]).amax(dim=1) for k in range(classes)], dim=1)
    best, owner = bump.max(dim=1)
    values = torch.cat([torch.log(size), centre], dim=-1)
    picked = (
        values.gather(1, owner.flatten(1)[..., None].expand(-1, -1, 4)).movedim(-1, 1).reshape(len(boxes), 4, *grid)
    )
    offset_x = picked[:, 2:3] - columns
    offset_y = picked[:, 3:4] - rows[:, None]
    shapes = torch.cat([picked[:, :2], offset_x, offset_y], dim=1)
    return BoxMaps(heat, shapes, (best * (best >= GAUSSIAN_CORE)).unsqueeze(1))


def box_loss(maps: Tensor, boxes: Tensor, shape: tuple[int, int]) -> Tensor:
    """Penalty-reduced focal loss of the heat plus L1 of log size and offset; class -2 in the first row = unknown."""
    classes = maps.shape[1] - 4
    known = (boxes[:, 0, 0] != -2).float()[:, None, None, None]
    wanted = draw_boxes(boxes, classes, shape, (maps.shape[2], maps.shape[3]))
    heat = maps[:, :classes]
    log_yes, log_no = functional.logsigmoid(heat), functional.logsigmoid(-heat)
    centre = (wanted.heat > 0.999).float()
    each = centre * log_no.exp() ** 2 * log_yes + (1 - centre) * (1 - wanted.heat) ** 4 * log_yes.exp() ** 2 * log_no
    count = (centre * known).sum().clamp(min=1)
    shape_error = (maps[:, classes:] - wanted.shapes).abs() * wanted.weight * known
    return -(each * known).sum() / count + shape_error.sum() / (wanted.weight * known).sum().clamp(min=1)
