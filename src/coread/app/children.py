"""Child processes of the server: started, watched, started again with growing pauses, stopped in order."""

import logging
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from coread.domain.errors import CoreadError

log = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A child that ran this long is taken for healthy: its next fall starts again with the shortest pause."""
STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """What to run: a name for people, the command, what it is told, and what to do when a process of it has died."""

    name: str
    command: Sequence[str]
    standard_input: str
    on_death: Callable[[int, int], None]
    """Called with the process id and the exit status before the next start."""


@dataclass(slots=True)
class Child:
    """One plan and its present process."""

    plan: ChildPlan
    process: subprocess.Popen[str] | None = None
    started_at: float = 0.0
    restarts: int = 0
    next_start_at: float = 0.0
    pause_seconds: float = 0.5


@dataclass(slots=True)
class ChildProcesses:
    """Keeps a set of child processes running until ``stop``."""

    plans: Sequence[ChildPlan]
    children: list[Child] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start every child and the thread that watches them."""
        self.children = [Child(plan) for plan in self.plans]
        for child in self.children:
            _start(child)
        self._thread = threading.Thread(target=self._watch, name="children", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask every child to finish (SIGTERM), wait, then kill what is left."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        for child in self.children:
            if child.process is not None and child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for child in self.children:
            _wait(child, max(0.1, deadline - time.monotonic()))

    def states(self) -> tuple[tuple[str, int | None, int], ...]:
        """Return (name, process id or None while down, restarts) of every child."""
        return tuple(
            (c.plan.name, c.process.pid if _alive(c) and c.process else None, c.restarts) for c in self.children
        )

    def _watch(self) -> None:
        while not self._stopping.wait(0.1):
            for child in self.children:
                self._look_after(child)

    def _look_after(self, child: Child) -> None:
        if child.process is not None and child.process.poll() is not None:
            _mourn(child)
        if child.process is None and time.monotonic() >= child.next_start_at and not self._stopping.is_set():
            child.restarts += 1
            try:
                _start(child)
            except OSError as problem:  # no process or memory left: the watch over the others must go on
                log.error("%s cannot be started now: %s", child.plan.name, problem)
                child.next_start_at = time.monotonic() + LONGEST_PAUSE_SECONDS


def _alive(child: Child) -> bool:
    return child.process is not None and child.process.poll() is None


def _start(child: Child) -> None:
    process = subprocess.Popen(list(child.plan.command), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    child.process = process
    if process.stdin is not None:
        try:
            process.stdin.write(child.plan.standard_input)
            process.stdin.close()
        except BrokenPipeError:
            log.warning("%s ended before it read its settings", child.plan.name)
    child.started_at = time.monotonic()


def _mourn(child: Child) -> None:
    """Record a death and set the time of the next start."""
    process = child.process
    if process is None:
        return
    log.error(
        "%s (process %d) ended with status %s; it will be started again",
        child.plan.name,
        process.pid,
        process.returncode,
    )
    try:
        child.plan.on_death(process.pid, process.returncode or 0)
    except CoreadError as problem:
        log.error(
            "%s: what it left could not be taken back now, its lease runs out instead: %s", child.plan.name, problem
        )
    steady = time.monotonic() - child.started_at >= STEADY_SECONDS
    child.pause_seconds = 0.5 if steady else min(child.pause_seconds * 2, LONGEST_PAUSE_SECONDS)
    child.next_start_at = time.monotonic() + (0.0 if child.restarts == 0 else child.pause_seconds)
    child.process = None


def _wait(child: Child, seconds: float) -> None:
    if child.process is None:
        return
    try:
        child.process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        log.warning("%s did not stop in time and was killed", child.plan.name)
        child.process.kill()
        child.process.wait()
