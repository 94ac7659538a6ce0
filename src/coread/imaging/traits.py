"""What tells the images of one series apart: echo, b-value, phase, time. Read from raw header values, never guessed."""

import struct
from dataclasses import dataclass, field

from coread.domain.study import InstanceHeader
from coread.imaging.fields import decimals, plain_text, whole_number
from coread.imaging.objects import RawHeader

_ACQUISITION_DATE, _ACQUISITION_TIME, _ACQUISITION_DATE_TIME = 0x00080022, 0x00080032, 0x0008002A
_CONTENT_TIME = 0x00080033
_ECHO_TIME, _ECHO_NUMBERS, _INVERSION_TIME, _FLIP = 0x00180081, 0x00180086, 0x00180082, 0x00181314
_TRIGGER_TIME = 0x00181060
_TEMPORAL_POSITION = 0x00200100
_FRAME_REFERENCE_TIME = 0x00541300
_B_VALUE, _GRADIENT = 0x00189087, 0x00189089
_COMPLEX = 0x00089208
_SIEMENS, _SIEMENS_B, _SIEMENS_DIRECTION = 0x00190010, 0x0019100C, 0x0019100E
_GE, _GE_B = 0x00430010, 0x00431039
_PHILIPS, _PHILIPS_B, _PHILIPS_PHASE = 0x20010010, 0x20011003, 0x20011008
TRAIT_TAGS = frozenset({
    _ACQUISITION_DATE, _ACQUISITION_TIME, _ACQUISITION_DATE_TIME, _CONTENT_TIME, _ECHO_TIME, _ECHO_NUMBERS,
    _INVERSION_TIME, _FLIP, _TRIGGER_TIME, _TEMPORAL_POSITION, _FRAME_REFERENCE_TIME, _B_VALUE, _GRADIENT, _COMPLEX,
    _SIEMENS, _SIEMENS_B, _SIEMENS_DIRECTION, _GE, _GE_B, _PHILIPS, _PHILIPS_B, _PHILIPS_PHASE,
})  # fmt: skip
_GE_B_OFFSET = 1_000_000_000
"""GE adds this to b-values of some sequences; the rest of the division is the value in s/mm2."""
_COMPONENTS = {"M": "magnitude", "P": "phase", "R": "real", "I": "imaginary"}
_COMPONENT_NAMES = {"MAGNITUDE", "PHASE", "REAL", "IMAGINARY"}
_DERIVED = ("ADC", "FA", "TRACEW", "EXP", "COLFA", "TENSOR", "MIP", "MPR", "CBF", "CBV", "MTT", "TTP", "TMAX",
            "T1 MAP", "T2 MAP", "SUB", "WATER", "FAT", "IN_PHASE", "OUT_PHASE", "OPP_PHASE")  # fmt: skip
Value = float | str


@dataclass(frozen=True, slots=True)
class Traits:
    """Values by name; absent where the object does not state one.

    ``kinds`` are of different kinds of image, which never share a volume; ``times`` order images of one kind.
    """

    kinds: tuple[tuple[str, Value], ...] = ()
    times: tuple[tuple[str, Value], ...] = field(default=())


TIMES = (
    "temporal_position", "cardiac_phase", "trigger_time_ms", "echo_time_ms", "inversion_time_ms", "flip_angle",
    "gradient", "acquisition_number", "frame_reference_time_ms", "acquisition_time", "content_time",
)  # fmt: skip
"""In the order in which they are asked what distinguishes images at one position."""
ORDERED = frozenset({
    "temporal_position", "cardiac_phase", "trigger_time_ms", "acquisition_number", "frame_reference_time_ms",
    "acquisition_time",
})  # fmt: skip
"""Those whose order alone means something: the k-th trigger time of each slice is the k-th phase."""


