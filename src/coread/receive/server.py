"""The C-STORE receiver: listens, keeps the limits, gives each association a thread."""

import logging
import socket
import ssl
import threading
import time
from collections import Counter
from types import TracebackType

from coread.receive.association import Association
from coread.receive.commitment import Commitment
from coread.receive.indexing import Indexer
from coread.receive.listening import listening_socket
from coread.receive.negotiation import TOO_MANY, Rejection
from coread.receive.objects import Intake
from coread.receive.recovery import recover
from coread.receive.settings import ReceiveSettings
from coread.receive.staging import BytesInFlight, StagingArea
from coread.receive.tls import server_context
from coread.store import Store

_LOG = logging.getLogger(__name__)
_LISTEN_BACKLOG = 512
_SPARE_THREADS = 64
"""Connections above the limit that may be turned away politely at the same time; above, they are just closed."""


class DicomReceiver:
    """C-STORE, C-ECHO and storage commitment SCP over one store."""

    def __init__(self, settings: ReceiveSettings, store: Store) -> None:
        self._settings = settings
        self._indexer = Indexer(store)
        self._area = StagingArea(store.staging_folder(), BytesInFlight(settings.limits.max_bytes_in_flight))
        self._intake = Intake(store, self._indexer, settings, self._area)
        self._commitment = Commitment(store, self._indexer, settings)
        self._tls = server_context(settings.tls) if settings.tls is not None else None
        self._listener: socket.socket | None = None
        self._port = settings.port
        self._open: dict[Association, threading.Thread] = {}
        self._per_address: Counter[str] = Counter()
        self._connections = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._acceptor = threading.Thread(target=self._accept_all, name="coread-accept", daemon=True)

    @property
    def port(self) -> int:
        """The port that is really listened on (settings may say 0: any free one)."""
        return self._port

    @property
    def open_associations(self) -> int:
        """How many connections are open now."""
        return self._connections

    @property
    def backlog(self) -> int:
        """How many objects are safe but not indexed yet."""
        return self._indexer.backlog

    def start(self) -> "DicomReceiver":
        """Index what an earlier process left, then listen."""
        recover(self._intake.store)
        self._listener = self._listen()
        self._port = int(self._listener.getsockname()[1])
        self._indexer.start()
        self._acceptor.start()
        _LOG.info("receiving as %s on %s port %d", self._settings.ae_title, self._settings.host, self.port)
        return self

    def serve_forever(self) -> None:
        """Start and block until ``stop`` is called from another thread or a signal handler."""
        self.start()
        self._stopping.wait()

    def flush(self, seconds: float = 30.0) -> bool:
        """Wait until everything acknowledged so far is indexed."""
        return self._indexer.flush(seconds)

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Stop listening, let the objects under way finish, index everything, end."""
        self._stopping.set()
        if self._listener is not None:
            _shut(self._listener)
            self._acceptor.join()
            self._listener.close()
        self._end_associations(grace_seconds)
        self._commitment.stop()
        if self._listener is not None and not self._indexer.stop(grace_seconds):
            _LOG.warning("%d objects wait in the staging folder for the next start", self._indexer.backlog)
        self._area.close()

    def __enter__(self) -> "DicomReceiver":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _listen(self) -> socket.socket:
        shared = self._settings.processes > 1
        return listening_socket(self._settings.host, self._settings.port, backlog=_LISTEN_BACKLOG, shared=shared)

    def _accept_all(self) -> None:
        listener = self._listener
        while listener is not None and not self._stopping.is_set():
            try:
                connection, peer = listener.accept()
            except OSError as error:
                if self._stopping.is_set():
                    return
                _LOG.warning("accepting a connection failed: %s", error.strerror)  # EMFILE and the like: wait
                time.sleep(0.1)
                continue
            self._admit(connection, str(peer[0]))

    def _admit(self, connection: socket.socket, address: str) -> None:
        limits = self._settings.limits
        with self._lock:
            crowded = (
                self._connections >= limits.max_associations
                or self._per_address[address] >= limits.max_associations_per_peer
            )
            if (
                not self._settings.knows_address(address)
                or self._connections >= limits.max_associations + _SPARE_THREADS
            ):
                _LOG.warning("connection from %s closed at once", address)
                connection.close()
                return
            self._connections += 1
            self._per_address[address] += 1
        rejection = TOO_MANY if crowded else None
        threading.Thread(
            target=self._serve, args=(connection, address, rejection), name="coread-association", daemon=True
        ).start()

    def _serve(self, connection: socket.socket, address: str, rejection: Rejection | None) -> None:
        started = time.monotonic()
        try:
            self._run_association(self._secured(connection), address, rejection, started)
        except (OSError, ssl.SSLError) as error:
            _LOG.warning("connection from %s ended before an association: %s", address, type(error).__name__)
            connection.close()
        except Exception:  # noqa: BLE001 - the edge of one connection: recorded, and the others go on
            _LOG.exception("association from %s failed", address)
            connection.close()
        finally:
            with self._lock:
                self._connections -= 1
                self._per_address[address] -= 1
                if not self._per_address[address]:
                    del self._per_address[address]

    def _run_association(
        self, connection: socket.socket, address: str, rejection: Rejection | None, started: float
    ) -> None:
        association = Association(connection, address, self._intake, self._commitment)
        with self._lock:
            self._open[association] = threading.current_thread()
        try:
            if self._stopping.is_set():
                association.stop()
            end = association.run(rejection)
        finally:
            with self._lock:
                self._open.pop(association, None)
        _LOG.info(
            "association %s from %s (%s) %s: %d kept, %d refused, %.1f s",
            association.association_id,
            association.calling_ae_title,
            address,
            end,
            association.objects_kept,
            association.objects_refused,
            time.monotonic() - started,
        )

    def _secured(self, connection: socket.socket) -> socket.socket:
        if self._tls is None:
            return connection
        connection.settimeout(self._settings.limits.artim_seconds)
        return self._tls.wrap_socket(connection, server_side=True)

    def _end_associations(self, grace_seconds: float) -> None:
        until = time.monotonic() + grace_seconds
        for association in self._associations():
            association.stop()
        while self._associations() and time.monotonic() < until:
            time.sleep(0.02)
        for association, thread in self._associations().items():
            association.cut()
            thread.join(2.0)

    def _associations(self) -> dict[Association, threading.Thread]:
        with self._lock:
            return dict(self._open)


def _shut(listener: socket.socket) -> None:
    try:
        listener.shutdown(socket.SHUT_RDWR)
    except OSError:
        _LOG.debug("the listener was closed already")
