"""DICOM unique identifiers: checking them and deriving our own from what they stand for."""

import hashlib
import re
import uuid
from collections.abc import Iterable

_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")
_LENIENT_UID = re.compile(r"[0-9][0-9.]{0,63}")


def is_valid_uid(uid: str) -> bool:
    """Say whether a UID follows PS3.5 section 9.1 to the letter (64 characters, no leading zeros)."""
    return 0 < len(uid) <= 64 and _UID.fullmatch(uid) is not None


def is_tolerable_uid(uid: str) -> bool:
    """Say whether a received UID can be kept: digits and dots only, at most 64 characters.

    Real scanners write components with leading zeros; we read those but never write them.
    """
    return _LENIENT_UID.fullmatch(uid) is not None


def derived_uid(*parts: str) -> str:
    """Return the same UID for the same parts, always (PS3.5 annex B.2, UUID-derived, root 2.25).

    Work done twice must give the same SOP Instance UIDs, so that a retry is not a second copy.
    """
    name = "\x1f".join(parts).encode()
    return f"2.25.{uuid.UUID(bytes=hashlib.sha256(name).digest()[:16], version=5).int}"


def digest_of(parts: Iterable[str]) -> str:
    """Return the SHA-256 (hex) over sorted parts: an order-free name for a set of inputs."""
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()
