"""How commands answer: a table for people or one JSON document for programs, never both."""

import json
import sys
from collections.abc import Sequence
from typing import Any

RESEARCH_USE = "Research use only. Not a medical device."


def say(text: str) -> None:
    """Write one line for people to standard output."""
    sys.stdout.write(text + "\n")


def complain(text: str) -> None:
    """Write one line about what went wrong to standard error."""
    sys.stderr.write(text + "\n")


def answer_json(document: Any) -> None:
    """Write one JSON document."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Draw a table as wide as the terminal; an empty one says so instead."""
    if not rows:
        say(f"{title}: none" if title else "none")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console(highlight=False, soft_wrap=False)
    console.print(table)
