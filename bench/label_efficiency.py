"""How few labels are enough: from nothing, from an encoder taught without labels, and with the unlabelled images too.

``python -m bench.label_efficiency --data FOLDER --encoder FOLDER --out FOLDER``: three sets, 1 to 100 % of the labels
of the training groups, three seeds; AUC on groups that neither fits nor encoder saw. Goes on where it was stopped.
"""

import argparse
import csv
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coread.statistics.roc import auc
from coread.train.arrays import ArraySet
from coread.train.augmenting import AugmentPlan
from coread.train.corpus import fitted_square
from coread.train.fit import FitPlan, fit
from coread.train.fitting import use_threads
from coread.train.selfsupervised import TaughtEncoder, read_encoder
from coread.train.semisupervised import SemiPlan, Unlabelled
from coread.train.splits import held_out
from coread.train.tasks import MultiLabel

SHARES = (0.01, 0.05, 0.10, 0.25, 1.0)
METHODS = ("supervised", "pretrained", "pretrained + semi-supervised")
SEEDS = (0, 1, 2)
STEPS = 90
FEWEST = 2
"""Labelled images of each class that every share has at least."""


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One set: grey squares (N, 1, side, side), truth, groups, and which rows are only measured on."""

    name: str
    images: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    groups: tuple[str, ...]
    test: NDArray[np.bool_]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default="", help="one of the sets")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--show", action="store_true", help="only print the table and draw the curve of what is there")
    chosen = parser.parse_args()
    if chosen.show:
        return show(chosen.out)
    use_threads(1)
    taught = read_encoder(chosen.encoder)
    side = taught.network.shape[0]
    for read in TASKS:
        if not chosen.only or read.__name__ == chosen.only:
            _task(read(chosen.data, side), taught, chosen.out, chosen.seeds)
    return 0


def _task(task: Task, taught: TaughtEncoder, out: Path, seeds: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{task.name}.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else []
    done = {(row["share"], row["method"], row["seed"]) for row in rows}
    for seed in SEEDS[:seeds]:
        for share in SHARES:
            for method in METHODS:
                if (share, method, seed) in done or (share == 1.0 and "semi" in method):
                    continue
                rows.append(_row(task, taught, share, method, seed))
                path.write_text(json.dumps(rows, indent=1))
                print(rows[-1], flush=True)


def _row(task: Task, taught: TaughtEncoder, share: float, method: str, seed: int) -> dict[str, Any]:
    import tempfile

    labelled = labelled_rows(task, share, seed)
    rest = np.setdiff1d(np.flatnonzero(~task.test), labelled)
    data = ArraySet(
        task.images,
        {"finding": task.truth.astype(np.float32)[:, None]},
        task.groups,
        [str(i) for i in range(len(task.truth))],
    )
    steps = max(30, min(STEPS, 3 * STEPS * len(labelled) // 400))
    plan = FitPlan(
        epochs=1, epoch_steps=steps, batch=32, average_decay=0.95,
        learning_rate=2e-3 if method == "supervised" else 1e-3,
        augment=AugmentPlan(rotation_degrees=10, scale=0.15), network=replace(taught.network, dropout=0.2), seed=seed,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit(
            data.subset(labelled), [MultiLabel("finding", ("finding",))], plan, Path(folder) / "fit",
            encoder=None if method == "supervised" else taught.weights,
            unlabelled=Unlabelled(task.images[rest], SemiPlan(batch=32)) if "semi" in method else None,
        )  # fmt: skip
    test = np.flatnonzero(task.test)
    said = fitted.predict(task.images[test], flips=True)["finding"][:, 0]
    return {
        "share": share, "method": method, "seed": seed, "labelled": len(labelled), "steps": steps,
        "positives": int(task.truth[labelled].sum()), "auc": round(auc(task.truth[test], said), 4), "n_test": len(test),
    }  # fmt: skip


def labelled_rows(task: Task, share: float, seed: int) -> NDArray[np.int64]:
    """Draw the labelled rows: a share of each class of the training groups, nested from share to share."""
    random = np.random.default_rng((seed, 7))
    chosen = []
    for positive in (False, True):
        rows = np.flatnonzero(~task.test & (task.truth == positive))
        chosen.append(random.permutation(rows)[: max(FEWEST, round(share * len(rows)))])
    return np.sort(np.concatenate(chosen))


def breast(data: Path, side: int) -> Task:
    """Malignant or not on breast ultrasound; groups held out."""
    folder = data / "breast_us_busi"
    rows = _table(folder)
    images = _squares(folder, [row["image"] for row in rows], side)
    groups = tuple(row["group_id"] for row in rows)
    test = np.array([held_out("breast_us_busi", group) for group in groups])
    return Task("breast", images, np.array([row["label"] == "malignant" for row in rows]), groups, test)


def nodules(data: Path, side: int) -> Task:
    """Nodule or not at lung nodule candidates; the set's own later blocks are measured on."""
    folder = data / "ct_lung_nodule_candidates"
    rows = _table(folder)
    images = _squares(folder, [row["image"] for row in rows], side)
    test = np.array([row["split"] != "train" for row in rows])
    groups = tuple(f"{row['split']} {number // 20}" for number, row in enumerate(rows))
    return Task("nodules", images, np.array([row["label"] == "1" for row in rows]), groups, test)


