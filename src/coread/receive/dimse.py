"""Command sets and PDUs of the messages that we answer (PS3.7 section 9 and 10, PS3.8 9.3).

Command sets are always Implicit VR Little Endian, so eight bytes of element header and a value are
all there is; the hot path reads and writes them here. Negotiation uses pynetdicom's PDU classes.
"""

import struct
from dataclasses import dataclass, field

from coread.receive.errors import ProtocolBroken

C_STORE_RQ = 0x0001
C_ECHO_RQ = 0x0030
N_ACTION_RQ = 0x0130
N_EVENT_REPORT_RQ = 0x0100
N_EVENT_REPORT_RSP = 0x8100
C_CANCEL_RQ = 0x0FFF
RESPONSE_BIT = 0x8000
NO_DATA_SET = 0x0101

_ELEMENT = struct.Struct("<HHL")
_US = struct.Struct("<H")


@dataclass(frozen=True, slots=True)
class Command:
    """One command set; ``values`` maps the element number of group 0000 to its raw value."""

    kind: int
    message_id: int
    has_data_set: bool
    sop_class_uid: str
    sop_instance_uid: str
    values: dict[int, bytes] = field(default_factory=dict)

    def number(self, element: int, default: int = 0) -> int:
        """Return an element of VR US."""
        raw = self.values.get(element, b"")
        return int(_US.unpack(raw)[0]) if len(raw) == 2 else default

    def uid(self, element: int) -> str:
        """Return an element of VR UI without its padding."""
        return uid_text(self.values.get(element, b""))


def uid_text(raw: bytes) -> str:
    """Return a UID value without NUL or space padding; other characters than ASCII stay visible."""
    return raw.rstrip(b"\0 ").decode("ascii", "backslashreplace")


def parse_command(data: bytes) -> Command:
    """Read one command set, tolerating elements that we do not know."""
    values: dict[int, bytes] = {}
    position = 0
    while position < len(data):
        if position + 8 > len(data):
            raise ProtocolBroken("a command set ends inside an element header", 6)
        group, element, length = _ELEMENT.unpack_from(data, position)
        position += 8
        if group != 0 or position + length > len(data):
            raise ProtocolBroken("a command set holds an element that does not fit", 6)
        values[element] = data[position : position + length]
        position += length
    kind = _short(values, 0x0100)
    if kind is None:
        raise ProtocolBroken("a command set has no Command Field (0000,0100)", 6)
    # N-ACTION and N-EVENT-REPORT requests name class and instance in other elements (PS3.7 10.3).
    class_element, instance_element = (0x0003, 0x1001) if kind == N_ACTION_RQ else (0x0002, 0x1000)
    return Command(
        kind=kind,
        message_id=_short(values, 0x0120 if kind & RESPONSE_BIT else 0x0110) or 0,
        has_data_set=_short(values, 0x0800) not in (None, NO_DATA_SET),
        sop_class_uid=uid_text(values.get(class_element, b"")),
        sop_instance_uid=uid_text(values.get(instance_element, b"")),
        values=values,
    )


def _short(values: dict[int, bytes], element: int) -> int | None:
    raw = values.get(element, b"")
    return int(_US.unpack(raw)[0]) if len(raw) == 2 else None


def encode_command(values: dict[int, bytes]) -> bytes:
    """Return a command set with its group length (0000,0000), elements in order."""
    body = b"".join(_ELEMENT.pack(0, number, len(raw)) + raw for number, raw in sorted(values.items()))
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<L", len(body)) + body


def p_data(context_id: int, payload: bytes, *, command: bool) -> bytes:
    """Return one P-DATA-TF PDU with one last fragment."""
    flags = 3 if command else 2
    return struct.pack(">BBLLBB", 4, 0, len(payload) + 6, len(payload) + 2, context_id, flags) + payload


def p_data_fragments(context_id: int, payload: bytes, *, command: bool, max_pdu: int) -> bytes:
    """Return as many P-DATA-TF PDUs as the peer's maximum length asks for (0 = no limit, PS3.8 D.1)."""
    room = max(max_pdu - 6, 128) if max_pdu else len(payload) or 1
    pieces = [payload[start : start + room] for start in range(0, len(payload), room)] or [b""]
    flag = 1 if command else 0
    return b"".join(
        struct.pack(">BBLLBB", 4, 0, len(piece) + 6, len(piece) + 2, context_id, flag | (2 if last else 0)) + piece
        for piece, last in ((piece, index == len(pieces) - 1) for index, piece in enumerate(pieces))
    )


def response(context_id: int, request: Command, status: int, comment: str = "") -> bytes:
    """Return the PDU of a response without data set; class and instance are echoed when they were given."""
    values = {0x0100: us(request.kind | RESPONSE_BIT), 0x0120: us(request.message_id)}
    values[0x0800] = us(NO_DATA_SET)
    values[0x0900] = us(status)
    if request.sop_class_uid:
        values[0x0002] = ui(request.sop_class_uid)
    if request.sop_instance_uid:
        values[0x1000] = ui(request.sop_instance_uid)
    if request.kind == N_ACTION_RQ:
        values[0x1008] = us(request.number(0x1008))
    if comment:
        values[0x0902] = _even(comment.encode("ascii", "replace")[:64], b" ")
    return p_data(context_id, encode_command(values), command=True)


def us(value: int) -> bytes:
    """Encode VR US."""
    return _US.pack(value)


def ui(uid: str) -> bytes:
    """Encode VR UI, padded to even length with NUL (PS3.5 9.1)."""
    return _even(uid.encode("ascii", "replace"), b"\0")


def _even(raw: bytes, padding: bytes) -> bytes:
    return raw + padding if len(raw) % 2 else raw


def abort(source: int, reason: int) -> bytes:
    """Return an A-ABORT PDU (PS3.8 9.3.8)."""
    return struct.pack(">BBLBBBB", 7, 0, 4, 0, 0, source, reason)


def reject(result: int, source: int, reason: int) -> bytes:
    """Return an A-ASSOCIATE-RJ PDU (PS3.8 9.3.4)."""
    return struct.pack(">BBLBBBB", 3, 0, 4, 0, result, source, reason)


RELEASE_RESPONSE = struct.pack(">BBLL", 6, 0, 4, 0)
"""A-RELEASE-RP (PS3.8 9.3.7)."""
