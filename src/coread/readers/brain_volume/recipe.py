"""How the networks were made: ``python -m coread.readers.brain_volume.recipe NETWORK --data D --out O``.

Needs the extra ``train``. NETWORK is ``tissue`` or ``hippocampus``. The tissue network sees drawn heads only
(``drawn_heads``): two thirds from the tissue maps of the ICBM 2009a average, one third from the project's phantom. The
hippocampus network is one fit on all crops that are not held out; on the same it is set how much surer than elsewhere
a part must be. ``python -m bench.brain_volume`` measures and locks.
"""

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.readers.brain_volume.cohort import arrays_of, read_crops
from coread.readers.brain_volume.drawn_heads import DrawnHead, drawn_head
from coread.readers.brain_volume.drawn_labels import Labels, average_brain
from coread.readers.brain_volume.on_phantoms import phantom_heads
from coread.readers.brain_volume.outputs import HIPPOCAMPUS, PART_NAMES, PARTS, TISSUE, TISSUE_NAMES
from coread.statistics.overlap import dice
from coread.train.arrays import ArraySet
from coread.train.augmenting import AugmentPlan
from coread.train.exporting import export
from coread.train.fit import FitPlan, Fitted, fit
from coread.train.fitting import use_threads
from coread.train.networks import NetworkPlan
from coread.train.progress import EpochLog
from coread.train.tasks import Segmentation

SEED = 20261129
DRAWN_HEADS = 300
DRAWN_TO_TUNE = 12
TISSUE_PLAN = FitPlan(
    epochs=3,
    batch=2,
    learning_rate=2e-3,
    average_decay=0.99,
    augment=AugmentPlan(
        rotation_degrees=0, scale=0, aspect=0, shift=0, mirror=(-1,), gamma=0.3, contrast=0.1, sharpness=0.3,
        noise=0.02, erase=0.0,
    ),
    network=NetworkPlan(kind="unet", widths=(16, 32, 64, 96), map_width=8, map_stride=1, norm="instance"),
    seed=SEED,
)  # fmt: skip
HIPPOCAMPUS_HEADS = (Segmentation(PARTS, PART_NAMES, dice_share=0.6),)
HIPPOCAMPUS_PLAN = FitPlan(
    epochs=30,
    batch=2,
    learning_rate=1.5e-3,
    average_decay=0.99,
    augment=AugmentPlan(
        rotation_degrees=15, scale=0.15, aspect=0.08, shift=0.08, mirror=(-1,), gamma=0.35, contrast=0.15,
        sharpness=0.5, noise=0.04, erase=0.0,
    ),
    network=NetworkPlan(kind="unet", widths=(16, 32, 64, 128), map_width=16, map_stride=1, norm="instance"),
)  # fmt: skip
OFFSETS = tuple(float(offset) for offset in np.arange(-1, 3.01, 0.25))
"""Added to the logit of elsewhere in turn: networks taught by soft Dice outline too much when unsure (Bertels 2019)."""
AS_GOOD = 0.001
"""Mean Dice that an offset may lose where volumes come closer to the drawn ones."""
log = logging.getLogger("coread.train")


def fit_hippocampus(data: Path, out: Path) -> Path:
    """Fit on the crops that are not held out, for a number of epochs fixed beforehand, and write the graph."""
    learnt = arrays_of([crop for crop in read_crops(data) if not crop.held_out])
    log.info("%d volumes to learn from", len(learnt))
    fitted = fit(learnt, HIPPOCAMPUS_HEADS, HIPPOCAMPUS_PLAN, out / HIPPOCAMPUS, watchers=[EpochLog(HIPPOCAMPUS)])
    logits = fitted.predict(learnt, flips=True, batch=4)[PARTS]
    add_to_elsewhere(fitted, best_offset(logits, np.asarray(learnt.targets[PARTS])))
    export(fitted, out / f"{HIPPOCAMPUS}.onnx", flips=True, storage="float16")
    return out / f"{HIPPOCAMPUS}.onnx"


