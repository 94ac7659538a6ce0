"""The delivery worker against real, dead, slow and scripted peers."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from coread.deliver.breaker import BreakerPolicy, BreakerState
from coread.deliver.errors import BadDestination
from coread.deliver.lane import LaneSettings
from coread.deliver.worker import DeliveryWorker
from coread.domain.work import DeliveryProtocol, DeliveryState, Destination
from tests.deliver.memory_outbox import MemoryOutbox
from tests.peers.orthanc import OrthancPeer
from tests.peers.ports import free_port
from tests.peers.scripted import scripted_scp, silent_server

FAST = LaneSettings(
    poll_seconds=0.02,
    due_seconds=0.05,
    first_retry_seconds=0.05,
    longest_retry_seconds=0.2,
    commitment_retry_seconds=0.3,
    breaker=BreakerPolicy(failures=2, open_seconds=0.2, longest_seconds=0.4),
)
SENT, DEAD, QUEUED, COMMITTED = DeliveryState.SENT, DeliveryState.DEAD, DeliveryState.QUEUED, DeliveryState.COMMITTED


def _destination(name: str, port: int, **changes: Any) -> Destination:
    values: dict[str, Any] = {"ae_title": "PEER", "timeout_seconds": 2.0, "max_attempts": 4}
    return Destination(name, DeliveryProtocol.C_STORE, f"127.0.0.1:{port}", **(values | changes))


def _queue(outbox: MemoryOutbox, paths: list[Path], *destinations: str) -> None:
    for path in paths:
        dataset = dcmread(path, stop_before_pixels=True)
        outbox.add(
            path,
            sop_class_uid=str(dataset.SOPClassUID),
            sop_instance_uid=str(dataset.SOPInstanceUID),
            destinations=destinations,
        )


@contextmanager
def _working(outbox: MemoryOutbox, *destinations: Destination) -> Iterator[DeliveryWorker]:
    worker = DeliveryWorker(outbox, destinations, settings=FAST)
    worker.start()
    try:
        yield worker
    finally:
        assert worker.stop()


def _until(condition: Callable[[], bool], *, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


@pytest.mark.peer
def test_objects_reach_the_pacs_by_both_protocols(orthanc: OrthancPeer, objects: list[Path]) -> None:
    outbox = MemoryOutbox()
    _queue(outbox, objects, "dicom", "web")
    web = Destination("web", DeliveryProtocol.STOW_RS, orthanc.dicomweb_url, timeout_seconds=5.0)
    with _working(outbox, _destination("dicom", orthanc.dicom_port), web) as worker:
        _until(lambda: outbox.states("dicom") == [SENT] * 3 and outbox.states("web") == [SENT] * 3)
        states = {state.lane.destination: state for state in worker.state()}
    assert states["web"].counts == {SENT: 3}
    assert states["dicom"].lane.breaker is BreakerState.CLOSED
    assert states["dicom"].lane.last_success_at is not None
    assert {str(dcmread(path).SOPInstanceUID) for path in objects} <= orthanc.sop_instance_uids()


def test_a_dead_destination_delays_no_other(objects: list[Path]) -> None:
    outbox = MemoryOutbox()
    _queue(outbox, objects, "dead", "well")
    with scripted_scp() as scp, silent_server() as silent:
        dead = _destination("dead", silent, timeout_seconds=30.0)
        worker = DeliveryWorker(outbox, (dead, _destination("well", scp.port)), settings=FAST)
        worker.start()
        began = time.monotonic()
        _until(lambda: outbox.states("well") == [SENT] * 3)
        assert time.monotonic() - began < 5.0
        assert not worker.stop(seconds=0.1)
    assert SENT not in outbox.states("dead")


def test_a_dead_peer_opens_the_breaker_and_spends_no_budget_while_it_is_open(objects: list[Path]) -> None:
    outbox = MemoryOutbox()
    _queue(outbox, objects[:1], "pacs")
    port = free_port()
    with _working(outbox, _destination("pacs", port)) as worker:
        _until(lambda: worker.state()[0].lane.breaker is not BreakerState.CLOSED)
        time.sleep(1.0)
        assert "cannot be reached" in worker.state()[0].lane.last_error
        assert outbox.states("pacs") == [QUEUED]
        assert outbox.deliveries()[0].attempts == 2


def test_out_of_resources_is_tried_again_and_succeeds(objects: list[Path]) -> None:
    outbox = MemoryOutbox()
    _queue(outbox, objects[:1], "pacs")
    with scripted_scp(statuses=[0xA700, 0xA700]) as scp, _working(outbox, _destination("pacs", scp.port)):
        _until(lambda: outbox.states("pacs") == [SENT])
    assert outbox.deliveries()[0].attempts == 3


def test_a_refused_object_is_a_dead_letter_at_once_and_the_others_go_on(objects: list[Path]) -> None:
    outbox = MemoryOutbox()
    _queue(outbox, objects, "pacs")
    with scripted_scp(statuses=[0xC000]) as scp, _working(outbox, _destination("pacs", scp.port)) as worker:
        _until(lambda: outbox.states("pacs") == [DEAD, SENT, SENT])
        assert worker.state()[0].lane.breaker is BreakerState.CLOSED
    assert "0xC000" in outbox.deliveries()[0].last_error


def test_the_retry_budget_ends_in_a_dead_letter_that_a_person_can_requeue(objects: list[Path]) -> None:
    outbox = MemoryOutbox()
    _queue(outbox, objects[:1], "pacs")
    with scripted_scp(statuses=[0xA700] * 4) as scp, _working(outbox, _destination("pacs", scp.port)):
        _until(lambda: outbox.states("pacs") == [DEAD])
        outbox.requeue_delivery(1, "admin")
        _until(lambda: outbox.states("pacs") == [SENT])


def test_a_peer_that_comes_back_gets_everything(objects: list[Path]) -> None:
    outbox = MemoryOutbox()
    _queue(outbox, objects, "pacs")
    rejecting = True

    def abort(event: Any) -> None:
        if rejecting:
            event.assoc.abort(block=False)

    with scripted_scp(on_store=abort) as scp, _working(outbox, _destination("pacs", scp.port, max_attempts=50)):
        _until(lambda: bool(outbox.deliveries()[0].last_error))
        rejecting = False
        _until(lambda: outbox.states("pacs") == [SENT] * 3)


def test_a_row_left_by_a_killed_deliverer_is_sent_again(objects: list[Path]) -> None:
    outbox = MemoryOutbox()
    _queue(outbox, objects[:1], "pacs")
    assert outbox.claim_delivery("pacs", "killed", 0.1) is not None
    with scripted_scp() as scp, _working(outbox, _destination("pacs", scp.port)):
        _until(lambda: outbox.states("pacs") == [SENT])
        assert len(scp.received) == 1


def test_a_missing_file_is_a_dead_letter_that_says_so(tmp_path: Path) -> None:
    outbox = MemoryOutbox()
    outbox.add(tmp_path / "gone.dcm", sop_class_uid="1.2", sop_instance_uid="1.2.3", destinations=("pacs",))
    with scripted_scp() as scp, _working(outbox, _destination("pacs", scp.port)):
        _until(lambda: outbox.states("pacs") == [DEAD])
    assert "gone.dcm" in outbox.deliveries()[0].last_error


@pytest.mark.parametrize("address", ["nowhere", "host:", "host:0", "host:99999", ":104"])
def test_an_address_that_makes_no_sense_stops_at_start_up(address: str) -> None:
    with pytest.raises(BadDestination):
        DeliveryWorker(MemoryOutbox(), [Destination("pacs", DeliveryProtocol.C_STORE, address, ae_title="PACS")])


def test_a_disabled_destination_is_left_alone(objects: list[Path]) -> None:
    outbox = MemoryOutbox()
    _queue(outbox, objects, "pacs")
    with scripted_scp() as scp, _working(outbox, _destination("pacs", scp.port, enabled=False)) as worker:
        time.sleep(0.3)
        assert worker.state() == ()
    assert outbox.states("pacs") == [QUEUED] * 3
