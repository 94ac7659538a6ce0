"""C-STORE to real and scripted peers."""

import zipfile
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from coread.deliver.association import echo
from coread.deliver.contexts import Outgoing, batches, proposed_contexts
from coread.deliver.errors import ObjectRefused, PeerAborted, PeerRefused, PeerTimedOut, PeerUnreachable
from coread.deliver.outcome import SendResult
from coread.deliver.peer import Peer
from coread.deliver.send import send_objects
from tests.deliver.objects import secondary_capture
from tests.peers.orthanc import OrthancPeer, ProgramMissing
from tests.peers.ports import free_port
from tests.peers.scripted import scripted_scp, silent_server
from tests.peers.storescp import running_storescp


def _peer(port: int, *, timeout_seconds: float = 5.0, ae_title: str = "PEER") -> Peer:
    return Peer("127.0.0.1", port, ae_title, timeout_seconds=timeout_seconds)


@pytest.mark.peer
def test_objects_arrive_in_a_real_pacs_with_equal_content(orthanc: OrthancPeer, objects: list[Path]) -> None:
    seen: list[SendResult] = []
    results = send_objects(_peer(orthanc.dicom_port), objects, progress=seen.append)
    assert [result.path for result in results] == objects
    assert all(result.stored and result.status == 0 for result in results)
    assert len(seen) == 3
    for path, result in zip(objects, results, strict=True):
        (path.parent / "back.dcm").write_bytes(orthanc.file_of(result.sop_instance_uid))
        assert dcmread(path.parent / "back.dcm") == dcmread(path)


@pytest.mark.peer
def test_several_associations_share_the_files(objects: list[Path]) -> None:
    with scripted_scp() as scp:
        results = send_objects(_peer(scp.port), objects, associations=3)
        assert all(result.stored for result in results)
        assert scp.associations == 3
        assert sorted(scp.received) == sorted(result.sop_instance_uid for result in results)


@pytest.mark.peer
@pytest.mark.shared
def test_every_real_transfer_syntax_arrives_byte_for_byte(shared_data: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(shared_data / "dicom" / "dcm_one_ct_16_transfer_syntaxes.zip") as archive:
        archive.extractall(tmp_path)
    try:
        with running_storescp() as scp:
            for path in sorted(item for item in tmp_path.rglob("*") if item.is_file()):
                [result] = send_objects(_peer(scp.port), [path])
                if not result.stored:
                    assert isinstance(result.error, ObjectRefused), result.message
                    continue
                [arrived] = scp.files()
                assert _after_meta(arrived).rstrip(b"\0") == _after_meta(path).rstrip(b"\0"), path.name
                arrived.unlink()
    except ProgramMissing as missing:
        pytest.skip(str(missing))


def _after_meta(path: Path) -> bytes:
    data = path.read_bytes()
    length = int.from_bytes(data[140:144], "little")
    return data[144 + length :]


@pytest.mark.peer
@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, "1.2.840.10008.1.2.1"])
def test_a_peer_that_takes_only_implicit_gets_equal_content(tmp_path: Path, syntax: str) -> None:
    path = secondary_capture(tmp_path / "a.dcm", syntax=syntax)
    try:
        with running_storescp(("+xi", "+B")) as scp:
            [result] = send_objects(_peer(scp.port), [path])
            assert result.stored, result.message
            arrived = dcmread(scp.files()[0])
    except ProgramMissing as missing:
        pytest.skip(str(missing))
    assert arrived.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert arrived.PixelData == dcmread(path).PixelData
    assert arrived.PatientName == dcmread(path).PatientName


