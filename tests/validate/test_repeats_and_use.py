"""Repeats, sets with coverage, net benefit and false alerts: by hand, and against the definitions."""

from typing import Any

import numpy as np
import pytest

from coread.readers.registry import InstalledReader
from coread.statistics.agreement import bland_altman
from coread.validate.cohort import NumberSpec
from coread.validate.content_outputs import output_blocks
from coread.validate.content_places import number_blocks
from coread.validate.errors import BadCohort
from coread.validate.measuring import measure
from coread.validate.plots import repeats_plot
from tests.validate.test_measuring import SETTINGS, case, read, refused, run_of, scored


def test_repeats_need_no_truth_and_may_be_unequal(tiny: InstalledReader) -> None:
    random = np.random.default_rng(6)
    words = [f"r{i // 2}" for i in range(24)] + ["r0", "alone"]
    level = {word: random.uniform(50, 90) for word in words}
    found = np.array([level[word] + 2 * random.standard_normal() for word in words])
    cases = [case(i, None, repeat=word) for i, word in enumerate(words)]
    records = [read(item, 0.9, numbers={"volume": float(found[i])}) for i, item in enumerate(cases)]
    run = run_of(tiny, cases, records, numbers={"volume": NumberSpec(unit="ml")})
    body = measure(tiny.card, [run], SETTINGS)
    repeated = body["numbers"]["volume"]["repeatability"]
    assert (repeated["subjects"], repeated["repeats"], repeated["measurements"]) == (12, 3, 25)
    squares = sum(
        ((found[[w == word for w in words]] - found[[w == word for w in words]].mean()) ** 2).sum()
        for word in set(words)
    )
    assert repeated["within_sd"]["value"] == pytest.approx(np.sqrt(squares / 13), abs=1e-5)
    assert repeated["coefficient"]["value"] == pytest.approx(2.771808 * repeated["within_sd"]["value"], abs=1e-4)
    limits = bland_altman(found[1:24:2], found[0:24:2])
    assert repeated["bland_altman"]["lower"]["value"] == pytest.approx(limits.lower.value, abs=1e-5)
    plot = repeats_plot(repeated, "volume", "ml")
    assert plot is not None
    assert "limits of agreement" in plot.caption
    texts = [getattr(block, "text", "") for block in number_blocks(body)]
    assert "Repeatability of volume" in texts


def test_probabilities_and_calls_of_repeats_are_compared(tiny: InstalledReader) -> None:
    chance = [0.6, 0.7, 0.4, 0.55, 0.1, 0.2, 0.9, 0.9]
    cases = [case(i, True, repeat=f"r{i // 2}") for i in range(8)] + [
        case(8, True, repeat="r4"),
        case(9, True, repeat="r4"),
    ]
    records = [*(read(item, p) for item, p in zip(cases, chance, strict=False)), read(cases[8], 0.9), refused(cases[9])]
    body = measure(tiny.card, [run_of(tiny, cases, records)], SETTINGS)["outputs"]["square"]
    gaps = np.diff(np.array(chance).reshape(4, 2))
    assert body["repeatability"]["subjects"] == 4  # a refused repeat is none
    assert body["repeatability"]["within_sd"]["value"] == pytest.approx(np.sqrt((gaps**2 / 2).mean()), abs=1e-6)
    assert body["repeated_calls"]["value"] == pytest.approx(3 / 4)
    assert any("called alike in 75.0 %" in getattr(block, "text", "") for block in output_blocks("square", body))


def test_cohorts_without_repeats_say_so(tiny: InstalledReader) -> None:
    run, _, _ = scored(tiny, 40)
    body = measure(tiny.card, [run], SETTINGS)["outputs"]["square"]
    assert "column repeat" in body["repeatability"]["not_estimable"]
    assert "column repeat" in body["repeated_calls"]["not_estimable"]


def test_subjects_of_one_patient_are_marked(tiny: InstalledReader) -> None:
    cases = [case(i, True, patient="one", repeat=f"r{i // 2}") for i in range(8)]
    records = [read(item, 0.5 + i / 100) for i, item in enumerate(cases)]
    body = measure(tiny.card, [run_of(tiny, cases, records)], SETTINGS)["outputs"]["square"]
    assert body["repeatability"]["note"] == "cases, not clustered"


