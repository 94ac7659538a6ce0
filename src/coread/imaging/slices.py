"""One plane of a series with all that placing, splitting and reading it needs, taken from the header alone.

A ``Slice`` is a single-frame object, one frame of a multi-frame object (``multiframe.py``) or one tile of a Siemens
mosaic (``mosaic.py``); nothing here reads pixels.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from coread.domain.images import Quantity
from coread.domain.study import InstanceHeader
from coread.imaging.attributes import dataset_of, frame_attributes
from coread.imaging.decode import NATIVE, open_pixels
from coread.imaging.elements import UNDEFINED, NeedMore
from coread.imaging.errors import MixedGeometry, NoPixels, PixelMeaning
from coread.imaging.fields import decimals, plain_text
from coread.imaging.intensity import GreyScale, grey_scale
from coread.imaging.objects import PIXELS, RawHeader, raw_header, read_meta
from coread.imaging.pixel_element import PixelElement, find_pixels
from coread.imaging.pixel_format import PIXEL_TAGS, PixelFormat, pixel_format
from coread.imaging.quantities import quantity_and_unit
from coread.imaging.traits import TRAIT_TAGS, Traits, traits_of

HEAD_BYTES = 16 * 1024
_SPACING, _THICKNESS, _BETWEEN, _TILT = 0x00280030, 0x00180050, 0x00180088, 0x00181120
_SLOPE, _INTERCEPT, _RESCALE_TYPE, _UNITS, _SUV_TYPE = 0x00281053, 0x00281052, 0x00281054, 0x00541001, 0x00541006
_MODALITY_LUT = (b"\x28\x00\x00\x30", b"\x00\x28\x30\x00")
WANTED = PIXEL_TAGS | TRAIT_TAGS | {
    _SPACING, _THICKNESS, _BETWEEN, _TILT, _SLOPE, _INTERCEPT, _RESCALE_TYPE, _UNITS, _SUV_TYPE,
}  # fmt: skip
Located = tuple[Path, InstanceHeader]


@dataclass(frozen=True, slots=True)
class Tile:
    """The part of a frame that one slice of a mosaic is: first row, first column (from 0)."""

    row: int
    column: int


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """A plane in the patient with its pixels' place in a file. Names of planes are those of ``InstanceHeader``."""

    path: Path
    header: InstanceHeader
    frame: int
    """From 1."""
    rows: int
    columns: int
    image_position_patient: tuple[float, ...]
    """Centre of the first pixel, LPS mm; empty where the object does not say it."""
    image_orientation_patient: tuple[float, ...]
    spacing_mm: tuple[float, float] | None
    """(row, column) Pixel Spacing."""
    thickness_mm: float | None
    step_mm: float | None
    """Spacing Between Slices (0018,0088) as stated: used only where there is a single slice."""
    tilt_degrees: float | None
    """Gantry/Detector Tilt (0018,1120) as stated; the geometry is taken from positions, never from this."""
    layout: PixelFormat
    grey: GreyScale
    quantity: Quantity
    unit: str
    traits: Traits
    pixels_at: PixelElement | None = None
    """Where native, little-endian, single-sample pixels lie in the file itself; ``None``: decode the long way."""
    tile: Tile | None = None
    frame_of_reference_uid: str = ""

    @property
    def instance_number(self) -> int | None:
        """Instance Number, or the frame's number in a multi-frame object."""
        return self.header.instance_number if self.layout.frames == 1 else self.frame

    def name(self) -> str:
        """Return how people find this image again: its instance number and, in a multi-frame object, its frame."""
        number = self.header.instance_number
        instance = f"instance {number}" if number is not None else f"file {self.path.name}"
        frame = f" frame {self.frame}" if self.layout.frames > 1 else ""
        tile = f" tile at {self.tile.row}, {self.tile.column}" if self.tile else ""
        return f"{instance}{frame}{tile}"


