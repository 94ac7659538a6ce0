"""A new finding in minutes: logistic regression on a frozen encoder, from some twenty examples on.

The encoder (``train.selfsupervised``) never changes; only a line over its features is fitted, its strength chosen and
its calibration made on predictions for patients that it did not learn from.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coread.domain.cards import Estimate
from coread.statistics.calibration import Platt, fit_platt
from coread.train.arrays import ImageRows
from coread.train.batches import in_unit_range
from coread.train.errors import OneClass
from coread.train.export import export_onnx, worst_difference
from coread.train.networks import build_encoder
from coread.train.selfsupervised import TaughtEncoder, standardised
from coread.train.splits import patient_folds

Features = NDArray[np.float32]
FEWEST = 10
"""Examples of each class below which a head is refused: its measured quality would be noise."""
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse regularisation (C of scikit-learn) that is chosen from, by log loss out of fold."""


class Embedding(nn.Module):
    """The frozen encoder with its pooled features: mean and maximum of the deepest map, mean of the one before."""

    def __init__(self, taught: TaughtEncoder) -> None:
        super().__init__()
        self.encoder = build_encoder(taught.network)
        self.encoder.load_state_dict(taught.weights)
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Read grey images (N, 1, rows, columns) in [0, 1]; return (N, F)."""
        maps = self.encoder(standardised(images))
        deepest = maps[-1].flatten(2)
        return torch.cat([deepest.mean(dim=2), deepest.amax(dim=2), maps[-2].flatten(2).mean(dim=2)], dim=1)


def embed(taught: TaughtEncoder, images: ImageRows, *, batch: int = 64) -> Features:
    """Return the features (N, F) of grey images (N, 1, rows, columns)."""
    network = Embedding(taught)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            rows = torch.from_numpy(np.ascontiguousarray(images[np.arange(start, min(len(images), start + batch))]))
            parts.append(network(in_unit_range(rows)).numpy())
    return np.concatenate(parts)


@dataclass(frozen=True, slots=True, eq=False)
class FrozenHead:
    """A fitted line over the features: logit = weights . (features - centre) / scale + offset."""

    name: str
    centre: Features
    scale: Features
    weights: Features
    offset: float
    strength: float
    platt: Platt
    auc: Estimate
    """Out of fold: each case was predicted by a line that did not learn from its patient."""
    positives: int
    negatives: int

    def logits(self, features: Features) -> NDArray[np.float64]:
        """Return one logit per row."""
        line = ((features - self.centre) / self.scale) @ self.weights.astype(np.float64)
        return np.asarray(line + self.offset, dtype=np.float64)


def fit_head(
    name: str, features: Features, truth: NDArray[np.bool_], patients: Sequence[str], *, folds: int = 5, seed: int = 0
) -> FrozenHead:
    """Fit a head on features (N, F) and their truth (N,); raises OneClass below ten examples of a class."""
    from coread.statistics.roc import auc_estimate

    positives, negatives = int(truth.sum()), int((~truth).sum())
    if min(positives, negatives) < FEWEST:
        raise OneClass(
            f"{name}: {positives} positive and {negatives} negative examples; at least {FEWEST} of each are needed. "
            "`coread dataset suggest` says which studies to label next."
        )
    fold_of = patient_folds(patients, truth[:, None], folds=min(folds, len(set(patients))), seed=seed)
    best: tuple[float, float, NDArray[np.float64]] | None = None
    for strength in STRENGTHS:
        crossed = _crossed(features, truth, fold_of, strength)
        loss = float(np.mean(np.logaddexp(0.0, np.where(truth, -crossed, crossed))))
        if best is None or loss < best[0]:
            best = (loss, strength, crossed)
    if best is None:
        raise OneClass(f"{name}: nothing could be fitted")
    _, strength, crossed = best
    centre, scale, weights, offset = _line(features, truth, strength)
    return FrozenHead(
        name, centre, scale, weights, offset, strength, fit_platt(crossed, truth),
        auc_estimate(truth, crossed, list(patients)), positives, negatives,
    )  # fmt: skip


def crossed_logits(
    features: Features,
    truth: NDArray[np.bool_],
    patients: Sequence[str],
    strength: float,
    *,
    folds: int = 5,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return each case's logit by a line that did not learn from its patient, in the folds that ``fit_head`` uses."""
    fold_of = patient_folds(patients, truth[:, None], folds=min(folds, len(set(patients))), seed=seed)
    return _crossed(features, truth, fold_of, strength)


def _crossed(
    features: Features, truth: NDArray[np.bool_], folds: NDArray[np.int64], strength: float
) -> NDArray[np.float64]:
    crossed = np.zeros(len(truth))
    for fold in np.unique(folds):
        here, there = folds == fold, folds != fold
        if truth[there].all() or not truth[there].any():
            raise OneClass(
                "a part of the examples holds one class only: the patients of the other are too few to split"
            )
        centre, scale, weights, offset = _line(features[there], truth[there], strength)
        crossed[here] = ((features[here] - centre) / scale) @ weights + offset
    return crossed


def _line(features: Features, truth: NDArray[np.bool_], strength: float) -> tuple[Features, Features, Features, float]:
    from sklearn.linear_model import LogisticRegression

    centre, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    model: Any = LogisticRegression(C=strength, class_weight="balanced", max_iter=2000)
    model.fit((features - centre) / scale, truth)
    return centre, scale, model.coef_[0].astype(np.float32), float(model.intercept_[0])


class _Heads(nn.Module):
    """Encoder and lines as one network, for export."""

    def __init__(self, taught: TaughtEncoder, heads: Sequence[FrozenHead]) -> None:
        super().__init__()
        self.embedding = Embedding(taught)
        width = len(heads[0].weights)
        self.line = nn.Linear(width, len(heads))
        slopes = np.stack([head.weights / head.scale for head in heads])
        offsets = np.array([head.offset - float(head.centre @ (head.weights / head.scale)) for head in heads])
        with torch.no_grad():
            self.line.weight.copy_(torch.from_numpy(slopes))
            self.line.bias.copy_(torch.from_numpy(offsets.astype(np.float32)))

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Return one logit per head, (N, heads)."""
        return (self.line(self.embedding(images)),)


def export_heads(taught: TaughtEncoder, heads: Sequence[FrozenHead], path: Path) -> float:
    """Write encoder and heads as one ONNX graph (``image`` -> ``finding``); return its difference to torch."""
    network = _Heads(taught, heads).eval()
    random = np.random.default_rng(0)
    inputs = {"image": random.random((3, 1, *taught.network.shape), dtype=np.float32)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of every constant; the proof in the next line is what counts
        export_onnx(network, {"image": inputs["image"][:2]}, path, output_names=["finding"])
    return worst_difference(network, path, inputs, limit=1e-3)
