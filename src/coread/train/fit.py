"""``fit``: arrays, heads and a plan to a fitted network in a folder that is read back, or gone on with."""

import json
import logging
import os
import signal
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from coread.train.arrays import ArraySet, ImageRows
from coread.train.batches import BatchRows, EpochBatches, drawing_weights, in_unit_range
from coread.train.distributed import is_first_process, wait_for
from coread.train.environment import keep_environment
from coread.train.errors import BadPlan, BadTarget, DataMissing, OutOfMemory
from coread.train.module import FitModule, FitPlan
from coread.train.networks import NetworkPlan, ReadingNetwork, build_network
from coread.train.semisupervised import Unlabelled
from coread.train.tasks import Head, head_from_json, head_to_json, mirrored

__all__ = ["FitPlan", "Fitted", "fit", "read_fitted"]

WEIGHTS, FACTS, CHECKPOINT, BEST = "network.pt", "fitted.json", "last.ckpt", "best.pt"
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc")


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A fitted network with what it needs to be used again."""

    network: ReadingNetwork
    heads: tuple[Head, ...]
    plan: NetworkPlan
    history: tuple[Mapping[str, float], ...] = ()
    """Loss and scores of every epoch."""
    best_epoch: int = -1

    def predict(
        self,
        images: ImageRows | ArraySet,
        covariates: NDArray[np.float32] | None = None,
        *,
        flips: bool = False,
        batch: int = 32,
        device: str = "cpu",
    ) -> dict[str, NDArray[np.float32]]:
        """Return the raw outputs by head for images (N, C, *spatial), uint8 or [0, 1].

        ``flips`` averages over the image and its mirror image (test-time augmentation); ``device`` is torch's name.
        """
        if isinstance(images, ArraySet):
            return self.predict(images.images, images.covariates, flips=flips, batch=batch, device=device)
        network = self.network.eval().to(device)
        parts: dict[str, list[NDArray[np.float32]]] = {head.name: [] for head in self.heads}
        with torch.inference_mode():
            for start in range(0, len(images), batch):
                pixels, beside = _taken(images, covariates, slice(start, start + batch), device)
                for name, value in said(network, self.heads, pixels, beside, flips=flips).items():
                    parts[name].append(value.float().cpu().numpy())
        network.to("cpu")
        return {name: np.concatenate(values) for name, values in parts.items()}

    def features(
        self, images: ImageRows, covariates: NDArray[np.float32] | None = None, *, batch: int = 32
    ) -> NDArray[np.float32]:
        """Return the pooled features (N, F) before the heads."""
        parts = []
        with torch.inference_mode():
            for start in range(0, len(images), batch):
                pixels, beside = _taken(images, covariates, slice(start, start + batch), "cpu")
                parts.append(self.network.eval().features(pixels, beside)[0].numpy())
        return np.concatenate(parts)


def _taken(
    images: ImageRows, covariates: NDArray[np.float32] | None, rows: slice, device: str
) -> tuple[Tensor, Tensor | None]:
    pixels = in_unit_range(torch.from_numpy(np.ascontiguousarray(images[rows])).to(device))
    beside = None if covariates is None else torch.from_numpy(np.asarray(covariates[rows], np.float32)).to(device)
    return pixels, beside


def said(
    network: ReadingNetwork, heads: Sequence[Head], images: Tensor, covariates: Tensor | None, *, flips: bool
) -> dict[str, Tensor]:
    """Return a network's raw outputs, with ``flips`` the mean over the image and its mirror image."""
    output: dict[str, Tensor] = network(images, covariates)
    if not flips:
        return output
    other = network(torch.flip(images, dims=[images.dim() - 1]), covariates)
    return {head.name: (output[head.name] + mirrored(head, other[head.name])) / 2 for head in heads}


