"""STOW-RS, counts from a PACS and storage commitment, against a real Orthanc and scripted HTTP answers."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydicom import dcmread

from coread.deliver.commitment import CommitmentBook, commitment_listener, request_commitment
from coread.deliver.errors import (
    BadDestination,
    ObjectRefused,
    PeerAborted,
    PeerFailed,
    PeerRefused,
    PeerTimedOut,
    PeerUnreachable,
)
from coread.deliver.peer import Peer
from coread.deliver.query import expected_instances
from coread.deliver.send import send_objects
from coread.deliver.stow import stow_objects
from coread.deliver.web import WebService, probe
from tests.deliver.objects import secondary_capture
from tests.peers.orthanc import OrthancPeer, running_orthanc
from tests.peers.ports import free_port
from tests.peers.scripted import scripted_scp, silent_server


@contextmanager
def _http(status: int, body: bytes = b"") -> Iterator[WebService]:
    class Answer(BaseHTTPRequestHandler):
        def _say(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET = _say  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield WebService(f"http://127.0.0.1:{server.server_port}/dicom-web", timeout_seconds=3.0)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.peer
def test_stow_stores_in_a_real_pacs_and_both_queries_count_it(orthanc: OrthancPeer, tmp_path: Path) -> None:
    study = "1.2.826.0.1.3680043.8.498.77"
    paths = [
        secondary_capture(tmp_path / f"{n}.dcm", number=n, study=study, series=f"{study}.{n % 2}") for n in range(5)
    ]
    results = stow_objects(WebService(orthanc.dicomweb_url), paths, per_request=2)
    assert all(result.stored for result in results), [result.message for result in results]
    assert orthanc.file_of(results[0].sop_instance_uid)
    peer = Peer("127.0.0.1", orthanc.dicom_port, "ORTHANC", timeout_seconds=5.0)
    assert expected_instances(peer, study) == 5
    assert expected_instances(WebService(orthanc.dicomweb_url), study) == 5
    assert expected_instances(peer, "1.2.3.4.5") is None
    assert expected_instances(WebService(orthanc.dicomweb_url), "1.2.3.4.5") is None
    probe(WebService(orthanc.dicomweb_url))


def test_each_object_of_a_mixed_answer_gets_its_own_result(objects: list[Path]) -> None:
    uids = [str(dcmread(path).SOPInstanceUID) for path in objects]
    body = {
        "00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": [uids[0]]}}]},
        "00081198": {
            "vr": "SQ",
            "Value": [
                {"00081155": {"vr": "UI", "Value": [uids[1]]}, "00081197": {"vr": "US", "Value": [0xA700]}},
                {"00081155": {"vr": "UI", "Value": [uids[2]]}, "00081197": {"vr": "US", "Value": [0xC000]}},
            ],
        },
    }
    for status in (202, 409):
        with _http(status, json.dumps(body).encode()) as service:
            results = stow_objects(service, objects)
        assert [result.stored for result in results] == [True, False, False]
        errors = [result.error for result in results[1:]]
        assert [isinstance(error, ObjectRefused) and error.permanent for error in errors] == [False, True]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, ObjectRefused), (415, ObjectRefused), (401, PeerRefused), (404, PeerRefused), (503, PeerAborted)],
)
def test_each_http_status_has_its_own_meaning(objects: list[Path], status: int, kind: type[Exception]) -> None:
    with _http(status) as service:
        results = stow_objects(service, objects)
    assert all(isinstance(result.error, kind) for result in results)


def test_a_dead_and_a_silent_web_service_are_told_apart(objects: list[Path]) -> None:
    [dead] = stow_objects(WebService(f"http://127.0.0.1:{free_port()}/x"), objects[:1])
    assert isinstance(dead.error, PeerUnreachable)
    with silent_server() as port:
        [silent] = stow_objects(WebService(f"http://127.0.0.1:{port}/x", timeout_seconds=0.5), objects[:1])
    assert isinstance(silent.error, PeerTimedOut)


def test_an_answer_that_names_nothing_as_stored_is_not_success(objects: list[Path]) -> None:
    with _http(202, b"[]") as service:
        [result] = stow_objects(service, objects[:1])
    assert isinstance(result.error, ObjectRefused)


def test_an_address_without_scheme_is_misconfigured() -> None:
    with pytest.raises(BadDestination):
        WebService("pacs/dicom-web")


def test_a_pacs_that_cannot_be_asked_is_an_error_and_never_a_number() -> None:
    with pytest.raises(PeerUnreachable):
        expected_instances(Peer("127.0.0.1", free_port(), "PACS", timeout_seconds=1.0), "1.2.3")
    with scripted_scp() as scp, pytest.raises(PeerFailed):
        expected_instances(Peer("127.0.0.1", scp.port, "PACS", timeout_seconds=1.0), "1.2.3")
    with _http(200, b"not json") as service, pytest.raises(PeerFailed):
        expected_instances(service, "1.2.3")


@pytest.mark.peer
def test_orthanc_commits_to_what_it_has_and_not_to_what_it_never_saw(orthanc: OrthancPeer, objects: list[Path]) -> None:
    book = CommitmentBook()
    with commitment_listener(book, host="127.0.0.1", port=0) as port:
        modalities = {"coread": ("COREAD", "127.0.0.1", port)}
        with running_orthanc(modalities=modalities) as pacs:
            peer = Peer("127.0.0.1", pacs.dicom_port, "ORTHANC", timeout_seconds=5.0)
            sent = send_objects(peer, objects)
            pairs = [(result.sop_class_uid, result.sop_instance_uid) for result in sent]
            unknown = (pairs[0][0], "1.2.3.4.5.6")
            answer = request_commitment(peer, [*pairs, unknown], book=book, wait_seconds=15.0)
    assert answer.committed == {uid for _, uid in pairs}
    assert set(answer.failed) == {"1.2.3.4.5.6"}


def test_a_peer_without_storage_commitment_says_so() -> None:
    with scripted_scp() as scp:
        peer = Peer("127.0.0.1", scp.port, "PACS", timeout_seconds=1.0)
        with pytest.raises(PeerRefused, match="storage commitment"):
            request_commitment(peer, [("1.2", "1.2.3")], book=CommitmentBook(), wait_seconds=0.2)
