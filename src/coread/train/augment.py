"""Random changes of a batch of radiographs: where things stand (with their masks), and how they are exposed."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from coread.train.samples import GATE_CHEST, GATE_INVERTED, GATE_OTHER, GATE_TURNED


@dataclass(frozen=True, slots=True)
class AugmentPlan:
    """How far the changes go."""

    rotation_degrees: float = 12.0
    scale: float = 0.15
    aspect: float = 0.08
    shift: float = 0.07
    mirror: bool = True
    gamma: float = 0.35
    noise: float = 0.03
    erase: float = 0.25
    """Chance that a rectangle of the image is covered."""


def warp(images: Tensor, masks: Tensor, side: int, plan: AugmentPlan, grid: int) -> tuple[Tensor, Tensor]:
    """Move, turn, stretch and mirror uint8 images (N, S, S) and masks; return float [0, 1] (N, 1, side, side)."""
    theta = _random_affine(len(images), plan)
    at = functional.affine_grid(theta, [len(images), 1, side, side], align_corners=False)
    pixels = images.unsqueeze(1).float() / 255.0
    if images.shape[-1] >= 2 * side:
        pixels = functional.avg_pool2d(pixels, 2)
    moved = functional.grid_sample(pixels, at, mode="bilinear", padding_mode="zeros", align_corners=False)
    fine = functional.affine_grid(theta, [len(images), 1, 4 * grid, 4 * grid], align_corners=False)
    drawn = functional.grid_sample(masks.float() / 255.0, fine, mode="bilinear", align_corners=False)
    return moved, functional.avg_pool2d(drawn, 4)


def expose(images: Tensor, plan: AugmentPlan) -> Tensor:
    """Change window, gamma, sharpness and noise; sometimes cover a rectangle."""
    n, _, rows, columns = images.shape
    low = torch.rand(n, 1, 1, 1) * 0.15
    high = 1.0 - torch.rand(n, 1, 1, 1) * 0.15
    x = ((images - low) / (high - low)).clamp(0, 1)
    x = x ** torch.exp((torch.rand(n, 1, 1, 1) * 2 - 1) * plan.gamma)
    blurred = functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    x = x + (torch.rand(n, 1, 1, 1) * 1.3 - 0.8) * (x - blurred)
    x = x + torch.randn_like(x) * (torch.rand(n, 1, 1, 1) * plan.noise)
    covered = (torch.rand(n, 1, 1, 1) < plan.erase).float() * _rectangles(n, rows, columns)
    return (x * (1 - covered) + covered * torch.rand(n, 1, 1, 1)).clamp(0, 1)


def spoil_for_gate(images: Tensor, gate: Tensor) -> tuple[Tensor, Tensor]:
    """Turn frontal chests (N, 1, S, S) into inputs that the gate must refuse: negatives, turned images, details.

    An image that is no frontal chest already keeps its class; a third of those are turned or negative too.
    """
    spoiled, classes = images.clone(), gate.clone()
    for i in range(len(images)):
        kind = int(torch.randint(0, 3, ()))
        if int(gate[i]) != GATE_CHEST:
            if int(gate[i]) == GATE_OTHER and kind == 0:
                spoiled[i] = torch.rot90(1.0 - images[i], int(torch.randint(0, 4, ())), dims=(1, 2))
            continue
        if kind == 0:
            spoiled[i], classes[i] = 1.0 - images[i], GATE_INVERTED
        elif kind == 1:
            spoiled[i], classes[i] = torch.rot90(images[i], int(torch.randint(1, 4, ())), dims=(1, 2)), GATE_TURNED
        else:
            spoiled[i], classes[i] = _detail(images[i]), GATE_OTHER
    return spoiled, classes


def _detail(image: Tensor) -> Tensor:
    """Cut a small part out of an image (1, S, S) and blow it up to full size."""
    side = image.shape[-1]
    size = int(side * (0.2 + 0.2 * float(torch.rand(()))))
    row, column = (int(torch.randint(0, side - size + 1, ())) for _ in range(2))
    part = image[:, row : row + size, column : column + size].unsqueeze(0)
    return functional.interpolate(part, size=(side, side), mode="bilinear", align_corners=False)[0]


def _random_affine(n: int, plan: AugmentPlan) -> Tensor:
    def spread(size: float) -> Tensor:
        return (torch.rand(n) * 2 - 1) * size

    angle = spread(math.radians(plan.rotation_degrees))
    scale = torch.exp(spread(plan.scale))
    stretch = torch.exp(spread(plan.aspect))
    side = torch.where(torch.rand(n) < 0.5, -1.0, 1.0) if plan.mirror else torch.ones(n)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = angle.cos() * scale * stretch * side
    theta[:, 0, 1] = -angle.sin() * scale
    theta[:, 1, 0] = angle.sin() * scale * side
    theta[:, 1, 1] = angle.cos() * scale / stretch
    theta[:, 0, 2] = spread(2 * plan.shift)
    theta[:, 1, 2] = spread(2 * plan.shift)
    return theta


def _rectangles(n: int, rows: int, columns: int) -> Tensor:
    """Return one random rectangle per image as a mask, (n, 1, rows, columns), an eighth to a third of each side."""
    mask = torch.zeros(n, 1, rows, columns)
    for i in range(n):
        height, width = (int(side * (0.12 + 0.2 * float(torch.rand(())))) for side in (rows, columns))
        top, left = int(torch.randint(0, rows - height, ())), int(torch.randint(0, columns - width, ()))
        mask[i, :, top : top + height, left : left + width] = 1.0
    return mask
