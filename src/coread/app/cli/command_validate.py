"""``coread validate`` and ``coread documents``: the gate, and the papers that are made from its report."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.flags import command_with
from coread.app.cli.front import Front
from coread.app.cli.output import RESEARCH_USE, answer_json, complain, say, show_table

if TYPE_CHECKING:
    from coread.validate.validation import ValidationPlan


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of the command."""

    reader: Annotated[str, typer.Argument(help="id of an installed reader, or the folder of one")]
    cohorts: Annotated[list[Path], typer.Argument(help="folders with cohort.toml and cohort.csv, one for each site")]
    out: Annotated[Path, typer.Option(help="folder for the report; a run that was stopped goes on in it")]
    criteria: Annotated[Path | None, typer.Option(help="acceptance criteria (TOML), hashed before the run")] = None
    against: Annotated[Path | None, typer.Option(help="folder of another run on the same cohort, to compare")] = None
    workers: Annotated[int, typer.Option(min=1, help="processes that read at the same time")] = 1
    no_images: Annotated[bool, typer.Option("--no-images", help="no pictures of cases in the report")] = False
    mask: Annotated[
        list[str] | None,
        typer.Option(help="readers of raw data: KIND:ACCELERATION[:CENTRE[:SEED]] of the lines that are kept; repeat"),
    ] = None
    json: Annotated[bool, typer.Option("--json", help="answer with the whole report as JSON")] = False


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(documents)
    app.command("validate")(command_with(Flags, validate))


def validate(context: typer.Context, flags: Flags) -> None:
    """Measure a locked reader on frozen cohorts: report.html, report.pdf and report.json with every number."""
    from coread.validate.running import RunSettings
    from coread.validate.validation import ValidationPlan

    if _makes_images(flags.reader):
        raise typer.Exit(_validate_reconstructions(flags))
    front: Front = context.obj
    settings = RunSettings(workers=flags.workers, programs=front.settings().allowed_programs)
    plan = ValidationPlan(run=settings, criteria=flags.criteria, against=flags.against, images=not flags.no_images)
    report = _validated(flags.reader, flags.cohorts, flags.out, plan, quiet=flags.json)
    if flags.json:
        answer_json(report)
    else:
        _tell(report, flags.out)
    raise typer.Exit(_exit_code(report))


def documents(
    run: Annotated[Path, typer.Argument(help="folder of a finished validation")],
    out: Annotated[Path | None, typer.Option(help="folder for the documents; default: documents/ in the run")] = None,
    json: Annotated[bool, typer.Option("--json", help="answer as one JSON document")] = False,
) -> None:
    """Write model card, model facts, CLAIM and TRIPOD+AI tables and a performance summary from a validation."""
    from coread.validate.documents import write_documents
    from coread.validate.report_json import read_report

    target = out or run / "documents"
    written = write_documents(target, read_report(run))
    if json:
        answer_json({"documents": [str(path) for path in written]})
        return
    for path in written:
        say(str(path))


def _makes_images(reader: str) -> bool:
    """Say whether the reader reads raw data: it is measured against the images of all samples."""
    from coread.validate.reader_choice import chosen_reader

    return chosen_reader(reader).card.input.presentation == "kspace"


def _validate_reconstructions(flags: Flags) -> ExitCode:
    from coread.domain.errors import InvalidRecord
    from coread.validate.reconstruction import DEFAULT_MASKS, ReconstructionPlan, validate_reconstructions
    from coread.validate.reconstruction_runs import undersampling_of

    if len(flags.cohorts) != 1 or flags.criteria is not None or flags.against is not None or flags.workers != 1:
        complain("a reader of raw data is measured on one cohort, without --criteria, --against and --workers")
        return ExitCode.USAGE
    try:
        masks = tuple(undersampling_of(text) for text in flags.mask or ()) or DEFAULT_MASKS
    except InvalidRecord as problem:
        complain(f"coread validate: {problem}")
        return ExitCode.USAGE
    plan = ReconstructionPlan(masks, images=not flags.no_images)
    with _progress(quiet=flags.json) as progress:
        report = validate_reconstructions(flags.reader, flags.cohorts[0], flags.out, plan=plan, progress=progress)
    if flags.json:
        answer_json(report)
    else:
        _tell_reconstructions(report, flags.out)
    outcomes = report["cases"]["outcomes"]
    if not any(body["read"] for body in report["masks"].values()):
        return ExitCode.FAILED if outcomes["failed"] else ExitCode.NOT_ANALYSED
    return ExitCode.INCOMPLETE if outcomes["failed"] else ExitCode.OK


def _tell_reconstructions(report: dict[str, Any], out: Path) -> None:
    from coread.validate.words import number

    rows = [
        (
            name,
            method,
            f"{body['read']} of {body['cases']}",
            *(number(measured[metric].get("mean"), digits) for metric, digits in (("psnr", 2), ("ssim", 4))),
        )
        for name, body in report["masks"].items()
        for method, measured in body["methods"].items()
    ]
    show_table(("mask", "images", "cases read", "PSNR dB", "SSIM"), rows, "Measured (means; intervals in the report)")
    say(f"Report: {out / 'report.html'}")
    say(RESEARCH_USE)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """Yield a function (done, total, what) that moves a bar on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task("validating", total=None)

        def progress(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)

        yield progress


def _validated(reader: str, cohorts: list[Path], out: Path, plan: "ValidationPlan", *, quiet: bool) -> dict[str, Any]:
    from coread.validate.validation import validate_reader

    with _progress(quiet=quiet) as progress:
        return validate_reader(reader, cohorts, out, plan=plan, progress=progress)


def _exit_code(report: dict[str, Any]) -> ExitCode:
    """Return OK, or what a script must know: criteria not met, nothing read, or cases that failed."""
    if not report.get("criteria", {"passed": True})["passed"]:
        return ExitCode.NOT_MET
    from coread.validate.plain import read_and_refused

    outcomes = report["cases"]["outcomes"]
    if read_and_refused(report)[0] == 0:
        return ExitCode.FAILED if outcomes["failed"] else ExitCode.NOT_ANALYSED
    return ExitCode.INCOMPLETE if outcomes["failed"] else ExitCode.OK


def _tell(report: dict[str, Any], out: Path) -> None:
    from coread.validate.words import estimate_text

    rows = []
    for body in report["outputs"].values():
        point = next(item for item in body["operating_points"].values() if item["default"])
        rows.append(
            (
                body["name"],
                f"{body['positives']} of {body['n']}",
                estimate_text(body["discrimination"]["auc"]),
                estimate_text(point["sensitivity"], share=True),
                estimate_text(point["specificity"], share=True),
            )
        )
    show_table(("finding", "positive", "AUC (95 %)", "sensitivity", "specificity"), rows, "Measured")
    outcomes = report["cases"]["outcomes"]
    say(
        f"{outcomes['not_analysed']} not analysed, {outcomes['failed']} failed of {report['cases']['to_be_read']} cases"
    )
    for row in report.get("criteria", {}).get("rows", ()):
        (say if row["met"] else complain)(f"{'met' if row['met'] else 'NOT MET'}: {row['criterion']}")
    say(f"Report: {out / 'report.html'}")
    say(RESEARCH_USE)
