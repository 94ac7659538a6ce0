"""The watch over child processes outlives what goes wrong with one of them."""

import sys
import time
from collections.abc import Callable

from coread.app.children import ChildPlan, ChildProcesses
from coread.store import StoreBusy


def wait_for(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)


def test_a_child_is_started_again_even_when_what_it_left_cannot_be_taken_back() -> None:
    def busy(_process: int, _status: int) -> None:
        raise StoreBusy("locked")

    lasting = ChildPlan(
        "lasting", (sys.executable, "-c", "import time; time.sleep(60)"), "", lambda _pid, _status: None
    )
    falling = ChildPlan("falling", (sys.executable, "-c", "raise SystemExit(3)"), "", busy)
    children = ChildProcesses([falling, lasting])
    children.start()
    try:
        wait_for(lambda: children.states()[0][2] >= 2)
        assert children.states()[1][1] is not None
    finally:
        children.stop()


def test_a_program_that_cannot_be_started_again_does_not_end_the_watch() -> None:
    first = ChildPlan("first", (sys.executable, "-c", "pass"), "", lambda _pid, _status: None)
    second = ChildPlan("second", (sys.executable, "-c", "raise SystemExit(1)"), "", lambda _pid, _status: None)
    children = ChildProcesses([first, second])
    children.start()
    try:
        children.children[0].plan = ChildPlan("first", ("/nowhere/program",), "", lambda _pid, _status: None)
        wait_for(lambda: children.states()[1][2] >= 2)
        assert children.states()[0][1] is None
    finally:
        children.stop()
