"""``coread demo``: a whole small hospital on this machine."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def demo(
        folder: Annotated[Path, typer.Option(help="where the demo keeps everything")] = Path(".demo"),
        check: Annotated[bool, typer.Option("--check", help="run, verify worklist and PACS, stop, exit")] = False,
        stop: Annotated[bool, typer.Option("--stop", help="stop a running demo")] = False,
        viewer: Annotated[bool, typer.Option(help="install the OHIF viewer (needs Node's npm)")] = True,
    ) -> None:
        """Start a server, a PACS and a virtual scanner; show the findings and a URL."""
        from coread.app.demo.run import check_demo, run_demo, stop_demo

        if stop:
            stop_demo(folder)
        elif check:
            check_demo(folder, viewer=viewer)
        else:
            run_demo(folder, viewer=viewer)
