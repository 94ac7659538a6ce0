"""What the receivers of DICOM and of raw MR data share: the listening socket, and the life of a receiver's process."""

import json
import logging
import os
import signal
import socket
import sys
import threading
from types import FrameType

from coread.receive.errors import BadSettings

_LOG = logging.getLogger(__name__)


def listening_socket(host: str, port: int, *, backlog: int, shared: bool = False, what: str = "") -> socket.socket:
    """Return a socket that listens; ``shared``: several processes accept on the same port.

    Raises BadSettings where the address cannot be had; ``what`` is named in its message.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        where = f"{host} port {port}{what}"
        raise BadSettings(f"cannot listen on {where}: {error.strerror}; choose another port") from error
    return listener


def stopped_by_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set from now on."""
    done = threading.Event()

    def stop(number: int, _frame: FrameType | None) -> None:
        _LOG.info("signal %d: finishing", number)
        done.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return done


def wait_to_end(port: int, done: threading.Event) -> None:
    """Tell the parent on standard output that the port listens, then wait for ``done`` or for the parent's end."""
    sys.stdout.write(json.dumps({"listening": port, "pid": os.getpid()}) + "\n")
    sys.stdout.flush()
    parent = os.getppid()
    while not done.wait(1.0):
        if os.getppid() != parent:
            _LOG.warning("the parent process is gone: finishing")
            return
