"""One association from its request to its end: the upper layer state and the hot C-STORE loop.

Only PDU and PDV headers are looked at here; what lies between them goes to the file as it comes.
"""

import logging
import socket
import struct
import threading
import uuid
from dataclasses import dataclass, field
from typing import Protocol

from coread.domain.study import Origin
from coread.receive import dimse, statuses
from coread.receive.commitment import Commitment
from coread.receive.dimse import Command
from coread.receive.errors import ConnectionEnded, ProtocolBroken, ReceiverStopping
from coread.receive.indexing import Closed, Opened
from coread.receive.negotiation import STORAGE_COMMITMENT, Context, Rejection, agree, parse_request, refuse
from coread.receive.objects import IncomingObject, Intake
from coread.receive.wire import Wire

_LOG = logging.getLogger(__name__)
_PDU = struct.Struct(">BBL")
_PDV = struct.Struct(">LBB")
_NEVER_ENOUGH = 1 << 40
"""A pace that no peer keeps: the association request must be complete when the grace is over."""
_PDU_SLACK = 64
"""Some peers count the PDU header into the maximum length; we forgive that."""

ASSOCIATE_RQ, P_DATA, RELEASE_RQ, ABORT = 1, 4, 5, 7


class DataSink(Protocol):
    """Where the fragments of a data set go."""

    def add(self, view: memoryview) -> None:
        """Take a piece that stays valid until ``flush``."""

    def flush(self) -> None:
        """Let go of all pieces."""

    def abandon(self) -> None:
        """The rest will not come."""


class Dropped:
    """A data set that nobody wants."""

    def add(self, view: memoryview) -> None:
        """Forget the piece."""

    def flush(self) -> None:
        """Nothing is held."""

    def abandon(self) -> None:
        """Nothing is held."""


class InMemory:
    """A small data set that is not an object: kept in memory up to a limit."""

    def __init__(self, limit: int) -> None:
        self.data = bytearray()
        self._limit = limit

    def add(self, view: memoryview) -> None:
        """Copy the piece."""
        if len(self.data) + len(view) > self._limit:
            raise ProtocolBroken(f"a request with a data set of more than {self._limit} bytes")
        self.data += view

    def flush(self) -> None:
        """Pieces are copied at once."""

    def abandon(self) -> None:
        """Forget it."""
        self.data.clear()


@dataclass(slots=True)
class Message:
    """The message that is coming in: its command set, then its data set."""

    context_id: int = 0
    command_bytes: bytearray = field(default_factory=bytearray)
    command: Command | None = None
    sink: DataSink | None = None