def best_offset(logits: NDArray[np.float32], truth: NDArray[np.uint8]) -> float:
    """Return which of OFFSETS to add to the first of logits (N, 1 + parts, *spatial).

    Of those whose mean Dice over volumes and parts is the highest, or lower by AS_GOOD at most, the one whose volumes
    differ least from the true ones in the mean. ``truth`` (N, *spatial) holds 0 elsewhere, k part k, and never only 0.
    """
    scores, errors = [], []
    for offset in OFFSETS:
        shift = np.zeros((1, logits.shape[1], 1, 1, 1), dtype=np.float32)
        shift[:, 0] = offset
        labels = (logits + shift).argmax(axis=1)
        each = [mean_dice(labels == part, truth == part) for part in range(1, logits.shape[1])]
        scores.append(float(np.mean(each)))
        errors.append(float(np.mean((labels > 0).sum(axis=(1, 2, 3)) / (truth > 0).sum(axis=(1, 2, 3)))) - 1)
        log.info("offset %.2f: Dice %s, volume error %+.1f %%", offset, np.round(each, 4).tolist(), 100 * errors[-1])
    good = np.asarray(scores) >= max(scores) - AS_GOOD
    return OFFSETS[int(np.argmin(np.where(good, np.abs(errors), np.inf)))]


def mean_dice(said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return the mean Dice over masks (N, *spatial); where nothing is said and nothing is there it is 1."""
    each = [dice(true, one) for one, true in zip(said, truth, strict=True)]
    return float(np.mean(each))


def add_to_elsewhere(fitted: Fitted, offset: float) -> None:
    """Add to the logit of elsewhere within the network: the exported graph then needs no setting."""
    import torch

    layer: Any = fitted.network.heads[f"head_{PARTS}"]
    with torch.no_grad():
        layer.bias[0] += offset


def drawn(sources: Sequence[Labels], count: int, seed: int) -> ArraySet:
    """Return so many heads: of every three, two from the first source and one from one of the others."""
    heads: list[DrawnHead] = []
    for number in range(count):
        random = np.random.default_rng([seed, number])
        source = sources[0] if number % 3 else sources[1 + number // 3 % (len(sources) - 1)]
        heads.append(drawn_head(source, random))
    names = [f"{seed}-{number}" for number in range(count)]
    images: NDArray[np.uint8] = np.stack([head.image for head in heads])[:, np.newaxis]
    tissue: NDArray[np.uint8] = np.stack([head.tissue for head in heads])
    return ArraySet(images, {TISSUE: tissue}, groups=names, keys=names)


def fit_tissue(data: Path, out: Path) -> Path:
    """Draw (once), fit, and write the graph."""
    kept = draw(data, out)
    with np.load(kept, allow_pickle=False) as arrays:
        sets = [_set(arrays[name], arrays[f"{name} {TISSUE}"]) for name in ("fit", "tune")]
    heads = (Segmentation(TISSUE, TISSUE_NAMES, dice_share=0.6),)
    fitted = fit(sets[0], heads, TISSUE_PLAN, out / TISSUE, sets[1], watchers=[EpochLog(TISSUE)])
    report = export(fitted, out / f"{TISSUE}.onnx", flips=True, storage="float16")
    log.info("%s", json.dumps({"bytes": report.size, "last": dict(fitted.history[-1])}))
    return out / f"{TISSUE}.onnx"


def draw(data: Path, out: Path) -> Path:
    """Draw the heads, once; return where they lie."""
    kept = out / "drawn.npz"
    if not kept.is_file():
        out.mkdir(parents=True, exist_ok=True)
        sources = (average_brain(data), *phantom_heads())
        parts = {"fit": drawn(sources, DRAWN_HEADS, SEED), "tune": drawn(sources, DRAWN_TO_TUNE, SEED + 1)}
        arrays = {name: np.asarray(part.images) for name, part in parts.items()}
        arrays |= {f"{name} {TISSUE}": np.asarray(part.targets[TISSUE]) for name, part in parts.items()}
        np.savez_compressed(kept, allow_pickle=False, **arrays)
    return kept


def _set(images: NDArray[np.uint8], tissue: NDArray[np.uint8]) -> ArraySet:
    names = [str(number) for number in range(len(images))]
    return ArraySet(images, {TISSUE: tissue}, groups=names, keys=names)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the shell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=(TISSUE, HIPPOCAMPUS))
    parser.add_argument("--data", type=Path, required=True, help="folder of brain_mr_mni152 or brain_mr_hippocampus")
    parser.add_argument("--out", type=Path, required=True, help="folder for the fit and the graph")
    parser.add_argument("--threads", type=int, default=1, help="processor threads for fitting")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    use_threads(chosen.threads)
    (fit_tissue if chosen.network == TISSUE else fit_hippocampus)(chosen.data, chosen.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
