"""Encoders: image to a pyramid of feature maps. One small one of ours, fast on a processor, and those of MONAI."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional


class Encoder(Protocol):
    """What every encoder offers."""

    widths: list[int]
    """Channels of each map, finest first."""

    def __call__(self, image: Tensor) -> list[Tensor]:
        """Return the maps, finest first."""
        ...


def convolution(
    dims: int, inputs: int, outputs: int, size: int = 3, stride: int = 1, *, bias: bool = False
) -> nn.Module:
    """Return a convolution in two or three dimensions that keeps the size but for its stride."""
    kind: type[nn.Conv2d] | type[nn.Conv3d] = nn.Conv3d if dims == 3 else nn.Conv2d
    return kind(inputs, outputs, size, stride, size // 2, bias=bias)


def normalisation(kind: str, dims: int, width: int) -> nn.Module:
    """Return ``batch``, ``group`` or ``instance`` normalisation."""
    if kind == "group":
        return nn.GroupNorm(next(n for n in (8, 4, 2, 1) if width % n == 0), width)
    if kind == "instance":
        return (nn.InstanceNorm3d if dims == 3 else nn.InstanceNorm2d)(width, affine=True)
    return (nn.BatchNorm3d if dims == 3 else nn.BatchNorm2d)(width)


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut that averages before it strides (no aliasing)."""

    def __init__(self, dims: int, inputs: int, outputs: int, *, stride: int, norm: str) -> None:
        super().__init__()
        pool = nn.AvgPool3d if dims == 3 else nn.AvgPool2d
        self.body = nn.Sequential(
            convolution(dims, inputs, outputs, stride=stride),
            normalisation(norm, dims, outputs),
            nn.ReLU(inplace=True),
            convolution(dims, outputs, outputs),
            normalisation(norm, dims, outputs),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(
                pool(stride, ceil_mode=True) if stride > 1 else nn.Identity(),
                convolution(dims, inputs, outputs, 1),
                normalisation(norm, dims, outputs),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, sides / stride)."""
        return functional.relu(self.body(x) + self.shortcut(x))


class ResidualEncoder(nn.Module):
    """A stem and residual stages, each half the side of the one before; the first has ``stem_stride`` (1, 2, 4)."""

    def __init__(
        self, dims: int, channels: int, *, widths: Sequence[int], depths: Sequence[int], norm: str, stem_stride: int
    ) -> None:
        super().__init__()
        self.widths = [widths[0], *widths] if stem_stride == 4 else list(widths)
        size = 3 if stem_stride == 1 else 5
        self.stem = nn.Sequential(
            convolution(dims, channels, widths[0], size, min(stem_stride, 2)),
            normalisation(norm, dims, widths[0]),
            nn.ReLU(inplace=True),
        )
        stages: list[nn.Module] = []
        before = widths[0]
        for number, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            stride = 2 if number or stem_stride == 4 else 1
            blocks = [ResidualBlock(dims, before, width, stride=stride, norm=norm)]
            blocks += [ResidualBlock(dims, width, width, stride=1, norm=norm) for _ in range(depth - 1)]
            stages.append(nn.Sequential(*blocks))
            before = width
        self.stages = nn.ModuleList(stages)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return maps, finest first; with ``stem_stride`` 4 the stem's map at half size comes before the stages'."""
        stem = self.stem(image)
        maps = [stem]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps if len(maps) == len(self.widths) else maps[1:]


class MonaiResNet(nn.Module):
    """MONAI's ResNet without its classifier."""

    def __init__(self, kind: str, dims: int, channels: int) -> None:
        super().__init__()
        from monai.networks.nets import resnet10, resnet18, resnet34, resnet50  # type: ignore[attr-defined]

        make = {"resnet10": resnet10, "resnet18": resnet18, "resnet34": resnet34, "resnet50": resnet50}[kind]
        self.body = make(
            spatial_dims=dims, n_input_channels=channels, num_classes=1, conv1_t_stride=2, feed_forward=False
        )
        last = 4 if kind == "resnet50" else 1
        self.widths = [64, *(width * last for width in (64, 128, 256, 512))]

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return maps at 1/2, 1/4, 1/8, 1/16 and 1/32."""
        net = self.body
        maps = [net.act(net.bn1(net.conv1(image)))]
        x = net.maxpool(maps[0])
        for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
            x = layer(x)
            maps.append(x)
        return maps


class MonaiDenseNet(nn.Module):
    """MONAI's DenseNet-121 without its classifier."""

    def __init__(self, dims: int, channels: int) -> None:
        super().__init__()
        from monai.networks.nets import DenseNet121  # type: ignore[attr-defined]

        self.body = DenseNet121(spatial_dims=dims, in_channels=channels, out_channels=1).features
        self.widths = [64, 256, 512, 1024, 1024]

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return maps at 1/2 (stem) and after each dense block, at 1/4 to 1/32."""
        maps: list[Tensor] = []
        x = image
        for name, part in self.body.named_children():
            x = part(x)
            if name == "relu0" or (name.startswith("denseblock") and name != "denseblock4"):
                maps.append(x)
        return [*maps, functional.relu(x)]


class MonaiEfficientNet(nn.Module):
    """MONAI's EfficientNet as a feature pyramid."""

    def __init__(self, kind: str, dims: int, channels: int) -> None:
        super().__init__()
        from monai.networks.nets import EfficientNetBNFeatures  # type: ignore[attr-defined]

        self.body = EfficientNetBNFeatures(
            kind, pretrained=False, spatial_dims=dims, in_channels=channels, num_classes=1
        )
        for name in ("_conv_head", "_bn1", "_fc", "_avg_pooling", "_dropout"):
            if hasattr(self.body, name):
                delattr(self.body, name)
        self.body.eval()
        with torch.inference_mode():
            self.widths = [int(found.shape[1]) for found in self.body(torch.zeros(1, channels, *[64] * dims))]
        self.body.train()

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return maps at 1/2 to 1/32."""
        return list(self.body(image))


class MonaiViT(nn.Module):
    """MONAI's vision transformer; its tokens laid out as one map."""

    def __init__(self, dims: int, channels: int, shape: Sequence[int], *, patch: int, width: int, depth: int) -> None:
        super().__init__()
        from monai.networks.nets import ViT  # type: ignore[attr-defined]

        self.grid = tuple(side // patch for side in shape)
        heads = max(1, width // 64)
        self.body = ViT(
            in_channels=channels, img_size=tuple(shape), patch_size=(patch,) * dims, hidden_size=width,
            mlp_dim=4 * width, num_layers=depth, num_heads=heads, spatial_dims=dims,
        )  # fmt: skip
        for name, parameter in self.body.named_parameters():
            # Blocks carry parts for attention to a second input, which there is none of here.
            parameter.requires_grad_("cross_attn" not in name)
        self.widths = [width]

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return one map at 1/patch."""
        tokens: Tensor = self.body(image)[0]
        return [tokens.transpose(1, 2).reshape(-1, self.widths[0], *self.grid)]


class MonaiDense(nn.Module):
    """A MONAI segmentation network; its last features, at full size, are the one map."""

    def __init__(self, kind: str, dims: int, channels: int, *, width: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths = [width]
        self.body: Any = _dense(kind, dims, channels, width, list(widths))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return one map at full size."""
        return [self.body(image)]


def _dense(kind: str, dims: int, channels: int, width: int, widths: list[int]) -> Any:
    from monai.networks import nets as untyped

    nets: Any = untyped

    if kind == "unet":
        return nets.UNet(dims, channels, width, channels=widths, strides=[2] * (len(widths) - 1), num_res_units=2)
    if kind == "dynunet":
        steps = [1] + [2] * (len(widths) - 1)
        return nets.DynUNet(
            dims, channels, width, kernel_size=[3] * len(widths), strides=steps, upsample_kernel_size=steps[1:],
            filters=widths, res_block=True,
        )  # fmt: skip
    if kind == "segresnet":
        return nets.SegResNet(spatial_dims=dims, init_filters=widths[0], in_channels=channels, out_channels=width)
    size = max(12, widths[0] // 12 * 12)
    return nets.SwinUNETR(channels, width, feature_size=size, spatial_dims=dims)
