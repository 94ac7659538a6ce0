"""``coread read``: DICOM in, findings and result objects out; needs no server."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.front import Front
from coread.app.cli.output import RESEARCH_USE, answer_json, complain, say, show_table

if TYPE_CHECKING:
    from coread.app.export import ResultRow
    from coread.app.offline import ReadSummary


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def read(
        context: typer.Context,
        paths: Annotated[list[Path], typer.Argument(help="DICOM files or folders")],
        out: Annotated[Path, typer.Option(help="folder for the result objects and results.json")] = Path(
            "coread-results"
        ),
        every: Annotated[
            bool, typer.Option("--all", help="also show the readers that read other kinds of study")
        ] = False,
        reader: Annotated[list[str] | None, typer.Option(help="only these readers; default: all installed")] = None,
        json: Annotated[bool, typer.Option("--json", help="answer as one JSON document")] = False,
    ) -> None:
        """Read DICOM files or folders with every reader that fits; write SR, SEG and SC beside a findings table."""
        from rich.progress import Progress

        from coread.app.offline import read_paths
        from coread.app.site_models import SiteReaders

        front: Front = context.obj
        here = {r.card.reader_id for r in SiteReaders(front.settings()).listing().readers}
        unknown = sorted(set(reader or ()) - here)
        if unknown:
            complain(f"no such reader: {', '.join(unknown)} (see `coread readers`)")
            raise typer.Exit(ExitCode.NOT_FOUND)
        gone = [str(path) for path in paths if not path.exists()]
        if gone:
            complain(f"no such file or folder: {', '.join(gone)}. Nothing was read.")
            raise typer.Exit(ExitCode.NOT_FOUND)
        with Progress(disable=json, transient=True) as bar:
            task = bar.add_task("reading", total=None)
            summary = read_paths(
                front.settings(),
                paths,
                out,
                only=tuple(reader or ()),
                progress=lambda done, total, what: bar.update(task, completed=done, total=total, description=what),
            )
        if json:
            answer_json(summary.document())
        else:
            _tell(summary, out, every=every)
        raise typer.Exit(exit_code(summary))


def exit_code(summary: "ReadSummary") -> ExitCode:
    """Return OK when everything was read, otherwise what kept it from being so."""
    outcomes = [row.outcome for row in summary.rows]
    if not outcomes and not summary.refused:
        return ExitCode.NOT_FOUND
    if not {"failed", "under way"}.isdisjoint(outcomes):  # what has no outcome when all is over did not work
        return ExitCode.FAILED
    if not summary.objects and not any(outcome in ("positive", "negative") for outcome in outcomes):
        return ExitCode.NOT_ANALYSED
    return ExitCode.INCOMPLETE if summary.refused else ExitCode.OK


def _tell(summary: "ReadSummary", out: Path, *, every: bool) -> None:
    rows = [row for row in summary.rows if every or row.in_scope or not _read_by_another(row, summary)]
    show_table(
        ("accession", "study", "reader", "outcome", "findings"),
        [(r.accession_number, _short(r.study_instance_uid), r.reader_id, r.outcome, r.text) for r in rows],
        "Readings",
    )
    if len(rows) < len(summary.rows):
        say(f"{len(summary.rows) - len(rows)} answers of readers for other kinds of study are left out (--all)")
    if summary.refused:
        say("")
        show_table(("file", "why it was not kept"), [(str(f), why) for f, why in summary.refused], "Refused files")
    say("")
    say(f"{summary.objects} result objects in {out}")
    say(RESEARCH_USE)


def _read_by_another(row: "ResultRow", summary: "ReadSummary") -> bool:
    """Keep one line for a study that no installed reader reads: the first of its answers."""
    same = [other for other in summary.rows if other.study_instance_uid == row.study_instance_uid]
    return any(other.in_scope for other in same) or row is not same[0]


def _short(uid: str) -> str:
    return uid if len(uid) <= 20 else f"...{uid[-16:]}"
