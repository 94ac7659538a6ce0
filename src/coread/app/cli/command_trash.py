"""``coread trash``: studies that the retention rule removed, and the way back."""

from typing import Annotated

import typer

from coread.app.cli.front import Front
from coread.app.cli.output import answer_json, say, show_table


def register(app: typer.Typer) -> None:
    """Add the command group."""
    trash = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Studies that the retention rule removed.")
    app.add_typer(trash, name="trash")

    @trash.command("list")
    def list_trash(context: typer.Context, json: Annotated[bool, typer.Option("--json")] = False) -> None:
        """List what lies in the trash and until when."""
        front: Front = context.obj
        with front.open_store() as store:
            rows = [
                (item.study_instance_uid, item.accession_number, item.instance_count, item.purged_at.isoformat())
                for item in store.trashed_studies()
            ]
        names = ("study_instance_uid", "accession_number", "images", "purged_at")
        if json:
            answer_json([dict(zip(names, row, strict=True)) for row in rows])
        else:
            show_table(
                ("study", "accession", "images", "gone for good"), [tuple(map(str, row)) for row in rows], "Trash"
            )

    @trash.command("restore")
    def restore(
        context: typer.Context,
        study: Annotated[str, typer.Argument(help="Study Instance UID")],
    ) -> None:
        """Bring a study back with its images, results and verdicts."""
        front: Front = context.obj
        with front.open_store() as store:
            store.restore_trash(study)
            store.audit("command line", "study.restored", study)
        say(f"{study} is back")
