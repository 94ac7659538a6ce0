"""The section of one finding: discrimination, operating points, calibration, subgroups, with its diagrams."""

from coread.validate.blocks import Block, Cell, Facts, Figures, Heading, Table, Text
from coread.validate.content_repeats import output_repeats
from coread.validate.plain import Plain, is_estimate
from coread.validate.plots import forest_of, output_plots
from coread.validate.words import counted_cell, estimate_cell, number, p_words, percent, reason_of, tests_sentence

_INTERVALS = "Intervals: Clopper-Pearson, clustered by patient where patients give several cases."


def output_blocks(key: str, body: Plain) -> list[Block]:
    """Return the section of one output."""
    found = body["discrimination"]
    unread = body["not_read"]
    blocks: list[Block] = [
        Heading(body["name"], anchor=f"output-{key}"),
        Facts(
            (
                ("cases", f"{body['n']:,}"),
                ("positive", f"{body['positives']:,}"),
                ("negative", f"{body['negatives']:,}"),
                ("not read", f"{unread['positives']} positive, {unread['negatives']} negative"),
            )
        ),
    ]
    if not is_estimate(found["auc"]):
        blocks.append(Text(_sentence(reason_of(found["auc"])), "bad"))
    else:
        rows = tuple(
            (Cell(name, how), counted_cell(found[key]), estimate_cell(found[key]))
            for name, how, key in (
                ("AUC", found["auc_method"], "auc"),
                ("AUC", found["auc_bootstrap_method"], "auc_bootstrap"),
                ("AUC, cases not read counted as ranked wrongly", "", "auc_with_refusals"),
                ("Average precision", "bootstrap over patients", "average_precision"),
            )
        )
        blocks.append(Table(("discrimination", "cases", "95 % interval"), rows, numeric=frozenset({1, 2})))
    blocks += _points(body)
    figures = output_plots(body)
    if figures:
        blocks.append(Figures(figures))
    blocks += _calibration(body["calibration"])
    blocks += _conformal(body.get("conformal", {}))
    blocks += output_repeats(body)
    return [*blocks, *_subgroups(body)]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _points(body: Plain) -> list[Block]:
    rows, later = [], []
    for name, point in body["operating_points"].items():
        title = Cell(name + (" (default)" if point["default"] else ""), f"\u2265 {number(point['threshold'])}")
        rows.append((
            title, estimate_cell(point["sensitivity"], share=True), estimate_cell(point["specificity"], share=True),
            estimate_cell(point.get("sensitivity_with_refusals"), share=True),
            estimate_cell(point.get("specificity_with_refusals"), share=True),
            Cell(_table_text(point)),
        ))  # fmt: skip
        later.append((title, *_predictive(point)))
    columns = (
        "operating point", "sensitivity", "specificity", "sensitivity, not read = missed",
        "specificity, not read = alarm", "TP / FN / FP / TN",
    )  # fmt: skip
    blocks: list[Block] = [
        Table(columns, tuple(rows), _INTERVALS, frozenset({1, 2, 3, 4, 5}))
    ]  # fmt: skip
    stated = [point["at_prevalence"] for point in body["operating_points"].values() if point.get("at_prevalence")]
    names = ["operating point", "PPV in these cases", "NPV in these cases"]
    caption = ""
    if stated:
        share = percent(stated[0]["prevalence"])
        names += [f"PPV at {share} prevalence", f"NPV at {share} prevalence", "false alerts in 100 studies"]
        caption = f"False alerts: studies without the finding that are called; {share} prevalence is taken as known."
    if stated and "studies_per_day" in stated[0]:
        names.append(f"false alerts a day, {stated[0]['studies_per_day']:g} studies")
    width = len(names)
    cut = tuple(row[:width] for row in later)
    blocks.append(Table(tuple(names), cut, caption, frozenset(range(1, width))))
    return blocks


def _table_text(point: Plain) -> str:
    names = ("true_positives", "false_negatives", "false_positives", "true_negatives")
    return " / ".join(f"{point[name]:,}" for name in names) if "true_positives" in point else "-"


def _predictive(point: Plain) -> tuple[Cell, ...]:
    there = point.get("at_prevalence") or {}
    shares = (point.get("ppv"), point.get("npv"), there.get("ppv"), there.get("npv"))
    alerts = (there.get("false_alerts_per_100"), there.get("false_alerts_per_day"))
    return (
        *(estimate_cell(body, share=True) for body in shares),
        *(estimate_cell(body, digits=1) for body in alerts),
    )