def pneumonia(data: Path, side: int) -> Task:
    """Pneumonia or not in children's chests (PneumoniaMNIST, 28 px); the set's own validation part is measured on."""
    with np.load(data / "pneumoniamnist" / "pneumoniamnist.npz") as arrays:
        stacks = [arrays["train_images"], arrays["val_images"]]
        truth = np.concatenate([arrays["train_labels"].ravel(), arrays["val_labels"].ravel()]) == 1
    pictures = np.concatenate(stacks)
    test = np.arange(len(pictures)) >= len(stacks[0])
    seen = {picture.tobytes() for picture in stacks[0]}
    keep = np.array([not late or picture.tobytes() not in seen for late, picture in zip(test, pictures, strict=True)])
    images = np.stack([fitted_square(Image.fromarray(picture), side) for picture in pictures[keep]])[:, None]
    return Task("pneumonia", images, truth[keep], tuple(str(i) for i in range(len(images))), test[keep])


def show(out: Path) -> int:
    """Print a table of means and single seeds, and draw ``label-efficiency.png``."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    found = {path.stem: json.loads(path.read_text()) for path in sorted(out.glob("*.json"))}
    figure, axes = pyplot.subplots(1, len(found), figsize=(4.2 * len(found), 3.6), sharey=True, squeeze=False)
    for (name, rows), axis in zip(found.items(), axes[0], strict=True):
        tested = rows[0]["n_test"]
        print(f"\n### {name} (n = {tested} measured on)\n\n| labels | " + " | ".join(METHODS) + " |")
        print("|---|" + "---|" * len(METHODS))
        for share in SHARES:
            labelled = next((row["labelled"] for row in rows if row["share"] == share), 0)
            cells = []
            for method in METHODS:
                values = [row["auc"] for row in rows if (row["share"], row["method"]) == (share, method)]
                each = ", ".join(f"{value:.3f}" for value in values)
                cells.append(f"{np.mean(values):.3f} ({each})" if values else "-")
            print(f"| {share:.0%} ({labelled}) | " + " | ".join(cells) + " |")
        for method in METHODS:
            points = [
                (share, [row["auc"] for row in rows if (row["share"], row["method"]) == (share, method)])
                for share in SHARES
            ]
            points = [(share, values) for share, values in points if values]
            line = axis.plot(
                [share * 100 for share, _ in points], [np.mean(values) for _, values in points], label=method
            )
            for share, values in points:
                axis.scatter([share * 100] * len(values), values, s=9, alpha=0.5, color=line[0].get_color())
        axis.set(xscale="log", xlabel="labels used, %", title=f"{name} (n = {tested})")
        axis.set_xticks([1, 5, 10, 25, 100], ["1", "5", "10", "25", "100"])
        axis.grid(alpha=0.25)
    axes[0][0].set_ylabel("AUC, held-out groups")
    axes[0][0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(out / "label-efficiency.png", dpi=110)
    return 0


TASKS: tuple[Callable[[Path, int], Task], ...] = (breast, nodules, pneumonia)


def _table(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def _squares(folder: Path, names: list[str], side: int) -> NDArray[np.uint8]:
    with zipfile.ZipFile(folder / "images.zip") as archive:
        members = {Path(member).name: member for member in archive.namelist()}
        pictures = [Image.open(io.BytesIO(archive.read(members[name]))).convert("L") for name in names]
    return np.stack([fitted_square(picture, side) for picture in pictures])[:, None]


if __name__ == "__main__":
    raise SystemExit(main())
