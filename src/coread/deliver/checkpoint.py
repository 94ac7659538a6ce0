"""A checkpoint for pynetdicom's reactor thread that cannot be passed by accident.

pynetdicom reads answers in the thread that asked, and stops its reactor for it: it clears an event and looks at a
flag that the reactor sets before it waits at that event. A reactor that was let go a moment ago, or has just passed
the event, shows that flag too. It then takes the answer as if it were a request and drops it, and the sender waits
until its time is over: two of a hundred studies sent to a quick receiver on a busy machine.
"""

import threading
from typing import Any

_LOOK_SECONDS = 0.05
"""How often to look whether the reactor has ended instead."""


class Checkpoint:
    """An event whose ``clear`` returns only when the reactor stands at it, or is no more."""

    def __init__(self, reactor: threading.Thread) -> None:
        self._reactor = reactor
        self._changed = threading.Condition()
        self._open = True
        self._standing = False

    def is_set(self) -> bool:
        """Say whether the reactor may pass."""
        return self._open

    def set(self) -> None:
        """Let the reactor go."""
        with self._changed:
            self._open, self._standing = True, False
            self._changed.notify_all()

    def clear(self) -> None:
        """Stop the reactor; when this returns it takes nothing from the queue any more."""
        with self._changed:
            self._open = False
            while not self._standing and self._reactor.is_alive():
                self._changed.wait(_LOOK_SECONDS)

    def wait(self) -> bool:
        """Stand here, as the reactor, until it is let go."""
        with self._changed:
            while not self._open:
                self._standing = True
                self._changed.notify_all()
                self._changed.wait()
        return True


def guard(association: Any) -> None:
    """Give an association that was just made a checkpoint that holds."""
    association._reactor_checkpoint = Checkpoint(association)
