"""Where patients have several cases, intervals are over patients: copies of a case tell nothing new."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from coread.readers.registry import InstalledReader
from coread.statistics.agreement import bland_altman, intraclass_correlations
from coread.statistics.confusion import paired_difference
from coread.statistics.errors import NotEstimable
from coread.statistics.intervals import Resampling
from coread.validate.cohort import Case
from coread.validate.measuring import measure
from coread.validate.patient_intervals import intraclass, limits_of_agreement, over_patients, share_difference
from coread.validate.records import CaseRecord, OutputRecord
from tests.validate.test_measuring import SETTINGS, case, run_of

PLAN = Resampling(repeats=500)
COPIES = 6
KEYS = ("a", "b", "c")


def width(body: dict[str, Any]) -> float:
    return float(body["high"] - body["low"])


def test_statistics_of_resamples_are_those_of_the_exact_methods() -> None:
    random = np.random.default_rng(2)
    truth = random.uniform(10, 50, 30)
    found = truth * 1.1 + 1.5 + 4 * random.standard_normal(30)
    everyone = np.arange(30)
    limits = bland_altman(found, truth)
    for name, statistic in limits_of_agreement(found, truth).items():
        assert statistic(everyone) == pytest.approx(getattr(limits, name).value)
    icc = intraclass_correlations(np.column_stack([truth, found]))
    forms = intraclass(truth, found)
    assert forms["agreement"](everyone) == pytest.approx(icc.icc2.value)
    assert forms["consistency"](everyone) == pytest.approx(icc.icc3.value)


def measured(reader: InstalledReader, copies: int, *, apart: bool) -> dict[str, Any]:
    """Measure 25 patients, each case ``copies`` times; ``apart``: as if every copy were of a patient of its own."""
    random = np.random.default_rng(4)
    numbers = random.uniform(10, 50, 25)
    found = numbers + 3 * random.standard_normal(25)
    classes = random.integers(0, 3, 25)
    called = np.where(random.random(25) < 0.7, classes, random.integers(0, 3, 25))
    cases: list[Case] = []
    records: list[CaseRecord] = []
    for number in range(25 * copies):
        who = number // copies
        item = case(number, None, patient=f"p{number if apart else who}")
        cases.append(replace(item, numbers={"volume": float(numbers[who])}, types={"kind": KEYS[classes[who]]}))
        outputs = {key: OutputRecord("absent", 0.9 if key == KEYS[called[who]] else 0.1, None) for key in KEYS}
        records.append(CaseRecord(item.case_id, "negative", outputs=outputs, numbers={"volume": float(found[who])}))
    return measure(reader.card, [run_of(reader, cases, records, types={"kind": KEYS})], SETTINGS)


def test_copies_of_a_case_do_not_narrow_agreement_or_accuracy(tiny: InstalledReader) -> None:
    single, copied = measured(tiny, 1, apart=False), measured(tiny, COPIES, apart=False)
    naive = measured(tiny, COPIES, apart=True)

    def found(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
        number, kind = body["numbers"]["volume"], body["types"]["kind"]
        return {
            "concordance": number["concordance"],
            **{name: number["bland_altman"][name] for name in ("bias", "lower", "upper", "slope")},
            **number["icc"],
            **{name: kind[name] for name in ("accuracy", "accuracy_with_refusals", "balanced_accuracy", "kappa")},
            "sensitivity": kind["sensitivity"]["a"],
        }

    one, several, wrong = found(single), found(copied), found(naive)
    for name, body in several.items():
        assert body["value"] == pytest.approx(wrong[name]["value"], abs=1e-5), name
        assert body["n"] == wrong[name]["n"], name
        assert width(body) > 1.5 * width(wrong[name]), name
        assert width(body) == pytest.approx(width(one[name]), rel=0.5), name


def test_a_difference_of_shares_is_over_patients() -> None:
    random = np.random.default_rng(5)
    first, second = random.random(40) < 0.8, random.random(40) < 0.6
    alone = np.array([f"p{i}" for i in range(40)])
    exact = paired_difference(first, second)
    assert share_difference(first, second, alone, PLAN) == exact
    many, others, patients = (np.repeat(values, COPIES) for values in (first, second, alone))
    found = share_difference(many, others, patients, PLAN)
    assert found.value == pytest.approx(exact.value)
    assert found.n == 40 * COPIES
    narrow = paired_difference(many, others)
    assert found.high - found.low > 1.5 * (narrow.high - narrow.low)


def test_two_that_never_differ_have_the_interval_of_so_many_patients() -> None:
    right = np.arange(60) % 3 > 0
    patients = np.repeat([f"p{i}" for i in range(10)], 6)
    found = share_difference(right, right, patients, PLAN)
    assert (found.value, found.n) == (0.0, 60)
    assert found.high - found.low > 0.1


def test_two_patients_give_no_interval() -> None:
    with pytest.raises(NotEstimable, match="of 2 patients"):
        over_patients(lambda: pytest.fail("not asked"), lambda _: 0.0, np.array(["a", "a", "b"]), PLAN)
