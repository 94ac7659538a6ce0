"""What a power cut takes back is found again: intake commits without a sync until ``sync_intake``."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from coread.domain.study import Origin, ReceiveStatus
from coread.store import StagedFile, Store, StoreSettings
from coread.store.database import Database
from tests.store.crash_child import header_of
from tests.store.examples import header

COUNT = 12
_ORIGIN = Origin("c-store", "SCANNER", "127.0.0.1", "a1")


@pytest.fixture
def lasting(settings: StoreSettings) -> StoreSettings:
    return StoreSettings(settings.folder, settings.database_url, durable=True)


def acknowledged(store: Store, first: int, count: int) -> list[StagedFile]:
    """Return files as a receiver leaves them: sealed, digested, their names on the disk."""
    items = []
    for number in range(first, first + count):
        data = json.dumps(["study", number]).encode()
        path = store.staging_folder() / f"{number}.{len(data)}.ready"
        path.write_bytes(data)
        item = StagedFile(path, header_of(path), len(data), hashlib.sha256(data).hexdigest(), _ORIGIN, True)
        items.append(item)
    return items


def check_all_there(store: Store, count: int) -> None:
    uid = header("study").study_instance_uid
    instances = store.instances(study_uid=uid)
    assert {item.header.instance_number for item in instances} == set(range(count))
    for item in instances:
        assert header_of(store.path_of(item.path)).instance_number == item.header.instance_number
    study = store.study(uid)
    assert study is not None
    assert study.instance_count == count
    assert list(store.staging_folder().iterdir()) == []


def test_a_commit_that_the_power_cut_took_back_is_indexed_again(lasting: StoreSettings, tmp_path: Path) -> None:
    if lasting.database_url:
        pytest.skip("PostgreSQL syncs every commit itself")
    with Store.open(lasting) as store:
        synced = acknowledged(store, 0, COUNT)
        store.add_files(synced, synced=False)
        store.sync_intake(synced)
        # What the disk holds of the index at this moment; what comes later is in memory only.
        _copy_index(lasting.folder, tmp_path / "on-disk")
        store.add_files(acknowledged(store, COUNT, COUNT), synced=False)
        assert len(list(store.staging_folder().glob("*.ready"))) == COUNT
    for path in lasting.folder.glob("index.sqlite3*"):
        path.unlink()
    _copy_index(tmp_path / "on-disk", lasting.folder)
    with Store.open(lasting) as store:
        assert len(store.instances(study_uid=header("study").study_instance_uid)) == COUNT
        assert store.recover_staging(header_of) == COUNT
        check_all_there(store, 2 * COUNT)


def test_final_names_that_the_power_cut_took_back_are_made_again(lasting: StoreSettings) -> None:
    """The index survived, e.g. because another process committed with a sync; the folder's new names did not."""
    with Store.open(lasting) as store:
        receipts = store.add_files(acknowledged(store, 0, COUNT), synced=False)
        assert {receipt.status for receipt in receipts} == {ReceiveStatus.STORED}
        shutil.rmtree(lasting.folder / "studies")
        assert store.recover_staging(header_of) == 0
        check_all_there(store, COUNT)


def test_staging_names_that_a_crash_left_are_no_second_copies(lasting: StoreSettings) -> None:
    with Store.open(lasting) as store:
        store.add_files(acknowledged(store, 0, COUNT), synced=False)
        assert store.recover_staging(header_of) == 0
        check_all_there(store, COUNT)
        assert "receive.duplicate" not in {entry.event for entry in store.history(header("study").study_instance_uid)}


def test_only_intake_may_commit_without_a_sync(lasting: StoreSettings) -> None:
    if lasting.database_url:
        pytest.skip("PostgreSQL syncs every commit itself")
    database = Database(lasting)
    with Store.open(lasting):
        levels: Sequence[int] = [
            database.write(lambda tx: tx.connection.exec_driver_sql("PRAGMA synchronous").scalar_one(), synced=synced)
            for synced in (False, True, False, True)
        ]
    database.close()
    assert list(levels) == [1, 2, 1, 2]


def _copy_index(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for path in source.glob("index.sqlite3*"):
        if not path.name.endswith("-shm"):  # shared memory does not survive
            shutil.copy(path, target)
