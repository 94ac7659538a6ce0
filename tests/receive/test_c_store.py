"""C-STORE, C-ECHO and the protocol around them, spoken by a scripted peer."""

import hashlib
import threading
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from coread.domain.study import Received, ReceiveStatus
from coread.receive import statuses
from coread.receive.settings import Limits
from coread.store import Store
from tests.receive.conftest import StartReceiver
from tests.receive.making import STUDY, ct_slice, data_set_bytes
from tests.receive.scripted import (
    CT,
    EXPLICIT,
    IMPLICIT,
    VERIFICATION,
    ScriptedPeer,
    echoes,
    encoded,
    p_data,
    pdv,
    store_command,
)


def test_an_object_is_stored_byte_for_byte_and_indexed(store: Store, start_receiver: StartReceiver) -> None:
    receiver = start_receiver()
    data = ct_slice(1)
    with ScriptedPeer(receiver.port) as peer:
        assert peer.associate() == 2
        assert peer.store(data) == 0
        assert peer.release() == 6
    assert receiver.flush()
    (instance,) = store.instances(study_uid=STUDY)
    path = store.path_of(instance.path)
    assert data_set_bytes(path) == encoded(data)
    assert instance.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert instance.size == path.stat().st_size
    assert instance.origin.peer == "SCRIPTED"
    assert instance.origin.door == "c-store"
    assert dcmread(path).file_meta.TransferSyntaxUID == EXPLICIT
    assert not list(store.staging_folder().iterdir()) or receiver.backlog == 0


def test_echo_is_answered(start_receiver: StartReceiver) -> None:
    assert echoes(start_receiver().port)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 2000), max_size=12), together=st.booleans(), writes=st.integers(1, 700))
