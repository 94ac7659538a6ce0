"""Convolutions of EfficientNet-Lite0 pad as TensorFlow's SAME does, whichever part of PyTorch does the padding."""

import pytest
import torch
from torch.nn import functional

from coread.train.efficientnet_lite import _Same


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 4])
def test_an_odd_pixel_of_padding_goes_to_the_right_and_the_bottom(kernel: int, stride: int, groups: int) -> None:
    torch.manual_seed(kernel + stride)
    layer = _Same(4, 8, kernel, stride=stride, groups=groups)
    image = torch.randn(2, 4, 12, 16)
    total = kernel - stride
    sides = (total // 2, total - total // 2)
    wanted = functional.conv2d(functional.pad(image, (*sides, *sides)), layer.weight, stride=stride, groups=groups)
    assert list(layer.state_dict()) == ["weight"]
    torch.testing.assert_close(layer(image), wanted)
    assert layer(image).shape[2:] == (12 // stride, 16 // stride)
