"""Whether a header value may be written again: the value rules of PS3.5 section 6.2, as pure predicates."""

import re
from collections.abc import Callable
from datetime import date

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
_AGE = re.compile(r"[0-9]{3}[DWMY]")
_TIME = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9]([0-5][0-9](\.[0-9]{1,6})?)?)?")
_CODE_STRING = re.compile(r"[A-Z0-9 _]{0,16}")
_ZONE = re.compile(r"[+-](0[0-9]|1[0-4])[0-5][0-9]")
_NAME_GROUPS = 3
_NAME_COMPONENTS = 5


def is_text(value: str, longest: int) -> bool:
    """Say whether a value is legal for SH (16) or LO (64): no control characters, no backslash."""
    return len(value) <= longest and _CONTROL.search(value) is None and _encodes(value)


def is_short_string(value: str) -> bool:
    """Say whether a value is a legal SH."""
    return is_text(value, 16)


def is_long_string(value: str) -> bool:
    """Say whether a value is a legal LO."""
    return is_text(value, 64)


def is_person_name(value: str) -> bool:
    """Say whether a value is a legal PN: up to 3 groups of 64 characters, each of up to 5 components."""
    groups = value.split("=")
    return len(groups) <= _NAME_GROUPS and all(
        is_text(group, 64) and group.count("^") < _NAME_COMPONENTS for group in groups
    )


def is_date(value: str) -> bool:
    """Say whether a value is a legal DA that names a real day."""
    if not value:
        return True
    if len(value) != 8 or not (value.isascii() and value.isdigit()):
        return False
    try:
        date(int(value[:4]), int(value[4:6]), int(value[6:]))
    except ValueError:
        return False
    return True


def is_time(value: str) -> bool:
    """Say whether a value is a legal TM (leap seconds are not carried over)."""
    return not value or _TIME.fullmatch(value) is not None


def is_age(value: str) -> bool:
    """Say whether a value is a legal AS."""
    return not value or _AGE.fullmatch(value) is not None


def is_sex(value: str) -> bool:
    """Say whether a value is a defined Patient's Sex (PS3.3 C.7.1.1)."""
    return value in {"", "M", "F", "O"}


def is_code_string(value: str) -> bool:
    """Say whether a value is a legal CS."""
    return _CODE_STRING.fullmatch(value) is not None


def is_zone(value: str) -> bool:
    """Say whether a value is a legal Timezone Offset From UTC (PS3.3 C.12.1.1.8)."""
    return _ZONE.fullmatch(value) is not None and value != "-0000"


def _encodes(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


Legal = Callable[[str], bool]
