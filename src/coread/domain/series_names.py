"""Which series of a study a card means, by the names that scanners give them: the one to read, and its companion."""

from collections.abc import Sequence

from coread.domain.cards import InputContract
from coread.domain.study import InstanceHeader


def chosen_series(contract: InputContract, firsts: Sequence[InstanceHeader]) -> tuple[str, ...]:
    """Return the Series Instance UID of the series to read and, where there is one, that of its companion.

    ``firsts``: an image of each series that fits, the series best first. One that the card names goes before better
    ones. A series that is itself named as a companion only is read alone.
    """
    read = next((first for first in firsts if named_by(contract.series_words, first)), firsts[0])
    if is_companion(contract, read):
        return (read.series_instance_uid,)
    beside = [first for first in firsts if first is not read and is_companion(contract, first)]
    return tuple(first.series_instance_uid for first in (read, *beside[:1]))


def companion_uid(contract: InputContract, headers: Sequence[InstanceHeader]) -> str | None:
    """Return the Series Instance UID of the companion among the images of a work item; ``None`` without one."""
    series = {header.series_instance_uid: is_companion(contract, header) for header in reversed(headers)}
    named = [uid for uid, companion in series.items() if companion]
    return named[0] if len(series) == 2 and len(named) == 1 else None


def named_by(words: Sequence[str], header: InstanceHeader) -> bool:
    """Say whether Series Description or Protocol Name holds one of the words, in any case of letters."""
    name = f"{header.series_description} {header.protocol_name}".casefold()
    return any(word.casefold() in name for word in words)


def is_companion(contract: InputContract, header: InstanceHeader) -> bool:
    """Say whether a series is named as a companion and not as one that the card reads: ``T1 FLAIR`` is a T1."""
    return named_by(contract.companion_series_words, header) and not named_by(contract.series_words, header)
