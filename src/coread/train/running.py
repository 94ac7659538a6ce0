"""``coread train``: a recipe to one run folder with network, predictions, curves and the record of how it was made."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from coread.models.lineage import RECORD, read_record, sha256_of, write_record
from coread.models.predictions import FILE as PREDICTIONS
from coread.models.predictions import write_predictions
from coread.train.datasets import INDEX, read_index
from coread.train.distributed import for_this_launch, is_first_process
from coread.train.environment import ENVIRONMENT, keep_environment
from coread.train.errors import BadPlan, OneClass
from coread.train.exporting import ExportReport, export
from coread.train.fit import Fitted, fit, write_json
from coread.train.gathering import Gathered, gather
from coread.train.networks import NetworkPlan
from coread.train.recipes import Recipe, read_recipe, recipe_to_json
from coread.train.saying import PredictionRow, one_sided, prediction_rows
from coread.train.selfsupervised import ENCODER, read_encoder
from coread.train.semisupervised import Unlabelled
from coread.train.splits import check_no_leak, patient_folds
from coread.train.targets import check_classes
from coread.train.tasks import Head, MultiClass, MultiLabel, Ordinal
from coread.train.watching import ProgressWatcher, TensorBoardWatcher, draw_curves

RECIPE, PLAN, DATA, SUMMARY = "recipe.toml", "plan.json", "data.json", "summary.json"
CURVES, NETWORK, LOGS = "curves.png", "network.onnx", "logs"
_AT_ONCE = 128
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One fit of a run: what it learned from and what it is judged on."""

    name: str
    learn: NDArray[np.int64]
    judge: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a finished run made."""

    folder: Path
    name: str
    images: Mapping[str, int]
    """By part."""
    epochs: Mapping[str, int]
    """By fit."""
    scores: Mapping[str, Mapping[str, float]]
    """By fit: the scores of the epoch that was kept."""
    left_out: int
    digest: str
    """Of the run's record."""

    def document(self) -> dict[str, Any]:
        """Return the summary as plain data."""
        return {
            "run": str(self.folder), "name": self.name, "images": dict(self.images), "epochs": dict(self.epochs),
            "scores": {name: dict(values) for name, values in self.scores.items()}, "left_out": self.left_out,
            "record": self.digest,
        }  # fmt: skip


def run_recipe(path: Path, out: Path, progress: Progress = lambda _what, _done, _total: None) -> RunSummary | None:
    """Do what a recipe says in ``out``; a finished run is read back, an interrupted one goes on.

    Returns ``None`` in every process but the first of several. Raises BadPlan when the folder belongs to another recipe
    or other data.
    """
    return run_plan(read_recipe(path), path, out, progress)


def run_plan(
    recipe: Recipe, path: Path, out: Path, progress: Progress = lambda _what, _done, _total: None
) -> RunSummary | None:
    """Do what a recipe says that was read from ``path``, as ``run_recipe`` does."""
    _claim(recipe, path, out)
    if (out / RECORD).is_file():
        _require_same_data(recipe, out)
        return _summary(out)
    cache = recipe.cache or out.resolve().parent / "cache"
    gathered = gather(recipe, cache, progress)
    _keep_data(recipe, gathered, out)
    members = members_of(recipe, gathered)
    fitted = [_fit_member(recipe, gathered, member, out, progress) for member in members]
    if not is_first_process():
        return None
    return _finish(recipe, gathered, members, fitted, out)


def members_of(recipe: Recipe, gathered: Gathered) -> list[Member]:
    """Return the fits of a recipe: one, or one per fold of the patients of train and tune."""
    heads = [source.head for source in recipe.heads]
    if not recipe.folds:
        members = [Member("fit", gathered.rows(recipe.train), gathered.rows(recipe.tune))]
    else:
        rows = gathered.rows([*recipe.train, *recipe.tune])
        data = gathered.data.subset(rows)
        folds = patient_folds(
            data.groups, spreading(heads, data.targets), folds=recipe.folds, seed=recipe.fit.seed
        )  # fmt: skip
        check_no_leak([np.flatnonzero(folds == fold) for fold in range(recipe.folds)], data.groups)
        members = [Member(f"fold{k}", rows[folds != k], rows[folds == k]) for k in range(recipe.folds)]
    for member in members:
        for part, chosen in (("train", member.learn), ("tune", member.judge)):
            if not len(chosen):
                raise OneClass(f"part {part} of {member.name} is empty: use fewer folds")
            check_classes(heads, dict(gathered.data.subset(chosen).targets), f"{part} of {member.name}")
    return members


