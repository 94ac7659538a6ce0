"""The diagrams of a report, from its numbers alone: what is drawn can always be drawn again from report.json."""

import math
from collections.abc import Sequence

from coread.validate.blocks import Axis, Band, Bars, Dots, Forest, ForestRow, Line, Matrix, Plot
from coread.validate.plain import Plain, is_estimate
from coread.validate.words import MINUS, estimate_text, p_words, percent, reason_of

_DIAGONAL = Line(((0.0, 0.0), (1.0, 1.0)), "reference")
_SHARE = "share of cases"


def output_plots(output: Plain) -> tuple[Plot, ...]:
    """Return ROC, precision-recall, reliability, decision curve and scores of one output; those that exist."""
    makers = (_roc, _precision_recall, _reliability, _decision, _decision_there, _scores)
    return tuple(plot for plot in (maker(output) for maker in makers) if plot is not None)


_AXES = {"auc": "AUC", "found_centre": "share of lesions found", "dice": "mean Dice"}


def forest_of(groups: Plain, metric: str, title: str, *, whole: Plain | None = None) -> Forest | None:
    """Return the forest plot of one metric over all strata of a table of subgroups; ``whole``: of all cases."""
    rows: list[ForestRow] = []
    tests = {test["grouping"]: test for test in groups["tests"] if test.get("metric") == metric}
    grouping = ""
    for row in groups["rows"]:
        if row["grouping"] != grouping:
            grouping = row["grouping"]
            test = tests.get(grouping, {})
            adjusted = f"differ? adjusted {p_words(test['p_adjusted'])}" if "p_adjusted" in test else ""
            rows.append(ForestRow(grouping, adjusted, heading=True))
        rows.append(_forest_row(row, metric))
    ends = [end for row in rows if row.value is not None for end in (row.low, row.high)]
    if not ends:
        return None
    reference = whole["value"] if is_estimate(whole) and whole is not None else None
    start = max(0.0, math.floor(10 * min([*ends, *([reference] if reference is not None else [])])) / 10)
    step = 0.1 if start >= 0.4 else 0.2
    ticks = tuple(round(1 - step * place, 2) for place in range(int((1 - start) / step + 1.01)))[::-1]
    dashed = "dashed: all cases; " if reference is not None else ""
    caption = f"{dashed}95 % intervals; p values adjusted by Holm over the groupings"
    return Forest(title, Axis(_AXES.get(metric, metric), start, 1.0, ticks), tuple(rows), reference, caption)


def _forest_row(row: Plain, metric: str) -> ForestRow:
    counts = {"positives": "positive", "lesions": "lesions", "patients": "patients"}
    more = next((f", {row[name]} {word}" for name, word in counts.items() if name in row), "")
    note, body = f"n = {row['n']}{more}", row[metric]
    if not is_estimate(body):
        return ForestRow(row["level"], note, text=reason_of(body))
    return ForestRow(row["level"], note, body["value"], body["low"], body["high"], text=estimate_text(body, digits=2))


def froc_plot(boxes: Plain) -> Plot | None:
    """Return the FROC curve of one output's boxes."""
    curve = boxes.get("curves", {}).get("froc")
    if not curve or len(curve["rows"]) < 2:
        return None
    points = _points(curve)
    most = max(points[-1][0], 0.05)
    return Plot(
        "FROC", _axis_to("false marks per picture", most), Axis("share of lesions found"),
        (Line(points), Dots((points[-1],), role="second", name="where the reader marks")),
        "a mark counts when its centre lies in the lesion's box",
    )  # fmt: skip


def afroc_plot(boxes: Plain) -> Plot | None:
    """Return the AFROC curve of one output's boxes: each picture counts by its surest false mark only."""
    curve = boxes.get("curves", {}).get("afroc")
    if not curve or len(curve.get("rows", ())) < 2:
        return None
    points = _points(curve)
    return Plot(
        "AFROC", Axis("share of pictures with a false mark"), Axis("share of lesions found"),
        (Line(points), Dots((points[-1],), role="second", name="where the reader marks")),
        "a mark counts when its centre lies in the lesion's box; pictures without lesions by their surest false mark",
    )  # fmt: skip


