"""The worker loop: whatever it takes from the queue ends there, and nothing unproved leaves."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from coread.domain.cards import ReaderCard
from coread.domain.errors import Failed
from coread.domain.reading import ModelSession
from coread.domain.results import Failure, Outcome, Reading
from coread.domain.work import EncodedObject, EvidenceKind, WorkItem
from coread.engine.limits import memory_cap
from coread.engine.pulse import Pulse
from coread.engine.sessions import SessionCache, SessionSettings, open_reader
from coread.engine.worker_loop import EXIT_OVERDUE, MakeEvidence, WorkLoop, WorkSettings
from coread.readers.registry import InstalledReader
from coread.store.errors import LeaseLost, StoreBusy
from tests.engine.inputs import radiograph, square_at, study_of, tiny_installed
from tests.engine.memory_queue import MemoryQueue
from tests.models.tiny_reader import CARD, READER

SR = EncodedObject(EvidenceKind.SR, "1.2", "2.25.1", "2.25.2", b"bytes", "by hand")


def one_report(reading: Reading, card: ReaderCard, paths: Sequence[Path]) -> tuple[EncodedObject, ...]:
    assert all(path.exists() for path in paths)
    return (SR,)


@pytest.fixture
def queue(tmp_path: Path) -> MemoryQueue:
    radiograph(tmp_path / "a.dcm", square_at(64, 160))
    queue = MemoryQueue(tmp_path)
    queue.add(study_of([tmp_path / "a.dcm"])[0], "tiny_square")
    return queue


@pytest.fixture
def tiny(packages: Path) -> InstalledReader:
    return tiny_installed(packages / "tiny_reader")


def loop(queue: MemoryQueue, *readers: InstalledReader, evidence: MakeEvidence = one_report) -> WorkLoop:
    return WorkLoop(queue, readers, evidence, settings=WorkSettings(owner="w", cap_memory=False))


def only_failure(queue: MemoryQueue) -> Failure:
    ((reading, evidence),) = queue.finished.values()
    assert evidence == ()
    assert isinstance(reading.ending, Failure)
    return reading.ending


def test_an_item_ends_with_its_result_and_evidence(queue: MemoryQueue, tiny: InstalledReader) -> None:
    worker = loop(queue, tiny)
    assert worker.run_once()
    assert not worker.run_once()
    reading, evidence = queue.finished[1]
    assert reading.outcome() is Outcome.POSITIVE
    assert evidence == (SR,)
    assert [name for name, _ in reading.provenance.stage_seconds][-1] == "evidence"


def test_evidence_that_cannot_be_proved_never_leaves(queue: MemoryQueue, tiny: InstalledReader) -> None:
    def unproved(*_: object) -> tuple[EncodedObject, ...]:
        raise Failed("the region's centroid is mirrored")

    loop(queue, tiny, evidence=unproved).run_once()
    assert only_failure(queue).message == "the region's centroid is mirrored"


def test_a_damaged_package_is_a_failure_that_says_what_to_do(queue: MemoryQueue, tiny: InstalledReader) -> None:
    (tiny.model_folder / "network.onnx").write_bytes(b"damaged")
    worker = loop(queue, tiny)
    assert [problem.kind for problem in worker.warm_up()] == ["DamagedPackage"]
    failure = only_failure(queue)
    assert failure.kind == "DamagedPackage"
    assert "network.onnx" in failure.message
    assert "coread readers --check" in failure.hint


def test_work_that_comes_while_readers_are_opened_is_done_before_the_next_is_opened(
    queue: MemoryQueue, tiny: InstalledReader
) -> None:
    opened: list[int] = []

    def open_session(installed: InstalledReader) -> ModelSession:
        opened.append(len(queue.finished))
        return SessionSettings().open(installed)

    other = replace(tiny, package_digest="another", card=replace(tiny.card, reader_id="other"))
    worker = WorkLoop(
        queue, [tiny, other], one_report,
        settings=WorkSettings(owner="w", cap_memory=False), open_session=open_session,
    )  # fmt: skip
    problems = worker.warm_up()
    assert opened == [0, 1]
    assert [problem.kind for problem in problems] == ["Misconfigured"]
    assert queue.finished[1][0].outcome() is Outcome.POSITIVE


def test_a_package_replaced_while_running_is_not_used(queue: MemoryQueue, tiny: InstalledReader) -> None:
    from coread.models.package import lock_package

    (tiny.model_folder / "note.txt").write_text("another validation")
    lock_package(tiny.model_folder, tiny.card_path)
    loop(queue, tiny).run_once()
    assert "Restart" in only_failure(queue).message


def test_a_study_that_went_away_is_a_failure(queue: MemoryQueue, tiny: InstalledReader) -> None:
    queue.studies.clear()
    loop(queue, tiny).run_once()
    assert only_failure(queue).kind == "LeaseLost"


def test_items_of_readers_that_are_not_here_are_left_to_others(queue: MemoryQueue, tiny: InstalledReader) -> None:
    queue.waiting.append(queue.waiting.pop())
    other = tiny.card.reader_id
    assert not WorkLoop(queue, (), one_report).run_once()
    assert [item.reader_id for item in queue.waiting] == [other]


def test_an_ending_whose_lease_was_lost_is_dropped(
    queue: MemoryQueue, tiny: InstalledReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def superseded(*_: object) -> None:
        raise LeaseLost("superseded")

    monkeypatch.setattr(queue, "finish_work", superseded)
    assert loop(queue, tiny).run_once()
    assert queue.finished == {}


def test_a_busy_store_is_asked_again(
    queue: MemoryQueue, tiny: InstalledReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish: Callable[..., object] = queue.finish_work
    tries: list[int] = []

    def busy_first(*given: object) -> object:
        tries.append(1)
        if len(tries) < 3:
            raise StoreBusy("locked")
        return finish(*given)

    monkeypatch.setattr(queue, "finish_work", busy_first)
    loop(queue, tiny).run_once()
    assert len(tries) == 3
    assert list(queue.finished) == [1]


def test_the_loop_sleeps_until_something_changes_and_stops_when_told(
    queue: MemoryQueue, tiny: InstalledReader, tmp_path: Path
) -> None:
    worker = loop(queue, tiny)
    thread = threading.Thread(target=worker.serve)
    thread.start()
    _until(lambda: 1 in queue.finished)
    time.sleep(0.2)
    claims = queue.claims
    queue.add(study_of([tmp_path / "a.dcm"])[0], "tiny_square")
    began = time.monotonic()
    _until(lambda: len(queue.finished) == 2)
    assert time.monotonic() - began < 1.0
    worker.stop()
    thread.join(5)
    assert not thread.is_alive()
    assert queue.claims - claims < 10


def test_sessions_are_kept_and_the_oldest_is_let_go(packages: Path) -> None:
    one = tiny_installed(packages / "tiny_one")
    two = tiny_installed(packages / "tiny_two", card=CARD.replace("tiny_square", "tiny_other"))
    cache = SessionCache(SessionSettings().open, limit_bytes=1)
    first = cache.get(one)
    assert cache.get(one) is first
    cache.get(two)
    assert cache.digests() == (two.package_digest,)
    large = SessionCache(SessionSettings().open, limit_bytes=1 << 40)
    large.get(one)
    large.get(two)
    assert large.digests() == (one.package_digest, two.package_digest)
    assert open_reader(one, SessionSettings().open).size > 0


def test_a_pulse_beats_and_tells_of_a_lost_lease() -> None:
    beats: list[int] = []

    def beat() -> bool:
        beats.append(1)
        return len(beats) < 2

    with Pulse(beat, lambda _: None, every=0.01) as pulse:
        _until(lambda: pulse.lease_lost)
    assert len(beats) >= 2


def test_a_missed_beat_is_no_loss() -> None:
    def beat() -> bool:
        raise StoreBusy("locked")

    with Pulse(beat, lambda _: None, every=0.01) as pulse:
        time.sleep(0.05)
    assert not pulse.lease_lost


def test_a_block_over_its_deadline_is_told_once() -> None:
    told: list[float] = []
    with Pulse(lambda: True, told.append, every=0.01) as pulse:
        with pulse.deadline(10.0):
            time.sleep(0.03)
        assert told == []
        with pulse.deadline(0.01):
            _until(lambda: bool(told))
    assert told == [0.01]


HANGING = """
import sys, time
from pathlib import Path
sys.path[:0] = [{root!r}, {packages!r}]
from coread.engine.worker_loop import WorkLoop, WorkSettings
from coread.readers.registry import inspect_reader
from tests.engine.inputs import study_of
from tests.engine.memory_queue import MemoryQueue

