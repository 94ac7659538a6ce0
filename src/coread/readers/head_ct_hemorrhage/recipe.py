"""How the shipped network was made: ``python -m coread.readers.head_ct_hemorrhage.recipe --data FOLDER --out FOLDER``.

Needs the extra ``train``. Steps, each kept in ``--out`` and not done twice: draw blood into slices of patients and of
simulated heads; fit three members, each without one third of the patients that are not held out, to say where blood is;
calibrate over patients on what they say of it; export the mean; lock; measure the locked package on CT series made of
the held-out patients' pictures; write card, validation and page.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.readers.classifying.packaging import Answers, Release, release
from coread.readers.classifying.recipe import Lesson, Settings, fit_members
from coread.readers.classifying.recipe import main as run_from_shell
from coread.readers.head_ct_hemorrhage.cohort import (
    COHORT,
    HEADS,
    SET,
    Row,
    cohort_rows,
    head_slices_of,
    patient_truth,
    read_learned,
    read_rows,
    write_series,
)
from coread.readers.head_ct_hemorrhage.measures import SliceScores, as_json, position_scores, words_of
from coread.readers.head_ct_hemorrhage.on_phantoms import REPORTED, sentence, stored
from coread.readers.head_ct_hemorrhage.outputs import ANY, PLACE_HEAD, SIDE, TYPE_HEAD, TYPES
from coread.readers.head_ct_hemorrhage.preprocess import head_slices, network_input, windowed
from coread.readers.head_ct_hemorrhage.scores import place_probabilities, slice_logits
from coread.readers.head_ct_hemorrhage.simulated import SET as MAPS
from coread.readers.head_ct_hemorrhage.taught import SEED, read_taught, write_taught
from coread.readers.head_ct_hemorrhage.words import OUTPUT_PLANS, PAGE, card
from coread.statistics.roc import auc_estimate
from coread.train.arrays import ArraySet
from coread.train.augmenting import AugmentPlan
from coread.train.crossfit import CrossFitted
from coread.train.errors import DataMissing
from coread.train.exporting import export
from coread.train.fit import FitPlan, Fitted
from coread.train.networks import NetworkPlan
from coread.train.splits import patient_folds
from coread.train.tasks import Head, MultiLabel, WeakSegmentation

CODE = Path(__file__).parent
MEMBERS = 3
TAUGHT = "taught.npz"
PLAN = FitPlan(
    epochs=7,
    epoch_steps=150,
    batch=24,
    learning_rate=3e-3,
    weight_decay=0.03,
    average_decay=0.99,
    precision="bf16-mixed",
    augment=AugmentPlan(
        rotation_degrees=12, scale=0.12, aspect=0.06, shift=0.05, mirror=(-1,), gamma=0.06, contrast=0.05,
        sharpness=0.4, noise=0.03, erase=0.0,
    ),
    network=NetworkPlan(
        kind="residual", widths=(16, 32, 64, 128), depths=(1, 1, 2, 1), stem_stride=2, map_width=24, map_stride=2,
        dropout=0.3, standardise=False,
    ),
    seed=SEED,
)  # fmt: skip


def run(settings: Settings) -> Path:
    """Do every step and return the folder of the finished reader."""
    rows = read_rows(settings.data / SET)
    learnt = [row for row in rows if not row.held_out]
    taught = lesson(settings, learnt)
    fitted = fit_members(settings, taught)
    crossed = cross_fitted_scores(fitted, taught.data, learnt)
    patients = sorted(set(crossed.patients.tolist()))
    bleeds = patient_truth(rows)
    answers = Answers(
        crossed.study_logits(patients), np.array([bleeds[patient] for patient in patients]), patients, members=MEMBERS
    )
    sentences, facts = beside(settings, fitted.members, learnt, crossed)
    simulated = (
        [] if settings.fast else stored(lambda shown: mean_said(fitted.members, shown), settings.out / "phantoms")
    )
    if simulated:
        sentences.append(sentence(simulated, len(REPORTED)))
    write_series(settings.data, settings.out / "series")
    work = Release(
        code=CODE, card=card(sentences), outputs=OUTPUT_PLANS, answers={ANY: answers},
        write_graph=lambda path: export(fitted.members, path, flips=True, storage="float16"), golden=golden_slices(),
        cohort=COHORT | {"root": str((settings.out / "series").resolve())}, rows=cohort_rows(settings.data),
        page=PAGE, learnt_from=[settings.data / SET, settings.data / MAPS],
        facts={"folds": MEMBERS, "members": MEMBERS, "simulated_heads": HEADS, "plan": asdict(PLAN)} | facts
        | {"types": of_types(fitted, taught.data, learnt), "simulated": simulated},
    )  # fmt: skip
    return release(work, settings.out)


def lesson(settings: Settings, learnt: Sequence[Row]) -> Lesson:
    """Read what is learnt from; folds are whole patients, those who bleed and their slices spread evenly.

    Simulated heads are in no fold: every member learns from them.
    """
    stored = settings.out / TAUGHT
    if not stored.is_file():
        settings.out.mkdir(parents=True, exist_ok=True)
        taught = read_learned(settings.data, heads=1, times=1) if settings.fast else read_learned(settings.data)
        write_taught(taught, stored)
    data = read_taught(stored)
    bleeds = patient_truth(tuple(learnt))
    spread = np.array([[bleeds[row.patient], row.bleeding] for row in learnt])
    fold = patient_folds([row.patient for row in learnt], spread, folds=MEMBERS, seed=SEED)
    of = {row.patient: int(number) for row, number in zip(learnt, fold, strict=True)}
    heads: list[Head] = [
        WeakSegmentation(PLACE_HEAD, ("blood",)),
        MultiLabel(TYPE_HEAD, TYPES, smoothing=0.02, weight=0.2),
    ]
    return Lesson(data, heads, PLAN, np.array([of.get(group, -1) for group in data.groups]), members=MEMBERS)


def cross_fitted_scores(fitted: CrossFitted, data: ArraySet, learnt: Sequence[Row]) -> SliceScores:
    """Return what each member said of the slices of patients that it did not learn from, in the order of ``learnt``."""
    said, scores = of_real(fitted, data, learnt, PLACE_HEAD), np.empty(len(learnt))
    for here in by_patient(learnt):
        scores[here] = slice_logits(place_probabilities(said[here]))
    return _scores(scores, learnt)


def of_real(fitted: CrossFitted, data: ArraySet, learnt: Sequence[Row], head: str) -> NDArray[np.float32]:
    """Return what was said of the real slices as they are, in the order of ``learnt``."""
    at = {data.keys[row]: number for number, row in enumerate(fitted.rows)}
    return np.asarray(fitted.outputs[head][[at[row.image] for row in learnt]])


def by_patient(rows: Sequence[Row]) -> list[NDArray[np.int64]]:
    """Return the numbers of each patient's slices, in the order of the slices."""
    names = np.array([row.patient for row in rows])
    return [np.flatnonzero(names == patient) for patient in dict.fromkeys(names.tolist())]


