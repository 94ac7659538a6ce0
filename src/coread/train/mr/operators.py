"""The physics inside the networks, written with real matrices so that the same code runs in torch and in ONNX.

A complex array (…, a, b) is a real one (…, 2, a, b): real part, imaginary part. Fourier transforms are products with
matrices made for the size at hand: measured on two cores, the DFT operator of ONNX Runtime takes 3.6 times as long for
8 x 320 x 320 and errs by 1e-4, and OpenVINO's is wrong in opset 20 (``bench/mr_learned.py transforms``). Along one axis
alone, only the sampled lines are computed: as many times cheaper as the acquisition is faster.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_AROUND = 2 * torch.pi


def fourier_matrix(places: Tensor, count: Tensor | int, size: Tensor | int) -> Tensor:
    """Return the centred orthonormal transform as a real matrix (2 len(places), 2 count).

    ``places`` are integer frequencies with 0 in the centre, ``count`` the points of the image axis (centre at
    ``count // 2``), ``size`` the length of the axis that the transform belongs to.
    """
    points = torch.arange(count, device=places.device) - count // 2  # type: ignore[arg-type]
    turns = torch.remainder(places.unsqueeze(1) * points.unsqueeze(0), size)  # integers: no angle grows inexact
    angle = turns.float() * (_AROUND / size)
    length = torch.as_tensor(size).float().sqrt()
    real, imaginary = torch.cos(angle) / length, -torch.sin(angle) / length
    return torch.cat((torch.cat((real, -imaginary), dim=1), torch.cat((imaginary, real), dim=1)), dim=0)


def along_first(matrix: Tensor, values: Tensor) -> Tensor:
    """Apply a real matrix (2 m, 2 a) to values (coils, 2, a, b); return (coils, 2, m, b)."""
    coils, _, first, second = values.shape
    made = torch.matmul(matrix, values.reshape(coils, 2 * first, second))
    return made.reshape(coils, 2, matrix.shape[0] // 2, second)


def along_second(matrix: Tensor, values: Tensor) -> Tensor:
    """Apply a real matrix (2 n, 2 b) to the last axis of values (coils, 2, a, b); return (coils, 2, a, n)."""
    half, size = matrix.shape[0] // 2, values.shape[3]
    products = torch.matmul(values, torch.cat((matrix[:half, :size], matrix[half:, :size]), dim=0).transpose(0, 1))
    real, imaginary = products[..., :half], products[..., half:]
    return torch.stack((real[:, 0] - imaginary[:, 1], real[:, 1] + imaginary[:, 0]), dim=1)


def times(one: Tensor, two: Tensor) -> Tensor:
    """Return the complex product of (coils, 2, a, b) and (coils or 1, 2, a, b)."""
    real = one[:, 0] * two[:, 0] - one[:, 1] * two[:, 1]
    imaginary = one[:, 0] * two[:, 1] + one[:, 1] * two[:, 0]
    return torch.stack((real, imaginary), dim=1)


def combined(maps: Tensor, images: Tensor) -> Tensor:
    """Return the sum over coils of conjugate maps times images, (1, 2, a, b)."""
    real = maps[:, 0] * images[:, 0] + maps[:, 1] * images[:, 1]
    imaginary = maps[:, 0] * images[:, 1] - maps[:, 1] * images[:, 0]
    return torch.stack((real.sum(dim=0), imaginary.sum(dim=0)), dim=0).unsqueeze(0)


def root_sum_of_squares(images: Tensor) -> Tensor:
    """Return (1, 1, a, b) of coil images (coils, 2, a, b)."""
    return images.square().sum(dim=(0, 1), keepdim=True).add(1e-12).sqrt()


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """How coil images become the samples that were measured.

    Lines: ``first`` holds the rows of the sampled lines alone and samples are in hybrid space, an image along the
    readout. Points: both matrices are whole, and ``sampled`` (a, b) says which results were measured.
    """

    first: Tensor
    second: Tensor | None = None
    sampled: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Return samples of coil images (coils, 2, a, b)."""
        samples = along_first(self.first, images)
        if self.second is None or self.sampled is None:
            return samples
        return along_second(self.second, samples) * self.sampled

    def adjoint(self, samples: Tensor) -> Tensor:
        """Return coil images of samples, zero where nothing was measured."""
        if self.second is not None:
            samples = along_second(self.second.transpose(0, 1), samples)
        return along_first(self.first.transpose(0, 1), samples)


def of_lines(mask: Tensor) -> Encoding:
    """Return the encoding of the sampled lines of mask (a,)."""
    return Encoding(fourier_matrix(sampled_places(mask), mask.shape[0], mask.shape[0]))


def of_points(mask: Tensor) -> Encoding:
    """Return the encoding of a mask (a, b) of points."""
    first, second = (fourier_matrix(places(size), size, size) for size in mask.shape)
    return Encoding(first, second, mask.to(torch.float32))


def places(size: Tensor | int) -> Tensor:
    """Return the frequencies of an axis, 0 at ``size // 2``."""
    return torch.arange(size) - size // 2  # type: ignore[arg-type]


def sampled_places(mask: Tensor) -> Tensor:
    """Return the frequencies of the sampled lines of mask (a,)."""
    return torch.nonzero(mask)[:, 0] - mask.shape[0] // 2


def block_images(block: Tensor, first: Tensor | int, second: Tensor | int) -> Tensor:
    """Return the smooth images (coils, 2, first, second) of a calibration block (coils, 2, m, n)."""
    one = fourier_matrix(places(block.shape[2]), first, first)
    two = fourier_matrix(places(block.shape[3]), second, second)
    return along_first(one.transpose(0, 1), along_second(two.transpose(0, 1), block))
