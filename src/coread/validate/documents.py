"""Papers made from a validation: model card, model facts, CLAIM and TRIPOD+AI tables, performance summary.

Everything in them comes from the report, which holds what the card said; what nobody stated says "not stated".
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from coread.validate.blocks import Block, Cell, Document, Facts, Heading, Table, Text
from coread.validate.checklists import CLAIM, TRIPOD_AI
from coread.validate.document_answers import NOT_STATED, answers_of_report, output_lines
from coread.validate.document_markdown import markdown
from coread.validate.plain import Plain
from coread.validate.report_html import page
from coread.validate.words import estimate_cell, number, percent


def write_documents(folder: Path, report: Plain) -> tuple[Path, ...]:
    """Write every document as Markdown and as HTML; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, make in DOCUMENTS.items():
        document = make(report)
        for ending, render in ((".md", markdown), (".html", page)):
            path = folder / f"{name}{ending}"
            beside = path.with_name(f".{path.name}.{os.getpid()}")
            beside.write_text(render(document), encoding="utf-8")
            beside.replace(path)
            written.append(path)
    return tuple(written)


def model_card(report: Plain) -> Document:
    """Return the model card (after Mitchell et al. 2019)."""
    said = answers_of_report(report)
    reader = report["reader"]
    blocks: list[Block] = [
        Heading("Model details", anchor="details"),
        _pairs((
            ("reader", f"{reader['reader_id']} {reader['version']}"), ("kind", reader["kind"]),
            ("package", report["package_digest"]), ("developer", NOT_STATED), ("contact", NOT_STATED),
            ("licence of the training data", said["training_licence"]),
        )),
        Heading("Intended use", anchor="use"), Text(reader["intended_use"]), Text(f"Not for: {reader['not_for']}"),
        Heading("Factors", anchor="factors"), Text(said["subgroups"]),
        Heading("Metrics", anchor="metrics"), Text(said["measures"]), Text(said["thresholds"]),
        Heading("Evaluation data", anchor="evaluation"), Text(said["data"]), Text(f"Kept apart: {said['split']}"),
        Text(f"Reference standard: {said['reference_standard']}"), Text(said["people"]),
        Heading("Training data", anchor="training"), Text(said["training_data"]),
        Heading("Quantitative analyses", anchor="results"), *_results(report),
        Heading("Ethical considerations", anchor="ethics"), Text(NOT_STATED),
        Heading("Caveats and limits", anchor="limits"), *(Text(item) for item in reader["limits"] or [NOT_STATED]),
    ]  # fmt: skip
    return _document("Model card", report, blocks)


def model_facts(report: Plain) -> Document:
    """Return the one-page label (after Sendak et al. 2020)."""
    said = answers_of_report(report)
    reader = report["reader"]
    blocks: list[Block] = [
        Heading("Summary", anchor="summary"), Text(said["summary"]),
        Heading("Mechanism", anchor="mechanism"),
        _pairs((
            ("what it looks for", said["outputs"]), ("input", said["inputs"]),
            ("output", "calibrated probability, call at a named operating point"),
            ("time a case", said["seconds"]), ("trained on", said["training_data"]),
        )),
        Heading("Validation and performance", anchor="performance"), *_results(report),
        Heading("Uses and directions", anchor="directions"), Text(reader["intended_use"]),
        Heading("Warnings", anchor="warnings"), Text(reader["not_for"]),
        *(Text(item) for item in reader["limits"]), Text(said["refusals"]),
        Heading("Other information", anchor="other"),
        _pairs((("validated on", said["data"]), ("approval date", NOT_STATED), ("next review", NOT_STATED),
                ("package", report["package_digest"]))),
    ]  # fmt: skip
    return _document("Model facts", report, blocks)


def claim_table(report: Plain) -> Document:
    """Return the CLAIM checklist."""
    return _document("CLAIM checklist", report, _checklist(report, CLAIM, "CLAIM 2020, items in our own words."))


def tripod_table(report: Plain) -> Document:
    """Return the TRIPOD+AI checklist."""
    return _document("TRIPOD+AI checklist", report, _checklist(report, TRIPOD_AI, "TRIPOD+AI 2024, in our own words."))


