"""Who may come in, how many, how slowly, and what happens to those who send rubbish."""

import os
import socket
import struct
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coread.receive import statuses
from coread.receive.errors import BadSettings
from coread.receive.server import DicomReceiver
from coread.receive.settings import Limits, PeerRule, ReceiveSettings
from coread.store import DiskLevel, DiskState, Store
from tests.receive.conftest import StartReceiver
from tests.receive.making import STUDY, ct_slice
from tests.receive.scripted import (
    CT,
    EXPLICIT,
    ScriptedPeer,
    associate_request,
    echoes,
    encoded,
    p_data,
    pdv,
    store_command,
)


def test_only_this_machine_may_send_when_no_peer_is_named() -> None:
    open_settings = ReceiveSettings()
    assert open_settings.rule_for("ANY", "127.0.0.1")
    assert open_settings.rule_for("ANY", "::1")
    assert open_settings.rule_for("ANY", "::ffff:127.0.0.1")
    assert open_settings.rule_for("ANY", "10.0.0.1") is None
    assert not open_settings.knows_address("192.168.1.1")


def test_peers_are_allowed_by_ae_title_and_network() -> None:
    rules = (PeerRule("CT1", "10.1.0.0/16"), PeerRule("", "192.168.7.0/24"))
    site = ReceiveSettings(allowed_peers=rules)
    assert site.rule_for("CT1", "10.1.2.3") is rules[0]
    assert site.rule_for("CT2", "10.1.2.3") is None
    assert site.rule_for("CT2", "192.168.7.9") is rules[1]
    assert site.rule_for("CT1", "127.0.0.1") is None


@pytest.mark.parametrize(
    "wrong",
    [{"ae_title": ""}, {"ae_title": "X" * 17}, {"port": 70000}, {"processes": 0}],
)
def test_wrong_settings_are_refused_at_once(wrong: dict[str, object]) -> None:
    with pytest.raises(BadSettings):
        ReceiveSettings(**wrong)  # type: ignore[arg-type]


def test_wrong_networks_and_limits_are_refused_at_once() -> None:
    with pytest.raises(BadSettings):
        PeerRule("A", "10.0.0.0/99")
    with pytest.raises(BadSettings):
        Limits(max_pdu=10)


def test_a_port_that_is_taken_is_said_so(store: Store, start_receiver: StartReceiver) -> None:
    first = start_receiver()
    second = DicomReceiver(ReceiveSettings(port=first.port), store)
    with pytest.raises(BadSettings, match="choose another port"):
        second.start()
    second.stop()


def test_an_unknown_calling_ae_title_is_rejected(start_receiver: StartReceiver) -> None:
    receiver = start_receiver(allowed_peers=(PeerRule("CT1"),))
    with ScriptedPeer(receiver.port) as peer:
        peer.send(associate_request([(CT, [EXPLICIT])], calling="CT2"))
        assert peer.pdu() == (3, bytes([0, 1, 1, 3]))
    with ScriptedPeer(receiver.port) as peer:
        assert peer.associate(calling="CT1") == 2


def test_an_address_on_no_list_is_closed_at_once(start_receiver: StartReceiver) -> None:
    receiver = start_receiver(allowed_peers=(PeerRule("CT1", "10.0.0.0/8"),))
    with ScriptedPeer(receiver.port) as peer:
        assert peer.pdu() == (0, b"")


def test_another_called_ae_title_is_rejected_when_that_is_checked(start_receiver: StartReceiver) -> None:
    with ScriptedPeer(start_receiver(ae_title="OTHER", check_called_ae_title=True).port) as peer:
        peer.send(associate_request([(CT, [EXPLICIT])]))
        assert peer.pdu() == (3, bytes([0, 1, 1, 7]))


def test_more_associations_than_allowed_are_told_to_come_back_later(start_receiver: StartReceiver) -> None:
    receiver = start_receiver(limits=Limits(max_associations=2))
    with ScriptedPeer(receiver.port) as first, ScriptedPeer(receiver.port) as second:
        assert first.associate() == second.associate() == 2
        with ScriptedPeer(receiver.port) as third:
            third.send(associate_request([(CT, [EXPLICIT])]))
            assert third.pdu() == (3, bytes([0, 2, 3, 2]))
    time.sleep(0.1)
    assert echoes(receiver.port)


def test_one_peer_cannot_take_all_associations(start_receiver: StartReceiver) -> None:
    receiver = start_receiver(limits=Limits(max_associations_per_peer=1))
    with ScriptedPeer(receiver.port) as first, ScriptedPeer(receiver.port) as second:
        assert first.associate() == 2
        assert second.associate() == 3


