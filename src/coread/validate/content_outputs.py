"""The section of one finding: discrimination, operating points, calibration, subgroups, with its diagrams."""

from coread.validate.blocks import Block, Cell, Facts, Figures, Heading, Table, Text
from coread.validate.plain import Plain, is_estimate
from coread.validate.plots import forest_of, output_plots
from coread.validate.words import estimate_cell, number, p_words, percent, reason_of

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
        rows = (
            (Cell("AUC", found["auc_method"]), estimate_cell(found["auc"])),
            (Cell("AUC", found["auc_bootstrap_method"]), estimate_cell(found["auc_bootstrap"])),
            (Cell("AUC, cases not read counted as ranked wrongly"), estimate_cell(found["auc_with_refusals"])),
            (Cell("Average precision", "bootstrap over patients"), estimate_cell(found["average_precision"])),
        )
        blocks.append(Table(("discrimination", "95 % interval"), rows, numeric=frozenset({1})))
    blocks += _points(body)
    figures = output_plots(body)
    if figures:
        blocks.append(Figures(figures))
    blocks += _calibration(body["calibration"])
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
    if stated:
        share = percent(stated[0]["prevalence"])
        names += [f"PPV at {share} prevalence", f"NPV at {share} prevalence"]
    width = len(names)
    blocks.append(Table(tuple(names), tuple(row[:width] for row in later), numeric=frozenset(range(1, width))))
    return blocks


def _table_text(point: Plain) -> str:
    names = ("true_positives", "false_negatives", "false_positives", "true_negatives")
    return " / ".join(f"{point[name]:,}" for name in names) if "true_positives" in point else "-"


def _predictive(point: Plain) -> tuple[Cell, ...]:
    there = point.get("at_prevalence") or {}
    bodies = (point.get("ppv"), point.get("npv"), there.get("ppv"), there.get("npv"))
    return tuple(estimate_cell(body, share=True) for body in bodies)


def _calibration(body: Plain) -> list[Block]:
    if "ece" not in body:
        return [Text(_sentence(reason_of(body)), "quiet")]
    pairs = (
        ("ECE", estimate_cell(body["ece"])),
        ("debiased error (root mean square)", estimate_cell(body["ece_debiased"])),
        ("Brier score", number(body["brier"])),
        ("slope", estimate_cell(body.get("slope", body.get("line")), digits=2)),
        ("calibration in the large", estimate_cell(body.get("in_the_large", body.get("line")), digits=2)),
        ("Spiegelhalter", p_words(body.get("spiegelhalter_p"))),
    )
    return [Heading("Calibration", 2), Facts(pairs)]


def _subgroups(body: Plain) -> list[Block]:
    groups = body["subgroups"]
    if not groups["rows"]:
        return []
    blocks: list[Block] = [Heading("Subgroups", 2)]
    forest = forest_of(body)
    if forest is not None:
        blocks.append(Figures((forest,)))
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


def _words_of_tests(groups: Plain) -> str:
    tested = [test for test in groups["tests"] if "p_adjusted" in test]
    if not tested:
        return f"Strata with fewer than {groups['fewest']} read cases get no estimate. No difference could be tested."
    words = "; ".join(f"{test['grouping']} {p_words(test['p_adjusted'])}" for test in tested)
    return (
        f"Strata with fewer than {groups['fewest']} read cases get no estimate. Do the AUCs differ between the strata "
        f"(Cochran's Q, p adjusted by Holm for {len(tested)} looks)? {words}."
    )
