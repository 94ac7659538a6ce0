"""How the shipped network was made: ``python -m coread.readers.chest_xray.recipe --data FOLDER --out FOLDER``.

Needs the extra ``train``. Steps, each kept in ``--out`` and not done twice: teach a backbone on other sets; fit two
networks per fold of patients, one taught with boxes and one plain, and blend them; predict every patient by the pair
that did not see them; measure; export; lock.
"""

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.readers.chest_xray import packaging
from coread.readers.chest_xray.cohort import AUXILIARY, Cohort, GateImages, read_cohort, read_gate_images
from coread.readers.chest_xray.outputs import FINDINGS, GATE, SIDE
from coread.readers.chest_xray.report import measure_all
from coread.readers.chest_xray.warmup import read_tasks
from coread.train.fitting import FitPlan, fit, predict, single, use_threads
from coread.train.network import FindingNetwork, NetworkPlan
from coread.train.pretraining import BackboneWeights, PretrainPlan, pretrain
from coread.train.samples import BatchPlan, Samples, joined, only_for_gate
from coread.train.splits import check_no_leak, patient_folds
from coread.train.whole import PairedNetwork, WholePlan, blend_of, fit_whole, judge

SEED = 20261123
SHAPE = NetworkPlan(
    findings=len(FINDINGS), gate_classes=len(GATE), auxiliary=len(AUXILIARY) + 2, widths=(24, 48, 96, 160)
)
FIT = FitPlan(sides=((128, 10), (160, 5)), seed=SEED)
WHOLE = WholePlan(seed=100)
SECOND = FitPlan(sides=((160, 5),), learning_rate=1.2e-3, seed=SEED + 100)
ONLY_LOCAL = frozenset({"cardiomegaly"})
"""Findings that the plain network judges clearly worse out of fold; the one choice that was made on those numbers."""
log = logging.getLogger("coread.train")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the data lie, where the work goes, and how much of it is done."""

    data: Path
    out: Path
    folds: int = 4
    shape: NetworkPlan = SHAPE
    fit: FitPlan = FIT
    second: FitPlan | None = SECOND
    """A second, shorter run over the data that goes on from the first; ``None`` leaves it out."""
    whole: WholePlan = WHOLE
    """The plain network that is blended with each fold's network."""
    pretrain: PretrainPlan | None = None
    """Teach the backbone on the other sets first; ``None`` starts from nothing."""
    task_limit: int | None = None
    gate_limit: int = 250
    only_fold: int | None = None
    """Fit this fold and stop, so that several processes can share the work."""


def fast(settings: Settings) -> Settings:
    """Return settings that run through every step in seconds and learn next to nothing."""
    return replace(
        settings,
        folds=2,
        shape=replace(settings.shape, widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), map_width=8),
        fit=replace(settings.fit, sides=((64, 1),), batch=BatchPlan(main=8, gate=2)),
        second=None,
        whole=WholePlan(width=8, epochs=1, batch=8),
        pretrain=PretrainPlan(side=32, epochs=1, batch=4, seed=SEED),
        task_limit=8,
        gate_limit=4,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The fold networks and what each said of the patients it did not see."""

    members: tuple[PairedNetwork, ...]
    folds: NDArray[np.int64]
    gate_folds: NDArray[np.int64]


def run(settings: Settings) -> Path:
    """Do every step and return the folder with card.toml, measurements.json and the locked package."""
    log.info("reading images")
    cohort = read_cohort(settings.data, SIDE)
    gate = read_gate_images(settings.data.parent, settings.gate_limit)
    fitted = fit_folds(settings, cohort, gate)
    if settings.only_fold is not None:
        return settings.out
    log.info("measuring")
    measured = measure_all(cohort, gate, fitted.members, fitted.folds, fitted.gate_folds)
    settings.out.mkdir(parents=True, exist_ok=True)
    (settings.out / "measurements.json").write_text(json.dumps(measured.as_json(), indent=2) + "\n", encoding="utf-8")
    log.info("exporting")
    return packaging.write_package(settings.out, fitted.members, measured)


def fit_folds(settings: Settings, cohort: Cohort, gate: GateImages) -> Fitted:
    """Fit one network per fold of patients, with a leak check before each."""
    patients = [row.patient_id for row in cohort.rows]
    spread = np.column_stack([cohort.truth, [row.source_set == "boxes" for row in cohort.rows]])
    folds = patient_folds(patients, spread, folds=settings.folds, seed=SEED, images=cohort.digests)
    check_no_leak([np.flatnonzero(folds == fold) for fold in range(settings.folds)], patients, cohort.digests)
    gate_folds = _gate_folds(gate, settings.folds)
    start = _warm_start(settings)
    samples = _with_gate(cohort.samples, gate)
    members = []
    wanted = range(settings.folds) if settings.only_fold is None else [settings.only_fold]
    for fold in wanted:
        log.info("fitting fold %d of %d", fold + 1, settings.folds)
        main = np.flatnonzero(folds != fold)
        only_gate = _gate_draw(cohort, main, np.flatnonzero(gate_folds != fold))
        first = fit(
            samples,
            main,
            only_gate,
            shape=settings.shape,
            plan=replace(settings.fit, seed=settings.fit.seed + fold),
            folder=settings.out / f"fold{fold}",
            start=start,
        )
        local = first
        if settings.second is not None:
            local = fit(
                samples,
                main,
                only_gate,
                shape=settings.shape,
                plan=replace(settings.second, seed=settings.second.seed + fold),
                folder=settings.out / f"fold{fold}" / "second",
                continued=first,
            )
        members.append(pair_up(settings, cohort, local, main, fold))
    return Fitted(tuple(members), folds, gate_folds)


def pair_up(
    settings: Settings, cohort: Cohort, local: FindingNetwork, main: NDArray[np.int64], fold: int
) -> PairedNetwork:
    """Fit this fold's plain network and blend the two; the scales come from held-out images, without their labels."""
    whole = fit_whole(
        cohort.inputs[main],
        whole_targets(cohort)[main],
        plan=replace(settings.whole, seed=settings.whole.seed + fold),
        folder=settings.out / f"fold{fold}" / "whole",
    )
    held_out = cohort.inputs[np.setdiff1d(np.arange(len(cohort.rows)), main)]
    share = np.array([0.0 if key in ONLY_LOCAL else 0.5 for key in FINDINGS], dtype=np.float32)
    said = predict(single(local), held_out).logits
    return PairedNetwork(local, whole, blend_of(said, judge(whole, held_out)[:, : len(FINDINGS)], share)).eval()


