"""``coread models replay``."""

import typer


def register(models: typer.Typer) -> None:
    """Add the command."""
