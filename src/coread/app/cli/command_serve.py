"""``coread serve``: the server, in the foreground until SIGTERM or Ctrl-C."""

from typing import Annotated

import typer

from coread.app.cli.front import Front


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def serve(
        context: typer.Context,
        quiet: Annotated[bool, typer.Option(help="Log warnings only")] = False,
    ) -> None:
        """Receive, read, deliver and show, until stopped."""
        from coread.app.serve import serve as run

        front: Front = context.obj
        run(front.settings(), quiet=quiet)
