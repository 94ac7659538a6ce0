"""State machines as literal tables: a move that is not listed raises."""

from enum import Enum
from typing import TypeVar

from coread.domain.errors import InvalidRecord
from coread.domain.study import StudyState
from coread.domain.work import DeliveryState, WorkState

STUDY_MOVES: frozenset[tuple[StudyState, StudyState]] = frozenset(
    {
        (StudyState.RECEIVING, StudyState.SETTLED),
        (StudyState.SETTLED, StudyState.RECEIVING),  # a late image re-opens the study
    }
)

WORK_MOVES: frozenset[tuple[WorkState, WorkState]] = frozenset(
    {
        (WorkState.SCHEDULED, WorkState.IN_PROGRESS),  # a worker takes the lease
        (WorkState.SCHEDULED, WorkState.CANCELED),  # superseded before it began
        (WorkState.IN_PROGRESS, WorkState.SCHEDULED),  # the lease ran out or the worker died: again
        (WorkState.IN_PROGRESS, WorkState.COMPLETED),  # result, refusal or failure is stored
        (WorkState.IN_PROGRESS, WorkState.CANCELED),  # superseded while reading
    }
)

DELIVERY_MOVES: frozenset[tuple[DeliveryState, DeliveryState]] = frozenset(
    {
        (DeliveryState.QUEUED, DeliveryState.SENDING),
        (DeliveryState.SENDING, DeliveryState.SENT),  # the peer answered success
        (DeliveryState.SENDING, DeliveryState.QUEUED),  # try again later, or the deliverer died
        (DeliveryState.SENDING, DeliveryState.DEAD),  # retry budget spent
        (DeliveryState.SENT, DeliveryState.COMMITTED),  # storage commitment came back
        (DeliveryState.SENT, DeliveryState.QUEUED),  # commitment failed: send again
        (DeliveryState.DEAD, DeliveryState.QUEUED),  # a person asked for it
    }
)

State = TypeVar("State", bound=Enum)


def check_move(moves: frozenset[tuple[State, State]], before: State, after: State) -> None:
    """Raise InvalidRecord when the table does not list this move."""
    if (before, after) not in moves:
        raise InvalidRecord(f"{type(before).__name__} cannot go from {before.value!r} to {after.value!r}")
