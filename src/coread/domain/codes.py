"""Coded concepts. A code is never a bare string (DICOM PS3.3 section 8, PS3.16)."""

from dataclasses import dataclass, field

from coread.domain.errors import InvalidRecord


@dataclass(frozen=True, slots=True)
class Code:
    """One coded concept; two codes are equal when value and scheme are equal (PS3.3 section 8.1)."""

    value: str
    scheme: str
    meaning: str = field(compare=False)

    def __post_init__(self) -> None:
        if not (0 < len(self.value) <= 16 and 0 < len(self.scheme) <= 16 and 0 < len(self.meaning) <= 64):
            raise InvalidRecord(
                f"code {self.value!r} ({self.scheme!r}): value and scheme take 1 to 16 characters, meaning 1 to 64"
            )


COREAD_SCHEME = "99COREAD"
"""Private coding scheme designator; PS3.3 section 8.2 reserves the prefix 99 for local schemes."""

PRESENT = Code("52101004", "SCT", "Present")
ABSENT = Code("2667000", "SCT", "Absent")
INDETERMINATE = Code("82334004", "SCT", "Indeterminate")
NOT_ASSESSED = Code("NOT_ASSESSED", COREAD_SCHEME, "Not assessed")

CHEST = Code("51185008", "SCT", "Chest")
LEFT = Code("7771000", "SCT", "Left")
RIGHT = Code("24028007", "SCT", "Right")
BILATERAL = Code("51440002", "SCT", "Right and left")