def fit(
    data: ArraySet,
    heads: Sequence[Head],
    plan: FitPlan,
    folder: Path,
    tune: ArraySet | None = None,
    *,
    encoder: Mapping[str, Tensor] | None = None,
    unlabelled: Unlabelled | None = None,
    watchers: Sequence[Callback] = (),
) -> Fitted:
    """Fit a network on ``data``, scored after each epoch on ``tune``; everything is kept in ``folder``.

    ``encoder`` are weights to begin the encoder with; ``unlabelled`` are images to learn from as well. A finished fit
    is read back; an interrupted one goes on from its last epoch to the very same weights. Raises BadTarget, BadPlan,
    NotFinite, OutOfMemory.
    """
    ready, network_plan = _prepared(data, heads, plan, tune)
    facts = _facts(data, ready, plan, network_plan)
    if unlabelled is not None:
        unlabelled.check(ready, data.channels, data.shape)
        facts["unlabelled"] = asdict(unlabelled.plan) | {"images": len(unlabelled.images)}
    if (folder / WEIGHTS).is_file():
        return _read_back(folder, facts)
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_another(folder, facts)
    keep_environment(folder)
    lightning.seed_everything(plan.seed, verbose=False)
    network = build_network(network_plan, ready)
    if encoder is not None:
        _begin_with(network, encoder)
    _take_units(network, data)
    keeper = _Keeper(folder, plan, facts)
    module = _module(network, ready, plan, data, tune)
    module.unlabelled = unlabelled
    _run(module, data, plan, keeper, watchers)
    return read_fitted(folder)


