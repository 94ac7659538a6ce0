"""A real Orthanc as the hospital PACS, in a temporary folder, on 127.0.0.1 with free ports.

Usable from scripts too: ``with running_orthanc() as pacs: ...``. Raises ProgramMissing where Orthanc is absent.
"""

import json
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.peers.ports import free_port, wait_for_port

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


class ProgramMissing(RuntimeError):
    """A peer program is not installed on this machine."""


@dataclass(frozen=True, slots=True)
class OrthancPeer:
    """Where a running Orthanc can be reached."""

    http_port: int
    dicom_port: int
    folder: Path
    process: "subprocess.Popen[bytes]" = field(repr=False)
    ae_title: str = "ORTHANC"
    host: str = "127.0.0.1"

    @property
    def http_url(self) -> str:
        """The REST address."""
        return f"http://{self.host}:{self.http_port}"

    @property
    def dicomweb_url(self) -> str:
        """The DICOMweb base address."""
        return f"{self.http_url}/dicom-web"

    def get(self, path: str) -> Any:
        """Return the JSON that the REST interface answers for a path such as ``/instances``."""
        with urllib.request.urlopen(self.http_url + path, timeout=30) as answer:
            return json.loads(answer.read())

    def instance_count(self) -> int:
        """Return how many instances Orthanc holds."""
        return int(self.get("/statistics")["CountInstances"])

    def sop_instance_uids(self) -> set[str]:
        """Return the SOP Instance UIDs that Orthanc holds."""
        return {entry["MainDicomTags"]["SOPInstanceUID"] for entry in self.get("/instances?expand")}

    def file_of(self, sop_instance_uid: str) -> bytes:
        """Return the Part 10 bytes of one instance as Orthanc stored them."""
        for entry in self.get("/instances?expand"):
            if entry["MainDicomTags"]["SOPInstanceUID"] == sop_instance_uid:
                with urllib.request.urlopen(f"{self.http_url}/instances/{entry['ID']}/file", timeout=30) as answer:
                    return bytes(answer.read())
        raise KeyError(sop_instance_uid)


def orthanc_program() -> str:
    """Return the path of the Orthanc binary; raises ProgramMissing when it or its DICOMweb plugin is absent."""
    found = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if found is None or not PLUGIN.exists():
        raise ProgramMissing("Orthanc with the DICOMweb plugin is not installed (Debian: orthanc, orthanc-dicomweb)")
    return found


def _configuration(
    folder: Path, ports: tuple[int, int], modalities: Mapping[str, tuple[str, str, int]]
) -> dict[str, Any]:
    http_port, dicom_port = ports
    return {
        "Name": "Hospital PACS (test)",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(PLUGIN)],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "SslEnabled": False,
        "HttpServerEnabled": True,
        "HttpPort": http_port,
        "HttpBindAddresses": ["127.0.0.1"],
        "DicomServerEnabled": True,
        "DicomAet": "ORTHANC",
        "DicomPort": dicom_port,
        "DicomCheckCalledAet": False,
        "DicomCheckModalityHost": False,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomModalities": {name: list(peer) for name, peer in modalities.items()},
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": True},
        "UnknownSopClassAccepted": True,
        "StableAge": 60,
    }


@contextmanager
def running_orthanc(
    *,
    modalities: Mapping[str, tuple[str, str, int]] | None = None,
    overrides: Mapping[str, Any] | None = None,
    ports: tuple[int, int] | None = None,
    folder: Path | None = None,
) -> Iterator[OrthancPeer]:
    """Run Orthanc until the block ends. ``modalities``: name -> (AE title, host, port) of peers it may call back.

    ``ports`` (HTTP, DICOM) and ``folder`` let a caller start it again with the same memory.
    """
    program = orthanc_program()
    with tempfile.TemporaryDirectory(prefix="orthanc-") as temporary:
        home = folder or Path(temporary)
        chosen = ports or (free_port(), free_port())
        configuration = _configuration(home, chosen, modalities or {}) | dict(overrides or {})
        path = home / "orthanc.json"
        path.write_text(json.dumps(configuration))
        with (home / "orthanc.log").open("ab") as log:
            process = subprocess.Popen([program, str(path)], stdout=log, stderr=log)
        try:
            wait_for_port(chosen[0])
            wait_for_port(chosen[1])
            yield OrthancPeer(chosen[0], chosen[1], home, process)
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=5)
