"""Teaches an encoder on images without labels: it paints masked patches and agrees with itself on two views.

Masked image modelling for convolutional networks (Xie 2022, SimMIM: masked pixels are replaced, targets are patches
brought to mean 0 and deviation 1 as in He 2022, MAE) and self-distillation without negatives (Grill 2020, BYOL). One
encoder for all modalities: grey images of one size, whatever they show.
"""

import copy
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from coread.train.arrays import ImageRows
from coread.train.augmenting import AugmentPlan, Movement, draw_movement, expose
from coread.train.batches import in_unit_range
from coread.train.errors import BadPlan, NotFinite
from coread.train.fit import quiet, write_json
from coread.train.networks import NetworkPlan, build_encoder

Method = Literal["masked", "distilled", "both"]
ENCODER, FACTS, CHECKPOINT = "encoder.npz", "encoder.json", "last.ckpt"
FEW = 16
"""Fewer images than this teach nothing."""


@dataclass(frozen=True, slots=True)
class SelfPlan:
    """How an encoder is taught without labels; the same record and images make the same encoder on one machine."""

    method: Method = "both"
    network: NetworkPlan = field(default_factory=NetworkPlan)
    epochs: int = 10
    batch: int = 64
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    masked_share: float = 0.5
    """Share of the patches that are hidden."""
    patch: int = 16
    """Side of a patch in pixels; the image's sides must be multiples of it."""
    teacher_decay: float = 0.99
    """Of the moving average that the network is to agree with; it rises to 1 over the run (Grill 2020)."""
    width: int = 256
    """Of the projection in which the two views are compared."""
    augment: AugmentPlan = field(
        default_factory=lambda: AugmentPlan(
            rotation_degrees=15, scale=0.35, aspect=0.1, shift=0.15, gamma=0.5, contrast=0.3, noise=0.05, erase=0.2
        )
    )
    seed: int = 20261128

    def __post_init__(self) -> None:
        if self.method not in ("masked", "distilled", "both"):
            raise BadPlan(f"method {self.method!r} is unknown; it is masked, distilled or both")
        if not 0 < self.masked_share < 1:
            raise BadPlan(f"masked_share lies between 0 and 1, not at {self.masked_share}")
        if min(self.epochs, self.patch) < 1 or self.batch < 2:
            raise BadPlan("epochs and patch are at least 1, batch at least 2")


@dataclass(frozen=True, slots=True, eq=False)
class TaughtEncoder:
    """An encoder with its plan; start a fit from it with ``fit(..., encoder=taught.weights)``."""

    network: NetworkPlan
    weights: dict[str, Tensor]
    history: tuple[dict[str, float], ...]


def hidden_patches(count: int, shape: tuple[int, int], patch: int, share: float) -> Tensor:
    """Draw which patches are hidden: bool (N, 1, rows, columns), the same number in every image."""
    rows, columns = shape[0] // patch, shape[1] // patch
    order = torch.rand(count, rows * columns).argsort(dim=1)
    hidden = order < max(1, round(share * rows * columns))
    grid = hidden.view(count, 1, rows, columns)
    return grid.repeat_interleave(patch, dim=2).repeat_interleave(patch, dim=3)


def patch_targets(images: Tensor, patch: int) -> Tensor:
    """Return images (N, 1, R, C) whose patches have mean 0 and deviation 1 each (He 2022, section 4)."""
    mean = functional.avg_pool2d(images, patch)
    square = functional.avg_pool2d(images.square(), patch)
    deviation = (square - mean.square()).clamp(min=0).add(1e-4).sqrt()
    size = images.shape[2:]
    return (images - functional.interpolate(mean, size=size)) / functional.interpolate(deviation, size=size)


class _Student(nn.Module):
    """The encoder with what only teaches it: a painter of pixels, a projection, and a prediction of the teacher's."""

    def __init__(self, network: NetworkPlan, width: int) -> None:
        super().__init__()
        self.encoder = build_encoder(network)
        deepest = self.encoder.widths[-1]
        self.stride = _stride(self.encoder, network)
        self.painter = nn.Conv2d(deepest, self.stride**2, 1)
        self.projection = _mlp(deepest, width)
        self.prediction = _mlp(width, width)

    def project(self, images: Tensor) -> Tensor:
        """Return (N, width) of whole views."""
        projected: Tensor = self.projection(self.encoder(images)[-1].mean(dim=(2, 3)))
        return projected

    def paint(self, images: Tensor) -> Tensor:
        """Return (N, 1, rows, columns), drawn from the deepest map."""
        drawn: Tensor = functional.pixel_shuffle(self.painter(self.encoder(images)[-1]), self.stride)
        return drawn[..., : images.shape[2], : images.shape[3]]


