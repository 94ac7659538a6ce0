"""What the report says, in order: result first, then how it was found. One content for HTML and PDF."""

from collections.abc import Sequence

from coread.validate.blocks import Block, Cell, Document, Facts, Heading, Picture, Pictures, Table, Text
from coread.validate.content_comparison import comparison_blocks
from coread.validate.content_outputs import output_blocks
from coread.validate.content_places import box_blocks, mask_blocks, number_blocks, type_blocks
from coread.validate.plain import Plain
from coread.validate.words import counted, estimate_cell, estimate_text, number, p_words, percent, reason_of

_SIMULATED = "simulated images: these numbers say nothing of patients"


def report_of(report: Plain, pictures: Sequence[tuple[Plain, Picture]] = ()) -> Document:
    """Return the whole report."""
    reader = report["reader"]
    blocks: list[Block] = [*_summary(report), *_criteria(report), *case_blocks(report)]
    if report.get("comparison"):
        blocks += comparison_blocks(report["comparison"])
    for key, body in report["outputs"].items():
        blocks += output_blocks(key, body)
    blocks += [*box_blocks(report), *mask_blocks(report, pictures), *number_blocks(report), *type_blocks(report)]
    blocks += [*_by_cohort(report), *_worst(report, pictures), *about_blocks(report), *provenance_blocks(report)]
    names = ", ".join(item["name"] for item in report["cohorts"])
    return Document(
        title=f"{reader['name']} {reader['version']}",
        subtitle=f"Validation on {names}",
        notice=report["notice"],
        blocks=tuple(blocks),
        footer=f"package {report['package_digest'][:16]} \u00b7 made {report['run']['made_at'][:10]} "
        f"by Coread {report['run']['coread_version']}",
    )


def _summary(report: Plain) -> list[Block]:
    blocks: list[Block] = [Heading("Result", anchor="result")]
    if any(item["simulated"] for item in report["cohorts"]):
        blocks.append(Text(f"Measured on {_SIMULATED}.", "bad"))
    cases = report["cases"]
    blocks.append(
        Facts(
            (
                ("cases", f"{cases['total']:,}"),
                ("patients", f"{cases['patients']:,}"),
                ("read", estimate_cell(cases["read_share"], share=True)),
                ("not analysed", f"{cases['outcomes']['not_analysed']:,}"),
                ("failed", f"{cases['outcomes']['failed']:,}"),
                ("seconds a case", _seconds(report["timing"])),
            )
        )
    )
    rows = tuple(_summary_row(body) for body in report["outputs"].values())
    if rows:
        columns = ("finding", "positive", "AUC", "ECE", "operating point", "sensitivity", "specificity")
        caption = (
            "Intervals are 95 %. Sensitivity and specificity at the reader's own operating point, among cases that "
            "were read; further down also with cases that were not read counted as wrong."
        )
        blocks.append(Table(columns, rows, caption, frozenset({1, 2, 3, 5, 6})))
    if report["not_measured"]:
        blocks.append(Text(f"Not measured, because no truth was given: {', '.join(report['not_measured'])}.", "quiet"))
    return blocks


def _summary_row(body: Plain) -> tuple[Cell, ...]:
    name, point = next((name, point) for name, point in body["operating_points"].items() if point["default"])
    return (
        Cell(body["name"]),
        Cell(f"{body['positives']:,}", f"of {body['n']:,}"),
        estimate_cell(body["discrimination"]["auc"]),
        estimate_cell(body["calibration"].get("ece", body["calibration"])),
        Cell(name, f"\u2265 {number(point['threshold'])}"),
        estimate_cell(point["sensitivity"], share=True),
        estimate_cell(point["specificity"], share=True),
    )


def _seconds(timing: Plain) -> Cell:
    if "median" not in timing:
        return Cell("-", reason_of(timing))
    return Cell(number(timing["median"], 2), f"95 % under {number(timing['p95'], 2)}")


def _criteria(report: Plain) -> list[Block]:
    verdict = report.get("criteria")
    if not verdict:
        return []
    rows = tuple(
        (
            Cell(row["criterion"], row["why"]),
            Cell(number(row["found"], 4) if row["found"] is not None else "-", row["reason"]),
            Cell("met", tone="good") if row["met"] else Cell("not met", tone="bad"),
        )
        for row in verdict["rows"]
    )
    text = "All acceptance criteria are met." if verdict["passed"] else "The acceptance criteria are not met."
    return [
        Heading("Acceptance criteria", anchor="criteria"),
        Text(text, "good" if verdict["passed"] else "bad"),
        Table(("criterion, written before the run", "found", ""), rows, numeric=frozenset({1})),
        Text(f"SHA-256 of the criteria, kept before the first case was read: {verdict['sha256']}", "quiet"),
    ]


