"""What became of each object that was sent, and how a status of the standard is judged."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from coread.deliver.contexts import Outgoing
from coread.deliver.errors import ObjectRefused
from coread.domain.errors import CoreadError

NOT_SUPPORTED = 0x0122
"""SOP Class not supported (PS3.7 annex C.5.6)."""

_KEPT = (0x0000, 0x0001, 0x0107, 0x0116)
_TRANSIENT = (0x0110, 0x0213)
"""Processing failure and resource limitation: the same object may be taken later (PS3.7 annex C)."""


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of one file. ``error`` is None when the peer keeps the object."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    status: int | None
    """The DIMSE status or STOW failure reason (PS3.4 table B.2-1, PS3.18 table I.2-2); None without an answer."""
    message: str
    error: CoreadError | None = None

    @property
    def stored(self) -> bool:
        """Whether the peer keeps the object (success, or success with a warning)."""
        return self.error is None


Progress = Callable[[SendResult], None]
"""Called once per file, when its result is known."""


def failed(file: Outgoing, problem: CoreadError) -> SendResult:
    """Return the result of a file that the peer does not have."""
    status = problem.status if isinstance(problem, ObjectRefused) else None
    return SendResult(file.path, file.sop_class_uid, file.sop_instance_uid, status, str(problem), problem)


def answered(peer: str, file: Outgoing, status: int, *, note: str = "") -> SendResult:
    """Judge a storage status (PS3.4 table B.2-1): 0000 and Bxxx are kept, A7xx and 0110 may work later."""
    if status in _KEPT or status & 0xF000 == 0xB000:
        warning = "" if status == 0 else f" with warning 0x{status:04X}"
        text = f"stored by {peer}{warning}{note}"
        return SendResult(file.path, file.sop_class_uid, file.sop_instance_uid, status, text)
    transient = status & 0xFF00 == 0xA700 or status in _TRANSIENT
    meaning = "is out of resources" if status & 0xFF00 == 0xA700 else "refused the object"
    again = "; it will be tried again" if transient else ""
    return failed(
        file, ObjectRefused(f"{peer} {meaning}: status 0x{status:04X}{again}", status=status, permanent=not transient)
    )