def _mlp(inputs: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(inputs, 2 * width, bias=False),
        nn.BatchNorm1d(2 * width),
        nn.ReLU(inplace=True),
        nn.Linear(2 * width, width),
    )


def _stride(encoder: Any, network: NetworkPlan) -> int:
    with torch.inference_mode():
        side = encoder.eval()(torch.zeros(1, network.channels, *network.shape))[-1].shape[-1]
    encoder.train()
    return -(-network.shape[-1] // int(side))


_RISE = 0.1
"""Share of the steps in which the learning rate rises."""


class SelfModule(lightning.LightningModule):
    """One run of teaching without labels."""

    def __init__(self, plan: SelfPlan, images: ImageRows, steps: int) -> None:
        super().__init__()
        self.student = _Student(plan.network, plan.width)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self._plan, self._images, self._steps = plan, images, steps

    def training_step(self, batch: tuple[int, Tensor], _: int) -> Tensor:
        """Return the loss of one batch; its random changes depend on seed, epoch and batch alone."""
        number, rows = batch
        at = self.current_epoch * 1_000_003 + int(number)
        torch.manual_seed((self._plan.seed * 1_000_000_007 + at) % (2**63))
        images = in_unit_range(torch.from_numpy(np.ascontiguousarray(self._images[rows.numpy()]))).to(self.device)
        losses: dict[str, Tensor] = {}
        if self._plan.method != "distilled":
            losses["painted"] = self._painted(images)
        if self._plan.method != "masked":
            losses["agreed"] = self._agreed(images)
        loss = torch.stack(list(losses.values())).sum()
        if not math.isfinite(loss.item()):
            raise NotFinite(f"the loss became {loss.item()} in epoch {self.current_epoch + 1}; lower learning_rate")
        for name, value in (losses | {"loss": loss}).items():
            self.log(name, value.detach(), on_step=False, on_epoch=True, batch_size=len(images))
        return loss

    def _view(self, images: Tensor) -> Tensor:
        movement = draw_movement(len(images), tuple(images.shape[2:]), self._plan.augment)
        view = expose(Movement(movement.matrix.to(images.device)).images(images), self._plan.augment)
        return standardised(view).contiguous(memory_format=torch.channels_last)

    def _painted(self, images: Tensor) -> Tensor:
        shape = (images.shape[2], images.shape[3])
        whole = standardised(images)
        hidden = hidden_patches(len(images), shape, self._plan.patch, self._plan.masked_share).to(images.device)
        seen = torch.where(hidden, torch.zeros_like(whole), whole).contiguous(memory_format=torch.channels_last)
        difference = functional.smooth_l1_loss(
            self.student.paint(seen), patch_targets(whole, self._plan.patch), reduction="none"
        )
        return (difference * hidden).sum() / hidden.sum()

    def _agreed(self, images: Tensor) -> Tensor:
        first, second = self._view(images), self._view(images)
        with torch.no_grad():
            wanted = [self.teacher.project(view) for view in (second, first)]
        said = [self.student.prediction(self.student.project(view)) for view in (first, second)]
        alike = [functional.cosine_similarity(one, other).mean() for one, other in zip(said, wanted, strict=True)]
        return 1 - torch.stack(alike).mean()

    @torch.no_grad()
    def on_train_batch_end(self, *_: Any) -> None:
        """Let the teacher follow the student."""
        done = min(1.0, self.trainer.global_step / max(1, self._steps))
        decay = 1 - (1 - self._plan.teacher_decay) * (math.cos(math.pi * done) + 1) / 2
        for own, other in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            own.lerp_(other, 1 - decay)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with one rise and one fall of the learning rate."""
        optimizer = torch.optim.AdamW(
            self.student.parameters(), lr=self._plan.learning_rate, weight_decay=self._plan.weight_decay
        )
        total = self._steps + 1
        rise = _RISE if total * _RISE != 1 else 1.5 / total  # a rise of exactly one step divides by zero in torch
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=self._plan.learning_rate, total_steps=total, pct_start=rise
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def standardised(images: Tensor) -> Tensor:
    """Bring each image to mean 0 and deviation 1, as reading networks do before their encoder."""
    centred = images - images.mean(dim=(1, 2, 3), keepdim=True)
    return centred / (centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt() + 1e-3)


class _Epochs(IterableDataset[tuple[int, Tensor]]):
    """Every image once an epoch, in an order that seed and epoch decide."""

    def __init__(self, count: int, batch: int, seed: int) -> None:
        self._count, self._batch, self._seed, self.epoch = count, batch, seed, 0

    def __len__(self) -> int:
        return self._count // self._batch

    def __iter__(self) -> Any:
        order = np.random.default_rng((self._seed, self.epoch)).permutation(self._count)
        for number in range(len(self)):
            yield number, torch.from_numpy(order[number * self._batch : (number + 1) * self._batch])


class _History(Callback):
    """Counts the epochs for the order of the images and keeps the losses; both survive an interruption."""

    def __init__(self, batches: _Epochs) -> None:
        self.batches, self.rows = batches, list[dict[str, float]]()

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Choose the order of this epoch."""
        self.batches.epoch = trainer.current_epoch

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Keep the mean losses of the epoch."""
        self.rows.append({name: float(value) for name, value in trainer.callback_metrics.items()})

    def state_dict(self) -> dict[str, Any]:
        """Return what an interrupted run needs."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the losses of the epochs before the interruption."""
        self.rows = list(state_dict["rows"])


def teach_encoder(
    images: ImageRows, plan: SelfPlan, folder: Path, *, watchers: Sequence[Callback] = ()
) -> TaughtEncoder:
    """Teach an encoder on grey images (N, 1, rows, columns); a finished folder is read back, a broken one goes on.

    Raises BadPlan for images that do not fit the plan, NotFinite when the loss is no number any more.
    """
    shape = tuple(int(side) for side in images.shape[2:])
    if len(images) < max(FEW, plan.batch) or images.shape[1] != 1 or len(shape) != 2:
        raise BadPlan(
            f"at least {max(FEW, plan.batch)} grey images (N, 1, rows, columns) are needed, got {tuple(images.shape)}; "
            "lower batch for fewer"
        )
    if any(side % plan.patch for side in shape):
        raise BadPlan(f"the sides {shape} must be multiples of the patch {plan.patch}")
    ready = _with_network(plan, shape)
    digest = hashlib.sha256(np.ascontiguousarray(images[np.arange(len(images))]).tobytes()).hexdigest()
    facts = {"plan": asdict(ready), "images": len(images), "pictures": digest}
    if (folder / FACTS).is_file():
        _require_same(folder, facts)
    if (folder / ENCODER).is_file():
        return read_encoder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FACTS, facts)
    lightning.seed_everything(ready.seed, verbose=False)
    batches = _Epochs(len(images), ready.batch, ready.seed)
    module = SelfModule(ready, images, len(batches) * ready.epochs)
    history = _History(batches)
    _run(module, batches, folder, [history, *watchers])
    write_json(folder / FACTS, facts | {"history": history.rows})
    save_weights(module.student.encoder.state_dict(), folder / ENCODER)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return read_encoder(folder)