class Association:
    """Talks with one peer in one thread."""

    def __init__(self, connection: socket.socket, address: str, intake: Intake, commitment: Commitment) -> None:
        self.association_id = uuid.uuid4().hex[:16]
        self.address = address
        self.calling_ae_title = ""
        self.objects_kept = 0
        self.objects_refused = 0
        self._intake = intake
        self._limits = intake.settings.limits
        self._commitment = commitment
        self._wire = Wire(connection, write_seconds=self._limits.write_seconds)
        self._contexts: dict[int, Context] = {}
        self._peer_max_pdu = 0
        self._origin = Origin("c-store", address=address, association_id=self.association_id)
        self._study_instance_uid = ""
        self._message: Message | None = None
        self._stopping = threading.Event()

    def run(self, rejection: Rejection | None = None) -> str:
        """Serve the peer until the end; return in a word how it ended. ``rejection`` turns it away."""
        try:
            if not self._negotiate(rejection):
                return "rejected"
            return self._serve_known_peer()
        except ProtocolBroken as problem:
            _LOG.warning("association %s aborted: %s", self.association_id, problem)
            self._last_words(dimse.abort(2, problem.reason))
            return "aborted by us"
        except ReceiverStopping:
            self._last_words(dimse.abort(2, 0))
            return "stopped"
        except ConnectionEnded as problem:
            _LOG.info("association %s ended: %s", self.association_id, problem)
            self._last_words(dimse.abort(2, 0))
            return "stopped" if self._stopping.is_set() else "lost"
        finally:
            self._abandon()
            self._wire.close()

    def stop(self) -> None:
        """Ask the association to end after the object that it is receiving."""
        self._stopping.set()
        if self._message is None:
            self.cut()

    def cut(self) -> None:
        """End the association now: the blocked read returns at once."""
        try:
            socket.socket.shutdown(self._wire.connection, socket.SHUT_RD)
        except OSError:
            _LOG.debug("association %s was closed already", self.association_id)

    def _negotiate(self, rejection: Rejection | None) -> bool:
        self._wire.patience(self._limits.artim_seconds)
        self._wire.expect_pace(self._limits.artim_seconds, _NEVER_ENOUGH)
        kind, _, length = self._wire.struct(_PDU)
        if kind != ASSOCIATE_RQ:
            raise ProtocolBroken(f"the first PDU is of type {kind:02X}, not an association request", 2)
        if length > self._limits.max_associate_pdu:
            raise ProtocolBroken(f"an association request of {length} bytes", 6)
        request = parse_request(_PDU.pack(kind, 0, length), self._wire.exactly(length))
        self.calling_ae_title = request.calling_ae_title
        rejection = rejection or refuse(request, self.address, self._intake.settings)
        if rejection is not None:
            _LOG.warning("association from %s rejected: %s", self.address, rejection.text)
            self._last_words(dimse.reject(rejection.result, rejection.source, rejection.reason))
            return False
        agreement = agree(request, self._intake.settings)
        self._contexts = agreement.contexts
        self._peer_max_pdu = request.peer_max_pdu
        self._origin = Origin("c-store", request.calling_ae_title, self.address, self.association_id)
        self._wire.send(agreement.answer)
        return True

    def _serve_known_peer(self) -> str:
        end = "broken off"
        try:
            end = self._serve()
            return end
        finally:
            cut_short = self._abandon()
            self._commitment.association_ended(self.association_id)
            if self.objects_kept:
                broken = f"association {end}, last object incomplete" if cut_short else ""
                self._intake.indexer.add(Closed(self._origin, broken, self._study_instance_uid))

    def _serve(self) -> str:
        wire = self._wire
        while True:
            if self._message is None:
                self._pause_between_messages()
            kind, _, length = wire.struct(_PDU)
            if kind == P_DATA:
                self._take_pdu(length)
            elif kind == RELEASE_RQ:
                wire.send(dimse.RELEASE_RESPONSE)
                return "released"
            elif kind == ABORT:
                return "aborted by peer"
            else:
                raise ProtocolBroken(f"a PDU of type {kind:02X} inside an association", 2 if kind < 8 else 1)

    def _pause_between_messages(self) -> None:
        if self._stopping.is_set():
            raise ReceiverStopping("the receiver is shutting down")
        self._wire.expect_pace(self._limits.idle_seconds, 0)
        self._wire.patience(self._limits.idle_seconds)

    def _take_pdu(self, length: int) -> None:
        if length > self._limits.max_pdu + _PDU_SLACK:
            raise ProtocolBroken(f"a PDU of {length} bytes; {self._limits.max_pdu} were agreed", 6)
        if self._message is None:
            self._message = Message()
            self._wire.patience(self._limits.read_seconds)
            self._wire.expect_pace(self._limits.read_seconds, self._limits.min_bytes_per_second)
        while length:
            if length < _PDV.size:
                raise ProtocolBroken("a PDU ends inside a PDV header", 6)
            size, context_id, flags = self._wire.struct(_PDV)
            if size < 2 or size + 4 > length:
                raise ProtocolBroken(f"a PDV of {size} bytes in the last {length} bytes of a PDU", 6)
            length -= size + 4
            if flags & 1:
                self._take_command(context_id, size - 2, last=bool(flags & 2))
            else:
                self._take_data(context_id, size - 2, last=bool(flags & 2))

    def _take_command(self, context_id: int, size: int, *, last: bool) -> None:
        message = self._message or Message()
        self._message = message
        if message.command is not None:
            raise ProtocolBroken("a command fragment where a data set was announced", 2)
        if context_id not in self._contexts:
            raise ProtocolBroken(f"presentation context {context_id} was not accepted", 6)
        if message.command_bytes and message.context_id != context_id:
            raise ProtocolBroken("fragments of one message in two presentation contexts", 6)
        message.context_id = context_id
        while size:
            view = self._wire.some(size)
            size -= len(view)
            message.command_bytes += view
            if len(message.command_bytes) > self._limits.max_command_bytes:
                raise ProtocolBroken(f"a command set of more than {self._limits.max_command_bytes} bytes", 6)
        if last:
            message.command = dimse.parse_command(bytes(message.command_bytes))
            self._begin(message, message.command)

    def _take_data(self, context_id: int, size: int, *, last: bool) -> None:
        message = self._message
        if message is None or message.command is None or message.sink is None:
            raise ProtocolBroken("a data set fragment without a command that announced it", 2)
        if message.context_id != context_id:
            raise ProtocolBroken("fragments of one message in two presentation contexts", 6)
        wire, sink = self._wire, message.sink
        while size:
            view = wire.some(size)
            size -= len(view)
            sink.add(view)
        if last:
            sink.flush()
            wire.before_refill = None
            self._message = None
            self._finish(message.context_id, message.command, sink)

    def _begin(self, message: Message, command: Command) -> None:
        """A command set is complete: answer it, or prepare for its data set."""
        if not command.has_data_set:
            self._message = None
            self._finish(message.context_id, command, Dropped())
            return
        context = self._contexts[message.context_id]
        sink: DataSink
        if command.kind == dimse.C_STORE_RQ and context.abstract_syntax == command.sop_class_uid:
            sink = IncomingObject(self._intake, command, context.transfer_syntax, self._origin)
        elif command.kind == dimse.N_ACTION_RQ and context.abstract_syntax == STORAGE_COMMITMENT:
            sink = InMemory(self._limits.max_dataset_in_memory)
        else:
            sink = Dropped()
        message.sink = sink
        self._wire.before_refill = sink.flush

    def _finish(self, context_id: int, command: Command, sink: DataSink) -> None:
        """A whole message is here: do what it asks and answer."""
        if isinstance(sink, IncomingObject):
            self._wire.send(self._keep(context_id, command, sink))
        elif command.kind == dimse.C_ECHO_RQ:
            self._wire.send(dimse.response(context_id, command, statuses.SUCCESS))
        elif isinstance(sink, InMemory):
            self._commit(context_id, command, bytes(sink.data))
        elif command.kind == dimse.N_EVENT_REPORT_RSP:
            if command.number(0x0900, statuses.PROCESSING_FAILURE) == statuses.SUCCESS:
                self._commitment.acknowledged(self.association_id, command.message_id)
        elif command.kind & dimse.RESPONSE_BIT or command.kind == dimse.C_CANCEL_RQ:
            _LOG.debug("message %04X needs no answer", command.kind)
        else:
            known = command.kind in (dimse.C_STORE_RQ, dimse.N_ACTION_RQ)
            status = statuses.SOP_CLASS_NOT_SUPPORTED if known else statuses.UNRECOGNIZED_OPERATION
            self._wire.send(dimse.response(context_id, command, status))

    def _keep(self, context_id: int, command: Command, sink: IncomingObject) -> bytes:
        status, comment = sink.finish()
        if sink.kept is None:
            self.objects_refused += 1
            return dimse.response(context_id, command, status, comment)
        if not self.objects_kept:
            self._intake.indexer.add(Opened(self._origin))
        self.objects_kept += 1
        self._study_instance_uid = sink.kept.header.study_instance_uid
        self._intake.indexer.add(sink.kept)
        return dimse.response(context_id, command, status)

    def _commit(self, context_id: int, command: Command, data: bytes) -> None:
        """Storage commitment: answer the N-ACTION, then report on this association (PS3.4 J.3)."""
        syntax = self._contexts[context_id].transfer_syntax
        status, result = self._commitment.request(command, data, syntax, self._origin)
        self._wire.send(dimse.response(context_id, command, status))
        if result is not None and not self._stopping.is_set():
            self._wire.send(
                self._commitment.report(result, context_id, self.association_id, max_pdu=self._peer_max_pdu)
            )

    def _abandon(self) -> bool:
        """Remove what came of an unfinished message; say whether an object was cut short."""
        message, self._message = self._message, None
        self._wire.before_refill = None
        if message is None or message.sink is None:
            return False
        message.sink.abandon()
        _LOG.warning("association %s ended inside an object; its part was removed", self.association_id)
        return True

    def _last_words(self, pdu: bytes) -> None:
        try:
            self._wire.send(pdu)
            self._wire.drain()
        except ConnectionEnded as problem:
            _LOG.debug("association %s: no answer possible: %s", self.association_id, problem)
