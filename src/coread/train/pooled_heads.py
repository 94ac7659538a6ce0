"""Lines first, then every layer: how small sets are learnt from an encoder that has seen other pictures.

The encoder's maps are pooled three ways (mean, spread, mean of the strongest hundredth) at every stride, so that a few
small lesions weigh as much as the look of the whole image; logistic regression gives a line over them for each label.
From these lines on all layers of the encoder learn together, for few epochs and at a low rate, and the lines are fitted
again. Networks taught without one fold each say what calibration needs; the one that is shipped was taught on all.
"""

import copy
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from coread.train.augmenting import AugmentPlan, draw_movement, expose
from coread.train.batches import in_unit_range
from coread.train.efficientnet_lite import LiteEncoder, imagenet_weights
from coread.train.environment import keep_environment
from coread.train.errors import BadPlan
from coread.train.export import export_onnx, fold_and_round, worst_difference
from coread.train.own_weights import given_to_lite, require_trained

Features = NDArray[np.float32]
_STRONGEST = 100
_FIRST_MAP = 1
"""The finest map (stride 2) tells little and costs much."""
_TAPS = 5
log = logging.getLogger("coread.train")


@dataclass(frozen=True, slots=True)
class TeachingPlan:
    """How the lines are fitted, and how long and fast all layers learn after them."""

    strength: float = 1e-2
    """Inverse regularisation (C of scikit-learn) of the lines."""
    epochs: int = 1
    batch: int = 12
    relative_rate: float = 1e-3
    """Of a step, as a share of the typical size of each layer's weights, so that every layer learns alike."""
    rounds_on_all: int = 1
    """Times that the network which is taught on all images learns, settles and gets its lines anew."""
    smoothing: float = 0.05
    augment: AugmentPlan = field(default_factory=AugmentPlan)
    pretrained: bool = True
    """Begin with the weights learnt on ImageNet; without, the encoder begins with nothing."""
    seed: int = 20261128


