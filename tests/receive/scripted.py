"""A peer that says byte for byte what a test tells it to."""

import socket
import struct
from collections.abc import Sequence
from types import TracebackType

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import encode
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context

from coread.receive.dimse import encode_command, parse_command, ui, us

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


def associate_request(
    contexts: Sequence[tuple[str, Sequence[str]]], *, calling: str = "SCRIPTED", called: str = "COREAD"
) -> bytes:
    """Return an A-ASSOCIATE-RQ; contexts get the IDs 1, 3, 5, ..."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = calling, called
    items = []
    for index, (abstract, syntaxes) in enumerate(contexts):
        context = build_context(abstract, [UID(uid) for uid in syntaxes])
        context.context_id = 2 * index + 1
        items.append(context)
    primitive.presentation_context_definition_list = items
    longest, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    longest.maximum_length_received = 16384
    implementation.implementation_class_uid = UID("1.2.3.4")
    primitive.user_information = [longest, implementation]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return bytes(pdu.encode())


def pdv(context_id: int, payload: bytes, *, command: bool, last: bool) -> bytes:
    """Return one PDV item."""
    return struct.pack(">LBB", len(payload) + 2, context_id, (1 if command else 0) | (2 if last else 0)) + payload


def p_data(*items: bytes) -> bytes:
    """Return one P-DATA-TF PDU with these PDV items."""
    body = b"".join(items)
    return struct.pack(">BBL", 4, 0, len(body)) + body


def store_command(sop_class: str, instance: str, *, message_id: int = 1) -> bytes:
    """Return the command set of a C-STORE request."""
    return encode_command(
        {
            0x0002: ui(sop_class),
            0x0100: us(1),
            0x0110: us(message_id),
            0x0700: us(0),
            0x0800: us(0),
            0x1000: ui(instance),
        }
    )


def encoded(data: Dataset, *, implicit: bool = False) -> bytes:
    """Return the bytes of a data set."""
    raw = encode(data, implicit, True)
    assert raw is not None
    return bytes(raw)


class ScriptedPeer:
    """One connection."""

    def __init__(self, port: int, *, seconds: float = 10.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> "ScriptedPeer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def pdu(self) -> tuple[int, bytes]:
        """Return type and body of the next PDU; type 0 when the connection is closed."""
        header = self._exactly(6)
        if len(header) < 6:
            return 0, b""
        kind, _, length = struct.unpack(">BBL", header)
        return kind, self._exactly(length)

    def associate(self, *contexts: tuple[str, Sequence[str]], calling: str = "SCRIPTED") -> int:
        """Ask for an association; return the type of the answer."""
        self.send(associate_request(contexts or ((CT, [EXPLICIT]),), calling=calling))
        return self.pdu()[0]

    def status(self) -> int:
        """Return the status of the next DIMSE response."""
        kind, body = self.pdu()
        assert kind == 4, f"PDU type {kind} {body!r}"
        return parse_command(body[6:]).number(0x0900, -1)

    def echo(self, context_id: int = 1) -> int:
        """Send C-ECHO; return its status."""
        command = encode_command({0x0002: ui(VERIFICATION), 0x0100: us(0x30), 0x0110: us(7), 0x0800: us(0x0101)})
        self.send(p_data(pdv(context_id, command, command=True, last=True)))
        return self.status()

    def store(self, data: Dataset, *, context_id: int = 1) -> int:
        """Send one object in one PDU; return its status."""
        command = store_command(str(data.SOPClassUID), str(data.SOPInstanceUID))
        self.send(p_data(pdv(context_id, command, command=True, last=True)))
        self.send(p_data(pdv(context_id, encoded(data), command=False, last=True)))
        return self.status()

    def store_bytes(self, command: bytes, body: bytes, *, context_id: int = 1) -> int:
        """Send a data set as it is, in PDUs of at most 16 KiB; return the status."""
        self.send(p_data(pdv(context_id, command, command=True, last=True)))
        for start in range(0, len(body), 16000):
            piece, last = body[start : start + 16000], start + 16000 >= len(body)
            self.send(p_data(pdv(context_id, piece, command=False, last=last)))
        return self.status()

    def release(self) -> int:
        """Ask for release; return the type of the answer."""
        self.send(struct.pack(">BBLL", 5, 0, 4, 0))
        return self.pdu()[0]

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                piece = self.socket.recv(size - len(data))
            except ConnectionResetError:
                return b""
            if not piece:
                return data
            data += piece
        return data


def echoes(port: int) -> bool:
    """Say whether the server still answers C-ECHO."""
    with ScriptedPeer(port) as peer:
        return peer.associate((VERIFICATION, [IMPLICIT])) == 2 and peer.echo() == 0 and peer.release() == 6
