"""kill -9 at any moment loses nothing and doubles nothing; many processes at once neither."""

import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from coread.domain.study import SettledReason
from coread.domain.work import DeliveryState, Priority, WorkState
from coread.store import Store, StoreSettings
from tests.store.crash_child import header_of
from tests.store.examples import accepted, header, receive

REPOSITORY = Path(__file__).resolve().parents[2]


def start(what: str, settings: StoreSettings, run: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.store.crash_child", what, str(settings.folder), settings.database_url, run]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def kill_after(child: "subprocess.Popen[str]", lines: int, seconds: float) -> list[str]:
    """Let a child say so many lines, wait a moment, kill it; return all that it said."""
    assert child.stdout is not None
    said = [child.stdout.readline() for _ in range(lines)]
    time.sleep(seconds)
    child.kill()
    said += child.stdout.readlines()
    child.wait()
    child.stdout.close()
    return [line.strip() for line in said if line.endswith("\n")]


def check_received(store: Store, acknowledged: list[str]) -> None:
    for line in acknowledged:
        study, number = line.split(",")
        (instance,) = store.instances([header(study, f"image {number}").sop_instance_uid])
        assert header_of(store.path_of(instance.path)).instance_number == int(number)
    for study in {line.split(",")[0] for line in acknowledged}:
        uid = header(study).study_instance_uid
        found = store.study(uid)
        assert found is not None
        assert found.instance_count == len(store.instances(study_uid=uid))
    assert list(store.staging_folder().glob("*.ready")) == []


def kill_receivers(settings: StoreSettings, rounds: int, seed: int) -> None:
    source = random.Random(seed)
    acknowledged: list[str] = []
    with Store.open(settings) as store:
        for number in range(rounds):
            child = start("receive", settings, f"run {number}")
            acknowledged += kill_after(child, source.randrange(1, 40), source.uniform(0, 0.03))
            store.recover_staging(header_of)
            check_received(store, acknowledged)


def kill_workers(settings: StoreSettings, rounds: int, seed: int) -> None:
    # A busy machine may kill one item's workers often; giving up on it is right, and proved elsewhere.
    settings = replace(settings, max_attempts=rounds + 1)
    source = random.Random(seed)
    with Store.open(settings) as store:
        uids = [receive(store, f"study {number}", images=1) for number in range(rounds * 8)]
        for uid in uids:
            store.settle(uid, SettledReason.SILENCE)
            store.record_decisions([accepted(uid)], Priority.MEDIUM)
        for number in range(rounds):
            kill_after(start("work", settings, f"w{number}"), 1, source.uniform(0, 0.05))
            store.release_owner(f"w{number}", "killed")
        last = start("work", settings, "last")
        assert last.communicate(timeout=60)[0] == "started\n"
        for uid in uids:
            (item,) = store.work_items(uid)
            assert item.state is WorkState.COMPLETED
            assert store.reading(item.work_id) is not None
            assert len(store.evidence(uid)) == len(store.deliveries(study_uid=uid)) == 2
        assert store.delivery_counts() == {"pacs": {DeliveryState.QUEUED: 2 * len(uids)}}


def test_a_killed_receiver_loses_and_doubles_nothing(settings: StoreSettings) -> None:
    kill_receivers(settings, rounds=2, seed=1)


def test_a_killed_worker_loses_and_doubles_nothing(settings: StoreSettings) -> None:
    kill_workers(settings, rounds=2, seed=2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3, 6))
def test_many_killed_receivers_lose_and_double_nothing(settings: StoreSettings, seed: int) -> None:
    kill_receivers(settings, rounds=15, seed=seed)


@pytest.mark.slow
def test_many_killed_workers_lose_and_double_nothing(settings: StoreSettings) -> None:
    kill_workers(settings, rounds=15, seed=7)


def test_several_processes_share_the_queue_without_doing_anything_twice(settings: StoreSettings) -> None:
    with Store.open(settings) as store:
        uids = [receive(store, f"study {number}", images=1) for number in range(12)]
        for uid in uids:
            store.settle(uid, SettledReason.SILENCE)
            store.record_decisions([accepted(uid)], Priority.MEDIUM)
        children = [start("work", settings, f"w{number}") for number in range(3)]
        for child in children:
            child.communicate(timeout=60)
            assert child.returncode == 0
        for uid in uids:
            (item,) = store.work_items(uid)
            assert (item.state, item.attempts) == (WorkState.COMPLETED, 1)
