"""The Lightning side of a fit: what one step does, the moving average of the weights, and the score that stops it."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from coread.train.arrays import ArraySet
from coread.train.augmenting import AugmentPlan, Movement, draw_movement, expose, mixing
from coread.train.batches import BatchRows, Draw, in_unit_range
from coread.train.errors import BadPlan, NotFinite
from coread.train.heads import Head, Row
from coread.train.networks import NetworkPlan, ReadingNetwork
from coread.train.semisupervised import Unlabelled

Precision = Literal["32", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True, slots=True)
class FitPlan:
    """How long and how to learn; the same record and data make the same network on the same machine."""

    epochs: int = 20
    batch: int = 32
    """Images per step over all processes together."""
    accumulate: int = 1
    """Steps whose gradients are added before the weights move."""
    epoch_steps: int = 0
    """Steps of an epoch; 0: as many as take every image once. Short epochs lose less when a fit is interrupted."""
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    warm_up: float = 0.1
    """Share of the steps in which the learning rate rises; then it falls as a cosine."""
    clip: float = 5.0
    """Largest norm of the gradient; 0 leaves it alone."""
    average_decay: float = 0.99
    """Of the moving average of the weights, which is what is kept; 0 keeps the last weights."""
    precision: Precision = "32"
    patience: int = 0
    """Epochs without a better score on the tune part before the fit stops; 0 never stops early and keeps the last."""
    keep: Literal["auto", "best", "last"] = "auto"
    """Which weights are kept: with a tune part and patience the best, else the last."""
    draw: Draw = "all"
    augment: AugmentPlan = field(default_factory=AugmentPlan)
    network: NetworkPlan = field(default_factory=NetworkPlan)
    freeze_encoder: bool = False
    seed: int = 20261128
    workers: int = 0
    """Processes that read batches beside the fit; 0 reads in it (best when the images are in memory)."""
    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    """Lightning's name: ``auto``, ``ddp``, ``ddp_find_unused_parameters_true``, ``fsdp``."""

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch, self.accumulate, self.devices, self.nodes) < 1:
            raise BadPlan("epochs, batch, accumulate, devices and nodes are at least 1")
        if not 0 <= self.average_decay < 1:
            raise BadPlan(f"average_decay is at least 0 and below 1, not {self.average_decay}")
        if self.precision not in ("32", "bf16-mixed", "16-mixed"):
            raise BadPlan(f"precision {self.precision!r} is unknown; it is 32, bf16-mixed or 16-mixed")
        if self.draw not in ("all", "patients", "balanced"):
            raise BadPlan(f"draw {self.draw!r} is unknown; it is all, patients or balanced")

    def keeps_best(self) -> bool:
        """Tell whether the weights with the best score are kept rather than the last."""
        return self.keep == "best" or (self.keep == "auto" and self.patience > 0)


class WeightAverage(nn.Module):
    """The moving average of a network's weights and buffers; early on it follows faster."""

    count: Tensor

    def __init__(self, network: ReadingNetwork, decay: float) -> None:
        super().__init__()
        import copy

        self.network = copy.deepcopy(network).requires_grad_(False)
        self.decay = decay
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def follow(self, network: nn.Module) -> None:
        """Take one step towards the network."""
        self.count += 1
        seen = int(self.count)
        decay = min(self.decay, seen / (seen + 9.0)) if self.decay > 0 else 0.0
        own, other = self.network.state_dict(), network.state_dict()
        floats = [name for name, value in own.items() if value.is_floating_point()]
        torch._foreach_lerp_([own[name] for name in floats], [other[name] for name in floats], 1 - decay)
        for name in own.keys() - set(floats):
            own[name].copy_(other[name])