def performance_summary(report: Plain) -> Document:
    """Return a summary of performance testing in the order of a premarket notification."""
    said = answers_of_report(report)
    reader = report["reader"]
    blocks: list[Block] = [
        Text("Not a submission and not cleared by anybody: a summary in the usual order of such papers.", "bad"),
        Heading("Device description", anchor="device"),
        _pairs((("name", f"{reader['name']} {reader['version']}"), ("kind", reader["kind"]), ("inputs", said["inputs"]),
                ("outputs", said["outputs"]), ("package digest", report["package_digest"]))),
        Heading("Indications for use", anchor="indications"), Text(reader["intended_use"]),
        Text(f"Not for: {reader['not_for']}"),
        Heading("Comparison with the predicate", anchor="predicate"), Text(said["comparison"]),
        Heading("Standalone performance", anchor="standalone"), Text(said["data"]), Text(said["flow"]),
        Text(f"Reference standard: {said['reference_standard']}"), *_results(report), *_points(report),
        Heading("Subgroups", anchor="subgroups"), Text(said["subgroups"]), *_strata(report),
        Heading("Acceptance criteria", anchor="criteria"), Text(said["criteria"]), Text(said["criteria_hash"]),
        Heading("Time", anchor="time"), Text(said["seconds"]),
        Heading("Software verification, cybersecurity, labelling", anchor="software"), Text(NOT_STATED),
        Heading("Reader study", anchor="reader-study"), Text(NOT_STATED),
        Heading("Conclusion", anchor="conclusion"), Text(NOT_STATED),
    ]  # fmt: skip
    return _document("Performance summary", report, blocks)


DOCUMENTS: dict[str, Callable[[Plain], Document]] = {
    "model_card": model_card,
    "model_facts": model_facts,
    "claim": claim_table,
    "tripod_ai": tripod_table,
    "performance_summary": performance_summary,
}


def _document(kind: str, report: Plain, blocks: Sequence[Block]) -> Document:
    reader = report["reader"]
    return Document(
        title=f"{kind}: {reader['name']} {reader['version']}",
        subtitle="made from the validation on " + ", ".join(item["name"] for item in report["cohorts"]),
        notice=report["notice"],
        blocks=tuple(blocks),
        footer=f"package {report['package_digest'][:16]} \u00b7 {report['run']['made_at'][:10]} \u00b7 "
        f"Coread {report['run']['coread_version']}",
    )


def _pairs(pairs: Sequence[tuple[str, str]]) -> Table:
    return Table(("", ""), tuple((Cell(name, tone="quiet"), Cell(value)) for name, value in pairs))


def _results(report: Plain) -> list[Block]:
    rows = tuple(
        (
            Cell(body["name"]),
            Cell(f"{body['positives']:,} of {body['n']:,}"),
            estimate_cell(body["discrimination"]["auc"]),
            estimate_cell(point["sensitivity"], share=True),
            estimate_cell(point["specificity"], share=True),
            estimate_cell(body["calibration"].get("ece", body["calibration"])),
        )
        for body in report["outputs"].values()
        for point in body["operating_points"].values()
        if point["default"]
    )
    columns = ("finding", "positive", "AUC", "sensitivity", "specificity", "ECE")
    blocks: list[Block] = [Table(columns, rows, "95 % intervals; cases that were read.", frozenset(range(1, 6)))]
    lines = output_lines(report)
    return [*blocks, *(Text(line) for line in lines)]


def _points(report: Plain) -> list[Block]:
    rows = tuple(
        (
            Cell(body["name"]),
            Cell(name, f"\u2265 {number(point['threshold'])}"),
            *(estimate_cell(point.get(metric), share=True) for metric in
              ("sensitivity", "specificity", "sensitivity_with_refusals", "specificity_with_refusals")),
        )
        for body in report["outputs"].values()
        for name, point in body["operating_points"].items()
    )  # fmt: skip
    columns = (
        "finding", "operating point", "sensitivity", "specificity", "sensitivity, not read = missed",
        "specificity, not read = alarm",
    )  # fmt: skip
    return [Table(columns, rows, numeric=frozenset({2, 3, 4, 5}))]


def _strata(report: Plain) -> list[Block]:
    rows = tuple(
        (Cell(body["name"]), Cell(f"{row['grouping']}: {row['level']}"), Cell(f"{row['positives']} of {row['n']}"),
         *(estimate_cell(row[name], share=name != "auc") for name in ("auc", "sensitivity", "specificity")))
        for body in report["outputs"].values()
        for row in body["subgroups"]["rows"]
    )  # fmt: skip
    if not rows:
        return []
    columns = ("finding", "stratum", "positive", "AUC", "sensitivity", "specificity")
    return [Table(columns, rows, numeric=frozenset({2, 3, 4, 5}))]


def _checklist(report: Plain, items: Sequence[tuple[str, str, str]], caption: str) -> list[Block]:
    said = answers_of_report(report)
    rows = []
    answered = 0
    for item, topic, source in items:
        answer = said.get(source, NOT_STATED) if source else NOT_STATED
        known = answer != NOT_STATED
        answered += known
        rows.append((Cell(item), Cell(topic), Cell(answer, tone="plain" if known else "quiet")))
    share = percent(answered / len(items))
    return [
        Facts((("items", str(len(items))), ("answered from card and report", f"{answered} ({share})"))),
        Table(("item", "topic", "answer"), tuple(rows), caption),
    ]
