"""Strata of findings, boxes and masks: counted by hand, tested once for each grouping, adjusted for the looks."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2_contingency
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.oneway import anova_oneway

from coread.readers.registry import InstalledReader
from coread.validate.blocks import Forest, alternative
from coread.validate.cohort import TruthBox
from coread.validate.content_outputs import output_blocks
from coread.validate.content_places import box_blocks, mask_blocks
from coread.validate.measuring import measure
from coread.validate.plain import is_estimate
from coread.validate.plot_svg import plot_svg
from coread.validate.plots import forest_of
from coread.validate.records import BoxRecord, MaskRecord
from tests.validate.test_measuring import FILE, SETTINGS, case, read, refused, run_of, scored

LESION = TruthBox("square", 10, 10, 20, 20)
HIT, MISS = BoxRecord("square", 0.9, 10, 10, 20, 20), BoxRecord("square", 0.8, 60, 60, 70, 70)


def rows_of(table: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["grouping"], row["level"]): row for row in table["rows"]}


def boxed(reader: InstalledReader) -> tuple[dict[str, Any], np.ndarray]:
    """Sixty pictures of two sites and two sexes; most lesions of the north are found, half of those of the south."""
    random = np.random.default_rng(3)
    north = np.arange(60) % 2 == 0
    found = random.random(60) < np.where(north, 0.95, 0.5)
    cases = [
        case(i, True, boxes=(LESION,), site="north" if north[i] else "south", sex="FM"[i // 2 % 2]) for i in range(60)
    ]
    records = [read(item, 0.9, boxes=(HIT if found[i] else MISS,)) for i, item in enumerate(cases)]
    records[1] = refused(cases[1])
    found[1] = False
    return measure(reader.card, [run_of(reader, cases, records)], SETTINGS), found


def test_lesions_found_are_counted_in_every_stratum_and_tested(tiny: InstalledReader) -> None:
    body, found = boxed(tiny)
    table = body["boxes"]["square"]["subgroups"]
    rows, north = rows_of(table), np.arange(60) % 2 == 0
    assert rows["site", "north"]["found_centre"]["value"] == pytest.approx(found[north].mean(), abs=1e-6)
    assert rows["site", "south"]["found_centre"]["value"] == pytest.approx(found[~north].mean(), abs=1e-6)
    assert (rows["site", "south"]["lesions"], rows["site", "south"]["not_read"]) == (30, 1)
    tests = {test["grouping"]: test for test in table["tests"]}
    counts = [[found[here].sum(), (~found[here]).sum()] for here in (north, ~north)]
    assert tests["site"]["p_value"] == pytest.approx(chi2_contingency(counts, correction=False).pvalue, abs=1e-6)
    wanted = multipletests([test["p_value"] for test in table["tests"]], method="holm")[1]
    assert [test["p_adjusted"] for test in table["tests"]] == pytest.approx(wanted.tolist(), abs=1e-5)
    assert tests["site"]["metric"] == "found_centre"
    shown = [block for block in box_blocks(body) if hasattr(block, "items")]
    assert any(isinstance(item, Forest) for block in shown for item in block.items)


def test_a_stratum_with_few_lesions_says_so(tiny: InstalledReader) -> None:
    cases = [case(i, True, boxes=(LESION,), site="north" if i < 21 else "south") for i in range(24)]
    records = [read(item, 0.9, boxes=(HIT,)) for item in cases]
    table = measure(tiny.card, [run_of(tiny, cases, records)], SETTINGS)["boxes"]["square"]["subgroups"]
    assert "fewer than 20 lesions" in rows_of(table)["site", "south"]["ap50"]["not_estimable"]
    assert "fewer than two strata" in table["tests"][0]["not_estimable"]


def test_no_hit_is_no_certainty(tiny: InstalledReader) -> None:
    cases = [case(i, True, boxes=(LESION,)) for i in range(30)]
    records = [read(item, 0.9, boxes=(MISS,)) for item in cases]
    found = measure(tiny.card, [run_of(tiny, cases, records)], SETTINGS)["boxes"]["square"]["ap50"]
    assert (found["value"], found["low"]) == (0.0, 0.0)
    assert found["high"] == pytest.approx(1 - 0.025 ** (1 / 30), abs=1e-6)


def test_dice_is_measured_in_every_stratum_and_tested_by_patient(tiny: InstalledReader) -> None:
    random = np.random.default_rng(4)
    dice = np.clip(np.where(np.arange(60) < 30, 0.85, 0.75) + 0.1 * random.standard_normal(60), 0, 1)
    cases = [case(i, None, masks={"": FILE}, scanner="old" if i >= 30 else "new") for i in range(60)]
    records = [
        read(item, 0.9, masks={"all": MaskRecord(float(dice[i]), 2.0, 1.0, 10.0, 11.0, "mm2")})
        for i, item in enumerate(cases)
    ]
    body = measure(tiny.card, [run_of(tiny, cases, records)], SETTINGS)
    table = body["masks"]["all"]["subgroups"]
    rows = rows_of(table)
    assert rows["scanner", "new"]["dice"]["value"] == pytest.approx(dice[:30].mean(), abs=1e-6)
    assert rows["scanner", "old"]["dice"]["low"] < dice[30:].mean() < rows["scanner", "old"]["dice"]["high"]
    wanted = anova_oneway([dice[:30], dice[30:]], use_var="unequal", welch_correction=True).pvalue
    assert table["tests"][0]["p_value"] == pytest.approx(wanted, abs=1e-6)
    assert [block for block in mask_blocks(body) if hasattr(block, "items")]


def test_copies_of_a_mask_make_no_difference_of_strata(tiny: InstalledReader) -> None:
    random = np.random.default_rng(5)
    dice = np.repeat(np.clip(0.8 + 0.1 * random.standard_normal(20), 0, 1), 6)
    cases = [
        case(i, None, masks={"": FILE}, patient=f"p{i // 6}", site="north" if i < 60 else "south") for i in range(120)
    ]
    records = [
        read(item, 0.9, masks={"all": MaskRecord(float(dice[i]), 2.0, 1.0, 10.0, 11.0, "mm2")})
        for i, item in enumerate(cases)
    ]
    table = measure(tiny.card, [run_of(tiny, cases, records)], SETTINGS)["masks"]["all"]["subgroups"]
    wanted = anova_oneway([dice[:60:6], dice[60::6]], use_var="unequal", welch_correction=True).pvalue
    assert table["tests"][0]["p_value"] == pytest.approx(wanted, abs=1e-6)


def test_without_negatives_sensitivities_are_compared(tiny: InstalledReader) -> None:
    cases = [case(i, True, site="north" if i % 2 else "south") for i in range(80)]
    records = [read(item, 0.9 if i % 2 or i % 4 else 0.1) for i, item in enumerate(cases)]
    body = measure(tiny.card, [run_of(tiny, cases, records)], SETTINGS)["outputs"]["square"]
    (test,) = body["subgroups"]["tests"]
    assert test["metric"] == "sensitivity"
    assert test["p_value"] == pytest.approx(chi2_contingency([[40, 0], [20, 20]], correction=False).pvalue, abs=1e-6)
    blocks = output_blocks("square", body)
    forests = [item for block in blocks if hasattr(block, "items") for item in block.items if isinstance(item, Forest)]
    assert [item.title for item in forests] == ["Sensitivity in subgroups"]


def test_a_forest_plot_says_in_words_what_it_shows(tiny: InstalledReader) -> None:
    run, _, _ = scored(tiny, 120, site=lambda i: "north" if i % 3 else "a <site> & more")
    body = measure(tiny.card, [run], SETTINGS)["outputs"]["square"]
    assert all(is_estimate(row["auc"]) for row in body["subgroups"]["rows"])
    forest = forest_of(body["subgroups"], "auc", "AUC in subgroups", whole=body["discrimination"]["auc"])
    assert forest is not None
    words = alternative(forest)
    assert "north: 0." in words
    assert "adjusted by Holm" in words
    assert "a &lt;site&gt; &amp; more: 0." in plot_svg(forest)
