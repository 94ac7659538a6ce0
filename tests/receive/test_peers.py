"""Real senders: DCMTK as shipped (Nagle on), dcmsend, pynetdicom; over TLS; every transfer syntax."""

import os
import subprocess
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import AE

from coread.domain.study import Received
from coread.receive.settings import TlsSettings
from coread.receive.tls import write_self_signed
from coread.store import StagedFile, Store
from tests.receive.conftest import StartReceiver
from tests.receive.making import STUDY, ct_slice, data_set_bytes, write_slices
from tests.receive.scripted import CT, ScriptedPeer, encoded, store_command

NeedProgram = Callable[[str], str]
pytestmark = pytest.mark.peer


def run(command: list[str], **environment: str) -> float:
    """Run a program that must succeed; return the seconds it took."""
    started = time.monotonic()
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return time.monotonic() - started


def test_storescu_and_echoscu_are_served(
    store: Store, start_receiver: StartReceiver, tmp_path: Path, need_program: NeedProgram
) -> None:
    receiver = start_receiver()
    write_slices(tmp_path / "ct", 30)
    run([need_program("echoscu"), "127.0.0.1", str(receiver.port)])
    run([need_program("storescu"), "127.0.0.1", str(receiver.port), "+sd", str(tmp_path / "ct")])
    assert receiver.flush()
    stored = store.instances(study_uid=STUDY)
    assert sorted(item.header.instance_number or 0 for item in stored) == list(range(1, 31))
    for item in stored:
        assert data_set_bytes(store.path_of(item.path)) == encoded(ct_slice(item.header.instance_number or 0))


def test_a_sender_with_nagle_is_not_made_to_wait(
    start_receiver: StartReceiver, tmp_path: Path, need_program: NeedProgram
) -> None:
    receiver = start_receiver(durable=False)
    write_slices(tmp_path / "ct", 100, side=256)
    seconds = run([need_program("storescu"), "127.0.0.1", str(receiver.port), "+sd", str(tmp_path / "ct")])
    assert seconds < 3, "with one 40 ms stall per object this takes more than 4 s"


def test_dcmsend_is_served(
    store: Store, start_receiver: StartReceiver, tmp_path: Path, need_program: NeedProgram
) -> None:
    receiver = start_receiver()
    write_slices(tmp_path / "ct", 5)
    run([need_program("dcmsend"), "127.0.0.1", str(receiver.port), "+sd", str(tmp_path / "ct")])
    assert receiver.flush()
    assert len(store.instances(study_uid=STUDY)) == 5


def test_pynetdicom_is_served_with_roles_and_asynchronous_operations(
    store: Store, start_receiver: StartReceiver
) -> None:
    from pynetdicom import build_role
    from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation

    receiver = start_receiver()
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = window.maximum_number_operations_performed = 8
    sender = AE("SENDER")
    sender.add_requested_context(CT)
    sender.add_requested_context("1.2.840.10008.1.1")
    peer = sender.associate("127.0.0.1", receiver.port, ext_neg=[window, build_role(CT, scu_role=True, scp_role=True)])
    assert peer.is_established
    assert peer.send_c_echo().Status == 0
    assert peer.send_c_store(ct_slice(4)).Status == 0
    peer.release()
    assert receiver.flush()
    assert len(store.instances(study_uid=STUDY)) == 1


@pytest.mark.parametrize("client_certificate", [False, True])
def test_dicom_tls_with_and_without_client_certificates(
    store: Store, start_receiver: StartReceiver, tmp_path: Path, need_program: NeedProgram, client_certificate: bool
) -> None:
    certificate, key = write_self_signed(tmp_path / "server")
    own, own_key = write_self_signed(tmp_path / "client", host="client")
    receiver = start_receiver(tls=TlsSettings(certificate, key, own if client_certificate else None))
    write_slices(tmp_path / "ct", 20, side=256)
    where = ["127.0.0.1", str(receiver.port), "+sd", str(tmp_path / "ct"), "+cf", str(certificate)]
    storescu = need_program("storescu")
    if client_certificate:
        anonymous = subprocess.run([storescu, "+tla", *where], capture_output=True, timeout=60, check=False)
        assert anonymous.returncode != 0
        run([storescu, "+tls", str(own_key), str(own), *where])
    else:
        run([storescu, "+tla", *where])
    plain = subprocess.run(
        [need_program("echoscu"), *where[:2], "-to", "5", "-ta", "5"], capture_output=True, timeout=60, check=False
    )
    assert plain.returncode != 0
    assert receiver.flush()
    assert len(store.instances(study_uid=STUDY)) == 20


@pytest.mark.shared
def test_every_transfer_syntax_is_kept_as_it_comes(
    store: Store,
    start_receiver: StartReceiver,
    tmp_path: Path,
    shared_data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    captured: dict[str, bytes] = {}
    add_files = store.add_files

    def capturing(items: Sequence[StagedFile], **more: bool) -> list[Received]:
        captured.update((item.origin.peer, data_set_bytes(item.path)) for item in items)
        return add_files(items, **more)

    monkeypatch.setattr(store, "add_files", capturing)
    receiver = start_receiver()
    with zipfile.ZipFile(shared_data / "dicom" / "dcm_one_ct_16_transfer_syntaxes.zip") as archive:
        archive.extractall(tmp_path)
    sent = {}
    for number, path in enumerate(sorted(path for path in tmp_path.iterdir() if path.is_file())):
        meta = dcmread(path, stop_before_pixels=True).file_meta
        with ScriptedPeer(receiver.port) as peer:
            name, syntax = f"FILE{number}", str(meta.TransferSyntaxUID)
            assert peer.associate((str(meta.MediaStorageSOPClassUID), [syntax]), calling=name) == 2
            sent[name] = data_set_bytes(path)
            command = store_command(str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID))
            assert peer.store_bytes(command, sent[name]) == 0, path.name
        assert receiver.flush()
    assert len(sent) == 19
    assert captured == sent
