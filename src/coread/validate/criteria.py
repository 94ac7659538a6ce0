"""Acceptance criteria, written down before the run: their hash is kept before the first case is read.

A criterion names one number of the report and what it must be; a number that cannot be estimated is not met.
"""

import hashlib
import json
import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coread.domain.cards import ReaderCard
from coread.validate.errors import BadCriteria, OtherRun
from coread.validate.journal import JOURNAL_FILE
from coread.validate.plain import Plain, is_estimate

REGISTERED_FILE = "criteria.json"
BOUNDS = ("value", "low", "high")
_OUTPUT = {
    "auc": ("discrimination", "auc"),
    "auc_with_refusals": ("discrimination", "auc_with_refusals"),
    "average_precision": ("discrimination", "average_precision"),
    "ece": ("calibration", "ece"),
    "ece_debiased": ("calibration", "ece_debiased"),
    "brier": ("calibration", "brier"),
    "calibration_slope": ("calibration", "slope"),
}
_POINT = (
    "sensitivity", "specificity", "sensitivity_with_refusals", "specificity_with_refusals", "ppv", "npv",
    "false_alerts_per_100", "false_alerts_per_day",
)  # fmt: skip
_ALERTS = ("false_alerts_per_100", "false_alerts_per_day")
_BOXES = (
    "ap50", "found_iou50", "found_centre", "false_marks_per_picture", "cpm", "afroc_area", "jafroc", "jafroc1",
)  # fmt: skip
_MASKS = ("dice", "dice_median", "dice_with_refusals", "hausdorff95", "hausdorff95_median", "surface_distance")
_NUMBERS = ("mean_absolute_error", "concordance")
_TYPES = ("accuracy", "accuracy_with_refusals", "balanced_accuracy", "kappa")
_IN_STRATA = (
    "auc", "sensitivity", "specificity", "found_centre", "found_iou50", "ap50", "false_marks_per_picture", "dice",
    "dice_median",
)  # fmt: skip
_WHOLE = ("read_share", "refused_share_of_unfit")
_SECONDS = {"seconds_median": "median", "seconds_p95": "p95"}
METRICS = (*_OUTPUT, *_POINT, *_BOXES, *_MASKS, *_NUMBERS, *_TYPES, *_WHOLE, *_SECONDS)


@dataclass(frozen=True, slots=True)
class Criterion:
    """One line of the acceptance criteria."""

    metric: str
    output: str = ""
    """Output key, or the name of a mask, number or type; empty for metrics of the whole run."""
    at_least: float | None = None
    at_most: float | None = None
    bound: str = "value"
    """Which end of the 95 % interval must fulfil it: ``value``, ``low`` or ``high``."""
    operating_point: str = ""
    """Empty: the default one."""
    subgroup: str = ""
    """``grouping=level``: the number in that stratum."""
    why: str = ""

    def words(self) -> str:
        """Return the criterion as people write it."""
        what = " ".join(word for word in (self.output, self.metric) if word)
        where = f" at {self.operating_point!r}" if self.operating_point else ""
        where += f" in {self.subgroup}" if self.subgroup else ""
        end = {"value": "", "low": " (lower 95 % bound)", "high": " (upper 95 % bound)"}[self.bound]
        limits = [f">= {self.at_least}"] if self.at_least is not None else []
        limits += [f"<= {self.at_most}"] if self.at_most is not None else []
        return f"{what}{where}{end} {' and '.join(limits)}"


@dataclass(frozen=True, slots=True)
class Criteria:
    """The criteria of a run and the hash of the file that holds them."""

    items: tuple[Criterion, ...]
    sha256: str
    text: str


def read_criteria(path: Path, card: ReaderCard) -> Criteria:
    """Read ``[[criterion]]`` tables; raises BadCriteria where one could never be decided."""
    try:
        data = path.read_bytes()
        body = tomllib.loads(data.decode("utf-8"))
    except FileNotFoundError as problem:
        raise BadCriteria(f"{path} is missing.") from problem
    except (OSError, ValueError) as problem:
        raise BadCriteria(f"{path} cannot be read: {problem}.") from problem
    tables = body.get("criterion", [])
    if not isinstance(tables, list) or not tables or set(body) != {"criterion"}:
        raise BadCriteria(f"{path} must hold one or more [[criterion]] tables and nothing else.")
    items = tuple(_criterion(path, number, table, card) for number, table in enumerate(tables, start=1))
    return Criteria(items, hashlib.sha256(data).hexdigest(), data.decode("utf-8"))


def register(criteria: Criteria, folder: Path, *, package_digest: str, cohort_digests: Sequence[str]) -> None:
    """Write the hash of the criteria into the folder of a run before its first case is read.

    Raises OtherRun when cases were read already without, or with other, criteria: they were not there before the run;
    and when these criteria were registered there for another package or other cohorts.
    """
    path = folder / REGISTERED_FILE
    if path.is_file():
        then = _registered(path)
        if then.get("sha256") != criteria.sha256:
            raise OtherRun(f"{folder} was started with other criteria (SHA-256 {then.get('sha256', '')[:16]}).")
        if (then.get("package_digest"), then.get("cohort_digests")) != (package_digest, list(cohort_digests)):
            raise OtherRun(
                f"{path} registers these criteria for another package or other cohorts. Use another folder with --out."
            )
        return
    started = [found.parent for found in folder.rglob(JOURNAL_FILE)]
    if started:
        raise OtherRun(f"{started[0]} holds cases that were read before these criteria were there. Use another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    body = {
        "sha256": criteria.sha256,
        "registered_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "package_digest": package_digest,
        "cohort_digests": list(cohort_digests),
        "text": criteria.text,
    }
    beside = path.with_name(f".{REGISTERED_FILE}.{os.getpid()}")
    beside.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    beside.replace(path)


