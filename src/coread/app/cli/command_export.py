"""``coread export``: results and their objects of one or many studies, out of the store into a folder."""

from pathlib import Path
from typing import Annotated

import typer

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.front import Front
from coread.app.cli.output import answer_json, say


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def export(
        context: typer.Context,
        out: Annotated[Path, typer.Argument(help="a new or empty folder")],
        study: Annotated[list[str] | None, typer.Option(help="accession number or UID; default: all studies")] = None,
        images: Annotated[bool, typer.Option(help="also copy the images that were received")] = False,
        json: Annotated[bool, typer.Option("--json", help="answer as one JSON document")] = False,
    ) -> None:
        """Write results (JSON and CSV) and result objects (DICOM) to a folder. Holds patient data: keep it safe."""
        from coread.app.export import export_studies

        front: Front = context.obj
        with front.open_store() as store:
            summary = export_studies(store, out, study or (), images=images)
        if json:
            answer_json(summary.document())
        else:
            say(f"{summary.studies} studies, {summary.objects} objects -> {out}")
        if not summary.studies:
            raise typer.Exit(ExitCode.NOT_FOUND)
