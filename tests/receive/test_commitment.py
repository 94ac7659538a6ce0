"""Storage commitment: the report on the same association, and on one of our own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt

from coread.receive.dimse import encode_command, ui, us
from coread.receive.settings import PeerRule
from tests.receive.conftest import StartReceiver
from tests.receive.making import ct_slice
from tests.receive.scripted import CT, EXPLICIT, ScriptedPeer, encoded, p_data, pdv

COMMITMENT, WELL_KNOWN = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
pytestmark = pytest.mark.peer


class Reports:
    """Collects the N-EVENT-REPORTs that a sender gets."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.event_type = 0
        self.data = Dataset()

    def handle(self, event: evt.Event) -> tuple[int, None]:
        self.event_type = event.event_type or 0
        self.data = event.event_information
        self.arrived.set()
        return 0, None


def request(*objects: Dataset) -> Dataset:
    wanted = Dataset()
    wanted.TransactionUID = generate_uid()
    wanted.ReferencedSOPSequence = []
    for item in objects:
        reference = Dataset()
        reference.ReferencedSOPClassUID = item.SOPClassUID
        reference.ReferencedSOPInstanceUID = item.SOPInstanceUID
        wanted.ReferencedSOPSequence.append(reference)
    return wanted


@contextmanager
def waiting_sender(reports: Reports) -> Iterator[int]:
    """A sender that also listens, as commitment results may come on another association."""
    entity = AE("SENDER")
    entity.add_supported_context(COMMITMENT, scu_role=True, scp_role=True)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, reports.handle)])
    assert server is not None
    assert server.socket is not None
    try:
        yield int(server.socket.getsockname()[1])
    finally:
        server.shutdown()


def test_what_is_kept_is_committed_and_what_is_not_is_named(start_receiver: StartReceiver) -> None:
    receiver = start_receiver()
    reports = Reports()
    sender = AE("SENDER")
    sender.add_requested_context(CT)
    sender.add_requested_context(COMMITMENT)
    peer = sender.associate("127.0.0.1", receiver.port, evt_handlers=[(evt.EVT_N_EVENT_REPORT, reports.handle)])
    kept, other_class, missing = ct_slice(1), ct_slice(2), ct_slice(3)
    assert peer.send_c_store(kept).Status == 0
    assert peer.send_c_store(other_class).Status == 0
    other_class.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    wanted = request(kept, other_class, missing)
    status, _ = peer.send_n_action(wanted, 1, COMMITMENT, WELL_KNOWN)
    assert status.Status == 0
    assert reports.arrived.wait(10)
    peer.release()
    assert reports.event_type == 2
    assert reports.data.TransactionUID == wanted.TransactionUID
    assert [item.ReferencedSOPInstanceUID for item in reports.data.ReferencedSOPSequence] == [kept.SOPInstanceUID]
    failed = {item.ReferencedSOPInstanceUID: item.FailureReason for item in reports.data.FailedSOPSequence}
    assert failed == {other_class.SOPInstanceUID: 0x0119, missing.SOPInstanceUID: 0x0112}


def test_wrong_requests_are_answered_with_their_status(start_receiver: StartReceiver) -> None:
    sender = AE("SENDER")
    sender.add_requested_context(COMMITMENT)
    peer = sender.associate("127.0.0.1", start_receiver().port)
    assert peer.send_n_action(request(ct_slice(1)), 9, COMMITMENT, WELL_KNOWN)[0].Status == 0x0123
    assert peer.send_n_action(request(ct_slice(1)), 1, COMMITMENT, "1.2.3")[0].Status == 0x0112
    nothing = Dataset()
    nothing.TransactionUID = "1.2.3"
    assert peer.send_n_action(nothing, 1, COMMITMENT, WELL_KNOWN)[0].Status == 0x0110
    peer.release()


def test_a_peer_that_has_left_gets_its_result_on_another_association(start_receiver: StartReceiver) -> None:
    reports = Reports()
    with waiting_sender(reports) as port:
        rule = PeerRule("SENDER", "127.0.0.0/8", commitment_host="127.0.0.1", commitment_port=port)
        receiver = start_receiver(allowed_peers=(rule,))
        kept = ct_slice(1)
        # The peer drops the connection without reading its report, so that the report is undelivered there.
        with ScriptedPeer(receiver.port) as peer:
            assert peer.associate((CT, [EXPLICIT]), (COMMITMENT, [EXPLICIT]), calling="SENDER") == 2
            assert peer.store(kept) == 0
            command = encode_command(
                {
                    0x0003: ui(COMMITMENT),
                    0x0100: us(0x0130),
                    0x0110: us(2),
                    0x0800: us(0),
                    0x1001: ui(WELL_KNOWN),
                    0x1008: us(1),
                }
            )
            peer.send(p_data(pdv(3, command, command=True, last=True)))
            peer.send(p_data(pdv(3, encoded(request(kept)), command=False, last=True)))
            assert peer.status() == 0
        assert reports.arrived.wait(15)
    assert reports.event_type == 1
