"""The worker over the real store: from a finished reading to the PACS, through kills and restarts."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from coread.deliver.worker import DeliveryWorker
from coread.domain.work import DeliveryProtocol, DeliveryState, Destination, EncodedObject, EvidenceKind
from coread.store import Store, StoreSettings
from tests.deliver.killed_deliverer import SETTINGS, destination
from tests.deliver.objects import secondary_capture
from tests.peers.orthanc import ProgramMissing, running_orthanc
from tests.peers.ports import free_port
from tests.peers.scripted import scripted_scp
from tests.store.examples import positive, ready_work

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(
        StoreSettings(tmp_path / "store", warn_free_fraction=0.0, refuse_free_fraction=0.0), migrate=True
    ) as opened:
        yield opened


def _finish(store: Store, folder: Path, count: int, *destinations: Destination) -> list[str]:
    """Finish one reading with so many evidence objects; return their SOP Instance UIDs."""
    objects = []
    for number in range(count):
        path = secondary_capture(folder / f"evidence{number}.dcm", number=number)
        dataset = dcmread(path, stop_before_pixels=True)
        objects.append(
            EncodedObject(
                EvidenceKind.SECONDARY_CAPTURE,
                str(dataset.SOPClassUID),
                str(dataset.SOPInstanceUID),
                str(dataset.SeriesInstanceUID),
                path.read_bytes(),
                "test",
            )
        )
    item = ready_work(store)
    store.finish_work(item.work_id, "worker", positive(), objects, destinations)
    return [item.sop_instance_uid for item in objects]


def _until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.03)


def _states(store: Store) -> set[DeliveryState]:
    return {row.state for row in store.deliveries()}


@pytest.mark.peer
def test_evidence_is_sent_committed_and_written_into_the_history(store: Store, tmp_path: Path) -> None:
    port = free_port()
    try:
        with running_orthanc(modalities={"coread": ("COREAD", "127.0.0.1", port)}) as pacs:
            dicom = Destination(
                "pacs", DeliveryProtocol.C_STORE, f"127.0.0.1:{pacs.dicom_port}", "ORTHANC", storage_commitment=True
            )
            web = Destination("web", DeliveryProtocol.STOW_RS, pacs.dicomweb_url)
            uids = _finish(store, tmp_path, 3, dicom, web)
            worker = DeliveryWorker(store, [dicom, web], settings=SETTINGS, listen=("127.0.0.1", port))
            worker.start()
            _until(lambda: {row.state for row in store.deliveries(destination="pacs")} == {DeliveryState.COMMITTED})
            _until(lambda: {row.state for row in store.deliveries(destination="web")} == {DeliveryState.SENT})
            assert worker.stop()
            assert pacs.sop_instance_uids() == set(uids)
    except ProgramMissing as missing:
        pytest.skip(str(missing))
    study = store.worklist().items[0].study.study_instance_uid
    events = [entry.event for entry in store.history(study)]
    assert events.count("deliver.committed") == 3
    assert events.count("deliver.sent") == 6


def test_a_killed_deliverer_loses_nothing_and_doubles_nothing(store: Store, tmp_path: Path) -> None:
    slow = True

    def linger(event: Any) -> None:
        if slow:
            time.sleep(0.4)

    with scripted_scp(on_store=linger) as scp:
        uids = _finish(store, tmp_path, 4, destination(scp.port))
        command = [sys.executable, "-m", "tests.deliver.killed_deliverer", str(store.folder), str(scp.port)]
        killed = subprocess.Popen(command, cwd=REPOSITORY)
        try:
            _until(lambda: len(scp.received) >= 1 and DeliveryState.SENDING in _states(store))
        finally:
            killed.kill()
            killed.wait()
        assert DeliveryState.SENDING in _states(store)
        slow = False
        worker = DeliveryWorker(store, [destination(scp.port)], settings=SETTINGS)
        worker.start()
        _until(lambda: _states(store) == {DeliveryState.SENT})
        assert worker.stop()
        assert set(scp.received) == set(uids)
        assert len(store.deliveries()) == 4


def test_a_dead_letter_goes_out_again_when_a_person_asks(store: Store, tmp_path: Path) -> None:
    with scripted_scp(statuses=[0xC000]) as scp:
        _finish(store, tmp_path, 1, destination(scp.port))
        worker = DeliveryWorker(store, [destination(scp.port)], settings=SETTINGS)
        worker.start()
        _until(lambda: _states(store) == {DeliveryState.DEAD})
        [row] = store.deliveries()
        assert "0xC000" in row.last_error
        store.requeue_delivery(row.delivery_id, "admin")
        _until(lambda: _states(store) == {DeliveryState.SENT})
        assert worker.stop()


def test_an_object_is_at_the_peer_soon_after_its_result(store: Store, tmp_path: Path) -> None:
    with scripted_scp() as scp:
        worker = DeliveryWorker(store, [destination(scp.port)])
        worker.start()
        time.sleep(0.3)
        _finish(store, tmp_path, 3, destination(scp.port))
        _until(lambda: _states(store) == {DeliveryState.SENT}, seconds=5.0)
        assert worker.stop()