def test_two_hundred_associations_at_once_are_served(store: Store, start_receiver: StartReceiver) -> None:
    receiver = start_receiver(limits=Limits(max_associations_per_peer=256))
    peers = [ScriptedPeer(receiver.port) for _ in range(200)]
    try:
        for peer in peers:
            peer.send(associate_request([(CT, [EXPLICIT])]))
        assert [peer.pdu()[0] for peer in peers] == [2] * 200
        for number, peer in enumerate(peers):
            data = ct_slice(number)
            peer.send(p_data(pdv(1, store_command(CT, str(data.SOPInstanceUID)), command=True, last=True)))
            peer.send(p_data(pdv(1, encoded(data), command=False, last=True)))
        assert [peer.status() for peer in peers] == [0] * 200
    finally:
        for peer in peers:
            peer.socket.close()
    assert receiver.flush()
    assert len(store.instances(study_uid=STUDY)) == 200


def test_silence_before_and_inside_a_message_ends_the_association(start_receiver: StartReceiver) -> None:
    receiver = start_receiver(limits=Limits(artim_seconds=0.3, idle_seconds=0.4, read_seconds=0.2))
    with ScriptedPeer(receiver.port) as mute:
        assert mute.pdu()[0] == 7
    with ScriptedPeer(receiver.port) as idle:
        assert idle.associate() == 2
        assert idle.pdu()[0] == 7
    with ScriptedPeer(receiver.port) as stuck:
        assert stuck.associate() == 2
        stuck.send(p_data(pdv(1, b"\0\0", command=True, last=False)))
        assert stuck.pdu()[0] == 7


def test_a_peer_that_drips_bytes_is_cut_off(start_receiver: StartReceiver) -> None:
    receiver = start_receiver(limits=Limits(read_seconds=0.2, min_bytes_per_second=10_000))
    with ScriptedPeer(receiver.port) as peer:
        assert peer.associate() == 2
        peer.send(p_data(pdv(1, store_command(CT, "1.2.3"), command=True, last=True)))
        peer.send(struct.pack(">BBLLBB", 4, 0, 60_006, 60_002, 1, 2))
        peer.socket.settimeout(0.02)
        for _ in range(200):
            try:
                peer.send(b"x")
                if peer.socket.recv(1) == b"\x07":
                    break
            except TimeoutError:
                continue
        else:
            pytest.fail("the slow peer was never cut off")
    assert echoes(receiver.port)


@pytest.mark.parametrize(
    "rubbish",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        b"\x01\x00\xff\xff\xff\xff" + bytes(1000),
        b"\x01\x00\x00\x00\x00\x04\x00\x01\x00\x00",
        b"\x04\x00\x00\x00\x00\x06\x00\x00\x00\x02\x01\x03",
        b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00",
        bytes(64),
    ],
)
def test_rubbish_instead_of_an_association_request_is_aborted(start_receiver: StartReceiver, rubbish: bytes) -> None:
    receiver = start_receiver()
    with ScriptedPeer(receiver.port) as peer:
        peer.send(rubbish)
        assert peer.pdu()[0] == 7
        assert peer.pdu()[0] == 0
    assert echoes(receiver.port)


@pytest.mark.parametrize(
    "stream",
    [
        struct.pack(">BBL", 4, 0, 1 << 31),
        struct.pack(">BBLLBB", 4, 0, 6, 1, 1, 3),
        struct.pack(">BBLLBB", 4, 0, 6, 100, 1, 3),
        struct.pack(">BBL", 4, 0, 3) + b"abc",
        p_data(pdv(99, store_command(CT, "1.2"), command=True, last=True)),
        p_data(pdv(1, b"data without command", command=False, last=True)),
        p_data(pdv(1, b"\0\0\0\1\xff\xff\xff\x7f", command=True, last=True)),
        p_data(pdv(1, b"\x10\0\0\1\2\0\0\0ab", command=True, last=True)),
        p_data(pdv(1, b"", command=True, last=True)),
        b"".join(p_data(pdv(1, bytes(8000), command=True, last=False)) for _ in range(10)),
        struct.pack(">BBL", 1, 0, 4) + bytes(4),
        struct.pack(">BBL", 77, 0, 4) + bytes(4),
    ],
)
def test_broken_pdus_are_aborted(start_receiver: StartReceiver, stream: bytes) -> None:
    receiver = start_receiver()
    with ScriptedPeer(receiver.port) as peer:
        assert peer.associate() == 2
        peer.send(stream)
        assert peer.pdu()[0] == 7
    assert echoes(receiver.port)


def test_unknown_commands_are_answered(start_receiver: StartReceiver) -> None:
    with ScriptedPeer(start_receiver().port) as peer:
        assert peer.associate() == 2
        find = store_command(CT, "1.2.3").replace(
            struct.pack("<HHLH", 0, 0x100, 2, 1), struct.pack("<HHLH", 0, 0x100, 2, 0x20)
        )
        peer.send(p_data(pdv(1, find, command=True, last=True)) + p_data(pdv(1, b"abc", command=False, last=True)))
        assert peer.status() == statuses.UNRECOGNIZED_OPERATION
        assert peer.store(ct_slice(1)) == 0


