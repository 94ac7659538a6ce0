"""How the shipped network was made: ``python -m coread.readers.head_ct_hemorrhage.recipe --data FOLDER --out FOLDER``.

Needs the extras ``train`` and ``start`` (weights to begin the encoder with). Steps, each kept in ``--out`` and not done
twice: fit three members, each without one third of the patients that are not held out, all layers learning; calibrate
over patients on what they say of it; export the mean; lock; measure the locked package on CT series made of the
held-out patients' pictures; write card, validation and page.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.readers.classifying.packaging import Answers, Release, mean_of, release
from coread.readers.classifying.recipe import Lesson, Settings, fit_members
from coread.readers.classifying.recipe import main as run_from_shell
from coread.readers.head_ct_hemorrhage.cohort import (
    COHORT,
    DRAWN,
    SEED,
    SET,
    Row,
    cohort_rows,
    network_slices_of,
    patient_truth,
    read_learned,
    read_rows,
    write_series,
)
from coread.readers.head_ct_hemorrhage.measures import SliceScores, as_json, position_scores, words_of
from coread.readers.head_ct_hemorrhage.outputs import ANY, HEAD, SIDE, TYPE_HEAD, TYPES
from coread.readers.head_ct_hemorrhage.preprocess import head_square, network_slices, windowed
from coread.readers.head_ct_hemorrhage.words import OUTPUT_PLANS, PAGE, card
from coread.statistics.roc import auc_estimate
from coread.train.augmenting import AugmentPlan
from coread.train.crossfit import CrossFitted, folds_of
from coread.train.efficientnet_lite import imagenet_weights
from coread.train.errors import DataMissing
from coread.train.fit import FitPlan, Fitted
from coread.train.networks import LITE_DEEP, NetworkPlan
from coread.train.tasks import MultiLabel

CODE = Path(__file__).parent
MEMBERS = 3
PLAN = FitPlan(
    epochs=16,
    epoch_steps=45,
    batch=24,
    learning_rate=1e-3,
    weight_decay=0.03,
    average_decay=0.98,
    augment=AugmentPlan(
        rotation_degrees=15, scale=0.12, aspect=0.06, shift=0.05, mirror=(-1,), gamma=0.15, contrast=0.1, sharpness=0.3,
        noise=0.03, erase=0.1,
    ),
    network=NetworkPlan(kind=LITE_DEEP, dropout=0.3, standardise=False),
    seed=SEED,
)  # fmt: skip


def run(settings: Settings) -> Path:
    """Do every step and return the folder of the finished reader."""
    rows = read_rows(settings.data / SET)
    learnt = [row for row in rows if not row.held_out]
    taught = lesson(settings)
    fitted = fit_members(settings, taught)
    crossed = cross_fitted_scores(fitted, learnt)
    patients = sorted(set(crossed.patients.tolist()))
    bleeds = patient_truth(rows)
    answers = Answers(
        crossed.study_logits(patients), np.array([bleeds[patient] for patient in patients]), patients, members=MEMBERS
    )
    sentences, facts = beside(settings, fitted.members, learnt, crossed)
    write_series(settings.data, settings.out / "series")
    work = Release(
        code=CODE, card=card(sentences), outputs=OUTPUT_PLANS, answers={ANY: answers},
        write_graph=mean_of(fitted.members), golden=golden_slices(),
        cohort=COHORT | {"root": str((settings.out / "series").resolve())}, rows=cohort_rows(settings.data),
        page=PAGE, learnt_from=[settings.data / SET],
        facts={"folds": MEMBERS, "members": MEMBERS} | facts | {"types": of_types(fitted, learnt)},
    )  # fmt: skip
    return release(work, settings.out)


def lesson(settings: Settings) -> Lesson:
    """Read what is learnt from; folds are whole patients, those who bleed and their slices spread evenly."""
    data = read_learned(settings.data)
    bleeds = patient_truth(read_rows(Path(settings.data) / SET))
    real = np.array([not key.endswith(DRAWN) for key in data.keys])
    slices = real & (np.asarray(data.targets[HEAD])[:, 0] > 0.5)
    spread = np.column_stack([np.array([bleeds[group] for group in data.groups]), slices])
    folds = folds_of(data, spread, folds=MEMBERS, seed=SEED)
    heads = [
        MultiLabel(HEAD, (ANY,), smoothing=0.02, balance=False),
        MultiLabel(TYPE_HEAD, TYPES, smoothing=0.02, weight=0.5),
    ]
    encoder = None if settings.fast else imagenet_weights(5)
    return Lesson(data, heads, PLAN, folds, members=MEMBERS, encoder=encoder)


def cross_fitted_scores(fitted: CrossFitted, learnt: Sequence[Row]) -> SliceScores:
    """Return what each member said of the slices of patients that it did not learn from, in the order of ``learnt``."""
    return _scores(real_logits(fitted, HEAD, len(learnt))[:, 0], learnt)


def real_logits(fitted: CrossFitted, head: str, count: int) -> NDArray[np.float64]:
    """Return what was said of the first ``count`` rows: slices with drawn blood stand behind them and are left out."""
    values = fitted.outputs[head]
    said = np.full((int(fitted.rows.max()) + 1, values.shape[1]), np.nan)
    said[fitted.rows] = values
    return said[:count]


def beside(
    settings: Settings, members: Sequence[Fitted], learnt: Sequence[Row], crossed: SliceScores
) -> tuple[list[str], dict[str, Any]]:
    """Measure slices and the position baseline, held out and cross-fitted; as sentences and for training.json.

    Held-out slices are judged by the mean of the members before its weights are rounded.
    """
    judged = [row for row in read_rows(settings.data / SET) if row.held_out]
    images = network_slices_of(settings.data, judged)
    own = _scores(np.mean([one.predict(images, flips=True)[HEAD][:, 0] for one in members], axis=0), judged)
    place = _scores(position_scores(learnt, judged), judged)
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


def of_types(fitted: CrossFitted, learnt: Sequence[Row]) -> dict[str, Any]:
    """Return the cross-fitted AUC of each type over slices, and how many patients have it; no claim is made on it."""
    table, logits = {}, real_logits(fitted, TYPE_HEAD, len(learnt))
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
    images = windowed(hu)
    square = head_square(images)
    if square is None:
        raise DataMissing("no head is seen in the drawing of a head")
    middle = len(images) // 2
    return network_slices(images[middle : middle + 2], square, SIDE)


def _scores(said: NDArray[Any], rows: Sequence[Row]) -> SliceScores:
    truth = np.array([row.any for row in rows])
    return SliceScores(np.asarray(said, dtype=np.float64), truth, np.array([row.patient for row in rows]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recipe from the command line."""
    return run_from_shell(run, CODE, __doc__ or "", arguments)


if __name__ == "__main__":
    raise SystemExit(main())