class FitModule(lightning.LightningModule):
    """One fit of a reading network."""

    def __init__(self, network: ReadingNetwork, heads: tuple[Head, ...], plan: FitPlan, *, steps: int) -> None:
        super().__init__()
        self.network = network
        self.average = WeightAverage(network, plan.average_decay)
        self._heads, self._plan, self._steps = heads, plan, steps
        self._updates = 0
        self._losses: list[tuple[float, int]] = []
        self.tune: ArraySet | None = None
        self.unlabelled: Unlabelled | None = None
        self.latest: dict[str, float] = {}
        """Loss and scores of the epoch that has just ended."""
        if plan.freeze_encoder:
            network.encoder.requires_grad_(False)

    def training_step(self, batch: dict[str, Any], _: int) -> Tensor:
        """Return the loss of one batch; its random changes depend on seed, epoch, batch and process alone."""
        at = (self.current_epoch * 1_000_003 + int(batch["number"])) * 1009 + self.global_rank
        torch.manual_seed((self._plan.seed * 1_000_000_007 + at) % (2**63))
        if self._plan.freeze_encoder:
            self.network.encoder.eval()
        images, targets = self._changed(in_unit_range(batch["images"]), batch["targets"])
        mixup = self._plan.augment.mixup
        if mixup > 0 and len(images) > 1:
            share, other = mixing(len(images), mixup)
            other = other.to(images.device)
            output = self.network(share * images + (1 - share) * images[other], batch.get("covariates"))
            mixed = {name: value[other] for name, value in targets.items()}
            loss = share * self._loss(output, targets, images) + (1 - share) * self._loss(output, mixed, images)
        else:
            output = self.network(images, batch.get("covariates"))
            loss = self._loss(output, targets, images)
        if self.unlabelled is not None:
            done = self.trainer.global_step / max(1, self._steps)
            loss = loss + self.unlabelled.loss(self.network, self.average.network, self._heads, done=done)
        if not math.isfinite(loss.item()):
            raise NotFinite(
                f"the loss became {loss.item()} in epoch {self.current_epoch + 1}, step {int(batch['number']) + 1}; "
                "lower learning_rate, set clip, or use precision 32"
            )
        self._losses.append((loss.item(), len(images)))
        self.log("loss", loss.detach(), batch_size=len(images))
        return loss

    def _changed(self, images: Tensor, targets: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return randomly moved and exposed images with masks and boxes that moved along."""
        plan = self._plan.augment
        shape = tuple(images.shape[2:])
        movement = draw_movement(len(images), shape, plan)
        moved = Movement(movement.matrix.to(images.device))
        changed = dict(targets)
        for head in self._heads:
            if head.place == "mask":
                changed[head.name] = moved.masks(targets[head.name])
            elif head.place == "boxes":
                changed[head.name] = moved.boxes(targets[head.name], (shape[0], shape[1]))
        exposed = expose(moved.images(images), plan)
        if exposed.dim() == 4:
            exposed = exposed.contiguous(memory_format=torch.channels_last)
        return exposed, changed

    def _loss(self, output: dict[str, Tensor], targets: dict[str, Tensor], images: Tensor) -> Tensor:
        shape = tuple(images.shape[2:])
        parts = [head.weight * head.loss(output[head.name], targets[head.name], shape) for head in self._heads]
        return torch.stack(parts).sum()

    def on_train_start(self) -> None:
        """Count the moves of the weights from where the fit begins or goes on."""
        self._updates = self.trainer.global_step

    def on_train_epoch_start(self) -> None:
        """Begin a new mean of the losses."""
        self._losses.clear()

    def on_train_batch_end(self, *_: Any) -> None:
        """Let the average follow whenever the weights have moved."""
        if self.trainer.global_step != self._updates:
            self._updates = self.trainer.global_step
            self.average.follow(self.network)

    def close_epoch(self) -> dict[str, float]:
        """Return the loss of the epoch that has just ended and the scores of the averaged weights on the tune part."""
        total = torch.tensor([sum(loss * n for loss, n in self._losses), sum(n for _, n in self._losses)])
        total = self.trainer.strategy.reduce(total.to(self.device), reduce_op="sum")
        self.latest = {"loss": float(total[0] / total[1])}
        if self.tune is not None:
            self.latest |= self._scores(self.tune)
        return self.latest

    def _scores(self, tune: ArraySet) -> dict[str, float]:
        rows = evaluate(
            self.average.network, self._heads, tune, self._plan.batch, (self.global_rank, self.trainer.world_size)
        )
        found: dict[str, float] = {}
        firsts = []
        for head in self._heads:
            scored = head.score(rows[head.name])
            firsts.append(next(iter(scored.values())))
            found |= {f"{head.name}/{name}": value for name, value in scored.items()}
        defined = [value for value in firsts if math.isfinite(value)]
        return {"score": sum(defined) / len(defined) if defined else float("nan")} | found

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW; weights of one axis are not decayed; the learning rate rises and falls once."""
        learning = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in learning if p.dim() > 1], "weight_decay": self._plan.weight_decay},
            {"params": [p for p in learning if p.dim() <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self._plan.learning_rate)
        rise = max(1, round(self._plan.warm_up * self._steps))

        def factor(step: int) -> float:
            if step < rise:
                return (step + 1) / rise
            return max(1e-3, 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, self._steps - rise))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def evaluate(
    network: ReadingNetwork, heads: tuple[Head, ...], data: ArraySet, batch: int, process: tuple[int, int] = (0, 1)
) -> dict[str, list[Row]]:
    """Return every image's (said, truth) per head; with several processes each does its share and gets all."""
    rank, ranks = process
    reading = BatchRows(data, heads)
    device = next(network.parameters()).device
    own: dict[str, list[Row]] = {head.name: [] for head in heads}
    import numpy as np

    mine = np.arange(len(data))[rank::ranks]
    was = network.training
    network.eval()
    with torch.inference_mode():
        for start in range(0, len(mine), batch):
            part = reading[(0, mine[start : start + batch])]
            covariates = part["covariates"].to(device) if "covariates" in part else None
            output = network(in_unit_range(part["images"].to(device)), covariates)
            for head in heads:
                own[head.name] += head.rows(output[head.name], part["targets"][head.name], data.shape)
    network.train(was)
    if ranks == 1:
        return own
    shares: list[Any] = [None] * ranks
    torch.distributed.all_gather_object(shares, own)
    return {name: [row for share in shares for row in share[name]] for name in own}
