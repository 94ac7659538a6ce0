"""Which readers' answers stand in front: those that read the study or were meant for its kind."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from coread.app.why import ReaderStory, Story
from coread.domain.reasons import OUT_OF_SCOPE, Reason, ReasonCode
from coread.domain.results import Outcome

Item = TypeVar("Item")
_ORDER = (Outcome.POSITIVE, Outcome.FAILED, None, Outcome.NEGATIVE, Outcome.NOT_ANALYSED)
"""``None``: still under way."""
_READ_ALL_THE_SAME = (ReasonCode.INDETERMINATE, ReasonCode.MEASURED_ONLY)
"""Who was not sure, or only measured, has more to say than who did not read."""


def in_front(
    items: Iterable[Item], outcome: Callable[[Item], Outcome | None], reason: Callable[[Item], Reason | None]
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Return the answers to show, most telling first, and those of readers for other kinds of study.

    A single answer is always shown, whatever it says.
    """

    def place(item: Item) -> tuple[int, bool]:
        given = reason(item)
        return _ORDER.index(outcome(item)), given is None or given.code not in _READ_ALL_THE_SAME

    ordered = sorted(items, key=place)

    def aside(item: Item) -> bool:
        given = reason(item)
        return outcome(item) is Outcome.NOT_ANALYSED and given is not None and given.code in OUT_OF_SCOPE

    if len(ordered) == 1:
        return tuple(ordered), ()
    return tuple(item for item in ordered if not aside(item)), tuple(item for item in ordered if aside(item))


def front_readers(story: Story) -> tuple[tuple[ReaderStory, ...], tuple[ReaderStory, ...]]:
    """Return the readers of a study whose answers to show, and those for other kinds of study."""
    return in_front(story.readers, lambda one: one.outcome, ReaderStory.reason)