def traits_of(raw: RawHeader, header: InstanceHeader) -> Traits:
    """Return the traits of a single-frame object."""
    kinds: dict[str, Value | None] = {
        "component": component_of(header.image_type, plain_text(raw.values.get(_COMPLEX, b""))),
        "map": map_of(header.image_type),
        "b_value": _b_value(raw),
        "echo_number": _whole(raw, _ECHO_NUMBERS),
    }
    times: dict[str, Value | None] = {
        "temporal_position": _whole(raw, _TEMPORAL_POSITION),
        "cardiac_phase": _whole(raw, _PHILIPS_PHASE) if _created(raw, _PHILIPS, b"Philips Imaging DD 001") else None,
        "trigger_time_ms": _number(raw, _TRIGGER_TIME),
        "echo_time_ms": _number(raw, _ECHO_TIME),
        "inversion_time_ms": _number(raw, _INVERSION_TIME),
        "flip_angle": _number(raw, _FLIP),
        "gradient": _gradient(raw),
        "acquisition_number": header.acquisition_number,
        "frame_reference_time_ms": _number(raw, _FRAME_REFERENCE_TIME),
        "acquisition_time": _acquired(raw),
        "content_time": plain_text(raw.values.get(_CONTENT_TIME, b"")) or None,
    }
    return traits(kinds, times)


def traits(kinds: dict[str, Value | None], times: dict[str, Value | None]) -> Traits:
    """Make the record of what is stated."""
    return Traits(
        tuple((name, value) for name, value in kinds.items() if value not in (None, "")),
        tuple((name, value) for name, value in times.items() if value not in (None, "")),
    )


def component_of(image_type: tuple[str, ...], stated: str = "") -> str:
    """Return magnitude, phase, real or imaginary, as Complex Image Component or Image Type says it."""
    if stated.upper() in _COMPONENT_NAMES:
        return stated.lower()
    named = [_COMPONENTS[value] for value in image_type[2:] if value in _COMPONENTS]
    return named[0] if named else ""


def map_of(image_type: tuple[str, ...]) -> str:
    """Return the derived map or reconstruction that Image Type names, such as ADC or MIP."""
    return next((name for name in _DERIVED if name in image_type[2:]), "")


def _b_value(raw: RawHeader) -> float | None:
    if len(raw.values.get(_B_VALUE, b"")) == 8:
        return _double(raw, _B_VALUE, 1)[0]
    if _created(raw, _SIEMENS, b"SIEMENS MR HEADER"):
        return _number(raw, _SIEMENS_B)
    if _created(raw, _GE, b"GEMS_PARM_01"):
        value = _number(raw, _GE_B)
        return None if value is None else value % _GE_B_OFFSET
    if _created(raw, _PHILIPS, b"Philips Imaging DD 001") and len(raw.values.get(_PHILIPS_B, b"")) == 4:
        found: float = struct.unpack("<f" if raw.little_endian else ">f", raw.values[_PHILIPS_B])[0]
        return found
    return None


def _gradient(raw: RawHeader) -> str | None:
    """Return a gradient direction as text, so that equal ones compare equal."""
    for tag in (_GRADIENT, _SIEMENS_DIRECTION):
        if len(raw.values.get(tag, b"")) == 24 and (tag == _GRADIENT or _created(raw, _SIEMENS, b"SIEMENS MR HEADER")):
            return " ".join(f"{part:.5f}" for part in _double(raw, tag, 3))
    return None


def _double(raw: RawHeader, tag: int, count: int) -> tuple[float, ...]:
    return struct.unpack(f"{'<' if raw.little_endian else '>'}{count}d", raw.values[tag][: 8 * count])


def _acquired(raw: RawHeader) -> str | None:
    whole = plain_text(raw.values.get(_ACQUISITION_DATE_TIME, b""))
    parts = plain_text(raw.values.get(_ACQUISITION_DATE, b"")) + plain_text(raw.values.get(_ACQUISITION_TIME, b""))
    return whole or parts or None


def _created(raw: RawHeader, tag: int, creator: bytes) -> bool:
    """Whether a private block is the one whose elements are meant (PS3.5 section 7.8.1)."""
    return raw.values.get(tag, b"").strip(b" \0") == creator


def _whole(raw: RawHeader, tag: int) -> int | None:
    return whole_number(raw.values.get(tag, b""))


def _number(raw: RawHeader, tag: int) -> float | None:
    found = decimals(raw.values.get(tag, b"").split(b"\\", 1)[0], count=1)
    return found[0] if found else None
