"""One connection as a stream of bytes: one buffer, quick acknowledgements, answers in one piece.

Senders with Nagle's algorithm hold their last segment back until we acknowledge the one before, and
kernels delay that by 40 ms. So quick acknowledgement is armed again after each read, and each answer
is one write with TCP_NODELAY: neither side ever waits for the other's timer.
"""

import socket
import ssl
import struct
import time
from collections.abc import Callable

from coread.receive.errors import PeerClosed, PeerTooSlow

BUFFER_BYTES = 1 << 20
DRAIN_SECONDS = 1.0
"""How long a peer may take to read our last words and close (the ARTIM timer of PS3.8, state 13)."""
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)


class Wire:
    """Reads into one buffer and hands out views of it; a view is valid until the next read."""

    def __init__(self, connection: socket.socket, *, write_seconds: float) -> None:
        self.connection = connection
        self.before_refill: Callable[[], None] | None = None
        """Called before the buffer is overwritten: whoever holds views writes them out now."""
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._start = 0
        self._end = 0
        self._since = time.monotonic()
        self._received = 0
        self._grace = 0.0
        self._floor = 0
        self._encrypted = isinstance(connection, ssl.SSLSocket)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._encrypted:
            # Kernel time-outs on a blocking socket: Python's own would add a poll() before every recv().
            connection.setblocking(True)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(write_seconds))

    @property
    def buffered(self) -> int:
        """How many bytes can be taken without waiting for the network."""
        return self._end - self._start

    def patience(self, read_seconds: float) -> None:
        """Set how long one read may block from now on."""
        if self._encrypted:
            self.connection.settimeout(read_seconds)
        else:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(read_seconds))

    def expect_pace(self, grace_seconds: float, bytes_per_second: int) -> None:
        """Start a period in which the peer must keep this pace on average once the grace is over."""
        self._since = time.monotonic()
        self._received = 0
        self._grace = grace_seconds
        self._floor = bytes_per_second

    def struct(self, layout: struct.Struct) -> tuple[int, ...]:
        """Take one packed header."""
        size = layout.size
        if self._end - self._start < size:
            self._gather(size)
        values = layout.unpack_from(self._buffer, self._start)
        self._start += size
        return values

    def exactly(self, size: int) -> bytes:
        """Take a small number of bytes (at most the buffer) as a copy."""
        if self._end - self._start < size:
            self._gather(size)
        taken = bytes(self._buffer[self._start : self._start + size])
        self._start += size
        return taken

    def some(self, limit: int) -> memoryview:
        """Take at least one and at most ``limit`` bytes, as a view that lives until the next read."""
        if self._start == self._end:
            self._refill()
        stop = min(self._end, self._start + limit)
        view = self._buffer[self._start : stop]
        self._start = stop
        return view

    def send(self, data: bytes) -> None:
        """Write one whole answer."""
        try:
            self.connection.sendall(data)
        except (TimeoutError, BlockingIOError) as error:
            raise PeerTooSlow("the peer does not read our answers") from error
        except OSError as error:
            raise PeerClosed(f"connection lost while answering: {error}") from error

    def drain(self) -> None:
        """Read away what the peer still sends: closing over unread bytes would destroy our last answer."""
        until = time.monotonic() + DRAIN_SECONDS
        self.before_refill = None
        self._floor = 0
        try:
            self.patience(DRAIN_SECONDS)
            socket.socket.shutdown(self.connection, socket.SHUT_WR)
            while time.monotonic() < until:
                self._start = self._end = 0
                self._receive()
        except (OSError, PeerClosed, PeerTooSlow):
            return

    def close(self) -> None:
        """Close the connection; closing twice is harmless."""
        self.connection.close()

    def _gather(self, size: int) -> None:
        """Make ``size`` bytes available in one piece."""
        if self.before_refill is not None:
            self.before_refill()
        held = self._end - self._start
        self._buffer[:held] = bytes(self._buffer[self._start : self._end])
        self._start, self._end = 0, held
        while self._end < size:
            self._receive()

    def _refill(self) -> None:
        if self.before_refill is not None:
            self.before_refill()
        self._start = self._end = 0
        self._receive()

    def _receive(self) -> None:
        try:
            count = self.connection.recv_into(self._buffer[self._end :])
            if _QUICKACK is not None:
                self.connection.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        except (TimeoutError, BlockingIOError) as error:
            raise PeerTooSlow("nothing came from the peer within the time allowed") from error
        except OSError as error:
            raise PeerClosed(f"connection lost: {error}") from error
        if count == 0:
            raise PeerClosed("the peer closed the connection")
        self._end += count
        self._received += count
        if self._floor and count < 65536:
            self._check_pace()

    def _check_pace(self) -> None:
        elapsed = time.monotonic() - self._since
        if elapsed > self._grace and self._received < self._floor * elapsed:
            raise PeerTooSlow(f"only {self._received} bytes in {elapsed:.0f} s inside one message")


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("@ll", whole, int((seconds - whole) * 1_000_000))