def bland_altman_plot(body: Plain, name: str, unit: str) -> Plot | None:
    """Return difference against mean with the limits of agreement."""
    limits, pairs = body.get("bland_altman", {}), body.get("pairs", [])
    if not pairs or not is_estimate(limits.get("bias")):
        return None
    return _differences(f"Bland-Altman, {name}", f"reader {MINUS} truth", limits, pairs, unit)


def repeats_plot(body: Plain, name: str, unit: str) -> Plot | None:
    """Return the difference of two repeats against their mean, with the limits of agreement."""
    limits, pairs = body.get("bland_altman", {}), body.get("pairs", [])
    if not pairs or not is_estimate(limits.get("bias")):
        return None
    return _differences(f"Repeats, {name}", f"second {MINUS} first", limits, pairs, unit)


def _differences(title: str, gap: str, limits: Plain, pairs: Sequence[Sequence[float]], unit: str) -> Plot:
    dots = tuple(((first + second) / 2, second - first) for first, second in pairs)
    left, right = min(x for x, _ in dots), max(x for x, _ in dots)
    ends = [limits[key][end] for key in ("lower", "upper") for end in ("low", "high")]
    reach = max(abs(value) for value in (*(y for _, y in dots), *ends)) or 1.0
    across = _axis_between(f"mean of both ({unit})" if unit else "mean of both", left, right)
    edges = (across.low, across.high)
    bands = tuple(
        Band(tuple((x, limits[key]["low"], limits[key]["high"]) for x in edges)) for key in ("lower", "bias", "upper")
    )
    lines = tuple(
        Line(tuple((x, limits[key]["value"]) for x in edges), "main" if key == "bias" else "reference")
        for key in ("bias", "lower", "upper")
    )
    lower, upper = (estimate_text(limits[key], digits=2) for key in ("lower", "upper"))
    return Plot(
        title, across, _axis_between(f"{gap} ({unit})" if unit else gap, -reach, reach),
        (*bands, Dots(dots, role="second"), *lines),
        f"n = {limits['bias']['n']}; bias {estimate_text(limits['bias'], digits=2)}; limits of agreement {lower} to "
        f"{upper}; shaded: their 95 % intervals",
    )  # fmt: skip


def matrix_of(name: str, body: Plain) -> Matrix | None:
    """Return the table of classes."""
    if "matrix" not in body:
        return None
    counts = tuple(tuple(int(value) for value in row) for row in body["matrix"])
    return Matrix(name.replace("_", " ").capitalize(), tuple(body["classes"]), counts, "rows: truth, columns: reader")


def seconds_ticks(high: float) -> tuple[float, ...]:
    """Return five round marks from zero."""
    return _axis_to("", high).ticks


def _roc(output: Plain) -> Plot | None:
    curve = output["curves"].get("roc")
    if curve is None:
        return None
    points, labels = [], []
    for name, point in output["operating_points"].items():
        if is_estimate(point.get("sensitivity")) and is_estimate(point.get("specificity")):
            points.append((1 - point["specificity"]["value"], point["sensitivity"]["value"]))
            near = any(abs(x - points[-1][0]) + abs(y - points[-1][1]) < 0.12 for x, y in points[:-1])
            labels.append("" if near else name)
    marks = Dots(tuple(points), role="second", labels=tuple(labels), name="operating points")
    return Plot(
        "ROC", Axis("1 \u2212 specificity"), Axis("sensitivity"),
        (_DIAGONAL, Line(((0.0, 0.0), *_points(curve))), marks),
        f"AUC {estimate_text(output['discrimination']['auc'])}",
    )  # fmt: skip


def _precision_recall(output: Plain) -> Plot | None:
    curve = output["curves"].get("precision_recall")
    if curve is None:
        return None
    share = output["positives"] / output["n"]
    chance = Line(((0.0, share), (1.0, share)), "reference")
    return Plot(
        "Precision and recall", Axis("recall"), Axis("precision"), (chance, Line(_points(curve))),
        f"average precision {estimate_text(output['discrimination']['average_precision'])}; "
        f"dashed: share of positives, {percent(share)}",
    )  # fmt: skip


