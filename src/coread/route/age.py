"""Age of a patient at the time of a study, from what the headers say and only where it can be believed."""

import re
from dataclasses import dataclass
from datetime import date

from coread.domain.study import InstanceHeader

_AGE = re.compile(r"(\d{3})([DWMY])")
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
MAX_YEARS = 130.0


@dataclass(frozen=True, slots=True)
class StatedAge:
    """One age in years and the attributes that it comes from."""

    years: float
    source: str


def stated_ages(header: InstanceHeader, today: date | None = None) -> tuple[StatedAge, ...]:
    """Return every believable age: Patient's Age (0010,1010), and study date minus birth date.

    Dates after ``today``, births after the study and ages above 130 years are not believed and left out.
    """
    found = [_from_text(header.patient_age), _from_dates(header, today)]
    return tuple(age for age in found if age is not None and 0.0 <= age.years <= MAX_YEARS)


def date_of(text: str) -> date | None:
    """Read a DICOM DA value (PS3.5 section 6.2), also with the dots of ACR-NEMA; None when it is not a date."""
    digits = text.replace(".", "")
    if len(digits) != 8 or not digits.isdecimal():
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


def _from_text(text: str) -> StatedAge | None:
    # PS3.5 section 6.2, AS: three digits and a unit; "000Y" is what scanners write when nobody typed an age.
    match = _AGE.fullmatch(text.strip().upper())
    if match is None or match[1] == "000":
        return None
    return StatedAge(int(match[1]) * _YEARS[match[2]], "Patient's Age")


def _from_dates(header: InstanceHeader, today: date | None) -> StatedAge | None:
    born = date_of(header.patient_birth_date)
    seen = date_of(header.study_date) or date_of(header.series_date)
    if born is None or seen is None or born > seen or (today is not None and seen > today):
        return None
    birthdays = seen.year - born.year - ((seen.month, seen.day) < (born.month, born.day))
    since = (seen - _birthday(born, born.year + birthdays)).days
    return StatedAge(birthdays + since / 366, "birth and study date")


def _birthday(born: date, year: int) -> date:
    try:
        return born.replace(year=year)
    except ValueError:  # born on 29 February
        return date(year, 3, 1)