@pytest.mark.peer
@pytest.mark.shared
def test_a_big_endian_object_keeps_its_pixels_when_recoded(shared_data: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(shared_data / "dicom" / "dcm_one_ct_16_transfer_syntaxes.zip") as archive:
        name = next(name for name in archive.namelist() if "BigEndian" in name)
        path = Path(archive.extract(name, tmp_path))
    try:
        with running_storescp(("+xi", "+B")) as scp:
            [result] = send_objects(_peer(scp.port), [path])
            assert result.stored, result.message
            arrived = dcmread(scp.files()[0])
            assert (arrived.pixel_array == dcmread(path).pixel_array).all()
    except ProgramMissing as missing:
        pytest.skip(str(missing))


@pytest.mark.peer
@pytest.mark.shared
def test_a_compressed_object_is_never_recoded_but_reported(shared_data: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(shared_data / "dicom" / "dcm_one_ct_16_transfer_syntaxes.zip") as archive:
        name = next(name for name in archive.namelist() if "JPEGLSLossless" in name)
        path = Path(archive.extract(name, tmp_path))
    with scripted_scp(sop_classes=["1.2.840.10008.5.1.4.1.1.2"]) as scp:
        [result] = send_objects(_peer(scp.port), [path])
    assert isinstance(result.error, ObjectRefused)
    assert result.error.permanent
    assert result.status == 0x0122


def test_a_dead_peer_is_unreachable(objects: list[Path]) -> None:
    results = send_objects(_peer(free_port()), objects)
    assert all(isinstance(result.error, PeerUnreachable) for result in results)
    assert all(result.status is None for result in results)


def test_a_peer_that_never_answers_times_out(objects: list[Path]) -> None:
    with silent_server() as port:
        [result] = send_objects(_peer(port, timeout_seconds=0.6), objects[:1])
    assert isinstance(result.error, PeerTimedOut)


def test_a_peer_that_says_half_an_answer_times_out(objects: list[Path]) -> None:
    with silent_server(answer=b"\x02\x00\x00\x00\x00\xb8\x00\x01") as port:
        [result] = send_objects(_peer(port, timeout_seconds=0.6), objects[:1])
    assert isinstance(result.error, PeerTimedOut | PeerAborted)


def test_a_peer_that_rejects_our_title_says_so(objects: list[Path]) -> None:
    with scripted_scp(calling_titles=["SOMEONE"]) as scp:
        [result] = send_objects(_peer(scp.port), objects[:1])
    assert isinstance(result.error, PeerRefused)
    assert "COREAD" in result.message


def test_a_peer_that_does_not_know_the_sop_class_refuses_the_object(objects: list[Path]) -> None:
    with scripted_scp(sop_classes=["1.2.840.10008.5.1.4.1.1.2"]) as scp:
        [result] = send_objects(_peer(scp.port), objects[:1])
    assert isinstance(result.error, ObjectRefused)
    assert result.status is None or result.status == 0x0122


def test_a_peer_that_aborts_in_the_middle_fails_the_rest(objects: list[Path]) -> None:
    def abort_second(event: Any) -> None:
        if len(scp.received) == 1:
            event.assoc.abort(block=False)

    with scripted_scp(on_store=abort_second) as scp:
        results = send_objects(_peer(scp.port, timeout_seconds=2.0), objects)
    assert results[0].stored
    assert all(isinstance(result.error, PeerAborted | PeerTimedOut) for result in results[1:])


@pytest.mark.parametrize(
    ("status", "stored", "permanent"),
    [
        (0xB000, True, None),
        (0xA700, False, False),
        (0x0110, False, False),
        (0xC000, False, True),
        (0xA900, False, True),
    ],
)
def test_each_status_is_judged_as_the_standard_says(
    objects: list[Path], status: int, stored: bool, permanent: bool | None
) -> None:
    with scripted_scp(statuses=[status]) as scp:
        [result] = send_objects(_peer(scp.port), objects[:1])
    assert result.stored is stored
    assert result.status == status
    if not stored:
        assert isinstance(result.error, ObjectRefused)
        assert result.error.permanent is permanent


def test_a_file_that_is_not_dicom_does_not_stop_the_others(tmp_path: Path, objects: list[Path]) -> None:
    junk = tmp_path / "junk.txt"
    junk.write_text("hello")
    with scripted_scp() as scp:
        results = send_objects(_peer(scp.port), [junk, *objects])
    assert [result.stored for result in results] == [False, True, True, True]


def test_echo_says_whether_the_peer_lives() -> None:
    with scripted_scp() as scp:
        echo(_peer(scp.port))
    with pytest.raises(PeerUnreachable):
        echo(_peer(free_port()))


def test_more_kinds_than_one_association_can_name_are_split() -> None:
    files = [
        Outgoing(Path(f"{number}"), f"1.2.3.{number}", f"9.{number}", "1.2.840.10008.1.2.1") for number in range(300)
    ]
    split = batches(files)
    assert sorted(file.path for batch in split for file in batch) == sorted(file.path for file in files)
    assert all(len(proposed_contexts(batch)) <= 128 for batch in split)
    assert len(split) > 1


def test_a_syntax_is_offered_as_stored_first() -> None:
    files = [Outgoing(Path("a"), SecondaryCaptureImageStorage, "1", "1.2.840.10008.1.2.4.80")]
    assert [context.transfer_syntaxes for context in proposed_contexts(files)] == [("1.2.840.10008.1.2.4.80",)]
