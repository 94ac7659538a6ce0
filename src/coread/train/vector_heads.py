"""Heads on the pooled features: findings, classes, grades, quantities."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coread.train import losses, scores
from coread.train.errors import BadTarget
from coread.train.heads import Place, Row, check_levels, pairs, stacked


@dataclass(frozen=True, slots=True)
class MultiLabel:
    """Findings that may stand together: target (N, K) in [0, 1], NaN unknown; output (N, K) logits."""

    place: ClassVar[Place] = "vector"
    name: str
    classes: tuple[str, ...]
    weight: float = 1.0
    imbalance: Literal["plain", "focal", "asymmetric"] = "plain"
    gamma: float = 2.0
    balance: bool = True
    """Weigh positives by the square root of how rare they are."""
    smoothing: float = 0.0
    positive: tuple[float, ...] = ()

    def channels(self) -> int:
        """Return the number of output channels."""
        return len(self.classes)

    def check(self, values: Any, keys: Sequence[str]) -> None:
        """Raise BadTarget where a target does not fit."""
        array = np.asarray(values)
        if array.ndim != 2 or array.shape[1] != len(self.classes):
            raise BadTarget(f"{self.name}: targets {array.shape} do not fit {len(self.classes)} classes")
        wrong = np.flatnonzero(((array < 0) | (array > 1)).any(axis=1))
        if len(wrong):
            raise BadTarget(f"{self.name}: {keys[wrong[0]]} has a label outside 0 to 1 ({len(wrong)} such rows)")

    def prepared(self, values: Any) -> "MultiLabel":
        """Return the head with what it takes from the training targets."""
        if self.positive or not self.balance:
            return replace(self, positive=self.positive or (1.0,) * len(self.classes))
        array = np.asarray(values, dtype=np.float64)
        yes, no = np.nansum(array, axis=0) + 0.5, np.nansum(1 - array, axis=0) + 0.5
        return replace(self, positive=tuple(float(w) for w in np.clip(np.sqrt(no / yes), 0.2, 8.0)))

    def gather(self, values: Any, index: NDArray[np.int64]) -> Tensor:
        """Return the targets at these rows as one tensor."""
        return torch.from_numpy(np.asarray(values[index], dtype=np.float32))

    def loss(self, output: Tensor, target: Tensor, _shape: tuple[int, ...]) -> Tensor:
        """Return the mean loss over what is known."""
        positive = torch.tensor(self.positive or (1.0,), device=output.device)
        kind = losses.Imbalance(self.imbalance, self.gamma)
        return losses.binary_loss(output.float(), target, kind, positive=positive, smoothing=self.smoothing)

    def rows(self, output: Tensor, target: Tensor, _shape: tuple[int, ...]) -> list[Row]:
        """Return each image's (said, truth)."""
        return pairs(output, target)

    def score(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return scores by name; the first decides when to stop."""
        said, truth = stacked(rows)
        mean, each = scores.mean_auc(truth, said)
        return {"auc": mean} | {f"auc/{name}": value for name, value in zip(self.classes, each, strict=True)}


@dataclass(frozen=True, slots=True)
class MultiClass:
    """One class out of several: target (N,) whole numbers, -1 unknown; output (N, K) logits."""

    place: ClassVar[Place] = "vector"
    name: str
    classes: tuple[str, ...]
    weight: float = 1.0
    imbalance: Literal["plain", "focal"] = "plain"
    gamma: float = 2.0
    balance: bool = True
    smoothing: float = 0.0
    class_weights: tuple[float, ...] = ()

    def channels(self) -> int:
        """Return the number of output channels."""
        return len(self.classes)

    def check(self, values: Any, keys: Sequence[str]) -> None:
        """Raise BadTarget where a target does not fit."""
        check_levels(self.name, values, len(self.classes), keys)

    def prepared(self, values: Any) -> "MultiClass":
        """Return the head with what it takes from the training targets."""
        if self.class_weights or not self.balance:
            return replace(self, class_weights=self.class_weights or (1.0,) * len(self.classes))
        counts = np.bincount(np.asarray(values)[np.asarray(values) >= 0], minlength=len(self.classes)) + 0.5
        weights = np.clip(np.sqrt(counts.mean() / counts), 0.2, 5.0)
        return replace(self, class_weights=tuple(float(w) for w in weights))

    def gather(self, values: Any, index: NDArray[np.int64]) -> Tensor:
        """Return the targets at these rows as one tensor."""
        return torch.from_numpy(np.asarray(values[index], dtype=np.int64))

    def loss(self, output: Tensor, target: Tensor, _shape: tuple[int, ...]) -> Tensor:
        """Return the mean loss over what is known."""
        weights = torch.tensor(self.class_weights or (1.0,) * len(self.classes), device=output.device)
        kind = losses.Imbalance(self.imbalance, self.gamma)
        return losses.class_loss(output.float(), target, kind, weights=weights, smoothing=self.smoothing)

    def rows(self, output: Tensor, target: Tensor, _shape: tuple[int, ...]) -> list[Row]:
        """Return each image's (said, truth)."""
        return pairs(output, target)

    def score(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return scores by name; the first decides when to stop."""
        said, truth = stacked(rows)
        known = truth >= 0
        said, truth = said[known], truth[known]
        probability = np.exp(said - said.max(axis=1, keepdims=True))
        probability /= probability.sum(axis=1, keepdims=True)
        mean, _ = scores.mean_auc((truth[:, None] == np.arange(len(self.classes))).astype(float), probability)
        called = said.argmax(axis=1)
        return {
            "auc": mean,
            "accuracy": float((called == truth).mean()) if len(truth) else float("nan"),
            "balanced_accuracy": scores.balanced_accuracy(truth, called),
        }


@dataclass(frozen=True, slots=True)
class Ordinal:
    """Ordered grades: target (N,) 0 .. levels-1, -1 unknown; output (N, levels-1), logit of "above grade k".

    One score per image and one bias per threshold, so the answers never contradict one another (CORAL, Cao 2020).
    """

    place: ClassVar[Place] = "vector"
    name: str
    levels: tuple[str, ...]
    weight: float = 1.0
    balance: bool = True
    positive: tuple[float, ...] = ()

    def channels(self) -> int:
        """Return the number of output channels."""
        return len(self.levels) - 1

    def check(self, values: Any, keys: Sequence[str]) -> None:
        """Raise BadTarget where a target does not fit."""
        check_levels(self.name, values, len(self.levels), keys)

    def prepared(self, values: Any) -> "Ordinal":
        """Return the head with what it takes from the training targets."""
        if self.positive or not self.balance:
            return replace(self, positive=self.positive or (1.0,) * self.channels())
        known = np.asarray(values)[np.asarray(values) >= 0]
        above = np.array([(known > k).sum() for k in range(self.channels())]) + 0.5
        weights = np.clip(np.sqrt((len(known) + 1 - above) / above), 0.2, 5.0)
        return replace(self, positive=tuple(float(w) for w in weights))

    def gather(self, values: Any, index: NDArray[np.int64]) -> Tensor:
        """Return the targets at these rows as one tensor."""
        return torch.from_numpy(np.asarray(values[index], dtype=np.int64))

    def loss(self, output: Tensor, target: Tensor, _shape: tuple[int, ...]) -> Tensor:
        """Return the mean loss over what is known."""
        above = (target[:, None] > torch.arange(self.channels(), device=target.device)).float()
        above = torch.where(target[:, None] >= 0, above, torch.full_like(above, float("nan")))
        positive = torch.tensor(self.positive or (1.0,), device=output.device)
        return losses.binary_loss(output.float(), above, losses.Imbalance(), positive=positive, smoothing=0.0)

    def rows(self, output: Tensor, target: Tensor, _shape: tuple[int, ...]) -> list[Row]:
        """Return each image's (said, truth)."""
        return pairs(output, target)

    def score(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return scores by name; the first decides when to stop."""
        said, truth = stacked(rows)
        said, truth = said[truth >= 0], truth[truth >= 0]
        called = (said > 0).sum(axis=1)
        return {
            "kappa": scores.quadratic_kappa(truth, called, len(self.levels)),
            "accuracy": float((called == truth).mean()) if len(truth) else float("nan"),
        }


@dataclass(frozen=True, slots=True)
class Regression:
    """Quantities: target (N, K) in their own units, NaN unknown; output (N, K) in the same units."""

    place: ClassVar[Place] = "vector"
    name: str
    outputs: tuple[str, ...]
    weight: float = 1.0
    centre: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    def channels(self) -> int:
        """Return the number of output channels."""
        return len(self.outputs)

    def check(self, values: Any, keys: Sequence[str]) -> None:
        """Raise BadTarget where a target does not fit."""
        array = np.asarray(values)
        if array.ndim != 2 or array.shape[1] != len(self.outputs):
            raise BadTarget(f"{self.name}: targets {array.shape} do not fit {len(self.outputs)} outputs")
        if np.isinf(array).any():
            raise BadTarget(f"{self.name}: {keys[int(np.flatnonzero(np.isinf(array).any(axis=1))[0])]} is infinite")

    def prepared(self, values: Any) -> "Regression":
        """Return the head with what it takes from the training targets."""
        if self.scale:
            return self
        array = np.asarray(values, dtype=np.float64)
        known = [column[np.isfinite(column)] for column in array.T]
        centre = tuple(float(column.mean()) if len(column) else 0.0 for column in known)
        scale = tuple(float(column.std()) or 1.0 if len(column) else 1.0 for column in known)
        return replace(self, centre=centre, scale=scale)

    def gather(self, values: Any, index: NDArray[np.int64]) -> Tensor:
        """Return the targets at these rows as one tensor."""
        return torch.from_numpy(np.asarray(values[index], dtype=np.float32))

    def loss(self, output: Tensor, target: Tensor, _shape: tuple[int, ...]) -> Tensor:
        """Return the mean loss over what is known."""
        known = torch.isfinite(target)
        scale = torch.tensor(self.scale or (1.0,), device=output.device)
        error = (output.float() - torch.nan_to_num(target)) / scale
        return (torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none") * known).sum() / (
            known.sum().clamp(min=1)
        )

    def rows(self, output: Tensor, target: Tensor, _shape: tuple[int, ...]) -> list[Row]:
        """Return each image's (said, truth)."""
        return pairs(output, target)

    def score(self, rows: Sequence[Row]) -> dict[str, float]:
        """Return scores by name; the first decides when to stop."""
        said, truth = stacked(rows)
        error = np.abs(said - truth)
        mean = float(np.nanmean(error)) if np.isfinite(error).any() else float("nan")
        return {"explained": scores.explained_variance(truth, said), "negative_error": -mean}