class Telling(MemoryQueue):
    def retry_work(self, work_id, not_before, detail):
        print("retried:", detail, flush=True)
    def finish_work(self, work_id, owner, reading, evidence, destinations):
        print("finished:", reading.ending.kind, reading.ending.message, flush=True)

queue = Telling(Path({folder!r}))
queue.add(study_of([Path({folder!r}) / "a.dcm"])[0], "tiny_square")
settings = WorkSettings(owner="w", deadlines_before_failure={allowed})
reader = inspect_reader("tiny_hanging", Path({packages!r}) / "tiny_hanging")
WorkLoop(queue, [reader], lambda *_: (), settings=settings).serve()
"""


@pytest.mark.parametrize(("allowed", "said"), [(2, "retried:"), (1, "finished: DeadlineExceeded")])
def test_a_reading_that_hangs_is_recorded_and_the_process_leaves(
    queue: MemoryQueue, packages: Path, allowed: int, said: str
) -> None:
    code = READER.replace("return ReadResult((finding,))", "import time\n        time.sleep(60)")
    tiny_installed(packages / "tiny_hanging", card=CARD.replace("seconds = 20.0", "seconds = 0.5"), code=code)
    root = str(Path(__file__).resolve().parents[2])
    script = HANGING.format(root=root, packages=str(packages), folder=str(queue.folder), allowed=allowed)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == EXIT_OVERDUE, done.stderr
    assert done.stdout.startswith(said)
    assert "longer than the 0.5 s" in done.stdout


def test_memory_beyond_the_cap_is_an_error_here_and_not_a_killed_machine() -> None:
    script = (
        "import numpy as np\n"
        "from coread.engine.limits import memory_cap\n"
        "with memory_cap(64):\n"
        "    small = np.ones(1 << 20)\n"
        "    try:\n        np.ones(1 << 27)\n"
        "    except MemoryError:\n        print('refused')\n"
        "print(len(np.ones(1 << 24)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["refused", str(1 << 24)], done.stderr


def test_the_cap_is_taken_back() -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory_cap(4096):
        assert resource.getrlimit(resource.RLIMIT_DATA) != before
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_a_work_item_is_claimed_for_installed_readers_only(queue: MemoryQueue, tiny: InstalledReader) -> None:
    asked: list[object] = []

    def claim(owner: str, lease_seconds: float, reader_ids: Sequence[str] | None = None) -> WorkItem | None:
        asked.append((owner, lease_seconds, reader_ids))
        return None

    queue.claim_work = claim  # type: ignore[method-assign]
    loop(queue, tiny).run_once()
    assert asked == [("w", 30.0, ["tiny_square"])]


def _until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.01)
