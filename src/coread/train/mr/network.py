"""An unrolled reconstruction: sensitivities from the calibration lines, then steps of physics and a small network.

Sriram 2020 (E2E-VarNet, arXiv:2004.06688) for learnt sensitivities and cascades, Aggarwal 2019 (MoDL) for one image
instead of one per coil, Putzky 2017 (recurrent inference machines) for networks that are given the gradient and a
memory. No layer has a bias: an output grows with its input, so no signal can arise from nothing but a pattern of input
(Mohan 2020), and the noise level needs no telling. Images are real arrays (coils or 1, 2, a, b).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from coread.train.mr.operators import Encoding, block_images, combined, root_sum_of_squares, times

COARSE = 4
"""Sensitivities are corrected on a grid so many times coarser."""
UNSHUFFLE = 2
_TRUST, _TINY = 0.2, 1e-20


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """The size of the network."""

    cascades: int = 6
    width: int = 32
    deep_width: int = 64
    map_width: int = 16
    solving: int = 2
    """Conjugate gradient steps towards the samples after the last cascade (Aggarwal 2019); 0: none."""


class CoilMaps(nn.Module):
    """Sensitivities (coils, 2, a, b) with a sum of squares of 1, from the smooth images of the calibration block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _convolution(3, width), nn.ReLU(), _convolution(width, width), nn.ReLU(), _convolution(width, 2)
        )
        nn.init.zeros_(self.layers[-1].weight)  # type: ignore[arg-type]

    def forward(self, smooth: Tensor) -> Tensor:
        """Return maps of smooth coil images of whichever number of coils."""
        total = root_sum_of_squares(smooth)
        raw = smooth / total
        height, width = smooth.shape[2], smooth.shape[3]
        coarse = functional.avg_pool2d(
            torch.cat((raw, (total / total.amax()).expand(smooth.shape[0], 1, height, width)), dim=1),
            COARSE, ceil_mode=True,
        )  # fmt: skip
        change = functional.interpolate(
            self.layers(coarse), scale_factor=float(COARSE), mode="bilinear", align_corners=False
        )
        maps = raw + change[:, :, :height, :width]
        return maps / root_sum_of_squares(maps)


class Correction(nn.Module):
    """One network of a cascade: image, gradient and memory in, change of the image and new memory out."""

    def __init__(self, plan: NetworkPlan, *, first: bool) -> None:
        super().__init__()
        width, deep, each = plan.width, plan.deep_width, 4 * UNSHUFFLE**2
        self.entry = _convolution(each + (0 if first else width), width)
        self.fine = nn.Sequential(nn.ReLU(), _convolution(width, width))
        self.down = nn.Conv2d(width, deep, 2, stride=2, bias=False)
        self.deep = nn.Sequential(nn.ReLU(), _convolution(deep, deep), nn.ReLU(), _convolution(deep, deep))
        self.up = nn.Conv2d(deep, 4 * width, 1, bias=False)
        self.merge = nn.Sequential(nn.ReLU(), _convolution(width, width))
        self.leave = nn.Sequential(nn.ReLU(), _convolution(width, 2 * UNSHUFFLE**2))
        nn.init.zeros_(self.leave[1].weight)  # type: ignore[arg-type]

    def forward(self, image: Tensor, gradient: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the change (1, 2, a, b) and the memory; sides must be multiples of 4."""
        given = functional.pixel_unshuffle(torch.cat((image, gradient), dim=1), UNSHUFFLE)
        seen = self.entry(given if memory is None else torch.cat((given, memory), dim=1))
        fine = seen + self.fine(seen)
        deep = self.down(fine)
        deep = deep + self.deep(deep)
        fine = fine + functional.pixel_shuffle(self.up(deep), 2)
        merged = fine + self.merge(fine)
        return functional.pixel_shuffle(self.leave(merged), UNSHUFFLE), merged


class ReconstructionNetwork(nn.Module):
    """Samples and calibration block of one slice to one complex image; any number of coils, any matrix, any mask."""

    def __init__(self, plan: NetworkPlan | None = None) -> None:
        super().__init__()
        self.plan = plan or NetworkPlan()
        self.coil_maps = CoilMaps(self.plan.map_width)
        self.corrections = nn.ModuleList(
            [Correction(self.plan, first=number == 0) for number in range(self.plan.cascades)]
        )
        self.steps = nn.Parameter(torch.ones(self.plan.cascades))
        self.log_trust = nn.Parameter(torch.tensor(math.log(_TRUST)))

    def forward(self, samples: Tensor, block: Tensor, encoding: Encoding) -> tuple[Tensor, Tensor]:
        """Return the image (1, 2, a, b) and the maps (coils, 2, a, b)."""
        start = encoding.adjoint(samples)
        maps = self.coil_maps(block_images(block, start.shape[2], start.shape[3]))
        image, memory = combined(maps, start), None
        for number, correction in enumerate(self.corrections):
            gradient = misfit(image, maps, samples, encoding)
            change, memory = _padded(correction, image, gradient, memory)
            image = image - self.steps[number] * gradient + change
        image = solved(image, maps, samples, encoding, trust=self.log_trust.exp(), steps=self.plan.solving)
        # Measured samples have the last word: maps have a sum of squares of 1, so a whole step puts them in unchanged.
        return image - misfit(image, maps, samples, encoding), maps


def misfit(image: Tensor, maps: Tensor, samples: Tensor, encoding: Encoding) -> Tensor:
    """Return the combined image (1, 2, a, b) of what the image would have measured less what was measured."""
    return combined(maps, encoding.adjoint(encoding.forward(times(maps, image)) - samples))


def solved(
    image: Tensor, maps: Tensor, samples: Tensor, encoding: Encoding, *, trust: Tensor, steps: int
) -> Tensor:  # fmt: skip
    """Return the image that minimises the misfit of samples plus ``trust`` times its squared distance from ``image``.

    A step along the gradient moves an image of few samples by little; conjugate gradients from ``image`` on move it
    along several directions at once.
    """
    found = image
    residual = -misfit(image, maps, samples, encoding)
    direction, size = residual, residual.square().sum()
    for _ in range(steps):
        moved = combined(maps, encoding.adjoint(encoding.forward(times(maps, direction)))) + trust * direction
        length = size / ((direction * moved).sum() + _TINY)
        found, residual = found + length * direction, residual - length * moved
        before, size = size, residual.square().sum()
        direction = residual + size / (before + _TINY) * direction
    return found


def _padded(
    correction: nn.Module, image: Tensor, gradient: Tensor, memory: Tensor | None
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Bring the sides to multiples of 4 by zeros, correct, and cut again."""
    height, width = image.shape[2], image.shape[3]
    more = (0, -width % 4, 0, -height % 4)
    change, memory = correction(functional.pad(image, more), functional.pad(gradient, more), memory)
    return change[:, :, :height, :width], memory


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
