"""A small convolutional network that names findings and shows where: one map per finding, pooled to a logit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from coread.train.efficientnet_lite import LiteEncoder

_MEAN, _DEVIATION = 0.5, 0.25
"""Grey level and contrast that every image is brought to: about those of the photographs the encoder may start from."""


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """The shape of a network, as data."""

    findings: int
    gate_classes: int
    auxiliary: int
    """Outputs that only help learning (text labels, sex, age) and are not exported."""
    map_width: int = 128
    head_width: int = 256
    """Channels that are averaged over the image for everything that has no place."""
    sharpness: float = 4.0
    """Of the pooling from map to logit: 0 is the mean, infinity the maximum."""
    dropout: float = 0.3


@dataclass(frozen=True, slots=True)
class NetworkOutput:
    """What one forward pass gives; all are logits, batch first."""

    logits: Tensor
    maps: Tensor
    """(N, findings, rows / 16, columns / 16)."""
    gate: Tensor
    view: Tensor
    auxiliary: Tensor


class Backbone(nn.Module):
    """Grey image to two feature maps, at 1/16 and 1/32 of its side: an EfficientNet-Lite0 (Tan and Le 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = LiteEncoder(1, taps=5)
        self.widths = (self.encoder.widths[-2], self.encoder.widths[-1])
        self._resting = 0

    def rest(self, stages: int) -> None:
        """Stop the stem and the first ``stages`` from learning, their batch statistics included; 0 wakes all."""
        self._resting = stages
        for part in (self.encoder.stem, *self.encoder.stages):
            part.requires_grad_(True)
        for part in self._asleep():
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all but the parts that rest, which keep their statistics."""
        super().train(mode)
        for part in self._asleep():
            part.eval()
        return self

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Bring each image to the same mean and deviation, then return (1/16, 1/32) features."""
        mean = image.mean(dim=(1, 2, 3), keepdim=True)
        centred = image - mean
        deviation = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        features = self.encoder(centred / (deviation + 1e-3) * _DEVIATION + _MEAN)
        return features[-2], features[-1]

    def _asleep(self) -> list[nn.Module]:
        return [self.encoder.stem, *self.encoder.stages[: self._resting]] if self._resting else []


class FindingNetwork(nn.Module):
    """Backbone, a map per finding at 1/16, and heads for the gate, the view and the auxiliary labels."""

    def __init__(self, plan: NetworkPlan) -> None:
        super().__init__()
        self.plan = plan
        self.backbone = Backbone()
        middle, deep = self.backbone.widths
        self.from_middle = nn.Conv2d(middle, plan.map_width, 1, bias=False)
        self.from_deep = nn.Conv2d(deep, plan.map_width, 1, bias=False)
        self.merge = nn.Sequential(
            nn.BatchNorm2d(plan.map_width),
            nn.ReLU(inplace=True),
            nn.Conv2d(plan.map_width, plan.map_width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(plan.map_width),
            nn.ReLU(inplace=True),
        )
        self.to_maps = nn.Conv2d(plan.map_width, plan.findings, 1)
        wide = plan.head_width
        self.widen = nn.Sequential(nn.Conv2d(deep, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(inplace=True))
        self.dropout = nn.Dropout(plan.dropout)
        self.whole = nn.Linear(wide, plan.findings)
        self.gate = nn.Linear(wide, plan.gate_classes)
        self.view = nn.Linear(wide, 1)
        self.auxiliary = nn.Linear(wide, plan.auxiliary)
        nn.init.constant_(self.to_maps.bias, -3.0)  # type: ignore[arg-type]
        nn.init.zeros_(self.whole.weight)

    def forward(self, image: Tensor) -> NetworkOutput:
        """Read a batch of display images (N, 1, rows, columns) in [0, 1]; sides are multiples of 32."""
        middle, deep = self.backbone(image)
        raised = functional.interpolate(self.from_deep(deep), scale_factor=2.0, mode="nearest")
        maps = self.to_maps(self.merge(self.from_middle(middle) + raised))
        pooled = soft_maximum(maps, self.plan.sharpness)
        seen = self.dropout(self.widen(deep).mean(dim=(2, 3)))
        return NetworkOutput(
            logits=pooled + self.whole(seen),
            maps=maps,
            gate=self.gate(seen),
            view=self.view(seen),
            auxiliary=self.auxiliary(seen),
        )


Network = TypeVar("Network", bound=nn.Module)


def channels_last(network: Network) -> Network:
    """Lay the weights out with channels last, which is faster on processors; returns the same network."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    return network


def soft_maximum(maps: Tensor, sharpness: float) -> Tensor:
    """Pool (N, K, rows, columns) to (N, K): the log-mean-exp over all cells."""
    flat = maps.flatten(2) * sharpness
    cells = torch.tensor(float(flat.shape[-1]))
    return (torch.logsumexp(flat, dim=-1) - torch.log(cells)) / sharpness


class MirrorEnsemble(nn.Module):
    """The network that is shipped: the mean over members and over the image and its mirror image.

    Averaging over the mirror image makes the answer the same for a mirrored input, and its maps the mirrored maps.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (logits, maps as probabilities, gate logits, view logit), means over members and mirror images."""
        both = torch.cat([image, torch.flip(image, dims=[3])], dim=0)
        outputs = [member(both) for member in self.members]
        half = image.shape[0]

        def mean_of(values: Sequence[Tensor]) -> Tensor:
            mean = torch.stack(list(values)).mean(dim=0)
            return (mean[:half] + mean[half:]) / 2

        maps = torch.stack([torch.sigmoid(output.maps) for output in outputs]).mean(dim=0)
        maps = (maps[:half] + torch.flip(maps[half:], dims=[3])) / 2
        return (
            mean_of([output.logits for output in outputs]),
            maps,
            mean_of([output.gate for output in outputs]),
            mean_of([output.view for output in outputs]),
        )