def require_none_registered(folder: Path) -> None:
    """Raise OtherRun when the run in a folder was started with criteria: they cannot be left out afterwards."""
    path = folder / REGISTERED_FILE
    if path.is_file():
        digest = str(_registered(path).get("sha256", ""))
        raise OtherRun(
            f"{folder} was started with criteria (SHA-256 {digest[:16]}; their text is in {REGISTERED_FILE}). "
            "Give them again with --criteria, or use another folder with --out."
        )


def _registered(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise OtherRun(f"{path} cannot be read: {problem}. Use another folder with --out.") from problem
    if not isinstance(body, dict):
        raise OtherRun(f"{path} holds no registered criteria. Use another folder with --out.")
    return body


def judge(criteria: Criteria, report: Plain) -> Plain:
    """Return each criterion with what was found and whether it is met; all must be."""
    rows = [_judged(item, report) for item in criteria.items]
    return {"sha256": criteria.sha256, "passed": all(row["met"] for row in rows), "rows": rows}


def _judged(item: Criterion, report: Plain) -> Plain:
    found = _found(item, report)
    row: Plain = {"criterion": item.words(), "why": item.why, "bound": item.bound}
    value: float
    if isinstance(found, int | float):
        value = float(found)
        if item.bound != "value":
            return row | {"found": value, "met": False, "reason": "this number has no interval"}
    elif is_estimate(found):
        value = float(found[item.bound])
    else:
        reason = found.get("not_estimable", "not measured") if isinstance(found, dict) else "not measured"
        return row | {"found": None, "met": False, "reason": reason}
    above = item.at_least is None or value >= item.at_least
    below = item.at_most is None or value <= item.at_most
    return row | {"found": value, "met": above and below, "reason": ""}


def _found(item: Criterion, report: Plain) -> Any:
    if item.metric in _WHOLE:
        return report["cases"].get(item.metric)
    if item.metric in _SECONDS:
        return report["timing"].get(_SECONDS[item.metric])
    if item.subgroup:
        return _in_subgroup(item, report)
    if item.metric in _OUTPUT:
        section, name = _OUTPUT[item.metric]
        body = report["outputs"].get(item.output, {}).get(section, {})
        return body.get(name, body if "not_estimable" in body else None)
    if item.metric in _POINT:
        for name, point in report["outputs"].get(item.output, {}).get("operating_points", {}).items():
            if name == item.operating_point or (not item.operating_point and point["default"]):
                return (
                    (point.get("at_prevalence") or {}).get(item.metric)
                    if item.metric in _ALERTS
                    else point.get(item.metric)
                )
        return None
    for section, metrics in (("boxes", _BOXES), ("masks", _MASKS), ("numbers", _NUMBERS), ("types", _TYPES)):
        if item.metric in metrics:
            return report[section].get(item.output, {}).get(item.metric)
    return None


def _in_subgroup(item: Criterion, report: Plain) -> Any:
    grouping, _, level = item.subgroup.partition("=")
    section = "boxes" if item.metric in _BOXES else "masks" if item.metric in _MASKS else "outputs"
    for row in report[section].get(item.output, {}).get("subgroups", {}).get("rows", ()):
        if (row["grouping"], row["level"]) == (grouping, level):
            return row.get(item.metric)
    return None


def _criterion(path: Path, number: int, table: Any, card: ReaderCard) -> Criterion:
    where = f"{path}, criterion {number}"
    known = {item.name for item in fields(Criterion)}
    if not isinstance(table, dict) or (unknown := sorted(set(table) - known)):
        raise BadCriteria(f"{where}: key {unknown[0] if isinstance(table, dict) else table!r} is unknown.")
    try:
        item = Criterion(**table)
        limits = [None if limit is None else float(limit) for limit in (item.at_least, item.at_most)]
    except (TypeError, ValueError) as problem:
        raise BadCriteria(f"{where}: {problem}.") from problem
    if item.metric not in METRICS:
        raise BadCriteria(f"{where}: metric {item.metric!r} is unknown; use one of {', '.join(METRICS)}.")
    if all(limit is None for limit in limits):
        raise BadCriteria(f"{where}: add at_least or at_most.")
    if item.bound not in BOUNDS:
        raise BadCriteria(f"{where}: bound {item.bound!r} is unknown; use {', '.join(BOUNDS)}.")
    if item.subgroup and (item.metric not in _IN_STRATA or "=" not in item.subgroup):
        raise BadCriteria(f"{where}: subgroup is 'grouping=level' and goes with {', '.join(_IN_STRATA)}.")
    _check_output(where, item, card)
    return item


def _check_output(where: str, item: Criterion, card: ReaderCard) -> None:
    keys = {output.key: output for output in card.outputs}
    if item.metric in (*_WHOLE, *_SECONDS):
        return
    if item.metric in (*_OUTPUT, *_POINT, *_BOXES) and item.output not in keys:
        raise BadCriteria(f"{where}: output {item.output!r} is none of {', '.join(keys)}.")
    if not item.output:
        raise BadCriteria(f"{where}: {item.metric} needs output = the name of what is measured.")
    points = [point.name for point in keys[item.output].operating_points] if item.output in keys else []
    if item.operating_point and item.operating_point not in points:
        raise BadCriteria(f"{where}: {item.output} has the operating points {', '.join(points)}.")
