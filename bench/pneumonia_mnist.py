"""PneumoniaMNIST at 28 pixels: one small network, learnt in minutes, measured on the set's own validation part.

``python bench/pneumonia_mnist.py --data FOLDER/pneumoniamnist.npz --out FOLDER`` (extra ``train``). Pictures that stand
twice in the training part, and those that also stand in the validation part, are left out of the training.
"""

import argparse
import hashlib
import json
import logging
from pathlib import Path

import numpy as np

from coread.statistics.confusion import accuracy_at
from coread.statistics.roc import auc_delong
from coread.train.arrays import ArraySet
from coread.train.augmenting import AugmentPlan
from coread.train.fit import FitPlan, fit
from coread.train.fitting import use_threads
from coread.train.networks import NetworkPlan
from coread.train.progress import EpochLog
from coread.train.tasks import MultiLabel

HEAD = "pneumonia"
PLAN = FitPlan(
    epochs=8,
    batch=48,
    learning_rate=2.5e-3,
    average_decay=0.99,
    augment=AugmentPlan(
        rotation_degrees=8, scale=0.1, aspect=0.05, shift=0.06, mirror=(-1,), gamma=0.2, contrast=0.1, sharpness=0.2,
        noise=0.02, erase=0.1, mixup=0.1,
    ),
    network=NetworkPlan(kind="residual", stem_stride=1, widths=(24, 48, 96), depths=(1, 1, 1), standardise=True),
)  # fmt: skip


def digests(images: np.ndarray) -> list[str]:
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in images]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    use_threads(chosen.threads)
    with np.load(chosen.data) as stored:
        arrays = {name: stored[name] for name in stored.files}
    held, names = digests(arrays["val_images"]), digests(arrays["train_images"])
    first = {name: number for number, name in reversed(list(enumerate(names)))}
    kept = np.array([first[name] == number and name not in set(held) for number, name in enumerate(names)])
    images = arrays["train_images"][kept][:, None]
    labels = arrays["train_labels"][kept].astype(np.float32)
    keys = [str(number) for number in np.flatnonzero(kept)]
    fitted = fit(
        ArraySet(images, {HEAD: labels}, keys, keys), [MultiLabel(HEAD, (HEAD,), balance=False, smoothing=0.05)], PLAN,
        chosen.out, watchers=[EpochLog(HEAD)],
    )  # fmt: skip
    truth = arrays["val_labels"][:, 0] > 0
    said = fitted.predict(arrays["val_images"][:, None], flips=True)[HEAD][:, 0]
    # Mixed and covered pictures shift the logits: the threshold is the one most often right on the training part.
    learnt = fitted.predict(images, flips=True)[HEAD][:, 0]
    steps = np.quantile(learnt, np.linspace(0, 1, 1001))
    threshold = float(steps[np.argmax([((learnt >= step) == (labels[:, 0] > 0)).mean() for step in steps])])
    area, called = auc_delong(truth, said), accuracy_at(truth, said, threshold)
    found = {
        "left_out_of_training": int((~kept).sum()), "learnt_from": int(kept.sum()), "measured_on": len(truth),
        "threshold": round(threshold, 3),
        "auc": [round(v, 4) for v in (area.value, area.low, area.high)],
        "accuracy": [round(v, 4) for v in (called.accuracy.value, called.accuracy.low, called.accuracy.high)],
        "sensitivity": round(called.sensitivity.value, 4), "specificity": round(called.specificity.value, 4),
    }  # fmt: skip
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
