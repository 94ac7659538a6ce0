"""Measured numbers, masks and types: errors with intervals, agreement, repeatability, tables of classes."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import Estimate
from coread.statistics.arrays import Indices
from coread.statistics.errors import NotEstimable
from coread.statistics.intervals import bootstrap, proportion
from coread.validate.cohort import READ, NumberSpec
from coread.validate.mask_measures import WHOLE
from coread.validate.measure_repeats import repeats_of
from coread.validate.measure_settings import MeasureSettings
from coread.validate.observations import Observation
from coread.validate.patient_intervals import intraclass, limits_of_agreement, over_patients
from coread.validate.plain import Plain, not_estimable, plain_estimate, rounded, stated, thinned

Floats = NDArray[np.float64]


def measure_masks(observations: Sequence[Observation], settings: MeasureSettings) -> dict[str, Plain]:
    """Return overlap, distances and volume bias for every mask of the truth; a case that was not read has no mask."""
    expected = [item for item in observations if item.case.expect == READ]
    names = sorted({name for item in expected for name in item.record.masks})
    return {name: _one_mask(name, expected, settings) for name in names}


def _one_mask(name: str, observations: Sequence[Observation], settings: MeasureSettings) -> Plain:
    chosen = [item for item in observations if name in item.record.masks]
    column = "" if name == WHOLE else name
    absent = [item.patient for item in observations if column in item.case.masks and not item.record.was_read]
    records = [item.record.masks[name] for item in chosen]
    patients = np.array([item.patient for item in chosen], dtype=np.str_)
    dice = np.array([record.dice for record in records])
    found = np.array([record.volume for record in records])
    truth = np.array([record.volume_truth for record in records])
    distance = np.array([np.nan if r.hausdorff95 is None else r.hausdorff95 for r in records], dtype=np.float64)
    apart = np.array([np.nan if r.surface_distance is None else r.surface_distance for r in records], dtype=np.float64)
    known, measured = np.isfinite(distance), np.isfinite(apart)
    body: Plain = {
        "n": len(records),
        "not_read": len(absent),
        "unit": records[0].unit,
        "distance_unit": "pixel" if records[0].unit == "pixel" else "mm",
        "dice": stated(lambda: _bootstrapped(dice, patients, settings, np.mean)),
        "dice_median": stated(lambda: _bootstrapped(dice, patients, settings, np.median)),
        "dice_with_refusals": _with_refusals(dice, patients, absent, settings),
        "empty_answers": int((found == 0).sum()),
        "hausdorff95": _if_any(distance[known], patients[known], settings, np.mean),
        "hausdorff95_median": _if_any(distance[known], patients[known], settings, np.median),
        "surface_distance": _if_any(apart[measured], patients[measured], settings, np.mean),
        "without_distance": int((~known).sum()),
        "quantiles": {str(q): rounded(float(np.quantile(dice, q))) for q in (0.05, 0.25, 0.5, 0.75, 0.95)},
    }
    return body | {
        "volume": _agreement(truth, found, patients, settings),
        "repeatability": repeats_of(
            observations, lambda item: item.record.masks[name].volume if name in item.record.masks else None
        ),
    }


def _with_refusals(dice: Floats, patients: NDArray[np.str_], absent: Sequence[str], settings: MeasureSettings) -> Plain:
    """Return the mean Dice when each mask of a case that was not read counts as 0."""
    whole, owners = np.r_[dice, np.zeros(len(absent))], np.array([*patients, *absent], dtype=np.str_)
    return stated(lambda: _bootstrapped(whole, owners, settings, np.mean))


def measure_numbers(
    observations: Sequence[Observation], specs: Mapping[str, NumberSpec], settings: MeasureSettings
) -> dict[str, Plain]:
    """Return, for each number that the truth knows, error, agreement, and repeatability where there are repeats."""
    names = sorted({name for item in observations for name in item.case.numbers} | _repeated(observations))
    body = {}
    for name in names:
        known = [item for item in observations if name in item.case.numbers and item.case.expect == READ]
        given = [item for item in known if name in item.record.numbers]
        truth = np.array([item.case.numbers[name] for item in given])
        found = np.array([item.record.numbers[name] for item in given])
        patients = np.array([item.patient for item in given], dtype=np.str_)
        spec = specs.get(name)
        one = {"n": len(known), "not_measured": len(known) - len(given), "unit": spec.unit if spec else ""}
        one |= _agreement(truth, found, patients, settings)
        if spec is not None and spec.within is not None and len(truth):
            near = np.abs(found - truth) <= spec.within
            one["within"] = {"limit": spec.within, "share": plain_estimate(proportion(near, patients))}
        body[name] = one | {"repeatability": repeats_of(observations, _number_of(name))}
    return body


def _repeated(observations: Sequence[Observation]) -> set[str]:
    """Return the numbers that were measured in repeated acquisitions: these need no truth."""
    return {name for item in observations if item.case.repeat for name in item.record.numbers}


def _number_of(name: str) -> Callable[[Observation], float | None]:
    return lambda item: item.record.numbers.get(name)


def measure_types(
    observations: Sequence[Observation], types: Mapping[str, Sequence[str]], settings: MeasureSettings
) -> dict[str, Plain]:
    """Return the table of classes for each type: the output with the highest probability against the truth."""
    return {name: _one_type(name, keys, observations, settings) for name, keys in sorted(types.items())}


def _one_type(name: str, keys: Sequence[str], observations: Sequence[Observation], settings: MeasureSettings) -> Plain:
    from coread.statistics.confusion import balanced_accuracy, confusion_matrix, kappa

    known = [item for item in observations if name in item.case.types and item.case.expect == READ]
    given, owners, others = [], [], []
    for item in known:
        called = called_class(item, keys)
        if called is not None:
            given.append((list(keys).index(item.case.types[name]), called))
            owners.append(item.patient)
        else:
            others.append(item.patient)
    body: Plain = {"classes": list(keys), "n": len(known), "not_read": len(known) - len(given)}
    if not given:
        return body | {"accuracy": not_estimable("no case was read")}
    truth, calls = (np.array(column) for column in zip(*given, strict=True))
    matrix = confusion_matrix(truth, calls, len(keys))
    patients = np.array(owners, dtype=np.str_)

    def clustered(measured: Callable[[NDArray[np.int64]], Estimate]) -> Plain:
        def statistic(chosen: Indices) -> float:
            return measured(confusion_matrix(truth[chosen], calls[chosen], len(keys))).value

        return stated(lambda: over_patients(lambda: measured(matrix), statistic, patients, settings.plan(1000)))

    return body | {
        "matrix": matrix.tolist(),
        "accuracy": stated(lambda: proportion(truth == calls, patients)),
        "accuracy_with_refusals": stated(
            lambda: proportion(np.r_[truth == calls, np.zeros(len(others), dtype=np.bool_)], [*owners, *others])
        ),
        "balanced_accuracy": clustered(balanced_accuracy),
        "kappa": clustered(kappa),
        "sensitivity": {
            key: plain_estimate(proportion(calls[truth == number] == number, patients[truth == number]))
            if (truth == number).any()
            else not_estimable("no case of this class")
            for number, key in enumerate(keys)
        },
    }  # fmt: skip


def called_class(item: Observation, keys: Sequence[str]) -> int | None:
    """Return which of the outputs of a type has the highest probability; None where the case was not read."""
    scores = [_probability(item, key) for key in keys]
    return int(np.argmax(scores)) if item.record.was_read and max(scores) > -1 else None


def _probability(item: Observation, key: str) -> float:
    record = item.record.outputs.get(key)
    return -1.0 if record is None or record.probability is None else record.probability


def _agreement(truth: Floats, found: Floats, patients: NDArray[np.str_], settings: MeasureSettings) -> Plain:
    from coread.statistics.agreement import bland_altman, concordance, intraclass_correlations, mean_absolute_error

    if len(truth) < 3:
        return {"mean_absolute_error": not_estimable(f"{len(truth)} cases with a number")}
    plan = settings.plan(1000)

    def clustered(usual: Callable[[], Estimate], statistic: Callable[[Indices], float]) -> Plain:
        return stated(lambda: over_patients(usual, statistic, patients, plan))

    body: Plain = {
        "mean_absolute_error": stated(lambda: mean_absolute_error(truth, found, patients, plan=plan)),
        "concordance": clustered(
            lambda: concordance(truth, found), lambda chosen: concordance(truth[chosen], found[chosen]).value
        ),
        "pairs": thinned(truth, found, points=1000),
    }
    try:
        limits = bland_altman(found, truth)
        body["bland_altman"] = {
            name: clustered(partial(getattr, limits, name), statistic)
            for name, statistic in limits_of_agreement(found, truth).items()
        } | {"standard_deviation": rounded(limits.standard_deviation)}
        icc = intraclass_correlations(np.column_stack([truth, found]))
        forms = intraclass(truth, found)
        body["icc"] = {
            name: clustered(partial(getattr, icc, form), forms[name])
            for name, form in (("agreement", "icc2"), ("consistency", "icc3"))
        }
    except NotEstimable as problem:
        body.setdefault("bland_altman", not_estimable(str(problem)))
        body.setdefault("icc", not_estimable(str(problem)))
    return body


def _bootstrapped(
    values: Floats, patients: NDArray[np.str_], settings: MeasureSettings, statistic: Callable[[Floats], np.floating]
) -> Estimate:
    return bootstrap(lambda chosen: float(statistic(values[chosen])), patients, plan=settings.plan(1000))


def _if_any(
    values: Floats, patients: NDArray[np.str_], settings: MeasureSettings, statistic: Callable[[Floats], np.floating]
) -> Plain:
    if not len(values):
        return not_estimable("no pair of masks has two surfaces")
    return stated(lambda: _bootstrapped(values, patients, settings, statistic))
