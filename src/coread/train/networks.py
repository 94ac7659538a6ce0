"""A network as data (``NetworkPlan``) and the torch module it becomes: encoder, pyramid, covariates, heads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from coread.train import encoders
from coread.train.efficientnet_lite import LiteEncoder
from coread.train.errors import BadPlan
from coread.train.tasks import Head, Ordinal, Regression

RESNETS = ("resnet10", "resnet18", "resnet34", "resnet50")
EFFICIENTNETS = tuple(f"efficientnet-b{n}" for n in range(8))
DENSE = ("unet", "dynunet", "segresnet", "swinunetr")
LITE = "efficientnet-lite0"
LITE_DEEP = "efficientnet-lite0-s32"
"""The same with its last stages, down to stride 32: for naming whole images rather than places in them."""
KINDS = ("residual", *RESNETS, "densenet121", *EFFICIENTNETS, LITE, LITE_DEEP, "vit", *DENSE)


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """The shape of a network, as data. Zeros and empty tuples are taken from the data when a fit starts."""

    kind: str = "residual"
    """One of KINDS: ``residual`` is ours, ``efficientnet-lite0`` can start from ImageNet, the others are MONAI's."""
    channels: int = 0
    """Of the image: 1 grey, 3 colour."""
    shape: tuple[int, ...] = ()
    """Spatial shape of the image, (rows, columns) or (slices, rows, columns)."""
    covariates: int = 0
    """Number of structured clinical values beside the image."""
    widths: tuple[int, ...] = (24, 48, 96, 160)
    """Channels of the stages (``residual`` and the segmentation networks); ``vit``: the first is its width."""
    depths: tuple[int, ...] = (2, 2, 2, 2)
    """Blocks of the stages (``residual``); ``vit``: the sum is its depth."""
    norm: str = "batch"
    """``batch``, ``group`` or ``instance`` (``residual`` and the pyramid)."""
    stem_stride: int = 4
    """1 for thumbnails, 2 for small, 4 for large images (``residual``)."""
    map_width: int = 64
    """Channels of the pyramid and of the segmentation networks' last map."""
    map_stride: int = 4
    """Pixels per cell of the map that boxes and masks are read from."""
    patch: int = 16
    """Side of a token (``vit``)."""
    dropout: float = 0.2
    covariate_width: int = 32
    covariate_dropout: float = 0.15
    """Chance that a value is hidden while learning, so that a missing one is nothing new."""
    standardise: bool = True
    """Bring each image to mean 0 and deviation 1 first, inside the network."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadPlan(f"network {self.kind!r} is unknown; it is one of {', '.join(KINDS)}")
        if len(self.widths) != len(self.depths) and self.kind == "residual":
            raise BadPlan(f"widths {self.widths} and depths {self.depths} must be equally many")
        if self.norm not in ("batch", "group", "instance"):
            raise BadPlan(f"norm {self.norm!r} is unknown; it is batch, group or instance")
        if self.stem_stride not in (1, 2, 4):
            raise BadPlan(f"stem_stride is 1, 2 or 4, not {self.stem_stride}")

    def for_data(self, channels: int, shape: Sequence[int], covariates: int) -> "NetworkPlan":
        """Return the plan with what was left open taken from the data; raises BadPlan where the two differ."""
        wanted = replace(
            self,
            channels=self.channels or channels,
            shape=self.shape or tuple(shape),
            covariates=self.covariates or covariates,
        )
        if (wanted.channels, wanted.shape, wanted.covariates) != (channels, tuple(shape), covariates):
            raise BadPlan(
                f"the network wants {wanted.channels} channels of {wanted.shape} and {wanted.covariates} covariates; "
                f"the data have {channels} channels of {tuple(shape)} and {covariates} covariates"
            )
        if self.kind == "vit" and any(side % self.patch for side in wanted.shape):
            raise BadPlan(f"the sides {wanted.shape} must be multiples of the patch {self.patch}")
        multiple = 32 if self.kind == "swinunetr" else 2 ** (len(self.widths) - 1) if self.kind in DENSE else 1
        if self.kind == "segresnet":
            multiple = 8
        if any(side % multiple for side in wanted.shape):
            raise BadPlan(f"the sides {wanted.shape} must be multiples of {multiple} for {self.kind}")
        return wanted


def build_encoder(plan: NetworkPlan) -> Any:
    """Return the encoder of a plan that has its channels and shape."""
    dims = len(plan.shape)
    if plan.kind == "residual":
        return encoders.ResidualEncoder(
            dims, plan.channels, widths=plan.widths, depths=plan.depths, norm=plan.norm, stem_stride=plan.stem_stride
        )
    if plan.kind in RESNETS:
        return encoders.MonaiResNet(plan.kind, dims, plan.channels)
    if plan.kind == "densenet121":
        return encoders.MonaiDenseNet(dims, plan.channels)
    if plan.kind == LITE:
        return LiteEncoder(plan.channels)
    if plan.kind == LITE_DEEP:
        return LiteEncoder(plan.channels, taps=5)
    if plan.kind in EFFICIENTNETS:
        return encoders.MonaiEfficientNet(plan.kind, dims, plan.channels)
    if plan.kind == "vit":
        width, depth = plan.widths[0], sum(plan.depths)
        return encoders.MonaiViT(dims, plan.channels, plan.shape, patch=plan.patch, width=width, depth=depth)
    return encoders.MonaiDense(plan.kind, dims, plan.channels, width=plan.map_width, widths=plan.widths)


class Pyramid(nn.Module):
    """Brings deep maps up to fine ones, each step added and smoothed (feature pyramid, Lin 2017)."""

    def __init__(self, dims: int, widths: Sequence[int], *, width: int, norm: str) -> None:
        super().__init__()
        self.mode = "trilinear" if dims == 3 else "bilinear"
        self.sideways = nn.ModuleList([encoders.convolution(dims, one, width, 1) for one in widths])
        self.smooth = nn.ModuleList(
            [
                nn.Sequential(
                    encoders.normalisation(norm, dims, width),
                    nn.ReLU(inplace=True),
                    encoders.convolution(dims, width, width),
                    encoders.normalisation(norm, dims, width),
                    nn.ReLU(inplace=True),
                )
                for _ in widths
            ]
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return one map as large as the first (finest)."""
        x: Tensor = self.smooth[-1](self.sideways[-1](maps[-1]))
        for number in range(len(maps) - 2, -1, -1):
            raised = functional.interpolate(x, size=_size(maps[number]), mode=self.mode, align_corners=False)
            x = self.smooth[number](self.sideways[number](maps[number]) + raised)
        return x