def read_fitted(folder: Path) -> Fitted:
    """Read a finished fit; raises DataMissing where there is none."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        weights = torch.load(folder / WEIGHTS, weights_only=True, map_location="cpu")
    except FileNotFoundError as problem:
        raise DataMissing(f"{folder} holds no finished fit: {Path(problem.filename).name} is missing") from problem
    heads = tuple(head_from_json(body) for body in facts["heads"])
    plan = _network_plan(facts["network"])
    network = build_network(plan, heads)
    network.load_state_dict(weights)
    return Fitted(network.eval(), heads, plan, tuple(facts["history"]), int(facts["best_epoch"]))


def _begin_with(network: ReadingNetwork, weights: Mapping[str, Tensor]) -> None:
    try:
        network.encoder.load_state_dict(dict(weights))
    except RuntimeError as problem:
        raise BadPlan(
            f"the encoder does not fit this network: give its kind, widths, depths and channels. {problem}"
        ) from problem


def _prepared(
    data: ArraySet, heads: Sequence[Head], plan: FitPlan, tune: ArraySet | None
) -> tuple[tuple[Head, ...], NetworkPlan]:
    for part in [data] if tune is None else [data, tune]:
        for head in heads:
            if head.name not in part.targets:
                raise BadTarget(f"there is no target {head.name!r}; the data have {', '.join(part.targets) or 'none'}")
            head.check(part.targets[head.name], part.keys)
    if plan.augment.mixup > 0 and any(head.place != "vector" for head in heads):
        raise BadPlan("mixup mixes whole images: set augment.mixup to 0 for heads with masks or boxes")
    if plan.keeps_best() and tune is None:
        raise BadPlan("patience (or keep = best) needs a tune part to score")
    if plan.batch // (plan.devices * plan.nodes) < 1 or len(data) < 1:
        raise BadPlan(
            f"a batch of {plan.batch} and {len(data)} images cannot feed {plan.devices * plan.nodes} processes"
        )
    ready = tuple(head.prepared(data.targets[head.name]) for head in heads)
    covariates = 0 if data.covariates is None else data.covariates.shape[1]
    return ready, plan.network.for_data(data.channels, data.shape, covariates)


def _module(
    network: ReadingNetwork, heads: tuple[Head, ...], plan: FitPlan, data: ArraySet, tune: ArraySet | None
) -> FitModule:
    updates = -(-steps_of(plan, len(data)) // plan.accumulate) * plan.epochs
    module = FitModule(network, heads, plan, steps=updates)
    module.tune = tune
    return module


def steps_of(plan: FitPlan, images: int) -> int:
    """Return the steps of one epoch."""
    return plan.epoch_steps or max(1, images // plan.batch)


def _take_units(network: ReadingNetwork, data: ArraySet) -> None:
    """Take mean and deviation of the covariates from the training data."""
    if network.covariates is None or data.covariates is None:
        return
    values = np.asarray(data.covariates, dtype=np.float64)
    known = [column[np.isfinite(column)] for column in values.T]
    centre = [float(column.mean()) if len(column) else 0.0 for column in known]
    scale = [(float(column.std()) or 1.0) if len(column) else 1.0 for column in known]
    network.covariates.centre.copy_(torch.tensor(centre))
    network.covariates.scale.copy_(torch.tensor(scale))


def _run(module: FitModule, data: ArraySet, plan: FitPlan, keeper: "_Keeper", watchers: Sequence[Callback]) -> None:
    checkpoint = keeper.folder / CHECKPOINT
    if checkpoint.is_file() and keeper.is_over(checkpoint):
        keeper.finish()
        return
    with quiet():
        _run_trainer(module, data, plan, keeper, watchers)


def _run_trainer(
    module: FitModule, data: ArraySet, plan: FitPlan, keeper: "_Keeper", watchers: Sequence[Callback]
) -> None:
    checkpoint = keeper.folder / CHECKPOINT
    trainer = _trainer(plan, keeper, watchers)
    weights = drawing_weights(data, module._heads, plan.draw)
    batches = EpochBatches(
        len(data), weights, batch=plan.batch, steps=steps_of(plan, len(data)), seed=plan.seed,
        rank=trainer.global_rank, ranks=trainer.world_size,
    )  # fmt: skip
    loader = DataLoader(
        BatchRows(data, module._heads), sampler=batches, batch_size=None, num_workers=plan.workers,
        pin_memory=torch.cuda.is_available(), collate_fn=_as_it_is,
    )  # fmt: skip
    before = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(
            module, loader, ckpt_path=str(checkpoint) if checkpoint.is_file() else None, weights_only=True
        )  # fmt: skip
    except SystemExit as problem:
        # Lightning turns Ctrl-C into an exit and lets the next one be ignored; the caller decides about both.
        signal.signal(signal.SIGINT, before)
        raise KeyboardInterrupt from problem
    except (MemoryError, RuntimeError) as problem:
        if isinstance(problem, MemoryError) or any(words in str(problem).lower() for words in _NO_MEMORY):
            raise OutOfMemory(
                f"a step of {plan.batch} images of {module.network.plan.shape} does not fit into memory: halve batch "
                "and double accumulate (the same result in less memory), or lower the side, or set precision = "
                '"bf16-mixed"'
            ) from problem
        raise
    keeper.finish()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's advice and advertisements away: what matters is shown by the watchers or raised."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for words in (
                ".*does not have many workers.*", ".*Checkpoint directory.*", ".*number of training batches.*",
                ".*LeafSpec.*", ".*IterableDataset.*", ".*weights_only.*", ".*lr_scheduler.step.*",
            ):  # fmt: skip
                warnings.filterwarnings("ignore", message=words)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _trainer(plan: FitPlan, keeper: "_Keeper", watchers: Sequence[Callback]) -> Any:
    try:
        return lightning.Trainer(
            max_epochs=plan.epochs,
            accelerator=plan.accelerator,
            devices=plan.devices,
            num_nodes=plan.nodes,
            strategy=plan.strategy,
            precision=plan.precision,
            accumulate_grad_batches=plan.accumulate,
            gradient_clip_val=plan.clip or None,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            logger=False,
            default_root_dir=keeper.folder,
            callbacks=[keeper, *watchers],
        )
    except (MisconfigurationException, ValueError) as problem:
        raise BadPlan(
            f"Lightning cannot run this: {problem}; see accelerator, devices, strategy, precision"
        ) from problem


class _Keeper(Callback):
    """Keeps the fit's folder: after each epoch the checkpoint, the best weights, the history; then the network."""

    def __init__(self, folder: Path, plan: FitPlan, facts: Mapping[str, Any]) -> None:
        self.folder, self._plan, self._facts = folder, plan, facts
        self.history: list[dict[str, float]] = []
        self.best, self.best_epoch = float("-inf"), -1
        self.over = False
        self._first = True

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Note the epoch, decide whether it was the last, and store everything."""
        found = dict(pl_module.close_epoch())
        self.history.append(found)
        score = found.get("score", float("nan"))
        if self._plan.keeps_best() and (score > self.best or self.best_epoch < 0):
            self.best, self.best_epoch = score if np.isfinite(score) else float("-inf"), len(self.history) - 1
            if trainer.is_global_zero:
                _save(pl_module.average.network.state_dict(), self.folder / BEST)
        waited = len(self.history) - 1 - self.best_epoch
        stop = self._plan.patience > 0 and waited >= self._plan.patience
        self.over = stop or len(self.history) >= self._plan.epochs
        trainer.should_stop = trainer.should_stop or stop
        beside = self.folder / f"{CHECKPOINT}.part"
        trainer.save_checkpoint(beside, weights_only=False)
        if trainer.is_global_zero:
            beside.replace(self.folder / CHECKPOINT)
        trainer.strategy.barrier()

    def state_dict(self) -> dict[str, Any]:
        """Return what an interrupted fit needs to go on."""
        return {
            "history": self.history, "best": self.best, "best_epoch": self.best_epoch, "over": self.over
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where the checkpoint was made."""
        self.history = [dict(row) for row in state_dict["history"]]
        self.best, self.best_epoch = float(state_dict["best"]), int(state_dict["best_epoch"])
        self.over = bool(state_dict["over"])

    def is_over(self, checkpoint: Path) -> bool:
        """Tell whether this checkpoint is of a fit that had only to be finished."""
        stored = torch.load(checkpoint, weights_only=True, map_location="cpu")
        self.load_state_dict(stored["callbacks"][self.state_key])
        return self.over

    def finish(self) -> None:
        """Write the network and its facts, then drop what was needed to go on."""
        if not is_first_process():
            wait_for(self.folder / WEIGHTS)
            return
        if self.best_epoch >= 0:
            state = torch.load(self.folder / BEST, weights_only=True, map_location="cpu")
        else:
            stored = torch.load(self.folder / CHECKPOINT, weights_only=True, map_location="cpu")["state_dict"]
            prefix = "average.network."
            state = {name.removeprefix(prefix): v for name, v in stored.items() if name.startswith(prefix)}
        body = dict(self._facts) | {"history": self.history, "best_epoch": self.best_epoch}
        write_json(self.folder / FACTS, body)
        _save(state, self.folder / WEIGHTS)
        for name in (CHECKPOINT, BEST):
            (self.folder / name).unlink(missing_ok=True)


