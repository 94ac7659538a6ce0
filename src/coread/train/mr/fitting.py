"""Fits a reconstruction network: losses, schedule, a checkpoint after every epoch from which a broken run goes on."""

import hashlib
import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from coread.train.errors import BadPlan, NotFinite
from coread.train.fit import quiet, write_json
from coread.train.mr.acquisitions import Acquisition
from coread.train.mr.operators import root_sum_of_squares
from coread.train.selfsupervised import save_weights

Loss = Callable[[nn.Module, Acquisition], Tensor]
Draw = Callable[[int, int], Dataset[Acquisition]]
"""(first number, count) -> acquisitions."""
WEIGHTS, FACTS, CHECKPOINT = "weights.npz", "fit.json", "last.ckpt"
log = logging.getLogger("coread.train")


@dataclass(frozen=True, slots=True)
class FitPlan:
    """How long and how to learn; one acquisition is one step."""

    steps: int = 6000
    epoch: int = 150
    """Steps between two checkpoints."""
    schedule: int = 0
    """Steps over which the learning rate falls; 0: all. More than there are: the next stage goes on from higher."""
    learning_rate: float = 1e-3
    warm_up: int = 100
    square_weight: float = 0.0
    """Of the root of the mean squared difference beside the mean absolute difference."""
    ssim_weight: float = 0.1
    """Of 1 - SSIM beside the mean absolute differences."""
    coil_weight: float = 0.5
    """Of the images of the single coils, which the sensitivities are learnt from."""
    together: int = 1
    """Acquisitions of one step of the optimizer."""
    seed: int = field(default=20261129)

    def __post_init__(self) -> None:
        if self.steps < 1 or not 1 <= self.epoch <= self.steps or self.together < 1:
            raise BadPlan("steps and together are at least 1, and an epoch has between 1 and all steps")
        if not self.learning_rate > 0:
            raise BadPlan("learning_rate is above 0")

    @property
    def epochs(self) -> int:
        """How many epochs there are."""
        return -(-self.steps // self.epoch)


def supervised(plan: FitPlan) -> Loss:
    """Return the loss of a network that gives (image, maps), against the truth."""

    def loss(network: nn.Module, given: Acquisition) -> Tensor:
        image, maps = network(given.samples, given.block, given.encoding())
        truth = root_sum_of_squares(given.truth)
        found = root_sum_of_squares(image)
        coils = torch.stack(
            (maps[:, 0] * image[:, 0] - maps[:, 1] * image[:, 1], maps[:, 0] * image[:, 1] + maps[:, 1] * image[:, 0]),
            dim=1,
        )
        apart = (coils - given.truth).square().sum(dim=(0, 1)).add(1e-8).sqrt().mean()
        return magnitude_loss(truth, found, plan) + plan.coil_weight * apart

    return loss


def supervised_magnitude(plan: FitPlan) -> Loss:
    """Return the loss of a network that gives the magnitude alone."""

    def loss(network: nn.Module, given: Acquisition) -> Tensor:
        found, _ = network(given.samples, given.block, given.encoding())
        return magnitude_loss(root_sum_of_squares(given.truth), found, plan)

    return loss


def magnitude_loss(truth: Tensor, found: Tensor, plan: FitPlan) -> Tensor:
    """Return the weighted sum of absolute, squared and structural differences of magnitudes (1, 1, a, b)."""
    apart = truth - found
    loss = apart.abs().mean() + plan.ssim_weight * (1 - _ssim(truth, found))
    return loss + plan.square_weight * apart.square().mean().add(1e-12).sqrt()


def _ssim(truth: Tensor, found: Tensor) -> Tensor:
    top = truth.amax()
    unbiased = 49 / 48
    one, two = functional.avg_pool2d(truth, 7, 1), functional.avg_pool2d(found, 7, 1)
    squares = [functional.avg_pool2d(values, 7, 1) for values in (truth * truth, found * found, truth * found)]
    spread_one, spread_two = unbiased * (squares[0] - one * one), unbiased * (squares[1] - two * two)
    shared = unbiased * (squares[2] - one * two)
    small, smaller = (0.01 * top) ** 2, (0.03 * top) ** 2
    above = (2 * one * two + small) * (2 * shared + smaller)
    return (above / ((one * one + two * two + small) * (spread_one + spread_two + smaller))).mean()


class FitModule(lightning.LightningModule):
    """One network, one loss, and acquisitions kept apart to see how it goes."""

    def __init__(self, network: nn.Module, loss: Loss, plan: FitPlan, tune: Sequence[Acquisition]) -> None:
        super().__init__()
        self.network, self._loss, self._plan, self._tune = network, loss, plan, tune
        self.latest: dict[str, float] = {}
        self.rows: list[dict[str, float]] = []
        self._losses: list[float] = []

    def training_step(self, batch: Acquisition, batch_idx: int) -> Tensor:
        """Return the loss of one acquisition; raises NotFinite."""
        loss = self._loss(self.network, batch)
        if not math.isfinite(loss.item()):
            raise NotFinite(
                f"the loss became {loss.item()} in epoch {self.current_epoch + 1}, step {batch_idx + 1}; "
                "lower learning_rate"
            )
        self._losses.append(loss.item())
        return loss

    def on_train_epoch_end(self) -> None:
        """Keep, and log, the mean loss and the score on what was kept apart."""
        self.latest = {"loss": sum(self._losses) / max(1, len(self._losses))}
        if self._tune:
            self.latest["psnr"] = mean_psnr(self.network, self._tune)
        self._losses.clear()
        self.rows.append(dict(self.latest))
        said = ", ".join(f"{name} {value:.3f}" for name, value in self.latest.items())
        log.info("epoch %d of %d: %s", self.current_epoch + 1, self._plan.epochs, said)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the history."""
        checkpoint["rows"] = self.rows

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the history."""
        self.rows = list(checkpoint["rows"])

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Adam, with a learning rate that rises shortly and falls as a cosine."""
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self._plan.learning_rate)
        steps, rise = (self._plan.schedule or self._plan.steps) / self._plan.together, self._plan.warm_up

        def factor(step: int) -> float:
            if step < rise:
                return (step + 1) / rise
            return max(1e-2, 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, steps - rise)))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _Drawn(lightning.LightningDataModule):
    """New acquisitions for every epoch: number k is the same in a run that was broken and went on."""

    def __init__(self, draw: Draw, plan: FitPlan) -> None:
        super().__init__()
        self._draw, self._plan = draw, plan

    def transfer_batch_to_device(self, batch: Acquisition, device: torch.device, dataloader_idx: int) -> Acquisition:
        """Give the acquisition as it is: Lightning cannot take a frozen record apart."""
        del dataloader_idx
        given: dict[str, Any] = {entry.name: getattr(batch, entry.name) for entry in fields(batch)}
        moved: dict[str, Any] = {name: None if part is None else part.to(device) for name, part in given.items()}
        return Acquisition(**moved)

    def train_dataloader(self) -> DataLoader[Acquisition]:
        """Return the acquisitions of this epoch."""
        epoch = self.trainer.current_epoch if self.trainer is not None else 0
        return DataLoader(self._draw(epoch * self._plan.epoch, self._plan.epoch), batch_size=None)


def mean_psnr(network: nn.Module, acquisitions: Sequence[Acquisition]) -> float:
    """Return the mean over acquisitions of the PSNR of the magnitude, in dB."""
    was, found = network.training, []
    network.eval()
    with torch.inference_mode():
        for given in acquisitions:
            truth = root_sum_of_squares(given.truth)
            image, _ = network(given.samples, given.block, given.encoding())
            error = (truth - root_sum_of_squares(image)).square().mean()
            found.append(float(20 * torch.log10(truth.amax()) - 10 * torch.log10(error)))
    network.train(was)
    return sum(found) / len(found)


def fit(
    module: FitModule, draw: Draw, folder: Path, *, facts: dict[str, Any], watchers: Sequence[Callback] = ()
) -> list[dict[str, float]]:
    """Fit, or go on where a run in ``folder`` was broken off; return loss and PSNR of every epoch.

    ``facts`` say what is learnt from; a folder of another plan or other facts is refused with BadPlan.
    """
    told = json.loads(json.dumps({"plan": asdict(module._plan), **facts}))
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / FACTS).is_file():
        stored = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        if any(stored.get(name) != value for name, value in told.items()):
            raise BadPlan(f"{folder} holds a fit of another plan or other images: choose another folder")
        if (folder / WEIGHTS).is_file():
            module.network.load_state_dict(read_weights(folder / WEIGHTS))
            return list(stored["history"])
    write_json(folder / FACTS, told)
    lightning.seed_everything(module._plan.seed, verbose=False)
    keeper = ModelCheckpoint(dirpath=folder, filename="last", save_top_k=1, enable_version_counter=False)
    last = folder / CHECKPOINT
    with quiet():
        trainer = lightning.Trainer(
            max_epochs=module._plan.epochs, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
            enable_model_summary=False, gradient_clip_val=1.0, default_root_dir=folder,
            callbacks=[*watchers, keeper], reload_dataloaders_every_n_epochs=1,
            accumulate_grad_batches=module._plan.together,
        )  # fmt: skip
        trainer.fit(
            module, datamodule=_Drawn(draw, module._plan), ckpt_path=str(last) if last.is_file() else None,
            weights_only=True,
        )  # fmt: skip
    save_weights(module.network.state_dict(), folder / WEIGHTS)
    write_json(folder / FACTS, told | {"history": module.rows})
    last.unlink(missing_ok=True)
    return module.rows


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read weights that ``fit`` wrote; raises BadPlan when there are none."""
    import numpy as np

    if not path.is_file():
        raise BadPlan(f"there are no weights {path}: fit the network first")
    with np.load(path, allow_pickle=False) as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored.files}


def digest_of(images: Sequence[Any]) -> str:
    """Return the SHA-256 over the values of images, to know them again."""
    import numpy as np

    total = hashlib.sha256()
    for image in images:
        total.update(np.ascontiguousarray(image).tobytes())
    return total.hexdigest()
