"""``python -m coread.app.worker``: one reading process; its settings come as JSON on standard input."""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType

from coread.app.logs import set_up_logging
from coread.app.settings import Settings
from coread.domain.errors import CoreadError, Misconfigured
from coread.store import Store

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.05


def owner_name(process_id: int) -> str:
    """Return the name under which a reading process holds its leases."""
    return f"{socket.gethostname()}:{process_id}"


def work(settings: Settings, parent: int) -> None:
    """Read work items until SIGTERM, SIGINT or the death of the parent, which is the process of that id."""
    from coread.app.opening import open_store
    from coread.app.pipeline import evidence_maker, pipeline_of
    from coread.app.prior_archive import prior_archive
    from coread.app.priors import prior_finder
    from coread.engine.sessions import SessionSettings
    from coread.engine.worker_loop import WorkLoop, WorkSettings

    with open_store(settings) as store:
        pipeline = pipeline_of(store, settings)
        sessions = SessionSettings(
            threads=settings.reader_threads,
            engine_cache=settings.folder / "engines.json",
            programs=settings.allowed_programs,
        )
        loop = WorkLoop(
            store,
            pipeline.active_readers,
            evidence_maker(settings),
            pipeline.destinations,
            settings=WorkSettings(owner=owner_name(os.getpid()), lease_seconds=settings.lease_seconds),
            open_session=sessions.open,
            find_priors=prior_finder(store, prior_archive(settings)),
        )

        stopping = threading.Event()

        def end() -> None:
            stopping.set()
            loop.stop()

        def on_signal(number: int, _frame: FrameType | None) -> None:
            log.info("signal %d: finishing the item in hand", number)
            end()

        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)
        threading.Thread(target=_follow_parent, args=(end, parent), name="parent", daemon=True).start()
        if not loop.run_once():
            _sleep_until_something_comes(store, stopping)
        _load_evidence_writers()
        for problem in loop.warm_up():
            log.error("%s: %s %s", problem.kind, problem.message, problem.hint)
        loop.serve()


def _sleep_until_something_comes(store: Store, stopping: threading.Event) -> None:
    """Networks and writers take 200 MB: an idle server keeps them out of memory until the first change in the store.

    The first image of a study wakes its readers while the rest is still arriving.
    """
    token = store.change_token()
    while not stopping.wait(LOOK_SECONDS) and store.change_token() == token:
        pass  # nothing has arrived: look again


def _load_evidence_writers() -> None:
    """The first result must not wait for the import of what writes it."""
    import coread.evidence.build
    import coread.evidence.prove  # noqa: F401


def _follow_parent(stop: Callable[[], None], parent: int) -> None:
    """An orphan stops: its supervisor was killed and a new one starts its own workers."""
    while os.getppid() == parent:
        threading.Event().wait(1.0)
    log.warning("the parent process is gone: finishing")
    stop()


def main() -> int:
    """Run one worker; returns the exit status."""
    parent = os.getppid()  # first: an orphan that asks later takes its adoptive parent for the supervisor
    settings = Settings.model_validate_json(sys.stdin.read())
    set_up_logging(settings.folder, process="worker")
    try:
        work(settings, parent)
    except Misconfigured as problem:
        log.error("%s", problem)
        return 5
    except CoreadError as problem:
        log.error("%s", problem)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
