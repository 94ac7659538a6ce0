"""``coread models import``."""

import typer


def register(models: typer.Typer) -> None:
    """Add the command."""
