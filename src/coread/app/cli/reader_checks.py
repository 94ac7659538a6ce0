"""``coread readers --check``: the conformance suite over installed readers."""

from collections.abc import Sequence
from dataclasses import asdict

from coread.app.cli.output import answer_json, say, show_table
from coread.readers.registry import InstalledReader


def check_readers(chosen: Sequence[InstalledReader], *, as_json: bool) -> bool:
    """Run every check over every chosen reader and show the outcomes; True when none failed."""
    from coread.engine.conformance import CheckStatus, check_reader

    outcomes = {installed.card.reader_id: check_reader(installed) for installed in chosen}
    if as_json:
        answer_json({name: [asdict(item) for item in found] for name, found in outcomes.items()})
    for name, found in () if as_json else outcomes.items():
        rows = [(item.name, item.status.value, item.detail, f"{item.seconds:.2f}") for item in found]
        show_table(("check", "", "detail", "seconds"), rows, name)
        failed = sum(item.status is CheckStatus.FAILED for item in found)
        say(f"{name}: {len(found) - failed} of {len(found)} checks hold")
    return all(item.status is not CheckStatus.FAILED for found in outcomes.values() for item in found)