def _calibration(body: Plain) -> list[Block]:
    if "ece" not in body:
        return [Text(_sentence(reason_of(body)), "quiet")]
    after = body.get("recalibrated", {})
    rows = [
        (Cell(name, how), estimate_cell(body[key]), estimate_cell(after.get(key, after)))
        for name, how, key in (
            ("ECE", f"{body['bins']} bins of equal size", "ece"),
            ("calibration error, debiased", "root mean square, less the noise of the bins", "ece_debiased"),
            ("Brier score", "", "brier"),
        )
    ]
    line = body.get("line")
    rows += [
        (Cell("slope", "1 is perfect"), estimate_cell(body.get("slope", line), digits=2), Cell("")),
        (Cell("in the large", "0 is perfect"), estimate_cell(body.get("in_the_large", line), digits=2), Cell("")),
        (Cell("Spiegelhalter's test"), Cell(p_words(body.get("spiegelhalter_p"))), Cell("")),
    ]
    cases = f", {body['n']:,} cases" if "n" in body else ""
    caption = (
        "ECE of perfectly calibrated probabilities is not 0 in few cases: its interval errs upwards; the debiased "
        "error allows for it. Last column: what a Platt curve of these cases would leave, cross-fitted over patients "
        "(coread calibrate makes one)."
    )
    columns = (f"calibration{cases}", "as the reader says it", "calibrated here")
    return [Heading("Calibration", 2), Table(columns, tuple(rows), caption, frozenset({1, 2}))]


def _conformal(body: Plain) -> list[Block]:
    """Return what sets of answers with a stated coverage come to."""
    if "marginal" not in body:
        return []
    names = ("coverage", "coverage_positives", "coverage_negatives", "one", "both", "neither")
    words = ("truth held: cases", "positives", "negatives", "set of one", "of both (undecided)", "empty (unlike all)")
    rows = tuple(
        (Cell(how), *(estimate_cell(body[kind].get(name, body[kind]), share=True) for name in names))
        for kind, how in (("marginal", "over all cases"), ("by_class", "in each class"))
    )
    caption = (
        f"Conformal sets that promise to hold the truth in {percent(body['wanted'])}, over all cases or in positives "
        f"and negatives alike; {body['n']:,} cases, each set fitted on other patients."
    )
    blocks: list[Block] = [Heading("Sets with stated coverage", 2)]
    return [*blocks, Table(("promise", *words), rows, caption, frozenset(range(1, 7)))]


def _subgroups(body: Plain) -> list[Block]:
    groups = body["subgroups"]
    if not groups["rows"]:
        return []
    blocks: list[Block] = [Heading("Subgroups", 2)]
    metrics = ("auc", "sensitivity", "specificity")
    tested = {test.get("metric", "auc") for test in groups["tests"]} | {"auc"}
    forests = [
        forest_of(groups, metric, f"{'AUC' if metric == 'auc' else metric.capitalize()} in subgroups",
                  whole=_whole(body, metric))
        for metric in metrics
        if metric in tested
    ]  # fmt: skip
    blocks += [Figures((forest,)) for forest in forests if forest is not None]
    rows = tuple(
        (
            Cell(row["level"], row["grouping"]),
            Cell(f"{row['positives']:,}", f"of {row['n']:,}"),
            Cell(f"{row['not_read']:,}"),
            *(estimate_cell(row[name], share=name != "auc") for name in ("auc", "sensitivity", "specificity")),
        )
        for row in groups["rows"]
    )
    columns = ("subgroup", "positive", "not read", "AUC", "sensitivity", "specificity")
    blocks.append(Table(columns, rows, _words_of_tests(groups), frozenset({1, 2, 3, 4, 5})))
    return blocks


def _whole(body: Plain, metric: str) -> Plain:
    """Return the number of all cases, at the reader's own operating point."""
    if metric == "auc":
        return dict(body["discrimination"]["auc"])
    return dict(next(point[metric] for point in body["operating_points"].values() if point["default"]))


def _words_of_tests(groups: Plain) -> str:
    return f"Strata with fewer than {groups['fewest']} read cases get no estimate. {tests_sentence(groups)}"
