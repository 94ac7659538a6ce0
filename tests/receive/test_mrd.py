"""Raw MR data over the streaming protocol, spoken by the official library: kept once, or put aside with a reason."""

import errno
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coread.domain.kspace import RAW_DATA_STORAGE
from coread.imaging.mr.files.opened import open_raw
from coread.receive.errors import BadSettings, ObjectRefused
from coread.receive.mrd_process import MrdChildSettings, from_json
from coread.receive.mrd_server import MrdReceiver
from coread.receive.mrd_settings import MrdSettings
from coread.store import Store
from tests.imaging.mr.made_raw import header, line, noise_like, same

ismrmrd = pytest.importorskip("ismrmrd", reason="the official library is in the extra dev")
SAMPLES = noise_like((2, 20, 32))
Start = Callable[..., MrdReceiver]


@pytest.fixture
def start(store: Store) -> Iterator[Start]:
    with ExitStack() as stack:

        def started(**settings: Any) -> MrdReceiver:
            return stack.enter_context(MrdReceiver(MrdSettings(port=0, durable=False, **settings), store))

        yield started


Connect = Callable[[int], "Peer"]


class Peer:
    """A scanner: the official serializer over a socket."""

    def __init__(self, port: int) -> None:
        from ismrmrd.serialization import ProtocolDeserializer, ProtocolSerializer

        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.stream = self.socket.makefile("rwb")
        self.out = ProtocolSerializer(self.stream)
        self._answers = ProtocolDeserializer(self.stream)

    def begin(self, xml: str = "") -> None:
        from ismrmrd.serialization import ConfigFile

        self.out.serialize(ConfigFile("coread"))
        self.out.serialize(ismrmrd.xsd.CreateFromDocument((xml or header()).encode()))

    def lines(self, count: int = 20) -> None:
        for number in range(count):
            self.out.serialize(acquisition(number))
        self.stream.flush()

    def answers(self) -> list[str]:
        return [str(text) for text in self._answers.deserialize()]

    def close(self) -> None:
        with suppress(OSError):
            self.stream.close()
        self.socket.close()

    def whole(self) -> list[str]:
        self.begin()
        self.lines()
        self.out.close()
        return self.answers()


@pytest.fixture
def connect() -> Iterator[Connect]:
    with ExitStack() as stack:

        def connected(port: int) -> Peer:
            peer = Peer(port)
            stack.callback(peer.close)
            return peer

        yield connected


def acquisition(number: int) -> Any:
    one = ismrmrd.Acquisition.from_array(SAMPLES[:, number].copy())
    for name, value in line(number).items():
        if name.startswith("idx_"):
            setattr(one.idx, name[4:], value)
        elif isinstance(value, tuple):
            getattr(one, name)[:] = value
        else:
            setattr(one, name, value)
    return one


def spools(store: Store) -> list[str]:
    return sorted(path.name for path in (store.folder / "mrd").iterdir() if path.name != "lock")


def quarantined(store: Store) -> list[Path]:
    return sorted((store.folder / "quarantine").rglob("*.bin"))


def refusals(store: Store) -> list[str]:
    return [entry.detail for entry in store.history("") if entry.event == "receive.refused"]


def eventually(true: Callable[[], bool]) -> bool:
    until = time.monotonic() + 10
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    return true()


def test_a_stream_becomes_one_raw_data_object_and_comes_only_once(store: Store, start: Start, connect: Connect) -> None:
    port = start().port
    told = connect(port).whole()
    assert "stored as Raw Data object" in told[0]
    assert "duplicate" in connect(port).whole()[0]
    (kept,) = store.instances(study_uid="1.2.3.4")
    assert kept.header.sop_class_uid == RAW_DATA_STORAGE
    assert (kept.header.patient_id, kept.header.accession_number) == ("P1", "4711")
    assert (kept.origin.door, kept.origin.address) == ("mrd", "127.0.0.1")
    read = open_raw(store.folder / kept.path)
    assert same(read.samples[0, 0, :, 0], SAMPLES)
    assert spools(store) == []
    assert not list(store.staging_folder().iterdir())


def test_what_is_not_samples_is_left_out_and_said(store: Store, start: Start, connect: Connect) -> None:
    peer = connect(start().port)
    peer.begin()
    peer.out.serialize("the scanner says hello")
    wave = ismrmrd.Waveform.from_array(np.arange(12, dtype=np.uint32).reshape(2, 6))
    peer.out.serialize(wave)
    peer.lines(10)
    peer.out.serialize(ismrmrd.Image.from_array(np.ones((4, 4), np.float32)))
    peer.lines(20)
    peer.out.close()
    assert "1 waveforms left out; 1 images left out" in peer.answers()[0]
    assert len(store.instances(study_uid="1.2.3.4")) == 1


