"""What clinical data add to the image: the same recipe without them, with each kind, with all, compared in pairs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from coread.models.lineage import RECORD, read_record, sha256_of, write_record
from coread.models.predictions import FILE as PREDICTIONS
from coread.models.predictions import OutputPredictions, read_predictions
from coread.statistics.errors import NotEstimable
from coread.statistics.roc import compare_aucs
from coread.train.clinical import INDICATION, LAB, PRIORS
from coread.train.errors import BadPlan
from coread.train.fit import write_json
from coread.train.recipes import Recipe, read_recipe
from coread.train.running import Progress, run_plan

TABLE = "ablation.json"
IMAGE, ALL = "image", "image and all"


@dataclass(frozen=True, slots=True)
class Gain:
    """What a variant says against the image alone, for one output, on the same cases."""

    output: str
    variant: str
    auc: float
    image_auc: float
    difference: float
    low: float
    high: float
    p_value: float
    cases: int


@dataclass(frozen=True, slots=True)
class Ablation:
    """Where it lies, the part that was judged on, the gains, and what could not be judged (output -> why)."""

    folder: Path
    part: str
    gains: tuple[Gain, ...]
    left_out: Mapping[str, str]

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "run": str(self.folder), "part": self.part, "left_out": dict(self.left_out),
            "gains": [{name: getattr(gain, name) for name in Gain.__slots__} for gain in self.gains],
        }  # fmt: skip


def run_ablation(path: Path, out: Path, progress: Progress = lambda _what, _done, _total: None) -> Ablation | None:
    """Fit every variant of a recipe below ``out`` and compare it with the image alone; finished fits are read back.

    Judged on the test part where there is one, else on tune (cross-fitted with ``folds``). Differences of AUC with
    DeLong's interval, patients as clusters. Raises BadPlan for a recipe without covariates. Returns ``None`` in every
    process but the first of several.
    """
    recipe = read_recipe(path)
    if not recipe.covariates:
        raise BadPlan(f"{path} names no covariates, so there is nothing to leave out")
    runs = {}
    for name, covariates in variants(recipe).items():
        folder = out / name.replace(" ", "_").replace(":", "_")
        shared = replace(recipe, covariates=covariates, cache=recipe.cache or out.resolve() / "cache")
        if run_plan(shared, path, folder, partial(_tell, progress, name)) is None:
            return None
        runs[name] = folder
    ablation = _compared(recipe, out, runs)
    if not (out / RECORD).is_file():
        write_json(out / TABLE, json.loads(json.dumps(ablation.document())))
        write_record(
            out, "ablation", inputs={"recipe": sha256_of(path)}, outputs=[TABLE],
            parents=[read_record(folder) for folder in runs.values()], settings={"variants": list(runs)},
        )  # fmt: skip
    return ablation


def _tell(progress: Progress, name: str, what: str, done: int, total: int) -> None:
    progress(f"{name}: {what}", done, total)


def variants(recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """Return the covariates of each variant: none, each kind alone where there are several, all."""
    kinds: dict[str, list[str]] = {}
    for name in recipe.covariates:
        kinds.setdefault(_kind(name), []).append(name)
    each = {f"image and {kind}": tuple(names) for kind, names in kinds.items()} if len(kinds) > 1 else {}
    return {IMAGE: (), **each, ALL: recipe.covariates}


def _kind(name: str) -> str:
    """``view:AP`` and ``view:PA`` are one kind, as are all flags of an indication and a value with its age in days."""
    for prefix in (INDICATION, PRIORS):
        if name.startswith(prefix):
            return prefix.rstrip("_")
    return name.removesuffix("_days") if name.startswith(LAB) else name.partition(":")[0]


def _compared(recipe: Recipe, out: Path, runs: Mapping[str, Path]) -> Ablation:
    said = {name: _predictions(folder, recipe) for name, folder in runs.items()}
    part = said[IMAGE][0]
    gains: list[Gain] = []
    left_out: dict[str, str] = {}
    for alone in said[IMAGE][1]:
        for name in runs:
            if name == IMAGE or alone.output in left_out:
                continue
            beside = next(one for one in said[name][1] if one.output == alone.output)
            try:
                gains.append(_gain(name, alone, beside))
            except NotEstimable as problem:
                left_out[alone.output] = str(problem)
    return Ablation(out, part, tuple(gains), left_out)


def _predictions(folder: Path, recipe: Recipe) -> tuple[str, Sequence[OutputPredictions]]:
    images = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["images"]
    part = "test" if any(images.get(name) for name in recipe.test) else "tune"
    return part, read_predictions(folder / PREDICTIONS, [part])


def _gain(name: str, alone: OutputPredictions, beside: OutputPredictions) -> Gain:
    place = {case: number for number, case in enumerate(beside.cases)}
    order = np.array([place[case] for case in alone.cases])
    found = compare_aucs(alone.truth, beside.logits[order], alone.logits, list(alone.patients))
    gap = found.difference
    return Gain(
        alone.output, name, found.first.value, found.second.value, gap.value, gap.low, gap.high, found.p_value,
        len(alone.cases),
    )  # fmt: skip
