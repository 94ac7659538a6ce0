"""Fits one finding network with Lightning: losses, moving average of the weights, progressive image size."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from coread.train.augment import AugmentPlan, expose, spoil_for_gate, warp
from coread.train.environment import keep_environment
from coread.train.network import FindingNetwork, NetworkOutput, NetworkPlan, channels_last
from coread.train.samples import GATE_CHEST, BatchIndices, BatchPlan, Samples

log = logging.getLogger("coread.train")


@dataclass(frozen=True, slots=True)
class FitPlan:
    """How long and how to learn; the same record makes the same network on the same machine."""

    sides: tuple[tuple[int, int], ...] = ((224, 5), (320, 6))
    """(image side in pixels, epochs), in order."""
    resting: int = 2
    """Stages at the beginning of the backbone that learn at the first size only; later ones are costly there."""
    learning_rate: float = 2e-3
    encoder_learning_rate: float = 5e-4
    """Of what may start from learnt weights; lower, so that they are not forgotten at once."""
    weight_decay: float = 0.03
    average_decay: float = 0.99
    smoothing: float = 0.03
    map_weight: float = 0.6
    gate_weight: float = 0.3
    view_weight: float = 0.3
    auxiliary_weight: float = 0.3
    batch: BatchPlan = field(default_factory=BatchPlan)
    augment: AugmentPlan = field(default_factory=AugmentPlan)
    seed: int = 20261123

    def epochs(self) -> int:
        """Return the number of epochs over all sizes."""
        return sum(epochs for _, epochs in self.sides)

    def side_at(self, epoch: int) -> int:
        """Return the image side of an epoch."""
        for side, epochs in self.sides:
            if epoch < epochs:
                return side
            epoch -= epochs
        return self.sides[-1][0]

    def resting_at(self, epoch: int) -> int:
        """Return how many stages rest in an epoch."""
        return 0 if epoch < self.sides[0][1] else self.resting


def masked_bce(logits: Tensor, targets: Tensor, weights: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
    """Binary cross entropy over known targets only (NaN = unknown), weighted mean."""
    known = torch.isfinite(targets)
    smooth = torch.nan_to_num(targets) * (1 - 2 * smoothing) + smoothing
    loss = functional.binary_cross_entropy_with_logits(logits, smooth, reduction="none")
    weight = known.float() if weights is None else known.float() * weights
    return (loss * weight).sum() / weight.sum().clamp(min=1.0)


def map_loss(maps: Tensor, masks: Tensor, known: Tensor) -> Tensor:
    """Cross entropy per cell plus soft Dice where a box is drawn; an image without the finding must stay dark."""
    drawn = functional.interpolate(masks, size=maps.shape[-2:], mode="area")
    has_box = known & (masks.flatten(2).amax(dim=-1) > 0.5)
    cells = functional.binary_cross_entropy_with_logits(maps, drawn, reduction="none").mean(dim=(2, 3))
    probability = torch.sigmoid(maps)
    overlap = (probability * drawn).sum(dim=(2, 3))
    dice = 1 - (2 * overlap + 1) / (probability.sum(dim=(2, 3)) + drawn.sum(dim=(2, 3)) + 1)
    boxed, dark = has_box.float(), (known & ~has_box).float()
    return ((cells + dice) * boxed).sum() / boxed.sum().clamp(min=1) + (cells * dark).sum() / dark.sum().clamp(min=1)


class FindingModule(lightning.LightningModule):
    """The Lightning side of one fit: what a step does with a batch of indices into the samples."""

    def __init__(self, network: FindingNetwork, samples: Samples, plan: FitPlan, steps: int) -> None:
        super().__init__()
        self.network = network
        follow = get_ema_multi_avg_fn(plan.average_decay)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(network, multi_avg_fn=follow, use_buffers=True)
        self._samples, self._plan, self._steps = samples, plan, steps

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Return the loss of one batch."""
        main, gate = batch
        taken = self._samples.take(torch.cat([main, gate]))
        side = self._plan.side_at(self.current_epoch)
        images, masks = warp(taken.images, taken.masks, side, self._plan.augment, side // 16)
        classes = taken.gate
        if len(gate):
            spoiled, spoiled_classes = spoil_for_gate(images[len(main) :], classes[len(main) :])
            images = torch.cat([images[: len(main)], spoiled])
            classes = torch.cat([classes[: len(main)], spoiled_classes])
        output = self.network(expose(images, self._plan.augment).contiguous(memory_format=torch.channels_last))
        loss = self._loss(output, taken, masks, classes, len(main))
        self.log("loss", loss, prog_bar=True)
        return loss

    def _loss(self, out: NetworkOutput, taken: Samples, masks: Tensor, classes: Tensor, main: int) -> Tensor:
        plan = self._plan
        read = slice(0, main)
        findings = masked_bce(out.logits[read], taken.targets[read], taken.weights[read], plan.smoothing)
        places = map_loss(out.maps[read], masks[read], taken.masks_known[read])
        known = classes >= GATE_CHEST
        gate = functional.cross_entropy(out.gate[known], classes[known])
        view = masked_bce(out.view[read, 0], taken.view[read])
        auxiliary = masked_bce(out.auxiliary[read], taken.auxiliary[read])
        return (
            findings
            + plan.map_weight * places
            + plan.gate_weight * gate
            + plan.view_weight * view
            + plan.auxiliary_weight * auxiliary
        )

    def on_train_epoch_start(self) -> None:
        """Let the beginning of the backbone rest once the images are large."""
        self.network.backbone.rest(self._plan.resting_at(self.current_epoch))

    def on_train_batch_end(self, *_: Any) -> None:
        """Follow the weights with their moving average."""
        self.average.update_parameters(self.network)

    def on_train_epoch_end(self) -> None:
        """Tell how far the fit is."""
        log.info(
            "epoch %d of %d, loss %.3f",
            self.current_epoch + 1,
            self._plan.epochs(),
            self.trainer.callback_metrics["loss"],
        )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with one rise and one fall of the learning rates."""
        encoder = list(self.network.backbone.parameters())
        own = {id(parameter) for parameter in encoder}
        heads = [parameter for parameter in self.network.parameters() if id(parameter) not in own]
        rates = [self._plan.encoder_learning_rate, self._plan.learning_rate]
        groups = [{"params": encoder, "lr": rates[0]}, {"params": heads, "lr": rates[1]}]
        optimizer = torch.optim.AdamW(groups, weight_decay=self._plan.weight_decay)
        # The rise needs a step of its own: a fifth of a handful is less, and the schedule would divide by its length.
        rise = min(1.0, max(0.2, 2.0 / (self._steps + 1)))
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=rates, total_steps=self._steps + 1, pct_start=rise
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def fit(
    samples: Samples,
    main: NDArray[np.int64],
    gate: NDArray[np.int64],
    *,
    shape: NetworkPlan,
    plan: FitPlan,
    folder: Path,
    start: Mapping[str, Tensor] | None = None,
) -> FindingNetwork:
    """Fit one network on ``samples[main]`` (and, for the gate, ``samples[gate]``); return the averaged weights.

    ``start`` are weights of the encoder to begin from. A finished fit in ``folder`` is read back; an interrupted one
    goes on from its last checkpoint.
    """
    done = folder / "network.pt"
    network = FindingNetwork(shape)
    if done.is_file():
        network.load_state_dict(torch.load(done, weights_only=True))
        return network.eval()
    lightning.seed_everything(plan.seed, verbose=False)
    network = FindingNetwork(shape)
    if start is not None:
        network.backbone.encoder.load_state_dict(start)
    channels_last(network)
    batches = BatchIndices(main, gate, plan.batch, plan.seed)
    module = FindingModule(network, samples, plan, len(batches) * plan.epochs())
    folder.mkdir(parents=True, exist_ok=True)
    keep_environment(folder)
    _trainer(folder, plan.epochs()).fit(
        module, DataLoader(batches, batch_size=None), ckpt_path="last" if (folder / "last.ckpt").is_file() else None
    )
    averaged = FindingNetwork(shape)
    averaged.load_state_dict(module.average.module.state_dict())
    torch.save(averaged.state_dict(), done)
    (folder / "last.ckpt").unlink(missing_ok=True)
    return averaged.eval()


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What an exported network says of N images; the first axis of each is the image."""

    logits: NDArray[np.float32]
    maps: NDArray[np.float32]
    gate: NDArray[np.float32]
    view: NDArray[np.float32]


def predict(graph: Path, images: NDArray[np.float32], batch: int = 16) -> Predictions:
    """Run an exported network that gives (logits, maps, gate, view) over images (N, side, side)."""
    from coread.models.graphs import load_graph

    loaded = load_graph("onnxruntime", graph.read_bytes(), 1)
    parts = [loaded.run({"image": images[at : at + batch, np.newaxis]}) for at in range(0, len(images), batch)]
    return Predictions(*(np.concatenate([part[name] for part in parts]) for name in Predictions.__slots__))


def use_threads(threads: int) -> None:
    """Limit torch to this many processor threads."""
    torch.set_num_threads(threads)


def _trainer(folder: Path, epochs: int) -> Any:
    return lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[ModelCheckpoint(dirpath=folder, filename="last", save_top_k=1, enable_version_counter=False)],
    )
