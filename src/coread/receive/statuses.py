"""DIMSE statuses that this receiver answers (PS3.7 annex C, PS3.4 B.2.3 and table GG.4-1)."""

from coread.domain.reasons import ReasonCode

SUCCESS = 0x0000
NO_SUCH_ATTRIBUTE = 0x0105
PROCESSING_FAILURE = 0x0110
NO_SUCH_INSTANCE = 0x0112
NO_SUCH_SOP_CLASS = 0x0118
CLASS_INSTANCE_CONFLICT = 0x0119
SOP_CLASS_NOT_SUPPORTED = 0x0122
NO_SUCH_ACTION = 0x0123
UNRECOGNIZED_OPERATION = 0x0211
OUT_OF_RESOURCES = 0xA700
DATA_SET_MISMATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000

_BY_REASON: dict[ReasonCode, int] = {
    ReasonCode.NOT_DICOM: 0xC101,
    ReasonCode.BAD_HEADER: 0xC102,
    ReasonCode.TRUNCATED: 0xC103,
    ReasonCode.MISSING_UID: 0xC104,
    ReasonCode.BAD_UID: 0xC105,
    ReasonCode.UNKNOWN_SYNTAX: 0xC106,
    ReasonCode.TOO_LARGE: 0xC107,
}


def status_of(code: ReasonCode) -> int:
    """Return the status that tells a sender why its object was not kept."""
    return _BY_REASON.get(code, CANNOT_UNDERSTAND)