def single_slice(path: Path, header: InstanceHeader) -> Slice:
    """Read what a single-frame object says of its plane; raises ImagingRefused where it has no pixels to read."""
    raw, size = _head(path)
    element = find_pixels(raw)
    if element is None:
        raise NoPixels("the object has no pixel data element")
    layout = pixel_format(raw, element.tag)
    if (header.rows, header.columns) != (layout.rows, layout.columns):
        indexed = f"{header.rows} x {header.columns}"
        raise MixedGeometry(f"{indexed} is indexed, the file is {layout.rows} x {layout.columns}")
    grey = _grey(path, raw, layout)
    quantity, unit = quantity_and_unit(
        header.modality, header.image_type, rescale_type=_text(raw, _RESCALE_TYPE), units=_text(raw, _UNITS),
        suv_type=_text(raw, _SUV_TYPE), rescaled=_INTERCEPT in raw.values,
    )  # fmt: skip
    spacing = decimals(raw.values.get(_SPACING, b""), count=2)
    return Slice(
        path=path, header=header, frame=1, rows=layout.rows, columns=layout.columns,
        image_position_patient=header.image_position_patient,
        image_orientation_patient=header.image_orientation_patient,
        spacing_mm=(spacing[0], spacing[1]) if spacing and min(spacing) > 0 else None,
        thickness_mm=_positive(raw, _THICKNESS), step_mm=_positive(raw, _BETWEEN),
        tilt_degrees=_first(raw, _TILT), layout=layout, grey=grey, quantity=quantity, unit=unit,
        traits=traits_of(raw, header), pixels_at=_plain_pixels(raw, layout, element, size),
        frame_of_reference_uid=header.frame_of_reference_uid,
    )  # fmt: skip


def _head(path: Path) -> tuple[RawHeader, int]:
    """Return the raw values before the pixels, from the first bytes where these are enough, and the file's size."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        total = os.fstat(descriptor).st_size
        head = os.pread(descriptor, HEAD_BYTES, 0)
    finally:
        os.close(descriptor)
    try:
        return raw_header(head, total, read_meta(head, total), WANTED, PIXELS), total
    except NeedMore:
        return open_pixels(path, WANTED).raw, total


def _plain_pixels(raw: RawHeader, layout: PixelFormat, element: PixelElement, size: int) -> PixelElement | None:
    """Return the pixel element when its bytes are the values: native, little endian, whole, one sample, whole bytes."""
    syntax = raw.transfer_syntax_uid
    native = syntax in NATIVE and raw.little_endian and not syntax.endswith(".1.99")
    plain = native and layout.samples == 1 and layout.bits_allocated % 8 == 0 and element.length != UNDEFINED
    needed = layout.frame_samples * layout.frames * layout.bits_allocated // 8
    return element if plain and element.length >= needed and element.offset + needed <= size else None


def _grey(path: Path, raw: RawHeader, layout: PixelFormat) -> GreyScale:
    """Return slope and intercept; the whole header is parsed only where a Modality LUT may stand in it."""
    window = raw.data[raw.started_at : raw.stopped_at]
    if any(tag in window for tag in _MODALITY_LUT):
        return grey_scale(frame_attributes(dataset_of(open_pixels(path).raw), 1), signed=layout.signed)
    slope, intercept = _first(raw, _SLOPE), _first(raw, _INTERCEPT)
    for tag, value, name in ((_SLOPE, slope, "Rescale Slope"), (_INTERCEPT, intercept, "Rescale Intercept")):
        if value is None and raw.values.get(tag, b"").strip(b" \0"):
            raise PixelMeaning(f"{name} is no number")
    if slope == 0.0:
        raise PixelMeaning("Rescale Slope is 0")
    return GreyScale(slope=1.0 if slope is None else slope, intercept=intercept or 0.0)


def _first(raw: RawHeader, tag: int) -> float | None:
    found = decimals(raw.values.get(tag, b"").split(b"\\", 1)[0], count=1)
    return found[0] if found else None


def _positive(raw: RawHeader, tag: int) -> float | None:
    value = _first(raw, tag)
    return abs(value) if value else None


def _text(raw: RawHeader, tag: int) -> str:
    return plain_text(raw.values.get(tag, b"")).upper()


__all__ = ["Located", "Slice", "Tile", "single_slice"]
