"""The proof that a finding's stated side is the side its marks are on: a mirrored mark is worse than none.

Frontal chest images only, since only there the patient's sides are the halves of the image. A mark is wrong
when its middle lies in the other half, beyond a margin for patients who stand off-centre.
"""

from collections.abc import Sequence
from typing import Any

from coread.domain.codes import CHEST, LEFT, RIGHT
from coread.domain.findings import Box, Finding, Location
from coread.evidence.sources import SourceImage
from coread.evidence.writing import Writing

MARGIN = 0.1
"""Of the image's width, either side of its middle."""


def wrong_side(_: Sequence[Any], writing: Writing) -> list[str]:
    """Return a line for every finding whose marks are all on the side that it does not name."""
    problems: list[str] = []
    for finding in writing.result.findings:
        if finding.laterality in (LEFT, RIGHT) and finding.locations:
            sides = [_side(finding, place, writing.image(place.image)) for place in finding.locations]
            other = LEFT if finding.laterality == RIGHT else RIGHT
            if all(side == other for side in sides):
                problems.append(
                    f"{finding.key!r} is said to be {finding.laterality.meaning.lower()}, "
                    f"its marks are on the {other.meaning.lower()}"
                )
    return problems


def _side(finding: Finding, place: Location, image: SourceImage) -> object:
    """Return LEFT, RIGHT, or None where the image does not say or the mark lies about the middle."""
    columns = image.header.columns
    towards = _first_row_direction(image)
    chest = finding.site == CHEST or image.header.body_part_examined.upper() == "CHEST"
    if not columns or not chest or towards not in ("L", "R"):
        return None
    middle = (place.column_min + place.column_max) / 2 if isinstance(place, Box) else place.column
    if abs(middle - columns / 2) <= columns * MARGIN:
        return None
    return RIGHT if (middle < columns / 2) == (towards == "L") else LEFT


def _first_row_direction(image: SourceImage) -> str:
    """Return the letter of Patient Orientation's first value: where the columns increase to (PS3.3 C.7.6.1.1.1)."""
    value: Any = image.elements.get("PatientOrientation")
    first = str(value[0]) if value and not isinstance(value, str) else ""
    return first[:1]
