"""Many threads and processes on one store: everybody gets a turn, nothing is counted wrong."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from coread.domain.study import ReceiveStatus
from coread.store import Store, StoreBusy, StoreSettings
from coread.store.database import Database, Transaction
from tests.store.examples import header, staged


def test_the_same_object_from_many_threads_is_stored_once(store: Store) -> None:
    items = [staged(store, header(), b"same") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        receipts = [receipt for answer in pool.map(lambda item: store.add_files([item]), items) for receipt in answer]
    assert sorted(receipt.status for receipt in receipts) == [ReceiveStatus.DUPLICATE] * 7 + [ReceiveStatus.STORED]


def test_images_of_one_study_from_many_threads_are_counted_right(store: Store) -> None:
    def send(thread: int) -> None:
        for number in range(5):
            head = header(sop=f"{thread} {number}", series_instance_uid=f"1.2.{thread % 3}")
            store.add_files([staged(store, head, f"{thread} {number}".encode())])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(send, range(6)))
    study = store.study(header().study_instance_uid, with_series=True)
    assert study is not None
    assert (study.instance_count, study.series_count) == (30, 3)
    assert [series.instance_count for series in study.series] == [10, 10, 10]


def test_a_writer_that_waits_too_long_is_told_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("busy")
    settings = StoreSettings(folder, durable=False, busy_seconds=0.2)
    Store.open(settings, migrate=True).close()
    inside, leave = threading.Event(), threading.Event()

    def hold(_: Transaction) -> None:
        inside.set()
        leave.wait(20)

    holder = Database(settings)
    thread = threading.Thread(target=lambda: holder.write(hold))
    thread.start()
    assert inside.wait(10)
    with Store.open(settings) as other, pytest.raises(StoreBusy):
        other.add_history("1.2", "test.note")
    leave.set()
    thread.join()
    holder.close()
