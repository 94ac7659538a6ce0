"""The processes of the demo: Orthanc as the hospital's PACS, and the Coread server."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from coread.app.errors import AppError

STATE_FILE = "demo.json"
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
START_SECONDS = 60.0


class DemoFailed(AppError):
    """A part of the demo did not start or did not do what it should."""


@dataclass(frozen=True, slots=True)
class Hospital:
    """Where everything runs."""

    folder: str
    server_pid: int
    http_port: int
    dicom_port: int
    pacs_pid: int = 0
    pacs_http_port: int = 0
    pacs_dicom_port: int = 0

    @property
    def url(self) -> str:
        """The web address."""
        return f"http://127.0.0.1:{self.http_port}/"

    def pacs_get(self, path: str) -> Any:
        """Ask the PACS's REST interface."""
        return httpx.get(f"http://127.0.0.1:{self.pacs_http_port}{path}", timeout=30).json()


def orthanc_program() -> str | None:
    """Return the Orthanc binary where it and its DICOMweb plugin are installed."""
    found = shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return found if PLUGIN.exists() else None


def port_near(preferred: int) -> int:
    """Return the preferred port if it is free, else any free one."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoFailed("no free port on this machine")


def start_pacs(folder: Path) -> tuple[int, int, int]:
    """Start Orthanc; returns (process id, HTTP port, DICOM port), zeros where it is not installed."""
    program = orthanc_program()
    if program is None:
        return 0, 0, 0
    home = folder / "pacs"
    home.mkdir(parents=True, exist_ok=True)
    http_port, dicom_port = port_near(8042), port_near(4242)
    configuration = {
        "Name": "Demo hospital PACS",
        "StorageDirectory": str(home.absolute() / "storage"),
        "IndexDirectory": str(home.absolute() / "storage"),
        "Plugins": [str(PLUGIN)],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "HttpPort": http_port,
        "DicomAet": "PACS",
        "DicomPort": dicom_port,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
    }
    path = home / "orthanc.json"
    path.write_text(json.dumps(configuration, indent=2))
    process_id = start_detached((program, str(path)), home / "orthanc.log")
    wait_until(lambda: answers(f"http://127.0.0.1:{http_port}/system"), "Orthanc", process_id, home / "orthanc.log")
    return process_id, http_port, dicom_port


def start_server(folder: Path, settings_text: str, http_port: int) -> int:
    """Start ``coread serve`` with these settings; returns its process id."""
    settings = folder / "coread.toml"
    settings.write_text(settings_text)
    command = (sys.executable, "-m", "coread", "--settings", str(settings), "serve")
    process_id = start_detached(command, folder / "server.log")
    wait_until(lambda: answers(f"http://127.0.0.1:{http_port}/login"), "Coread", process_id, folder / "server.log")
    return process_id


def start_detached(command: tuple[str, ...], log: Path) -> int:
    """Start a process that outlives this one."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    return process.pid


def answers(url: str) -> bool:
    """Say whether a web address answers at all."""
    try:
        return httpx.get(url, timeout=2).status_code < 500
    except httpx.HTTPError:
        return False


def wait_until(ready: Callable[[], bool], name: str, process_id: int, log: Path) -> None:
    """Wait for a process to answer; raises DemoFailed with the end of its log when it does not."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if ready():
            return
        if not alive(process_id):
            break
        time.sleep(0.1)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.is_file() else ""
    raise DemoFailed(f"{name} did not start; the end of {log}:\n{tail}")


def alive(process_id: int) -> bool:
    """Say whether a process runs; one of our own that has ended is collected."""
    if process_id <= 0:
        return False
    try:
        ended, _ = os.waitpid(process_id, os.WNOHANG)
        if ended:
            return False
    except ChildProcessError:
        pass  # not our child: the demo was started by an earlier command
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def remember(hospital: Hospital, folder: Path) -> None:
    """Write down what runs, for ``--stop``."""
    (folder / STATE_FILE).write_text(json.dumps(asdict(hospital), indent=2))


def remembered(folder: Path) -> Hospital | None:
    """Return what an earlier run wrote down."""
    path = folder / STATE_FILE
    return Hospital(**json.loads(path.read_text())) if path.is_file() else None


def stop(hospital: Hospital) -> None:
    """Stop server and PACS: ask first, kill what does not listen."""
    for process_id in (hospital.server_pid, hospital.pacs_pid):
        if not alive(process_id):
            continue
        os.kill(process_id, signal.SIGTERM)
        deadline = time.monotonic() + 25
        while alive(process_id) and time.monotonic() < deadline:
            time.sleep(0.1)
        if alive(process_id):
            os.killpg(process_id, signal.SIGKILL)
