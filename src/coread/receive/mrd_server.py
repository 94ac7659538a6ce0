"""The door for raw MR data: listens for MRD streams, keeps the limits, gives each connection a thread."""

import logging
import socket
import threading
import time
from types import TracebackType

from coread.receive.listening import listening_socket
from coread.receive.mrd_intake import MrdIntake
from coread.receive.mrd_settings import MrdSettings
from coread.receive.mrd_spool import SpoolFolder
from coread.receive.mrd_stream import MrdStream
from coread.store import Store

_LOG = logging.getLogger(__name__)
_BACKLOG = 16
_SPARE_THREADS = 16
"""Connections that are being turned away at the same time; further ones are closed without a word."""
FOLDER = "mrd"
"""Inside the store's folder: where streams are spooled."""


class MrdReceiver:
    """Receives raw data into one store; one process for each store."""

    def __init__(self, settings: MrdSettings, store: Store) -> None:
        self._settings = settings
        self._folder = SpoolFolder(store.folder / FOLDER)
        self.intake = MrdIntake(store, self._folder, durable=settings.durable)
        self._listener: socket.socket | None = None
        self._port = settings.port
        self._open: dict[MrdStream, threading.Thread] = {}
        self._turning = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._acceptor = threading.Thread(target=self._accept_all, name="coread-mrd-accept", daemon=True)

    @property
    def port(self) -> int:
        """The port that is really listened on (settings may say 0: any free one)."""
        return self._port

    @property
    def open_connections(self) -> int:
        """How many streams are under way."""
        with self._lock:
            return len(self._open)

    def start(self) -> "MrdReceiver":
        """Deal with what an earlier process left, then listen."""
        self.intake.recover()
        self._listener = self._listen()
        self._port = int(self._listener.getsockname()[1])
        self._acceptor.start()
        _LOG.info("receiving raw MR data on %s port %d", self._settings.host, self.port)
        return self

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Stop listening, let streams end that are nearly done, cut the others (they are put aside)."""
        self._stopping.set()
        if self._listener is not None:
            try:
                self._listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                _LOG.debug("the listener was closed already")
            self._acceptor.join()
            self._listener.close()
        until = time.monotonic() + grace_seconds
        while self.open_connections and time.monotonic() < until:
            time.sleep(0.02)
        with self._lock:
            left = dict(self._open)
        for stream, thread in left.items():
            stream.cut()
            thread.join(5.0)
        self._folder.close()

    def __enter__(self) -> "MrdReceiver":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _listen(self) -> socket.socket:
        return listening_socket(self._settings.host, self._settings.port, backlog=_BACKLOG, what=" for MRD")

    def _accept_all(self) -> None:
        listener = self._listener
        while listener is not None and not self._stopping.is_set():
            try:
                connection, peer = listener.accept()
            except OSError as error:
                if self._stopping.is_set():
                    return
                _LOG.warning("accepting a connection failed: %s", error.strerror)
                time.sleep(0.1)
                continue
            self._admit(connection, str(peer[0]))

    def _admit(self, connection: socket.socket, address: str) -> None:
        if not self._settings.allows(address):
            _LOG.warning("MRD connection from %s closed at once: not a network that may send", address)
            connection.close()
            return
        stream = MrdStream(connection, address, self.intake, self._settings)
        with self._lock:
            crowded = len(self._open) >= self._settings.max_connections
            if crowded and self._turning >= _SPARE_THREADS:
                _LOG.warning("MRD connection from %s closed at once: too many are being turned away", address)
                connection.close()
                return
            thread = threading.Thread(
                target=self._turn_away if crowded else self._serve, args=(stream, address),
                name="coread-mrd", daemon=True,
            )  # fmt: skip
            if crowded:
                self._turning += 1
            else:
                self._open[stream] = thread
        thread.start()

    def _turn_away(self, stream: MrdStream, address: str) -> None:
        _LOG.warning("MRD connection from %s turned away: %d are open", address, self._settings.max_connections)
        try:
            stream.refuse("too many streams at the same time; send again later")
        finally:
            with self._lock:
                self._turning -= 1

    def _serve(self, stream: MrdStream, address: str) -> None:
        started = time.monotonic()
        try:
            end = stream.run()
            _LOG.info("MRD stream from %s: %s, %s, %.1f s", address, end, stream.detail, time.monotonic() - started)
        except Exception:  # noqa: BLE001 - the edge of one connection: recorded, and the others go on
            _LOG.exception("an MRD stream from %s failed", address)
            stream.refuse("the receiver failed; send again: what was kept already is not kept twice")
        finally:
            with self._lock:
                self._open.pop(stream, None)