def test_a_question_without_data_is_answered_and_leaves_nothing(store: Store, start: Start, connect: Connect) -> None:
    port = start().port
    for begin in (False, True):
        peer = connect(port)
        if begin:
            peer.begin()
        peer.out.close()
        assert peer.answers() == []
    assert spools(store) == []
    assert quarantined(store) == []


def test_a_stream_that_breaks_is_put_aside_with_a_record(store: Store, start: Start, connect: Connect) -> None:
    peer = connect(start().port)
    peer.begin()
    peer.lines(7)
    peer.socket.shutdown(socket.SHUT_RDWR)
    assert eventually(lambda: len(quarantined(store)) == 1)
    assert spools(store) == []
    assert store.instances(study_uid="1.2.3.4") == ()
    assert "7 acquisitions had come" in refusals(store)[0]


def bad_messages() -> dict[str, tuple[bool, bytes, str]]:
    huge = struct.pack("<HI", 5, 1 << 31)
    return {
        "unknown": (True, struct.pack("<H", 777), "message 777"),
        "long text": (True, huge, "bytes"),
        "second header": (True, struct.pack("<HI", 3, 4) + b"<a/>", "second header"),
        "bad header": (False, struct.pack("<HI", 3, 4) + b"<a/>", "Header cannot be read"),
        "no header": (False, struct.pack("<H", 1008) + bytes(340), "before the header"),
        "no coils": (True, struct.pack("<H", 1008) + bytes(340), "0 coils"),
        "image": (True, struct.pack("<H", 1022) + bytes(198 + 8), "image"),
    }


@pytest.mark.parametrize("kind", list(bad_messages()))
def test_a_peer_that_breaks_the_protocol_is_told_why(store: Store, start: Start, connect: Connect, kind: str) -> None:
    began, message, expected = bad_messages()[kind]
    peer = connect(start().port)
    if began:
        peer.begin()
        peer.lines(3)
    peer.stream.write(message)
    peer.stream.flush()
    assert expected in peer.answers()[0]
    assert eventually(lambda: spools(store) == [])
    assert len(quarantined(store)) == int(began)


def test_limits_of_size_time_and_number_are_kept(store: Store, start: Start, connect: Connect) -> None:
    receiver = start(max_stream_bytes=8000, idle_seconds=0.3, max_connections=1)
    peer = connect(receiver.port)
    peer.begin()
    peer.lines()
    assert "more than 8000 bytes" in peer.answers()[0]
    peer.close()
    assert eventually(lambda: receiver.open_connections == 0)
    silent = connect(receiver.port)
    assert eventually(lambda: receiver.open_connections == 1)
    second = connect(receiver.port)
    assert "too many streams" in second.answers()[0]
    assert "nothing came" in silent.answers()[0]
    assert eventually(lambda: receiver.open_connections == 0)
    assert "more than 8000 bytes" in refusals(store)[0]


