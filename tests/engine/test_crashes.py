"""A worker that dies at any moment costs an attempt: nothing is lost, nothing is there twice, others go on."""

import hashlib
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from coread.domain.results import Failure, Outcome
from coread.domain.study import Origin, SettledReason
from coread.domain.work import DeliveryState, RoutingDecision, WorkState
from coread.imaging.header import scan_header
from coread.store import StagedFile, Store
from tests.engine.inputs import radiograph, square_at, tiny_installed
from tests.engine.worker_process import settings
from tests.models.tiny_reader import READER

ROOT = Path(__file__).resolve().parents[2]
CRASHES = READER.replace(
    "        return session.run",
    "        if prepared.context.header.study_instance_uid.endswith('.666'):\n"
    "            import ctypes\n"
    "            ctypes.string_at(0)\n"
    "        import time\n"
    "        time.sleep(0.02)\n"
    "        return session.run",
)


def add_study(store: Store, number: int) -> str:
    """Put a study of one radiograph into the store, settled and routed."""
    uid = f"1.2.826.0.1.3680043.8.498.{number}"
    names = {"StudyInstanceUID": uid, "SeriesInstanceUID": f"{uid}.1", "SOPInstanceUID": f"{uid}.1.1"}
    path = radiograph(store.staging_folder() / f"{number}.ready", square_at(64, 160), number, **names)
    data = path.read_bytes()
    header = scan_header(path)
    store.add_files([StagedFile(path, header, len(data), hashlib.sha256(data).hexdigest(), Origin("c-store"))])
    study = store.settle(uid, SettledReason.MANUAL, "test")
    decision = RoutingDecision(uid, study.generation, "tiny_square", "1.0.0", True, (f"{uid}.1.1",))
    store.record_decisions([decision])
    return uid


def start(store: Store, packages: Path, owner: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.engine.worker_process", str(store.folder), str(packages), owner]
    command.append(str(store.settings.max_attempts))
    worker = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stderr is not None
    if worker.stdout.readline() != "ready\n":
        pytest.fail(worker.stderr.read())
    return worker


def test_a_segmentation_fault_costs_one_attempt_and_ends_as_failed(tmp_path: Path, packages: Path) -> None:
    tiny_installed(packages / "tiny_worker", code=CRASHES)
    with Store.open(settings(tmp_path / "store", 3), migrate=True) as store:
        uids = [add_study(store, number) for number in (1, 666, 2)]
        codes = []
        for attempt in range(6):
            worker = start(store, packages, f"w{attempt}")
            worker.communicate(timeout=60)
            codes.append(worker.returncode)
            store.release_owner(f"w{attempt}", f"the worker ended with {worker.returncode}")
            if worker.returncode == 0:
                break
        assert codes == [-11, -11, -11, 0]
        endings = [store.reading(item.work_id) for uid in uids for item in store.work_items(uid)]
        assert [ending.outcome() for ending in endings if ending] == [
            Outcome.POSITIVE,
            Outcome.FAILED,
            Outcome.POSITIVE,
        ]
        crashed = endings[1]
        assert crashed is not None
        assert isinstance(crashed.ending, Failure)
        assert crashed.ending.kind == "KeptCrashing"


@pytest.mark.parametrize(("seed", "kills"), [(1, 2), pytest.param(2, 8, marks=pytest.mark.slow)])
def test_a_worker_killed_at_any_moment_loses_nothing_and_doubles_nothing(
    tmp_path: Path, packages: Path, seed: int, kills: int
) -> None:
    tiny_installed(packages / "tiny_worker", code=CRASHES)
    moments = random.Random(seed)
    with Store.open(settings(tmp_path / "store", 100), migrate=True) as store:
        uids = [add_study(store, number) for number in range(1, 13)]
        for kill in range(kills):
            worker = start(store, packages, f"killed{kill}")
            time.sleep(moments.uniform(0.0, 0.25))
            worker.kill()
            worker.communicate()
            store.release_owner(f"killed{kill}", "killed by the test")
        last = start(store, packages, "last")
        assert last.communicate(timeout=60)[1] == ""
        for uid in uids:
            assert_whole(store, uid)


def assert_whole(store: Store, uid: str) -> None:
    (item,) = store.work_items(uid)
    assert item.state is WorkState.COMPLETED
    reading = store.reading(item.work_id)
    assert reading is not None
    assert reading.outcome() is Outcome.POSITIVE
    (record,) = store.evidence(uid)
    assert hashlib.sha256(store.path_of(record.path).read_bytes()).hexdigest() == record.sha256
    (delivery,) = store.deliveries(study_uid=uid)
    assert delivery.state is DeliveryState.QUEUED
    events = Counter(entry.event for entry in store.history(uid))
    assert events["engine.finished"] == 1
    assert events["engine.started"] == item.attempts


def test_two_workers_share_a_queue_without_reading_anything_twice(tmp_path: Path, packages: Path) -> None:
    tiny_installed(packages / "tiny_worker", code=CRASHES)
    with Store.open(settings(tmp_path / "store", 3), migrate=True) as store:
        uids = [add_study(store, number) for number in range(1, 9)]
        workers = [start(store, packages, name) for name in ("one", "two")]
        assert [worker.communicate(timeout=60)[1] for worker in workers] == ["", ""]
        for uid in uids:
            assert_whole(store, uid)
            (item,) = store.work_items(uid)
            assert item.attempts == 1


def test_reading_again_after_a_crash_gives_the_same_evidence(tmp_path: Path, packages: Path) -> None:
    tiny_installed(packages / "tiny_worker", code=CRASHES)
    digests = []
    for name in ("first", "second"):
        with Store.open(replace(settings(tmp_path / name, 3), durable=False), migrate=True) as store:
            uid = add_study(store, 1)
            worker = start(store, packages, "w")
            assert worker.communicate(timeout=60)[1] == ""
            digests.append([(record.sop_instance_uid, record.sha256) for record in store.evidence(uid)])
    assert digests[0] == digests[1]
    assert len(digests[0]) == 1
