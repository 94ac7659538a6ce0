"""The folder that ``coread calibrate`` leaves: calibration.json, operating_points.toml, diagrams, report, record."""

import html
import json
import math
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coread.domain.cards import Estimate
from coread.domain.errors import Misconfigured
from coread.models.calibrating import CalibratedOutput, CalibratePlan, calibrate_output, calibration_of
from coread.models.calibration import calibration_to_json
from coread.models.lineage import RECORD, StepRecord, read_record, sha256_of, write_record
from coread.models.predictions import FILE, read_predictions

CALIBRATION = "calibration.json"
POINTS = "operating_points.toml"
REPORT = "report.json"
PAGE = "report.html"

Progress = Callable[[int, int, str], None]
"""(done, total, what)"""


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationStep:
    """A finished calibration: the outputs, where they lie, and the record."""

    outputs: tuple[CalibratedOutput, ...]
    folder: Path
    record: StepRecord


def calibrate_run(
    run: Path, out: Path, plan: CalibratePlan, *, parts: Sequence[str], progress: Progress
) -> CalibrationStep:
    """Calibrate every output of ``run/predictions.parquet`` and write the folder ``out``, whole or not at all.

    Raises BadPredictions, and Misconfigured when ``out`` is there already: an earlier calibration is never changed.
    """
    if out.exists():
        raise Misconfigured(f"{out} is there already: an earlier calibration is never changed. Name another folder.")
    path = run / FILE if run.is_dir() else run
    parents = [read_record(run)] if (run / RECORD).is_file() else []
    found = read_predictions(path, parts)
    outputs = []
    for number, item in enumerate(found):
        progress(number, len(found), item.output)
        outputs.append(calibrate_output(item, plan))
    progress(len(found), len(found), "writing")
    beside = out.with_name(f".{out.name}.{uuid.uuid4().hex}")
    try:
        beside.mkdir(parents=True)
        names = _write(beside, tuple(outputs), plan, parts)
        settings = _plan_words(plan) | {"parts": list(parts)}
        record = write_record(
            beside, "calibrate", inputs={FILE: sha256_of(path)}, outputs=names, parents=parents, settings=settings
        )
        beside.rename(out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return CalibrationStep(tuple(outputs), out, record)


def output_document(item: CalibratedOutput) -> dict[str, Any]:
    """Return one output as plain JSON values."""
    document: dict[str, Any] = {
        "n": item.n,
        "positives": item.positives,
        "patients": item.patients,
        "unknown": item.unknown,
        "method": item.method,
        "cross_fitted_loss": item.losses,
        "calibration_error_before": item.raw_error,
        "calibration_error": asdict(item.error),
        "calibration_error_debiased": asdict(item.debiased_error) if item.debiased_error else None,
        "brier": item.brier,
        "operating_points": {name: _point(point) for name, point in item.operating_points},
        "rules_that_cannot_be_kept": dict(item.unreachable),
        "prevalence": None if item.prevalence is None else dict(zip(("from", "to"), item.prevalence, strict=True)),
        "conformal": {"coverage": item.conformal[0], "limits": [_finite(limit) for limit in item.conformal[1]]},
        "abstention": asdict(item.abstention) if item.abstention else None,
    }
    return document


def _write(folder: Path, outputs: tuple[CalibratedOutput, ...], plan: CalibratePlan, parts: Sequence[str]) -> list[str]:
    (folder / CALIBRATION).write_text(calibration_to_json(calibration_of(outputs)), encoding="utf-8")
    (folder / POINTS).write_text(points_toml(outputs, parts), encoding="utf-8")
    body = {"plan": _plan_words(plan) | {"parts": list(parts)}, "outputs": {o.key: output_document(o) for o in outputs}}
    (folder / REPORT).write_text(json.dumps(body, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    pictures = []
    for item in outputs:
        name = f"reliability_{_safe(item.key)}.png"
        draw_reliability(item, folder / name)
        pictures.append(name)
    (folder / PAGE).write_text(_page(outputs, pictures), encoding="utf-8")
    return [CALIBRATION, POINTS, REPORT, PAGE, *pictures]


def points_toml(outputs: Sequence[CalibratedOutput], parts: Sequence[str]) -> str:
    """Return the operating points in the words of a reader card, with conformal limits and abstention."""
    lines = ["# Operating points as a reader card writes them; measured where they were chosen, so optimistic."]
    lines += ["# Measure them again with `coread validate` before they go into a card.", ""]
    for item in outputs:
        measured = f"calibration cases ({', '.join(parts)}), n = {item.n}, {item.positives} positive"
        for name, point in item.operating_points:
            lines += [
                f"[[outputs.{_key(item.key)}.operating_points]]",
                f"name = {_quoted(name)}",
                f"threshold = {point.threshold!r}",
                f"rule = {_quoted(point.rule.words())}",
                f"sensitivity = {_estimate(point.accuracy.sensitivity)}",
                f"specificity = {_estimate(point.accuracy.specificity)}",
                f"measured_on = {_quoted(measured)}",
                "",
            ]
        coverage, limits = item.conformal
        lines += [f"[outputs.{_key(item.key)}.conformal]", f"coverage = {coverage!r}"]
        lines += [f"limit_absent = {_float(limits[0])}", f"limit_present = {_float(limits[1])}", ""]
        if item.abstention is not None:
            kept = item.abstention
            lines += [f"[outputs.{_key(item.key)}.abstention]", f"low = {kept.low!r}", f"high = {kept.high!r}"]
            lines += [f"most_error = {kept.most_error!r}", f"confidence = {kept.confidence!r}", ""]
    return "\n".join(lines)


def draw_reliability(item: CalibratedOutput, path: Path) -> None:
    """Draw said probability against seen share with Wilson intervals; the diagonal is perfect."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as problem:
        raise Misconfigured('reliability diagrams need matplotlib: pip install "coread[validate]".') from problem
    figure = Figure(figsize=(4.2, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    said = [point.mean_probability for point in item.points]
    seen = [point.observed.value for point in item.points]
    below = [point.observed.value - point.observed.low for point in item.points]
    above = [point.observed.high - point.observed.value for point in item.points]
    axes.errorbar(said, seen, yerr=[below, above], fmt="o", color="tab:blue", capsize=3)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="probability said", ylabel="share seen (95 % interval)")
    error = item.error
    axes.set_title(
        f"{item.key}: {item.method}, ECE {error.value:.3f} [{error.low:.3f}, {error.high:.3f}], n = {item.n}",
        fontsize=8,
    )
    figure.savefig(path, dpi=130)


def _page(outputs: Sequence[CalibratedOutput], pictures: Sequence[str]) -> str:
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Calibration</title>",
        "<style>body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
        "table{border-collapse:collapse}td,th{border-bottom:1px solid #ccc;padding:.2em .7em;text-align:left}</style>",
        "<h1>Calibration</h1><p>Research use only. Curves were chosen and their error measured on patients that they "
        "were not fitted on. Operating points are measured where they were chosen: validate them again.</p>",
    ]
    for item, picture in zip(outputs, pictures, strict=True):
        losses = ", ".join(f"{name} {value:.4f}" for name, value in sorted(item.losses.items()))
        before, after = item.raw_error, item.error
        parts.append(f"<h2>{html.escape(item.key)}</h2><img src='{html.escape(picture)}' alt='reliability diagram'>")
        parts.append(
            f"<p>{item.n} cases of {item.patients} patients, {item.positives} positive, {item.unknown} without truth "
            f"left out. Method: {item.method} (cross-fitted loss: {losses}). ECE {before:.3f} before, "
            f"{after.value:.3f} [{after.low:.3f}, {after.high:.3f}] after{_debiased(item)}; "
            f"Brier score {item.brier:.4f}.</p>"
        )
        if item.prevalence is not None:
            parts.append(f"<p>Moved from prevalence {item.prevalence[0]:.3g} to {item.prevalence[1]:.3g}.</p>")
        parts.append("<table><tr><th>operating point<th>rule<th>threshold<th>sensitivity<th>specificity<th></tr>")
        for name, point in item.operating_points:
            alerts = point.false_alerts_per_day
            told = f"{alerts.value:.2g} [{alerts.low:.2g}, {alerts.high:.2g}] false alerts a day" if alerts else ""
            parts.append(
                f"<tr><td>{html.escape(name)}<td>{html.escape(point.rule.words())}<td>{point.threshold:.4g}"
                f"<td>{_words(point.accuracy.sensitivity)}<td>{_words(point.accuracy.specificity)}<td>{told}</tr>"
            )
        parts.append("</table>")
        parts += [f"<p>No threshold keeps {html.escape(n)}: {html.escape(why)}</p>" for n, why in item.unreachable]
    return "\n".join(parts) + "\n</html>\n"


def _debiased(item: CalibratedOutput) -> str:
    error = item.debiased_error
    if error is None:
        return ""
    return f" (less the noise of the bins {error.value:.3f} [{error.low:.3f}, {error.high:.3f}])"


def _point(point: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "threshold": point.threshold,
        "rule": point.rule.words(),
        "sensitivity": asdict(point.accuracy.sensitivity),
        "specificity": asdict(point.accuracy.specificity),
    }
    if point.predictive is not None:
        found |= {"ppv": asdict(point.predictive.ppv), "npv": asdict(point.predictive.npv)}
    if point.false_alerts_per_day is not None:
        found["false_alerts_per_day"] = asdict(point.false_alerts_per_day)
    return found


def _plan_words(plan: CalibratePlan) -> dict[str, Any]:
    body = {name: getattr(plan, name) for name in CalibratePlan.__dataclass_fields__ if name != "rules"}
    body["methods"] = list(plan.methods)
    body["rules"] = {name: rule.words() for name, rule in plan.rules}
    return body


def _words(value: Estimate) -> str:
    return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"


def _estimate(value: Estimate) -> str:
    return f"{{ value = {value.value!r}, low = {value.low!r}, high = {value.high!r}, n = {value.n} }}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _key(text: str) -> str:
    return text if text.replace("_", "").replace("-", "").isalnum() and text.isascii() else _quoted(text)


def _float(value: float) -> str:
    return repr(value) if math.isfinite(value) else "inf"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _safe(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in text)