def _reliability(output: Plain) -> Plot | None:
    found = [item for item in output["calibration"].get("points", ()) if is_estimate(item["observed"])]
    if not found:
        return None
    dots = Dots(
        tuple((item["mean_probability"], item["observed"]["value"]) for item in found),
        tuple((item["observed"]["low"], item["observed"]["high"]) for item in found),
    )
    return Plot(
        "Reliability", Axis("probability said by the reader"), Axis("share that is positive"), (_DIAGONAL, dots),
        f"ECE {estimate_text(output['calibration']['ece'])}, {output['calibration']['bins']} bins of equal size",
    )  # fmt: skip


def _decision(output: Plain) -> Plot | None:
    return _benefit("Decision curve", output["decision"], output["positives"] / output["n"])


def _decision_there(output: Plain) -> Plot | None:
    """Return the curve where the reader will be used; the probabilities are moved to that prevalence."""
    body = output.get("decision_at_prevalence") or {}
    name = f"Decision curve at {percent(body.get('prevalence'))}, probabilities moved to it"
    return _benefit(name, body, body.get("prevalence", 0.0))


def _benefit(title: str, body: Plain, share: float) -> Plot | None:
    curve = body.get("rows")
    if not curve:
        return None
    columns = body["columns"]
    high = _round_up(max([share, *(row[1] for row in curve)]) * 1.05)
    floor = -high / 4
    reader = tuple((row[0], row[1]) for row in curve if row[1] >= floor)
    everybody = tuple((row[0], row[2]) for row in curve if row[2] >= floor)
    band = tuple((row[0], max(row[3], floor), min(row[4], high)) for row in curve if row[4] >= floor)
    y = Axis("net benefit", floor, high, (0.0, round(high / 2, 4), high))
    return Plot(
        title, Axis("threshold probability"), y,
        (
            *((Band(band),) if "low" in columns else ()),
            Line(((0.0, 0.0), (1.0, 0.0)), "reference", "treat none"), Line(everybody, "second", "treat all"),
            Line(reader, name="reader"),
        ),
        f"at {percent(share)} positive; shaded: 95 % interval over patients",
    )  # fmt: skip


def _scores(output: Plain) -> Plot | None:
    counts = output["curves"].get("histogram", {})
    if "positives" not in counts:
        return None
    width = 1 / counts["bins"]
    layers = []
    highest = 0.0
    for name, role in (("negatives", "reference"), ("positives", "main")):
        total = sum(counts[name]) or 1
        shares = [count / total for count in counts[name]]
        highest = max([highest, *shares])
        half = width / 2
        shift = 0.0 if name == "negatives" else half
        bars = tuple((place * width + shift, place * width + shift + half, share) for place, share in enumerate(shares))
        layers.append(Bars(bars, "second" if role == "reference" else "main", name))
    return Plot("Scores", Axis("probability said by the reader"), _axis_to(_SHARE, highest), tuple(layers))


def _points(curve: Plain) -> tuple[tuple[float, float], ...]:
    return tuple((row[0], row[1]) for row in curve["rows"])


def _axis_to(label: str, high: float) -> Axis:
    top = _round_up(high)
    return Axis(label, 0.0, top, tuple(round(top * step / 4, 6) for step in range(5)))


def _axis_between(label: str, low: float, high: float) -> Axis:
    if low == high:
        low, high = low - 1, high + 1
    step = _round_up((high - low) / 4)
    start = math.floor(low / step) * step
    count = math.ceil((high - start) / step)
    return Axis(label, start, start + count * step, tuple(round(start + step * k, 6) for k in range(count + 1)))


def _round_up(value: float) -> float:
    """Return the next of 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    steps: Sequence[float] = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
    return round(next(step for step in steps if step * power >= value * 0.999999) * power, 12)
