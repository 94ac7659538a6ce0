"""Random changes of a batch, planned as data: images, masks and boxes move together; then exposure, noise, cover."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class AugmentPlan:
    """How far the changes go; zeros leave things as they are."""

    rotation_degrees: float = 10.0
    scale: float = 0.12
    """Of the logarithm of size."""
    aspect: float = 0.05
    shift: float = 0.06
    """As a share of the side."""
    mirror: tuple[int, ...] = (-1,)
    """Spatial axes that may be mirrored: -1 columns (left and right), -2 rows, -3 slices."""
    gamma: float = 0.25
    contrast: float = 0.15
    sharpness: float = 0.3
    noise: float = 0.02
    erase: float = 0.15
    """Chance that a box of the image is covered."""
    colour: float = 0.0
    """How far the channels are scaled one by one (colour images)."""
    mixup: float = 0.0
    """Both parameters of the beta distribution (Zhang 2018); for heads without masks and boxes only."""
    share: float = 1.0
    """Share of the images that are moved at all."""


NO_AUGMENTATION = AugmentPlan(0, 0, 0, 0, (), 0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Movement:
    """One affine movement per image: where in the old image each point of the new one lies.

    ``matrix`` (N, D, D + 1) in the coordinates of torch's ``affine_grid``: -1 to 1 across the image, x first.
    """

    matrix: Tensor

    def images(self, images: Tensor, mode: str = "bilinear") -> Tensor:
        """Move images (N, C, *spatial); what comes from outside is 0."""
        grid = functional.affine_grid(self.matrix, list(images.shape), align_corners=False)
        return functional.grid_sample(images, grid, mode=mode, padding_mode="zeros", align_corners=False)

    def masks(self, masks: Tensor) -> Tensor:
        """Move label masks (N, *spatial) uint8; what comes from outside is background."""
        moved = self.images(masks.unsqueeze(1).float(), mode="nearest")
        return moved[:, 0].round().to(torch.uint8)

    def boxes(self, boxes: Tensor, shape: tuple[int, int], keep: float = 0.3) -> Tensor:
        """Move boxes (N, M, 5) in pixels; one of which less than ``keep`` is still inside becomes padding.

        A turned box becomes the one around its inscribed ellipse: the objects are round rather than square.
        """
        size = torch.tensor([shape[1], shape[0]], dtype=torch.float32, device=boxes.device)
        linear = torch.linalg.inv(self.matrix[:, :, :2])
        low, high = boxes[..., 1:3] / size * 2 - 1, boxes[..., 3:5] / size * 2 - 1
        centre = ((low + high) / 2 - self.matrix[:, None, :, 2]) @ linear.transpose(1, 2)
        half = (high - low) / 2
        reach = ((linear[:, None] * half[:, :, None, :]) ** 2).sum(dim=-1).sqrt()
        area = (4 * reach.prod(dim=-1)).clamp(min=1e-9)
        first = (centre - reach).clamp(-1, 1)
        last = (centre + reach).clamp(-1, 1)
        inside = (last - first).clamp(min=0).prod(dim=-1)
        corners = torch.cat([(first + 1) / 2 * size, (last + 1) / 2 * size], dim=-1)
        kept = (boxes[..., 0] >= 0) & (inside >= keep * area)
        moved = torch.cat([boxes[..., :1], corners], dim=-1)
        padding = torch.where(boxes[..., :1] == -2, boxes, torch.full_like(boxes, -1.0))
        return torch.where(kept[..., None], moved, padding)


def draw_movement(count: int, shape: tuple[int, ...], plan: AugmentPlan) -> Movement:
    """Draw one movement per image for images of this spatial shape."""
    dims = len(shape)
    moved = (torch.rand(count) < plan.share).float()

    def spread(size: float) -> Tensor:
        return (torch.rand(count) * 2 - 1) * size * moved

    turn = torch.eye(dims).repeat(count, 1, 1)
    # Planes of rotation in x-first coordinates: columns with rows, and for volumes each of them with slices.
    for one, other in ((0, 1), (0, 2), (1, 2))[: 1 if dims == 2 else 3]:
        angle = spread(math.radians(plan.rotation_degrees))
        plane = torch.eye(dims).repeat(count, 1, 1)
        plane[:, one, one] = plane[:, other, other] = angle.cos()
        plane[:, one, other], plane[:, other, one] = -angle.sin(), angle.sin()
        turn = turn @ plane
    size = torch.exp(spread(plan.scale))[:, None].repeat(1, dims)
    stretch = spread(plan.aspect)
    size[:, 0], size[:, 1] = size[:, 0] * torch.exp(stretch), size[:, 1] * torch.exp(-stretch)
    for axis in plan.mirror:
        size[:, -1 - axis] = size[:, -1 - axis] * torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    # Angles are angles in pixels: the coordinates run from -1 to 1 whatever the side is.
    side = torch.tensor([float(length) for length in reversed(shape)])
    linear = (turn * size[:, None, :]) * (side / side[:, None])
    offset = torch.stack([spread(2 * plan.shift) for _ in range(dims)], dim=1)
    return Movement(torch.cat([linear, offset[..., None]], dim=2))


def expose(images: Tensor, plan: AugmentPlan) -> Tensor:
    """Change brightness, contrast, gamma, colour, sharpness and noise of images in [0, 1]; sometimes cover a box."""
    count, channels = images.shape[:2]
    ones = (1,) * (images.dim() - 2)

    def each(low: float, high: float, wide: int = 1) -> Tensor:
        return (torch.rand(count, wide, *ones) * (high - low) + low).to(images.device)

    x = images
    if plan.contrast > 0:
        low, high = each(-plan.contrast, plan.contrast), 1 + each(-plan.contrast, plan.contrast)
        x = (x - low) / (high - low)
    if plan.colour > 0:
        x = x * (1 + each(-plan.colour, plan.colour, channels))
    x = x.clamp(0, 1)
    if plan.gamma > 0:
        x = (x + 1e-6) ** torch.exp(each(-plan.gamma, plan.gamma))
    if plan.sharpness > 0:
        pool = functional.avg_pool3d if len(ones) == 3 else functional.avg_pool2d
        x = x + each(-plan.sharpness, plan.sharpness) * (x - pool(x, 3, 1, 1, count_include_pad=False))
    if plan.noise > 0:
        x = x + torch.randn_like(x) * each(0, plan.noise)
    if plan.erase > 0:
        covered = _covers(count, tuple(images.shape[2:]), plan.erase).to(images.device)
        x = torch.where(covered, each(0, 1).expand_as(x), x)
    return x.clamp(0, 1)


def mixing(count: int, strength: float) -> tuple[float, Tensor]:
    """Return how much of its own each image keeps, and with which other one it is mixed."""
    share = float(torch.distributions.Beta(strength, strength).sample())
    return max(share, 1 - share), torch.randperm(count)


def _covers(count: int, shape: tuple[int, ...], chance: float) -> Tensor:
    """Return (N, 1, *shape) bool: one box, an eighth to a third of each side, in some of the images."""
    inside = torch.rand(count, *(1,) * (len(shape) + 1)) < chance
    for axis, side in enumerate(shape):
        length = (0.12 + 0.2 * torch.rand(count)) * side
        start = torch.rand(count) * (side - length)
        at = torch.arange(side, dtype=torch.float32)
        within = (at >= start[:, None]) & (at < (start + length)[:, None])
        inside = inside & within.view(count, 1, *(side if k == axis else 1 for k in range(len(shape))))
    return inside
