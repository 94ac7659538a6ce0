"""``coread report label``: finding labels out of radiologists' report text."""

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.output import answer_json, complain, say, show_table

if TYPE_CHECKING:
    from coread.app.report_texts import ReportText
    from coread.reports import Label, ReportLabels

COLUMNS = (
    "report",
    "finding",
    "status",
    "section",
    "change",
    "side",
    "size_mm",
    "previous_size_mm",
    "site",
    "acuity",
    "implied",
    "start",
    "end",
    "evidence",
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    report = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Radiologists' report texts.")
    report.command("label")(label)
    report.callback()(_report)
    app.add_typer(report, name="report")


def _report() -> None:
    """Radiologists' report texts."""


def label(
    sources: Annotated[list[str], typer.Argument(help="text, CSV, Parquet, HL7 or DICOM SR files, folders, or -")],
    column: Annotated[str, typer.Option(help="column of the table that holds the text")] = "",
    table: Annotated[bool, typer.Option("--csv", help="answer as CSV, one line for each label")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="show the text with every mention marked")] = False,
    json: Annotated[bool, typer.Option("--json", help="answer as one JSON document")] = False,
) -> None:
    """Label English radiology reports: each finding present, absent or uncertain, with the words that say so."""
    if table + explain + json > 1:
        complain("choose one of --csv, --explain and --json")
        raise typer.Exit(ExitCode.USAGE)
    tally = _Tally()
    reports = _labelled(sources, column, tally, quiet=json)
    if json:
        answer_json({"reports": [_document(source, found) for source, found in reports]})
    elif table:
        _write_csv(reports)
    elif explain:
        _explain(reports)
    else:
        _tell(reports)
    if not json:
        for problem in tally.problems:
            complain(problem)
    raise typer.Exit(tally.exit_code())


@dataclass(slots=True)
class _Tally:
    """How many reports were assessed, and what became of the others."""

    assessed: int = 0
    problems: list[str] = field(default_factory=list)

    def exit_code(self) -> ExitCode:
        """OK when all were assessed, otherwise what kept them from it."""
        if not self.problems:
            return ExitCode.OK if self.assessed else ExitCode.NOT_FOUND
        return ExitCode.INCOMPLETE if self.assessed else ExitCode.NOT_ANALYSED


def _labelled(
    sources: list[str], column: str, tally: _Tally, *, quiet: bool
) -> Iterator[tuple["ReportText", "ReportLabels"]]:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from coread.app.report_texts import report_texts
    from coread.reports import NotAssessed, ReportLabels, label_report

    columns = (SpinnerColumn(), TextColumn("{task.completed:.0f} reports"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task("", total=None)
        for source in report_texts(sources, column):
            found = ReportLabels((), (), NotAssessed.NOT_TEXT) if source.problem else label_report(source.text)
            if found.assessed:
                tally.assessed += 1
            else:
                tally.problems.append(f"{source.name}: not assessed: {source.problem or found.reason}")
            bar.advance(task)
            yield source, found


def _document(source: "ReportText", found: "ReportLabels") -> dict[str, Any]:
    return {
        "report": source.name,
        "assessed": found.assessed,
        "reason": source.problem or found.reason,
        "labels": [_row(source, one) for one in found.labels],
    }


def _row(source: "ReportText", one: "Label") -> dict[str, Any]:
    evidence = " ".join(source.text[one.start : one.end].split())
    return {name: value for name, value in one._asdict().items() if name != "narrowed"} | {"evidence": evidence}


def _write_csv(reports: Iterator[tuple["ReportText", "ReportLabels"]]) -> None:
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for source, found in reports:
        for one in found.labels:
            writer.writerow({"report": source.name} | _row(source, one))


def _explain(reports: Iterator[tuple["ReportText", "ReportLabels"]]) -> None:
    from coread.reports.marks import marked

    for source, found in reports:
        say(f"== {source.name}")
        if found.assessed:
            say(marked(source.text, found))
            say("")
            say(", ".join(f"{one.finding} {one.status}" for one in found.labels) or "no finding is mentioned")
        else:
            say(f"not assessed: {source.problem or found.reason}")


def _tell(reports: Iterator[tuple["ReportText", "ReportLabels"]]) -> None:
    rows = []
    for source, found in reports:
        if not found.assessed:
            rows.append((source.name, "", "", "", f"not assessed: {source.problem or found.reason}"))
            continue
        by_status = {
            status: ", ".join(_short(one) for one in found.labels if one.status == status)
            for status in ("present", "uncertain", "absent")
        }
        rows.append((source.name, by_status["present"], by_status["uncertain"], by_status["absent"], ""))
    show_table(("report", "present", "uncertain", "absent", ""), rows)


def _short(one: "Label") -> str:
    details = [one.side, one.change, f"{one.size_mm:g} mm" if one.size_mm else ""]
    said = ", ".join(str(detail) for detail in details if detail)
    name = one.finding.replace("_", " ")
    return f"{name} ({said})" if said else name
