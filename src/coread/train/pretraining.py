"""Teaches a backbone on labelled images of other sets first: many small tasks, one head each, one backbone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from coread.train.augment import AugmentPlan, expose, warp
from coread.train.network import Backbone, channels_last

BackboneWeights = dict[str, Tensor]
"""Weights of a Backbone by name."""


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One classification task: uint8 images (N, S, S) and a class for each."""

    name: str
    images: NDArray[np.uint8]
    classes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PretrainPlan:
    """How long and how to learn."""

    side: int = 128
    epochs: int = 6
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.03
    seed: int = 20261123
    augment: AugmentPlan = field(default_factory=AugmentPlan)


class TaskBatches(IterableDataset[tuple[int, Tensor]]):
    """One epoch of (task, indices): every image once, a batch holds one task."""

    def __init__(self, tasks: Sequence[Task], batch: int, seed: int) -> None:
        self._sizes, self._batch = [len(task.images) for task in tasks], batch
        self._random = np.random.default_rng(seed)

    def __len__(self) -> int:
        return sum(size // self._batch for size in self._sizes)

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        batches: list[tuple[int, NDArray[np.int64]]] = []
        for task, size in enumerate(self._sizes):
            order = self._random.permutation(size)
            batches += [(task, order[k * self._batch : (k + 1) * self._batch]) for k in range(size // self._batch)]
        for position in self._random.permutation(len(batches)):
            task, indices = batches[int(position)]
            yield task, torch.from_numpy(indices)


class PretrainModule(lightning.LightningModule):
    """Backbone with one linear head per task."""

    def __init__(self, backbone: Backbone, features: int, tasks: Sequence[Task], plan: PretrainPlan) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleList(nn.Linear(features, int(task.classes.max()) + 1) for task in tasks)
        self._images = [torch.from_numpy(task.images) for task in tasks]
        self._classes = [torch.from_numpy(task.classes) for task in tasks]
        self._plan = plan
        self._steps = len(TaskBatches(tasks, plan.batch, plan.seed)) * plan.epochs

    def training_step(self, batch: tuple[int, Tensor], _: int) -> Tensor:
        """Return the cross entropy of one batch of one task."""
        task, indices = batch
        nothing = torch.zeros(len(indices), 1, 8, 8)
        images, _masks = warp(self._images[task][indices], nothing, self._plan.side, self._plan.augment, 8)
        images = expose(images, self._plan.augment).contiguous(memory_format=torch.channels_last)
        _, deep = self.backbone(images)
        logits = self.heads[task](functional.dropout(deep.mean(dim=(2, 3)), 0.2, self.training))
        loss: Tensor = functional.cross_entropy(logits, self._classes[task][indices], label_smoothing=0.05)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with one rise and one fall of the learning rate."""
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self._plan.learning_rate, weight_decay=self._plan.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=self._plan.learning_rate, total_steps=self._steps + 1, pct_start=0.2
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def pretrain(
    tasks: Sequence[Task], *, widths: Sequence[int], depths: Sequence[int], plan: PretrainPlan, folder: Path
) -> BackboneWeights:
    """Teach a backbone on the tasks and return its weights; a finished run in ``folder`` is read back."""
    done = folder / "backbone.pt"
    if done.is_file():
        kept: BackboneWeights = torch.load(done, weights_only=True)
        return kept
    lightning.seed_everything(plan.seed, verbose=False)
    backbone = channels_last(Backbone(widths, depths))
    module = PretrainModule(backbone, widths[-1], tasks, plan)
    folder.mkdir(parents=True, exist_ok=True)
    trainer = lightning.Trainer(
        max_epochs=plan.epochs,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(module, DataLoader(TaskBatches(tasks, plan.batch, plan.seed), batch_size=None))
    weights: BackboneWeights = backbone.state_dict()
    torch.save(weights, done)
    return weights
