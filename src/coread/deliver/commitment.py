"""Storage commitment: the peer says that it has taken over the safekeeping of objects (PS3.4 annex J).

The answer comes on the same association, or on one that the peer opens to us: ``CommitmentBook`` matches both.
"""

import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from coread.deliver.association import ProposedContext, associated
from coread.deliver.errors import ObjectRefused, PeerRefused, PeerTimedOut
from coread.deliver.peer import Peer

_PUSH_MODEL = "1.2.840.10008.1.20.1"
_PUSH_INSTANCE = "1.2.840.10008.1.20.1.1"
_SYNTAXES = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")


@dataclass(frozen=True, slots=True)
class CommitmentAnswer:
    """Which objects the peer keeps, and which not with the failure reason (PS3.3 C.14.1.1)."""

    transaction_uid: str
    committed: frozenset[str]
    failed: Mapping[str, int] = field(default_factory=dict)


class CommitmentBook:
    """The transactions that wait for an N-EVENT-REPORT. Safe to use from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: set[str] = set()
        self._answers: dict[str, CommitmentAnswer] = {}

    def open(self) -> str:
        """Return a new transaction UID that this book waits for."""
        transaction_uid = f"2.25.{uuid.uuid4().int}"
        with self._changed:
            self._waiting.add(transaction_uid)
        return transaction_uid

    def note(self, answer: CommitmentAnswer) -> bool:
        """Keep an answer; False when nobody waits for this transaction."""
        with self._changed:
            if answer.transaction_uid not in self._waiting:
                return False
            self._answers[answer.transaction_uid] = answer
            self._changed.notify_all()
            return True

    def wait(self, transaction_uid: str, seconds: float) -> CommitmentAnswer | None:
        """Return the answer when it comes in time, and forget the transaction."""
        with self._changed:
            self._changed.wait_for(lambda: transaction_uid in self._answers, timeout=seconds)
            self._waiting.discard(transaction_uid)
            return self._answers.pop(transaction_uid, None)


def answer_of(report: Any) -> CommitmentAnswer:
    """Return the answer in the Event Information of an N-EVENT-REPORT (PS3.4 table J.3-2)."""
    return CommitmentAnswer(
        str(report.TransactionUID),
        frozenset(str(item.ReferencedSOPInstanceUID) for item in report.get("ReferencedSOPSequence", None) or []),
        {
            str(item.ReferencedSOPInstanceUID): int(item.get("FailureReason", 0x0110))
            for item in report.get("FailedSOPSequence", None) or []
        },
    )


def _handler(book: CommitmentBook) -> Any:
    def report(event: Any) -> tuple[int, None]:
        known = book.note(answer_of(event.event_information))
        return (0x0000 if known else 0x0117), None  # 0117: invalid object instance (PS3.7 annex C)

    return report


def request_commitment(
    peer: Peer, objects: Sequence[tuple[str, str]], *, book: CommitmentBook, wait_seconds: float = 10.0
) -> CommitmentAnswer:
    """Ask the peer to commit to (SOP Class UID, SOP Instance UID) pairs and wait for its report.

    Raises PeerRefused when the peer does not know the service, PeerTimedOut when no report came in time.
    """
    from pynetdicom import evt

    transaction_uid = book.open()
    handlers = [(evt.EVT_N_EVENT_REPORT, _handler(book))]
    try:
        with associated(peer, [ProposedContext(_PUSH_MODEL, _SYNTAXES)], handlers=handlers) as association:
            status, _ = association.send_n_action(_request(transaction_uid, objects), 1, _PUSH_MODEL, _PUSH_INSTANCE)
            if "Status" not in status:
                raise PeerTimedOut(f"{peer} did not answer the storage commitment request")
            if status.Status != 0:
                raise PeerRefused(f"{peer} refused the storage commitment request: status 0x{status.Status:04X}")
            answer = book.wait(transaction_uid, wait_seconds)
    except ObjectRefused as refused:
        raise PeerRefused(f"{peer} has no storage commitment: switch it off for this destination") from refused
    finally:
        book.wait(transaction_uid, 0.0)
    if answer is None:
        raise PeerTimedOut(f"{peer} sent no storage commitment report in {wait_seconds:g} s")
    return answer


def _request(transaction_uid: str, objects: Sequence[tuple[str, str]]) -> Any:
    from pydicom import Dataset
    from pydicom import Sequence as Items

    request = Dataset()
    request.TransactionUID = transaction_uid
    items = []
    for sop_class_uid, sop_instance_uid in objects:
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class_uid
        item.ReferencedSOPInstanceUID = sop_instance_uid
        items.append(item)
    request.ReferencedSOPSequence = Items(items)
    return request


@contextmanager
def commitment_listener(book: CommitmentBook, *, host: str, port: int, ae_title: str = "COREAD") -> Iterator[int]:
    """Listen for reports on associations that peers open to us; yields the port (0 asks for a free one)."""
    from pynetdicom import AE, evt

    entity = AE(ae_title=ae_title)
    # The peer is the SCP of the service on an association that it requests (PS3.4 section J.3.3, role selection).
    entity.add_supported_context(_PUSH_MODEL, list(_SYNTAXES), scu_role=True, scp_role=True)
    entity.add_supported_context("1.2.840.10008.1.1", list(_SYNTAXES))
    server: Any = entity.start_server(
        (host, port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, _handler(book))]
    )
    try:
        yield int(server.socket.getsockname()[1])
    finally:
        server.shutdown()
