"""A plain network that judges the whole image at once, and the pair that it makes with the network that shows where.

What goes with a finding is not always where the finding is. The plain network pools over everything; the pair blends
both judgements, and its maps are those of the network that was taught with boxes.
"""

import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from coread.train.errors import NotFinite
from coread.train.network import FindingNetwork, NetworkOutput, ResidualBlock, channels_last

log = logging.getLogger("coread.train")


@dataclass(frozen=True, slots=True)
class WholePlan:
    """Shape and schedule of the plain network; the same record makes the same network on the same machine."""

    width: int = 32
    epochs: int = 24
    batch: int = 32
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    smoothing: float = 0.04
    mixing: float = 0.3
    """Both parameters of the beta distribution that mixes pairs of images (mixup, Zhang 2018)."""
    seed: int = 100


class WholeNetwork(nn.Module):
    """Four residual stages, mean and maximum over the image, one linear layer."""

    def __init__(self, targets: int, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        widths = (width, width, 2 * width, 4 * width, 8 * width)
        blocks = [ResidualBlock(widths[n], widths[n + 1], 1 if n == 0 else 2) for n in range(4)]
        self.stages = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(16 * width, targets)

    def forward(self, image: Tensor) -> Tensor:
        """Read display images (N, 1, rows, columns) in [0, 1]; return logits (N, targets)."""
        features = self.stages(self.stem(image))
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        logits: Tensor = self.head(self.dropout(pooled))
        return logits


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """How two judgements become one: each is centred and scaled, then weighted; all (findings,)."""

    share: NDArray[np.float32]
    """Of the plain network, 0 to 1."""
    centres: tuple[NDArray[np.float32], NDArray[np.float32]]
    scales: tuple[NDArray[np.float32], NDArray[np.float32]]


def blend_of(local: NDArray[np.float32], whole: NDArray[np.float32], share: NDArray[np.float32]) -> Blend:
    """Take centre and scale from logits (N, findings) of images that neither network learned from; no label is used."""
    return Blend(
        share.astype(np.float32),
        (local.mean(axis=0), whole.mean(axis=0)),
        (local.std(axis=0) + 1e-3, whole.std(axis=0) + 1e-3),
    )


class PairedNetwork(nn.Module):
    """The network that shows where, with logits that are blended with the plain network's."""

    local_gain: Tensor
    whole_gain: Tensor
    offset: Tensor

    def __init__(self, local: FindingNetwork, whole: WholeNetwork, blend: Blend) -> None:
        super().__init__()
        self.local, self.whole = local, whole
        gains = ((1 - blend.share) / blend.scales[0], blend.share / blend.scales[1])
        offset = -(gains[0] * blend.centres[0] + gains[1] * blend.centres[1])
        self.register_buffer("local_gain", torch.from_numpy(gains[0].astype(np.float32)))
        self.register_buffer("whole_gain", torch.from_numpy(gains[1].astype(np.float32)))
        self.register_buffer("offset", torch.from_numpy(offset.astype(np.float32)))

    def forward(self, image: Tensor) -> NetworkOutput:
        """Return the local network's output with blended logits."""
        output: NetworkOutput = self.local(image)
        count = output.logits.shape[1]
        blended = output.logits * self.local_gain + self.whole(image)[:, :count] * self.whole_gain + self.offset
        return replace(output, logits=blended)


def fit_whole(
    images: NDArray[np.float32], targets: NDArray[np.float32], *, plan: WholePlan, folder: Path
) -> WholeNetwork:
    """Fit on images (N, side, side) in [0, 1] and targets (N, targets), NaN where unknown; kept in ``folder``.

    Raises NotFinite when the loss is no number any more.
    """
    network = channels_last(WholeNetwork(targets.shape[1], plan.width))
    done = folder / "network.pt"
    if done.is_file():
        network.load_state_dict(torch.load(done, weights_only=True))
        return network.eval()
    torch.manual_seed(plan.seed)
    network = channels_last(WholeNetwork(targets.shape[1], plan.width))
    _teach(network, torch.from_numpy(images), torch.from_numpy(targets), plan)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), done)
    return network.eval()


def judge(network: WholeNetwork, images: NDArray[np.float32], batch: int = 64) -> NDArray[np.float32]:
    """Return the mean logits over each image (N, side, side) and its mirror image."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            part = torch.from_numpy(images[start : start + batch, None])
            parts.append(((network(part) + network(torch.flip(part, dims=[3]))) / 2).numpy())
    return np.concatenate(parts)


def _teach(network: WholeNetwork, images: Tensor, targets: Tensor, plan: WholePlan) -> None:
    steps = max(1, len(images) // plan.batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.learning_rate, total_steps=max(10, plan.epochs * steps), pct_start=0.2
    )
    prevalence = targets.nanmean(dim=0).nan_to_num(0.5).clamp(0.01, 0.99)
    weight = ((1 - prevalence) / prevalence).sqrt().clamp(max=5)
    generator = torch.Generator().manual_seed(plan.seed)
    for epoch in range(plan.epochs):
        network.train()
        order = torch.randperm(len(images), generator=generator)
        for step in range(steps):
            index = order[step * plan.batch : (step + 1) * plan.batch]
            loss = _mixed_loss(network, varied(images[index, None], generator), targets[index], weight, plan)
            if not math.isfinite(loss.item()):
                raise NotFinite(f"the loss became {loss.item()} in epoch {epoch + 1}; lower the learning rate")
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        log.info("whole image: epoch %d of %d, loss %.3f", epoch + 1, plan.epochs, loss.item())


def _mixed_loss(network: WholeNetwork, batch: Tensor, targets: Tensor, weight: Tensor, plan: WholePlan) -> Tensor:
    share = float(torch.distributions.Beta(plan.mixing, plan.mixing).sample())
    other = torch.randperm(len(batch))
    logits = network((share * batch + (1 - share) * batch[other]).to(memory_format=torch.channels_last))

    def loss_for(wanted: Tensor) -> Tensor:
        known = torch.isfinite(wanted)
        smooth = wanted.nan_to_num() * (1 - plan.smoothing) + plan.smoothing / 2
        each = functional.binary_cross_entropy_with_logits(logits, smooth, pos_weight=weight, reduction="none")
        return (each * known).sum() / known.sum().clamp(min=1)

    return share * loss_for(targets) + (1 - share) * loss_for(targets[other])


def varied(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Turn, scale, shift, mirror and expose each image (N, 1, rows, columns) a little differently."""
    count = len(batch)

    def between(low: float, high: float) -> Tensor:
        return torch.rand(count, generator=generator) * (high - low) + low

    angle, scale = between(-0.17, 0.17), between(0.85, 1.15)
    mirror = (torch.rand(count, generator=generator) < 0.5).float() * -2 + 1
    moves = torch.zeros(count, 2, 3)
    moves[:, 0, 0], moves[:, 0, 1] = torch.cos(angle) * scale * mirror, -torch.sin(angle) * scale
    moves[:, 1, 0], moves[:, 1, 1] = torch.sin(angle) * scale * mirror, torch.cos(angle) * scale
    moves[:, 0, 2], moves[:, 1, 2] = between(-0.08, 0.08), between(-0.08, 0.08)
    grid = functional.affine_grid(moves, list(batch.shape), align_corners=False)
    moved = functional.grid_sample(batch, grid, align_corners=False, padding_mode="border")
    contrast, brightness = between(0.8, 1.2), between(-0.2, 0.2)
    return moved * contrast[:, None, None, None] + brightness[:, None, None, None]