def test_sets_hold_the_truth_as_often_as_promised(tiny: InstalledReader) -> None:
    run, _, _ = scored(tiny, 400, seed=7)
    body = measure(tiny.card, [run], SETTINGS)["outputs"]["square"]["conformal"]
    assert body["marginal"]["coverage"]["low"] < 0.9 < body["marginal"]["coverage"]["high"] + 0.02
    for name in ("coverage_positives", "coverage_negatives"):
        assert body["by_class"][name]["value"] > 0.83
    sizes = [body["by_class"][name]["value"] for name in ("neither", "one", "both")]
    assert sum(sizes) == pytest.approx(1, abs=1e-5)


def test_calibrating_here_mends_what_is_wrong_here(tiny: InstalledReader) -> None:
    run, _, chance = scored(tiny, 300, seed=8)
    worse = [read(item, float(p) / 3) for item, p in zip(run.cohort.cases, chance, strict=True)]
    body = measure(tiny.card, [run_of(tiny, run.cohort.cases, worse)], SETTINGS)["outputs"]["square"]["calibration"]
    after = body["recalibrated"]
    assert after["ece_debiased"]["value"] < body["ece_debiased"]["low"]
    assert after["brier"]["value"] < body["brier"]["value"]
    assert after["ece"]["low"] <= after["ece"]["value"] <= after["ece"]["high"]


def use(tiny: InstalledReader, **more: Any) -> dict[str, Any]:
    run, _, _ = scored(tiny, 200, seed=9)
    body: dict[str, Any] = measure(tiny.card, [run_of(tiny, run.cohort.cases, run.records, **more)], SETTINGS)
    return dict(body["outputs"]["square"])


def test_false_alerts_follow_from_specificity_prevalence_and_volume(tiny: InstalledReader) -> None:
    body = use(tiny, prevalence={"square": 0.05}, studies_per_day=120.0)
    point = body["operating_points"]["balanced"]
    alerts, specificity = point["at_prevalence"]["false_alerts_per_day"], point["specificity"]
    for end, other in (("value", "value"), ("low", "high"), ("high", "low")):
        assert alerts[end] == pytest.approx(120 * 0.95 * (1 - specificity[other]), abs=1e-3)
    assert point["at_prevalence"]["false_alerts_per_100"]["value"] == pytest.approx(
        95 * (1 - specificity["value"]), abs=1e-3
    )
    assert (
        "studies_per_day" not in use(tiny, prevalence={"square": 0.05})["operating_points"]["balanced"]["at_prevalence"]
    )
    words = str(output_blocks("square", body))
    assert "false alerts a day, 120 studies" in words


def test_net_benefit_has_a_band_and_moves_to_the_prevalence_of_use(tiny: InstalledReader) -> None:
    body = use(tiny, prevalence={"square": 0.05})
    _, truth, chance = scored(tiny, 200, seed=9)
    rows = {row[0]: row for row in body["decision"]["rows"]}
    called = chance >= 0.3
    wanted = (called & truth).mean() - (called & ~truth).mean() * 0.3 / 0.7
    assert rows[0.3][1] == pytest.approx(wanted, abs=1e-4)
    assert all(row[3] <= row[1] <= row[4] for row in body["decision"]["rows"])
    share = truth.mean()
    odds = 0.05 / 0.95 / (share / (1 - share))
    moved = odds * chance / (odds * chance + 1 - chance) >= 0.1
    there = {row[0]: row for row in body["decision_at_prevalence"]["rows"]}
    hit, false = moved[truth].mean(), moved[~truth].mean()
    assert there[0.1][1] == pytest.approx(hit * 0.05 - false * 0.95 * 0.1 / 0.9, abs=1e-4)
    assert use(tiny)["decision_at_prevalence"] is None


def test_cohorts_that_disagree_on_the_volume_are_not_pooled(tiny: InstalledReader) -> None:
    run, _, _ = scored(tiny, 40)
    one = run_of(tiny, run.cohort.cases, run.records, studies_per_day=100.0)
    other = run_of(tiny, run.cohort.cases, run.records, studies_per_day=50.0, name="Elsewhere")
    with pytest.raises(BadCohort, match="disagree on studies_per_day"):
        measure(tiny.card, [one, other], SETTINGS)
