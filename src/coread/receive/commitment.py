"""Storage Commitment Push Model as SCP (PS3.4 annex J): which of these objects do you keep?

The report goes out on the same association. When that ends before the peer has acknowledged it, and the
peer's rule names an address, the report is sent on an association of our own.
"""

import io
import logging
import threading
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID

from coread.domain.study import Origin
from coread.receive import dimse, statuses
from coread.receive.dimse import Command
from coread.receive.errors import ProtocolBroken
from coread.receive.indexing import Indexer
from coread.receive.negotiation import STORAGE_COMMITMENT
from coread.receive.settings import PeerRule, ReceiveSettings
from coread.store import Store

_LOG = logging.getLogger(__name__)
WELL_KNOWN_INSTANCE = "1.2.840.10008.1.20.1.1"
_REQUEST_ACTION = 1
_ALL_KEPT, _SOME_MISSING = 1, 2
_FLUSH_SECONDS = 30.0
_RETRY_SECONDS = (0.0, 5.0, 30.0)


@dataclass(frozen=True, slots=True)
class CommitmentResult:
    """What we answer for one transaction."""

    report: Dataset
    event_type: int
    transfer_syntax: str
    origin: Origin


class Commitment:
    """Answers commitment requests of all associations of one receiver."""

    def __init__(self, store: Store, indexer: Indexer, settings: ReceiveSettings) -> None:
        self._store = store
        self._indexer = indexer
        self._settings = settings
        self._unacknowledged: dict[tuple[str, int], CommitmentResult] = {}
        self._lock = threading.Lock()
        self._next_message_id = 1
        self._stopping = threading.Event()

    def request(
        self, command: Command, data: bytes, transfer_syntax: str, origin: Origin
    ) -> tuple[int, CommitmentResult | None]:
        """Check one N-ACTION request; return its status and the report to send after it."""
        if command.number(0x1008) != _REQUEST_ACTION:
            return statuses.NO_SUCH_ACTION, None
        if command.sop_instance_uid != WELL_KNOWN_INSTANCE:
            return statuses.NO_SUCH_INSTANCE, None
        try:
            wanted = _read(data, transfer_syntax)
            transaction = str(wanted.TransactionUID)
            references = [
                (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
                for item in wanted.ReferencedSOPSequence
            ]
        except Exception as error:  # noqa: BLE001 - a hostile data set makes pydicom raise anything; the peer is told
            _LOG.warning("commitment request cannot be read: %s", type(error).__name__)
            return statuses.PROCESSING_FAILURE, None
        if not self._indexer.flush(_FLUSH_SECONDS):
            return statuses.PROCESSING_FAILURE, None
        return statuses.SUCCESS, self._judge(transaction, references, transfer_syntax, origin)

    def _judge(
        self, transaction: str, references: list[tuple[str, str]], transfer_syntax: str, origin: Origin
    ) -> CommitmentResult:
        found = self._store.instances(sop_instance_uids=[instance for _, instance in references])
        classes = {item.header.sop_instance_uid: item.header.sop_class_uid for item in found}
        report = Dataset()
        report.TransactionUID = transaction
        kept: list[Dataset] = []
        failed: list[Dataset] = []
        for sop_class, instance in references:
            reason = statuses.NO_SUCH_INSTANCE if instance not in classes else statuses.CLASS_INSTANCE_CONFLICT
            (kept if classes.get(instance) == sop_class else failed).append(_reference(sop_class, instance, reason))
        for item in kept:
            del item.FailureReason
        if kept:
            report.ReferencedSOPSequence = DicomSequence(kept)
        if failed:
            report.FailedSOPSequence = DicomSequence(failed)
        return CommitmentResult(report, _SOME_MISSING if failed else _ALL_KEPT, transfer_syntax, origin)

    def report(self, result: CommitmentResult, context_id: int, association_id: str, *, max_pdu: int) -> bytes:
        """Return the N-EVENT-REPORT request for the same association; its acknowledgement is awaited."""
        with self._lock:
            message_id = self._next_message_id
            self._next_message_id = message_id % 65535 + 1
            self._unacknowledged[association_id, message_id] = result
        command = dimse.encode_command(
            {
                0x0002: dimse.ui(STORAGE_COMMITMENT),
                0x0100: dimse.us(dimse.N_EVENT_REPORT_RQ),
                0x0110: dimse.us(message_id),
                0x0800: dimse.us(0x0001),
                0x1000: dimse.ui(WELL_KNOWN_INSTANCE),
                0x1002: dimse.us(result.event_type),
            }
        )
        data = _write(result.report, result.transfer_syntax)
        return dimse.p_data(context_id, command, command=True) + dimse.p_data_fragments(
            context_id, data, command=False, max_pdu=max_pdu
        )

    def acknowledged(self, association_id: str, message_id: int) -> None:
        """The peer has our report."""
        with self._lock:
            self._unacknowledged.pop((association_id, message_id), None)

    def association_ended(self, association_id: str) -> None:
        """Send what the peer has not acknowledged on an association of our own."""
        with self._lock:
            keys = [key for key in self._unacknowledged if key[0] == association_id]
            results = [self._unacknowledged.pop(key) for key in keys]
        for result in results:
            rule = self._settings.rule_for(result.origin.peer, result.origin.address)
            if rule is None or not rule.commitment_host:
                _LOG.warning("storage commitment: no address for the result; name one in the peer's rule")
                continue
            name = "coread-commitment"
            threading.Thread(target=self._deliver, args=(result, rule), name=name, daemon=True).start()

    def stop(self) -> None:
        """Give up what is not delivered yet: the peer asks again (PS3.4 J.3.2)."""
        self._stopping.set()

    def _deliver(self, result: CommitmentResult, rule: PeerRule) -> None:
        for pause in _RETRY_SECONDS:
            if self._stopping.wait(pause):
                return
            if send_report(result, rule, self._settings.ae_title):
                return
        _LOG.warning("storage commitment: the result could not be delivered to %s", rule.commitment_host)


def send_report(result: CommitmentResult, rule: PeerRule, ae_title: str) -> bool:
    """Open an association as SCP by role selection (PS3.4 J.3.4) and send the report; False when refused."""
    from pynetdicom import AE, build_role

    entity = AE(ae_title=ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = 10
    entity.add_requested_context(UID(STORAGE_COMMITMENT))
    role = build_role(UID(STORAGE_COMMITMENT), scu_role=False, scp_role=True)
    peer = entity.associate(
        rule.commitment_host, rule.commitment_port, ae_title=result.origin.peer or "ANY-SCP", ext_neg=[role]
    )
    if not peer.is_established:
        return False
    try:
        status, _ = peer.send_n_event_report(
            result.report, result.event_type, UID(STORAGE_COMMITMENT), UID(WELL_KNOWN_INSTANCE)
        )
    except (ValueError, RuntimeError) as error:
        _LOG.warning("storage commitment: %s", type(error).__name__)
        return False
    finally:
        peer.release()
    return "Status" in status and status.Status == statuses.SUCCESS


def _reference(sop_class: str, instance: str, reason: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = instance
    item.FailureReason = reason
    return item


def _read(data: bytes, transfer_syntax: str) -> Dataset:
    from pynetdicom.dsutils import decode

    syntax = UID(transfer_syntax)
    return decode(io.BytesIO(data), syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)


def _write(report: Dataset, transfer_syntax: str) -> bytes:
    from pynetdicom.dsutils import encode

    syntax = UID(transfer_syntax)
    encoded = encode(report, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
    if encoded is None:
        raise ProtocolBroken("a commitment report could not be encoded")
    return bytes(encoded)
