"""Independent clients of the DICOMweb server over real sockets: Orthanc's plug-in, and our own delivery."""

import json
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from pydicom import dcmread

from coread.app.web.dicomweb import dicomweb_router
from coread.deliver.peer import Peer
from coread.deliver.query import expected_instances
from coread.deliver.send import send_objects
from coread.deliver.stow import stow_objects
from coread.deliver.web import WebService, probe
from coread.store import InstanceQuery, Store, StoreSettings
from tests.deliver.objects import STUDY, secondary_capture
from tests.dicomweb.archive import add, allow_everybody
from tests.peers.orthanc import OrthancPeer, ProgramMissing, running_orthanc


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Store, str]]:
    """A store and the address of its DICOMweb server under uvicorn."""
    settings = StoreSettings(tmp_path / "store", durable=False, warn_free_fraction=0.0, refuse_free_fraction=0.0)
    with Store.open(settings, migrate=True) as store, socket.create_server(("127.0.0.1", 0)) as listener:
        app = FastAPI()
        app.include_router(dicomweb_router(store, allow_everybody), prefix="/dicomweb")
        running = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not running.started:
            time.sleep(0.02)
        yield store, f"http://127.0.0.1:{listener.getsockname()[1]}/dicomweb"
        running.should_exit = True
        thread.join(10)


@pytest.fixture
def orthanc(server: tuple[Store, str]) -> Iterator[OrthancPeer]:
    """An Orthanc that knows our server as ``coread``."""
    servers = {"coread": {"Url": server[1] + "/", "HasDelete": False, "ChunkedTransfers": True}}
    overrides = {"DicomWeb": {"Enable": True, "Root": "/dicom-web/", "Servers": servers}}
    try:
        with running_orthanc(overrides=overrides) as peer:
            yield peer
    except ProgramMissing as missing:
        pytest.skip(str(missing))


def _post(peer: OrthancPeer, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(peer.http_url + path, json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"null")


def test_our_own_delivery_stores_and_counts(server: tuple[Store, str], tmp_path: Path) -> None:
    store, url = server
    paths = [secondary_capture(tmp_path / f"{n}.dcm", number=n) for n in range(5)]
    service = WebService(url, timeout_seconds=20.0)
    probe(service)
    assert expected_instances(service, STUDY) is None
    assert all(result.stored for result in stow_objects(service, paths, per_request=2))
    assert expected_instances(service, STUDY) == 5
    assert len(store.find_instances(InstanceQuery()).items) == 5


@pytest.mark.peer
def test_orthanc_stores_into_our_server(server: tuple[Store, str], orthanc: OrthancPeer, tmp_path: Path) -> None:
    store, _ = server
    paths = [secondary_capture(tmp_path / f"{n}.dcm", number=n) for n in range(3)]
    peer = Peer("127.0.0.1", orthanc.dicom_port, "ORTHANC", timeout_seconds=20.0)
    assert all(result.stored for result in send_objects(peer, paths))
    [study] = orthanc.get("/studies")
    _post(orthanc, "/dicom-web/servers/coread/stow", {"Resources": [study], "Synchronous": True})
    stored = {item.header.sop_instance_uid: item for item in store.find_instances(InstanceQuery()).items}
    for path in paths:
        dataset = dcmread(path)
        assert dcmread(store.path_of(stored[dataset.SOPInstanceUID].path)).PixelData == dataset.PixelData


@pytest.mark.peer
def test_orthanc_searches_and_retrieves_from_our_server(
    server: tuple[Store, str], orthanc: OrthancPeer, tmp_path: Path
) -> None:
    store, _ = server
    paths = [secondary_capture(tmp_path / f"{n}.dcm", number=n) for n in range(3)]
    add(store, paths)
    found = _post(orthanc, "/dicom-web/servers/coread/qido", {"Uri": "/studies", "Arguments": {"00100020": "SYN-*"}})
    assert STUDY in json.dumps(found)
    _post(orthanc, "/dicom-web/servers/coread/retrieve", {"Resources": [{"Study": STUDY}], "Synchronous": True})
    assert orthanc.sop_instance_uids() == {str(dcmread(path).SOPInstanceUID) for path in paths}
    for path in paths:
        (tmp_path / "back.dcm").write_bytes(orthanc.file_of(str(dcmread(path).SOPInstanceUID)))
        assert dcmread(tmp_path / "back.dcm").PixelData == dcmread(path).PixelData
