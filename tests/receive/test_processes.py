"""Receiver processes: one port for several, an orderly end, and a kill that loses nothing acknowledged."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from coread.receive.errors import BadSettings
from coread.receive.processes import ChildSettings, ReceiverProcess, from_json, to_json
from coread.receive.recovery import recover
from coread.receive.settings import Limits, PeerRule, ReceiveSettings, TlsSettings
from coread.store import Store
from tests.receive.making import STUDY, ct_slice
from tests.receive.scripted import CT, ScriptedPeer, echoes, encoded, p_data, pdv, store_command


def child(store: Store, **settings: object) -> ReceiverProcess:
    return ReceiverProcess(ChildSettings(ReceiveSettings(**{"port": 0, **settings}), store.folder))  # type: ignore[arg-type]


def test_settings_survive_the_way_to_the_child() -> None:
    settings = ReceiveSettings(
        allowed_peers=(PeerRule("A", "10.0.0.0/8", "pacs", 104),),
        tls=TlsSettings(Path("c.pem"), Path("k.pem"), Path("ca.pem")),
        limits=Limits(max_backlog=5),
    )
    given = ChildSettings(settings, Path("/data/store"), "postgresql://x", 0.3, 0.2)
    assert from_json(to_json(given)) == given
    assert from_json(to_json(ChildSettings(ReceiveSettings(), Path("/a")))).receive == ReceiveSettings()


@pytest.mark.parametrize("text", ["", "{}", "[]", json.dumps({"receive": {"allowed_peers": 3}})])
def test_unreadable_settings_end_the_child_with_a_code(text: str) -> None:
    with pytest.raises(BadSettings):
        from_json(text)


def test_a_child_with_wrong_settings_exits_as_misconfigured() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "coread.receive"], input="{}", capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "settings" in done.stderr


def test_a_child_receives_and_ends_in_order(store: Store) -> None:
    process = child(store)
    with ScriptedPeer(process.port) as peer:
        assert peer.associate() == 2
        assert peer.store(ct_slice(1)) == 0
    assert process.stop() == 0
    assert len(store.instances(study_uid=STUDY)) == 1
    assert not list(store.staging_folder().iterdir())


def test_two_processes_share_one_port(store: Store) -> None:
    from coread.receive.server import DicomReceiver

    # A receiver on a free port that allows sharing finds out which port that is.
    with DicomReceiver(ReceiveSettings(port=0, processes=2), store) as first:
        second = child(store, port=first.port, processes=2)
        assert second.port == first.port
        for number in range(12):
            with ScriptedPeer(first.port) as peer:
                assert peer.associate() == 2
                assert peer.store(ct_slice(number)) == 0
        assert echoes(first.port)
        assert second.stop() == 0
    assert len(store.instances(study_uid=STUDY)) == 12


def test_a_killed_receiver_loses_nothing_that_it_acknowledged(store: Store) -> None:
    """kill -9 in the middle of transfers; whatever was answered with success is in the index afterwards."""
    process = child(store)
    acknowledged: list[int] = []

    def sending(first: int) -> None:
        try:
            with ScriptedPeer(process.port) as peer:
                assert peer.associate() == 2
                for number in range(first, first + 5000):
                    if peer.store(ct_slice(number, side=64)) == 0:
                        acknowledged.append(number)
        except (OSError, AssertionError):
            return  # the receiver is gone

    threads = [threading.Thread(target=sending, args=(base,)) for base in (0, 10_000, 20_000)]
    with ScriptedPeer(process.port) as half:
        assert half.associate() == 2
        half.send(p_data(pdv(1, store_command(CT, "1.2.3.4"), command=True, last=True)))
        half.send(p_data(pdv(1, encoded(ct_slice(1))[:200], command=False, last=False)))
        for thread in threads:
            thread.start()
        while len(acknowledged) < 60:
            time.sleep(0.005)
        process.kill()
    for thread in threads:
        thread.join(20)
    with store.__class__.open(store.settings, migrate=False) as later:
        recover(later)
        found = {item.header.instance_number for item in later.instances(study_uid=STUDY)}
        assert set(acknowledged) <= found
        assert not list(later.staging_folder().iterdir())


def broken(items: object, **more: bool) -> None:
    raise OSError("the database is away")


def test_recovery_leaves_the_files_of_a_living_receiver_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from coread.receive.server import DicomReceiver

    with DicomReceiver(ReceiveSettings(port=0), store) as receiver, ScriptedPeer(receiver.port) as peer:
        assert peer.associate() == 2
        with monkeypatch.context() as patch:
            patch.setattr(store, "add_files", broken)
            assert peer.store(ct_slice(1)) == 0
            assert recover(store) == 0
            assert len(list(store.staging_folder().glob("*.ready"))) == 1
        assert receiver.flush(15)
    assert len(store.instances(study_uid=STUDY)) == 1


def test_a_file_that_a_power_cut_shortened_goes_to_quarantine(store: Store) -> None:
    process = child(store)
    pid = process.pid
    with ScriptedPeer(process.port) as peer:
        assert peer.associate() == 2
        assert peer.store(ct_slice(1)) == 0
    process.kill()
    ready = list(store.staging_folder().glob("*.ready"))
    for path in ready:
        path.write_bytes(path.read_bytes()[:-10])
    assert recover(store) == 0
    assert not list(store.staging_folder().glob("*.ready"))
    assert pid


@pytest.mark.slow
def test_memory_stays_flat_while_a_large_study_arrives(store: Store) -> None:
    process = child(store, durable=False)

    def resident() -> int:
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])
        raise AssertionError("no VmRSS")

    sizes = []
    with ScriptedPeer(process.port, seconds=60) as peer:
        assert peer.associate() == 2
        for number in range(5000):
            data = ct_slice(number, side=16 if number % 50 else 256)
            assert peer.store_bytes(store_command(CT, str(data.SOPInstanceUID)), encoded(data)) == 0
            if number % 500 == 499:
                sizes.append(resident())
    assert process.stop() == 0
    assert len(store.instances(study_uid=STUDY)) == 5000
    assert sizes[-1] - sizes[1] < 20_000, f"resident kB grew: {sizes}"
