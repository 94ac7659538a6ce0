"""STOW-RS intake: bodies cut anywhere, limits, receipts, nothing held in memory."""

import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coread.domain.study import Origin, ReceiveStatus
from coread.receive.errors import MultipartBroken
from coread.receive.multipart import MultipartReader
from coread.receive.stow import StowIntake, StowLimits
from coread.store import DiskLevel, DiskState, Store
from tests.receive.making import STUDY, ct_slice, data_set_bytes, part10
from tests.receive.scripted import encoded

ORIGIN = Origin("stow-rs", peer="alice", address="127.0.0.1")


def body(*parts: bytes, boundary: str = "xyz", kind: str = "application/dicom") -> bytes:
    pieces = [f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n".encode() + part + b"\r\n" for part in parts]
    return b"".join(pieces) + f"--{boundary}--\r\n".encode()


class Collected:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.complete = 0

    def part_begins(self, headers: dict[str, str]) -> None:
        self.headers.append(headers)
        self.parts.append(b"")

    def part_data(self, data: memoryview) -> None:
        self.parts[-1] += bytes(data)

    def part_ends(self) -> None:
        self.complete += 1


@settings(max_examples=150, deadline=None)
@given(
    parts=st.lists(
        st.one_of(st.binary(max_size=300), st.sampled_from([b"\r\n--xy", b"\r\n--xyz"[:-1], b"--xyz", b"\r\n"]))
    ),
    cuts=st.lists(st.integers(1, 40), min_size=1),
    preamble=st.sampled_from([b"", b"ignored text\r\n"]),
)
def test_a_body_means_the_same_however_it_is_cut(parts: list[bytes], cuts: list[int], preamble: bytes) -> None:
    parts = [part for part in parts if b"\r\n--xyz" not in b"\r\n" + part]
    raw = preamble + body(*parts)
    sink = Collected()
    reader = MultipartReader("xyz", sink)
    position = 0
    while position < len(raw):
        size = cuts[position % len(cuts)]
        reader.feed(raw[position : position + size])
        position += size
    if parts:
        assert reader.complete
    assert sink.parts == parts
    assert sink.complete == len(parts)
    assert all(headers == {"content-type": "application/dicom"} for headers in sink.headers)


@settings(max_examples=150, deadline=None)
@given(raw=st.binary(max_size=400), cut=st.integers(1, 50))
def test_rubbish_is_refused_or_ignored_and_nothing_else(raw: bytes, cut: int) -> None:
    reader = MultipartReader("x", Collected())
    try:
        for start in range(0, len(raw), cut):
            reader.feed(raw[start : start + cut])
    except MultipartBroken:
        return


def test_parts_are_stored_judged_and_reported(store: Store) -> None:
    first, second = ct_slice(1), ct_slice(2)
    changed = ct_slice(1)
    changed.PatientName = "Doe^John"
    nameless = ct_slice(4)
    nameless.StudyInstanceUID = ""
    intake = StowIntake(store, ORIGIN, "xyz", durable=False)
    raw = body(*(part10(data) for data in (first, second, first, changed, nameless)), b"no DICOM at all" * 9)
    for start in range(0, len(raw), 777):
        intake.feed(raw[start : start + 777])
    outcome = intake.finish()
    assert sorted(part.failure for part in outcome.parts) == [0, 0, 0, 0x0111, 0xC101, 0xC104]
    statuses = [part.received.status for part in outcome.parts if part.received]
    assert statuses == [ReceiveStatus.STORED, ReceiveStatus.STORED, ReceiveStatus.DUPLICATE, ReceiveStatus.CONFLICT]
    assert outcome.http_status == 202
    answer: dict[str, Any] = outcome.response(lambda part: f"/studies/{part.study_instance_uid}")
    assert len(answer["00081199"]["Value"]) == 3
    assert answer["00081199"]["Value"][0]["00081190"]["Value"] == [f"/studies/{STUDY}"]
    failed = {item["00081197"]["Value"][0]: item for item in answer["00081198"]["Value"]}
    assert failed[0xC104]["00081155"]["Value"] == [nameless.SOPInstanceUID]
    instance = store.instances([str(second.SOPInstanceUID)])[0]
    assert data_set_bytes(store.path_of(instance.path)) == encoded(second)
    assert not list(store.staging_folder().iterdir())


def test_the_same_object_over_another_door_is_a_duplicate(store: Store) -> None:
    other_writer = ct_slice(1)
    other_writer.file_meta.SourceApplicationEntityTitle = "ELSEWHERE"
    other_writer.file_meta.ImplementationVersionName = "OTHER"
    for data, status in ((ct_slice(1), ReceiveStatus.STORED), (other_writer, ReceiveStatus.DUPLICATE)):
        intake = StowIntake(store, ORIGIN, "xyz", durable=False)
        intake.feed(body(part10(data)))
        (part,) = intake.finish().parts
        assert part.received is not None
        assert part.received.status is status


def test_a_request_for_one_study_takes_no_other(store: Store) -> None:
    intake = StowIntake(store, ORIGIN, "xyz", study_instance_uid="1.2.3", durable=False)
    intake.feed(body(part10(ct_slice(1))))
    outcome = intake.finish()
    assert [part.failure for part in outcome.parts] == [0xA900]
    assert outcome.http_status == 409


def test_broken_and_oversized_bodies_are_refused(store: Store) -> None:
    whole = body(part10(ct_slice(1)), part10(ct_slice(2)))
    intake = StowIntake(store, ORIGIN, "xyz", durable=False)
    intake.feed(whole[:-300])
    with pytest.raises(MultipartBroken):
        intake.finish()
    for limits in (StowLimits(max_parts=1), StowLimits(max_body_bytes=1000)):
        intake = StowIntake(store, ORIGIN, "xyz", limits=limits, durable=False)
        with pytest.raises(MultipartBroken):
            intake.feed(whole)
        intake.abandon()
    intake = StowIntake(store, ORIGIN, "xyz", limits=StowLimits(max_part_bytes=500), durable=False)
    intake.feed(whole)
    assert [part.failure for part in intake.finish().parts] == [0xC107, 0xC107]
    with pytest.raises(MultipartBroken):
        StowIntake(store, ORIGIN, "y" * 5000)
    assert not list(store.staging_folder().iterdir())


def test_other_media_types_are_refused_by_part(store: Store) -> None:
    intake = StowIntake(store, ORIGIN, "xyz", durable=False)
    intake.feed(body(b"<xml/>", kind="application/dicom+xml"))
    assert [part.failure for part in intake.finish().parts] == [0xC000]


def test_a_full_disk_answers_503(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "disk_state", lambda: DiskState(DiskLevel.REFUSE, 1, 0.0))
    intake = StowIntake(store, ORIGIN, "xyz", durable=False)
    intake.feed(body(part10(ct_slice(1))))
    assert intake.finish().http_status == 503


def test_a_large_part_is_not_held_in_memory(store: Store) -> None:
    head, _, _ = body(part10(ct_slice(1, side=16))).partition(b"\r\n--xyz--")
    data = ct_slice(1, side=2048)
    raw = part10(data)
    intake = StowIntake(store, ORIGIN, "xyz", durable=False)
    whole = memoryview(body(raw))
    del raw, head
    tracemalloc.start()
    try:
        for start in range(0, len(whole), 65536):
            intake.feed(bytes(whole[start : start + 65536]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert intake.finish().http_status == 200
    assert peak < 4 << 20, f"8 MiB came in and {peak} bytes were held at once"
