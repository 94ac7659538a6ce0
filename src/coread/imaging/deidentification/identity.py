"""Replacements that are the same for the same input and key, and tell nothing without the key."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import date, timedelta

from pydicom.uid import UID_dictionary  # type: ignore[attr-defined]

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_LONGEST_UID = 64
_DATE = re.compile(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})(.*)", re.DOTALL)
_FARTHEST_DAYS = 3650
_NEAREST_DAYS = 30
_OLDEST_YEARS = 90
_AGE = re.compile(r"(\d+)\s*([DWMY])?", re.IGNORECASE | re.ASCII)
_IN_A_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}


@dataclass(frozen=True, slots=True)
class Pseudonymizer:
    """Makes pseudonyms with a secret key; who has the key can make the same ones again, nobody can go back."""

    key: bytes

    def uid(self, uid: str) -> str:
        """Return the replacement of an instance's or frame's UID (root 2.25, 122 bits).

        UIDs that the standard itself lists (SOP classes, well-known frames of reference) are no identities and stay.
        """
        if not uid or uid in UID_dictionary:
            return uid
        return f"2.25.{int.from_bytes(self._digest('uid', uid)[:16], 'big') >> 6}"

    def patient(self, patient_id: str, issuer: str = "") -> str:
        """Return the pseudonym of a patient."""
        return "P" + self._digest("patient", f"{issuer}\x1f{patient_id}").hex()[:16].upper()

    def days(self, patient_id: str, issuer: str = "") -> int:
        """Return by how many days the dates of a patient move: one month to ten years into the past."""
        drawn = int.from_bytes(self._digest("days", f"{issuer}\x1f{patient_id}")[:8], "big")
        return -(_NEAREST_DAYS + drawn % (_FARTHEST_DAYS - _NEAREST_DAYS))

    def name(self, what: str, text: str) -> str:
        """Return a short pseudonym of anything else, e.g. a group."""
        return self._digest(what, text).hex()[:16]

    def _digest(self, what: str, text: str) -> bytes:
        return hmac.new(self.key, f"{what}\x1f{text}".encode(), hashlib.sha256).digest()


def shifted(text: str, days: int) -> str:
    """Return a DICOM date (DA, or DT with its time) moved by days; empty where there is no such day."""
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return ""
    try:
        moved = date(int(found[1]), int(found[2]), int(found[3])) + timedelta(days=days)
    except (ValueError, OverflowError):
        return ""
    return f"{moved:%Y%m%d}{found[4].strip()}"


def capped_age(text: str) -> str:
    """Return a DICOM age, 90 years and more as ``090Y``: the very old are few enough to be found.

    What is no age becomes empty; a number without a unit counts as years.
    """
    found = _AGE.fullmatch(text.strip())
    if found is None:
        return ""
    years = int(found[1]) / _IN_A_YEAR[(found[2] or "Y").upper()]
    return "090Y" if years >= _OLDEST_YEARS else text


def is_uid(text: str) -> bool:
    """Say whether a text has the form of a UID: safe as the name of a file."""
    return len(text) <= _LONGEST_UID and _UID.fullmatch(text) is not None


def clean_words(text: str, allowed: frozenset[str], identifiers: frozenset[str]) -> str:
    """Return the words of free text that are allowed, and numbers below 1,000 with or without a unit."""
    kept = []
    for word in re.split(r"[\s,;:/()\[\]_+]+", text):
        plain = word.strip(".-*'\"").casefold()
        if plain in identifiers:
            continue
        if plain in allowed or re.fullmatch(r"\d{1,3}(\.\d{1,2})?(mm|cm|ml|s|ms|kv|deg|d|f)?", plain):
            kept.append(word)
    return " ".join(kept)