def test_a_flood_of_connections_starts_no_thread_for_each(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coread.receive.mrd_server._SPARE_THREADS", 0)
    receiver = start(idle_seconds=5.0, max_connections=1)
    first = connect(receiver.port)
    assert eventually(lambda: receiver.open_connections == 1)
    flood = socket.create_connection(("127.0.0.1", receiver.port), timeout=5)
    with flood:
        assert flood.recv(1) == b"", "closed without a word"
    assert receiver.open_connections == 1, "the stream under way goes on"
    first.close()
    assert eventually(lambda: receiver.open_connections == 0)


def test_a_full_disk_is_told_and_leaves_nothing(
    store: Store, start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    from coread.receive.mrd_spool import Spool

    def full(_self: Spool, _view: memoryview) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    port = start().port
    with monkeypatch.context() as patched:
        patched.setattr(Spool, "more", full)
        peer = connect(port)
        peer.begin()
        peer.lines(1)
        assert "No space left" in peer.answers()[0]
    assert eventually(lambda: spools(store) == [])
    assert "No space left" in refusals(store)[0]
    assert "stored" in connect(port).whole()[0]


def test_a_disk_that_fills_while_a_stream_runs_ends_it(
    store: Store, start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    from coread.receive import mrd_stream

    asked: list[int] = []

    def room(stream: mrd_stream.MrdStream) -> None:
        asked.append(len(asked))
        if len(asked) > 1:
            raise ObjectRefused(0xA700, "disk nearly full")

    monkeypatch.setattr(mrd_stream, "_ROOM_EVERY", 4000)
    monkeypatch.setattr(mrd_stream.MrdStream, "_check_room", room)
    peer = connect(start().port)
    peer.begin()
    peer.lines()
    assert "disk nearly full" in peer.answers()[0]
    assert eventually(lambda: spools(store) == [])
    assert quarantined(store) == []
    assert "disk nearly full" in refusals(store)[0]


def left_spool(store: Store, xml: bytes) -> None:
    """Leave a complete stream as a process does that was killed before it could keep it."""
    from coread.domain.study import Origin
    from coread.receive.mrd_spool import Spool, SpoolFolder

    folder = SpoolFolder(store.folder / "mrd")
    spool = Spool(folder, Origin("mrd", "scanner", "10.0.0.7"))
    spool.header(xml)
    raw = acquisition(0).to_bytes()
    spool.acquisition(raw[:340])
    spool.more(memoryview(raw[340:]))
    spool.complete(durable=True)
    folder.close()


def test_a_stream_that_makes_no_file_does_not_keep_the_door_shut(store: Store, start: Start, connect: Connect) -> None:
    left_spool(store, header().encode("utf-16-le"))  # HDF5 takes no text with zeros in it
    port = start().port
    assert spools(store) == []
    assert len(quarantined(store)) == 1
    assert "makes no file" in refusals(store)[0]
    peer = connect(port)
    peer.stream.write(struct.pack("<HI", 3, len(header()) * 2) + header().encode("utf-16-le"))
    peer.stream.flush()
    assert "not UTF-8" in peer.answers()[0]


def test_a_full_disk_while_the_object_is_made_keeps_the_stream(
    store: Store, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    from coread.receive import mrd_intake

    def full(*_: object) -> None:
        raise RuntimeError("Can't decrement id ref count (errno = 28, error message = 'No space left on device')")

    left_spool(store, header().encode())
    with monkeypatch.context() as patched:
        patched.setattr(mrd_intake, "write_stream", full)
        with MrdReceiver(MrdSettings(port=0, durable=False), store):
            assert len(spools(store)) == 1
    start()
    assert spools(store) == []
    assert len(store.instances(study_uid="1.2.3.4")) == 1


def test_a_second_patient_under_one_study_is_told_and_put_aside(store: Store, start: Start, connect: Connect) -> None:
    port = start().port
    assert "stored" in connect(port).whole()[0]
    peer = connect(port)
    peer.begin(header().replace("P1", "P2").replace("Doe^Jane", "Roe^Ann"))
    peer.lines()
    peer.out.close()
    (told,) = peer.answers()
    assert told.startswith("Coread: put aside for people to look at: Study holds images of two patients")
    assert "Roe" not in told
    assert [one.header.patient_id for one in store.instances(study_uid="1.2.3.4")] == ["P1"]
    assert len(list((store.folder / "conflicts").rglob("*.dcm"))) == 1


def test_strangers_are_not_let_in(start: Start, connect: Connect) -> None:
    peer = connect(start(networks=("10.0.0.0/8",)).port)
    with pytest.raises((EOFError, ConnectionError)):
        peer.answers()
    with pytest.raises(BadSettings):
        MrdSettings(networks=("nowhere",))


def test_one_process_at_a_time_receives_into_a_folder(store: Store, start: Start, connect: Connect) -> None:
    start()
    with pytest.raises(BadSettings):
        MrdReceiver(MrdSettings(port=0), store)


def test_a_killed_process_leaves_nothing_half_written(store: Store, start: Start, connect: Connect) -> None:
    settings = MrdChildSettings(MrdSettings(port=0), store.folder)
    assert from_json(settings.to_json()) == settings
    with subprocess.Popen(
        [sys.executable, "-m", "coread.receive.mrd_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(settings.to_json())
        child.stdin.close()
        port = json.loads(child.stdout.readline())["listening"]
        peer = connect(port)
        peer.begin()
        peer.lines(20)
        peer.socket.sendall(struct.pack("<H", 1008) + bytes(100))
        assert eventually(lambda: len(spools(store)) == 1)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    # A second spool was complete when the process died: its peer waits for an answer that will not come.
    (open_spool,) = (store.folder / "mrd").glob("*.open")
    assert start(max_connections=2).open_connections == 0
    assert not open_spool.exists()
    assert len(quarantined(store)) == 1
    assert "before the stream of raw data was complete" in refusals(store)[0]
    assert store.instances(study_uid="1.2.3.4") == ()


def test_a_stream_that_was_complete_is_kept_at_the_next_start(store: Store, start: Start, connect: Connect) -> None:
    from coread.domain.study import Origin
    from coread.receive.mrd_spool import Spool, SpoolFolder

    folder = SpoolFolder(store.folder / "mrd")
    spool = Spool(folder, Origin("mrd", "scanner", "10.0.0.7"))
    spool.header(header().encode())
    for number in range(20):
        raw = acquisition(number).to_bytes()
        spool.acquisition(raw[:340])
        spool.more(memoryview(raw[340:]))
    spool.complete(durable=True)
    (folder.folder / "left.work.h5").write_text("half")
    folder.close()
    start()
    (kept,) = store.instances(study_uid="1.2.3.4")
    assert kept.origin.address == "10.0.0.7"
    assert spools(store) == []