class PooledNetwork(nn.Module):
    """EfficientNet-Lite0, its maps pooled at every stride, and a line over them for each label."""

    centre: Tensor
    scale: Tensor

    def __init__(self, labels: int, *, pretrained: bool = True) -> None:
        super().__init__()
        self.encoder = LiteEncoder(3, taps=_TAPS)
        if pretrained:
            self.encoder.load_state_dict(imagenet_weights(_TAPS))
        width = 3 * sum(self.encoder.widths[_FIRST_MAP:])
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.line = nn.Linear(width, labels)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.eval()

    def features(self, images: Tensor) -> Tensor:
        """Read images (N, 1 or 3, rows, columns) in [0, 1]; return (N, F)."""
        colour = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
        parts = []
        for found in self.encoder(colour)[_FIRST_MAP:]:
            flat = found.flatten(2).float()
            mean = flat.mean(dim=2)
            spread = ((flat - mean[..., None]).square().mean(dim=2) + 1e-8).sqrt()
            parts += [mean, spread, flat.topk(max(1, int(flat.shape[2]) // _STRONGEST), dim=2).values.mean(dim=2)]
        return torch.cat(parts, dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, labels) logits."""
        logits: Tensor = self.line((self.features(images) - self.centre) / self.scale)
        return logits


@dataclass(frozen=True, slots=True, eq=False)
class CrossTaught:
    """A network taught on all images, and what others, taught in the same way without a fold, say of that fold."""

    network: PooledNetwork
    crossed: NDArray[np.float64]
    """(N, labels) logits, the mean over each image and its mirror image."""
    by_lines: NDArray[np.float64]
    """The same before the encoder learnt: by the lines over it as it was given."""


def cross_teach(
    images: NDArray[np.uint8],
    truth: Features,
    folds: NDArray[np.int64],
    plan: TeachingPlan,
    kept: Path,
    *,
    beside: tuple[NDArray[np.uint8], Features] | None = None,
) -> CrossTaught:
    """Teach one network without each fold and one on all; ``truth`` is (N, labels), NaN where a label is not known.

    ``beside`` are images, drawn ones say, and their truth, on which the last lines are fitted too and nothing else.
    What is finished lies in ``kept`` and is read back.
    """
    kept.mkdir(parents=True, exist_ok=True)
    keep_environment(kept)
    start = PooledNetwork(truth.shape[1], pretrained=plan.pretrained)
    pooled = _pooled(start, images, kept / "given_features.npy")
    crossed, by_lines = np.zeros(truth.shape), np.zeros(truth.shape)
    everything = np.arange(len(images))
    taught = start
    for name, own in [
        *((f"without{fold}", np.flatnonzero(folds != fold)) for fold in np.unique(folds)),
        ("all", everything),
    ]:
        aside = np.setdiff1d(everything, own)
        taught = copy.deepcopy(start)
        _fit_lines(taught, pooled[:, own], truth[own], plan.strength)
        path = kept / f"{name}.pt"
        if len(aside):
            by_lines[aside] = _line_logits(taught, pooled[:, aside])
        if path.is_file():
            taught.load_state_dict(torch.load(path, weights_only=True))
        else:
            for number in range(1 if len(aside) else plan.rounds_on_all):
                teach(taught, images[own], truth[own], replace(plan, seed=plan.seed + number), name=name)
                settle(taught, images[own])
                fit_last_lines(taught, images[own], truth[own], plan, beside)
            torch.save(taught.state_dict(), path)
        if len(aside):
            crossed[aside] = logits_of(taught, images[aside])
    return CrossTaught(taught, crossed, by_lines)


def fit_last_lines(
    network: PooledNetwork,
    images: NDArray[np.uint8],
    truth: Features,
    plan: TeachingPlan,
    beside: tuple[NDArray[np.uint8], Features] | None = None,
) -> None:
    """Fit the lines over the encoder as it is now."""
    more = [] if beside is None else [beside]
    features = [_features(network, pictures) for pictures, _ in [(images, truth), *more]]
    known = np.concatenate([labels for _, labels in [(images, truth), *more]])
    _fit_lines(network, np.concatenate(features)[np.newaxis], known, plan.strength)


def teach(
    network: PooledNetwork, images: NDArray[np.uint8], truth: Features, plan: TeachingPlan, *, name: str = ""
) -> None:
    """Let every layer of the encoder learn; the lines and the means of the batch norms stay as they are."""
    generator = np.random.default_rng(plan.seed)
    torch.manual_seed(plan.seed)
    learning = list(network.encoder.parameters())
    sizes = [float(value.detach().square().mean().sqrt()) + 1e-4 for value in learning]
    groups = [{"params": [value], "lr": plan.relative_rate * size} for value, size in zip(learning, sizes, strict=True)]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
    steps = max(1, len(images) // plan.batch)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [plan.relative_rate * size for size in sizes], total_steps=steps * plan.epochs, pct_start=0.2
    )
    for epoch in range(plan.epochs):
        order = generator.permutation(len(images))
        losses = []
        for number in range(steps):
            rows = order[number * plan.batch : (number + 1) * plan.batch]
            batch = in_unit_range(torch.from_numpy(images[rows]))
            moved = draw_movement(len(rows), (int(batch.shape[2]), int(batch.shape[3])), plan.augment).images(batch)
            changed = expose(moved, plan.augment).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                said = network(changed)
            loss = _loss(said.float(), torch.from_numpy(truth[rows]), plan.smoothing)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rates.step()
            losses.append(float(loss.detach()))
        log.info("%s, epoch %d of %d: loss %.3f", name, epoch + 1, plan.epochs, float(np.mean(losses)))


def settle(network: PooledNetwork, images: NDArray[np.uint8], *, batch: int = 16) -> None:
    """Take the means and deviations of the batch norms from these images instead of those of the given weights."""
    norms = [module for module in network.encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()
    with torch.no_grad():
        for start in range(0, len(images) - batch // 2, batch):
            network.features(in_unit_range(torch.from_numpy(np.ascontiguousarray(images[start : start + batch]))))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def logits_of(network: nn.Module, images: NDArray[np.uint8], *, batch: int = 8) -> NDArray[np.float64]:
    """Return (N, labels), the mean over each image and its mirror image."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            rows = in_unit_range(torch.from_numpy(np.ascontiguousarray(images[start : start + batch])))
            parts.append(((network(rows) + network(torch.flip(rows, dims=[3]))) / 2).double().numpy())
    return np.concatenate(parts)


class _Mirrored(nn.Module):
    """A network's mean over an image and its mirror image."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return ((self.network(image) + self.network(torch.flip(image, dims=[3]))) / 2,)


def export_pooled(network: PooledNetwork, path: Path, image: Features, *, output: str) -> float:
    """Write one graph (``image`` -> ``output``), weights stored small; return its difference to torch.

    ``image`` (N, channels, rows, columns) is an example. Raises BadPlan for layers that were not taught here.
    """
    import warnings

    require_trained(network.encoder.state_dict(), given_to_lite(_TAPS))
    shipped = _Mirrored(fold_and_round(network)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of every constant it makes; the proof below is what counts
        export_onnx(shipped, {"image": image}, path, output_names=[output])
    return worst_difference(shipped, path, {"image": image}, limit=1e-3)


def _pooled(network: PooledNetwork, images: NDArray[np.uint8], kept: Path) -> Features:
    """Return the features of the images and of their mirror images, (2, N, F); kept beside the work."""
    if kept.is_file():
        stored: Features = np.load(kept)
        if stored.shape[1] != len(images):
            raise BadPlan(f"{kept} is of {stored.shape[1]} images, not of these {len(images)}: choose another folder")
        return stored
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), 8):
            rows = in_unit_range(torch.from_numpy(np.ascontiguousarray(images[start : start + 8])))
            parts.append(torch.stack([network.features(rows), network.features(torch.flip(rows, dims=[3]))]).numpy())
    pooled: Features = np.concatenate(parts, axis=1)
    np.save(kept, pooled)
    return pooled


def _features(network: PooledNetwork, images: NDArray[np.uint8]) -> Features:
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), 8):
            rows = in_unit_range(torch.from_numpy(np.ascontiguousarray(images[start : start + 8])))
            parts.append(network.features(rows).numpy())
    return np.concatenate(parts)


def _fit_lines(network: PooledNetwork, pooled: Features, truth: Features, strength: float) -> None:
    """Fit a logistic regression for each label on what is known of it, and put the lines into the network."""
    from sklearn.linear_model import LogisticRegression

    features = np.concatenate(list(pooled))
    centre, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    with torch.no_grad():
        network.centre.copy_(torch.from_numpy(centre))
        network.scale.copy_(torch.from_numpy(scale))
        for label in range(truth.shape[1]):
            known = np.isfinite(truth[:, label])
            rows = np.concatenate([(variant[known] - centre) / scale for variant in pooled])
            model: Any = LogisticRegression(C=strength, max_iter=3000)
            model.fit(rows, np.tile(truth[known, label] > 0.5, len(pooled)))
            network.line.weight[label] = torch.from_numpy(model.coef_[0].astype(np.float32))
            network.line.bias[label] = float(model.intercept_[0])


def _line_logits(network: PooledNetwork, pooled: Features) -> NDArray[np.float64]:
    with torch.inference_mode():
        features = (torch.from_numpy(pooled.mean(axis=0)) - network.centre) / network.scale
        return np.asarray(network.line(features).double().numpy())


def _loss(logits: Tensor, truth: Tensor, smoothing: float) -> Tensor:
    known = torch.isfinite(truth)
    wanted = torch.nan_to_num(truth) * (1 - smoothing) + smoothing / 2
    each = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)
