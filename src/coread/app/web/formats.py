"""How values are written on pages: names, dates, ages, durations, proportions. Pure functions, used as filters."""

from datetime import UTC, datetime

from coread.domain.cards import Estimate
from coread.domain.results import Outcome


def person(name: str) -> str:
    """Write a DICOM person name (PN, PS3.5 section 6.2.1.1) the way people read it: ``Doe, Jane``."""
    groups = [group for group in name.split("=") if group.strip("^ ")]
    if not groups:
        return "(no name)"
    family, given, middle, prefix, suffix = (groups[0].split("^") + [""] * 5)[:5]
    first = " ".join(part.strip() for part in (prefix, given, middle) if part.strip())
    family = " ".join(part.strip() for part in (family, suffix) if part.strip())
    return ", ".join(part for part in (family, first) if part)


def dicom_date(text: str) -> str:
    """Write a DA value (``20260131``) as ``2026-01-31``; anything else stays as it is."""
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}" if len(text) == 8 and text.isdigit() else text


def dicom_time(text: str) -> str:
    """Write a TM value (``142501.5``) as ``14:25``; anything else stays as it is."""
    return f"{text[:2]}:{text[2:4]}" if len(text) >= 4 and text[:4].isdigit() else text


def age_at(birth_date: str, study_date: str) -> str:
    """Return the age at the study as DICOM people write it (``63 y``, ``4 m``); empty when a date is missing."""
    try:
        born = datetime.strptime(birth_date, "%Y%m%d").replace(tzinfo=UTC)
        seen = datetime.strptime(study_date, "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return ""
    months = (seen.year - born.year) * 12 + seen.month - born.month - (seen.day < born.day)
    if months < 0:
        return ""
    return f"{months // 12} y" if months >= 24 else f"{months} m"


def duration(seconds: float | None) -> str:
    """Write a duration with two figures at most: ``85 ms``, ``1.2 s``, ``3 min 5 s``, ``2 h 4 min``, ``3 d``."""
    if seconds is None:
        return ""
    if seconds < 0.0005:
        return "0 ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 172_800:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d"


def moment(at: datetime | None) -> str:
    """Write a time for machines and ``<time>`` elements; the browser shows it in the reader's own zone."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at is not None else ""


def clock_time(at: datetime | None) -> str:
    """Write a time for people, in UTC; scripts replace it with the local one."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at is not None else ""


def proportion(value: float | None) -> str:
    """Write a probability or a proportion with two decimals; never ``1.00`` or ``0.00`` for what is not certain."""
    if value is None:
        return ""
    if 0 < value < 0.005:
        return "<0.01"
    return ">0.99" if 0.995 <= value < 1 else f"{value:.2f}"


def estimate(measured: Estimate | None) -> str:
    """Write a measured number with its interval: ``0.91 (0.88 to 0.94)``."""
    if measured is None:
        return "not measured"
    return f"{measured.value:.2f} ({measured.low:.2f} to {measured.high:.2f})"


def size(count: float) -> str:
    """Write a number of bytes: ``12 kB``, ``3.4 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def lower_first(text: str) -> str:
    """Write a sentence so that it can follow "because:"; abbreviations stay as they are."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


OUTCOME_WORDS: dict[Outcome, str] = {
    Outcome.POSITIVE: "Positive",
    Outcome.NEGATIVE: "Negative",
    Outcome.NOT_ANALYSED: "Not analysed",
    Outcome.FAILED: "Failed",
}


def outcome_word(outcome: Outcome) -> str:
    """Return the word on the chip of an outcome."""
    return OUTCOME_WORDS[outcome]


_OBJECT_NAMES = {
    "SR": "Structured report",
    "SEG": "Segmentation",
    "SC": "Summary page",
    "KOS": "Key images",
    "PDF": "Summary document (PDF)",
    "OVERLAY": "Images with outlines",
    "PM": "Parametric map",
    "IMG": "Computed images",
    "PROB": "Probabilities (fractional segmentation)",
}


def object_name(kind: str) -> str:
    """Return what people call a kind of result object."""
    return _OBJECT_NAMES.get(kind, kind)


FILTERS = {
    "object_name": object_name,
    "person": person,
    "dicom_date": dicom_date,
    "dicom_time": dicom_time,
    "duration": duration,
    "moment": moment,
    "clock_time": clock_time,
    "proportion": proportion,
    "estimate": estimate,
    "size": size,
    "outcome_word": outcome_word,
    "lower_first": lower_first,
}
"""The filters that templates may use, by name."""
