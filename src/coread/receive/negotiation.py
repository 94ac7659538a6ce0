"""Association negotiation (PS3.8 9.3.2, PS3.7 annex D): who may come in and what they may send.

Parsing and encoding are pynetdicom's; the decision is here. Each transfer syntax is accepted as the
sender proposes it, because the bytes are stored as they come.
"""

import struct
from dataclasses import dataclass, field
from functools import lru_cache

from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class import (
    NonPatientObjectStorageServiceClass,
    ServiceClass,
    StorageServiceClass,
)
from pynetdicom.sop_class import uid_to_service_class

from coread.domain.identifiers import is_tolerable_uid
from coread.receive.errors import ProtocolBroken
from coread.receive.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from coread.receive.settings import ReceiveSettings

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
_DICOM_ROOT = "1.2.840.10008."
_STANDARD_STORAGE = (
    "1.2.840.10008.5.1.4.1.1.",
    "1.2.840.10008.5.1.1.27",
    "1.2.840.10008.5.1.1.29",
    "1.2.840.10008.5.1.1.30",
)

_ACCEPTED = 0
_ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
_TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


@dataclass(frozen=True, slots=True)
class Rejection:
    """An A-ASSOCIATE-RJ: result, source and reason of PS3.8 table 9-21, and a line for the log."""

    result: int
    source: int
    reason: int
    text: str


CALLING_NOT_RECOGNIZED = Rejection(1, 1, 3, "calling AE title or address is not on the list of allowed peers")
CALLED_NOT_RECOGNIZED = Rejection(1, 1, 7, "called AE title is not ours")
WRONG_APPLICATION_CONTEXT = Rejection(1, 1, 2, "application context is not DICOM")
WRONG_PROTOCOL_VERSION = Rejection(1, 2, 2, "protocol version 1 is not offered")
TOO_MANY = Rejection(2, 3, 2, "limit of open associations is reached")


@dataclass(frozen=True, slots=True)
class Context:
    """One accepted presentation context."""

    abstract_syntax: str
    transfer_syntax: str

    @property
    def is_storage(self) -> bool:
        """Say whether C-STORE is the operation of this context."""
        return self.abstract_syntax not in (VERIFICATION, STORAGE_COMMITMENT)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What the peer asked for. Compared by identity: the answers to one request are remembered."""

    calling_ae_title: str
    called_ae_title: str
    protocol_version: int
    primitive: A_ASSOCIATE
    peer_max_pdu: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """An accepted association: contexts by ID, and the A-ASSOCIATE-AC that says so."""

    contexts: dict[int, Context] = field(default_factory=dict)
    answer: bytes = b""


@lru_cache(maxsize=16)
def parse_request(header: bytes, body: bytes) -> Request:
    """Read an A-ASSOCIATE-RQ; raise ProtocolBroken for anything that is not one.

    Remembered, like ``agree``: a peer proposes the same every time, and reading 128 contexts and answering them
    takes 10 ms of the interpreter, as much as half a dozen CT slices.
    """
    if len(body) < 68:
        raise ProtocolBroken("an association request of less than 68 bytes", 6)
    pdu = A_ASSOCIATE_RQ()
    # Hostile bytes make the parser raise anything (AssertionError, KeyError, ...): translated at this border.
    try:
        pdu.decode(header + body)
        primitive = pdu.to_primitive()
        longest = primitive.maximum_length_received or 0
        calling, called = str(primitive.calling_ae_title).strip(), str(primitive.called_ae_title).strip()
    except Exception as error:
        raise ProtocolBroken(f"an association request that cannot be read: {type(error).__name__}", 6) from error
    (version,) = struct.unpack_from(">H", body)
    return Request(calling, called, version, primitive, longest)


def refuse(request: Request, address: str, settings: ReceiveSettings) -> Rejection | None:
    """Return why this peer may not come in, or None when it may."""
    if not request.protocol_version & 1:
        return WRONG_PROTOCOL_VERSION
    if str(request.primitive.application_context_name) != "1.2.840.10008.3.1.1.1":
        return WRONG_APPLICATION_CONTEXT
    if settings.rule_for(request.calling_ae_title, address) is None:
        return CALLING_NOT_RECOGNIZED
    if settings.check_called_ae_title and request.called_ae_title != settings.ae_title.strip():
        return CALLED_NOT_RECOGNIZED
    return None


@lru_cache(maxsize=16)
def agree(request: Request, settings: ReceiveSettings) -> Agreement:
    """Decide every proposed presentation context and write the answer."""
    contexts: dict[int, Context] = {}
    results: list[PresentationContext] = []
    for proposed in request.primitive.presentation_context_definition_list:
        result = PresentationContext()
        result.context_id = proposed.context_id
        result.abstract_syntax = proposed.abstract_syntax
        known = next((uid for uid in proposed.transfer_syntax if UID(uid).is_transfer_syntax), None)
        chosen = known or next((uid for uid in proposed.transfer_syntax if is_tolerable_uid(str(uid))), None)
        result.transfer_syntax = [chosen or UID("1.2.840.10008.1.2")]
        result.result = _result_of(str(proposed.abstract_syntax), chosen, settings)
        if result.result == _ACCEPTED and proposed.context_id is not None:
            contexts[int(proposed.context_id)] = Context(str(proposed.abstract_syntax), str(chosen))
        results.append(result)
    return Agreement(contexts, _accept(request, results, settings))


def accepts_sop_class(uid: str, settings: ReceiveSettings) -> bool:
    """Say whether objects or requests of this SOP class are taken."""
    if uid in (VERIFICATION, STORAGE_COMMITMENT):
        return True
    service = uid_to_service_class(UID(uid))
    if service in (StorageServiceClass, NonPatientObjectStorageServiceClass):
        return True
    if service is not ServiceClass or not settings.accept_unknown_sop_classes:
        return False
    # Unknown UIDs: private ones, and storage classes that are newer than pynetdicom's list or retired.
    return is_tolerable_uid(uid) and (not uid.startswith(_DICOM_ROOT) or uid.startswith(_STANDARD_STORAGE))


def _result_of(abstract_syntax: str, chosen: UID | None, settings: ReceiveSettings) -> int:
    if not accepts_sop_class(abstract_syntax, settings):
        return _ABSTRACT_SYNTAX_NOT_SUPPORTED
    return _ACCEPTED if chosen is not None else _TRANSFER_SYNTAXES_NOT_SUPPORTED


def _accept(request: Request, results: list[PresentationContext], settings: ReceiveSettings) -> bytes:
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title = request.primitive.calling_ae_title
    primitive.called_ae_title = request.primitive.called_ae_title
    primitive.result = 0
    primitive.result_source = 1
    primitive.presentation_context_definition_results_list = results
    longest = MaximumLengthNotification()
    longest.maximum_length_received = settings.limits.max_pdu
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    primitive.user_information = [longest, implementation, version, *_roles(request)]
    pdu = A_ASSOCIATE_AC()
    pdu.from_primitive(primitive)
    return bytes(pdu.encode())


def _roles(request: Request) -> list[SCP_SCU_RoleSelectionNegotiation]:
    """Answer role proposals (PS3.7 D.3.3.4): the requestor may be SCU; we send no C-STORE back."""
    answers = []
    for item in request.primitive.user_information:
        if isinstance(item, SCP_SCU_RoleSelectionNegotiation) and item.scu_role:
            answer = SCP_SCU_RoleSelectionNegotiation()
            answer.sop_class_uid = item.sop_class_uid
            answer.scu_role = True
            answer.scp_role = False
            answers.append(answer)
    return answers