def _facts(data: ArraySet, heads: Sequence[Head], plan: FitPlan, network: NetworkPlan) -> dict[str, Any]:
    learning = asdict(
        replace(plan, network=network, workers=0, accelerator="auto", devices=1, nodes=1, strategy="auto")
    )
    return {
        "heads": [head_to_json(head) for head in heads],
        "network": asdict(network),
        "plan": learning,
        "images": len(data),
        "history": [],
        "best_epoch": -1,
    }


def _refuse_another(folder: Path, facts: Mapping[str, Any]) -> None:
    """Keep the facts of the fit that is going on; raise BadPlan when the folder belongs to another one."""
    path = folder / FACTS
    if path.is_file() and (folder / CHECKPOINT).is_file():
        _compare(folder, json.loads(path.read_text(encoding="utf-8")), facts)
    write_json(path, facts)


def _read_back(folder: Path, facts: Mapping[str, Any]) -> Fitted:
    _compare(folder, json.loads((folder / FACTS).read_text(encoding="utf-8")), facts)
    return read_fitted(folder)


def _compare(folder: Path, stored: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    wanted = json.loads(json.dumps(facts))
    for name in ("heads", "network", "plan", "images", "unlabelled"):
        if stored.get(name) != wanted.get(name):
            raise BadPlan(f"{folder} holds a fit with another {name}: choose another folder, or remove that one")


def _network_plan(body: Mapping[str, Any]) -> NetworkPlan:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in body.items()}
    return NetworkPlan(**values)


def _save(state: Mapping[str, Tensor], path: Path) -> None:
    beside = path.with_name(f".{path.name}.part")
    torch.save(dict(state), beside)
    beside.replace(path)


def write_json(path: Path, body: Any) -> None:
    """Write beside, then rename."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    beside.replace(path)


def _as_it_is(batch: Any) -> Any:
    return batch
