"""Running a locked package over a frozen cohort, case by case through the engine: in this process or in several.

A thread wraps the next case while the network reads this one, so that a run costs little more than the reading itself.
"""

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coread
from coread.engine.sessions import OpenReader, SessionSettings, open_reader
from coread.models.graphs import runtime_name
from coread.readers.registry import InstalledReader
from coread.validate.cohort import Case, Cohort
from coread.validate.errors import RunFailed
from coread.validate.freezing import Frozen, Progress
from coread.validate.journal import JOURNAL_FILE, Journal
from coread.validate.reader_choice import make_importable
from coread.validate.reading import read_case
from coread.validate.records import CaseRecord
from coread.validate.sources import Sources
from coread.validate.wrapping import WrappedCase, wrap_case

SCHEMA = 1
_ROOM_IN_MEMORY = 4 << 30
_AHEAD = 3
"""Cases that are wrapped before their turn."""


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How a run uses the machine."""

    workers: int = 1
    threads: int = 0
    """Threads of each worker's network; 0: the cores of this machine shared among the workers."""
    engine: str = "onnxruntime"
    programs: tuple[Path, ...] = ()
    """Outside programs that packages may call here."""

    def session(self) -> SessionSettings:
        """Return how each worker opens the package."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = self.threads or max(1, cores // self.workers)
        return SessionSettings(threads=threads, engine=self.engine, programs=self.programs)


@dataclass(frozen=True, slots=True)
class CohortRun:
    """A finished run: one record for every case of the cohort, in the cohort's order."""

    cohort: Cohort
    frozen: Frozen
    reader: InstalledReader
    runtime: str
    records: tuple[CaseRecord, ...]
    resumed: int = 0
    """Cases that an earlier, interrupted run had finished."""


def run_cohort(
    reader: InstalledReader,
    cohort: Cohort,
    frozen: Frozen,
    folder: Path,
    *,
    settings: RunSettings | None = None,
    progress: Progress | None = None,
) -> CohortRun:
    """Read every case that the journal in ``folder`` does not hold yet; returns the records of all.

    Raises Misconfigured when the package may not be used, CohortChanged when a file differs from the frozen one, and
    RunFailed when a worker process ends; what was finished is kept in every case.
    """
    settings = settings or RunSettings()
    folder.mkdir(parents=True, exist_ok=True)
    make_importable(reader)
    with Journal(folder / JOURNAL_FILE, _identity(reader, frozen, settings)) as journal:
        resumed = len(journal.finished)
        pending = [case for case in cohort.cases if case.case_id not in journal.finished]

        def done(record: CaseRecord) -> None:
            journal.add(record)
            if progress is not None:
                progress(len(journal.finished), len(cohort.cases), "reading cases")

        runtime = _run(_Job(reader, cohort, frozen, settings), pending, done)
        records = tuple(journal.finished[case.case_id] for case in cohort.cases)
    return CohortRun(cohort, frozen, reader, runtime, records, resumed)


@dataclass(frozen=True, slots=True)
class _Job:
    """What a worker needs to open."""

    reader: InstalledReader
    cohort: Cohort
    frozen: Frozen
    settings: RunSettings


@dataclass(slots=True)
class _Worker:
    """An opened reader with the files of the cohort."""

    job: _Job
    opened: OpenReader
    sources: Sources
    folders: list[Any] = field(default_factory=list)

    def wrap(self, case: Case) -> tuple[WrappedCase, "tempfile.TemporaryDirectory[str]"]:
        """Bring one case into a folder of its own."""
        folder = tempfile.TemporaryDirectory(prefix="coread-validate-", dir=_fast_folder())
        try:
            return wrap_case(self.job.cohort, case, self.sources, Path(folder.name)), folder
        except BaseException:
            folder.cleanup()
            raise

    def read(self, wrapped: WrappedCase) -> CaseRecord:
        """Read one wrapped case."""
        return read_case(self.opened, self.job.cohort, wrapped, self.sources)


def _opened(job: _Job) -> _Worker:
    make_importable(job.reader)
    opened = open_reader(job.reader, job.settings.session().open)
    return _Worker(job, opened, Sources(job.cohort.root, job.frozen.files))


def _run(job: _Job, pending: Sequence[Case], done: Callable[[CaseRecord], None]) -> str:
    if job.settings.workers > 1 and len(pending) > 1:
        return _run_in_processes(job, pending, done)
    worker = _opened(job)
    with worker.sources:
        for wrapped, folder in _ahead(worker, pending):
            with folder:
                done(worker.read(wrapped))
    return worker.opened.session.runtime


def _ahead(
    worker: _Worker, pending: Sequence[Case]
) -> Iterator[tuple[WrappedCase, "tempfile.TemporaryDirectory[str]"]]:
    """Yield wrapped cases in order; the next ones are being wrapped meanwhile."""
    waiting: list[Future[tuple[WrappedCase, tempfile.TemporaryDirectory[str]]]] = []
    with ThreadPoolExecutor(1, thread_name_prefix="wrapping") as pool, ExitStack() as stack:
        stack.callback(_discard, waiting)
        rest = iter(pending)
        for case in rest:
            waiting.append(pool.submit(worker.wrap, case))
            if len(waiting) > _AHEAD:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()


def _discard(waiting: "list[Future[tuple[WrappedCase, tempfile.TemporaryDirectory[str]]]]") -> None:
    """Remove the folders of cases that were wrapped but never read."""
    for future in waiting:
        if not future.cancel() and future.exception() is None:
            future.result()[1].cleanup()


_PROCESS: list[_Worker] = []
"""The worker of this process, opened once by the pool's initializer."""


def _open_process(job: _Job) -> None:
    _PROCESS.append(_opened(job))


def _read_in_process(case: Case) -> tuple[CaseRecord, str]:
    worker = _PROCESS[0]
    wrapped, folder = worker.wrap(case)
    with folder:
        return worker.read(wrapped), worker.opened.session.runtime


def _run_in_processes(job: _Job, pending: Sequence[Case], done: Callable[[CaseRecord], None]) -> str:
    _opened(job).sources.close()  # a package that may not be used is refused here, with its reason
    context = multiprocessing.get_context("spawn")  # inference engines do not survive a fork
    runtime = ""
    with ProcessPoolExecutor(
        min(job.settings.workers, len(pending)), mp_context=context, initializer=_open_process, initargs=(job,)
    ) as pool:
        futures = [pool.submit(_read_in_process, case) for case in pending]
        try:
            for future in as_completed(futures):
                record, runtime = future.result()
                done(record)
        except BrokenProcessPool as problem:
            raise RunFailed(
                "a worker process ended (out of memory?). Finished cases are kept: run it again with fewer --workers."
            ) from problem
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return runtime


def _identity(reader: InstalledReader, frozen: Frozen, settings: RunSettings) -> dict[str, Any]:
    """Return everything that answers depend on: cases read by another version or engine are another run."""
    return {
        "schema": SCHEMA,
        "reader_id": reader.card.reader_id,
        "package_digest": reader.package_digest,
        "cohort_digest": frozen.digest,
        "coread_version": coread.__version__,
        "engine": runtime_name("openvino" if settings.engine == "openvino" else "onnxruntime"),
    }


def _fast_folder() -> str | None:
    """Return a folder in memory for small files, where the system has one with room for large studies too."""
    shared = Path("/dev/shm")
    if not (shared.is_dir() and os.access(shared, os.W_OK)):
        return None
    return str(shared) if shutil.disk_usage(shared).free >= _ROOM_IN_MEMORY else None
