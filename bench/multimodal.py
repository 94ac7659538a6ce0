"""What clinical data add to the image: the same network with and without age, sex and view, cross-fitted by patient.

``python bench/multimodal.py --data FOLDER``: the chest radiograph subset, one small network for six findings; AUC out
of fold with and without covariates, and their paired difference (DeLong, clustered by patient).
"""

import argparse
import csv
import io
import json
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from coread.statistics.roc import compare_aucs
from coread.train.arrays import ArraySet
from coread.train.fit import FitPlan, fit
from coread.train.fitting import use_threads
from coread.train.networks import NetworkPlan
from coread.train.splits import patient_folds
from coread.train.tasks import MultiLabel

FINDINGS = ("Pneumothorax", "Effusion", "Cardiomegaly", "Infiltration", "Nodule", "Atelectasis")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with index.csv and images.zip")
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    use_threads(1)
    with (chosen.data / "index.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    data = _arrays(chosen.data, rows, chosen.side)
    truth = np.asarray(data.targets["finding"]) > 0.5
    folds = patient_folds(list(data.groups), truth, folds=chosen.folds, seed=0)
    said = {name: np.zeros(truth.shape) for name in ("image", "image and clinical data")}
    for name, logits in said.items():
        used = data if "clinical" in name else replace(data, covariates=None)
        for fold in range(chosen.folds):
            logits[folds == fold] = _fold(used, folds != fold, folds == fold, chosen.epochs)
            sys.stderr.write(f"{name}, fold {fold + 1} of {chosen.folds}\n")
    results = []
    sys.stdout.write(
        "| finding | image | image and clinical data | difference (95 % interval) | p |\n|---|---|---|---|---|\n"
    )
    for k, finding in enumerate(FINDINGS):
        one = compare_aucs(truth[:, k], said["image and clinical data"][:, k], said["image"][:, k], list(data.groups))
        gap = one.difference
        results.append({"finding": finding, "with": one.first.value, "without": one.second.value, "p": one.p_value})
        sys.stdout.write(
            f"| {finding} | {one.second.value:.3f} | {one.first.value:.3f} | {gap.value:+.3f} "
            f"({gap.low:+.3f} to {gap.high:+.3f}) | {one.p_value:.3f} |\n"
        )
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=1))
    return 0


def _arrays(folder: Path, rows: list[dict[str, str]], side: int) -> ArraySet:
    images = np.empty((len(rows), 1, side, side), np.uint8)
    with zipfile.ZipFile(folder / "images.zip") as archive:
        members = {Path(member).name: member for member in archive.namelist()}
        for number, row in enumerate(rows):
            picture = Image.open(io.BytesIO(archive.read(members[row["image"]]))).convert("L")
            images[number, 0] = np.asarray(picture.resize((side, side), Image.Resampling.BOX))
    truth = np.array([[float(name in row["labels"].split("|")) for name in FINDINGS] for row in rows], np.float32)
    clinical = np.array([[_number(row["age"]), _one_of(row["sex"], "M"), _one_of(row["view"], "AP")] for row in rows])
    names = [row["image"] for row in rows]
    return ArraySet(images, {"finding": truth}, [row["patient_id"] for row in rows], names, clinical.astype(np.float32))


def _fold(data: ArraySet, learn: np.ndarray, judge: np.ndarray, epochs: int) -> np.ndarray:
    plan = FitPlan(
        epochs=epochs, learning_rate=2e-3, average_decay=0.97,
        network=NetworkPlan(widths=(16, 32, 64, 96), depths=(1, 1, 1, 1), stem_stride=2),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit(data.subset(learn), [MultiLabel("finding", FINDINGS)], plan, Path(folder) / "fit")
    return fitted.predict(data.subset(judge), flips=True)["finding"]


def _number(text: str) -> float:
    return float(text) if text else float("nan")


def _one_of(text: str, wanted: str) -> float:
    return float(text == wanted) if text else float("nan")


if __name__ == "__main__":
    raise SystemExit(main())
