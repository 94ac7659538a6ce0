"""The numbers of a report are those of scikit-learn and of counting by hand; what cannot be estimated says why."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from coread.domain.reasons import ReasonCode
from coread.phantoms.picture import Wrapping
from coread.readers.registry import InstalledReader
from coread.validate.card_numbers import card_numbers
from coread.validate.cohort import Case, Cohort, NumberSpec, TruthBox
from coread.validate.comparison_measures import compare_masks_of, compare_numbers, compare_types, expected_pairs
from coread.validate.errors import BadCohort
from coread.validate.freezing import Frozen
from coread.validate.measure_settings import MeasureSettings
from coread.validate.measuring import measure
from coread.validate.observations import Observation, check_fits
from coread.validate.plain import is_estimate, read_and_refused, thinned
from coread.validate.records import BoxRecord, CaseRecord, MaskRecord, OutputRecord
from coread.validate.report_json import Circumstances, report_document
from coread.validate.running import CohortRun
from coread.validate.sources import Reference

SETTINGS = MeasureSettings(repeats=200)
FILE = Reference("a.png", "a.png")


def case(number: int, truth: bool | None = None, **more: Any) -> Case:
    known = {} if truth is None else {"square": truth}
    return Case(f"case{number:03d}", more.pop("patient", f"patient{number}"), (FILE,), known, **more)


def read(item: Case, probability: float | None, **more: Any) -> CaseRecord:
    present = probability is not None and probability >= 0.5
    word = "present" if present else "absent"
    output = OutputRecord(word, probability, None, 0.5, "balanced")
    return CaseRecord(
        item.case_id, "positive" if present else "negative", outputs={"square": output}, seconds=0.1, **more
    )


def refused(item: Case) -> CaseRecord:
    return CaseRecord(item.case_id, "not_analysed", ReasonCode.WRONG_AGE.value, "patient is 4 years old")


def run_of(reader: InstalledReader, cases: Sequence[Case], records: Sequence[CaseRecord], **more: Any) -> CohortRun:
    values: dict[str, Any] = {"name": "Cases", "folder": Path(), "root": Path(), "wrapping": Wrapping()}
    values |= {"cases": tuple(cases)} | more
    return CohortRun(Cohort(**values), Frozen({}, "", "0" * 64, "now"), reader, "engine", tuple(records))


def scored(reader: InstalledReader, count: int = 80, seed: int = 1, **more: Any) -> tuple[CohortRun, Any, Any]:
    random = np.random.default_rng(seed)
    truth = random.random(count) < 0.4
    chance = np.clip(0.5 + np.where(truth, 0.15, -0.15) + 0.2 * random.standard_normal(count), 0.01, 0.99)
    cases = [case(i, bool(truth[i]), **{name: make(i) for name, make in more.items()}) for i in range(count)]
    records = [read(item, float(p)) for item, p in zip(cases, chance, strict=True)]
    return run_of(reader, cases, records), truth, chance


def test_discrimination_is_that_of_scikit_learn(tiny: InstalledReader) -> None:
    run, truth, chance = scored(tiny)
    body = measure(tiny.card, [run], SETTINGS)["outputs"]["square"]
    found = body["discrimination"]
    assert found["auc"]["value"] == pytest.approx(roc_auc_score(truth, chance), abs=1e-6)
    assert found["auc"]["low"] < found["auc"]["value"] < found["auc"]["high"]
    assert found["average_precision"]["value"] == pytest.approx(average_precision_score(truth, chance), abs=1e-6)
    assert found["auc_method"] == "DeLong"
    brier = body["calibration"]["brier"]
    assert brier["value"] == pytest.approx(brier_score_loss(truth, chance), abs=1e-6)
    assert brier["low"] < brier["value"] < brier["high"]
    point = body["operating_points"]["balanced"]
    assert point["true_positives"] == int((truth & (chance >= 0.5)).sum())
    assert point["sensitivity"]["value"] == pytest.approx((chance[truth] >= 0.5).mean(), abs=1e-6)
    assert point["specificity"]["value"] == pytest.approx((chance[~truth] < 0.5).mean(), abs=1e-6)


def test_a_refused_case_counts_against_the_reader_where_refusals_count(tiny: InstalledReader) -> None:
    cases = [case(i, i < 10) for i in range(20)]
    records = [read(item, 0.9 if i < 10 else 0.1) for i, item in enumerate(cases)]
    records[0], records[15] = refused(cases[0]), refused(cases[15])
    body = measure(tiny.card, [run_of(tiny, cases, records)], SETTINGS)
    point = body["outputs"]["square"]["operating_points"]["balanced"]
    assert point["sensitivity"]["value"] == 1.0
    assert point["sensitivity_with_refusals"]["value"] == 0.9
    assert point["specificity_with_refusals"]["value"] == 0.9
    found = body["outputs"]["square"]["discrimination"]
    assert found["auc"]["value"] == 1.0
    assert found["auc_with_refusals"]["value"] == pytest.approx(0.81)
    assert body["cases"]["outcomes"] == {"positive": 9, "negative": 9, "not_analysed": 2, "failed": 0}
    assert body["refusals"][0]["reason"] == "WRONG_AGE"
    assert body["refusals"][0]["n"] == 2


@pytest.mark.parametrize(("truth", "says"), [(False, "no positives"), (True, "no negatives")])
def test_a_cohort_of_one_class_says_that_there_is_no_auc(tiny: InstalledReader, truth: bool, says: str) -> None:
    cases = [case(i, truth) for i in range(10)]
    body = measure(tiny.card, [run_of(tiny, cases, [read(c, 0.2) for c in cases])], SETTINGS)["outputs"]["square"]
    assert body["discrimination"]["auc"] == {"not_estimable": f"AUC not estimable: {says}"}
    point = body["operating_points"]["balanced"]
    assert is_estimate(point["sensitivity"]) == truth
    assert is_estimate(point["specificity"]) == (not truth)


def test_a_cohort_in_which_nothing_was_read_is_reported_and_does_not_break(tiny: InstalledReader) -> None:
    cases = [case(i, i % 2 == 0) for i in range(6)]
    body = measure(tiny.card, [run_of(tiny, cases, [refused(item) for item in cases])], SETTINGS)
    assert "no case with a known truth was read" in body["outputs"]["square"]["discrimination"]["auc"]["not_estimable"]
    assert body["cases"]["read_share"]["value"] == 0.0
    assert body["timing"] == {"not_estimable": "no case was read"}


def test_results_in_which_nothing_is_clear_count_as_read_and_say_nothing_of_the_output(tiny: InstalledReader) -> None:
    cases = [case(0, True), case(1, False), case(2, None, expect="refuse")]
    unclear = OutputRecord("indeterminate", None, None)
    records = [
        read(cases[0], 0.9),
        *(CaseRecord(c.case_id, "not_analysed", outputs={"square": unclear}) for c in cases[1:]),
    ]
    body = measure(tiny.card, [run_of(tiny, cases, records)], SETTINGS)
    assert body["cases"]["outcomes"] == {"positive": 1, "negative": 0, "not_analysed": 1, "failed": 0}
    assert body["cases"]["read_share"]["value"] == 1.0
    assert body["cases"]["refused_share_of_unfit"]["value"] == 0.0
    assert body["refusals"] == []
    assert read_and_refused(body) == (2, 0)
    assert is_estimate(body["outputs"]["square"]["operating_points"]["balanced"]["sensitivity_with_refusals"])


def test_a_reader_without_probabilities_has_calls_and_no_auc(tiny: InstalledReader) -> None:
    cases = [case(i, i < 5) for i in range(10)]
    records = [
        CaseRecord(c.case_id, "positive" if i < 4 else "negative",
                   outputs={"square": OutputRecord("present" if i < 4 else "absent", None, None)})
        for i, c in enumerate(cases)
    ]  # fmt: skip
    body = measure(tiny.card, [run_of(tiny, cases, records)], SETTINGS)["outputs"]["square"]
    assert body["operating_points"]["balanced"]["sensitivity"]["value"] == 0.8
    assert "gives no probability" in body["discrimination"]["auc"]["not_estimable"]


def test_truth_that_is_not_known_is_not_counted(tiny: InstalledReader) -> None:
    cases = [case(i, None if i == 0 else i < 5) for i in range(10)]
    body = measure(tiny.card, [run_of(tiny, cases, [read(c, 0.3) for c in cases])], SETTINGS)
    assert body["outputs"]["square"]["n"] == 9
    nothing = [case(i) for i in range(3)]
    body = measure(tiny.card, [run_of(tiny, nothing, [read(c, 0.3) for c in nothing])], SETTINGS)
    assert body["outputs"] == {}
    assert body["not_measured"] == ["square"]


def test_cases_to_be_refused_measure_the_gate_and_nothing_else(tiny: InstalledReader) -> None:
    cases = [case(0, True), case(1, False), case(2, None, expect="refuse"), case(3, None, expect="refuse")]
    records = [read(cases[0], 0.9), read(cases[1], 0.2), refused(cases[2]), read(cases[3], 0.9)]
    body = measure(tiny.card, [run_of(tiny, cases, records)], SETTINGS)
    assert body["outputs"]["square"]["n"] == 2
    assert body["cases"]["refused_share_of_unfit"]["value"] == 0.5
    assert body["cases"]["read_share"]["value"] == 1.0
    assert body["refusals"][0]["of_unfit"] == 1


def test_patients_with_several_cases_widen_the_intervals(tiny: InstalledReader) -> None:
    run, _, _ = scored(tiny)
    cases = [case(i, item.truth["square"], patient=f"p{i // 8}") for i, item in enumerate(run.cohort.cases)]
    body = measure(tiny.card, [run_of(tiny, cases, run.records)], SETTINGS)["outputs"]["square"]
    assert body["patients"] == 10
    assert "clustered" in body["discrimination"]["auc_method"]


def test_subgroups_have_estimates_tests_and_a_reason_when_small(tiny: InstalledReader) -> None:
    run, truth, chance = scored(
        tiny, 120, site=lambda i: "north" if i % 3 else "south", sex=lambda i: "F" if i < 115 else "M",
        age_years=lambda i: 20.0 + i % 50,
    )  # fmt: skip
    body = measure(tiny.card, [run], SETTINGS)["outputs"]["square"]["subgroups"]
    rows = {(row["grouping"], row["level"]): row for row in body["rows"]}
    south = np.arange(120) % 3 == 0
    assert rows["site", "south"]["auc"]["value"] == pytest.approx(roc_auc_score(truth[south], chance[south]), abs=1e-6)
    assert "fewer than 20" in rows["sex", "M"]["auc"]["not_estimable"]
    tests = {test["grouping"]: test for test in body["tests"]}
    assert tests["site"]["p_adjusted"] >= tests["site"]["p_value"]
    assert "not_estimable" in tests["sex"]


def test_several_cohorts_are_pooled_and_compared(tiny: InstalledReader) -> None:
    first, _, _ = scored(tiny, 60, seed=1)
    second, _, _ = scored(tiny, 60, seed=2)
    other = run_of(tiny, second.cohort.cases, second.records, name="Elsewhere")
    body = measure(tiny.card, [first, other], SETTINGS)
    assert body["cases"]["patients"] == 120
    levels = {row["level"] for row in body["outputs"]["square"]["subgroups"]["rows"] if row["grouping"] == "cohort"}
    assert levels == {"Cases", "Elsewhere"}


def test_boxes_are_found_missed_and_false(tiny: InstalledReader) -> None:
    right = TruthBox("square", 10, 10, 20, 20)
    cases = [case(0, True, boxes=(right,)), case(1, True, boxes=(right,)), case(2, False, boxes=()), case(3, True)]
    records = [
        read(cases[0], 0.9, boxes=(BoxRecord("square", 0.9, 10, 10, 20, 21),)),
        read(cases[1], 0.8, boxes=(BoxRecord("square", 0.8, 40, 40, 50, 50),)),
        read(cases[2], 0.7, boxes=(BoxRecord("square", 0.7, 1, 1, 5, 5),)),
        read(cases[3], 0.7, boxes=(BoxRecord("square", 0.7, 1, 1, 5, 5),)),
    ]
    body = measure(tiny.card, [run_of(tiny, cases, records)], SETTINGS)["boxes"]["square"]
    assert (body["pictures"], body["lesions"], body["marks"]) == (3, 2, 3)
    assert body["found_iou50"]["value"] == 0.5
    assert body["found_centre"]["value"] == 0.5
    assert body["false_marks_per_picture"]["value"] == pytest.approx(2 / 3, abs=1e-6)
    assert body["ap50"]["value"] == pytest.approx(51 / 101, abs=1e-6)


def test_lesions_on_a_refused_picture_are_missed(tiny: InstalledReader) -> None:
    box = TruthBox("square", 10, 10, 20, 20)
    cases = [case(i, True, boxes=(box,)) for i in range(4)]
    records = [read(c, 0.9, boxes=(BoxRecord("square", 0.9, 10, 10, 20, 20),)) for c in cases]
    records[0] = refused(cases[0])
    body = measure(tiny.card, [run_of(tiny, cases, records)], SETTINGS)["boxes"]["square"]
    assert body["found_iou50"]["value"] == 0.75
    assert body["pictures_not_read"] == 1


def test_masks_are_summed_up_and_an_empty_answer_has_no_distance(tiny: InstalledReader) -> None:
    cases = [case(i, True, masks={"": FILE}) for i in range(6)]
    records = [
        read(c, 0.9, masks={"all": MaskRecord(0.8 + i / 100, 2.0 + i, 1.0, 10.0 + i, 11.0 + i / 2, "mm2")})
        for i, c in enumerate(cases)
    ]
    records[0] = read(cases[0], 0.9, masks={"all": MaskRecord(0.0, None, None, 0.0, 11.0, "mm2")})
    records[5] = refused(cases[5])
    body = measure(tiny.card, [run_of(tiny, cases, records)], SETTINGS)["masks"]["all"]
    assert body["dice"]["value"] == pytest.approx(np.mean([0.0, 0.81, 0.82, 0.83, 0.84]))
    assert (body["empty_answers"], body["without_distance"], body["not_read"]) == (1, 1, 1)
    assert body["dice_with_refusals"]["value"] == pytest.approx(3.3 / 6)
    assert body["hausdorff95"]["value"] == pytest.approx(4.5)
    assert body["surface_distance"]["value"] == pytest.approx(1.0)
    assert is_estimate(body["volume"]["bland_altman"]["bias"])


def test_a_case_to_be_refused_is_no_mask_and_no_repeat_whatever_became_of_it(tiny: InstalledReader) -> None:
    cases = [case(i, None, masks={"": FILE}, repeat=f"r{i // 2}") for i in range(8)]
    cases += [case(i, None, masks={"": FILE}, repeat=f"r{i // 2}", expect="refuse") for i in range(8, 12)]
    mask = MaskRecord(0.9, 2.0, 1.0, 10.0, 11.0, "mm2")
    records = [read(c, 0.9, masks={"all": mask}, numbers={"volume": float(i)}) for i, c in enumerate(cases[:8])]
    records += [refused(cases[8]), refused(cases[9])]
    records += [
        read(c, 0.9, masks={"all": replace(mask, dice=0.1)}, numbers={"volume": 900.0 * i})
        for i, c in enumerate(cases[10:])
    ]
    known = [replace(c, numbers={"volume": 1.0}) for c in cases]
    body = measure(tiny.card, [run_of(tiny, known, records)], SETTINGS)
    found = body["masks"]["all"]
    assert (found["n"], found["not_read"], found["dice_with_refusals"]["value"]) == (8, 0, 0.9)
    assert {row["dice"] for row in body["worst_masks"]} == {0.9}
    assert body["numbers"]["volume"]["repeatability"]["subjects"] == 4


def test_the_cards_sentence_counts_the_people_that_were_to_be_read(tiny: InstalledReader) -> None:
    cases = [case(i, True, patient=f"p{i // 2}") for i in range(6)]
    cases += [case(i, None, patient=f"q{i}", expect="refuse") for i in range(6, 9)]
    records = [read(c, 0.9) for c in cases[:3]] + [refused(cases[3]), refused(cases[4])]
    records += [CaseRecord(cases[5].case_id, "failed", "ValueError"), *(refused(c) for c in cases[6:])]
    runs = [run_of(tiny, cases, records, data="generated squares", split="none", reference_standard="the generator")]
    how = Circumstances("coread validate tiny_square cohort --out run")
    report = report_document(runs, measure(tiny.card, runs, SETTINGS), how, SETTINGS)
    words = card_numbers(report).validation
    assert "of 6 cases of 3 patients that are to be read, 3 were read, 2 refused, 1 failed." in words
    del report["cases"]["patients_to_be_read"]
    assert "of 6 cases that are to be read, 3 were read" in card_numbers(report).validation


def test_the_worst_boxes_and_numbers_are_named(tiny: InstalledReader) -> None:
    lesions = (TruthBox("square", 10, 10, 20, 20), TruthBox("square", 40, 40, 50, 50))
    cases = [case(i, True, boxes=lesions[: 2 if i else 1], numbers={"volume": 10.0}) for i in range(4)]
    cases.append(case(4, True, boxes=lesions, numbers={"volume": 10.0}, expect="refuse"))
    hit, off = BoxRecord("square", 0.9, 10, 10, 20, 20), BoxRecord("square", 0.8, 70, 70, 80, 80)
    marks = [(hit,), (hit, hit), (off,), (hit, BoxRecord("square", 0.7, 40, 40, 50, 50)), ()]
    volumes = [10.0, 13.0, 4.0, 11.0, 900.0]
    records = [
        read(c, 0.9, boxes=boxes, numbers={"volume": volume})
        for c, boxes, volume in zip(cases, marks, volumes, strict=True)
    ]
    body = measure(tiny.card, [run_of(tiny, cases, records)], SETTINGS)
    found = [(row["case_id"], row["missed"], row["lesions"], row["false_marks"]) for row in body["worst_boxes"]]
    assert found == [("case002", 2, 2, 1), ("case001", 1, 2, 0)]
    errors = [(row["case_id"], row["error"]) for row in body["worst_numbers"]]
    assert errors == [("case002", -6.0), ("case001", 3.0), ("case003", 1.0), ("case000", 0.0)]


def test_two_runs_are_compared_by_masks_numbers_and_types(tiny: InstalledReader) -> None:
    keys = ("a", "b")
    cases = [case(i, None, numbers={"volume": 10.0}, types={"kind": keys[i % 2]}) for i in range(30)]
    cases.append(case(30, None, numbers={"volume": 10.0}, types={"kind": "a"}, expect="refuse"))

    def answer(item: Case, number: int, *, dice: float, volume: float, right: bool) -> Observation:
        top = keys[(number % 2) if right else 1 - number % 2]
        outputs = {key: OutputRecord("absent", 0.9 if key == top else 0.1, None) for key in keys}
        mask = MaskRecord(dice, 1.0, 0.5, 10.0, 10.0, "ml")
        record = CaseRecord(item.case_id, "negative", outputs=outputs, masks={"all": mask}, numbers={"volume": volume})
        return Observation("Cases", item, record)

    ours = [answer(c, i, dice=0.8 + i / 1000, volume=11.0, right=i != 5) for i, c in enumerate(cases)]
    theirs = [answer(c, i, dice=0.7, volume=6.0 + i / 100, right=i % 3 > 0) for i, c in enumerate(cases)]
    theirs[29] = Observation("Cases", cases[29], refused(cases[29]))
    pairs = expected_pairs(ours, theirs)
    masks = compare_masks_of(pairs, SETTINGS)["all"]
    assert (masks["n"], masks["only_this"], masks["only_other"]) == (29, 1, 0)
    assert masks["difference"]["value"] == pytest.approx(0.114)
    assert 0.1 < masks["difference"]["low"] < 0.114 < masks["difference"]["high"] < 0.128
    volume = compare_numbers(pairs, SETTINGS)["volume"]
    assert (volume["this"], volume["other"]) == (1.0, pytest.approx(3.86))
    assert volume["difference"]["high"] < 0
    kind = compare_types(pairs, {"kind": keys}, SETTINGS)["kind"]
    assert (kind["n"], kind["this"]) == (30, pytest.approx(29 / 30, abs=1e-6))
    assert kind["other"] == pytest.approx(19 / 30, abs=1e-6)  # every third, and the one that was refused
    assert kind["difference"]["low"] > 0


def test_numbers_agree_repeat_and_stay_within_limits(tiny: InstalledReader) -> None:
    random = np.random.default_rng(4)
    truth = random.uniform(10, 50, 40)
    found = truth + 1.5 + random.standard_normal(40)
    cases = [case(i, None, numbers={"volume": float(truth[i])}, repeat=f"r{i // 2}") for i in range(40)]
    records = [read(c, 0.9, numbers={"volume": float(found[i])}) for i, c in enumerate(cases)]
    specs = {"volume": NumberSpec(unit="ml", within=3.0)}
    body = measure(tiny.card, [run_of(tiny, cases, records, numbers=specs)], SETTINGS)["numbers"]["volume"]
    assert body["mean_absolute_error"]["value"] == pytest.approx(np.abs(found - truth).mean(), abs=1e-5)
    assert body["bland_altman"]["bias"]["value"] == pytest.approx((found - truth).mean(), abs=1e-5)
    assert body["within"]["share"]["value"] == pytest.approx((np.abs(found - truth) <= 3).mean())
    pairs = found.reshape(20, 2)
    within = np.sqrt(((pairs[:, 0] - pairs[:, 1]) ** 2 / 2).mean())
    assert body["repeatability"]["within_sd"]["value"] == pytest.approx(within, abs=1e-5)


def test_types_are_counted_in_a_table(tiny: InstalledReader) -> None:
    keys = ("a", "b", "c")
    cases = [case(i, None, types={"kind": keys[i % 3]}) for i in range(9)]

    def answer(item: Case, top: str) -> CaseRecord:
        outputs = {key: OutputRecord("absent", 0.9 if key == top else 0.1, None) for key in keys}
        return CaseRecord(item.case_id, "negative", outputs=outputs)

    records = [answer(c, keys[i % 3] if i else "b") for i, c in enumerate(cases)]
    records[8] = refused(cases[8])
    body = measure(tiny.card, [run_of(tiny, cases, records, types={"kind": keys})], SETTINGS)["types"]["kind"]
    assert body["matrix"] == [[2, 1, 0], [0, 3, 0], [0, 0, 2]]
    assert body["accuracy"]["value"] == pytest.approx(7 / 8)
    assert body["accuracy_with_refusals"]["value"] == pytest.approx(7 / 9, abs=1e-6)
    assert body["sensitivity"]["a"]["value"] == pytest.approx(2 / 3, abs=1e-6)


def test_ppv_is_given_for_the_stated_prevalence(tiny: InstalledReader) -> None:
    run, truth, chance = scored(tiny)
    whole = run_of(tiny, run.cohort.cases, run.records, prevalence={"square": 0.05})
    point = measure(tiny.card, [whole], SETTINGS)["outputs"]["square"]["operating_points"]["balanced"]
    sensitivity, false_alarms = (chance[truth] >= 0.5).mean(), (chance[~truth] >= 0.5).mean()
    wanted = sensitivity * 0.05 / (sensitivity * 0.05 + false_alarms * 0.95)
    assert point["at_prevalence"]["ppv"]["value"] == pytest.approx(wanted, abs=1e-5)


def test_the_worst_cases_are_the_surest_wrong_ones(tiny: InstalledReader) -> None:
    run, truth, chance = scored(tiny)
    worst = measure(tiny.card, [run], SETTINGS)["worst"]
    alarms = [row["case_id"] for row in worst if row["kind"] == "false alarm"]
    wanted = max((i for i in range(80) if not truth[i] and chance[i] >= 0.5), key=lambda i: chance[i])
    assert alarms[0] == f"case{wanted:03d}"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"cases": (case(0, True, boxes=(TruthBox("circle", 1, 1, 2, 2),)),)}, "boxes speaks of 'circle'"),
        ({"types": {"kind": ("square", "round")}}, "types.kind speaks of 'round'"),
        ({"prevalence": {"round": 0.1}}, "prevalence speaks of 'round'"),
        ({"cases": (case(0, True, boxes=(TruthBox("square", 1, 1, 2, 2, 3),)),)}, "stands on file 3"),
    ],
)
def test_truth_of_outputs_that_the_reader_lacks_is_refused(
    tiny: InstalledReader, more: dict[str, Any], says: str
) -> None:
    values: dict[str, Any] = {"name": "X", "folder": Path(), "root": Path(), "wrapping": Wrapping()}
    values |= {"cases": (case(0, True),)} | more
    with pytest.raises(BadCohort, match=says.replace(".", r"\.")):
        check_fits(tiny.card, Cohort(**values))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=900), st.integers(2, 300))
def test_a_thinned_curve_keeps_its_ends(values: list[float], points: int) -> None:
    rows = thinned(values, points=points)
    assert len(rows) <= max(points, 1)
    assert rows[0][0] == pytest.approx(values[0], abs=1e-4)
    assert rows[-1][0] == pytest.approx(values[-1], abs=1e-4)