def whole_targets(cohort: Cohort) -> NDArray[np.float32]:
    """Return (N, targets): the findings, the view (1 = AP, NaN = unknown), and every text label by name."""
    labels = [[float(label in row.labels) for label in sorted(AUXILIARY)] for row in cohort.rows]
    view = cohort.samples.view.numpy()[:, None]
    return np.concatenate([cohort.truth, view, np.array(labels)], axis=1).astype(np.float32)


def _warm_start(settings: Settings) -> BackboneWeights | None:
    if settings.pretrain is None or not (tasks := read_tasks(settings.data.parent, settings.task_limit)):
        return None
    log.info("teaching the backbone on %d other sets", len(tasks))
    shape = settings.shape
    folder = settings.out / "pretraining"
    return pretrain(tasks, widths=shape.widths, depths=shape.depths, plan=settings.pretrain, folder=folder)


def _gate_folds(gate: GateImages, folds: int) -> NDArray[np.int64]:
    if not len(gate.classes):
        return np.zeros(0, dtype=np.int64)
    return patient_folds(gate.groups, gate.classes[:, None] == np.arange(len(GATE)), folds=folds, seed=SEED)


def _with_gate(samples: Samples, gate: GateImages) -> Samples:
    if not len(gate.classes):
        return samples
    return joined([samples, only_for_gate(gate.images, gate.classes, like=samples)])


def _gate_draw(cohort: Cohort, main: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """Half of the gate's draws are adult chests of this fold's training part (to be spoilt), half other images."""
    adults: NDArray[np.int64] = main[cohort.samples.gate.numpy()[main] == 0]
    if not len(others):
        return adults
    draws: NDArray[np.int64] = np.concatenate([np.resize(adults, len(others)), len(cohort.rows) + others])
    return draws


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recipe from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of cxr_nih; the other sets lie beside it")
    parser.add_argument("--out", type=Path, required=True, help="folder for the work and the finished package")
    parser.add_argument("--fast", action="store_true", help="run through every step in seconds, learning nothing")
    parser.add_argument("--install", action="store_true", help="copy the finished reader into the reader's folder")
    parser.add_argument("--fold", type=int, help="fit only this fold and stop; run again without it to finish")
    parser.add_argument("--threads", type=int, default=2, help="processor threads for fitting")
    chosen: Any = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    use_threads(chosen.threads)
    settings = Settings(chosen.data, chosen.out, only_fold=chosen.fold)
    finished = run(fast(settings) if chosen.fast else settings)
    if chosen.install and chosen.fold is None:
        packaging.install(finished, Path(__file__).parent)
    log.info("finished: %s", finished)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
