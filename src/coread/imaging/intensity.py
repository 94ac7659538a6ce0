"""Stored values to modality values to display values: the grey-scale pipeline of PS3.3 C.11 and PS3.4 N.2.

Everything is decided first, as a frozen ``GreyScale`` read from the header, and then applied.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from coread.imaging.errors import PixelMeaning

MAX_LUT_ENTRIES = 65536


@dataclass(frozen=True, slots=True, eq=False)
class LookupTable:
    """A LUT of PS3.3 C.11.1.1.1: ``entries`` for stored values from ``first`` on, ends repeated outside."""

    first: int
    entries: NDArray[np.uint16]
    bits: int
    """Bits of an entry: the output range of a VOI LUT is 0 to 2**bits - 1."""


@dataclass(frozen=True, slots=True)
class Window:
    """A VOI window (PS3.3 C.11.2.1.2) over modality values."""

    center: float
    width: float
    function: str = "LINEAR"


@dataclass(frozen=True, slots=True, eq=False)
class GreyScale:
    """How one frame's stored values become display values."""

    slope: float = 1.0
    intercept: float = 0.0
    modality_lut: LookupTable | None = None
    window: Window | None = None
    voi_lut: LookupTable | None = None
    inverted: bool = False


def apply_modality(values: NDArray[Any], grey: GreyScale) -> NDArray[Any]:
    """Return modality values: the modality LUT, or float64 ``values * slope + intercept`` (C.11.1)."""
    if grey.modality_lut is not None:
        return looked_up(values, grey.modality_lut)
    if grey.slope == 1.0 and grey.intercept == 0.0:
        return values
    return np.asarray(values.astype(np.float64) * grey.slope + grey.intercept)


def apply_voi(values: NDArray[Any], grey: GreyScale, full_range: tuple[float, float]) -> NDArray[np.float32]:
    """Return display values in [0, 1] by VOI LUT, window, or ``full_range`` when neither is there (C.11.2)."""
    if grey.voi_lut is not None:
        shown = looked_up(values, grey.voi_lut).astype(np.float32) / np.float32(2**grey.voi_lut.bits - 1)
    elif grey.window is not None:
        shown = windowed(values, grey.window)
    else:
        low, high = full_range
        shown = (values.astype(np.float32) - np.float32(low)) / np.float32(max(high - low, 1e-12))
    np.clip(shown, 0.0, 1.0, out=shown)
    return np.subtract(np.float32(1.0), shown, out=shown) if grey.inverted else shown


def looked_up(values: NDArray[Any], table: LookupTable) -> NDArray[np.uint16]:
    """Apply a LUT; values below and above its range take the first and last entry."""
    index = np.clip(np.rint(values) - table.first, 0, len(table.entries) - 1).astype(np.intp)
    return np.asarray(table.entries[index])


def windowed(values: NDArray[Any], window: Window) -> NDArray[np.float32]:
    """Apply a window function with output 0 to 1 (C.11.2.1.2.1 LINEAR, C.11.2.1.3.1 SIGMOID, .2 LINEAR_EXACT)."""
    x = values.astype(np.float64)
    if window.function == "SIGMOID":
        with np.errstate(over="ignore"):
            return np.asarray(1.0 / (1.0 + np.exp(-4.0 * (x - window.center) / window.width)), dtype=np.float32)
    if window.function == "LINEAR_EXACT":
        return _ramp(x, window.center - window.width / 2, window.width)
    if window.width <= 1:
        # C.11.2.1.2.1: a width of 1 is a threshold at center - 0.5.
        return np.asarray(x > window.center - 0.5, dtype=np.float32)
    return _ramp(x, window.center - 0.5 - (window.width - 1) / 2, window.width - 1)


def _ramp(x: NDArray[np.float64], low: float, width: float) -> NDArray[np.float32]:
    return np.asarray(np.clip((x - low) / width, 0.0, 1.0), dtype=np.float32)


