"""The program ``coread``: global options, subcommands, and how errors become messages and exit codes.

Subcommands import what they need when they run: ``coread --help`` must answer at once.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from coread import __version__
from coread.app.cli import (
    command_calibrate,
    command_check,
    command_dataset,
    command_demo,
    command_export,
    command_live,
    command_models,
    command_people,
    command_phantom,
    command_pretrain,
    command_read,
    command_recon,
    command_report,
    command_segment,
    command_send,
    command_serve,
    command_study,
    command_train,
    command_trash,
    command_validate,
    command_volume,
    command_why,
)
from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.front import Front
from coread.app.cli.output import complain
from coread.domain.errors import CoreadError, Misconfigured, Refused

app = typer.Typer(
    name="coread",
    help="Coread: a second reader for radiology. Research use only; not a medical device.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for part in (
    command_demo,
    command_serve,
    command_read,
    command_send,
    command_why,
    command_check,
    command_people,
    command_export,
    command_volume,
    command_segment,
    command_recon,
    command_live,
    command_trash,
    command_dataset,
    command_models,
    command_calibrate,
    command_report,
    command_train,
    command_pretrain,
    command_validate,
    command_study,
    command_phantom,
):
    part.register(app)

PRIVATE = 0o077
"""File mode mask of every command: what they write holds patient data and is their user's alone."""


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"coread {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    settings: Annotated[Path | None, typer.Option(help="Settings file (TOML); default ./coread.toml")] = None,
    folder: Annotated[Path | None, typer.Option(help="Coread's folder; overrides the settings")] = None,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version")] = False,
) -> None:
    """Coread: a second reader for radiology. Research use only; not a medical device."""
    context.obj = Front(settings, folder)


def main() -> None:
    """Run the command line; every expected error becomes one line and a documented exit code."""
    os.umask(PRIVATE)
    try:
        app()
    except KeyboardInterrupt:
        complain("stopped")
        sys.exit(ExitCode.INTERRUPTED)
    except CoreadError as problem:
        complain(f"coread: {problem}")
        sys.exit(exit_code_of(problem))
    except BrokenPipeError:
        # The reader of our output has gone (`coread why X | head`); not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.OK)


def exit_code_of(problem: CoreadError) -> ExitCode:
    """Return the documented exit code for an expected error."""
    from coread.app.errors import NothingFound

    if isinstance(problem, NothingFound):
        return ExitCode.NOT_FOUND
    if isinstance(problem, Misconfigured):
        return ExitCode.MISCONFIGURED
    if isinstance(problem, Refused):
        return ExitCode.NOT_ANALYSED
    return ExitCode.FAILED