def test_a_full_disk_is_refused_politely_for_each_object(
    store: Store, start_receiver: StartReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = start_receiver()
    with ScriptedPeer(receiver.port) as peer:
        assert peer.associate() == 2
        with monkeypatch.context() as patch:
            patch.setattr(store, "disk_state", lambda: DiskState(DiskLevel.REFUSE, 1, 0.01))
            assert peer.store(ct_slice(1)) == statuses.OUT_OF_RESOURCES
            assert peer.store(ct_slice(2)) == statuses.OUT_OF_RESOURCES
        assert peer.store(ct_slice(1)) == 0


def test_running_out_of_disk_inside_an_object_is_refused_and_the_file_removed(
    store: Store, start_receiver: StartReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = start_receiver()

    def full(descriptor: int, pieces: object) -> int:
        raise OSError(28, "No space left on device")

    with ScriptedPeer(receiver.port) as peer:
        assert peer.associate() == 2
        with monkeypatch.context() as patch:
            patch.setattr(os, "writev", full)
            assert peer.store(ct_slice(1)) == statuses.OUT_OF_RESOURCES
        assert peer.store(ct_slice(2)) == 0
    assert not list(store.staging_folder().glob("*.part"))


def test_a_locked_database_delays_the_index_and_loses_nothing(
    store: Store, start_receiver: StartReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = start_receiver(limits=Limits(max_backlog=3))

    def locked(items: object, **more: bool) -> None:
        raise TimeoutError("database is locked")

    with ScriptedPeer(receiver.port) as peer:
        assert peer.associate() == 2
        with monkeypatch.context() as patch:
            patch.setattr(store, "add_files", locked)
            assert [peer.store(ct_slice(number)) for number in range(5)] == [0, 0, 0, 0xA700, 0xA700]
            assert not receiver.flush(0.2)
            assert len(list(store.staging_folder().glob("*.ready"))) == 3
        assert receiver.flush(10)
        assert peer.store(ct_slice(3)) == 0
    assert receiver.flush()
    assert len(store.instances(study_uid=STUDY)) == 4


def test_stopping_lets_the_object_under_way_finish(store: Store, start_receiver: StartReceiver) -> None:
    import threading

    receiver = start_receiver()
    with ScriptedPeer(receiver.port) as peer, ScriptedPeer(receiver.port) as idle:
        assert idle.associate() == 2
        assert peer.associate() == 2
        body = encoded(ct_slice(1))
        peer.send(p_data(pdv(1, store_command(CT, f"{STUDY}.9.1"), command=True, last=True)))
        peer.send(p_data(pdv(1, body[:200], command=False, last=False)))
        time.sleep(0.1)
        stopper = threading.Thread(target=receiver.stop)
        stopper.start()
        assert idle.pdu()[0] == 7
        peer.send(p_data(pdv(1, body[200:], command=False, last=True)))
        assert peer.status() == 0
        stopper.join(10)
    assert len(store.instances(study_uid=STUDY)) == 1
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", receiver.port), timeout=1)


def _fuzz(port: int, prefix: bytes, rubbish: bytes, *, associated: bool) -> None:
    with ScriptedPeer(port) as peer:
        if associated:
            assert peer.associate() == 2
        try:
            peer.send(prefix + rubbish)
            peer.socket.shutdown(socket.SHUT_WR)
            while peer.pdu()[0]:
                continue
        except OSError:
            return  # the server has hung up on us: that is what it should do


_START = associate_request([(CT, [EXPLICIT])])
_COMMAND = p_data(pdv(1, store_command(CT, "1.2.3"), command=True, last=True))


def _mutated(seed: bytes) -> st.SearchStrategy[bytes]:
    """Valid bytes with some of them changed, cut or doubled."""

    def change(edits: list[tuple[int, int]], cut: int) -> bytes:
        raw = bytearray(seed)
        for position, value in edits:
            raw[position % len(raw)] = value
        return bytes(raw[: cut % (len(raw) + 1)] if cut % 3 == 0 else raw)

    return st.builds(
        change, st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=8), st.integers(0, 9999)
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=_mutated(_START), rest=st.one_of(st.binary(max_size=200), _mutated(_COMMAND)))
def test_mutated_requests_never_stop_the_server(start_receiver: StartReceiver, request: bytes, rest: bytes) -> None:
    receiver = start_receiver()
    _fuzz(receiver.port, request, rest, associated=False)
    _fuzz(receiver.port, rest, request, associated=True)
    assert echoes(receiver.port)
    receiver.stop()


@pytest.mark.slow
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(request=_mutated(_START), rest=st.one_of(st.binary(max_size=2000), _mutated(_COMMAND)))
def test_many_mutated_requests_never_stop_the_server(
    start_receiver: StartReceiver, request: bytes, rest: bytes
) -> None:
    receiver = start_receiver()
    _fuzz(receiver.port, request, rest, associated=False)
    _fuzz(receiver.port, rest, request, associated=True)
    assert echoes(receiver.port)
    receiver.stop()