def spreading(heads: Sequence[Head], targets: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Return (N, K): what should be spread evenly over folds, the classes of every classifying head."""
    columns: list[NDArray[np.bool_]] = []
    for head in heads:
        values = targets[head.name]
        if isinstance(head, MultiLabel):
            columns += list((np.nan_to_num(np.asarray(values)) >= 0.5).T)
        elif isinstance(head, MultiClass | Ordinal):
            columns += [np.asarray(values) == k for k in np.unique(np.asarray(values))]
    count = len(next(iter(targets.values())))
    return np.column_stack(columns) if columns else np.ones((count, 1), dtype=bool)


def _fit_member(recipe: Recipe, gathered: Gathered, member: Member, out: Path, progress: Progress) -> Fitted:
    watchers = [ProgressWatcher(member.name, progress), TensorBoardWatcher(out / LOGS / member.name)]
    number = int(member.name.removeprefix("fold")) if member.name.startswith("fold") else 0
    begin = replace(recipe.fit, seed=recipe.fit.seed + number)
    taught = read_encoder(recipe.encoder) if recipe.encoder is not None else None
    if taught is not None and begin.network == NetworkPlan():
        begin = replace(begin, network=replace(taught.network, channels=0, shape=(), covariates=0))
    plan = for_this_launch(begin)
    images = gathered.unlabelled
    return fit(
        gathered.data.subset(member.learn),
        [source.head for source in recipe.heads],
        plan,
        out / member.name,
        gathered.data.subset(member.judge),
        encoder=taught.weights if taught is not None else None,
        unlabelled=Unlabelled(images, recipe.unlabelled_plan) if images is not None else None,
        watchers=watchers,
    )


def _claim(recipe: Recipe, path: Path, out: Path) -> None:
    """Take the folder for this recipe; raise BadPlan when it holds a run of another one or something else."""
    plan = json.loads(json.dumps(recipe_to_json(recipe)))
    stored = out / PLAN
    if stored.is_file():
        before = json.loads(stored.read_text(encoding="utf-8"))
        if differing := sorted(key for key in plan if plan[key] != before.get(key)):
            raise BadPlan(
                f"{out} holds a run of another recipe ({', '.join(differing)} differ): choose another --out; that run "
                "is left as it is"
            )
        return
    if is_first_process():
        if out.exists() and any(out.iterdir()):
            raise BadPlan(f"{out} is not empty and holds no run: choose another --out")
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, out / RECIPE)
        keep_environment(out)
        write_json(stored, plan)


def _require_same_data(recipe: Recipe, out: Path) -> None:
    """Raise BadPlan when a finished run learned from other rows than its data sets hold now, or another encoder."""
    before = json.loads((out / DATA).read_text(encoding="utf-8"))
    known: Mapping[str, str] = before["datasets"]
    found = [read_index(folder) for folder in recipe.datasets if (folder / INDEX).is_file()]  # others are gone by now
    changed = [index.name for index in found if known.get(index.name) != index.digest]
    if changed:
        raise BadPlan(
            f"{out} holds a run over other data ({', '.join(changed)} changed since): choose another --out; that run "
            "is left as it is"
        )
    there = recipe.encoder is not None and (recipe.encoder / ENCODER).is_file()
    if there and before.get("encoder") != _encoder_of(recipe)["encoder"]:
        raise BadPlan(f"{out} holds a run that began with another encoder: choose another --out")


def _encoder_of(recipe: Recipe) -> dict[str, str]:
    """Return the digest of the encoder that a run begins with; nothing where there is none."""
    if recipe.encoder is None:
        return {}
    read_encoder(recipe.encoder)  # says what to do when the folder holds none
    return {"encoder": sha256_of(recipe.encoder / ENCODER)}


def _keep_data(recipe: Recipe, gathered: Gathered, out: Path) -> None:
    body = {
        "datasets": dict(gathered.digests),
        "images": {str(part): int((gathered.parts == part).sum()) for part in np.unique(gathered.parts)},
        "groups": len(set(gathered.data.groups)),
        "left_out": dict(gathered.left_out),
        "folds": recipe.folds,
    }
    body |= _encoder_of(recipe)
    if gathered.unlabelled is not None:
        body["unlabelled"] = len(gathered.unlabelled)
    stored = out / DATA
    if stored.is_file():
        before = json.loads(stored.read_text(encoding="utf-8"))
        if before != json.loads(json.dumps(body)):
            raise BadPlan(f"{out} holds a run over other data: choose another --out; that run is left as it is")
    elif is_first_process():
        write_json(stored, body)


def _finish(
    recipe: Recipe, gathered: Gathered, members: Sequence[Member], fitted: Sequence[Fitted], out: Path
) -> RunSummary:
    histories = {member.name: one.history for member, one in zip(members, fitted, strict=True)}
    draw_curves(histories, out / CURVES)
    write_predictions(out / PREDICTIONS, _all_rows(recipe, gathered, members, fitted))
    report = export(
        list(fitted), out / NETWORK, flips=recipe.export.flips, storage=recipe.export.storage
    )  # fmt: skip
    write_json(out / SUMMARY, _summary_body(recipe, gathered, histories, fitted, report))
    inputs = {"recipe": sha256_of(out / RECIPE)} | {f"dataset {name}": d for name, d in gathered.digests.items()}
    inputs |= _encoder_of(recipe)
    encoder = recipe.encoder
    taught = [read_record(encoder)] if encoder is not None and (encoder / RECORD).is_file() else []
    weights = [f"{member.name}/network.pt" for member in members]
    write_record(
        out, "train", inputs=inputs, parents=[*gathered.records, *taught],
        outputs=[RECIPE, PLAN, ENVIRONMENT, DATA, SUMMARY, CURVES, PREDICTIONS, NETWORK, *weights],
        settings={"name": recipe.name, "heads": [source.head.name for source in recipe.heads]},
    )  # fmt: skip
    return _summary(out)


def _all_rows(
    recipe: Recipe, gathered: Gathered, members: Sequence[Member], fitted: Sequence[Fitted]
) -> list[PredictionRow]:
    """Rows of tune (each case by the one member that did not learn from it) and of test (the mean over the members)."""
    rows: list[PredictionRow] = []
    heads = [source.head for source in recipe.heads]
    without = one_sided(heads, gathered.data)
    device = "cuda" if torch.cuda.is_available() and recipe.fit.accelerator != "cpu" else "cpu"
    judged = [("tune", member.judge, [one]) for member, one in zip(members, fitted, strict=True)]
    for part, chosen, networks in [*judged, ("test", gathered.rows(recipe.test), list(fitted))]:
        # Some rows at a time: the maps of a whole part need not fit into memory.
        for start in range(0, len(chosen), _AT_ONCE):
            data = gathered.data.subset(chosen[start : start + _AT_ONCE])
            each = [network.predict(data, flips=recipe.export.flips, device=device) for network in networks]
            mean = {head.name: np.mean([said[head.name] for said in each], axis=0) for head in heads}
            rows += prediction_rows(heads, mean, data, [part] * len(data), without)
    return rows


def _summary_body(
    recipe: Recipe, gathered: Gathered, histories: Mapping[str, Sequence[Mapping[str, float]]],
    fitted: Sequence[Fitted], report: ExportReport,
) -> dict[str, Any]:  # fmt: skip
    kept = {
        name: dict(history[one.best_epoch if one.best_epoch >= 0 else -1])
        for (name, history), one in zip(histories.items(), fitted, strict=True)
    }
    return {
        "name": recipe.name,
        "images": {str(part): int((gathered.parts == part).sum()) for part in np.unique(gathered.parts)},
        "epochs": {name: len(history) for name, history in histories.items()},
        "scores": kept,
        "left_out": len(gathered.left_out),
        "graph": {
            "inputs": list(report.inputs), "outputs": list(report.outputs), "bytes": report.size,
            "difference": report.difference, "rounding": report.rounding,
        },
    }  # fmt: skip


def _summary(out: Path) -> RunSummary:
    record = read_record(out)
    body = json.loads((out / SUMMARY).read_text(encoding="utf-8"))
    return RunSummary(
        out, body["name"], body["images"], body["epochs"], body["scores"], int(body["left_out"]), record.digest
    )
