"""The last steps of a recipe: lock, measure, write the numbers into the card, lock and measure again."""

from collections.abc import Callable
from pathlib import Path

from coread.validate.card_numbers import CardNumbers, card_numbers, write_validation
from coread.validate.plain import Plain
from coread.validate.validation import validate_reader

Lock = Callable[[CardNumbers | None], str]
"""Writes the card, locks the package with it and returns the package's digest."""
_SHORT = 12


def release(reader: Path, cohort: Path, out: Path, lock: Lock) -> Plain:
    """Return the report of the package as it is released; ``validation.json`` lies beside its card.

    ``lock`` writes the card (without numbers the first time) and locks the package with it. The package that is
    measured second differs from the first in nothing but its card, so its numbers are the same.
    """
    before = lock(None)
    numbers = card_numbers(validate_reader(reader, cohort, out / before[:_SHORT]))
    final = lock(numbers)
    report = validate_reader(reader, cohort, out / final[:_SHORT])
    write_validation(report, reader)
    return report
