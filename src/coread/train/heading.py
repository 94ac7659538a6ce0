"""Steps with few labels, as commands do them: teach an encoder, fit a head on it, say what to label next.

Each leaves a folder with ``record.json``; a finished folder is never changed.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from PIL import Image

from coread.domain.errors import CoreadError
from coread.models.calibration import Calibration, calibration_to_json
from coread.models.calibration import Platt as RuntimePlatt
from coread.models.lineage import RECORD, StepRecord, read_record, sha256_of, write_record
from coread.models.predictions import FILE as PREDICTIONS
from coread.models.predictions import write_predictions
from coread.train.corpus import FACTS as CORPUS_FACTS
from coread.train.corpus import PICTURES, build_corpus, fitted_square
from coread.train.datasets import ImageIndex, read_index
from coread.train.decoded import display_values
from coread.train.environment import ENVIRONMENT, keep_environment
from coread.train.errors import BadPlan, CorruptImage, DataMissing, DatasetExists
from coread.train.fit import write_json
from coread.train.frozen_heads import FrozenHead, crossed_logits, embed, export_heads, fit_head
from coread.train.next_labels import Suggestion, suggest
from coread.train.pictures import PictureStore
from coread.train.recipes import ImagePlan
from coread.train.selfsupervised import ENCODER, FACTS, SelfPlan, TaughtEncoder, read_encoder, teach_encoder

OWN_ENCODER = Path(__file__).with_name("encoder")
"""The encoder that comes with Coread: taught by ``coread pretrain``; its own README says on what."""
NETWORK, HEAD = "network.onnx", "head.json"
Progress = Callable[[str, int, int], None]
_CORPUS = "corpus"
LEARNED_FROM = ("", "train", "tune")
"""Parts of a data set that heads learn from; all others are kept for measuring."""


@dataclass(frozen=True, slots=True, eq=False)
class HeadRun:
    """A fitted head and where it lies."""

    folder: Path
    head: FrozenHead
    left_out: dict[str, str]
    record: StepRecord

    def document(self) -> dict[str, Any]:
        """Return what was measured as plain data."""
        return head_document(self.head) | {
            "folder": str(self.folder), "left_out": self.left_out, "record": self.record.digest
        }  # fmt: skip


class _Tell(Callback):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:  # noqa: ARG002
        """Say how many steps are done."""
        self._progress("teaching", trainer.global_step, trainer.estimated_stepping_batches)


def pretrain(
    sources: Sequence[Path],
    out: Path,
    plan: SelfPlan,
    *,
    side: int,
    most: int = 0,
    leave_out: Sequence[str] = (),
    progress: Progress = lambda *_: None,
) -> TaughtEncoder:
    """Teach an encoder on the pictures below ``sources``; a finished folder is read back, a broken one goes on.

    ``leave_out`` are parts of names (``folder/archive!member``): patients that something is to be measured on.
    """
    settings = {
        "sources": [str(one) for one in sources], "side": side, "most": most, "leave_out": list(leave_out),
        "plan": json.loads(json.dumps(asdict(plan))),
    }  # fmt: skip
    if (out / RECORD).is_file():
        stored = read_record(out).settings
        if differing := sorted(name for name in settings if stored.get(name) != settings[name]):
            raise BadPlan(
                f"{out} holds an encoder of another run ({', '.join(differing)} differ): choose another --out"
            )
        return read_encoder(out)
    corpus = build_corpus(
        sources,
        out / _CORPUS,
        side=side,
        most=most,
        keep=lambda name: not any(part in name for part in leave_out),
        progress=lambda done, total, _: progress("reading pictures", done, total),
    )
    taught = teach_encoder(np.asarray(corpus.pictures), plan, out, watchers=[_Tell(progress)])
    inputs = {name: sha256_of(out / _CORPUS / name) for name in (PICTURES, CORPUS_FACTS)}
    made = {"pictures": len(corpus.pictures), "left_out": corpus.left_out}
    write_record(out, "pretrain", inputs=inputs, outputs=[ENCODER, FACTS], settings=settings | made)
    return taught


def make_head(
    dataset: Path, label: str, out: Path, encoder: Path | None = None, progress: Progress = lambda *_: None
) -> HeadRun:
    """Fit a head for one label of a data set on a taught encoder; write graph, calibration, predictions and record.

    Only rows of the parts ``train`` and ``tune`` are used, or all of a set that was not split.

    Raises DatasetExists for a finished folder, DataMissing for a label that no row has, OneClass for too few examples.
    """
    if (out / RECORD).is_file():
        raise DatasetExists(f"{out} holds a finished run; choose another --out")
    index, taught = read_index(dataset), read_encoder(encoder or OWN_ENCODER)
    rows = _rows_with(index, label)
    pictures, left_out = thumbnails(index, rows, taught.network.shape[0], progress)
    kept = [row for row in rows if index.rows[row].image_id not in left_out]
    truth = np.array([float(index.rows[row].labels[label] or 0) >= 0.5 for row in kept])
    groups = [index.rows[row].group for row in kept]
    features = embed(taught, pictures)
    head = fit_head(label, features, truth, groups)
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    difference = export_heads(taught, [head], part / NETWORK)
    keep_environment(part)
    crossed = crossed_logits(features, truth, groups, head.strength)
    write_predictions(
        part / PREDICTIONS,
        [
            (index.rows[row].image_id, groups[k], "out of fold", label, float(truth[k]), float(crossed[k]))
            for k, row in enumerate(kept)
        ],
    )
    curve = Calibration(((label, RuntimePlatt(head.platt.a, head.platt.b)),))
    (part / "calibration.json").write_text(calibration_to_json(curve), encoding="utf-8")
    write_json(part / HEAD, head_document(head) | {"difference_to_torch": difference, "side": taught.network.shape[0]})
    where = encoder or OWN_ENCODER
    record = write_record(
        part,
        "train",
        inputs={"dataset": index.digest, ENCODER: sha256_of(where / ENCODER)},
        outputs=[NETWORK, PREDICTIONS, "calibration.json", HEAD, ENVIRONMENT],
        parents=[read_record(dataset), *([read_record(where)] if (where / RECORD).is_file() else [])],
        settings={
            "label": label,
            "images": len(kept),
            "left_out": left_out,
            "parts": sorted({index.rows[row].part for row in kept}),
        },
    )
    part.replace(out)
    return HeadRun(out, head, left_out, record)


def suggest_next(
    dataset: Path, label: str, *, count: int, encoder: Path | None = None, progress: Progress = lambda *_: None
) -> tuple[ImageIndex, tuple[Suggestion, ...]]:
    """Say which images to label next for a finding; rows with the label teach a head, the others are asked."""
    index, taught = read_index(dataset), read_encoder(encoder or OWN_ENCODER)
    everything = [number for number, row in enumerate(index.rows) if row.part in LEARNED_FROM]
    if not everything:
        raise DataMissing(f"{index.name} has no row to learn from: none is in part train or tune")
    pictures, left_out = thumbnails(index, everything, taught.network.shape[0], progress)
    kept = [row for row in everything if index.rows[row].image_id not in left_out]
    features = embed(taught, pictures)
    known = np.array([k for k, row in enumerate(kept) if index.rows[row].labels.get(label) is not None], dtype=np.int64)
    groups = [index.rows[row].group for row in kept]
    probabilities = None
    if len(known):
        truth = np.array([float(index.rows[kept[k]].labels[label] or 0) >= 0.5 for k in known])
        if min(truth.sum(), (~truth).sum()) >= 10:
            head = fit_head(label, features[known], truth, [groups[k] for k in known])
            probabilities = head.platt.probabilities(head.logits(features))
    chosen = suggest(features, groups, count=count, probabilities=probabilities, labelled=known)
    return index, tuple(Suggestion(kept[one.row], one.uncertainty, one.distance) for one in chosen)


def thumbnails(
    index: ImageIndex, rows: Sequence[int], side: int, progress: Progress
) -> tuple[NDArray[np.uint8], dict[str, str]]:
    """Return grey squares (N, 1, side, side) of these rows and the images that could not be opened with the reason."""
    plan = ImagePlan(side=(side, side))
    made: list[NDArray[np.uint8]] = []
    left_out: dict[str, str] = {}
    with PictureStore.of(index) as store:
        for number, row in enumerate(rows, start=1):
            try:
                pixels = display_values(store, index.rows[row], plan)
                grey = Image.fromarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8))
                made.append(fitted_square(grey, side))
            except (DataMissing, CorruptImage, CoreadError) as problem:
                left_out[index.rows[row].image_id] = str(problem)
            progress("reading images", number, len(rows))
    if not made:
        raise DataMissing(f"no image of {index.name} could be opened: {next(iter(left_out.values()), 'it has none')}")
    return np.stack(made)[:, None], left_out


def head_document(head: FrozenHead) -> dict[str, Any]:
    """Return what is known of a head as plain data."""
    return {
        "label": head.name, "auc": asdict(head.auc), "positives": head.positives, "negatives": head.negatives,
        "strength": head.strength, "measured": "out of fold over patients, on the examples it was fitted on",
    }  # fmt: skip


def _rows_with(index: ImageIndex, label: str) -> list[int]:
    if label not in index.labels:
        raise DataMissing(f"{index.name} has no label {label!r}; it has {', '.join(index.labels) or 'none'}")
    rows = [
        number
        for number, row in enumerate(index.rows)
        if row.part in LEARNED_FROM and row.labels.get(label) is not None
    ]
    if not rows:
        raise DataMissing(f"{index.name} has no row with {label!r} to learn from: none is in part train or tune")
    return rows
