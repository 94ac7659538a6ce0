"""Acceptance criteria are strict about what they name, are kept before the run, and decide the exit code."""

import json
from pathlib import Path

import pytest

from coread.readers.registry import InstalledReader
from coread.validate.criteria import REGISTERED_FILE, judge, read_criteria, register
from coread.validate.errors import BadCriteria, OtherRun
from coread.validate.journal import JOURNAL_FILE
from coread.validate.plain import Plain

REPORT: Plain = {
    "cases": {"read_share": {"value": 0.97, "low": 0.93, "high": 0.99, "n": 100}},
    "timing": {"median": 0.2, "p95": 0.4},
    "outputs": {
        "square": {
            "discrimination": {"auc": {"value": 0.9, "low": 0.85, "high": 0.94, "n": 100}},
            "calibration": {"ece": {"value": 0.03, "low": 0.01, "high": 0.06, "n": 100}, "brier": 0.1},
            "operating_points": {
                "balanced": {"default": True, "sensitivity": {"value": 0.88, "low": 0.8, "high": 0.93, "n": 50}},
                "safe": {"default": False, "sensitivity": {"value": 0.97, "low": 0.9, "high": 0.99, "n": 50}},
            },
            "subgroups": {"rows": [{"grouping": "sex", "level": "F", "auc": {"not_estimable": "fewer than 20"}}]},
        }
    },
    "boxes": {"square": {"ap50": {"value": 0.7, "low": 0.6, "high": 0.8, "n": 30}}},
    "masks": {}, "numbers": {}, "types": {},
}  # fmt: skip


def criterion(**values: object) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "[[criterion]]\n" + "\n".join(lines) + "\n"


def met(tiny: InstalledReader, tmp_path: Path, **values: object) -> bool:
    path = tmp_path / "criteria.toml"
    path.write_text(criterion(**values))
    return bool(judge(read_criteria(path, tiny.card), REPORT)["passed"])


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"output": "square", "metric": "auc", "at_least": 0.9}, True),
        ({"output": "square", "metric": "auc", "at_least": 0.86, "bound": "low"}, False),
        ({"output": "square", "metric": "auc", "at_least": 0.85, "bound": "low"}, True),
        ({"output": "square", "metric": "ece", "at_most": 0.05}, True),
        ({"output": "square", "metric": "ece", "at_most": 0.05, "bound": "high"}, False),
        ({"output": "square", "metric": "brier", "at_most": 0.1}, True),
        ({"output": "square", "metric": "brier", "at_most": 0.2, "bound": "high"}, False),
        ({"output": "square", "metric": "sensitivity", "at_least": 0.9}, False),
        ({"output": "square", "metric": "sensitivity", "at_least": 0.9, "operating_point": "safe"}, False),
        ({"output": "square", "metric": "ap50", "at_least": 0.65, "at_most": 0.75}, True),
        ({"output": "square", "metric": "auc", "at_least": 0.1, "subgroup": "sex=F"}, False),
        ({"output": "square", "metric": "auc", "at_least": 0.1, "subgroup": "sex=M"}, False),
        ({"metric": "read_share", "at_least": 0.95}, True),
        ({"metric": "seconds_p95", "at_most": 0.3}, False),
        ({"output": "nodule", "metric": "dice", "at_least": 0.1}, False),
    ],
)
def test_each_criterion_is_decided(
    tiny: InstalledReader, tmp_path: Path, values: dict[str, object], wanted: bool
) -> None:
    if values.get("operating_point") == "safe":
        with pytest.raises(BadCriteria, match="has the operating points balanced"):
            met(tiny, tmp_path, **values)
        return
    assert met(tiny, tmp_path, **values) is wanted


def test_a_number_that_cannot_be_estimated_is_not_met_and_says_why(tiny: InstalledReader, tmp_path: Path) -> None:
    path = tmp_path / "criteria.toml"
    path.write_text(criterion(output="square", metric="auc", at_least=0.1, subgroup="sex=F"))
    (row,) = judge(read_criteria(path, tiny.card), REPORT)["rows"]
    assert (row["met"], row["reason"]) == (False, "fewer than 20")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "one or more"),
        ("[[criterion]]\n", "metric"),
        (criterion(metric="area", at_least=0.5), "metric 'area' is unknown"),
        (criterion(metric="auc", output="circle", at_least=0.5), "none of square"),
        (criterion(metric="auc", output="square"), "at_least or at_most"),
        (criterion(metric="auc", output="square", at_least=0.5, bound="middle"), "bound 'middle'"),
        (criterion(metric="auc", output="square", atleast=0.5), "key 'atleast'"),
        (criterion(metric="ece", output="square", at_most=0.5, subgroup="sex=F"), "goes with auc"),
        (criterion(metric="dice", at_least=0.5), "needs output"),
        ("[[criterion", "cannot be read"),
        (criterion(metric="auc", output="square", at_least="high"), "could not convert"),
    ],
)
def test_criteria_that_could_never_be_decided_are_refused(
    tiny: InstalledReader, tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "criteria.toml"
    path.write_text(text)
    with pytest.raises(BadCriteria) as raised:
        read_criteria(path, tiny.card)
    assert says in str(raised.value)


def test_criteria_are_kept_before_the_run_and_cannot_come_later(tiny: InstalledReader, tmp_path: Path) -> None:
    path = tmp_path / "criteria.toml"
    path.write_text(criterion(metric="read_share", at_least=0.9))
    criteria = read_criteria(path, tiny.card)
    out = tmp_path / "run"
    register(criteria, out, package_digest="p", cohort_digests=["c"])
    kept = json.loads((out / REGISTERED_FILE).read_text())
    assert kept["sha256"] == criteria.sha256
    assert kept["text"] == path.read_text()
    (out / JOURNAL_FILE).write_text("{}\n")
    register(criteria, out, package_digest="p", cohort_digests=["c"])
    path.write_text(criterion(metric="read_share", at_least=0.5))
    with pytest.raises(OtherRun, match="other criteria"):
        register(read_criteria(path, tiny.card), out, package_digest="p", cohort_digests=["c"])
    path.write_text(kept["text"])
    with pytest.raises(OtherRun, match="another package or other cohorts"):
        register(criteria, out, package_digest="q", cohort_digests=["c"])
    with pytest.raises(OtherRun, match="another package or other cohorts"):
        register(criteria, out, package_digest="p", cohort_digests=["c", "d"])
    (out / REGISTERED_FILE).unlink()
    with pytest.raises(OtherRun, match="read before these criteria"):
        register(criteria, out, package_digest="p", cohort_digests=["c"])