class CovariateBranch(nn.Module):
    """Clinical values, NaN where missing, to features: each standardised value and whether it is missing."""

    centre: Tensor
    scale: Tensor

    def __init__(self, count: int, *, width: int, hide: float) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(count))
        self.register_buffer("scale", torch.ones(count))
        self.hide = hide
        self.body = nn.Sequential(nn.Linear(2 * count, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())

    def forward(self, values: Tensor) -> Tensor:
        """Return (N, width) for values (N, count)."""
        missing = torch.isnan(values)
        if self.training and self.hide > 0:
            missing = missing | (torch.rand(values.shape, device=values.device) < self.hide)
        known = (torch.nan_to_num(values) - self.centre) / self.scale
        known = torch.where(missing, torch.zeros_like(known), known)
        features: Tensor = self.body(torch.cat([known, missing.to(known.dtype)], dim=1))
        return features


class OrderedLogits(nn.Module):
    """One score and one bias per threshold, falling from threshold to threshold."""

    def __init__(self, width: int, thresholds: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)
        self.first = nn.Parameter(torch.full((1,), thresholds / 2))
        self.steps = nn.Parameter(torch.zeros(thresholds - 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, thresholds) logits of "above"."""
        falls = torch.cumsum(functional.softplus(self.steps), dim=0)
        logits: Tensor = self.score(x) + torch.cat([self.first, self.first - falls])
        return logits


class Quantities(nn.Module):
    """A linear layer whose output is in the units of the targets."""

    centre: Tensor
    scale: Tensor

    def __init__(self, width: int, head: Regression) -> None:
        super().__init__()
        self.line = nn.Linear(width, head.channels())
        self.register_buffer("centre", torch.tensor(head.centre or (0.0,) * head.channels()))
        self.register_buffer("scale", torch.tensor(head.scale or (1.0,) * head.channels()))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs) in units."""
        units: Tensor = self.line(x) * self.scale + self.centre
        return units


class ReadingNetwork(nn.Module):
    """Encoder, pyramid where a head needs one, covariates, and the heads."""

    def __init__(self, plan: NetworkPlan, heads: Sequence[Head]) -> None:
        super().__init__()
        self.plan, self.dims = plan, len(plan.shape)
        self._places = {head.name: head.place for head in heads}
        if "boxes" in self._places.values() and self.dims != 2:
            raise BadPlan("boxes need images with two spatial axes; use a Segmentation head for volumes")
        self.encoder = build_encoder(plan)
        deepest = self.encoder.widths[-1]
        seen = 2 * deepest
        self.covariates: CovariateBranch | None = None
        if plan.covariates:
            self.covariates = CovariateBranch(plan.covariates, width=plan.covariate_width, hide=plan.covariate_dropout)
            seen += plan.covariate_width
        self.first_map = self._first_map()
        self.pyramid: Pyramid | None = None
        if any(place != "vector" for place in self._places.values()):
            used = self.encoder.widths[self.first_map :]
            self.pyramid = Pyramid(self.dims, used, width=plan.map_width, norm=plan.norm)
        self.dropout = nn.Dropout(plan.dropout)
        self.heads = nn.ModuleDict({f"head_{head.name}": self._layer(head, seen) for head in heads})

    def _first_map(self) -> int:
        """Return the number of the finest map that has ``map_stride``, or the finest there is."""
        with torch.inference_mode():
            was = self.encoder.training
            sides = [
                found.shape[-1] for found in self.encoder.eval()(torch.zeros(1, self.plan.channels, *self.plan.shape))
            ]
            self.encoder.train(was)
        wanted = -(-self.plan.shape[-1] // self.plan.map_stride)
        return max([0, *(number for number, side in enumerate(sides) if side >= wanted)])

    def _layer(self, head: Head, seen: int) -> nn.Module:
        if isinstance(head, Ordinal):
            return OrderedLogits(seen, head.channels())
        if isinstance(head, Regression):
            return Quantities(seen, head)
        if head.place == "vector":
            return nn.Linear(seen, head.channels())
        layer = encoders.convolution(self.dims, self.plan.map_width, head.channels(), 1, bias=True)
        if head.place == "boxes":
            with torch.no_grad():
                layer.bias[: head.channels() - 4].fill_(-3.5)  # type: ignore[index]
        return layer

    def features(self, image: Tensor, covariates: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Return pooled features (N, F) and the encoder's maps."""
        if self.plan.standardise:
            axes = tuple(range(1, image.dim()))
            centred = image - image.mean(dim=axes, keepdim=True)
            image = centred / (centred.square().mean(dim=axes, keepdim=True).sqrt() + 1e-3)
        maps = self.encoder(image)
        flat = maps[-1].flatten(2)
        parts = [flat.mean(dim=2), flat.amax(dim=2)]
        if self.covariates is not None:
            if covariates is None:
                raise BadPlan(f"this network reads {self.plan.covariates} covariates beside the image; none were given")
            parts.append(self.covariates(covariates))
        return torch.cat(parts, dim=1), maps

    def forward(self, image: Tensor, covariates: Tensor | None = None) -> dict[str, Tensor]:
        """Read images (N, C, *spatial) in [0, 1]; return the heads' raw outputs by name."""
        pooled, maps = self.features(image, covariates)
        pooled = self.dropout(pooled)
        fine = self.pyramid(maps[self.first_map :]) if self.pyramid is not None else None
        found: dict[str, Tensor] = {}
        for prefixed, layer in self.heads.items():
            name = prefixed.removeprefix("head_")
            found[name] = layer(pooled if self._places[name] == "vector" else fine)
            if self._places[name] == "mask":
                mode = "trilinear" if self.dims == 3 else "bilinear"
                found[name] = functional.interpolate(found[name], size=_size(image), mode=mode, align_corners=False)
        return found


def build_network(plan: NetworkPlan, heads: Sequence[Head]) -> ReadingNetwork:
    """Return the network of a plan; raises BadPlan for names that torch cannot carry or that stand twice."""
    names = [head.name for head in heads]
    if not names or len(set(names)) != len(names) or any("." in name or not name for name in names):
        raise BadPlan(f"heads need different names without dots, got {names}")
    network = ReadingNetwork(plan, heads)
    if len(plan.shape) == 2:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def encoder_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the encoder's part of a network's weights, named as the encoder names them."""
    return {name.removeprefix("encoder."): value for name, value in state.items() if name.startswith("encoder.")}


def _size(like: Tensor) -> list[int]:
    # int() so that an exported graph holds numbers and not a computation of them.
    return [int(side) for side in like.shape[2:]]