def grey_scale(attributes: Dataset, *, signed: bool) -> GreyScale:
    """Read the pipeline from an object's attributes or a frame's functional groups; the first of several VOIs."""
    slope, intercept = _number(attributes, "RescaleSlope", 1.0), _number(attributes, "RescaleIntercept", 0.0)
    if slope == 0.0:
        raise PixelMeaning("Rescale Slope is 0")
    modality = _first_table(attributes, "ModalityLUTSequence", signed=signed)
    lut_output_signed = modality is None and (signed or intercept < 0)
    return GreyScale(
        slope=slope,
        intercept=intercept,
        modality_lut=modality,
        window=_window(attributes),
        voi_lut=_first_table(attributes, "VOILUTSequence", signed=lut_output_signed),
        inverted=_inverted(attributes),
    )


def _inverted(attributes: Dataset) -> bool:
    """MONOCHROME1 shows low values bright; Presentation LUT Shape says the same again (C.11.6.1.2).

    In DX objects both are present and mean one inversion, not two (C.8.11.3.1.2): either one inverts.
    """
    shape = str(attributes.get("PresentationLUTShape", "") or "")
    photometric = str(attributes.get("PhotometricInterpretation", "") or "")
    return photometric == "MONOCHROME1" or shape == "INVERSE"


def _window(attributes: Dataset) -> Window | None:
    center, width = _number(attributes, "WindowCenter", None), _number(attributes, "WindowWidth", None)
    if center is None or width is None:
        return None
    function = str(attributes.get("VOILUTFunction", "") or "LINEAR").strip().upper()
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise PixelMeaning(f"VOI LUT Function {function[:20]!r}")
    if width <= 0 or (function == "LINEAR" and width < 1):
        raise PixelMeaning(f"Window Width {width} with function {function}")
    return Window(center, width, function)


def _number(attributes: Dataset, keyword: str, default: Any) -> Any:
    value = attributes.get(keyword)
    if isinstance(value, list | tuple) or hasattr(value, "append"):
        value = value[0] if len(value) else None
    if value is None or value == "":
        return default
    try:
        number = float(value)
    except (ValueError, TypeError) as problem:
        raise PixelMeaning(f"{keyword} is no number") from problem
    if not np.isfinite(number):
        raise PixelMeaning(f"{keyword} is {number}")
    return number


def _first_table(attributes: Dataset, keyword: str, *, signed: bool) -> LookupTable | None:
    items = attributes.get(keyword)
    if not items:
        return None
    return lookup_table(items[0].LUTDescriptor, items[0]["LUTData"].value, signed=signed)


def lookup_table(descriptor: Any, data: Any, *, signed: bool) -> LookupTable:
    """Build a LUT from its descriptor (entries, first, bits) and data (PS3.3 C.11.1.1.1)."""
    count, first, bits = (int(v) for v in descriptor)
    count = count or MAX_LUT_ENTRIES
    if signed and first > 32767:
        first -= 65536
    elif not signed and first < 0:
        first += 65536
    entries = _entries(data, bits, count)
    if not 0 < len(entries) <= MAX_LUT_ENTRIES or not 1 <= bits <= 16 or len(entries) < count:
        raise PixelMeaning(f"a lookup table of {len(entries)} entries, {count} stated, {bits} bits")
    return LookupTable(first, entries[:count], bits)


def _entries(data: Any, bits: int, count: int) -> NDArray[np.uint16]:
    if isinstance(data, bytes | bytearray):
        if bits <= 8 and len(data) in (count, count + count % 2):
            return np.frombuffer(data, dtype=np.uint8).astype(np.uint16)
        return np.frombuffer(data[: len(data) // 2 * 2], dtype="<u2").astype(np.uint16)
    values = [data] if isinstance(data, int) else list(data)
    return np.asarray([int(v) & 0xFFFF for v in values], dtype=np.uint16)
