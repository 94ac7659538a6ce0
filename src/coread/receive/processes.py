"""Receiver processes: several behind one port, each with its own store connection and index thread."""

import json
import logging
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coread.receive.errors import BadSettings
from coread.receive.listening import stopped_by_signals, wait_to_end
from coread.receive.settings import Limits, PeerRule, ReceiveSettings, TlsSettings

_LOG = logging.getLogger(__name__)
_SWITCH_SECONDS = 0.001
"""The index thread must not keep the interpreter for 5 ms (Python's default) while a sender waits."""
STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class ChildSettings:
    """What a receiver process is told on its standard input."""

    receive: ReceiveSettings
    store_folder: Path
    database_url: str = ""
    warn_free_fraction: float = 0.10
    refuse_free_fraction: float = 0.05


def to_json(settings: ChildSettings) -> str:
    """Write the settings of a child process."""
    return json.dumps(asdict(settings), default=str)


def from_json(text: str) -> ChildSettings:
    """Read the settings of a child process; raise BadSettings when they are incomplete or wrong."""
    try:
        raw: dict[str, Any] = json.loads(text)
        receive: dict[str, Any] = raw["receive"]
        receive["allowed_peers"] = tuple(PeerRule(**rule) for rule in receive["allowed_peers"])
        receive["limits"] = Limits(**receive["limits"])
        receive["tls"] = _tls(receive["tls"])
        raw |= {"receive": ReceiveSettings(**receive), "store_folder": Path(raw["store_folder"])}
        return ChildSettings(**raw)
    except (KeyError, TypeError, ValueError) as error:
        raise BadSettings(f"settings of the receiver process cannot be read: {error}") from error


def _tls(raw: dict[str, str | None] | None) -> TlsSettings | None:
    if raw is None:
        return None
    authorities = raw["client_authorities"]
    return TlsSettings(
        Path(str(raw["certificate"])), Path(str(raw["private_key"])), Path(authorities) if authorities else None
    )


def run_receiver(settings: ChildSettings) -> None:
    """Receive until SIGTERM or SIGINT: then finish the objects under way, index them and return."""
    from coread.receive.server import DicomReceiver
    from coread.store import Store, StoreSettings

    done = stopped_by_signals()
    sys.setswitchinterval(_SWITCH_SECONDS)
    store_settings = StoreSettings(
        folder=settings.store_folder,
        database_url=settings.database_url,
        durable=settings.receive.durable,
        warn_free_fraction=settings.warn_free_fraction,
        refuse_free_fraction=settings.refuse_free_fraction,
    )
    with Store.open(store_settings, migrate=False) as store, DicomReceiver(settings.receive, store) as receiver:
        wait_to_end(receiver.port, done)


class ReceiverProcess:
    """A running child process, seen from its parent."""

    def __init__(self, settings: ChildSettings) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "coread.receive"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise BadSettings("the receiver process has no pipes")
        self._process.stdin.write(to_json(settings))
        self._process.stdin.close()
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise BadSettings(f"the receiver process ended with code {code} before it listened; see its log")
        self.port = int(json.loads(line)["listening"])

    @property
    def pid(self) -> int:
        """The process ID."""
        return self._process.pid

    def alive(self) -> bool:
        """Say whether the process still runs."""
        return self._process.poll() is None

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """Ask the process to finish; kill it when it does not; return its exit code."""
        self._process.terminate()
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            _LOG.warning("receiver process %d did not finish in %.0f s and is killed", self.pid, seconds)
            self._process.kill()
            code = self._process.wait()
        self._close_pipe()
        return code

    def kill(self) -> None:
        """End the process at once (as a crash would)."""
        self._process.kill()
        self._process.wait()
        self._close_pipe()

    def _close_pipe(self) -> None:
        if self._process.stdout is not None:
            self._process.stdout.close()
