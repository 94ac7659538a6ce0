"""Keeps the first stages of a learnt encoder as they are while the rest goes on learning: far less to compute."""

from collections.abc import Iterator
from typing import Any

from lightning.pytorch.callbacks import Callback
from torch import nn

from coread.train.errors import BadPlan


class FrozenBeginning(Callback):
    """Freezes the stem and the first ``stages`` of the encoder, their batch statistics included."""

    def __init__(self, stages: int) -> None:
        self._stages = stages

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Take the weights out of the fit; the optimizer skips what has no gradient."""
        for part in self._parts(pl_module.network.encoder):
            part.requires_grad_(False)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *_: Any) -> None:  # noqa: ARG002
        """Keep the running means of the batch norms."""
        for part in self._parts(pl_module.network.encoder):
            part.eval()

    def _parts(self, encoder: Any) -> Iterator[nn.Module]:
        stages = getattr(encoder, "stages", None)
        if stages is None or self._stages > len(stages):
            raise BadPlan(f"this encoder has {len(stages or ())} stages, so {self._stages} of them cannot be frozen")
        yield encoder.stem
        yield from stages[: self._stages]