def case_blocks(report: Plain) -> list[Block]:
    """Return what became of the cases: outcomes and refusals."""
    cases, blocks = report["cases"], [Heading("Cases and refusals", anchor="cases")]
    outcomes = cases["outcomes"]
    told: list[Block] = [
        *blocks,
        Text(
            f"{counted(cases['to_be_read'], 'case')} to be read: {outcomes['positive']:,} positive, "
            f"{outcomes['negative']:,} negative, {outcomes['not_analysed']:,} not analysed, "
            f"{outcomes['failed']:,} failed."
        ),
    ]
    if unclear := cases.get("read_without_call", 0):
        told.append(
            Text(f"Of those not analysed, {counted(unclear, 'case')} gave a result in which nothing was clear.")
        )
    if cases["to_be_refused"]:
        share = estimate_text(cases["refused_share_of_unfit"], share=True)
        told.append(Text(f"{counted(cases['to_be_refused'], 'case')} to be turned away: {share} were."))
    if report["refusals"]:
        rows = tuple(
            (
                Cell(row["meaning"], row["reason"]),
                Cell(row["outcome"].replace("_", " ")),
                Cell(f"{row['n']:,}", f"{row['of_unfit']:,} rightly" if row["of_unfit"] else ""),
                Cell(percent(row["n"] / cases["total"])),
            )
            for row in report["refusals"]
        )
        told.append(Table(("why not read", "outcome", "cases", "share of all"), rows, numeric=frozenset({2, 3})))
    else:
        told.append(Text("Every case was read.", "quiet"))
    if cases["images_left_out"]:
        told.append(Text(f"{counted(cases['images_left_out'], 'image')} of read cases were left out.", "quiet"))
    return told


def _by_cohort(report: Plain) -> list[Block]:
    """Return the same numbers for each cohort where there are several."""
    parts = report.get("by_cohort")
    if not parts:
        return []
    blocks: list[Block] = [Heading("Each cohort", anchor="cohorts")]
    for key, whole in report["outputs"].items():
        rows = []
        for name, part in parts.items():
            body = part["outputs"].get(key)
            if body is not None:
                rows.append((Cell(name), *_summary_row(body)[1:]))
        columns = ("cohort", "positive", "AUC", "ECE", "operating point", "sensitivity", "specificity")
        tests = [test for test in whole["subgroups"]["tests"] if test["grouping"] == "cohort"]
        blocks.append(Table(columns, tuple(rows), f"{whole['name']}{_spread(tests)}", frozenset({1, 2, 3, 5, 6})))
    return blocks


def _spread(tests: Sequence[Plain]) -> str:
    if not tests or "p_value" not in tests[0]:
        return ""
    test = tests[0]
    return f": heterogeneity of AUC I\u00b2 = {percent(test['i_squared'])}, {p_words(test['p_value'])}"


def _worst(report: Plain, pictures: Sequence[tuple[Plain, Picture]]) -> list[Block]:
    if not report["worst"]:
        return []
    blocks: list[Block] = [
        Heading("What the reader got most wrong", anchor="worst"),
        Text("The surest false alarms and the surest misses of each finding."),
    ]
    for key, body in report["outputs"].items():
        rows = [row for row in report["worst"] if row["output"] == key]
        if not rows:
            continue
        blocks.append(Heading(body["name"], 2))
        shown = tuple(picture for row, picture in pictures if row.get("output") == key)
        if shown:
            blocks.append(Pictures(shown))
            continue
        cells = tuple((Cell(row["kind"]), Cell(row["case_id"]), Cell(number(row["probability"]))) for row in rows)
        blocks.append(Table(("", "case", "probability"), cells, numeric=frozenset({2})))
    return blocks


def about_blocks(report: Plain) -> list[Block]:
    """Return who was measured and on what."""
    reader = report["reader"]
    blocks: list[Block] = [
        Heading("The reader", anchor="reader"),
        Text(f"For: {reader['intended_use']}"),
        Text(f"Not for: {reader['not_for']}"),
        *(Text(f"Known limit: {limit}", "quiet") for limit in reader["limits"]),
    ]
    for cohort in report["cohorts"]:
        ages = cohort["ages"]
        age = f"{ages['least']:g} to {ages['most']:g} years, median {ages['median']:g}" if ages else "not stated"
        sexes = ", ".join(f"{name} {count:,}" for name, count in cohort["sexes"].items())
        modalities = ", ".join(f"{name} {count:,}" for name, count in cohort["modalities"].items())
        pairs = (
            ("data", cohort["data"]), ("kept apart from training", cohort["split"]),
            ("reference standard", cohort["reference_standard"]), ("licence", cohort["licence"]),
            ("citation", cohort["citation"]),
            ("cases", f"{cohort['cases']:,} of {counted(cohort['patients'], 'patient')}"),
            ("age", age), ("sex", sexes), ("modalities", modalities),
        )  # fmt: skip
        blocks += [Heading(f"Cohort: {cohort['name']}", 2), _pairs(pairs)]
    return blocks


def provenance_blocks(report: Plain) -> list[Block]:
    """Return what it takes to make the report again."""
    run = report["run"]
    packages = ", ".join(f"{name} {version}" for name, version in run["packages"].items())
    pairs = [
        ("package digest", report["package_digest"]), ("card SHA-256", report["card_sha256"]),
        *((f"cohort digest, {item['name']}", item["digest"]) for item in report["cohorts"]),
        ("criteria SHA-256", run["criteria_sha256"] or "no criteria"),
        ("made", run["made_at"]), ("inference", run["runtime"]), ("Coread", run["coread_version"]),
        ("Python", f"{run['python']} on {run['system']}"), ("packages", packages),
        ("resampling", f"{run['resamples']} resamples of patients, seed {run['seed']}"), ("command", run["command"]),
    ]  # fmt: skip
    return [
        Heading("How to make this report again", anchor="provenance"),
        Text("The same package over the same frozen cohort gives the same numbers."),
        _pairs(pairs),
    ]


def _pairs(pairs: Sequence[tuple[str, str]]) -> Table:
    return Table(("", ""), tuple((Cell(name, tone="quiet"), Cell(value)) for name, value in pairs))