def read_encoder(folder: Path) -> TaughtEncoder:
    """Read a taught encoder; raises BadPlan when the folder holds none."""
    if not (folder / ENCODER).is_file():
        raise BadPlan(f"{folder} holds no taught encoder; `coread pretrain` makes one")
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    body: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in facts["plan"]["network"].items()
    }
    with np.load(folder / ENCODER) as stored:
        weights = {name: torch.from_numpy(_widened(stored[name])) for name in stored.files}
    return TaughtEncoder(NetworkPlan(**body), weights, tuple(facts.get("history", ())))


def save_weights(state: Mapping[str, Tensor], path: Path, *, small: bool = False) -> None:
    """Write weights as plain arrays (no pickles); ``small`` stores floats of 16 bits."""
    beside = path.with_name(f".{path.name}")
    arrays = {name: value.detach().cpu().numpy() for name, value in state.items()}
    if small:
        arrays = {name: v.astype(np.float16) if v.dtype == np.float32 else v for name, v in arrays.items()}
    with beside.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    beside.replace(path)


def _widened(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _with_network(plan: SelfPlan, shape: tuple[int, ...]) -> SelfPlan:
    return replace(plan, network=plan.network.for_data(1, shape, 0))


def _require_same(folder: Path, facts: dict[str, Any]) -> None:
    stored = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    wanted = json.loads(json.dumps(facts))
    if any(stored.get(name) != wanted[name] for name in facts):
        raise BadPlan(f"{folder} holds an encoder taught by another plan: choose another folder, or remove that one")


def _run(module: SelfModule, batches: _Epochs, folder: Path, callbacks: list[Callback]) -> None:
    keeper = ModelCheckpoint(dirpath=folder, filename="last", save_top_k=1, enable_version_counter=False)
    with quiet():
        trainer = lightning.Trainer(
            max_epochs=module._plan.epochs, accelerator="auto", devices=1, logger=False, enable_progress_bar=False,
            enable_model_summary=False, gradient_clip_val=1.0, default_root_dir=folder, callbacks=[*callbacks, keeper],
        )  # fmt: skip
        last = folder / CHECKPOINT
        trainer.fit(
            module,
            DataLoader(batches, batch_size=None),
            ckpt_path=str(last) if last.is_file() else None,
            weights_only=True,
        )