def test_fragments_may_be_cut_anywhere(
    store: Store, start_receiver: StartReceiver, cuts: list[int], together: bool, writes: int
) -> None:
    receiver = start_receiver()
    data = ct_slice(abs(hash((tuple(cuts), together, writes))) % 10**9)
    body = encoded(data)
    edges = sorted({0, len(body), *(min(cut, len(body)) for cut in cuts)})
    pieces = [body[a:b] for a, b in pairwise(edges)]
    pieces.insert(len(pieces) // 2, b"")  # a fragment without bytes
    items = [pdv(1, piece, command=False, last=index == len(pieces) - 1) for index, piece in enumerate(pieces)]
    command = pdv(1, store_command(CT, str(data.SOPInstanceUID)), command=True, last=True)
    stream = p_data(command, *items) if together else p_data(command) + b"".join(p_data(item) for item in items)
    with ScriptedPeer(receiver.port) as peer:
        assert peer.associate() == 2
        for start in range(0, len(stream), writes):
            peer.send(stream[start : start + writes])
        assert peer.status() == 0
    receiver.stop()
    (instance,) = store.instances(sop_instance_uids=[str(data.SOPInstanceUID)])
    assert data_set_bytes(store.path_of(instance.path)) == body


def test_a_second_copy_is_counted_and_not_stored(
    store: Store, start_receiver: StartReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipts: list[Received] = []
    add_files = store.add_files

    def recording(items: object, **more: bool) -> list[Received]:
        receipts.extend(done := add_files(items, **more))  # type: ignore[arg-type]
        return done

    monkeypatch.setattr(store, "add_files", recording)
    receiver = start_receiver()
    changed = ct_slice(1)
    changed.PatientName = "Doe^John"
    for calling, data in (("A", ct_slice(1)), ("B", ct_slice(1)), ("C", changed)):
        with ScriptedPeer(receiver.port) as peer:
            assert peer.associate(calling=calling) == 2
            assert peer.store(data) == 0
        assert receiver.flush()
    assert [receipt.status for receipt in receipts] == [
        ReceiveStatus.STORED,
        ReceiveStatus.DUPLICATE,
        ReceiveStatus.CONFLICT,
    ]
    assert len(store.instances(study_uid=STUDY)) == 1


def test_several_contexts_and_unknown_syntaxes_are_taken_as_sent(store: Store, start_receiver: StartReceiver) -> None:
    receiver = start_receiver()
    private_class, private_syntax = "1.3.6.1.4.1.99999.1", "1.3.6.1.4.1.99999.2"
    data = ct_slice(3)
    data.SOPClassUID = private_class
    with ScriptedPeer(receiver.port) as peer:
        assert peer.associate((VERIFICATION, [IMPLICIT]), (CT, [IMPLICIT]), (private_class, [private_syntax])) == 2
        assert peer.echo(1) == 0
        command = store_command(private_class, str(data.SOPInstanceUID))
        peer.send(p_data(pdv(5, command, command=True, last=True), pdv(5, encoded(data), command=False, last=True)))
        assert peer.status() == 0
    assert receiver.flush()
    (instance,) = store.instances(study_uid=STUDY)
    assert instance.header.transfer_syntax_uid == private_syntax
    assert data_set_bytes(store.path_of(instance.path)) == encoded(data)


def test_query_classes_are_not_accepted(start_receiver: StartReceiver) -> None:
    find = "1.2.840.10008.5.1.4.1.2.2.1"
    with ScriptedPeer(start_receiver().port) as peer:
        assert peer.associate((find, [IMPLICIT])) == 2
        command = store_command(find, "1.2.3")
        peer.send(p_data(pdv(1, command, command=True, last=True)))
        assert peer.pdu()[0] == 7


@pytest.mark.parametrize(
    ("attribute", "value", "status"),
    [
        ("StudyInstanceUID", "", 0xC104),
        ("SeriesInstanceUID", None, 0xC104),
        ("StudyInstanceUID", "../../etc/passwd", 0xC105),
        ("SeriesInstanceUID", "1." * 100 + "1", 0xC105),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.4", statuses.DATA_SET_MISMATCH),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_bad_data_sets_are_refused_and_kept_in_quarantine(
    store: Store, start_receiver: StartReceiver, attribute: str, value: str | None, status: int
) -> None:
    receiver = start_receiver()
    data = ct_slice(1)
    if value is None:
        delattr(data, attribute)
    else:
        setattr(data, attribute, value)
    with ScriptedPeer(receiver.port) as peer:
        assert peer.associate() == 2
        peer.send(p_data(pdv(1, store_command(CT, str(data.SOPInstanceUID)), command=True, last=True)))
        peer.send(p_data(pdv(1, encoded(data), command=False, last=True)))
        assert peer.status() == status
        assert peer.store(ct_slice(2)) == 0  # the association goes on
    assert receiver.flush()
    assert len(store.instances(study_uid=STUDY)) == 1
    kept = [path for path in store.folder.rglob("*") if path.is_file() and "quarantine" in str(path)]
    assert len(kept) == 1
    assert kept[0].read_bytes().endswith(encoded(data))


def test_a_truncated_data_set_is_refused(store: Store, start_receiver: StartReceiver) -> None:
    receiver = start_receiver()
    data = ct_slice(1)
    with ScriptedPeer(receiver.port) as peer:
        assert peer.associate() == 2
        peer.send(p_data(pdv(1, store_command(CT, str(data.SOPInstanceUID)), command=True, last=True)))
        peer.send(p_data(pdv(1, encoded(data)[:-100], command=False, last=True)))
        assert peer.status() == 0xC103


def test_an_aborted_association_leaves_the_complete_objects_only(store: Store, start_receiver: StartReceiver) -> None:
    receiver = start_receiver()
    with ScriptedPeer(receiver.port) as peer:
        assert peer.associate() == 2
        assert peer.store(ct_slice(1)) == 0
        peer.send(p_data(pdv(1, store_command(CT, f"{STUDY}.9.2"), command=True, last=True)))
        peer.send(p_data(pdv(1, encoded(ct_slice(2))[:300], command=False, last=False)))
    while receiver.open_associations:
        threading.Event().wait(0.01)
    assert receiver.flush()
    assert [item.header.instance_number for item in store.instances(study_uid=STUDY)] == [1]
    assert not list(store.staging_folder().glob("*.part"))


def test_objects_larger_than_the_limit_are_refused_and_removed(store: Store, start_receiver: StartReceiver) -> None:
    receiver = start_receiver(limits=Limits(max_object_bytes=4096))
    with ScriptedPeer(receiver.port) as peer:
        assert peer.associate() == 2
        assert peer.store(ct_slice(1, side=64)) == 0xC107
        assert peer.store(ct_slice(2)) == 0
    assert not list(store.staging_folder().glob("*.part"))
