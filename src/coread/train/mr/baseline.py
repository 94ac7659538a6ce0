"""The network that others are compared with: a plain U-Net on the zero-filled magnitude (Zbontar 2018)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from coread.train.mr.operators import Encoding, root_sum_of_squares


class MagnitudeNetwork(nn.Module):
    """A U-Net of three levels that corrects the root of sum of squares of the zero-filled coil images."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.enter = _block(1, width)
        self.down = nn.ModuleList([_block(width, 2 * width), _block(2 * width, 4 * width)])
        self.up = nn.ModuleList([_block(6 * width, 2 * width), _block(3 * width, width)])
        self.leave = nn.Conv2d(width, 1, 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, samples: Tensor, block: Tensor, encoding: Encoding) -> tuple[Tensor, Tensor]:
        """Return the magnitude (1, 1, a, b), twice, as the reconstruction network returns image and maps."""
        del block
        image = self.corrected(root_sum_of_squares(encoding.adjoint(samples)))
        return image, image

    def corrected(self, image: Tensor) -> Tensor:
        """Return a magnitude (1, 1, a, b) corrected; sides are padded to multiples of 4."""
        height, width = image.shape[2], image.shape[3]
        given = functional.pad(image, (0, -width % 4, 0, -height % 4), mode="replicate")
        levels = [self.enter(given)]
        for down in self.down:
            levels.append(down(functional.max_pool2d(levels[-1], 2)))
        found = levels.pop()
        for up in self.up:
            wider = functional.interpolate(found, scale_factor=2.0, mode="bilinear", align_corners=False)
            found = up(torch.cat((wider, levels.pop()), dim=1))
        changed: Tensor = self.leave(found)
        return image + changed[:, :, :height, :width]


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.InstanceNorm2d(outputs, affine=True), nn.LeakyReLU(0.2),
        nn.Conv2d(outputs, outputs, 3, padding=1), nn.InstanceNorm2d(outputs, affine=True), nn.LeakyReLU(0.2),
    )  # fmt: skip