def beside(
    settings: Settings, members: Sequence[Fitted], learnt: Sequence[Row], crossed: SliceScores
) -> tuple[list[str], dict[str, Any]]:
    """Measure slices and the position baseline, held out and cross-fitted; as sentences and for training.json.

    Held-out slices are judged by the mean of the members before its weights are rounded.
    """
    judged = [row for row in read_rows(settings.data / SET) if row.held_out]
    images, scores = head_slices_of(settings.data, judged), np.empty(len(judged))
    for here in by_patient(judged):
        scores[here] = slice_logits(place_probabilities(mean_said(members, network_input(images[here]))))
    own, place = _scores(scores, judged), _scores(position_scores(learnt, judged), judged)
    names = sorted(set(crossed.patients.tolist()))
    bleeds = patient_truth(tuple(learnt))
    truth = np.array([bleeds[name] for name in names])
    among = np.array([patient_truth(tuple(judged))[row.patient] for row in judged])
    study = auc_estimate(truth, crossed.study_logits(names))
    found = {
        "held_out_slices": own.slice_auc(), "held_out_slices_by_position_alone": place.slice_auc(),
        "held_out_slices_among_bleeders": own.slice_auc_among(among),
        "held_out_slices_among_bleeders_by_position_alone": place.slice_auc_among(among),
        "cross_fitted_slices": crossed.slice_auc(), "cross_fitted_patients": study,
    }  # fmt: skip
    sentences = [
        f"Slices of held-out patients: AUC {words_of(found['held_out_slices'])}, n = {found['held_out_slices'].n}; by "
        f"the position of the slice alone {words_of(found['held_out_slices_by_position_alone'])}. Among patients who "
        f"bleed: {words_of(found['held_out_slices_among_bleeders'])} against "
        f"{words_of(found['held_out_slices_among_bleeders_by_position_alone'])}.",
        f"Held-out patients are few. Each patient that was learnt from, judged by the one network that did not learn "
        f"from it: AUC of patients {words_of(study)}, n = {study.n}; of slices "
        f"{words_of(found['cross_fitted_slices'])}, n = {found['cross_fitted_slices'].n}.",
    ]
    return sentences, {name: as_json(value) for name, value in found.items()}


def mean_said(members: Sequence[Fitted], shown: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of the members' logits of places (S, 1, SIDE, SIDE), each over the image and its mirror image."""
    said = [one.predict(shown, flips=True)[PLACE_HEAD] for one in members]
    return np.asarray(np.mean(said, axis=0), dtype=np.float32)


def of_types(fitted: CrossFitted, data: ArraySet, learnt: Sequence[Row]) -> dict[str, Any]:
    """Return the cross-fitted AUC of each type over slices, and how many patients have it; no claim is made on it."""
    table, logits = {}, of_real(fitted, data, learnt, TYPE_HEAD)
    patients = np.array([row.patient for row in learnt])
    for number, name in enumerate(TYPES):
        truth, said = np.array([row.types[number] for row in learnt]), logits[:, number]
        known = np.isfinite(truth)
        found = auc_estimate(truth[known] > 0.5, said[known], patients[known].tolist())
        table[name] = as_json(found) | {"patients": len(set(patients[truth > 0.5].tolist()))}
    return table


def golden_slices() -> NDArray[np.float32]:
    """Draw two slices of a head with blood in it for the golden cases; no patient."""
    from coread.phantoms.reference.registry import made
    from coread.phantoms.reference.scan import Setup

    object_ = made("ct-head", ["intraparenchymal_ml=25"], Setup(seed=1, spacing_mm=(10.0, 1.5, 1.5)))
    series = object_.visits[0].series[0]
    hu = np.stack([
        dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        for dataset in series.datasets()
    ]).astype(np.float32)  # fmt: skip
    found = head_slices(windowed(hu), SIDE)
    if found is None:
        raise DataMissing("no head is seen in the drawing of a head")
    middle = len(hu) // 2
    return network_input(found.slices)[middle : middle + 2]


def _scores(said: NDArray[Any], rows: Sequence[Row]) -> SliceScores:
    truth = np.array([row.any for row in rows])
    return SliceScores(np.asarray(said, dtype=np.float64), truth, np.array([row.patient for row in rows]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recipe from the command line."""
    return run_from_shell(run, CODE, __doc__ or "", arguments)


if __name__ == "__main__":
    raise SystemExit(main())
